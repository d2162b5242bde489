/*
 * process.kill: send a signal to processes, and watch whether their service comes back. Nothing can undo it,
 * so the undo record only tells a later reader who was meant; what is left to revert is nothing.
 */
#include "faults/fault.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/sample.h"
#include "common/text.h"
#include "common/units.h"
#include "faults/process_select.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define KILL_LAYOUT      1
#define VICTIMS_MAX      256
#define RETURNED_MAX     256
#define SPARED_LINES_MAX 8
#define VICTIM_LINES_MAX 8 /* with all other lines of this fault within SQ_LINES_MAX */
#define SCAN_EVERY_NS    (100 * SQ_NS_PER_MILLISECOND)

/* The undo record. Victims as parallel arrays, without padding, so that VICTIMS_MAX of them fit. */
struct kill_record {
    struct sq_process_pattern pattern;
    uint32_t signal;
    uint32_t matched; /* processes that matched, those that were spared included */
    uint32_t spared;
    uint32_t victim_count;
    uint64_t start_ticks[VICTIMS_MAX];
    uint32_t pid[VICTIMS_MAX];
    char comm[VICTIMS_MAX][SQ_COMM_MAX];
};
_Static_assert(sizeof(struct kill_record) <= SQ_UNDO_BYTES_MAX, "the undo record fits");

enum victim_phase {
    VICTIM_NEW = 0,
    VICTIM_READY,     /* its pidfd is open */
    VICTIM_GONE,      /* it had exited, or become another program, before anything was sent */
    VICTIM_SIGNALLED, /* and still running when last looked at */
    VICTIM_ENDED,
    VICTIM_FAILED /* the kernel refused the signal */
};

struct victim {
    enum victim_phase phase;
    bool has_pidfd;
    int pidfd;
    struct sq_process_file file; /* what it ran when it was prepared */
};

struct kill_state {
    bool is_over; /* cleaned: nothing is sent any more */
    bool injected;
    uint64_t injected_boot_ns;
    uint64_t scanned_boot_ns;
    uint32_t matching_now;
    uint32_t returned_count;
    struct sq_process_id returned[RETURNED_MAX]; /* by start time */
    struct victim victims[VICTIMS_MAX];
};

struct candidate {
    uint64_t rank;
    struct sq_process process;
};

/* A look at the whole host. */
struct survey {
    struct sq_process_pattern pattern;
    struct sq_process_guard guard;
    struct sq_fault_report *report;
    uint64_t seed;
    uint32_t seen;
    uint32_t by_executable;
    uint32_t by_comm;
    uint32_t by_command_line;
    uint32_t unreadable;
    uint32_t matched;
    uint32_t spared;
    char spared_why[120]; /* of the first that was spared */
    bool out_of_memory;
    size_t count;
    size_t capacity;
    struct candidate *candidates;
};

static void survey_cleanup(struct survey *survey)
{
    free(survey->candidates);
}

static struct sq_process_id victim_id(const struct kill_record *record, uint32_t i)
{
    return (struct sq_process_id){.pid = (pid_t)record->pid[i], .start_ticks = record->start_ticks[i]};
}

/* The record, if `undo` holds one that this version wrote. */
static const struct kill_record *kill_record(const struct sq_undo *undo)
{
    const struct kill_record *record = (const void *)undo->bytes;
    if (undo->kind != SQ_PROCESS_KILL || undo->layout != KILL_LAYOUT || undo->size != sizeof *record ||
        record->victim_count > VICTIMS_MAX)
        return NULL;
    return record;
}

static int kill_able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    return sq_process_check_host(error);
}

static bool add_candidate(struct survey *survey, const struct sq_process *process)
{
    if (survey->count == survey->capacity) {
        size_t capacity = survey->capacity == 0 ? 64 : survey->capacity * 2;
        struct candidate *larger = reallocarray(survey->candidates, capacity, sizeof *larger);
        if (larger == NULL)
            return false;
        survey->candidates = larger;
        survey->capacity = capacity;
    }
    /* pid and start time: the same victims in the plan and in the run, as long as the host stays as it is. */
    char name[64];
    (void)snprintf(name, sizeof name, "%d:%" PRIu64, (int)process->id.pid, process->id.start_ticks);
    survey->candidates[survey->count++] =
        (struct candidate){.rank = sq_sample_rank(survey->seed, name), .process = *process};
    return true;
}

