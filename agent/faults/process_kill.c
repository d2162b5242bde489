/*
 * process.kill: send a signal to processes, and watch whether their service comes back. Nothing can undo it,
 * so the undo record only tells a later reader who was meant; what is left to revert is nothing.
 */
#include "faults/process_kill.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/sample.h"
#include "common/text.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KILL_LAYOUT   1
#define SETTLE_MAX_NS (2 * SQ_NS_PER_SECOND) /* for a last look at a host with very many processes */

/* Too large for the stack, and there is one thread. */
static struct sq_process_guard guard;
static struct sq_process_view view;

/* The record, if `undo` holds one that this version wrote. */
static const struct sq_kill_record *kill_record(const struct sq_undo *undo)
{
    const struct sq_kill_record *record = (const void *)undo->bytes;
    if (undo->kind != SQ_PROCESS_KILL || undo->layout != KILL_LAYOUT || undo->size != sizeof *record ||
        record->victim_count > SQ_VICTIMS_MAX)
        return NULL;
    return record;
}

static int kill_able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    return sq_process_check_host(error);
}

static int compare_rank(const void *a, const void *b)
{
    const struct sq_process_candidate *x = a;
    const struct sq_process_candidate *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->id.pid < y->id.pid ? -1 : x->id.pid > y->id.pid;
}

static int compare_pid(const void *a, const void *b)
{
    const struct sq_process_candidate *x = a;
    const struct sq_process_candidate *y = b;
    return x->id.pid < y->id.pid ? -1 : x->id.pid > y->id.pid;
}

/* How many of the candidates are wanted. Percentages are of those that may be hit. */
static size_t wanted_count(const struct sq_process_kill *kill, size_t candidates)
{
    if (kill->count != 0)
        return kill->count < candidates ? kill->count : candidates;
    if (kill->percent > 0)
        return sq_sample_share(kill->percent, candidates);
    return candidates;
}

static void describe_victim(const struct sq_process_candidate *victim, struct sq_fault_report *report)
{
    char executable[PATH_MAX];
    if (sq_process_executable(SQ_PROC_PATH, victim->id.pid, executable, sizeof executable) != 0)
        (void)sq_text_copy(executable, sizeof executable, "?");
    char since[SQ_TIMESTAMP_MAX];
    uint64_t age_ns = sq_ns_sub(sq_boot_ns(), sq_process_start_boot_ns(&victim->id));
    sq_timestamp_format(sq_ns_sub(sq_real_ns(), age_ns), since);
    /* Whole seconds: the two clocks cannot be read at one moment, and a plan should read the same each time.
     */
    since[strcspn(since, ".")] = '\0';
    sq_report_line(report, SQ_LINE_TOUCHES, "%s[%d] %.120s, since %sZ", victim->comm, (int)victim->id.pid,
                   executable, since);
}

static void describe_spared(const struct sq_process_survey *survey, struct sq_fault_report *report)
{
    for (uint32_t i = 0; i < survey->spared && i < SQ_SPARED_LINES_MAX; i++)
        sq_report_line(report, SQ_LINE_SPARES, "%s", survey->spared_lines[i]);
    if (survey->spared > SQ_SPARED_LINES_MAX)
        sq_report_line(report, SQ_LINE_SPARES, "%u more", survey->spared - SQ_SPARED_LINES_MAX);
}

static void fill_record(struct sq_kill_record *record, const struct sq_process_survey *survey,
                        uint32_t signal, const struct sq_process_candidate *victims, size_t count)
{
    memset(record, 0, sizeof *record);
    record->pattern = survey->pattern;
    record->signal = signal;
    record->matched = survey->matched;
    record->spared = survey->spared;
    record->victim_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        record->pid[i] = (uint32_t)victims[i].id.pid;
        record->start_ticks[i] = victims[i].id.start_ticks;
        (void)sq_text_copy(record->comm[i], SQ_COMM_MAX, victims[i].comm);
    }
}

static int kill_preview(const struct sq_fault_order *order, const struct sq_fault_env *env,
                        struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error)
{
    const struct sq_process_kill *kill = &order->spec.kill;
    const struct sq_process_survey *survey = NULL;
    if (sq_process_survey(order, env, &survey, error) != 0)
        return -1;
    describe_spared(survey, report);
    uint32_t hittable = survey->matched - survey->spared;
    if (hittable == 0)
        return sq_process_survey_fail(survey, error);
    size_t count = wanted_count(kill, hittable);
    if (count > SQ_VICTIMS_MAX)
        return sq_fail(
            error, SQ_LIMIT,
            "%zu processes would be signalled, and at most %d can be; narrow the selector, or give 'count' "
            "or 'percent'",
            count, SQ_VICTIMS_MAX);
    if (kill->count > count)
        sq_report_line(report, SQ_LINE_WARNING, "%u asked for, but only %zu can be hit", kill->count, count);
    struct sq_process_candidate victims[SQ_VICTIMS_MAX];
    memcpy(victims, survey->candidates, survey->count * sizeof victims[0]);
    qsort(victims, survey->count, sizeof victims[0], compare_rank);
    qsort(victims, count, sizeof victims[0], compare_pid);
    for (size_t i = 0; i < count; i++)
        describe_victim(&victims[i], report);
    sq_report_count(report, "matched-before", survey->matched);
    *undo = (struct sq_undo){
        .kind = SQ_PROCESS_KILL, .layout = KILL_LAYOUT, .size = sizeof(struct sq_kill_record)};
    fill_record((void *)undo->bytes, survey, kill->signal, victims, count);
    return 0;
}

