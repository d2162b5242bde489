/* The hypothesis within a run: starts what is due, and turns verdicts into endings. */
#include "engine/run_state.h"

#include "common/clock.h"
#include "common/text.h"
#include "model/ending.h"
#include "probes/table.h"

#include <string.h>

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
    sq_run_end(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_REFUSED : SQ_EXIT_FAILED, "%s", text);
}

static void judge_during(struct sq_run *run, enum sq_verdict verdict)
{
    char text[SQ_RUN_TEXT_MAX];
    run->deciding_boot_ns = run->watch.probes[run->watch.deciding].last.ended_boot_ns;
    explain(run, text);
    sq_run_end(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_DEVIATED : SQ_EXIT_FAILED, "%s", text);
}

static void judge_after(struct sq_run *run, enum sq_verdict verdict, uint64_t now_boot_ns)
{
    run->after_checked = true;
    if (verdict == SQ_VERDICT_HOLDS) {
        run->after_held = true;
        run->recovered_boot_ns = now_boot_ns;
        sq_run_record_decision(run, "recovered", "the hypothesis holds again");
        return;
    }
    explain(run, run->after_why);
    sq_run_record_decision(run, "not-recovered", run->after_why);
    sq_run_end(run, verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_DEVIATED : SQ_EXIT_FAILED, "%s", run->after_why);
}

static void judge(struct sq_run *run, enum sq_verdict verdict, uint64_t now_boot_ns)
{
    if (verdict == SQ_VERDICT_OPEN)
        return;
    if (run->phase == SQ_PHASE_STEADY && !run->before_held && !run->ended)
        judge_before(run, verdict);
    else if (run->phase == SQ_PHASE_WATCH && !run->ended)
        judge_during(run, verdict);
    else if (run->phase == SQ_PHASE_RECOVER && !run->after_checked)
        judge_after(run, verdict, now_boot_ns);
}

static void note_miss(struct sq_run *run, const struct sq_measurement *measurement)
{
    const struct sq_probe_state *state = &run->watch.probes[measurement->probe];
    const struct sq_probe *probe = &run->hypothesis->probes[measurement->probe];
    if (measurement->within || run->phase != SQ_PHASE_WATCH ||
        measurement->started_boot_ns < run->watch.since_boot_ns)
        return;
    if (run->first_missed_boot_ns == 0) {
        run->first_missed_boot_ns = measurement->ended_boot_ns;
        (void)sq_text_copy(run->first_missed, sizeof(run->first_missed), probe->name);
    }
    sq_run_say(run, "probe \"%s\" misses, %u of %u: %s", probe->name, state->misses,
               probe->abort_after_misses, measurement->reason);
}

static void on_measured(void *cookie, const struct sq_measurement *measurement)
{
    struct sq_run *run = cookie;
    enum sq_verdict verdict = sq_watch_take(&run->watch, measurement);
    /* The rollback first; telling and recording it can wait. */
    judge(run, verdict, measurement->ended_boot_ns);
    note_miss(run, measurement);
    sq_run_record_measurement(run, measurement);
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
    judge(run, sq_watch_check(&run->watch, now_boot_ns), now_boot_ns);
}
