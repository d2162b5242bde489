/*
 * memory.stress: stressors that take memory and keep it resident. One, or for large amounts a few that share
 * it, because taking memory and giving it back is work of the kernel that one core does alone.
 */
#include "faults/fault.h"

#include "common/clock.h"
#include "common/units.h"
#include "faults/stress.h"
#include "kernel/host_cores.h"
#include "kernel/host_memory.h"
#include "kernel/memory_hold.h"

#include <string.h>
#include <unistd.h>

#define FLOOR_LEAST_BYTES (UINT64_C(64) << 20)
#define FLOOR_PART        20 /* 5 % of the memory */
#define SHARE_LEAST_BYTES (UINT64_C(512) << 20)
#define SHARES_MAX        4
/* With less than this left within its control group the agent could fall silent, and how often it looks
 * whether it has it. */
#define GROUP_LEAST_BYTES (UINT64_C(4) << 20)
#define ATTEND_EVERY_NS   (200 * SQ_NS_PER_MILLISECOND)

struct memory_state {
    struct sq_stress_state stress;
    struct sq_memory_hold hold; /* of the one that is being started */
    uint64_t amount_bytes;
    uint64_t rate_bytes;
    uint32_t shares;
    uint64_t duration_ns;
};

/* What the host has, and what is wanted of it. */
struct amount {
    struct sq_host_memory host;
    uint64_t floor_bytes;
    uint64_t wanted_bytes;
    bool floor_is_policy;
};

static int memory_able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    struct sq_host_memory memory;
    if (sq_stressor_check_host(error) != 0)
        return -1;
    return sq_host_memory_read(&memory, error);
}

static uint64_t whole_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return bytes - bytes % page;
}

/* The page tables that hold `bytes` in small pages: one entry of 8 bytes for each. */
static uint64_t overhead_bytes(uint64_t bytes)
{
    return bytes / (uint64_t)sysconf(_SC_PAGESIZE) * 8;
}

static int fail_nothing(const struct amount *amount, const struct sq_memory_stress *memory,
                        struct sq_error *error)
{
    char available[SQ_UNIT_TEXT_MAX];
    char leave[SQ_UNIT_TEXT_MAX];
    sq_size_format_rounded(amount->host.available_bytes, available);
    sq_size_format(memory->leave_bytes, leave);
    return sq_fail(error, SQ_UNABLE,
                   "only %s of memory are available, and %s are to be left: there is nothing to hold",
                   available, leave);
}

static int choose_amount(const struct sq_memory_stress *memory, struct amount *amount, struct sq_error *error)
{
    uint64_t bytes = memory->bytes;
    if (memory->percent > 0)
        bytes = (uint64_t)((double)amount->host.total_bytes * memory->percent / 100);
    if (memory->leave_bytes > 0) {
        uint64_t available = amount->host.available_bytes;
        if (available <= memory->leave_bytes)
            return fail_nothing(amount, memory, error);
        bytes = available - memory->leave_bytes;
        bytes -= overhead_bytes(bytes);
    }
    amount->wanted_bytes = whole_pages(bytes);
    if (amount->wanted_bytes == 0)
        return fail_nothing(amount, memory, error);
    return 0;
}

static int check_room(const struct amount *amount, struct sq_error *error)
{
    char wanted[SQ_UNIT_TEXT_MAX];
    char total[SQ_UNIT_TEXT_MAX];
    char available[SQ_UNIT_TEXT_MAX];
    char floor[SQ_UNIT_TEXT_MAX];
    char left[SQ_UNIT_TEXT_MAX];
    uint64_t needed = amount->wanted_bytes + overhead_bytes(amount->wanted_bytes);
    sq_size_format_rounded(amount->wanted_bytes, wanted);
    sq_size_format_rounded(amount->host.total_bytes, total);
    sq_size_format_rounded(amount->host.available_bytes, available);
    sq_size_format_rounded(amount->floor_bytes, floor);
    if (needed > amount->host.available_bytes)
        return sq_fail(error, SQ_UNABLE, "%s of memory are asked for, but only %s of %s are available",
                       wanted, available, total);
    if (amount->host.available_bytes - needed < amount->floor_bytes) {
        sq_size_format_rounded(amount->host.available_bytes - needed, left);
        return sq_fail(error, SQ_POLICY,
                       "%s of memory are asked for and %s are available, which leaves %s; %s keeps %s "
                       "('memory-floor')",
                       wanted, available, left,
                       amount->floor_is_policy ? "the policy" : "a policy that says nothing else", floor);
    }
    uint64_t group_bytes = sq_cgroup_memory_left_bytes();
    group_bytes -= group_bytes > SQ_STRESS_KEPT_BYTES ? SQ_STRESS_KEPT_BYTES : group_bytes;
    if (needed > group_bytes) {
        sq_size_format_rounded(group_bytes, left);
        return sq_fail(
            error, SQ_UNABLE,
            "%s of memory are asked for, but the agent's own control group allows only %s more; raise "
            "its MemoryMax= and MemoryHigh=",
            wanted, left);
    }
    return 0;
}

