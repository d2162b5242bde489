/* What process.kill says of its victims, and of what came back. */
#include "faults/process_kill.h"

#include "common/clock.h"
#include "common/units.h"

#include <stdio.h>
#include <string.h>

#define VICTIM_LINES_MAX 8 /* with all other lines of this fault within SQ_LINES_MAX */

/*
 * Notes are written anew each time, so that "has not come back yet" does not outlive its truth. The preview
 * may have filled every line with victims: the first few of them stay, to make room for what became of them.
 */
static void drop_notes(struct sq_fault_report *report)
{
    uint32_t kept = 0;
    uint32_t touches = 0;
    for (uint32_t i = 0; i < report->line_count; i++) {
        enum sq_line_kind kind = report->lines[i].kind;
        if (kind == SQ_LINE_NOTE)
            continue;
        if (kind == SQ_LINE_TOUCHES && ++touches > VICTIM_LINES_MAX) {
            report->lines_dropped++;
            continue;
        }
        report->lines[kept++] = report->lines[i];
    }
    report->line_count = kept;
}

/* From the signal to the start of what came back. A start time is cut to its tick: the middle of the tick is
 * the best guess. */
static uint64_t return_after_ns(const struct sq_kill_state *kill, uint32_t i)
{
    uint64_t started_ns = sq_ns_add(sq_process_start_boot_ns(&kill->returned[i]), sq_process_tick_ns() / 2);
    return sq_ns_sub(started_ns, kill->injected_boot_ns);
}

static void format_return(const struct sq_kill_state *kill, uint32_t i, char *text, size_t size)
{
    const struct sq_process_id *id = &kill->returned[i];
    uint64_t tick_ns = sq_process_tick_ns();
    uint64_t after_ns = return_after_ns(kill, i);
    char after[SQ_UNIT_TEXT_MAX];
    if (after_ns < tick_ns)
        (void)snprintf(after, sizeof after, "less than %ums",
                       (unsigned)(sq_process_tick_ns() / SQ_NS_PER_MILLISECOND));
    else
        sq_duration_format_rounded(after_ns, after);
    (void)snprintf(text, size, "back as pid %d after %s", (int)id->pid, after);
}

static const char *sent_word(const struct sq_kill_record *record)
{
    return record->signal == 9 ? "killed" : "ended";
}

/* One line per victim; `ended` counts those that ended so far, each of which is paired with one new process.
 */
static void report_victim(const struct sq_kill_state *kill, const struct sq_kill_record *record, uint32_t i,
                          uint32_t *ended, struct sq_fault_report *report)
{
    char name[64];
    char back[80];
    const char *signal_name = sq_signal_name(record->signal);
    (void)snprintf(name, sizeof name, "%s[%u]", record->comm[i], record->pid[i]);
    switch (kill->victims[i].phase) {
    case SQ_VICTIM_GONE:
        sq_report_line(report, SQ_LINE_NOTE, "%s was gone before the signal was sent", name);
        break;
    case SQ_VICTIM_SPARED:
        sq_report_line(report, SQ_LINE_NOTE, "%s had to be left alone when the signal was sent", name);
        break;
    case SQ_VICTIM_SIGNALLED:
        sq_report_line(report, SQ_LINE_NOTE, "%s got SIG%s and is still running", name, signal_name);
        break;
    case SQ_VICTIM_FAILED:
        sq_report_line(report, SQ_LINE_NOTE, "%s could not be signalled", name);
        break;
    case SQ_VICTIM_ENDED:
        if (*ended < kill->returned_count) {
            format_return(kill, *ended, back, sizeof back);
            sq_report_line(report, SQ_LINE_NOTE, "%s %s; %s", name, sent_word(record), back);
        } else {
            sq_report_line(report, SQ_LINE_NOTE, "%s %s; has not come back yet", name, sent_word(record));
        }
        (*ended)++;
        break;
    default:
        break;
    }
}

static void report_victims(const struct sq_kill_state *kill, const struct sq_kill_record *record,
                           uint32_t ended_count, struct sq_fault_report *report)
{
    uint32_t returned = kill->returned_count < ended_count ? kill->returned_count : ended_count;
    char last[80];
    if (record->victim_count > 1 && returned > 0) {
        format_return(kill, returned - 1, last, sizeof last);
        sq_report_line(report, SQ_LINE_NOTE, "%u of %u came back, the last: %s", returned, ended_count, last);
    }
    uint32_t ended = 0;
    for (uint32_t i = 0; i < record->victim_count && i < VICTIM_LINES_MAX; i++)
        report_victim(kill, record, i, &ended, report);
    if (record->victim_count > VICTIM_LINES_MAX)
        sq_report_line(report, SQ_LINE_NOTE, "%u more processes were chosen; the counters count them",
                       record->victim_count - VICTIM_LINES_MAX);
    if (ended_count > 0 && kill->returned_count > ended_count)
        sq_report_line(report, SQ_LINE_NOTE, "%u further matching processes have started since",
                       kill->returned_count - ended_count);
}

static void count_phases(const struct sq_kill_state *kill, const struct sq_kill_record *record,
                         uint32_t phases[SQ_VICTIM_PHASES])
{
    memset(phases, 0, SQ_VICTIM_PHASES * sizeof phases[0]);
    for (uint32_t i = 0; i < record->victim_count; i++)
        phases[kill->victims[i].phase]++;
}

void sq_kill_report(const struct sq_kill_state *kill, const struct sq_kill_record *record,
                    struct sq_fault_report *report)
{
    uint32_t phases[SQ_VICTIM_PHASES];
    count_phases(kill, record, phases);
    uint32_t ended = phases[SQ_VICTIM_ENDED];
    sq_report_count(report, "signalled", ended + phases[SQ_VICTIM_SIGNALLED]);
    sq_report_count(report, "killed", ended);
    uint32_t returned = kill->returned_count < ended ? kill->returned_count : ended;
    sq_report_count(report, "came-back", returned);
    if (returned > 0) /* they are in the order of their starts */
        sq_report_count(report, "back-after-ms", return_after_ns(kill, returned - 1) / SQ_NS_PER_MILLISECOND);
    if (kill->watch.began_boot_ns != 0)
        sq_report_count(report, "matching-now", kill->watch.matching);
    report->touched = ended + phases[SQ_VICTIM_SIGNALLED] > 0;
    drop_notes(report);
    report_victims(kill, record, ended, report);
}

/* For a reader after a crash: who was meant, and whether they are still there. Nobody knows if anything was
 * sent. */
void sq_kill_report_recovered(const struct sq_kill_record *record, struct sq_fault_report *report)
{
    uint32_t alive = 0;
    drop_notes(report);
    for (uint32_t i = 0; i < record->victim_count; i++) {
        const struct sq_process_id id = sq_kill_victim_id(record, i);
        bool is_there = sq_process_is_there(&id);
        alive += is_there;
        if (i < VICTIM_LINES_MAX)
            sq_report_line(report, SQ_LINE_NOTE,
                           "%s[%u] was chosen for SIG%s by an earlier life of the agent; it %s",
                           record->comm[i], record->pid[i], sq_signal_name(record->signal),
                           is_there ? "is still running" : "is gone");
    }
    sq_report_count(report, "chosen", record->victim_count);
    sq_report_count(report, "still-running", alive);
}
