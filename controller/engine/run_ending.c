/* The ending: noted from anywhere, decided once, and followed in one place. */
#include "engine/run_state.h"

#include "common/text.h"
#include "common/units.h"

#include <stdarg.h>
#include <stdlib.h>

void sq_run_note_ending(struct sq_run *run, enum sq_exit ending, const char *format, ...)
{
    if (run->settled || (run->ended && (run->ending != SQ_EXIT_COMPLETED || ending == SQ_EXIT_COMPLETED)))
        return;
    va_list arguments;
    va_start(arguments, format);
    char *why = sq_text_print(format, arguments);
    va_end(arguments);
    free(run->why);
    run->why = why;
    run->ended = true;
    run->ending = ending;
    sq_run_tell_decision(run, sq_ending_name(ending), sq_run_why(run));
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
    if (run->hypothesis != NULL)
        sq_watch_stop(&run->watch, sq_run_now(run));
}

/*
 * Who was stopped (SIGSTOP, a suspended machine) for longer than the leases last hears of their end from the
 * agents next; what comes first is to say whose doing it was.
 */
void sq_run_wake(struct sq_run *run)
{
    char still[SQ_UNIT_TEXT_MAX];
    char lease[SQ_UNIT_TEXT_MAX];
    uint64_t now_boot_ns = sq_run_now(run);
    uint64_t still_ns = sq_ns_sub(now_boot_ns, run->turned_boot_ns);
    uint64_t lease_ns = run->experiment->lease_ns;
    if (run->ended || still_ns <= lease_ns / 2)
        return;
    bool over = false;
    for (uint32_t i = 0; i < run->host_count; i++)
        over = over || (run->hosts[i].prepared && !run->hosts[i].finished &&
                        sq_ns_sub(now_boot_ns, run->hosts[i].renewed_boot_ns) >= lease_ns);
    if (!over)
        return;
    sq_duration_format_rounded(still_ns, still);
    sq_duration_format(lease_ns, lease);
    sq_run_note_ending(run, SQ_EXIT_FAILED,
                       "squall itself stood still for %s, %s the lease of %s%s: %s ended by itself", still,
                       still_ns > lease_ns ? "longer than" : "and", lease,
                       still_ns > lease_ns ? "" : " ran out meanwhile",
                       run->inject_boot_ns != 0 ? "every fault" : "what was prepared");
    sq_run_follow_ending(run);
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
