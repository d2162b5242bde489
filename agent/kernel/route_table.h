/* The kernel's routing rules and routes of one family, as they stand. For kernel/route.c alone. */
#ifndef SQ_KERNEL_ROUTE_TABLE_H
#define SQ_KERNEL_ROUTE_TABLE_H

#include "kernel/netlink.h"

#include "common/cidr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sq_route_type {
    SQ_ROUTE_LEAVES,  /* by the interface */
    SQ_ROUTE_LOCAL,   /* this host itself */
    SQ_ROUTE_NOWHERE, /* unreachable, prohibited, blackhole */
    SQ_ROUTE_THROW    /* as if the table had no such route */
};

/* One way to a destination; a route with several next hops is several. */
struct sq_route_way {
    struct sq_cidr destination;
    uint32_t table;
    uint32_t ifindex; /* 0: none */
    uint32_t nexthop; /* id of a nexthop object that is still to be looked up; 0: none */
    enum sq_route_type type;
    bool conditional; /* not for every packet (TOS, source prefix), or not now (dead next hop, expired) */
    bool avoidable;   /* while its gateway does not answer, another of the table is taken, if there is one */
};

struct sq_route_rule {
    uint32_t table;      /* 0: it leads to no table */
    bool vrf;            /* leads to the table of the packet's VRF */
    bool goes_on;        /* another rule comes next in any case (nop, goto) */
    bool conditional;    /* asks for something that is not known here: source, mark, interface, user, port */
    bool inverted;       /* means everything but `destination` and the rest */
    int suppress_prefix; /* what it finds with this prefix length or a shorter one does not count; -1: all
                            does */
    struct sq_cidr destination;
};

struct sq_route_table {
    uint8_t family; /* 4 or 6 */
    bool jumps;     /* some rule is a goto: the order says nothing certain */
    size_t rule_count;
    size_t rule_room;
    struct sq_route_rule *rules; /* in their order */
    size_t count;
    size_t room;
    struct sq_route_way *ways; /* sorted by table, then the longest prefix first */
};

/*
 * Read rules, and those routes that have to do with any of the peers of this family. *table is zeroed before;
 * freed by the caller, also on failure. A kernel without the family has no routes.
 */
int sq_route_table_read(struct sq_netlink *netlink, uint8_t family, const struct sq_cidr *peers, size_t count,
                        struct sq_route_table *table, struct sq_error *error);
void sq_route_table_free(struct sq_route_table *table);

#endif
