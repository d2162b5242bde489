#include "faults/network_undo.h"

#include "faults/network_detour.h"

#include "kernel/link.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct sq_network_undo) <= SQ_UNDO_BYTES_MAX,
               "the record has to fit into the undo log");

void sq_network_undo_write(const struct sq_network_undo *record, enum sq_fault_kind kind,
                           struct sq_undo *undo)
{
    memset(undo, 0, sizeof *undo);
    undo->kind = kind;
    undo->layout = SQ_NETWORK_UNDO_LAYOUT;
    undo->size = sizeof *record;
    memcpy(undo->bytes, record, sizeof *record);
}

int sq_network_undo_read(const struct sq_undo *undo, struct sq_network_undo *record, struct sq_error *error)
{
    if (undo->layout != SQ_NETWORK_UNDO_LAYOUT || undo->size != sizeof *record)
        return sq_fail(
            error, SQ_UNCLEAN,
            "the undo record of a network fault has layout %u and %u bytes, which this squalld does not "
            "know; undo it with the version that wrote it, or look for 'squall/' in 'tc filter show'",
            undo->layout, undo->size);
    memcpy(record, undo->bytes, sizeof *record);
    bool valid = record->interface_count <= SQ_NETWORK_INTERFACES_MAX &&
                 record->direction >= SQ_DIRECTION_IN && record->direction <= SQ_DIRECTION_BOTH &&
                 sq_text_is_terminated(record->filter_name, sizeof record->filter_name);
    for (enum sq_tc_side side = SQ_TC_IN; valid && side < SQ_TC_SIDES; side++)
        valid = sq_text_is_terminated(record->detours[side].name, sizeof record->detours[side].name);
    for (uint32_t i = 0; valid && i < record->interface_count; i++)
        valid = sq_text_is_terminated(record->interfaces[i].name, sizeof record->interfaces[i].name);
    if (!valid)
        return sq_fail(
            error, SQ_UNCLEAN,
            "the undo record of a network fault is damaged; look for 'squall/' in 'tc filter show'");
    return 0;
}

bool sq_network_undo_uses(const struct sq_network_undo *record, enum sq_tc_side side)
{
    return (record->direction & (side == SQ_TC_IN ? SQ_DIRECTION_IN : SQ_DIRECTION_OUT)) != 0;
}

struct sq_tc_place sq_network_undo_place(const struct sq_network_undo *record, uint32_t interface,
                                         enum sq_tc_side side)
{
    return (struct sq_tc_place){
        .ifindex = record->interfaces[interface].ifindex,
        .side = side,
        .preference = record->preference,
        .handle = record->handle,
    };
}

void sq_network_undo_filter_name(const struct sq_network_undo *record, uint32_t interface,
                                 char name[SQ_TC_NAME_MAX])
{
    (void)sq_text_copy(name, SQ_TC_NAME_MAX, record->filter_name);
    if (record->interfaces[interface].makes_clsact != 0)
        sq_text_append(name, SQ_TC_NAME_MAX, SQ_TC_NAME_MADE);
}

bool sq_network_undo_is_here(const struct sq_network_undo *record)
{
    return record->netns_inode == sq_netns_inode();
}

static int fail_elsewhere(const struct sq_network_undo *record, struct sq_error *error)
{
    return sq_fail(
        error, SQ_UNCLEAN,
        "the fault was made in another network namespace (net:[%llu], this is net:[%llu]); run 'squalld "
        "--recover' there. It ends by itself at its deadline",
        (unsigned long long)record->netns_inode, (unsigned long long)sq_netns_inode());
}

/* The same filter as a person would remove it. */
static void by_hand(const struct sq_network_undo_interface *interface, const struct sq_tc_place *place,
                    char *text, size_t size)
{
    text[0] = '\0';
    sq_text_append(text, size, "tc filter del dev %s %s pref %u handle 0x%x bpf", interface->name,
                   sq_tc_side_name(place->side), place->preference, place->handle);
}

int sq_network_undo_clean(struct sq_netlink *netlink, const struct sq_network_undo *record,
                          struct sq_error *error)
{
    if (!sq_network_undo_is_here(record))
        return fail_elsewhere(record, error);
    int result = 0;
    for (uint32_t i = 0; i < record->interface_count; i++) {
        char name[SQ_TC_NAME_MAX];
        sq_network_undo_filter_name(record, i, name);
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
            if (!sq_network_undo_uses(record, side))
                continue;
            struct sq_tc_place place = sq_network_undo_place(record, i, side);
            int removed = sq_tc_remove_filter(netlink, &place, name);
            if (removed == 0 || removed == -ENOENT)
                continue;
            char command[120];
            by_hand(&record->interfaces[i], &place, command, sizeof command);
            result = sq_fail(error, SQ_UNCLEAN, "a filter could not be removed (%s); try: %s",
                             strerror(-removed), command);
        }
    }
    return result;
}

/* What is being found out while a fault is removed. */
struct removal {
    struct sq_netlink *netlink;
    const struct sq_network_undo *record;
    struct sq_fault_report *report;
    uint32_t left;
    uint32_t unseen; /* what could not be compared */
    bool differs;
};

