/* Which interfaces lead to a peer? Asked of the kernel's routing tables. */
#ifndef SQ_KERNEL_ROUTE_H
#define SQ_KERNEL_ROUTE_H

#include "kernel/netlink.h"

#include "common/cidr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_ROUTE_INTERFACES_MAX 32
#define SQ_ROUTE_PEERS_MAX      1024

struct sq_route_interface {
    uint32_t ifindex;
    uint32_t peer_count;
    uint8_t peers[SQ_ROUTE_PEERS_MAX / 8]; /* bit i: peers[i] is reached by it */
};

struct sq_routes {
    uint32_t count;
    bool more; /* there are others beyond SQ_ROUTE_INTERFACES_MAX */
    struct sq_route_interface interfaces[SQ_ROUTE_INTERFACES_MAX];
    uint32_t unreachable; /* peers that no route leads to */
    uint32_t local;       /* peers that are this host itself */
};

/*
 * Find the interfaces for all of `peers`. A single address is looked up as the kernel would for a packet to
 * it. A range is reached by every interface with a unicast route into part of it, in any table, and by those
 * of the narrowest routes that cover all of it. Loopback is never among them.
 */
int sq_routes_find(struct sq_netlink *netlink, const struct sq_cidr *peers, size_t count,
                   struct sq_routes *routes, struct sq_error *error);

#endif