static void find_floor(const struct sq_fault_env *env, struct amount *amount)
{
    uint64_t part = amount->host.total_bytes / FLOOR_PART;
    amount->floor_is_policy = env->protection != NULL && env->protection->memory_floor_bytes != 0;
    amount->floor_bytes = part > FLOOR_LEAST_BYTES ? part : FLOOR_LEAST_BYTES;
    if (amount->floor_is_policy)
        amount->floor_bytes = env->protection->memory_floor_bytes;
}

static int find_amount(const struct sq_memory_stress *memory, const struct sq_fault_env *env,
                       struct amount *amount, struct sq_error *error)
{
    if (sq_host_memory_read(&amount->host, error) != 0)
        return -1;
    find_floor(env, amount);
    if (choose_amount(memory, amount, error) != 0)
        return -1;
    return check_room(amount, error);
}

static uint32_t share_count(uint64_t bytes)
{
    struct sq_host_cores cores;
    uint64_t count = bytes / SHARE_LEAST_BYTES;
    if (sq_host_cores_read(&cores, NULL) == 0 && count > (uint64_t)CPU_COUNT(&cores.usable))
        count = (uint64_t)CPU_COUNT(&cores.usable);
    if (count > SHARES_MAX)
        count = SHARES_MAX;
    return count == 0 ? 1 : (uint32_t)count;
}

/* With percent and leave it is only here that the amount is known. */
static int check_growth(const struct sq_fault_order *order, uint64_t bytes, struct sq_error *error)
{
    struct sq_fault_spec fixed = order->spec;
    fixed.memory.bytes = bytes;
    return sq_spec_check_duration(&fixed, order->duration_ns, NULL, error);
}

static int memory_preview(const struct sq_fault_order *order, const struct sq_fault_env *env,
                          struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error)
{
    struct amount amount;
    char wanted[SQ_UNIT_TEXT_MAX];
    char total[SQ_UNIT_TEXT_MAX];
    char available[SQ_UNIT_TEXT_MAX];
    char left[SQ_UNIT_TEXT_MAX];
    char rate[SQ_UNIT_TEXT_MAX];
    if (find_amount(&order->spec.memory, env, &amount, error) != 0 ||
        check_growth(order, amount.wanted_bytes, error) != 0 ||
        sq_stress_record_make(undo, SQ_MEMORY_STRESS, share_count(amount.wanted_bytes), error) != 0)
        return -1;
    sq_stress_record_of(undo)->amount_bytes = amount.wanted_bytes;
    sq_stress_plan_group(undo, env, report);
    sq_size_format_rounded(amount.wanted_bytes, wanted);
    sq_size_format_rounded(amount.host.total_bytes, total);
    sq_size_format_rounded(amount.host.available_bytes, available);
    sq_size_format_rounded(amount.host.available_bytes - amount.wanted_bytes, left);
    sq_size_format(order->spec.memory.rate_bytes, rate);
    bool has_rate = order->spec.memory.rate_bytes != 0;
    sq_report_line(report, SQ_LINE_TOUCHES, "%s of %s of memory%s%s%s; %s are available now, about %s then",
                   wanted, total, has_rate ? ", growing by " : "", has_rate ? rate : "",
                   has_rate ? " a second" : "", available, left);
    if (amount.host.swap_total_bytes > 0)
        sq_report_line(report, SQ_LINE_NOTE, "this host swaps: other programs may be swapped out meanwhile");
    return 0;
}

static void job_of(void *cookie, uint32_t i, struct sq_stressor_job *job)
{
    struct memory_state *state = cookie;
    uint64_t share_bytes = whole_pages(state->amount_bytes / state->shares);
    /* The last one takes what is left by rounding. */
    bool is_last = i + 1 == state->shares;
    state->hold.bytes = is_last ? state->amount_bytes - share_bytes * i : share_bytes;
    state->hold.rate_bytes = state->rate_bytes / state->shares;
    job->name = "squall-mem";
    job->duration_ns = state->duration_ns;
    job->cpu_seconds_max = state->duration_ns / SQ_NS_PER_SECOND + 2;
    job->limit_memory = true;
    for (uint32_t call = 0; call < sq_memory_hold_call_count; call++)
        job->calls[job->call_count++] = sq_memory_hold_calls[call];
    job->set_up = sq_memory_hold_set_up;
    job->work = sq_memory_hold_run;
    job->cookie = &state->hold;
}