static void remove_filters(struct removal *removal, uint32_t i)
{
    const struct sq_network_undo_interface *interface = &removal->record->interfaces[i];
    char name[SQ_TC_NAME_MAX];
    sq_network_undo_filter_name(removal->record, i, name);
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        if (!sq_network_undo_uses(removal->record, side))
            continue;
        struct sq_tc_place place = sq_network_undo_place(removal->record, i, side);
        int result = sq_tc_remove_filter(removal->netlink, &place, name);
        if (result == 0 || result == -ENOENT)
            continue;
        char command[120];
        by_hand(interface, &place, command, sizeof command);
        removal->left++;
        sq_report_line(removal->report, SQ_LINE_LEFT, "%s: a filter (%s); finish with: %s", interface->name,
                       strerror(-result), command);
    }
}

static void leave_clsact(struct removal *removal, const char *interface, int result)
{
    removal->left++;
    sq_report_line(removal->report, SQ_LINE_LEFT,
                   "%s: the clsact (%s); finish with: tc qdisc del dev %s clsact", interface,
                   strerror(-result), interface);
}

static void remove_clsact(struct removal *removal, const struct sq_network_undo_interface *interface)
{
    struct sq_tc_clsact clsact;
    struct sq_tc_tenants tenants;
    int result = sq_tc_find_clsact(removal->netlink, interface->ifindex, &clsact);
    if (result == 0 && interface->makes_clsact == 0) {
        if (!clsact.present && (interface->before.had_clsact != 0)) {
            removal->differs = true;
            sq_report_line(removal->report, SQ_LINE_FOREIGN, "%s: the clsact that was there before is gone",
                           interface->name);
        }
        return;
    }
    if (result == 0 && (!clsact.present || clsact.ingress_only))
        return;
    if (result == 0)
        result = sq_tc_count_tenants(removal->netlink, interface->ifindex, &tenants);
    if (result != 0) {
        leave_clsact(removal, interface->name, result);
        return;
    }
    if (tenants.ours > 0)
        return; /* the last fault on this interface takes it away */
    if (tenants.foreign > 0 || clsact.shared_block[SQ_TC_IN] != 0 || clsact.shared_block[SQ_TC_OUT] != 0) {
        removal->differs = true;
        sq_report_line(removal->report, SQ_LINE_FOREIGN,
                       "%s: foreign filters came to the clsact that squall made; it is left to them",
                       interface->name);
        return;
    }
    result = sq_tc_remove_clsact(removal->netlink, interface->ifindex);
    if (result != 0 && result != -ENOENT && result != -EINVAL && result != -ENODEV)
        leave_clsact(removal, interface->name, result);
}

static void compare(struct removal *removal, const struct sq_network_undo_interface *interface)
{
    struct sq_tc_snapshot now;
    int result = sq_tc_take_snapshot(removal->netlink, interface->ifindex, &now);
    if (result != 0) {
        removal->unseen++;
        sq_report_line(removal->report, SQ_LINE_WARNING,
                       "%s: cannot be compared with what it was before (%s)", interface->name,
                       strerror(-result));
        return;
    }
    for (int part = 0; part < SQ_TC_PARTS; part++) {
        const struct sq_tc_digest *before = &interface->before.parts[part];
        if (now.parts[part].hash == before->hash && now.parts[part].count == before->count)
            continue;
        removal->differs = true;
        sq_report_line(removal->report, SQ_LINE_FOREIGN,
                       "%s: somebody else changed the %s meanwhile (%u before, %u now); not touched",
                       interface->name, sq_tc_part_name((enum sq_tc_part)part), before->count,
                       now.parts[part].count);
    }
}

/*
 * Packets still on a detour need the filters when they come back, and what is sent on a detour that is gone
 * would be dropped.
 */
static void remove_all(struct removal *removal, uint64_t drain_ns)
{
    const struct sq_network_undo *record = removal->record;
    bool here[SQ_NETWORK_INTERFACES_MAX] = {false};
    sq_network_detours_drain(removal->netlink, record, drain_ns, removal->report);
    for (uint32_t i = 0; i < record->interface_count; i++) {
        struct sq_link link;
        here[i] = sq_link_by_index(removal->netlink, record->interfaces[i].ifindex, &link) != -ENODEV;
        if (here[i])
            remove_filters(removal, i);
        else
            sq_report_line(removal->report, SQ_LINE_NOTE,
                           "%s: the interface is gone, and all that hung on it", record->interfaces[i].name);
    }
    removal->left += sq_network_detours_remove(removal->netlink, record, removal->report, &removal->differs);
    for (uint32_t i = 0; i < record->interface_count; i++) {
        if (!here[i])
            continue;
        remove_clsact(removal, &record->interfaces[i]);
        compare(removal, &record->interfaces[i]);
    }
}

int sq_network_undo_remove(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           uint64_t drain_ns, struct sq_fault_report *report, struct sq_error *error)
{
    report->proof = SQ_PROOF_NONE;
    if (!sq_network_undo_is_here(record)) {
        (void)fail_elsewhere(record, error);
        report->proof = SQ_PROOF_LEFT;
        sq_report_line(report, SQ_LINE_LEFT,
                       "filters '%s' in another network namespace; run 'squalld --recover' there",
                       record->filter_name);
        return -1;
    }
    struct removal removal = {.netlink = netlink, .record = record, .report = report};
    remove_all(&removal, drain_ns);
    if (removal.left > 0) {
        report->proof = SQ_PROOF_LEFT;
        return sq_fail(error, SQ_UNCLEAN,
                       "%u things that squall made could not be removed; the report names them",
                       removal.left);
    }
    if (removal.unseen > 0)
        return sq_fail(error, SQ_UNCLEAN,
                       "all is removed, but what was there before could not be looked at again");
    report->proof = removal.differs ? SQ_PROOF_CHANGED : SQ_PROOF_PROVED;
    return 0;
}