/* Of a process on its way out nothing can be read, so it looks like one to be left alone; but it is gone. */
static bool is_alive(const struct sq_kill_record *record, uint32_t i)
{
    const struct sq_process_id id = sq_kill_victim_id(record, i);
    struct sq_process process;
    return sq_process_read(id.pid, &process) == 0 && !process.is_exiting &&
           process.id.start_ticks == id.start_ticks;
}

/* Also false for one that is gone. */
static bool must_be_left_alone(const struct sq_kill_record *record, uint32_t i, char *why, size_t size)
{
    return sq_process_is_spared(&guard, &view, why, size) && is_alive(record, i);
}

/*
 * Open one victim and look at it once more: it may have exited, its pid may be another's, it may have become
 * another program. Sets its phase; -1 if it is there and must or can not be signalled.
 */
static int prepare_victim(struct sq_victim *victim, const struct sq_kill_record *record, uint32_t i,
                          struct sq_error *error)
{
    struct sq_process_id id = sq_kill_victim_id(record, i);
    char why[160];
    victim->phase = SQ_VICTIM_GONE;
    int pidfd = sq_process_open(&id);
    if (pidfd < 0 && errno == ESRCH)
        return 0;
    if (pidfd < 0)
        return sq_fail_errno(error, errno, "cannot open %s[%d]", record->comm[i], (int)id.pid);
    victim->pidfd = pidfd;
    victim->has_pidfd = true;
    sq_process_view_begin(&view, SQ_PROC_PATH, id.pid);
    if (!sq_process_matches(&record->pattern, &view) || !sq_process_view_has(&view, SQ_PART_FILE))
        return 0;
    victim->file = view.file;
    if (must_be_left_alone(record, i, why, sizeof why))
        return sq_fail(error, SQ_POLICY, "%s[%d] must be left alone by now: %s", record->comm[i], (int)id.pid,
                       why);
    if (sq_process_signal(pidfd, 0) == 0)
        victim->phase = SQ_VICTIM_READY;
    else if (errno != ESRCH)
        return sq_fail(error, SQ_UNABLE, "%s[%d] cannot be signalled: %s; is CAP_KILL missing?",
                       record->comm[i], (int)id.pid, strerrordesc_np(errno));
    return 0;
}

static int kill_prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                        struct sq_undo *undo, struct sq_error *error)
{
    (void)order;
    struct sq_kill_state *kill = state;
    const struct sq_kill_record *record = kill_record(undo);
    if (record == NULL)
        return sq_fail(error, SQ_INTERNAL, "process.kill was given no record of its own");
    kill->env = *env;
    kill->record = record;
    sq_process_guard_init(&guard, env);
    uint32_t ready = 0;
    for (uint32_t i = 0; i < record->victim_count; i++) {
        if (prepare_victim(&kill->victims[i], record, i, error) != 0)
            return -1;
        ready += kill->victims[i].phase == SQ_VICTIM_READY;
    }
    if (ready == 0)
        return sq_fail(error, SQ_NOBODY, "all %u processes that were chosen have exited since",
                       record->victim_count);
    return 0;
}

/*
 * The policy may have been read again since, and a file may have been renamed. This takes longer than to send
 * signals, so it comes before them all.
 */
static int spare_victims(struct sq_kill_state *kill, struct sq_error *error)
{
    char why[160] = "";
    uint32_t ready = 0;
    uint32_t spared = 0;
    sq_process_guard_init(&guard, &kill->env);
    for (uint32_t i = 0; i < kill->record->victim_count; i++) {
        struct sq_victim *victim = &kill->victims[i];
        if (victim->phase != SQ_VICTIM_READY)
            continue;
        sq_process_view_begin(&view, SQ_PROC_PATH, (pid_t)kill->record->pid[i]);
        if (sq_process_is_spared(&guard, &view, why, sizeof why))
            victim->phase = is_alive(kill->record, i) ? SQ_VICTIM_SPARED : SQ_VICTIM_GONE;
        ready += victim->phase == SQ_VICTIM_READY;
        spared += victim->phase == SQ_VICTIM_SPARED;
    }
    if (ready > 0 || spared == 0)
        return 0;
    return sq_fail(error, SQ_POLICY, "all %u processes that were chosen must be left alone by now (%s)",
                   spared, why);
}

