/* The hypothesis within a run: starts what is due, and turns verdicts into endings. */
#include "engine/run_state.h"

#include "probes/table.h"

/* An agent's timer fires and its fault is in so soon after the moment that was ordered. */
#define INJECTED_WITHIN_NS (10 * SQ_NS_PER_MILLISECOND)

static void on_missed(void *cookie, const struct sq_measurement *missed);

void sq_run_watch_begin(struct sq_run *run, enum sq_hypothesis_phase phase, uint64_t now_boot_ns)
{
    if (run->hypothesis != NULL)
        sq_watch_begin(&run->watch, phase, now_boot_ns);
}

static uint64_t slack_ns(const struct sq_run *run)
{
    uint64_t most_ns = 0;
    for (uint32_t i = 0; i < run->host_count; i++)
        if (run->hosts[i].clock.uncertainty_ns > most_ns)
            most_ns = run->hosts[i].clock.uncertainty_ns;
    return most_ns + INJECTED_WITHIN_NS;
}

int sq_run_watch_begin_during(struct sq_run *run, uint64_t now_boot_ns, struct sq_error *error)
{
    struct sq_span spans[SQ_STEPS_MAX];
    const struct sq_experiment *experiment = run->experiment;
    if (run->hypothesis == NULL)
        return 0;
    run->watch.missed = on_missed;
    run->watch.missed_cookie = run;
    for (uint32_t i = 0; i < experiment->step_count; i++)
        spans[i] = (struct sq_span){.name = experiment->steps[i].name,
                                    .begin_boot_ns = sq_run_step_start_boot_ns(run, i),
                                    .end_boot_ns = sq_run_step_end_boot_ns(run, i)};
    return sq_watch_begin_during(&run->watch, spans, experiment->step_count, slack_ns(run), now_boot_ns,
                                 error);
}

void sq_run_watch_injected(struct sq_run *run, const struct sq_run_host *host,
                           const struct sq_fault_report *report)
{
    uint64_t at_boot_ns = sq_agent_clock_to_ours(&host->clock, report->injected_boot_ns);
    if (run->hypothesis != NULL && report->injected_boot_ns != 0)
        sq_watch_injected(&run->watch, host->plan->steps[report->index],
                          sq_ns_add(at_boot_ns, host->clock.uncertainty_ns));
}

bool sq_run_watch_is_judged(const struct sq_run *run)
{
    return run->hypothesis == NULL || run->watch.span_count == 0 ||
           run->watch.verdicts[SQ_HYPOTHESIS_DURING] != SQ_VERDICT_OPEN;
}

static bool is_bad(enum sq_verdict verdict)
{
    return verdict == SQ_VERDICT_BROKEN || verdict == SQ_VERDICT_UNMEASURABLE;
}

static enum sq_exit ending_of(enum sq_verdict verdict)
{
    return verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_DEVIATED : SQ_EXIT_FAILED;
}

static void judge_before(struct sq_run *run)
{
    enum sq_verdict verdict = run->watch.verdicts[SQ_HYPOTHESIS_BEFORE];
    if (verdict == SQ_VERDICT_HOLDS)
        run->before_held = true;
    else if (is_bad(verdict))
        sq_run_note_ending(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_REFUSED : SQ_EXIT_FAILED, "%s",
                           sq_watch_explain(&run->watch, SQ_HYPOTHESIS_BEFORE));
}

/* Also of what began while faults were in and is answered during the rollback, or after it: a method that ran
 * to its end has not completed then. */
static void judge_during(struct sq_run *run)
{
    enum sq_verdict verdict = run->watch.verdicts[SQ_HYPOTHESIS_DURING];
    if (is_bad(verdict))
        sq_run_note_ending(run, ending_of(verdict), "%s",
                           sq_watch_explain(&run->watch, SQ_HYPOTHESIS_DURING));
}

static void judge_after(struct sq_run *run)
{
    enum sq_verdict verdict = run->watch.verdicts[SQ_HYPOTHESIS_AFTER];
    if (verdict == SQ_VERDICT_OPEN)
        return;
    run->after_checked = true;
    if (verdict == SQ_VERDICT_HOLDS) {
        run->after_held = true;
        sq_run_tell_decision(run, "recovered", "the hypothesis holds again");
        return;
    }
    run->after_why = sq_watch_explain(&run->watch, SQ_HYPOTHESIS_AFTER);
    sq_run_tell_decision(run, "not-recovered", run->after_why);
    sq_run_note_ending(run, ending_of(verdict), "%s", run->after_why);
}

static void judge(struct sq_run *run)
{
    if (run->phase == SQ_PHASE_STEADY)
        judge_before(run);
    if (run->phase >= SQ_PHASE_WATCH)
        judge_during(run);
    if (run->phase == SQ_PHASE_RECOVER && !run->after_checked)
        judge_after(run);
}

static enum sq_run_phase phase_of(const struct sq_run *run, const struct sq_measurement *measurement)
{
    static const enum sq_run_phase phases[] = {SQ_PHASE_STEADY, SQ_PHASE_WATCH, SQ_PHASE_RECOVER};
    return phases[sq_watch_phase_at(&run->watch, measurement->started_boot_ns)];
}

static void tell(struct sq_run *run, const struct sq_measurement *measurement, bool was_open)
{
    const struct sq_probe_state *state = &run->watch.probes[measurement->probe];
    struct sq_run_measured told = {
        .probe = &run->hypothesis->probes[measurement->probe],
        .measurement = measurement,
        .phase = phase_of(run, measurement),
        .misses_in_a_row = state->rows[sq_watch_phase_at(&run->watch, measurement->started_boot_ns)].misses,
        .deciding = was_open && is_bad(run->watch.verdicts[SQ_HYPOTHESIS_DURING]) &&
                    (!run->ended || run->ending == SQ_EXIT_COMPLETED),
        .judged = sq_judged_name(state->judged),
    };
    sq_run_tell_measurement(run, &told);
}

static void on_measured(void *cookie, const struct sq_measurement *measurement)
{
    struct sq_run *run = cookie;
    bool open = run->watch.verdicts[SQ_HYPOTHESIS_DURING] == SQ_VERDICT_OPEN;
    sq_run_wake(run);
    (void)sq_watch_take(&run->watch, measurement);
    tell(run, measurement, open);
    judge(run);
    sq_run_follow_ending(run);
}

/* What counts stands in the record: else the verdict counts more misses than the report. */
static void on_missed(void *cookie, const struct sq_measurement *missed)
{
    tell(cookie, missed, true);
}

void sq_run_watch_due(struct sq_run *run, uint64_t now_boot_ns)
{
    uint32_t probe;
    if (run->hypothesis == NULL || run->phase < SQ_PHASE_STEADY || run->phase == SQ_PHASE_DONE)
        return;
    while (run->phase != SQ_PHASE_REVERT && sq_watch_due(&run->watch, now_boot_ns, &probe))
        sq_probe_start(run->http, &run->hypothesis->probes[probe], probe, &run->options.prometheus,
                       on_measured, run);
    (void)sq_watch_check(&run->watch, now_boot_ns);
    judge(run);
    sq_run_follow_ending(run);
}
