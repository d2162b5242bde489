/* The last word: when all is over, what of clean-up and faults makes the ending worse, and what it is called.
 */
#include "engine/run_state.h"

/* What was gone when it was to be taken away cannot have been in until then: nothing held under it. */
static void judge_vanished(struct sq_run *run, const struct sq_run_host *host)
{
    for (uint32_t i = 0; i < host->report_count; i++) {
        const struct sq_fault_report *report = &host->reports[i];
        if (report->state == SQ_STATE_FAILED && report->code != SQ_UNCLEAN && report->injected_boot_ns != 0)
            sq_run_note_ending(run, SQ_EXIT_FAILED, "%s: \"%s\" failed: %s", host->name,
                               sq_run_step_of(run, host, report->index)->name, report->message);
    }
}

/* Ordered in time, or so it seemed, and never obeyed: whatever was measured was measured without it. */
static void judge_never_injected(struct sq_run *run, const struct sq_run_host *host)
{
    for (uint32_t i = 0; run->inject_boot_ns != 0 && i < host->plan->fault_count; i++) {
        const struct sq_fault_report *report = sq_run_report_of(host, i);
        if (report == NULL || report->injected_boot_ns == 0)
            sq_run_note_ending(run, SQ_EXIT_FAILED, "%s never injected \"%s\", ordered %u time%s%s%s",
                               host->name, sq_run_step_of(run, host, i)->name, host->injections[i].tries,
                               host->injections[i].tries == 1 ? "" : "s",
                               host->problem.text[0] != '\0' ? ": " : "", host->problem.text);
    }
}

static const char *summary_of(const struct sq_run *run)
{
    switch (run->ending) {
    case SQ_EXIT_COMPLETED:
        if (run->hypothesis == NULL && sq_run_expects(run))
            return "the method ran to its end, and what was expected of its faults came; there is no "
                   "hypothesis";
        if (run->hypothesis == NULL)
            return "the method ran to its end; nothing was verified, for there is no hypothesis";
        return sq_run_watch_verified(run) ? "the hypothesis held before, during and after"
                                          : "measured, nothing injected";
    case SQ_EXIT_UNCLEAN:
        return "something could not be undone, or not be confirmed as undone";
    default:
        return sq_run_why(run);
    }
}

void sq_run_settle(struct sq_run *run)
{
    for (uint32_t i = 0; i < run->host_count; i++)
        judge_vanished(run, &run->hosts[i]);
    for (uint32_t i = 0; i < run->host_count; i++)
        judge_never_injected(run, &run->hosts[i]);
    for (uint32_t i = 0; i < run->host_count; i++)
        sq_run_judge_expectations(run, &run->hosts[i], 0);
    for (uint32_t i = 0; i < run->host_count; i++) {
        if (!sq_run_host_is_unclean(run, &run->hosts[i]))
            continue;
        run->ending = SQ_EXIT_UNCLEAN;
        sq_run_tell_decision(run, sq_ending_name(SQ_EXIT_UNCLEAN), run->hosts[i].name);
    }
    run->settled = true;
    sq_run_tell_ending(run, summary_of(run));
}