/* A process that has become another program since it was prepared is not the one that was chosen. */
static bool still_runs_its_file(const struct sq_victim *victim, pid_t pid)
{
    struct sq_process_file file;
    return sq_process_file(SQ_PROC_PATH, pid, &file) == 0 && sq_process_file_is(&file, &victim->file);
}

/* One of those that were chosen is protected by now: the kill that was previewed is not to be had any more.
 */
static int kill_allowed(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                        const struct sq_undo *undo, const struct sq_protection *before,
                        struct sq_error *error)
{
    (void)order;
    (void)undo;
    (void)before;
    const struct sq_kill_state *kill = state;
    char why[160];
    if (kill->record == NULL || kill->injected)
        return 0;
    sq_process_guard_init(&guard, env);
    for (uint32_t i = 0; i < kill->record->victim_count; i++) {
        const struct sq_victim *victim = &kill->victims[i];
        pid_t pid = (pid_t)kill->record->pid[i];
        if (victim->phase != SQ_VICTIM_READY || !still_runs_its_file(victim, pid))
            continue;
        sq_process_view_begin(&view, SQ_PROC_PATH, pid);
        if (must_be_left_alone(kill->record, i, why, sizeof why))
            return sq_fail(error, SQ_POLICY, "%s[%d] was chosen, and must be left alone now: %s",
                           kill->record->comm[i], (int)pid, why);
    }
    return 0;
}

static int send_signals(struct sq_kill_state *kill, struct sq_error *error)
{
    const struct sq_kill_record *record = kill->record;
    uint32_t refused = 0;
    int reason = 0;
    for (uint32_t i = 0; i < record->victim_count; i++) {
        struct sq_victim *victim = &kill->victims[i];
        if (victim->phase != SQ_VICTIM_READY)
            continue;
        victim->phase = SQ_VICTIM_GONE;
        if (!still_runs_its_file(victim, (pid_t)record->pid[i]))
            continue;
        if (sq_process_signal(victim->pidfd, (int)record->signal) == 0) {
            victim->phase = SQ_VICTIM_SIGNALLED;
        } else if (errno != ESRCH) {
            reason = errno;
            victim->phase = SQ_VICTIM_FAILED;
            refused++;
        }
    }
    if (refused > 0)
        return sq_fail_errno(error, reason, "%u of %u processes could not be signalled", refused,
                             record->victim_count);
    return 0;
}

static bool same_process(const struct sq_process_id *a, const struct sq_process_id *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static bool is_victim(const struct sq_kill_record *record, const struct sq_process_id *id)
{
    for (uint32_t i = 0; i < record->victim_count; i++) {
        struct sq_process_id victim = sq_kill_victim_id(record, i);
        if (same_process(&victim, id))
            return true;
    }
    return false;
}

/* Insert by start time, once; when full, the earliest are the ones that matter. */
static void add_returned(struct sq_kill_state *kill, const struct sq_process_id *id)
{
    uint32_t at = kill->returned_count;
    for (uint32_t i = 0; i < kill->returned_count; i++)
        if (same_process(&kill->returned[i], id))
            return;
    if (kill->returned_count == SQ_RETURNED_MAX)
        return;
    for (; at > 0 && kill->returned[at - 1].start_ticks > id->start_ticks; at--)
        kill->returned[at] = kill->returned[at - 1];
    kill->returned[at] = *id;
    kill->returned_count++;
}

static void see(const struct sq_process *process, void *cookie)
{
    struct sq_kill_state *kill = cookie;
    /* A restart can come within the very tick of the kill; the victims themselves are known by name. */
    if (process->id.start_ticks >= kill->injected_boot_ns / sq_process_tick_ns() &&
        !is_victim(kill->record, &process->id))
        add_returned(kill, &process->id);
}

static int kill_inject(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                       struct sq_error *error)
{
    struct sq_kill_state *kill = state;
    if (kill_record(undo) == NULL || kill->record == NULL)
        return sq_fail(error, SQ_INTERNAL, "process.kill was given no record of its own");
    if (kill->injected)
        return 0;
    if (spare_victims(kill, error) != 0)
        return -1;
    uint64_t now_ns = sq_boot_ns();
    if (kill->is_over || (deadline_boot_ns != 0 && now_ns >= deadline_boot_ns))
        return sq_fail(error, SQ_STALE,
                       "it is too late to send the signal: the lease or the duration is over");
    kill->injected = true;
    kill->injected_boot_ns = now_ns;
    kill->watch = (struct sq_process_watch){.pattern = &kill->record->pattern, .seen = see, .cookie = kill};
    sq_process_scan_watch(&kill->watch);
    return send_signals(kill, error);
}

static int kill_renew(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                      struct sq_error *error)
{
    (void)state;
    (void)undo;
    (void)deadline_boot_ns;
    (void)error;
    return 0;
}

static uint64_t kill_attend(void *state, const struct sq_undo *undo, uint64_t now_boot_ns)
{
    (void)state;
    (void)undo;
    return sq_process_scan_attend(now_boot_ns);
}

static int kill_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    (void)undo;
    (void)error;
    struct sq_kill_state *kill = state;
    /* What was prepared and not yet sent is never sent any more. */
    if (kill != NULL && !kill->is_over) {
        kill->is_over = true;
        kill->clean_boot_ns = sq_boot_ns();
    }
    return 0;
}

