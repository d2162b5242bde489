/* One network interface of this network namespace. All of them: kernel/links.h. */
#ifndef SQ_KERNEL_LINK_H
#define SQ_KERNEL_LINK_H

#include "kernel/netlink.h"

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_LINK_NAME_MAX 16 /* IFNAMSIZ of <linux/if.h> */

#define SQ_LINK_ADDRESS_MAX 32 /* MAX_ADDR_LEN of <linux/netdevice.h> */

/* Plain data: stands in undo records. */
struct sq_link_address {
    uint32_t length; /* 0: it has none */
    uint8_t bytes[SQ_LINK_ADDRESS_MAX];
};

struct sq_link {
    uint32_t ifindex;
    char name[SQ_LINK_NAME_MAX];
    struct sq_link_address address;
    bool loopback;
    bool up;
    bool ethernet; /* its packets begin with an Ethernet header, as those of lo do */
    bool has_xdp;  /* an XDP program sees its packets before traffic control does */
};

/* 0, or -ENODEV, or another -errno. Allocates nothing. */
int sq_link_by_index(struct sq_netlink *netlink, uint32_t ifindex, struct sq_link *link);

/* Read an RTM_NEWLINK message; false if it is something else. */
bool sq_link_read(const struct nlmsghdr *message, struct sq_link *link);

#endif
