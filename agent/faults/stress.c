#include "stress.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "kernel/host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LAYOUT          1
#define LAYOUT_GROUP    2                       /* with a control group of their own */
#define GONE_WITHIN_NS  (10 * SQ_NS_PER_SECOND) /* a process of many gigabytes takes its time */
#define SETTLE_FIRST_NS SQ_NS_PER_MILLISECOND   /* between two looks */
#define SETTLE_MOST_NS  (15 * SQ_NS_PER_MILLISECOND)
#define EARLY_LINES_MAX 4
/* The kernel's timer and the injector's own end a fault at the same moment: that is no early end. */
#define TIMELY_NS (50 * SQ_NS_PER_MILLISECOND)

_Static_assert(sizeof(struct sq_stress_record) + sizeof(struct sq_stress_group) <= SQ_UNDO_BYTES_MAX,
               "a record of all stressors and their group fits");

static int read_pid_namespace(uint64_t *inode, struct sq_error *error)
{
    struct stat status;
    if (stat("/proc/self/ns/pid", &status) != 0)
        return sq_fail_errno(error, errno, "cannot tell the pid namespace");
    *inode = (uint64_t)status.st_ino;
    return 0;
}

static uint32_t record_size(uint32_t count)
{
    return (uint32_t)(offsetof(struct sq_stress_record, entries) + count * sizeof(struct sq_stress_entry));
}

int sq_stress_record_make(struct sq_undo *undo, enum sq_fault_kind kind, uint32_t planned_count,
                          struct sq_error *error)
{
    struct sq_stress_record *record = (void *)undo->bytes;
    undo->kind = (uint32_t)kind;
    undo->layout = LAYOUT;
    undo->size = record_size(0);
    *record = (struct sq_stress_record){.planned_count = planned_count};
    return read_pid_namespace(&record->pid_namespace, error);
}

const struct sq_stress_record *sq_stress_record_read(const struct sq_undo *undo)
{
    const struct sq_stress_record *record = (const void *)undo->bytes;
    if ((undo->layout != LAYOUT && undo->layout != LAYOUT_GROUP) || undo->size < record_size(0) ||
        record->count > SQ_STRESSORS_MAX || undo->size < record_size(record->count))
        return NULL;
    if (undo->layout == LAYOUT_GROUP &&
        (record->planned_count > SQ_STRESSORS_MAX || record->count > record->planned_count ||
         undo->size != record_size(record->planned_count) + sizeof(struct sq_stress_group)))
        return NULL;
    return record;
}

static const struct sq_stress_group *read_group(const struct sq_undo *undo)
{
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL || undo->layout != LAYOUT_GROUP)
        return NULL;
    return (const void *)(undo->bytes + record_size(record->planned_count));
}

struct sq_stress_group *sq_stress_group_of(struct sq_undo *undo)
{
    return read_group(undo) == NULL ? NULL : (struct sq_stress_group *)(uintptr_t)read_group(undo);
}

void sq_stress_plan_group(struct sq_undo *undo, const struct sq_fault_env *env,
                          struct sq_fault_report *report)
{
    const struct sq_stress_record *record = (const void *)undo->bytes;
    struct sq_stress_group group;
    if (!sq_stress_group_plan(env, &group, report))
        return;
    undo->layout = LAYOUT_GROUP;
    undo->size = record_size(record->planned_count) + (uint32_t)sizeof group;
    memset(undo->bytes + record_size(0), 0, undo->size - record_size(0));
    memcpy(undo->bytes + record_size(record->planned_count), &group, sizeof group);
}

struct sq_stress_record *sq_stress_record_of(struct sq_undo *undo)
{
    return sq_stress_record_read(undo) == NULL ? NULL : (struct sq_stress_record *)(void *)undo->bytes;
}

static struct sq_process_id id_of(const struct sq_stress_entry *entry)
{
    return (struct sq_process_id){.pid = (pid_t)entry->pid, .start_ticks = entry->start_ticks};
}

/* One for each process. */
uint32_t sq_stress_descriptors(const struct sq_undo *undo)
{
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    return SQ_FAULT_DESCRIPTORS + (record == NULL ? 0 : record->planned_count);
}

/* ---- starting ---- */

