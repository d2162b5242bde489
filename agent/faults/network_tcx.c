#include "faults/network_tcx.h"

#include "kernel/tcx.h"
#include "kernel/tcx_others.h"

#include "common/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

void sq_network_try_host(void)
{
    sq_tcx_try();
}

/* What the guard is forked with. */
struct errand {
    const struct sq_network_undo *record;
    int programs[SQ_TC_SIDES];
};

/* In the guard. What it opens stays open until it ends. */
static int attach_all(void *cookie, struct sq_error *error)
{
    const struct errand *errand = cookie;
    const struct sq_network_undo *record = errand->record;
    for (uint32_t i = 0; i < record->interface_count; i++) {
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
            if (!sq_network_undo_uses(record, side))
                continue;
            int link = sq_tcx_attach(errand->programs[side], record->interfaces[i].ifindex, side,
                                     record->preference - SQ_TC_PREFERENCE);
            if (link < 0)
                return sq_fail_errno(error, -link, "cannot attach a tcx program to %s",
                                     record->interfaces[i].name);
        }
    }
    return 0;
}

static int write_record(const struct sq_fault_env *env, const struct sq_network_undo *record,
                        struct sq_undo *undo, struct sq_error *error)
{
    sq_network_undo_write(record, (enum sq_fault_kind)undo->kind, undo);
    return env->record == NULL ? 0 : env->record(env->cookie, undo, error);
}

static int know_programs(struct sq_network_tcx *tcx, const struct errand *errand,
                         struct sq_network_undo *record, struct sq_error *error)
{
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        uint32_t id = sq_bpf_program_id(errand->programs[side]);
        if (id == 0)
            return sq_fail(error, SQ_SYSTEM, "the kernel does not tell a BPF program's number");
        if (sq_tcx_own_add(id, record->preference - SQ_TC_PREFERENCE, error) != 0)
            return -1;
        tcx->programs[side] = id;
        record->programs[side] = id;
    }
    return 0;
}

int sq_network_tcx_begin(struct sq_network_tcx *tcx, const struct sq_classifier *classifier,
                         const struct sq_fault_env *env, struct sq_network_undo *record, struct sq_undo *undo,
                         struct sq_error *error)
{
    struct errand errand = {
        .record = record,
        .programs = {[SQ_TC_IN] = sq_classifier_program_in(classifier),
                     [SQ_TC_OUT] = sq_classifier_program_out(classifier)},
    };
    const struct sq_guard_job job = {
        .name = SQ_TCX_GUARD_NAME,
        .way = SQ_GUARD_WITH_INJECTOR,
        .files = {errand.programs[SQ_TC_IN], errand.programs[SQ_TC_OUT]},
        .file_count = SQ_TC_SIDES,
        .set_up = attach_all,
        .cookie = &errand,
    };
    if (know_programs(tcx, &errand, record, error) != 0 || write_record(env, record, undo, error) != 0 ||
        sq_guard_start(&job, &tcx->guard, error) != 0)
        return -1;
    record->guard_pid = (uint32_t)tcx->guard.id.pid;
    record->guard_start_ticks = tcx->guard.id.start_ticks;
    if (write_record(env, record, undo, error) != 0)
        return -1;
    (void)sq_guard_go(&tcx->guard); /* one that is gone is noticed when it is asked whether it is ready */
    return 0;
}

int sq_network_tcx_prepared(struct sq_network_tcx *tcx, struct sq_error *error)
{
    return sq_guard_ready(&tcx->guard, error);
}

static bool is_foreign(uint32_t id)
{
    bool loses;
    return !sq_tcx_is_own(id) && !sq_tcx_is_others(id, &loses);
}

/*
 * Where the program stands among those of its side; -1: it does not. *foreign, unless that is NULL: no
 * squall's, in front.
 */
static int find_program(uint32_t ifindex, enum sq_tc_side side, uint32_t id, uint32_t *foreign)
{
    uint32_t ids[SQ_TCX_PROGRAMS_MAX];
    int count = sq_tcx_programs(ifindex, side == SQ_TC_OUT, ids, SQ_TCX_PROGRAMS_MAX);
    if (foreign != NULL)
        *foreign = 0;
    for (int i = 0; i < count && i < SQ_TCX_PROGRAMS_MAX; i++) {
        if (ids[i] == id)
            return i;
        if (foreign != NULL && *foreign == 0 && is_foreign(ids[i]))
            *foreign = ids[i];
    }
    return -1;
}

