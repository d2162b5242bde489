/* Is a network fault still in place, and in front? Only questions to the kernel; allocates nothing. */
#include "faults/network_detour.h"
#include "faults/network_fault.h"

#include "kernel/link.h"
#include "kernel/netfilter.h"
#include "kernel/tc_foreign.h"

#include <errno.h>
#include <string.h>

static int look_at_side(struct sq_network_state *network, const struct sq_network_undo *record, uint32_t i,
                        enum sq_tc_side side, struct sq_error *error)
{
    char name[SQ_TC_NAME_MAX];
    sq_network_undo_filter_name(record, i, name);
    struct sq_tc_place place = sq_network_undo_place(record, i, side);
    return sq_tc_check_own(&network->netlink, &place, name, network->program_ids[side],
                           record->interfaces[i].name, error);
}

/* What sees packets that come in before squall's programs do, or is gone past by those that were led away. */
static int look_beside(const struct sq_network_undo *record, uint32_t i, const struct sq_link *link,
                       struct sq_error *error)
{
    if (!sq_network_undo_uses(record, SQ_TC_IN))
        return 0;
    if (link->has_xdp && record->interfaces[i].had_xdp == 0)
        return sq_fail(error, SQ_VANISHED,
                       "an XDP program came to %s since the fault was prepared; it sees packets that come in "
                       "before squall's program does, and may keep them from it",
                       record->interfaces[i].name);
    return record->detours[SQ_TC_IN].ifindex == 0 ? 0 : sq_netfilter_look_at_ingress(link->name, error);
}

static int look_at_interface(struct sq_network_state *network, const struct sq_network_undo *record,
                             uint32_t i, struct sq_error *error)
{
    struct sq_link link;
    const char *name = record->interfaces[i].name;
    int result = sq_link_by_index(&network->netlink, record->interfaces[i].ifindex, &link);
    if (result == -ENODEV)
        return sq_fail(
            error, SQ_VANISHED,
            "somebody took the interface %s away, with squall's filters; one that was made anew is "
            "another one",
            name);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot look at the interface %s", name);
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES && record->attachment == SQ_NETWORK_CLSACT;
         side++)
        if (sq_network_undo_uses(record, side) && look_at_side(network, record, i, side, error) != 0)
            return -1;
    return look_beside(record, i, &link, error);
}

int sq_network_look(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_network_state *network = state;
    struct sq_network_undo record;
    if (network == NULL || !network->ready || network->classifier == NULL)
        return 0;
    if (sq_network_undo_read(undo, &record, error) != 0)
        return -1;
    /* What it says then is of the time before: the interfaces may have gone since. */
    if (network->tcx.is_ending)
        return sq_network_tcx_look(&network->tcx, &record, error);
    for (uint32_t i = 0; i < record.interface_count; i++)
        if (look_at_interface(network, &record, i, error) != 0)
            return -1;
    if (record.attachment == SQ_NETWORK_TCX)
        return sq_network_tcx_look(&network->tcx, &record, error);
    return sq_network_detours_check(&network->netlink, &record, error);
}
