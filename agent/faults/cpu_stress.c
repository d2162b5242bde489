/* cpu.stress: one stressor for each chosen core, bound to it, using a part of its time. */
#include "faults/fault.h"
#include "faults/process_sweep.h"

#include "common/clock.h"
#include "common/units.h"
#include "faults/stress.h"
#include "kernel/cpu_load.h"
#include "kernel/host_cores.h"
#include "kernel/host_memory.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CORE_LIST_MAX  120
#define SWEEP_TRIES    20
#define SWEEP_PAUSE_MS 20
/* Below this share of what was asked for, the report says so. */
#define SHORT_OF_PERCENT 1.0

struct cpu_state {
    struct sq_stress_state stress;
    struct sq_cpu_load load;
    uint64_t duration_ns;
    double percent;
    uint32_t cores[SQ_STRESSORS_MAX];
    uint64_t cpu_before_ns[SQ_STRESSORS_MAX]; /* used for the set-up */
    uint64_t ended_boot_ns;
};

static int cpu_able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    struct sq_host_cores cores;
    if (sq_stressor_check_host(error) != 0)
        return -1;
    return sq_host_cores_read(&cores, error);
}

/* Why one named core cannot be had. */
static int fail_core(uint32_t core, const struct sq_host_cores *host, struct sq_error *error)
{
    char text[CORE_LIST_MAX];
    if (!CPU_ISSET(core, &host->present)) {
        sq_core_list_format(&host->present, text, sizeof text);
        return sq_fail(error, SQ_UNABLE, "there is no core %u on this host; it has the cores %s", core, text);
    }
    if (!CPU_ISSET(core, &host->online)) {
        sq_core_list_format(&host->online, text, sizeof text);
        return sq_fail(error, SQ_UNABLE, "core %u is offline; the cores %s are online", core, text);
    }
    sq_core_list_format(&host->usable, text, sizeof text);
    return sq_fail(error, SQ_UNABLE,
                   "the agent may not run on core %u, only on %s; see its CPUAffinity= and its cpuset", core,
                   text);
}

static int choose_list(const struct sq_cores *wanted, const struct sq_host_cores *host, cpu_set_t *chosen,
                       struct sq_error *error)
{
    for (uint32_t core = 0; core < SQ_CORES_MAX; core++) {
        if (!sq_cores_has(wanted, core))
            continue;
        if (core >= CPU_SETSIZE || !CPU_ISSET(core, &host->usable))
            return fail_core(core, host, error);
        CPU_SET(core, chosen);
    }
    return 0;
}

/* The cores that are meant, each of them usable. */
static int choose_cores(const struct sq_cores *wanted, const struct sq_host_cores *host, cpu_set_t *chosen,
                        struct sq_error *error)
{
    char text[CORE_LIST_MAX];
    uint32_t usable = (uint32_t)CPU_COUNT(&host->usable);
    CPU_ZERO(chosen);
    if (wanted->mode == SQ_CORES_LIST)
        return choose_list(wanted, host, chosen, error);
    if (wanted->mode == SQ_CORES_COUNT && wanted->count > usable) {
        sq_core_list_format(&host->usable, text, sizeof text);
        return sq_fail(error, SQ_UNABLE, "%u cores are asked for, but %u can be used here (%s)",
                       wanted->count, usable, text);
    }
    uint32_t count = wanted->mode == SQ_CORES_COUNT ? wanted->count : usable;
    for (uint32_t core = 0; core < CPU_SETSIZE && count > 0; core++) {
        if (!CPU_ISSET(core, &host->usable))
            continue;
        CPU_SET(core, chosen);
        count--;
    }
    return 0;
}

static int find_cores(const struct sq_cores *wanted, struct sq_host_cores *host, cpu_set_t *chosen,
                      struct sq_error *error)
{
    if (sq_host_cores_read(host, error) != 0 || choose_cores(wanted, host, chosen, error) != 0)
        return -1;
    uint32_t count = (uint32_t)CPU_COUNT(chosen);
    if (count == 0 || count > SQ_STRESSORS_MAX)
        return sq_fail(error, SQ_UNABLE, "%u cores; a fault takes 1 to %d: name them in 'cores'", count,
                       SQ_STRESSORS_MAX);
    return 0;
}