static int look_at(const struct sq_network_undo *record, uint32_t i, enum sq_tc_side side,
                   struct sq_error *error)
{
    uint32_t foreign;
    const char *name = record->interfaces[i].name;
    if (find_program(record->interfaces[i].ifindex, side, record->programs[side], &foreign) < 0)
        return sq_fail(error, SQ_VANISHED, "somebody took squall's tcx program away from the %s side of %s",
                       sq_tc_side_name(side), name);
    if (foreign == 0)
        return 0;
    return sq_fail(
        error, SQ_VANISHED,
        "the foreign tcx program with id %u came in front of squall's on the %s side of %s, and may "
        "keep packets from it",
        foreign, sq_tc_side_name(side), name);
}

int sq_network_tcx_look(struct sq_network_tcx *tcx, const struct sq_network_undo *record,
                        struct sq_error *error)
{
    if (tcx->is_ending) {
        if (tcx->last.code == SQ_OK)
            return 0;
        return sq_fail(error, tcx->last.code, "%s", tcx->last.text);
    }
    for (uint32_t i = 0; i < record->interface_count; i++)
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
            if (sq_network_undo_uses(record, side) && look_at(record, i, side, error) != 0)
                return -1;
    return 0;
}

static struct sq_process_id guard_id(const struct sq_network_undo *record)
{
    return (struct sq_process_id){.pid = (pid_t)record->guard_pid, .start_ticks = record->guard_start_ticks};
}

/* By pid and start time. What is left of a guard whose injector died is on its way out already. */
static void end_recorded(const struct sq_network_undo *record)
{
    const struct sq_process_id id = guard_id(record);
    int pidfd = id.pid > 0 ? sq_process_open(&id) : -1;
    if (pidfd < 0)
        return;
    (void)sq_process_signal(pidfd, SIGKILL);
    (void)close(pidfd);
}

void sq_network_tcx_end(struct sq_network_tcx *tcx, const struct sq_network_undo *record,
                        const struct sq_error *last)
{
    if (record->attachment != SQ_NETWORK_TCX)
        return;
    if (tcx == NULL) {
        /* Of another life of the agent, and still no stranger's. */
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
            if (record->programs[side] != 0 && !sq_tcx_is_own(record->programs[side]))
                (void)sq_tcx_own_add(record->programs[side], 0, NULL);
        end_recorded(record);
        return;
    }
    if (tcx->is_ending)
        return;
    tcx->last = *last;
    tcx->is_ending = true;
    sq_guard_end(&tcx->guard);
}

bool sq_network_tcx_is_attached(const struct sq_network_undo *record, uint32_t interface,
                                enum sq_tc_side side)
{
    return sq_network_undo_uses(record, side) && record->programs[side] != 0 &&
           find_program(record->interfaces[interface].ifindex, side, record->programs[side], NULL) >= 0;
}

bool sq_network_tcx_is_gone(struct sq_network_tcx *tcx, const struct sq_network_undo *record)
{
    if (record->attachment != SQ_NETWORK_TCX)
        return true;
    if (tcx != NULL)
        return sq_guard_is_gone(&tcx->guard);
    /* As long as it lives it may still be in the middle of attaching. */
    const struct sq_process_id guard = guard_id(record);
    if (sq_process_is_there(&guard))
        return false;
    for (uint32_t i = 0; i < record->interface_count; i++)
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
            if (sq_network_tcx_is_attached(record, i, side))
                return false;
    return true;
}

/* In its own network namespace, where it can be asked for, or gone with that. */
static bool is_seen_gone(const struct sq_network_undo *record)
{
    char path[SQ_PLACE_PATH_MAX];
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, NULL) != 0)
        return false;
    return sq_network_undo_is_here(&netlink, record) ? sq_network_tcx_is_gone(NULL, record)
                                                     : sq_place_find(&record->place, path) == SQ_PLACE_GONE;
}

int sq_network_tcx_clean(const struct sq_network_undo *record, struct sq_error *error)
{
    int result = 0;
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        int one = sq_classifier_switch_off(record->programs[side]);
        result = one != 0 ? one : result;
    }
    sq_network_tcx_end(NULL, record, NULL);
    if (result == 0 || is_seen_gone(record))
        return 0;
    return sq_fail(
        error, SQ_UNCLEAN,
        "tcx programs (ids %u and %u) may still drop packets until the lease ends, %llu s at most: "
        "process %u, which holds them, has not ended, and they cannot be switched off (%s)",
        record->programs[SQ_TC_IN], record->programs[SQ_TC_OUT],
        (unsigned long long)(SQ_LEASE_MAX_NS / SQ_NS_PER_SECOND), record->guard_pid, strerror(-result));
}

static void forget(const uint32_t programs[SQ_TC_SIDES])
{
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        sq_tcx_own_remove(programs[side]);
}

void sq_network_tcx_forget(const struct sq_network_undo *record)
{
    forget(record->programs);
}

void sq_network_tcx_release(struct sq_network_tcx *tcx)
{
    sq_guard_release(&tcx->guard);
    forget(tcx->programs);
}
