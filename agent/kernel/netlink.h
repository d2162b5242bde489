/*
 * rtnetlink requests and dumps on buffers of fixed size: nothing here allocates, so that reverting a fault
 * never depends on free memory. Messages with nested attributes are built with libnl's message functions,
 * which allocate, and sent here too; attributes are read with libnl's, which do not. See netlink(7),
 * rtnetlink(7).
 */
#ifndef SQ_KERNEL_NETLINK_H
#define SQ_KERNEL_NETLINK_H

#include "common/cleanup.h"
#include "common/error.h"

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

struct sq_netlink {
    int fd;
    uint32_t sequence;
};

/* How often an inconsistent dump is asked for again: changes that never stop must not keep a revert waiting.
 */
#define SQ_NETLINK_ATTEMPTS 16

#define sq_autonetlink sq_auto(sq_netlink_close)

int sq_netlink_open(struct sq_netlink *netlink, struct sq_error *error);

/* The same to another part of the kernel, such as NETLINK_NETFILTER. */
int sq_netlink_open_to(struct sq_netlink *netlink, int protocol, struct sq_error *error);
void sq_netlink_close(struct sq_netlink *netlink);

/*
 * Send one request (its flags get NLM_F_ACK) and wait for the kernel's answer. Returns 0, or -errno with the
 * kernel's own words, if it had any, in `reason` of `size` bytes.
 */
int sq_netlink_request(struct sq_netlink *netlink, struct nlmsghdr *request, char *reason, size_t size);

/* Called for each message of an answer. A return other than 0 ends the calls; it becomes the result. */
typedef int (*sq_netlink_visit)(const struct nlmsghdr *message, void *cookie);

/*
 * Send a dump request (its flags get NLM_F_DUMP) and visit each message of the answer. A dump that the kernel
 * calls inconsistent is returned as -EAGAIN: ask again with empty hands. Returns 0, -errno, or what `visit`
 * returned.
 */
int sq_netlink_dump(struct sq_netlink *netlink, struct nlmsghdr *request, sq_netlink_visit visit,
                    void *cookie);

/* Send a request that is answered by exactly one message, and visit it. */
int sq_netlink_get(struct sq_netlink *netlink, struct nlmsghdr *request, sq_netlink_visit visit,
                   void *cookie);

#endif
