/* Taking a network fault away, from its record alone, and comparing the host with what was there before. */
#include "faults/network_detour.h"
#include "faults/network_tcx.h"
#include "faults/network_undo.h"

#include "kernel/link.h"

#include "common/clock.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* What is being found out. */
struct removal {
    struct sq_netlink *netlink;
    const struct sq_network_undo *record;
    struct sq_fault_report *report;
    uint32_t left;
    uint32_t unseen; /* what could not be compared */
    bool differs;
    bool stood; /* there were filters: with them whatever they led to, which is made before and goes after */
};

/* The guard that holds it was ended; its end takes a moment, and nobody waits for it here. */
static void tell_program(struct removal *removal, uint32_t i, enum sq_tc_side side)
{
    const struct sq_network_undo *record = removal->record;
    char applies[80] = "switched off";
    if (sq_classifier_switch_off(record->programs[side]) != 0)
        (void)snprintf(applies, sizeof applies, "which may DROP PACKETS until its lease ends, %llu s at most",
                       (unsigned long long)(SQ_LEASE_MAX_NS / SQ_NS_PER_SECOND));
    removal->left++;
    sq_report_line(removal->report, SQ_LINE_LEFT,
                   "%s: a tcx program (id %u, %s), %s; it goes with process %u; finish with: kill -KILL %u",
                   record->interfaces[i].name, record->programs[side], sq_tc_side_name(side), applies,
                   record->guard_pid, record->guard_pid);
}

static void remove_filters(struct removal *removal, uint32_t i)
{
    if (removal->record->attachment == SQ_NETWORK_TCX) {
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
            if (sq_network_tcx_is_attached(removal->record, i, side))
                tell_program(removal, i, side);
        return;
    }
    char name[SQ_TC_NAME_MAX];
    sq_network_undo_filter_name(removal->record, i, name);
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        if (!sq_network_undo_uses(removal->record, side))
            continue;
        struct sq_tc_place place = sq_network_undo_place(removal->record, i, side);
        int result = sq_tc_remove_filter(removal->netlink, &place, name);
        if (result == 0 || result == -ENOENT)
            continue;
        char command[SQ_NETWORK_COMMAND_MAX];
        sq_network_undo_by_hand(removal->record, i, side, command);
        removal->left++;
        sq_report_line(removal->report, SQ_LINE_LEFT, "%s: a filter (%s); finish with: %s",
                       removal->record->interfaces[i].name, strerror(-result), command);
    }
}

static void leave_clsact(struct removal *removal, const char *interface, int result)
{
    removal->left++;
    sq_report_line(removal->report, SQ_LINE_LEFT,
                   "%s: the clsact (%s); finish with: tc qdisc del dev %s clsact", interface,
                   strerror(-result), interface);
}

/* Whose clsact is it, when squall made one here? */
static void judge_clsact(struct removal *removal, uint32_t i, bool same,
                         const struct sq_network_survey *survey)
{
    const struct sq_network_undo_interface *interface = &removal->record->interfaces[i];
    bool alone = sq_network_survey_is_alone(survey);
    if (!survey->clsact.present || survey->clsact.ingress_only)
        return;
    if (survey->tenants.own < survey->tenants.ours) {
        if (survey->tenants.made_by_squall)
            return; /* the last fault on this interface takes it away */
        /* Another squalld came upon it before a filter had marked it, when this one had died just then. */
        removal->differs = true;
        sq_report_line(
            removal->report, SQ_LINE_FOREIGN,
            "%s: the filters on the clsact do not know it as squall's, and leave it there; when nobody "
            "needs it: tc qdisc del dev %s clsact",
            interface->name, interface->name);
        return;
    }
    if (!alone) {
        removal->differs = true;
        sq_report_line(removal->report, SQ_LINE_FOREIGN,
                       "%s: foreign filters came to the clsact that squall made; it is left to them",
                       interface->name);
        return;
    }
    if (survey->tenants.own == 0 && (interface->is_marked != 0 || !same)) {
        removal->differs = true;
        sq_report_line(
            removal->report, SQ_LINE_FOREIGN,
            "%s: squall's filter is gone from the clsact, which may be somebody else's by now; not "
            "touched. If nobody needs it: tc qdisc del dev %s clsact",
            interface->name, interface->name);
        return;
    }
    /* With the filters on it, so that no moment leaves a clsact of squall's without squall's mark. */
    int result = sq_tc_remove_clsact(removal->netlink, interface->ifindex);
    if (result != 0 && result != -ENOENT && result != -EINVAL && result != -ENODEV)
        leave_clsact(removal, interface->name, result);
}

