/* The ending: noted from anywhere, decided once, and followed in one place. */
#include "engine/run_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void sq_run_note_ending(struct sq_run *run, enum sq_exit ending, const char *format, ...)
{
    if (run->settled || (run->ended && (run->ending != SQ_EXIT_COMPLETED || ending == SQ_EXIT_COMPLETED)))
        return;
    char *why = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&why, format, arguments) < 0)
        why = NULL;
    va_end(arguments);
    free(run->why);
    run->why = why;
    run->ended = true;
    run->ending = ending;
    sq_run_tell_decision(run, sq_ending_name(ending), sq_run_why(run));
}

const char *sq_run_why(const struct sq_run *run)
{
    return run->why != NULL ? run->why : "there is no memory to say why";
}

static bool is_anything_ordered(const struct sq_run *run)
{
    for (uint32_t i = 0; i < run->host_count; i++)
        if (run->hosts[i].ordered)
            return true;
    return false;
}

void sq_run_follow_ending(struct sq_run *run)
{
    if (!run->ended || run->phase >= SQ_PHASE_REVERT)
        return;
    if (!is_anything_ordered(run)) {
        sq_run_enter(run, SQ_PHASE_DONE);
        return;
    }
    /* The orders to revert leave before anything is told. */
    sq_run_enter(run, SQ_PHASE_REVERT);
    sq_run_revert(run, sq_run_now(run));
}

void sq_run_stop(struct sq_run *run, const char *what)
{
    sq_run_wake(run);
    if (run->phase == SQ_PHASE_DONE)
        return;
    sq_run_tell_decision(run, "asked-to-stop", what);
    switch (run->phase) {
    case SQ_PHASE_REVERT:
        sq_run_tell_note(run, "%s: the rollback is under way and cannot be skipped", what);
        /* The method may have been through, but nobody will verify the recovery now. */
        sq_run_note_ending(run, SQ_EXIT_ABORTED, "stopped by %s during the rollback", what);
        break;
    case SQ_PHASE_RECOVER:
        sq_run_note_ending(run, SQ_EXIT_ABORTED, "stopped by %s while the recovery was verified", what);
        sq_run_enter(run, SQ_PHASE_DONE);
        break;
    default:
        sq_run_note_ending(run, SQ_EXIT_ABORTED, "stopped by %s", what);
        sq_run_follow_ending(run);
        break;
    }
}

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
