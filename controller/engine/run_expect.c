/* What the steps expect of their faults, beside the hypothesis: judged whenever an agent reports. */
#include "engine/run_state.h"

#include "model/expectation.h"

void sq_run_judge_expectations(struct sq_run *run, const struct sq_run_host *host, uint64_t now_boot_ns)
{
    char why[SQ_RUN_TEXT_MAX];
    for (uint32_t i = 0; i < host->report_count; i++) {
        const struct sq_fault_report *report = &host->reports[i];
        const struct sq_step *step = sq_run_step_of(run, host, report->index);
        /* By the agent's own clock, all of it. What is over was looked at once more when it ended. */
        uint64_t known_boot_ns = report->clean_boot_ns != 0 ? report->clean_boot_ns : now_boot_ns;
        if (report->injected_boot_ns == 0)
            continue;
        switch (sq_expect_judge(step, report, sq_ns_sub(known_boot_ns, report->injected_boot_ns), why,
                                sizeof(why))) {
        case SQ_EXPECT_MISSED:
            sq_run_note_ending(run, SQ_EXIT_DEVIATED, "%s: what \"%s\" hit %s", host->name, step->name, why);
            break;
        case SQ_EXPECT_UNKNOWN:
            sq_run_note_ending(run, SQ_EXIT_FAILED, "%s: \"%s\": %s", host->name, step->name, why);
            break;
        default:
            break;
        }
    }
}