/* The report is to say what is so at the end: that is a whole look at the host from there on. */
static uint64_t kill_settle(void *state, const struct sq_undo *undo)
{
    (void)undo;
    const struct sq_kill_state *kill = state;
    uint64_t now_ns = sq_boot_ns();
    if (kill == NULL || !kill->injected || kill->watch.began_boot_ns >= kill->clean_boot_ns ||
        now_ns >= sq_ns_add(kill->clean_boot_ns, SETTLE_MAX_NS))
        return 0;
    uint64_t next_ns = sq_process_scan_hurry(now_ns);
    return kill->watch.began_boot_ns >= kill->clean_boot_ns ? 0 : next_ns;
}

/* A pidfd is readable once its process has ended. */
static void look_at_victims(struct sq_kill_state *kill, const struct sq_kill_record *record)
{
    struct pollfd polled[SQ_VICTIMS_MAX];
    uint32_t count = record->victim_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct sq_victim *victim = &kill->victims[i];
        polled[i] = (struct pollfd){.fd = victim->phase == SQ_VICTIM_SIGNALLED ? victim->pidfd : -1,
                                    .events = POLLIN};
    }
    if (poll(polled, count, 0) <= 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        if ((polled[i].revents & POLLIN) != 0)
            kill->victims[i].phase = SQ_VICTIM_ENDED;
}

static void kill_status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    struct sq_kill_state *kill = state;
    const struct sq_kill_record *record = kill_record(undo);
    if (record == NULL)
        return;
    sq_report_count(report, "matched-before", record->matched);
    if (kill == NULL || !kill->injected)
        return;
    look_at_victims(kill, record);
    sq_kill_report(kill, record, report);
}

static int kill_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                       struct sq_error *error)
{
    (void)error;
    struct sq_kill_state *kill = state;
    const struct sq_kill_record *record = kill_record(undo);
    report->proof = SQ_PROOF_PROVED; /* squall made nothing here, so nothing of it can be left */
    if (record == NULL) {
        sq_report_line(report, SQ_LINE_NOTE,
                       "a process.kill of another version of squall; there is nothing to undo");
        return 0;
    }
    if (kill == NULL) {
        sq_kill_report_recovered(record, report);
    } else if (kill->injected) {
        /* For whoever did not wait for it to settle, as much of a look as a moment allows. */
        if (kill->watch.began_boot_ns < kill->clean_boot_ns)
            (void)sq_process_scan_hurry(sq_boot_ns());
        kill_status(state, undo, report);
        sq_report_line(report, SQ_LINE_NOTE, "nothing can undo a signal, and nothing else was changed");
    }
    return 0;
}

static void kill_release(void *state)
{
    struct sq_kill_state *kill = state;
    sq_process_scan_leave(&kill->watch);
    for (uint32_t i = 0; i < SQ_VICTIMS_MAX; i++) {
        if (kill->victims[i].has_pidfd)
            (void)close(kill->victims[i].pidfd);
        kill->victims[i].has_pidfd = false;
    }
}

/* One for each victim. */
static uint32_t kill_descriptors(const struct sq_undo *undo)
{
    const struct sq_kill_record *record = kill_record(undo);
    return SQ_FAULT_DESCRIPTORS + (record == NULL ? 0 : record->victim_count);
}

const struct sq_fault_ops sq_process_kill_ops = {
    .kind = SQ_PROCESS_KILL,
    .state_size = sizeof(struct sq_kill_state),
    .able = kill_able,
    .preview = kill_preview,
    .descriptors = kill_descriptors,
    .prepare = kill_prepare,
    .inject = kill_inject,
    .renew = kill_renew,
    .attend = kill_attend,
    .allowed = kill_allowed,
    .clean = kill_clean,
    .settle = kill_settle,
    .remove = kill_remove,
    .status = kill_status,
    .release = kill_release,
};
