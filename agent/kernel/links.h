/*
 * All network interfaces of this network namespace, read once and asked often: by index, by any of their
 * names, and who carries whose packets. For previews: it allocates. What reverts asks kernel/link.h for one
 * interface.
 */
#ifndef SQ_KERNEL_LINKS_H
#define SQ_KERNEL_LINKS_H

#include "kernel/link.h"
#include "kernel/netlink.h"

#include "common/cidr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_LINK_ALIAS_MAX 128 /* ALTIFNAMSIZ of <linux/if.h> */

/* How an interface's packets get out when it is a tunnel, whose packets travel inside others. */
enum sq_link_tunnel {
    SQ_LINK_NO_TUNNEL = 0,
    SQ_LINK_TUNNEL_REMOTE, /* by the route to `remote` */
    SQ_LINK_TUNNEL_BOUND,  /* over the interface `made_on` */
    SQ_LINK_TUNNEL_UNKNOWN /* nobody can tell from here: WireGuard, tun, many remote ends */
};

struct sq_links_entry {
    struct sq_link link;
    uint32_t master;    /* index of the bond, bridge or VRF that it is a port of; 0: none */
    uint32_t made_on;   /* index of the interface that it was made on, in this namespace; 0: none */
    uint32_t vrf_table; /* it is a VRF, with this routing table; 0: it is none */
    enum sq_link_tunnel tunnel;
    struct sq_cidr remote;
};

struct sq_links_alias {
    uint32_t ifindex;
    char name[SQ_LINK_ALIAS_MAX];
};

/* Packets of `upper` travel over `lower`. */
struct sq_links_edge {
    uint32_t upper;
    uint32_t lower;
};

struct sq_links {
    size_t count; /* sorted by index */
    struct sq_links_entry *entries;
    size_t alias_count;
    struct sq_links_alias *aliases;
    size_t edge_count; /* sorted by `upper`, then `lower` */
    struct sq_links_edge *edges;
    size_t edge_room;
};

#define sq_autolinks sq_auto(sq_links_free)

/* Read them all, with one dump. *links is zeroed before; the caller frees it, also on failure. */
int sq_links_read(struct sq_netlink *netlink, struct sq_links *links, struct sq_error *error);
void sq_links_free(struct sq_links *links);

/* NULL: there is none. By name: also by an alternative one. Owned by the table. */
const struct sq_links_entry *sq_links_by_index(const struct sq_links *links, uint32_t ifindex);
const struct sq_links_entry *sq_links_by_name(const struct sq_links *links, const char *name);

/* The same; where there is none, SQ_NOBODY with the nearest name. */
int sq_links_find(const struct sq_links *links, const char *name, const struct sq_links_entry **entry,
                  struct sq_error *error);

/*
 * Tell the table that packets of `upper` travel over `lower` too: a tunnel's, by the route to its far end.
 * Counts once sq_links_sort_edges was called.
 */
int sq_links_add_edge(struct sq_links *links, uint32_t upper, uint32_t lower, struct sq_error *error);
void sq_links_sort_edges(struct sq_links *links);

/*
 * Mark in `below` (one byte an entry, in the table's order, zeroed by the caller) the interfaces that carry
 * packets of `ifindex`, and itself: ports of a bond or bridge, what a virtual LAN was made on, what a tunnel
 * goes over, as deep as they are stacked. Each entry is visited once, whatever leads back to it. What is
 * marked already is not followed again, so that several interfaces can be marked in one `below`.
 */
int sq_links_mark_below(const struct sq_links *links, uint32_t ifindex, uint8_t *below,
                        struct sq_error *error);

/* Whether packets of `upper` travel over `lower` as well. 1: yes, 0: no, -1: out of memory. */
int sq_links_carries(const struct sq_links *links, uint32_t lower, uint32_t upper, struct sq_error *error);

#endif
