/* Which interfaces may carry a peer's packets? Asked of the kernel's routing rules and tables. */
#ifndef SQ_KERNEL_ROUTE_H
#define SQ_KERNEL_ROUTE_H

#include "kernel/links.h"
#include "kernel/netlink.h"

#include "common/cidr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_ROUTE_INTERFACES_MAX 32
#define SQ_ROUTE_PEERS_MAX      1024

/* A set of peers: bit i is peers[i]. */
typedef uint8_t sq_route_peers[SQ_ROUTE_PEERS_MAX / 8];

static inline bool sq_routes_has(const uint8_t *peers, size_t i)
{
    return (peers[i / 8] & (1u << (i % 8))) != 0;
}

struct sq_route_interface {
    uint32_t ifindex;
    sq_route_peers peers; /* those it may carry packets of */
};

struct sq_routes {
    uint32_t count;
    bool more;    /* there are others beyond SQ_ROUTE_INTERFACES_MAX */
    bool no_ipv6; /* this kernel has no IPv6, and there are peers that are */
    struct sq_route_interface interfaces[SQ_ROUTE_INTERFACES_MAX];
    uint32_t unreachable_count; /* peers that no route leads to */
    sq_route_peers unreachable;
    uint32_t local_count; /* peers that are this host itself */
    sq_route_peers local;
};

/*
 * Find every interface that may carry packets to any of `peers`, addresses or ranges, whichever socket, mark,
 * user or virtual routing domain (VRF) they come from. Of each table that a rule may lead to, and of each
 * VRF's: all next hops of the narrowest routes that cover the peer, and all routes into part of it; of a
 * link-local address every route that covers it, since the sender chooses the link; of an IPv4 group or the
 * limited broadcast every interface that is up and sends by itself, for the same reason. A route that may not
 * apply (TOS, source prefix, a dead next hop, in IPv6 a gateway, which may not answer) is among them, but
 * does not hide a wider one. Where no rule before it asks for anything but the destination, the first table
 * that covers a peer is the last that is asked, as the kernel does. Loopback and VRF devices themselves are
 * never among them. SQ_LIMIT: more routes than can be weighed.
 */
int sq_routes_find(struct sq_netlink *netlink, const struct sq_links *links, const struct sq_cidr *peers,
                   size_t count, struct sq_routes *routes, struct sq_error *error);

/*
 * For peers whose interface is named, so that no routes are looked for: note in *routes, which is empty,
 * those that a kernel without IPv6 cannot know.
 */
void sq_routes_note_families(const struct sq_cidr *peers, size_t count, struct sq_routes *routes);

#endif
