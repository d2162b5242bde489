/* The hypothesis within a run: starts what is due, and turns verdicts into endings. */
#include "engine/run_state.h"

#include "probes/table.h"

void sq_run_watch_begin(struct sq_run *run, enum sq_hypothesis_phase phase, uint64_t now_boot_ns)
{
    if (run->hypothesis != NULL)
        sq_watch_begin(&run->watch, phase, now_boot_ns);
}

static void explain(const struct sq_run *run, char text[SQ_RUN_TEXT_MAX])
{
    sq_watch_explain(&run->watch, text, SQ_RUN_TEXT_MAX);
}

static void judge_before(struct sq_run *run, enum sq_verdict verdict)
{
    char text[SQ_RUN_TEXT_MAX];
    if (verdict == SQ_VERDICT_HOLDS) {
        run->before_held = true;
        return;
    }
    explain(run, text);
    sq_run_note_ending(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_REFUSED : SQ_EXIT_FAILED, "%s", text);
}

static void judge_during(struct sq_run *run, enum sq_verdict verdict)
{
    char text[SQ_RUN_TEXT_MAX];
    explain(run, text);
    sq_run_note_ending(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_DEVIATED : SQ_EXIT_FAILED, "%s", text);
}

static void judge_after(struct sq_run *run, enum sq_verdict verdict)
{
    run->after_checked = true;
    if (verdict == SQ_VERDICT_HOLDS) {
        run->after_held = true;
        sq_run_tell_decision(run, "recovered", "the hypothesis holds again");
        return;
    }
    explain(run, run->after_why);
    sq_run_tell_decision(run, "not-recovered", run->after_why);
    sq_run_note_ending(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_DEVIATED : SQ_EXIT_FAILED, "%s",
                       run->after_why);
}

static void judge(struct sq_run *run, enum sq_verdict verdict)
{
    if (verdict == SQ_VERDICT_OPEN)
        return;
    if (run->phase == SQ_PHASE_STEADY && !run->before_held && !run->ended)
        judge_before(run, verdict);
    else if (run->phase == SQ_PHASE_WATCH && !run->ended)
        judge_during(run, verdict);
    else if (run->phase == SQ_PHASE_RECOVER && !run->after_checked)
        judge_after(run, verdict);
}

static void tell(struct sq_run *run, const struct sq_measurement *measurement, enum sq_verdict verdict)
{
    bool earlier = measurement->started_boot_ns < run->watch.since_boot_ns;
    struct sq_run_measured told = {
        .probe = &run->hypothesis->probes[measurement->probe],
        .measurement = measurement,
        .phase = run->phase,
        .misses_in_a_row = run->watch.probes[measurement->probe].misses,
        .deciding = verdict != SQ_VERDICT_OPEN && run->phase == SQ_PHASE_WATCH && !run->ended,
        .judged = measurement->within ? "evidence" : "miss",
    };
    if (earlier)
        told.judged = "earlier";
    sq_run_tell_measurement(run, &told);
}

static void on_measured(void *cookie, const struct sq_measurement *measurement)
{
    struct sq_run *run = cookie;
    sq_run_wake(run);
    enum sq_verdict verdict = sq_watch_take(&run->watch, measurement);
    tell(run, measurement, verdict);
    judge(run, verdict);
    sq_run_follow_ending(run);
}

void sq_run_watch_due(struct sq_run *run, uint64_t now_boot_ns)
{
    uint32_t probe;
    if (run->hypothesis == NULL ||
        (run->phase != SQ_PHASE_STEADY && run->phase != SQ_PHASE_WATCH && run->phase != SQ_PHASE_RECOVER))
        return;
    while (sq_watch_due(&run->watch, now_boot_ns, &probe))
        sq_probe_start(run->http, &run->hypothesis->probes[probe], probe, run->options.prometheus_url,
                       on_measured, run);
    judge(run, sq_watch_check(&run->watch, now_boot_ns));
    sq_run_follow_ending(run);
}