static int start_all(struct sq_stress_state *state, struct sq_undo *undo, int ready_fd, int group_fd,
                     void (*job_of)(void *cookie, uint32_t i, struct sq_stressor_job *job), void *cookie,
                     const struct sq_fault_env *env, struct sq_error *error)
{
    struct sq_stress_record *record = sq_stress_record_of(undo);
    if (record == NULL)
        return sq_fail(error, SQ_INTERNAL, "the stress fault was given no record of its own");
    for (uint32_t i = 0; i < record->planned_count; i++) {
        struct sq_stressor_job job = {
            .uid = env->stressor_uid, .gid = env->stressor_gid, .core = -1, .group_fd = group_fd};
        struct sq_process_id id;
        job_of(cookie, i, &job);
        if (sq_stressor_start(&job, state->control, ready_fd, &id, &state->processes[i].pidfd, error) != 0)
            return -1;
        record->entries[i] = (struct sq_stress_entry){
            .pid = (uint32_t)id.pid, .start_ticks = id.start_ticks, .core = (uint32_t)job.core};
        record->count = i + 1;
        if (undo->layout == LAYOUT)
            undo->size = record_size(record->count);
        state->count = record->count;
    }
    return 0;
}

int sq_stress_prepare(struct sq_stress_state *state, const struct sq_fault_env *env, struct sq_undo *undo,
                      void (*job_of)(void *cookie, uint32_t i, struct sq_stressor_job *job), void *cookie,
                      struct sq_error *error)
{
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    struct sq_stress_group *group = sq_stress_group_of(undo);
    sq_autoclose int group_fd = -1;
    int ready[2];
    if (record == NULL || record->planned_count == 0 || record->planned_count > SQ_STRESSORS_MAX)
        return sq_fail(error, SQ_INTERNAL, "the stress fault was given no record of its own");
    state->oom_kills_before = sq_host_oom_kills();
    /* The log has its name since the preview. */
    if (group != NULL && sq_stress_group_make(group, &group_fd, error) != 0)
        return -1;
    state->control = sq_stressor_control_make();
    if (state->control == NULL || pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0)
        return sq_fail_errno(error, errno, "cannot prepare for stressors");
    state->ready_fd = ready[0];
    state->has_ready_fd = true;
    int result = start_all(state, undo, ready[1], group_fd, job_of, cookie, env, error);
    (void)close(ready[1]);
    if (result != 0)
        return -1;
    /* They wait; none of them works before the log knows it. */
    if (env->record != NULL && env->record(env->cookie, undo, error) != 0)
        return -1;
    return 0;
}

static void close_ready(struct sq_stress_state *state)
{
    if (state->has_ready_fd)
        (void)close(state->ready_fd);
    state->has_ready_fd = false;
}

int sq_stress_prepared(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_stress_state *stress = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL)
        return sq_fail(error, SQ_INTERNAL, "the stress fault was given no record of its own");
    if (!stress->has_ready_fd)
        return stress->ready_count == record->count;
    int result = sq_stressor_take_ready(stress->ready_fd, record->count, &stress->ready_count, error);
    if (result != 0)
        close_ready(stress);
    return result;
}

/* ---- watching ---- */

/* Of a child that was not reaped, so its pid is still its own. */
static uint64_t read_cpu_ns(pid_t pid, uint64_t otherwise_ns)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return otherwise_ns;
    return (uint64_t)time.tv_sec * SQ_NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static void reap(struct sq_stress_state *state, struct sq_stress_process *process, pid_t pid)
{
    struct rusage usage;
    int status = 0;
    pid_t got = wait4(pid, &status, WNOHANG, &usage);
    if (got == 0)
        return;
    process->is_reaped = true;
    if (got != pid)
        return;
    process->wait_status = status;
    uint64_t used_ns = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SQ_NS_PER_SECOND +
                       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
    if (used_ns > process->cpu_ns)
        process->cpu_ns = used_ns;
    bool in_time =
        state->deadline_boot_ns != 0 && sq_ns_add(sq_boot_ns(), TIMELY_NS) >= state->deadline_boot_ns;
    process->is_early = !state->is_over && !in_time;
    process->is_oom = process->is_early && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
                      sq_host_oom_kills() > state->oom_kills_before;
}

void sq_stress_look(struct sq_stress_state *state, const struct sq_stress_record *record)
{
    for (uint32_t i = 0; i < state->count; i++) {
        struct sq_stress_process *process = &state->processes[i];
        pid_t pid = (pid_t)record->entries[i].pid;
        if (process->is_reaped)
            continue;
        process->cpu_ns = read_cpu_ns(pid, process->cpu_ns);
        reap(state, process, pid);
    }
}

