/* The phases of a run, and what leads from one to the next. */
#include "engine/run_state.h"

#define METHOD_SLACK_NS                                                                                      \
    (50 * SQ_NS_PER_MILLISECOND) /* so that faults end by their own time, not by our order */

/* All have answered: go on, or say everything that stands in the way. */
static void judge_answers(struct sq_run *run, void (*next)(struct sq_run *run))
{
    const char *first = NULL;
    enum sq_exit ending = SQ_EXIT_COMPLETED;
    uint32_t problems = 0;
    for (uint32_t i = 0; i < run->host_count; i++)
        if (!run->hosts[i].answered)
            return;
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        if (host->problem.code == SQ_OK)
            continue;
        enum sq_exit own = sq_exit_of(host->problem.code);
        /* An agent that calls our order malformed is no mistake of the command line. */
        if (own == SQ_EXIT_WRONG)
            own = SQ_EXIT_FAILED;
        /* What an earlier experiment left there stands in our way; we have done nothing. */
        if (own == SQ_EXIT_UNCLEAN)
            own = SQ_EXIT_REFUSED;
        if (ending == SQ_EXIT_COMPLETED || own == SQ_EXIT_REFUSED)
            ending = own;
        if (problems++ > 0)
            sq_run_tell_note(run, "%s", host->problem.text);
        else
            first = host->problem.text;
    }
    if (problems == 0)
        next(run);
    else if (problems == 1)
        sq_run_note_ending(run, ending, "%s", first);
    else
        sq_run_note_ending(run, ending, "%s (and %u more)", first, problems - 1);
}

static void begin_prepare(struct sq_run *run)
{
    sq_run_enter(run, SQ_PHASE_PREPARE);
    sq_run_prepare(run);
}

static void begin_steady(struct sq_run *run)
{
    sq_run_enter(run, SQ_PHASE_STEADY);
    run->before_held = run->hypothesis == NULL;
    sq_run_watch_begin(run, SQ_HYPOTHESIS_BEFORE, run->phase_boot_ns);
}

/* Everybody has prepared, and nobody has injected: what has to be looked at between the two comes here. */
static void all_are_prepared(struct sq_run *run)
{
    sq_run_ask_company(run);
    if (!run->ended)
        begin_steady(run);
}

static void begin_injection(struct sq_run *run)
{
    uint64_t now_boot_ns = sq_run_now(run);
    struct sq_error error = {0};
    sq_run_plan_injection(run, now_boot_ns);
    if (sq_run_watch_begin_during(run, now_boot_ns, &error) != 0) {
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s", error.text);
        return;
    }
    sq_run_enter(run, SQ_PHASE_WATCH);
    sq_run_inject_due(run, now_boot_ns);
}

uint64_t sq_run_method_end_boot_ns(const struct sq_run *run)
{
    return sq_ns_add(run->inject_boot_ns, sq_experiment_length_ns(run->experiment) + METHOD_SLACK_NS);
}

static bool method_is_over(const struct sq_run *run, uint64_t now_boot_ns)
{
    uint64_t end_boot_ns = sq_run_method_end_boot_ns(run);
    if (now_boot_ns >= end_boot_ns)
        return true;
    if (now_boot_ns < end_boot_ns - METHOD_SLACK_NS)
        return false;
    for (uint32_t i = 0; i < run->host_count; i++)
        if (!run->hosts[i].finished)
            return false;
    return true;
}

static void after_rollback(struct sq_run *run)
{
    bool verify = run->hypothesis != NULL && run->hypothesis->probe_count > 0 && run->inject_boot_ns != 0 &&
                  (run->ending == SQ_EXIT_COMPLETED || run->ending == SQ_EXIT_DEVIATED);
    if (!verify) {
        sq_run_enter(run, SQ_PHASE_DONE);
        return;
    }
    sq_run_enter(run, SQ_PHASE_RECOVER);
    sq_run_watch_begin(run, SQ_HYPOTHESIS_AFTER, run->phase_boot_ns);
}

void sq_run_advance(struct sq_run *run, uint64_t now_boot_ns)
{
    switch (run->phase) {
    case SQ_PHASE_HELLO:
        judge_answers(run, begin_prepare);
        break;
    case SQ_PHASE_PREPARE:
        judge_answers(run, all_are_prepared);
        break;
    case SQ_PHASE_STEADY:
        if (run->before_held && run->experiment->step_count == 0)
            sq_run_note_ending(run, SQ_EXIT_COMPLETED, "there is nothing to inject");
        else if (run->before_held && run->company_awaited == 0)
            begin_injection(run);
        break;
    case SQ_PHASE_WATCH:
        sq_run_inject_due(run, now_boot_ns);
        if (!run->ended && method_is_over(run, now_boot_ns))
            sq_run_note_ending(run, SQ_EXIT_COMPLETED, "the method ran to its end");
        break;
    case SQ_PHASE_REVERT:
        sq_run_revert_due(run, now_boot_ns);
        if (sq_run_is_rolled_back(run, now_boot_ns))
            after_rollback(run);
        break;
    case SQ_PHASE_RECOVER:
        if (run->after_checked && (run->ending != SQ_EXIT_COMPLETED || sq_run_watch_is_judged(run)))
            sq_run_enter(run, SQ_PHASE_DONE);
        break;
    case SQ_PHASE_DONE:
        break;
    }
    sq_run_follow_ending(run);
}