static void note_spared(struct survey *survey, const struct sq_process *process, const char *why)
{
    survey->spared++;
    if (survey->spared == 1)
        (void)snprintf(survey->spared_why, sizeof survey->spared_why, "%.40s[%d]: %.70s", process->comm,
                       (int)process->id.pid, why);
    if (survey->spared <= SPARED_LINES_MAX)
        sq_report_line(survey->report, SQ_LINE_SPARES, "%s[%d]: %s", process->comm, (int)process->id.pid,
                       why);
}

static bool survey_visit(const struct sq_process *process, void *cookie)
{
    struct survey *survey = cookie;
    struct sq_process_verdict verdict;
    char why[160];
    survey->seen++;
    bool matches = sq_process_matches(&survey->pattern, process, &verdict);
    survey->by_executable += verdict.executable;
    survey->by_comm += verdict.comm;
    survey->by_command_line += verdict.command_line;
    survey->unreadable += verdict.unreadable;
    if (!matches)
        return true;
    if (!sq_process_is_spared(&survey->guard, process, why, sizeof why)) {
        survey->matched++;
        survey->out_of_memory = !add_candidate(survey, process);
        return !survey->out_of_memory;
    }
    struct sq_process again;
    if (sq_process_read(process->id.pid, &again) != 0 || again.is_dead)
        return true; /* it exited meanwhile */
    survey->matched++;
    note_spared(survey, process, why);
    return true;
}

static int compare_rank(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->process.id.pid < y->process.id.pid ? -1 : x->process.id.pid > y->process.id.pid;
}

static int compare_pid(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    return x->process.id.pid < y->process.id.pid ? -1 : x->process.id.pid > y->process.id.pid;
}

