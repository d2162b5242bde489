/* What the agents report of their faults: kept, told and judged. */
#include "engine/run_state.h"

void sq_run_note_reports(struct sq_run *run, struct sq_run_host *host, const struct sq_reply *reply)
{
    if (!sq_id_equal(&reply->experiment, &run->options.id))
        return;
    for (uint32_t i = 0; i < reply->fault_count; i++) {
        const struct sq_fault_report *report = &reply->faults[i];
        if (report->index >= host->plan->fault_count)
            continue;
        const struct sq_fault_report *known = sq_run_report_of(host, report->index);
        bool changed = known == NULL || known->state != report->state;
        struct sq_fault_report *kept =
            &host->reports[known != NULL ? (uint32_t)(known - host->reports) : host->report_count++];
        *kept = *report;
        sq_run_tell_fault(run, host, kept, changed);
        if (changed)
            sq_run_watch_injected(run, host, kept);
    }
}

/* A fault that ended otherwise than by its own time or our order ends the run. */
static void judge_report(struct sq_run *run, const struct sq_run_host *host,
                         const struct sq_fault_report *report)
{
    const char *step = sq_run_step_of(run, host, report->index)->name;
    if (report->state == SQ_STATE_FAILED) {
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s: \"%s\" failed: %s", host->name, step, report->message);
        return;
    }
    if (report->state != SQ_STATE_REVERTING && report->state != SQ_STATE_REVERTED)
        return;
    switch (report->end_reason) {
    case SQ_END_HALT:
        sq_run_note_ending(run, SQ_EXIT_ABORTED, "somebody halted %s", host->name);
        break;
    case SQ_END_POLICY:
        sq_run_note_ending(run, run->inject_boot_ns == 0 ? SQ_EXIT_REFUSED : SQ_EXIT_FAILED,
                           "%s ended \"%s\": %s: %s", host->name, step,
                           sq_end_reason_name(report->end_reason), report->message);
        break;
    case SQ_END_LEASE:
    case SQ_END_UNUSED:
    case SQ_END_SHUTDOWN:
    case SQ_END_FAILURE:
    case SQ_END_RECOVERY:
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s ended \"%s\" by itself: %s%s%s", host->name, step,
                           sq_end_reason_name(report->end_reason), report->message[0] != '\0' ? ": " : "",
                           report->message);
        break;
    default:
        break;
    }
}

void sq_run_judge_reports(struct sq_run *run, const struct sq_run_host *host)
{
    for (uint32_t i = 0; i < host->report_count && !run->ended; i++)
        judge_report(run, host, &host->reports[i]);
}