static int memory_prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                          struct sq_undo *undo, struct sq_error *error)
{
    struct memory_state *memory = state;
    struct amount amount;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL)
        return sq_fail(error, SQ_INTERNAL, "memory.stress was given no record of its own");
    if (find_amount(&order->spec.memory, env, &amount, error) != 0)
        return -1;
    /* What was shown is what is done, also if a little less or more is available by now. */
    memory->amount_bytes = record->amount_bytes;
    memory->rate_bytes = order->spec.memory.rate_bytes;
    memory->shares = record->planned_count;
    memory->hold.floor_bytes = amount.floor_bytes;
    memory->duration_ns = order->duration_ns;
    return sq_stress_prepare(&memory->stress, env, undo, job_of, memory, error);
}

/* The stressor stops at the floor that it was given, and cannot learn of a higher one. */
static int memory_allowed(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                          const struct sq_undo *undo, const struct sq_protection *before,
                          struct sq_error *error)
{
    (void)state;
    (void)order;
    (void)undo;
    struct amount then = {0};
    struct amount now = {0};
    const struct sq_fault_env env_then = {.protection = before};
    char floor[SQ_UNIT_TEXT_MAX];
    if (sq_host_memory_read(&now.host, error) != 0)
        return -1;
    then.host = now.host;
    find_floor(&env_then, &then);
    find_floor(env, &now);
    if (now.floor_bytes <= then.floor_bytes)
        return 0;
    sq_size_format(now.floor_bytes, floor);
    return sq_fail(error, SQ_POLICY, "the policy keeps %s of memory now, more than when this was prepared",
                   floor);
}

/*
 * A limit of the agent's own control group that came, or was lowered, while the fault is in: the stressors
 * and the agent share it, and above memory.high the kernel holds back whoever asks for memory. So they go
 * first.
 */
static uint64_t memory_attend(void *state, const struct sq_undo *undo, uint64_t now_boot_ns)
{
    struct memory_state *memory = state;
    if (memory->stress.is_over)
        return 0;
    if (sq_cgroup_memory_left_bytes() > GROUP_LEAST_BYTES)
        return sq_ns_add(now_boot_ns, ATTEND_EVERY_NS);
    sq_stress_give_way(&memory->stress, undo);
    return 0;
}

static void report_held(struct memory_state *memory, const struct sq_stress_record *record,
                        struct sq_fault_report *report)
{
    char held_text[SQ_UNIT_TEXT_MAX];
    char asked[SQ_UNIT_TEXT_MAX];
    uint64_t held = atomic_load(&memory->stress.control->held_bytes);
    sq_size_format_rounded(held, held_text);
    sq_size_format_rounded(record->amount_bytes, asked);
    if (held >= record->amount_bytes)
        sq_report_line(report, SQ_LINE_NOTE, "all of %s was taken", asked);
    else if (atomic_load(&memory->stress.control->stopped_short) != 0)
        sq_report_line(report, SQ_LINE_WARNING,
                       "%s of %s: it does not grow on, as no more than the policy's floor is available",
                       held_text, asked);
    else
        sq_report_line(report, SQ_LINE_NOTE, "%s of %s so far", held_text, asked);
}

static void memory_status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    struct memory_state *memory = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL || memory->stress.injected_boot_ns == 0)
        return;
    sq_stress_begin_status(&memory->stress, report);
    sq_stress_look(&memory->stress, record);
    uint32_t alive = 0;
    uint64_t resident_bytes = 0;
    for (uint32_t i = 0; i < memory->stress.count; i++) {
        if (memory->stress.processes[i].is_reaped)
            continue;
        alive++;
        resident_bytes += sq_process_resident_bytes((int)record->entries[i].pid);
    }
    sq_report_count(report, "stressors", alive);
    sq_report_count(report, "held-bytes", atomic_load(&memory->stress.control->held_bytes));
    sq_report_count(report, "resident-bytes", resident_bytes);
    report->touched = atomic_load(&memory->stress.control->held_bytes) > 0;
    (void)sq_stress_report_early(&memory->stress, record, "squall-mem", report);
    report_held(memory, record, report);
}

const struct sq_fault_ops sq_memory_stress_ops = {
    .kind = SQ_MEMORY_STRESS,
    .state_size = sizeof(struct memory_state),
    .able = memory_able,
    .preview = memory_preview,
    .descriptors = sq_stress_descriptors,
    .prepare = memory_prepare,
    .prepared = sq_stress_prepared,
    .inject = sq_stress_inject,
    .renew = sq_stress_renew,
    .allowed = memory_allowed,
    .attend = memory_attend,
    .clean = sq_stress_clean,
    .settle = sq_stress_settle,
    .remove = sq_stress_remove,
    .status = memory_status,
    .release = sq_stress_release,
};