/* Says which part of the selector found nobody. */
static int fail_nobody(const struct survey *survey, struct sq_error *error)
{
    if (survey->matched == 1)
        return sq_fail(error, SQ_NOBODY, "one process matches, and it is spared (%s)", survey->spared_why);
    if (survey->matched > 1)
        return sq_fail(error, SQ_NOBODY, "%u processes match, and all of them are spared (the first: %s)",
                       survey->matched, survey->spared_why);
    const struct sq_process_selector *selector = &survey->pattern.selector;
    char parts[400] = "";
    if (selector->executable[0] != '\0')
        sq_text_append(parts, sizeof parts, ", %u run %.100s%s", survey->by_executable, selector->executable,
                       access(selector->executable, F_OK) == 0 ? "" : " (no such file here)");
    if (selector->comm[0] != '\0')
        sq_text_append(parts, sizeof parts, ", %u have the comm '%s'", survey->by_comm, selector->comm);
    if (selector->command_line[0] != '\0')
        sq_text_append(parts, sizeof parts, ", %u match the command line '%.100s'", survey->by_command_line,
                       selector->command_line);
    if (survey->unreadable > 0)
        sq_text_append(parts, sizeof parts, ", %u could not be read (is CAP_SYS_PTRACE missing?)",
                       survey->unreadable);
    return sq_fail(error, SQ_NOBODY, "no process matches: of %u looked at%s", survey->seen, parts);
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

static void describe_victim(const struct candidate *candidate, struct sq_fault_report *report)
{
    const struct sq_process *process = &candidate->process;
    char executable[PATH_MAX];
    if (sq_process_executable(process->id.pid, executable, sizeof executable) != 0)
        (void)sq_text_copy(executable, sizeof executable, "?");
    char since[SQ_TIMESTAMP_MAX];
    uint64_t age_ns = sq_ns_sub(sq_boot_ns(), sq_process_start_boot_ns(&process->id));
    sq_timestamp_format(sq_ns_sub(sq_real_ns(), age_ns), since);
    /* Whole seconds: the two clocks cannot be read at one moment, and a plan should read the same each time.
     */
    since[strcspn(since, ".")] = '\0';
    sq_report_line(report, SQ_LINE_TOUCHES, "%s[%d] %.120s, since %sZ", process->comm, (int)process->id.pid,
                   executable, since);
}

static void fill_record(struct kill_record *record, const struct survey *survey,
                        const struct sq_process_kill *kill, size_t victims)
{
    memset(record, 0, sizeof *record);
    record->pattern = survey->pattern;
    record->signal = kill->signal;
    record->matched = survey->matched;
    record->spared = survey->spared;
    record->victim_count = (uint32_t)victims;
    for (size_t i = 0; i < victims; i++) {
        const struct sq_process *process = &survey->candidates[i].process;
        record->pid[i] = (uint32_t)process->id.pid;
        record->start_ticks[i] = process->id.start_ticks;
        (void)sq_text_copy(record->comm[i], SQ_COMM_MAX, process->comm);
    }
}

static int kill_preview(const struct sq_fault_order *order, const struct sq_fault_env *env,
                        struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error)
{
    const struct sq_process_kill *kill = &order->spec.kill;
    sq_auto(survey_cleanup) struct survey survey = {.report = report, .seed = kill->seed};
    sq_process_pattern_init(&survey.pattern, &kill->selector);
    sq_process_guard_init(&survey.guard, env);
    if (sq_process_each(survey_visit, &survey, error) != 0)
        return -1;
    if (survey.out_of_memory)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    if (survey.count == 0)
        return fail_nobody(&survey, error);

    size_t victims = wanted_count(kill, survey.count);
    if (victims > VICTIMS_MAX)
        return sq_fail(
            error, SQ_LIMIT,
            "%zu processes would be signalled, and at most %d can be; narrow the selector, or give 'count' "
            "or 'percent'",
            victims, VICTIMS_MAX);
    if (survey.spared > SPARED_LINES_MAX)
        sq_report_line(report, SQ_LINE_SPARES, "%u more", survey.spared - SPARED_LINES_MAX);
    if (kill->count > victims)
        sq_report_line(report, SQ_LINE_WARNING, "%u asked for, but only %zu can be hit", kill->count,
                       victims);
    qsort(survey.candidates, survey.count, sizeof survey.candidates[0], compare_rank);
    qsort(survey.candidates, victims, sizeof survey.candidates[0], compare_pid);
    for (size_t i = 0; i < victims; i++)
        describe_victim(&survey.candidates[i], report);
    sq_report_count(report, "matched-before", survey.matched);
    *undo =
        (struct sq_undo){.kind = SQ_PROCESS_KILL, .layout = KILL_LAYOUT, .size = sizeof(struct kill_record)};
    fill_record((void *)undo->bytes, &survey, kill, victims);
    return 0;
}

/*
 * Open one victim and look at it once more: it may have exited, its pid may be another's, it may have become
 * another program. Sets its phase; -1 if it is there and must or can not be signalled.
 */
static int prepare_victim(struct victim *victim, const struct kill_record *record, uint32_t i,
                          const struct sq_process_guard *guard, struct sq_error *error)
{
    struct sq_process_id id = victim_id(record, i);
    struct sq_process process;
    char why[160];
    victim->phase = VICTIM_GONE;
    int pidfd = sq_process_open(&id);
    if (pidfd < 0 && errno == ESRCH)
        return 0;
    if (pidfd < 0)
        return sq_fail_errno(error, errno, "cannot open %s[%d]", record->comm[i], (int)id.pid);
    victim->pidfd = pidfd;
    victim->has_pidfd = true;
    if (sq_process_read(id.pid, &process) != 0 || !sq_process_matches(&record->pattern, &process, NULL) ||
        sq_process_file(id.pid, &victim->file) != 0)
        return 0;
    if (sq_process_is_spared(guard, &process, why, sizeof why))
        return sq_fail(error, SQ_POLICY, "%s[%d] must be left alone by now: %s", record->comm[i], (int)id.pid,
                       why);
    if (sq_process_signal(pidfd, 0) == 0)
        victim->phase = VICTIM_READY;
    else if (errno != ESRCH)
        return sq_fail(error, SQ_UNABLE, "%s[%d] cannot be signalled: %s; is CAP_KILL missing?",
                       record->comm[i], (int)id.pid, strerrordesc_np(errno));
    return 0;
}

static int kill_prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                        struct sq_undo *undo, struct sq_error *error)
{
    (void)order;
    struct kill_state *kill = state;
    const struct kill_record *record = kill_record(undo);
    if (record == NULL)
        return sq_fail(error, SQ_INTERNAL, "process.kill was given no record of its own");
    struct sq_process_guard guard;
    sq_process_guard_init(&guard, env);
    uint32_t ready = 0;
    for (uint32_t i = 0; i < record->victim_count; i++) {
        if (prepare_victim(&kill->victims[i], record, i, &guard, error) != 0)
            return -1;
        ready += kill->victims[i].phase == VICTIM_READY;
    }
    if (ready == 0)
        return sq_fail(error, SQ_NOBODY, "all %u processes that were chosen have exited since",
                       record->victim_count);
    return 0;
}