static void report_surroundings(const struct sq_cpu_stress *cpu, const struct sq_host_cores *host,
                                uint32_t count, struct sq_fault_report *report)
{
    char text[CORE_LIST_MAX];
    cpu_set_t spared;
    CPU_XOR(&spared, &host->online, &host->usable);
    if (cpu->cores.mode == SQ_CORES_ALL && CPU_COUNT(&spared) > 0) {
        sq_core_list_format(&spared, text, sizeof text);
        sq_report_line(report, SQ_LINE_SPARES, "cores %s: the agent may not run there", text);
    }
    double quota = sq_cgroup_cpu_quota();
    if (quota > 0 && cpu->percent / 100 * count > quota)
        sq_report_line(
            report, SQ_LINE_WARNING,
            "the agent's control group has a quota of %.2f cores, and %.2f are asked for: the rest "
            "will not be reached",
            quota, cpu->percent / 100 * count);
}

static int cpu_preview(const struct sq_fault_order *order, const struct sq_fault_env *env,
                       struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error)
{
    const struct sq_cpu_stress *cpu = &order->spec.cpu;
    struct sq_host_cores host;
    cpu_set_t chosen;
    char text[CORE_LIST_MAX];
    char percent[SQ_UNIT_TEXT_MAX];
    if (find_cores(&cpu->cores, &host, &chosen, error) != 0)
        return -1;
    uint32_t count = (uint32_t)CPU_COUNT(&chosen);
    if (sq_stress_record_make(undo, SQ_CPU_STRESS, count, error) != 0)
        return -1;
    sq_stress_plan_group(undo, env, report);
    sq_core_list_format(&chosen, text, sizeof text);
    sq_percent_format(cpu->percent, percent);
    sq_report_line(report, SQ_LINE_TOUCHES, "%s of %s %s, of the %d that are online", percent,
                   count == 1 ? "core" : "each of the cores", text, CPU_COUNT(&host.online));
    report_surroundings(cpu, &host, count, report);
    return 0;
}

static void job_of(void *cookie, uint32_t i, struct sq_stressor_job *job)
{
    struct cpu_state *state = cookie;
    uint64_t seconds = state->duration_ns / SQ_NS_PER_SECOND;
    state->load.core = (int)state->cores[i];
    job->name = "squall-cpu";
    job->core = state->load.core;
    job->duration_ns = state->duration_ns;
    job->cpu_seconds_max = seconds + 2; /* no less than it can use in that time, rounded up */
    job->limit_memory = true;
    job->work = sq_cpu_load_run;
    job->cookie = &state->load;
}

static int cpu_prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                       struct sq_undo *undo, struct sq_error *error)
{
    struct cpu_state *cpu = state;
    struct sq_host_cores host;
    cpu_set_t chosen;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (find_cores(&order->spec.cpu.cores, &host, &chosen, error) != 0)
        return -1;
    if (record == NULL || record->planned_count != (uint32_t)CPU_COUNT(&chosen))
        return sq_fail(error, SQ_CONFLICT, "cores went offline or came online since the preview");
    uint32_t count = 0;
    for (uint32_t core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &chosen))
            cpu->cores[count++] = core;
    cpu->percent = order->spec.cpu.percent;
    cpu->load.fraction = cpu->percent / 100;
    cpu->duration_ns = order->duration_ns;
    return sq_stress_prepare(&cpu->stress, env, undo, job_of, cpu, error);
}

static int cpu_inject(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                      struct sq_error *error)
{
    struct cpu_state *cpu = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record != NULL && cpu->stress.injected_boot_ns == 0) {
        sq_stress_look(&cpu->stress, record);
        for (uint32_t i = 0; i < cpu->stress.count; i++)
            cpu->cpu_before_ns[i] = cpu->stress.processes[i].cpu_ns;
    }
    return sq_stress_inject(state, undo, deadline_boot_ns, error);
}

/* How long they have worked, as of the last look at them. */
static uint64_t worked_ns(const struct cpu_state *cpu)
{
    uint64_t until_ns = cpu->ended_boot_ns != 0 ? cpu->ended_boot_ns : sq_boot_ns();
    if (until_ns > cpu->stress.deadline_boot_ns)
        until_ns = cpu->stress.deadline_boot_ns;
    return sq_ns_sub(until_ns, cpu->stress.injected_boot_ns);
}

