#include "faults/network_detour.h"

#include "kernel/link.h"
#include "kernel/netfilter.h"

#include "common/clock.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *side_text(enum sq_tc_side side)
{
    return side == SQ_TC_IN ? "in" : "out";
}

/* By the alias, `ip link` tells whose it is: squall/EXPERIMENT/SLOT/in */
static void make_alias(const struct sq_network_undo *record, enum sq_tc_side side, char alias[SQ_TC_NAME_MAX])
{
    (void)sq_text_copy(alias, SQ_TC_NAME_MAX, record->filter_name);
    sq_text_append(alias, SQ_TC_NAME_MAX, "/%s", side_text(side));
}

static int check_firewall(const struct sq_network_undo *record, struct sq_error *error)
{
    if (!sq_network_undo_uses(record, SQ_TC_IN))
        return 0;
    for (uint32_t i = 0; i < record->interface_count; i++)
        if (sq_netfilter_check_ingress(record->interfaces[i].name, error) != 0)
            return -1;
    return 0;
}

void sq_network_detours_queues(enum sq_direction direction, uint64_t longest_delay_ns,
                               struct sq_fault_queues *queues)
{
    queues->count = direction == SQ_DIRECTION_BOTH ? 2 : 1;
    queues->packets = sq_netem_wanted(longest_delay_ns);
}

uint32_t sq_network_detours_limit(const struct sq_fault_env *env, const struct sq_network_undo *record)
{
    uint64_t wanted = sq_netem_wanted(record->longest_delay_ns);
    uint32_t most = env->queue_packets_most;
    if (most == 0) {
        struct sq_netem_wish wish = {.packets = wanted};
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
            wish.queues += sq_network_undo_uses(record, side);
        most = sq_netem_share(&wish, 1, sq_netem_memory_bytes());
    }
    return wanted < most ? (uint32_t)wanted : most;
}

static void tell_limit(const struct sq_network_undo *record, enum sq_tc_side side,
                       const struct sq_netem *netem, struct sq_fault_report *report)
{
    uint64_t longest_ns = record->longest_delay_ns;
    if (longest_ns == 0)
        sq_report_line(report, SQ_LINE_NOTE, "packets %s pass through %s", side_text(side),
                       record->detours[side].name);
    else
        sq_report_line(report, SQ_LINE_NOTE,
                       "packets %s wait in %s, at most %u of them: more than %.0f in a second are lost",
                       side_text(side), record->detours[side].name, netem->limit,
                       (double)netem->limit / ((double)longest_ns / (double)SQ_NS_PER_SECOND));
}

static int expect_loading(struct sq_netlink *netlink, struct sq_network_undo *record,
                          struct sq_fault_report *report, struct sq_error *error)
{
    int result = sq_ifb_expect_loading(netlink, &record->loading);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot list the network interfaces");
    if (record->loading.stage == SQ_IFB_WILL_LOAD && !sq_ifb_loads_here())
        sq_report_line(
            report, SQ_LINE_WARNING,
            "loading ifb makes ifb0 and ifb1 in the machine's first network namespace, where squalld "
            "cannot remove them; 'modprobe ifb numifbs=0' beforehand makes none");
    return 0;
}

int sq_network_detours_preview(const struct sq_fault_env *env, struct sq_netem *netem,
                               struct sq_network_undo *record, struct sq_fault_report *report,
                               struct sq_error *error)
{
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (check_firewall(record, error) != 0 || sq_netlink_open(&netlink, error) != 0)
        return -1;
    if (expect_loading(&netlink, record, report, error) != 0)
        return -1;
    record->longest_delay_ns = netem->delay_ns + netem->jitter_ns;
    netem->limit = sq_network_detours_limit(env, record);
    if (netem->limit < SQ_NETEM_PACKETS_MIN)
        return sq_fail(
            error, SQ_LIMIT,
            "all queues of the request together may hold an eighth of this host's memory, which is "
            "%u packets for each: too few (%d are the least); delay in fewer faults at a time",
            netem->limit, SQ_NETEM_PACKETS_MIN);
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        if (!sq_network_undo_uses(record, side))
            continue;
        if (sq_ifb_choose(&netlink, &env->experiment, env->slot, side, &record->detours[side], error) != 0)
            return -1;
        tell_limit(record, side, netem, report);
    }
    return 0;
}

/* ifb0 and ifb1 came with the first of squall's own, if the module was not there before. */
static int note_loading(struct sq_netlink *netlink, const struct sq_fault_env *env,
                        struct sq_network_undo *record, struct sq_undo *undo, struct sq_error *error)
{
    if (record->loading.stage != SQ_IFB_WILL_LOAD)
        return 0;
    int result = sq_ifb_note_loading(netlink, &record->loading);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot tell which interfaces came with the kernel module ifb");
    sq_network_undo_write(record, (enum sq_fault_kind)undo->kind, undo);
    return env->record == NULL ? 0 : env->record(env->cookie, undo, error);
}

int sq_network_detours_make(struct sq_netlink *netlink, const struct sq_fault_env *env,
                            struct sq_network_undo *record, const struct sq_netem *netem,
                            struct sq_undo *undo, struct sq_error *error)
{
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        const struct sq_ifb *ifb = &record->detours[side];
        char alias[SQ_TC_NAME_MAX];
        if (ifb->ifindex == 0)
            continue;
        make_alias(record, side, alias);
        if (sq_ifb_make(netlink, ifb, alias, error) != 0 ||
            note_loading(netlink, env, record, undo, error) != 0 ||
            sq_netem_add(netlink, ifb->ifindex, netem, error) != 0 || sq_ifb_start(netlink, ifb, error) != 0)
            return -1;
    }
    return 0;
}