/* A process that has become another program since it was prepared is not the one that was chosen. */
static bool still_runs_its_file(const struct victim *victim, pid_t pid)
{
    struct sq_process_file file;
    return sq_process_file(pid, &file) == 0 && file.device == victim->file.device &&
           file.inode == victim->file.inode;
}

static int kill_inject(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                       struct sq_error *error)
{
    struct kill_state *kill = state;
    const struct kill_record *record = kill_record(undo);
    if (record == NULL)
        return sq_fail(error, SQ_INTERNAL, "process.kill was given no record of its own");
    if (kill->injected)
        return 0;
    uint64_t now_ns = sq_boot_ns();
    if (kill->is_over || (deadline_boot_ns != 0 && now_ns >= deadline_boot_ns))
        return sq_fail(error, SQ_STALE,
                       "it is too late to send the signal: the lease or the duration is over");
    kill->injected = true;
    kill->injected_boot_ns = now_ns;
    uint32_t refused = 0;
    int reason = 0;
    for (uint32_t i = 0; i < record->victim_count; i++) {
        struct victim *victim = &kill->victims[i];
        if (victim->phase != VICTIM_READY)
            continue;
        victim->phase = VICTIM_GONE;
        if (!still_runs_its_file(victim, (pid_t)record->pid[i]))
            continue;
        if (sq_process_signal(victim->pidfd, (int)record->signal) == 0) {
            victim->phase = VICTIM_SIGNALLED;
        } else if (errno != ESRCH) {
            reason = errno;
            victim->phase = VICTIM_FAILED;
            refused++;
        }
    }
    if (refused > 0)
        return sq_fail_errno(error, reason, "%u of %u processes could not be signalled", refused,
                             record->victim_count);
    return 0;
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

static int kill_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    (void)undo;
    (void)error;
    /* What was prepared and not yet sent is never sent any more. */
    if (state != NULL)
        ((struct kill_state *)state)->is_over = true;
    return 0;
}

/* A pidfd is readable once its process has ended. */
static void look_at_victims(struct kill_state *kill, const struct kill_record *record)
{
    struct pollfd polled[VICTIMS_MAX];
    uint32_t count = record->victim_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct victim *victim = &kill->victims[i];
        polled[i] =
            (struct pollfd){.fd = victim->phase == VICTIM_SIGNALLED ? victim->pidfd : -1, .events = POLLIN};
    }
    if (poll(polled, count, 0) <= 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        if ((polled[i].revents & POLLIN) != 0)
            kill->victims[i].phase = VICTIM_ENDED;
}

struct scan {
    struct kill_state *kill;
    const struct kill_record *record;
    uint64_t since_ticks;
    uint32_t matching;
};