static void remove_from_interface(struct removal *removal, uint32_t i, bool same)
{
    const struct sq_network_undo_interface *interface = &removal->record->interfaces[i];
    struct sq_network_survey survey;
    int result = sq_network_undo_survey(removal->netlink, removal->record, i, &survey);
    removal->stood = removal->stood || (result == 0 && survey.tenants.own > 0);
    if (result == 0 && interface->makes_clsact != 0)
        judge_clsact(removal, i, same, &survey);
    remove_filters(removal, i);
    if (result != 0 && interface->makes_clsact != 0)
        leave_clsact(removal, interface->name, result);
    if (result == 0 && interface->makes_clsact == 0 && interface->before.had_clsact != 0 &&
        !survey.clsact.present) {
        removal->differs = true;
        sq_report_line(removal->report, SQ_LINE_FOREIGN, "%s: the clsact that was there before is gone",
                       interface->name);
    }
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
        if ((interface->before.unknown >> part & 1) != 0 ||
            (now.parts[part].hash == before->hash && now.parts[part].count == before->count))
            continue;
        removal->differs = true;
        sq_report_line(removal->report, SQ_LINE_FOREIGN,
                       "%s: somebody else changed the %s meanwhile (%u before, %u now); not touched",
                       interface->name, sq_tc_part_name((enum sq_tc_part)part), before->count,
                       now.parts[part].count);
    }
}

/*
 * Is the interface that the fault was made on still there? An index is given again where somebody asks for
 * it, and an address may be changed: then nothing is touched that does not bear squall's mark.
 */
static bool is_here(struct removal *removal, uint32_t i, bool *same)
{
    const char *name = removal->record->interfaces[i].name;
    struct sq_link link;
    int result = sq_link_by_index(removal->netlink, removal->record->interfaces[i].ifindex, &link);
    if (result == -ENODEV) {
        removal->differs = true;
        sq_report_line(removal->report, SQ_LINE_FOREIGN,
                       "%s: the interface is gone, or in another network namespace, and all that hung on it",
                       name);
        return false;
    }
    *same = result == 0 && sq_network_undo_is_same(removal->record, i, &link);
    if (result == 0 && !*same) {
        removal->differs = true;
        sq_report_line(
            removal->report, SQ_LINE_FOREIGN,
            "%s: interface number %u, %s by now, has another address than it had: somebody changed it, "
            "or made it anew",
            name, link.ifindex, link.name);
    }
    return true;
}

/*
 * Packets still on a detour need the filters when they come back, and what is sent on a detour that is gone
 * would be dropped.
 */
static void remove_all(struct removal *removal)
{
    const struct sq_network_undo *record = removal->record;
    bool here[SQ_NETWORK_INTERFACES_MAX] = {false};
    sq_network_detours_tell_lost(removal->netlink, record, removal->report);
    removal->stood = sq_network_undo_was_standing(record);
    for (uint32_t i = 0; i < record->interface_count; i++) {
        bool same = false;
        here[i] = is_here(removal, i, &same);
        if (here[i])
            remove_from_interface(removal, i, same);
    }
    removal->left += sq_network_detours_remove(removal->netlink, record, removal->stood, removal->report,
                                               &removal->differs);
    for (uint32_t i = 0; i < record->interface_count; i++)
        if (here[i])
            compare(removal, &record->interfaces[i]);
}

