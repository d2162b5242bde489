/* What a network fault will touch and spare, in words, for the plan. Shared by the network kinds. */
#ifndef SQ_FAULTS_NETWORK_TELL_H
#define SQ_FAULTS_NETWORK_TELL_H

#include "faults/fault.h"
#include "faults/network_policy.h"
#include "faults/network_undo.h"

#include "kernel/links.h"
#include "kernel/route.h"

/* What a preview has found out; all of it borrowed. */
struct sq_network_view {
    const struct sq_network_selector *selector;
    const struct sq_fault_env *env;
    const struct sq_network_undo *record;
    const struct sq_links *links;
    const struct sq_routes *routes;
    const struct sq_network_place *places;
    uint32_t place_count;
};

void sq_network_tell(const struct sq_network_view *view, struct sq_fault_report *report);

/* Which kernel modules preparing it would load: when the record knows its detours. */
void sq_network_tell_loading(const struct sq_network_undo *record, struct sq_fault_report *report);

/*
 * "10.0.0.0/24, 10.0.1.0/24 and 12 more"; `chosen` is a bit set over the ranges, or NULL for all of them.
 */
void sq_network_list_ranges(const struct sq_cidr *ranges, uint32_t count, const uint8_t *chosen, char *text,
                            size_t size);

/* A controller's address, an IPv4 one in IPv6 form (RFC 4291, 2.5.5.2) as what it is. */
struct sq_cidr sq_network_controller(const struct sq_spared *spared);

#endif
