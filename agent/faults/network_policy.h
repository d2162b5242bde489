/* What the host's policy protects of the network: interfaces, and peers. Shared by the network kinds. */
#ifndef SQ_FAULTS_NETWORK_POLICY_H
#define SQ_FAULTS_NETWORK_POLICY_H

#include "faults/fault.h"

#include "kernel/links.h"
#include "kernel/route.h"

/* An interface that a fault is going to stand on. */
struct sq_network_place {
    const struct sq_links_entry *entry;
    const struct sq_route_interface *route; /* NULL: the interface was named, all peers count */
};

/*
 * Refuse with SQ_POLICY what the policy protects: an interface by any of its names, one that carries a
 * protected one's packets (from below, through all that is stacked, and through tunnels), one whose packets a
 * protected one carries; and peers all of whose range is protected. Adds the tunnels' ways to `links`. Tells
 * in the report of which protected tunnels nobody can tell by which interface their packets leave.
 */
int sq_network_check_policy(struct sq_netlink *netlink, struct sq_links *links,
                            const struct sq_network_selector *selector,
                            const struct sq_protection *protection, const struct sq_network_place *places,
                            uint32_t place_count, struct sq_fault_report *report, struct sq_error *error);

/* `allowed` of fault.h, for every network kind: by the undo record's interfaces and the order's peers. */
int sq_network_allowed(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                       const struct sq_undo *undo, const struct sq_protection *before,
                       struct sq_error *error);

#endif