static bool same_process(const struct sq_process_id *a, const struct sq_process_id *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static bool is_victim(const struct kill_record *record, const struct sq_process_id *id)
{
    for (uint32_t i = 0; i < record->victim_count; i++) {
        struct sq_process_id victim = victim_id(record, i);
        if (same_process(&victim, id))
            return true;
    }
    return false;
}

/* Insert by start time, once; when full, the earliest are the ones that matter. */
static void add_returned(struct kill_state *kill, const struct sq_process_id *id)
{
    uint32_t at = kill->returned_count;
    for (uint32_t i = 0; i < kill->returned_count; i++)
        if (same_process(&kill->returned[i], id))
            return;
    if (kill->returned_count == RETURNED_MAX)
        return;
    for (; at > 0 && kill->returned[at - 1].start_ticks > id->start_ticks; at--)
        kill->returned[at] = kill->returned[at - 1];
    kill->returned[at] = *id;
    kill->returned_count++;
}

static bool scan_visit(const struct sq_process *process, void *cookie)
{
    struct scan *scan = cookie;
    if (process->is_kernel_thread || !sq_process_matches(&scan->record->pattern, process, NULL))
        return true;
    scan->matching++;
    /* A restart can come within the very tick of the kill; the victims themselves are known by name. */
    if (process->id.start_ticks >= scan->since_ticks && !is_victim(scan->record, &process->id))
        add_returned(scan->kill, &process->id);
    return true;
}

static void look_for_returned(struct kill_state *kill, const struct kill_record *record)
{
    uint64_t now_ns = sq_boot_ns();
    if (kill->scanned_boot_ns != 0 && now_ns - kill->scanned_boot_ns < SCAN_EVERY_NS)
        return;
    struct scan scan = {
        .kill = kill, .record = record, .since_ticks = kill->injected_boot_ns / sq_process_tick_ns()};
    if (sq_process_each(scan_visit, &scan, NULL) != 0)
        return;
    kill->scanned_boot_ns = now_ns;
    kill->matching_now = scan.matching;
}

/*
 * Notes are written anew each time, so that "has not come back yet" does not outlive its truth. The preview
 * may have filled every line with victims: the first few of them stay, to make room for what became of them.
 */
static void drop_notes(struct sq_fault_report *report)
{
    uint32_t kept = 0;
    uint32_t touches = 0;
    for (uint32_t i = 0; i < report->line_count; i++) {
        enum sq_line_kind kind = report->lines[i].kind;
        if (kind == SQ_LINE_NOTE)
            continue;
        if (kind == SQ_LINE_TOUCHES && ++touches > VICTIM_LINES_MAX) {
            report->lines_dropped++;
            continue;
        }
        report->lines[kept++] = report->lines[i];
    }
    report->line_count = kept;
}

static void format_return(const struct kill_state *kill, uint32_t i, char *text, size_t size)
{
    const struct sq_process_id *id = &kill->returned[i];
    uint64_t tick_ns = sq_process_tick_ns();
    /* A start time is cut to its tick: the middle of the tick is the best guess. */
    uint64_t started_ns = sq_ns_add(sq_process_start_boot_ns(id), tick_ns / 2);
    uint64_t after_ns = sq_ns_sub(started_ns, kill->injected_boot_ns);
    char after[SQ_UNIT_TEXT_MAX];
    if (after_ns < tick_ns)
        (void)snprintf(after, sizeof after, "less than %ums",
                       (unsigned)(sq_process_tick_ns() / SQ_NS_PER_MILLISECOND));
    else
        sq_duration_format_rounded(after_ns, after);
    (void)snprintf(text, size, "back as pid %d after %s", (int)id->pid, after);
}

static const char *sent_word(const struct kill_record *record)
{
    return record->signal == 9 ? "killed" : "ended";
}

/* One line per victim; `ended` counts those that ended so far, each of which is paired with one new process.
 */
static void report_victim(const struct kill_state *kill, const struct kill_record *record, uint32_t i,
                          uint32_t *ended, struct sq_fault_report *report)
{
    char name[64];
    char back[80];
    const char *signal_name = sq_signal_name(record->signal);
    (void)snprintf(name, sizeof name, "%s[%u]", record->comm[i], record->pid[i]);
    switch (kill->victims[i].phase) {
    case VICTIM_GONE:
        sq_report_line(report, SQ_LINE_NOTE, "%s was gone before the signal was sent", name);
        break;
    case VICTIM_SIGNALLED:
        sq_report_line(report, SQ_LINE_NOTE, "%s got SIG%s and is still running", name, signal_name);
        break;
    case VICTIM_FAILED:
        sq_report_line(report, SQ_LINE_NOTE, "%s could not be signalled", name);
        break;
    case VICTIM_ENDED:
        if (*ended < kill->returned_count) {
            format_return(kill, *ended, back, sizeof back);
            sq_report_line(report, SQ_LINE_NOTE, "%s %s; %s", name, sent_word(record), back);
        } else {
            sq_report_line(report, SQ_LINE_NOTE, "%s %s; has not come back yet", name, sent_word(record));
        }
        (*ended)++;
        break;
    default:
        break;
    }
}

static void report_victims(const struct kill_state *kill, const struct kill_record *record,
                           uint32_t ended_count, struct sq_fault_report *report)
{
    uint32_t returned = kill->returned_count < ended_count ? kill->returned_count : ended_count;
    char last[80];
    if (record->victim_count > 1 && returned > 0) {
        format_return(kill, returned - 1, last, sizeof last);
        sq_report_line(report, SQ_LINE_NOTE, "%u of %u came back, the last: %s", returned, ended_count, last);
    }
    uint32_t ended = 0;
    for (uint32_t i = 0; i < record->victim_count && i < VICTIM_LINES_MAX; i++)
        report_victim(kill, record, i, &ended, report);
    if (record->victim_count > VICTIM_LINES_MAX)
        sq_report_line(report, SQ_LINE_NOTE, "%u more processes were chosen; the counters count them",
                       record->victim_count - VICTIM_LINES_MAX);
    if (ended_count > 0 && kill->returned_count > ended_count)
        sq_report_line(report, SQ_LINE_NOTE, "%u further matching processes have started since",
                       kill->returned_count - ended_count);
}

static void kill_status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    struct kill_state *kill = state;
    const struct kill_record *record = kill_record(undo);
    if (record == NULL)
        return;
    sq_report_count(report, "matched-before", record->matched);
    if (kill == NULL || kill->injected_boot_ns == 0)
        return;
    look_at_victims(kill, record);
    look_for_returned(kill, record);
    uint32_t phases[VICTIM_FAILED + 1] = {0};
    for (uint32_t i = 0; i < record->victim_count; i++)
        phases[kill->victims[i].phase]++;
    uint32_t ended = phases[VICTIM_ENDED];
    sq_report_count(report, "signalled", ended + phases[VICTIM_SIGNALLED]);
    sq_report_count(report, "killed", ended);
    sq_report_count(report, "matching-now", kill->matching_now);
    sq_report_count(report, "came-back", kill->returned_count < ended ? kill->returned_count : ended);
    report->touched = ended + phases[VICTIM_SIGNALLED] > 0;
    drop_notes(report);
    report_victims(kill, record, ended, report);
}

