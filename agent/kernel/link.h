/* One network interface of this network namespace. All of them: kernel/links.h. */
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

/* 0, or -ENODEV, or another -errno. Allocates nothing. */
int sq_link_by_index(struct sq_netlink *netlink, uint32_t ifindex, struct sq_link *link);

/* Read an RTM_NEWLINK message; false if it is something else. */
bool sq_link_read(const struct nlmsghdr *message, struct sq_link *link);

/* The inode of this process's network namespace, which tells it from every other; 0 if it cannot be told. */
uint64_t sq_netns_inode(void);

#endif