static int check_detour(struct sq_netlink *netlink, const struct sq_network_undo *record,
                        enum sq_tc_side side, struct sq_error *error)
{
    const struct sq_ifb *ifb = &record->detours[side];
    char alias[SQ_TC_NAME_MAX];
    struct sq_link link = {.up = false};
    struct sq_netem_queue queue;
    make_alias(record, side, alias);
    int result = sq_ifb_find(netlink, ifb, alias);
    if (result == SQ_IFB_OURS)
        result = sq_link_by_index(netlink, ifb->ifindex, &link);
    else if (result == SQ_IFB_ABSENT || result == SQ_IFB_FOREIGN)
        result = -ENODEV;
    if (result == -ENODEV)
        return sq_fail(error, SQ_VANISHED,
                       "somebody took the interface %s away, through which packets %s were led", ifb->name,
                       side_text(side));
    if (result == 0 && !link.up)
        return sq_fail(error, SQ_VANISHED,
                       "somebody switched off the interface %s, through which packets %s are led", ifb->name,
                       side_text(side));
    if (result == 0)
        result = sq_netem_look(netlink, ifb->ifindex, &queue);
    if (result == -ENOENT)
        return sq_fail(error, SQ_VANISHED,
                       "somebody took the netem away from %s, through which packets %s are led", ifb->name,
                       side_text(side));
    return result == 0 ? 0 : sq_fail_errno(error, -result, "cannot look at the interface %s", ifb->name);
}

int sq_network_detours_check(struct sq_netlink *netlink, const struct sq_network_undo *record,
                             struct sq_error *error)
{
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        if (record->detours[side].ifindex != 0 && check_detour(netlink, record, side, error) != 0)
            return -1;
    return 0;
}

int sq_network_detours_count(struct sq_netlink *netlink, const struct sq_network_undo *record,
                             struct sq_network_detour_count *count)
{
    *count = (struct sq_network_detour_count){0};
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        struct sq_netem_queue queue = {0};
        if (record->detours[side].ifindex == 0)
            continue;
        int result = sq_netem_look(netlink, record->detours[side].ifindex, &queue);
        if (result != 0 && result != -ENOENT)
            return result;
        count->held += queue.held;
        count->lost[side] = queue.lost;
    }
    return 0;
}

uint64_t sq_network_detours_drain_ns(const struct sq_network_undo *record)
{
    uint64_t needed_ns = sq_ns_add(record->longest_delay_ns, SQ_DETOUR_DRAIN_EXTRA_NS);
    return needed_ns < SQ_DETOUR_DRAIN_MAX_NS ? needed_ns : SQ_DETOUR_DRAIN_MAX_NS;
}

void sq_network_detours_tell_lost(struct sq_netlink *netlink, const struct sq_network_undo *record,
                                  struct sq_fault_report *report)
{
    struct sq_network_detour_count count;
    if (sq_network_has_detour(record) && sq_network_detours_count(netlink, record, &count) == 0 &&
        count.held > 0)
        sq_report_line(report, SQ_LINE_WARNING,
                       "%u packets that were still delayed when the fault was removed are lost", count.held);
}

bool sq_network_has_detour(const struct sq_network_undo *record)
{
    return record->detours[SQ_TC_IN].ifindex != 0 || record->detours[SQ_TC_OUT].ifindex != 0;
}

static uint32_t remove_one(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           enum sq_tc_side side, bool expected, struct sq_fault_report *report, bool *differs)
{
    const struct sq_ifb *ifb = &record->detours[side];
    char alias[SQ_TC_NAME_MAX];
    make_alias(record, side, alias);
    int found = sq_ifb_find(netlink, ifb, alias);
    if (found == SQ_IFB_ABSENT) {
        *differs = *differs || expected;
        if (expected)
            sq_report_line(report, SQ_LINE_FOREIGN,
                           "somebody took the interface %s away: it is deleted, or in another network "
                           "namespace, alias %s",
                           ifb->name, alias);
        return 0;
    }
    if (found == SQ_IFB_FOREIGN) {
        *differs = true;
        sq_report_line(report, SQ_LINE_FOREIGN,
                       "interface number %u, where %s should be, is somebody else's; not touched",
                       ifb->ifindex, ifb->name);
        return 0;
    }
    int result = found == SQ_IFB_OURS ? sq_ifb_remove(netlink, ifb) : found;
    if (result == 0 || result == -ENODEV)
        return 0;
    sq_report_line(report, SQ_LINE_LEFT, "the interface %s (%s); finish with: ip link del %s", ifb->name,
                   strerror(-result), ifb->name);
    return 1;
}

static uint32_t remove_loaded(struct sq_netlink *netlink, const struct sq_network_undo *record,
                              struct sq_fault_report *report, bool *differs)
{
    struct sq_ifb_unloading unloading;
    sq_ifb_unload(netlink, &record->loading, &unloading);
    if (unloading.used > 0) {
        *differs = true;
        sq_report_line(report, SQ_LINE_FOREIGN,
                       "%s came with the kernel module ifb, and somebody uses it now; left to them",
                       unloading.name);
    }
    if (unloading.left > 0)
        sq_report_line(report, SQ_LINE_LEFT,
                       "%s, which came with the kernel module ifb (%s); finish with: ip link del %s",
                       unloading.name, strerror(-unloading.result), unloading.name);
    return unloading.left;
}

uint32_t sq_network_detours_remove(struct sq_netlink *netlink, const struct sq_network_undo *record,
                                   bool expected, struct sq_fault_report *report, bool *differs)
{
    uint32_t left = 0;
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        if (record->detours[side].ifindex != 0)
            left += remove_one(netlink, record, side, expected, report, differs);
    return left + remove_loaded(netlink, record, report, differs);
}