static const char *why_early(const struct sq_stress_state *state, const struct sq_stress_process *process)
{
    int status = process->wait_status;
    if (state->gave_way)
        return "was ended, because the agent's control group has no more memory (its MemoryMax= and "
               "MemoryHigh=)";
    if (process->is_oom)
        return "was ended by the kernel's OOM killer, it seems";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return "was killed, or missed the renewal of its lease";
    if (WIFSIGNALED(status))
        return strsignal(WTERMSIG(status));
    switch (WEXITSTATUS(status)) {
    case SQ_STRESSOR_NO_CORE:
        return "ended, because its core went offline";
    case SQ_STRESSOR_NO_TIMER:
        return "ended, because its timer could not be moved";
    case SQ_STRESSOR_NO_PARENT:
        return "ended, because it took the agent for dead";
    default:
        return "ended by itself";
    }
}

uint32_t sq_stress_report_early(const struct sq_stress_state *state, const struct sq_stress_record *record,
                                const char *name, struct sq_fault_report *report)
{
    uint32_t early = 0;
    for (uint32_t i = 0; i < state->count; i++) {
        if (!state->processes[i].is_early)
            continue;
        if (early++ < EARLY_LINES_MAX)
            sq_report_line(report, SQ_LINE_WARNING, "%s[%u] is gone before its time: it %s", name,
                           record->entries[i].pid, why_early(state, &state->processes[i]));
    }
    return early;
}

void sq_stress_begin_status(struct sq_stress_state *state, struct sq_fault_report *report)
{
    if (!state->has_lines)
        state->line_count = report->line_count;
    state->has_lines = true;
    if (report->line_count > state->line_count)
        report->line_count = state->line_count;
}

/* ---- the fault's life ---- */

int sq_stress_inject(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                     struct sq_error *error)
{
    struct sq_stress_state *stress = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL || stress->control == NULL)
        return sq_fail(error, SQ_INTERNAL, "the stressors were not prepared");
    if (stress->is_over || sq_boot_ns() >= deadline_boot_ns)
        return sq_fail(error, SQ_STALE, "it is too late to begin: the lease or the duration is over");
    sq_stress_look(stress, record);
    for (uint32_t i = 0; i < stress->count; i++)
        if (stress->processes[i].is_reaped)
            return sq_fail(error, SQ_SYSTEM, "a stressor (pid %u) is gone already: it %s",
                           record->entries[i].pid, why_early(stress, &stress->processes[i]));
    stress->deadline_boot_ns = deadline_boot_ns;
    if (stress->injected_boot_ns == 0)
        stress->injected_boot_ns = sq_boot_ns();
    sq_stressor_set_deadline(stress->control, deadline_boot_ns);
    return 0;
}

int sq_stress_renew(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                    struct sq_error *error)
{
    struct sq_stress_state *stress = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL || stress->control == NULL || stress->injected_boot_ns == 0)
        return sq_fail(error, SQ_INTERNAL, "the stressors were not injected");
    sq_stress_look(stress, record);
    for (uint32_t i = 0; i < stress->count; i++)
        if (stress->processes[i].is_early && !stress->processes[i].is_oom)
            return sq_fail(error, SQ_SYSTEM, "a stressor (pid %u) is gone before its time: it %s",
                           record->entries[i].pid, why_early(stress, &stress->processes[i]));
    stress->deadline_boot_ns = deadline_boot_ns;
    sq_stressor_set_deadline(stress->control, deadline_boot_ns);
    return 0;
}

/* By the descriptor of its own child, or by pid and start time. ESRCH: gone. */
static int kill_one(const struct sq_stress_state *state, const struct sq_stress_record *record, uint32_t i)
{
    if (state != NULL && i < state->count)
        return state->processes[i].is_reaped ? 0 : sq_process_signal(state->processes[i].pidfd, SIGKILL);
    struct sq_process_id id = id_of(&record->entries[i]);
    sq_autoclose int pidfd = sq_process_open(&id);
    return pidfd < 0 ? -1 : sq_process_signal(pidfd, SIGKILL);
}

void sq_stress_give_way(struct sq_stress_state *state, const struct sq_undo *undo)
{
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL)
        return;
    state->gave_way = true;
    for (uint32_t i = 0; i < record->count; i++)
        (void)kill_one(state, record, i);
}