static int remove_here(struct sq_netlink *netlink, const struct sq_network_undo *record,
                       struct sq_fault_report *report, struct sq_error *error)
{
    struct removal removal = {.netlink = netlink, .record = record, .report = report};
    remove_all(&removal);
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

/* What the process that goes elsewhere is given, and brings back: in memory that it shares. */
struct errand {
    struct sq_network_undo record;
    struct sq_fault_report report;
    struct sq_error error;
};

static int remove_there(void *cookie)
{
    struct errand *errand = cookie;
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, &errand->error) != 0 ||
        remove_here(&netlink, &errand->record, &errand->report, &errand->error) != 0)
        return 1;
    return 0;
}

static int clean_there(void *cookie)
{
    struct errand *errand = cookie;
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, &errand->error) != 0 ||
        sq_network_undo_clean(&netlink, &errand->record, &errand->error) != 0)
        return 1;
    return 0;
}

/* 0: done, 1: it could not be, and *error says why, -errno: nobody went there. */
static int go(const char *path, int (*work)(void *cookie), const struct sq_network_undo *record,
              struct sq_fault_report *report, struct sq_error *error)
{
    struct errand *errand =
        mmap(NULL, sizeof *errand, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (errand == MAP_FAILED)
        return -errno;
    errand->record = *record;
    if (report != NULL)
        errand->report = *report;
    int result = sq_place_enter(&record->place, path, work, errand);
    if (result == 1)
        *error = errand->error;
    if (report != NULL && result >= 0)
        *report = errand->report;
    (void)munmap(errand, sizeof *errand);
    return result;
}

static int tell_gone(struct sq_fault_report *report)
{
    report->proof = SQ_PROOF_CHANGED;
    sq_report_line(report, SQ_LINE_FOREIGN, "its network namespace is gone, and all that was in it");
    return 0;
}

static int remove_elsewhere(const struct sq_network_undo *record, struct sq_fault_report *report,
                            struct sq_error *error)
{
    char path[SQ_PLACE_PATH_MAX];
    enum sq_place_state state = sq_place_find(&record->place, path);
    int result = -EPERM;
    if (state == SQ_PLACE_GONE)
        return tell_gone(report);
    if (state == SQ_PLACE_THERE)
        result = go(path, remove_there, record, report, error);
    if (result == -ESTALE)
        return tell_gone(report);
    if (result >= 0) {
        sq_report_line(report, SQ_LINE_NOTE, "undone in its network namespace%s%s",
                       path[0] != '\0' ? ", " : "", path);
        return -result;
    }
    report->proof = SQ_PROOF_LEFT;
    if (path[0] != '\0')
        sq_report_line(report, SQ_LINE_LEFT,
                       "what it made in the network namespace %.100s (%s); finish with: nsenter --net=%.100s "
                       "squalld --recover",
                       path, strerror(-result), path);
    else
        sq_report_line(report, SQ_LINE_LEFT,
                       "what it made in the network namespace net:[%llu]; this squalld cannot see every "
                       "process, and so not who holds it; run 'squalld --recover' in it, or on the host",
                       (unsigned long long)record->place.netns_inode);
    return sq_fail(error, SQ_UNCLEAN,
                   "the fault was made in another network namespace (net:[%llu]); it ends by itself at its "
                   "deadline, and the report says how to remove the rest",
                   (unsigned long long)record->place.netns_inode);
}

int sq_network_undo_clean_elsewhere(const struct sq_network_undo *record, struct sq_error *error)
{
    char path[SQ_PLACE_PATH_MAX];
    enum sq_place_state state = sq_place_find(&record->place, path);
    int result = state == SQ_PLACE_GONE    ? 0
                 : state == SQ_PLACE_THERE ? go(path, clean_there, record, NULL, error)
                                           : -EPERM;
    if (result == 0 || result == -ESTALE)
        return 0;
    if (result == 1)
        return -1;
    return sq_fail(
        error, SQ_UNCLEAN,
        "the fault was made in another network namespace, net:[%llu]%s%s; it ends by itself at its "
        "deadline",
        (unsigned long long)record->place.netns_inode, path[0] != '\0' ? ", " : "", path);
}

int sq_network_undo_remove(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           struct sq_fault_report *report, struct sq_error *error)
{
    report->proof = SQ_PROOF_NONE;
    if (!sq_network_undo_is_here(netlink, record))
        return remove_elsewhere(record, report, error);
    return remove_here(netlink, record, report, error);
}
