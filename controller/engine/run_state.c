/* What can be asked of a run's state; changes nothing. */
#include "engine/run_state.h"

#include "table/params.h"

#define LOOK_AFTER_NS (20 * SQ_NS_PER_MILLISECOND) /* a moment at which something happens */

const struct sq_step *sq_run_step_of(const struct sq_run *run, const struct sq_run_host *host, uint32_t fault)
{
    return &run->experiment->steps[host->plan->steps[fault]];
}

const struct sq_fault_report *sq_run_report_of(const struct sq_run_host *host, uint32_t fault)
{
    for (uint32_t i = 0; i < host->report_count; i++)
        if (host->reports[i].index == fault)
            return &host->reports[i];
    return NULL;
}

/* Just after the next moment at which one of the host's faults starts or ends: what happened is then seen at
 * once. */
uint64_t sq_run_next_look_boot_ns(const struct sq_run *run, const struct sq_run_host *host,
                                  uint64_t now_boot_ns)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (uint32_t i = 0; run->inject_boot_ns != 0 && i < host->plan->fault_count; i++) {
        uint32_t step = host->plan->steps[i];
        uint64_t moments_boot_ns[] = {sq_run_step_start_boot_ns(run, step),
                                      sq_run_step_end_boot_ns(run, step)};
        for (size_t at = 0; at < 2; at++) {
            uint64_t look_boot_ns = sq_ns_add(moments_boot_ns[at], LOOK_AFTER_NS);
            if (look_boot_ns > now_boot_ns && look_boot_ns < next_boot_ns)
                next_boot_ns = look_boot_ns;
        }
    }
    return next_boot_ns;
}

/* Whoever made something there to compare, and did not, or could not. */
static bool is_not_looked_at(const struct sq_run *run, const struct sq_run_host *host,
                             const struct sq_fault_report *report)
{
    const struct sq_step *step = sq_run_step_of(run, host, report->index);
    const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
    return report->prepared_boot_ns != 0 && report->removed_boot_ns != 0 && report->proof == SQ_PROOF_NONE &&
           info != NULL && !info->instant;
}

bool sq_run_host_is_unclean(const struct sq_run *run, const struct sq_run_host *host)
{
    if (!host->ordered)
        return false;
    if (host->unconfirmed)
        return true;
    for (uint32_t i = 0; i < host->report_count; i++) {
        const struct sq_fault_report *report = &host->reports[i];
        if (report->state == SQ_STATE_FAILED && report->prepared_boot_ns != 0 && report->removed_boot_ns == 0)
            return true;
        if (report->proof == SQ_PROOF_LEFT || is_not_looked_at(run, host, report))
            return true;
        for (uint32_t line = 0; line < report->line_count; line++)
            if (report->lines[line].kind == SQ_LINE_LEFT)
                return true;
    }
    return false;
}

bool sq_run_expects(const struct sq_run *run)
{
    for (uint32_t i = 0; i < run->experiment->step_count; i++)
        if (run->experiment->steps[i].came_back_within_ns != 0)
            return true;
    return false;
}

bool sq_run_watch_verified(const struct sq_run *run)
{
    enum sq_verdict during = run->watch.verdicts[SQ_HYPOTHESIS_DURING];
    return run->hypothesis != NULL && run->watch.span_count > 0 &&
           (during == SQ_VERDICT_HOLDS || during == SQ_VERDICT_BROKEN);
}

const char *sq_run_why(const struct sq_run *run)
{
    return run->why != NULL ? run->why : "there is no memory to say why";
}