static int check_record(const struct sq_stress_record *record, struct sq_error *error)
{
    uint64_t here = 0;
    if (record == NULL)
        return sq_fail(error, SQ_UNCLEAN,
                       "the undo record is of another version of squall; stressors are named squall-cpu and "
                       "squall-mem, and end with their lease at the latest");
    if (read_pid_namespace(&here, error) != 0)
        return -1;
    if (here != record->pid_namespace)
        return sq_fail(
            error, SQ_UNCLEAN,
            "the stressors are in another pid namespace; run `squalld --recover` there. They end with "
            "their lease at the latest");
    return 0;
}

int sq_stress_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_stress_state *stress = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (check_record(record, error) != 0)
        return -1;
    /* What is over is remembered first: what ends from now on ends in time. */
    if (stress != NULL) {
        sq_stress_look(stress, record);
        stress->is_over = true;
    }
    uint32_t failed = 0;
    int reason = 0;
    for (uint32_t i = 0; i < record->count; i++) {
        if (kill_one(stress, record, i) == 0 || errno == ESRCH)
            continue;
        reason = errno;
        failed++;
    }
    if (failed > 0)
        return sq_fail_errno(error, reason, "%u of %u stressors could not be killed", failed, record->count);
    return 0;
}

static bool is_alive(const struct sq_stress_entry *entry)
{
    const struct sq_process_id id = {.pid = (pid_t)entry->pid, .start_ticks = entry->start_ticks};
    return sq_process_is_there(&id);
}

/* Also after the state was released they may be this process's children. */
static void bury(const struct sq_stress_entry *entry)
{
    struct sq_process process;
    if (sq_process_read((pid_t)entry->pid, &process) == 0 && process.id.start_ticks == entry->start_ticks &&
        process.parent_pid == getpid())
        (void)waitpid((pid_t)entry->pid, NULL, WNOHANG);
}

static bool is_left(const struct sq_stress_state *state, const struct sq_stress_record *record, uint32_t i)
{
    if (state != NULL && i < state->count && state->processes[i].is_reaped)
        return false;
    return is_alive(&record->entries[i]);
}

uint64_t sq_stress_settle(void *state, const struct sq_undo *undo)
{
    struct sq_stress_state *stress = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    uint64_t now_ns = sq_boot_ns();
    uint64_t pause_ns = SETTLE_FIRST_NS;
    if (record == NULL)
        return 0;
    if (stress != NULL) {
        if (stress->gone_by_boot_ns == 0)
            stress->gone_by_boot_ns = sq_ns_add(now_ns, GONE_WITHIN_NS);
        if (now_ns >= stress->gone_by_boot_ns)
            return 0;
        if (stress->settle_pause_ns < SETTLE_MOST_NS)
            stress->settle_pause_ns = stress->settle_pause_ns * 2 + SETTLE_FIRST_NS;
        pause_ns = stress->settle_pause_ns;
        sq_stress_look(stress, record);
    }
    for (uint32_t i = 0; i < record->count; i++)
        if (is_left(stress, record, i))
            return sq_ns_add(now_ns, pause_ns);
    return 0;
}

int sq_stress_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                     struct sq_error *error)
{
    struct sq_stress_state *stress = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    struct sq_error unclean;
    bool all_killed = sq_stress_clean(state, undo, &unclean) == 0;
    if (check_record(record, error) != 0)
        return -1;
    if (stress != NULL)
        sq_stress_look(stress, record);
    uint32_t left = 0;
    for (uint32_t i = 0; i < record->count; i++) {
        if (is_left(stress, record, i)) {
            left++;
            sq_report_line(
                report, SQ_LINE_LEFT,
                "the stressor with pid %u; end it with `kill -KILL %u`, or wait for its lease to end",
                record->entries[i].pid, record->entries[i].pid);
        } else {
            bury(&record->entries[i]);
        }
    }
    if (stress != NULL && stress->injected_boot_ns != 0)
        sq_report_count(report, "stressors", left);
    const struct sq_stress_group *group = read_group(undo);
    if (left == 0 && group != NULL && sq_stress_group_remove(group, report, error) != 0)
        return -1;
    if (left > 0)
        return sq_fail(error, SQ_UNCLEAN, "%u of %u stressors are still there%s%s", left, record->count,
                       all_killed ? "" : ": ", all_killed ? "" : unclean.text);
    report->proof = SQ_PROOF_PROVED;
    return 0;
}

void sq_stress_release(void *state)
{
    struct sq_stress_state *stress = state;
    close_ready(stress);
    for (uint32_t i = 0; i < stress->count; i++)
        (void)close(stress->processes[i].pidfd);
    stress->count = 0;
    sq_stressor_control_free(stress->control);
    stress->control = NULL;
}
