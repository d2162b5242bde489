/* The network interfaces of this network namespace. */
#ifndef SQ_KERNEL_LINK_H
#define SQ_KERNEL_LINK_H

#include "kernel/netlink.h"

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_LINK_NAME_MAX 16 /* IFNAMSIZ of <linux/if.h> */

struct sq_link {
    uint32_t ifindex;
    char name[SQ_LINK_NAME_MAX];
    bool loopback;
    bool up;
    bool ethernet; /* its packets begin with an Ethernet header, as those of lo do */
    bool has_xdp;  /* an XDP program sees its packets before traffic control does */
};

/* SQ_NOBODY with the nearest name if there is none. */
int sq_link_by_name(struct sq_netlink *netlink, const char *name, struct sq_link *link,
                    struct sq_error *error);

/* 0, or -ENODEV, or another -errno. Allocates nothing. */
int sq_link_by_index(struct sq_netlink *netlink, uint32_t ifindex, struct sq_link *link);

/*
 * Whether packets of the interface `upper` travel over `ifindex` as well: a port of a bond or bridge, the
 * device under a virtual LAN or the like, through several layers. 1: yes, 0: no (or there is no `upper`), or
 * -errno.
 */
int sq_link_carries(struct sq_netlink *netlink, uint32_t ifindex, const char *upper);

/* The inode of this process's network namespace, which tells it from every other; 0 if it cannot be told. */
uint64_t sq_netns_inode(void);

#endif