static void report_level(const struct cpu_state *cpu, const struct sq_stress_record *record,
                         uint64_t total_ns, struct sq_fault_report *report)
{
    uint64_t time_ns = worked_ns(cpu);
    char duration[SQ_UNIT_TEXT_MAX];
    if (time_ns < SQ_NS_PER_SECOND / 2 || cpu->stress.count == 0)
        return;
    double lowest = 100;
    uint32_t lowest_core = 0;
    for (uint32_t i = 0; i < cpu->stress.count; i++) {
        uint64_t used_ns = sq_ns_sub(cpu->stress.processes[i].cpu_ns, cpu->cpu_before_ns[i]);
        double reached = (double)used_ns / (double)time_ns * 100;
        if (reached >= lowest)
            continue;
        lowest = reached;
        lowest_core = record->entries[i].core;
    }
    double mean = (double)total_ns / (double)time_ns / cpu->stress.count * 100;
    sq_duration_format_rounded(time_ns, duration);
    bool is_short = lowest < cpu->percent - SHORT_OF_PERCENT;
    sq_report_line(report, is_short ? SQ_LINE_WARNING : SQ_LINE_NOTE,
                   "%.2f%% of the time of %u core%s over %s; the least on core %u: %.2f%%%s", mean,
                   cpu->stress.count, cpu->stress.count == 1 ? "" : "s", duration, lowest_core, lowest,
                   is_short ? "; other work or a CPU quota left no more" : "");
}

static void cpu_status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    struct cpu_state *cpu = state;
    const struct sq_stress_record *record = sq_stress_record_read(undo);
    if (record == NULL || cpu->stress.injected_boot_ns == 0)
        return;
    sq_stress_begin_status(&cpu->stress, report);
    sq_stress_look(&cpu->stress, record);
    uint64_t total_ns = 0;
    uint32_t alive = 0;
    for (uint32_t i = 0; i < cpu->stress.count; i++) {
        total_ns += sq_ns_sub(cpu->stress.processes[i].cpu_ns, cpu->cpu_before_ns[i]);
        alive += !cpu->stress.processes[i].is_reaped;
    }
    sq_report_count(report, "stressors", alive);
    sq_report_count(report, "cpu-ms", total_ns / SQ_NS_PER_MILLISECOND);
    sq_report_count(report, "core-ms", worked_ns(cpu) / SQ_NS_PER_MILLISECOND * cpu->stress.count);
    report->touched = total_ns > 0;
    (void)sq_stress_report_early(&cpu->stress, record, "squall-cpu", report);
    report_level(cpu, record, total_ns, report);
}

static int cpu_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    struct cpu_state *cpu = state;
    int result = sq_stress_clean(state, undo, error);
    if (cpu != NULL && cpu->ended_boot_ns == 0)
        cpu->ended_boot_ns = sq_boot_ns();
    return result;
}

/* Also what memory.stress left. */
static int cpu_sweep(struct sq_fault_report *report, struct sq_error *error)
{
    struct sq_error own;
    int groups = 0;
    if (sq_process_sweep(report, error) != 0)
        return -1;
    /* What was ended just now is in them for a moment. */
    for (int i = 0; i < SWEEP_TRIES; i++) {
        struct sq_fault_report before = *report;
        groups = sq_stress_group_sweep(report, &own);
        if (groups == 0)
            return 0;
        if (i + 1 < SWEEP_TRIES)
            *report = before;
        (void)poll(NULL, 0, SWEEP_PAUSE_MS);
    }
    return sq_fail(error, own.code, "%s", own.text);
}

const struct sq_fault_ops sq_cpu_stress_ops = {
    .kind = SQ_CPU_STRESS,
    .state_size = sizeof(struct cpu_state),
    .able = cpu_able,
    .preview = cpu_preview,
    .descriptors = sq_stress_descriptors,
    .prepare = cpu_prepare,
    .prepared = sq_stress_prepared,
    .inject = cpu_inject,
    .renew = sq_stress_renew,
    .clean = cpu_clean,
    .settle = sq_stress_settle,
    .remove = sq_stress_remove,
    .status = cpu_status,
    .release = sq_stress_release,
    .sweep = cpu_sweep,
};