/* For a reader after a crash: who was meant, and whether they are still there. Nobody knows if anything was
 * sent. */
static void report_recovered(const struct kill_record *record, struct sq_fault_report *report)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < record->victim_count; i++) {
        struct sq_process process;
        bool is_there = sq_process_read((pid_t)record->pid[i], &process) == 0 && !process.is_dead &&
                        process.id.start_ticks == record->start_ticks[i];
        alive += is_there;
        if (i < SPARED_LINES_MAX)
            sq_report_line(report, SQ_LINE_NOTE,
                           "%s[%u] was chosen for SIG%s by an earlier life of the agent; it %s",
                           record->comm[i], record->pid[i], sq_signal_name(record->signal),
                           is_there ? "is still running" : "is gone");
    }
    sq_report_count(report, "chosen", record->victim_count);
    sq_report_count(report, "still-running", alive);
}

static int kill_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                       struct sq_error *error)
{
    (void)error;
    struct kill_state *kill = state;
    const struct kill_record *record = kill_record(undo);
    report->proof = SQ_PROOF_PROVED; /* squall made nothing here, so nothing of it can be left */
    if (record == NULL) {
        sq_report_line(report, SQ_LINE_NOTE,
                       "a process.kill of another version of squall; there is nothing to undo");
        return 0;
    }
    if (kill == NULL) {
        drop_notes(report);
        report_recovered(record, report);
    } else if (kill->injected_boot_ns != 0) {
        kill->scanned_boot_ns = 0;
        kill_status(state, undo, report);
        sq_report_line(report, SQ_LINE_NOTE, "nothing can undo a signal, and nothing else was changed");
    }
    return 0;
}

static void kill_release(void *state)
{
    struct kill_state *kill = state;
    for (uint32_t i = 0; i < VICTIMS_MAX; i++) {
        if (kill->victims[i].has_pidfd)
            (void)close(kill->victims[i].pidfd);
        kill->victims[i].has_pidfd = false;
    }
}

/* One for each victim. */
static uint32_t kill_descriptors(const struct sq_undo *undo)
{
    const struct kill_record *record = kill_record(undo);
    return SQ_FAULT_DESCRIPTORS + (record == NULL ? 0 : record->victim_count);
}

const struct sq_fault_ops sq_process_kill_ops = {
    .kind = SQ_PROCESS_KILL,
    .state_size = sizeof(struct kill_state),
    .able = kill_able,
    .preview = kill_preview,
    .descriptors = kill_descriptors,
    .prepare = kill_prepare,
    .inject = kill_inject,
    .renew = kill_renew,
    .clean = kill_clean,
    .remove = kill_remove,
    .status = kill_status,
    .release = kill_release,
};
