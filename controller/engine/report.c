/* What a run came to: as text for people, and as keys of the run record. */
#include "engine/run_state.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/ending.h"
#include "screen/style.h"
#include "table/params.h"
#include "json/json.h"

#include <string.h>

#define MOMENTS_MAX 8

struct moment {
    const char *key; /* in the record */
    uint64_t boot_ns;
    char text[SQ_TITLE_MAX + 64];
};

static uint64_t injected_boot_ns(const struct sq_run *run)
{
    uint64_t first_boot_ns = 0;
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        for (uint32_t fault = 0; fault < host->report_count; fault++) {
            uint64_t at_boot_ns = sq_agent_clock_to_ours(&host->clock, host->reports[fault].injected_boot_ns);
            if (at_boot_ns != 0 && (first_boot_ns == 0 || at_boot_ns < first_boot_ns))
                first_boot_ns = at_boot_ns;
        }
    }
    return first_boot_ns;
}

/* When the last host came to it; 0 if one of them did not. */
static uint64_t everywhere_boot_ns(const struct sq_run *run, bool removed)
{
    uint64_t last_boot_ns = 0;
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        if (!host->ordered)
            continue;
        if (removed ? !host->removed : !host->clean)
            return 0;
        uint64_t at_boot_ns = removed ? host->removed_boot_ns : host->clean_boot_ns;
        if (at_boot_ns > last_boot_ns)
            last_boot_ns = at_boot_ns;
    }
    return last_boot_ns;
}

static void add_moment(struct moment *moments, uint32_t *count, const char *key, uint64_t boot_ns,
                       const char *text)
{
    if (boot_ns == 0 || *count == MOMENTS_MAX)
        return;
    moments[*count].key = key;
    moments[*count].boot_ns = boot_ns;
    (void)sq_text_copy(moments[*count].text, sizeof(moments[*count].text), text);
    (*count)++;
}

static uint32_t list_moments(const struct sq_run *run, struct moment moments[MOMENTS_MAX])
{
    uint32_t count = 0;
    char text[SQ_TITLE_MAX + 64];
    add_moment(moments, &count, "injected", injected_boot_ns(run), "the first fault was in");
    (void)snprintf(text, sizeof(text), "first miss, of probe \"%s\"", run->first_missed);
    add_moment(moments, &count, "first_missed", run->first_missed_boot_ns, text);
    add_moment(moments, &count, "last_allowed_miss", run->deciding_boot_ns, "last allowed miss");
    add_moment(moments, &count, "rollback", run->rollback_boot_ns,
               run->ending == SQ_EXIT_COMPLETED ? "the method was over" : "the rollback began");
    add_moment(moments, &count, "clean", everywhere_boot_ns(run, false), "every host was clean");
    add_moment(moments, &count, "removed", everywhere_boot_ns(run, true), "everything was removed");
    add_moment(moments, &count, "recovered", run->recovered_boot_ns, "the hypothesis held again");
    for (uint32_t i = 1; i < count; i++) {
        struct moment moment = moments[i];
        uint32_t at = i;
        for (; at > 0 && moments[at - 1].boot_ns > moment.boot_ns; at--)
            moments[at] = moments[at - 1];
        moments[at] = moment;
    }
    return count;
}

static void print_moments(const struct sq_run *run, FILE *stream)
{
    struct moment moments[MOMENTS_MAX];
    uint32_t count = list_moments(run, moments);
    uint64_t zero_boot_ns = injected_boot_ns(run);
    if (zero_boot_ns == 0)
        zero_boot_ns = run->began_boot_ns;
    for (uint32_t i = 0; i < count; i++) {
        char time[SQ_TIMESTAMP_MAX];
        double offset_s = ((double)moments[i].boot_ns - (double)zero_boot_ns) / 1e9;
        sq_record_time_format(run->options.record, moments[i].boot_ns, time);
        (void)fprintf(stream, "  %.12s  %+9.3f s  %s\n", time + 11, offset_s, moments[i].text);
    }
}

static bool was_shown_before(const struct sq_run_host *host, const struct sq_fault_report *report,
                             const struct sq_report_line *line)
{
    for (uint32_t i = 0; i < host->plan->report_count; i++) {
        const struct sq_fault_report *preview = &host->plan->reports[i];
        for (uint32_t at = 0; preview->index == report->index && at < preview->line_count; at++)
            if (preview->lines[at].kind == line->kind && strcmp(preview->lines[at].text, line->text) == 0)
                return true;
    }
    return false;
}

/* Returns whether there was a warning among them. */
static bool print_lines(const struct sq_run_host *host, const struct sq_fault_report *report, bool colored,
                        FILE *stream)
{
    bool warned = false;
    for (uint32_t i = 0; i < report->line_count; i++) {
        const struct sq_report_line *line = &report->lines[i];
        /* What it touches and spares was shown before the run; what came of it is the news. */
        if (line->kind == SQ_LINE_TOUCHES || line->kind == SQ_LINE_SPARES ||
            was_shown_before(host, report, line))
            continue;
        warned = warned || line->kind == SQ_LINE_WARNING;
        enum sq_style style = line->kind == SQ_LINE_NOTE ? SQ_STYLE_FAINT : SQ_STYLE_WARNING;
        if (line->kind == SQ_LINE_LEFT)
            style = SQ_STYLE_BAD;
        (void)fprintf(stream, "    %s%s%s: %s\n", sq_style_begin(colored, style),
                      sq_line_kind_name(line->kind), sq_style_end(colored), line->text);
    }
    if (report->lines_dropped > 0)
        (void)fprintf(stream, "    and %u more lines\n", report->lines_dropped);
    return warned;
}

static bool was_injected(const struct sq_fault_report *report)
{
    return report->injected_boot_ns != 0;
}

static void print_proof(const struct sq_fault_report *report, const struct sq_fault_info *info, bool colored,
                        FILE *stream)
{
    const char *proof = sq_proof_name(report->proof);
    if (report->proof == SQ_PROOF_PROVED)
        (void)fprintf(stream, "    %s: nothing left, compared with what was there before\n", proof);
    else if (report->proof == SQ_PROOF_CHANGED)
        (void)fprintf(stream, "    %s: nothing left of squall's own, the rest is as they made it\n", proof);
    else if (report->proof == SQ_PROOF_LEFT)
        (void)fprintf(stream, "    %s%s%s: something that squall made is still there\n",
                      sq_style_begin(colored, SQ_STYLE_BAD), proof, sq_style_end(colored));
    else if (report->state == SQ_STATE_REVERTED && was_injected(report) && info != NULL && !info->instant)
        (void)fprintf(stream, "    %swarning%s: removed, but %s with what was there before\n",
                      sq_style_begin(colored, SQ_STYLE_WARNING), sq_style_end(colored), proof);
}

static void print_fault(const struct sq_run *run, const struct sq_run_host *host,
                        const struct sq_fault_report *report, bool colored, FILE *stream)
{
    const struct sq_step *step = sq_run_step_of(run, host, report->index);
    const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
    bool failed = report->state == SQ_STATE_FAILED;
    const char *seen = host->unconfirmed || host->forgotten ? "last seen as " : "";
    (void)fprintf(stream, "  %s: %s, %s: %s%s%s%s", host->name, step->name,
                  info != NULL ? info->name : "unknown", seen,
                  sq_style_begin(colored, failed ? SQ_STYLE_BAD : SQ_STYLE_GOOD),
                  sq_state_name(report->state), sq_style_end(colored));
    if (!was_injected(report))
        (void)fprintf(stream, ", never injected");
    else if (report->end_reason != SQ_END_NONE)
        (void)fprintf(stream, " (%s)", sq_end_reason_name(report->end_reason));
    for (uint32_t i = 0; i < report->counter_count; i++)
        (void)fprintf(stream, ", %s %llu", report->counters[i].name,
                      (unsigned long long)report->counters[i].value);
    (void)fprintf(stream, "\n");
    if (report->message[0] != '\0')
        (void)fprintf(stream, "    %s\n", report->message);
    if (report->code == SQ_VANISHED && report->seen_boot_ns != 0) {
        char time[SQ_TIMESTAMP_MAX];
        sq_record_time_format(run->options.record, sq_agent_clock_to_ours(&host->clock, report->seen_boot_ns),
                              time);
        (void)fprintf(stream, "    it was last seen in place at %.12s\n", time + 11);
    }
    bool warned = print_lines(host, report, colored, stream);
    print_proof(report, info, colored, stream);
    if (was_injected(report) && !report->touched && !warned)
        (void)fprintf(stream,
                      "    %swarning%s: the fault touched nothing on %s: is it aimed at the right thing?\n",
                      sq_style_begin(colored, SQ_STYLE_WARNING), sq_style_end(colored), host->name);
}

static void print_host(const struct sq_run *run, const struct sq_run_host *host, bool colored, FILE *stream)
{
    const char *bad = sq_style_begin(colored, SQ_STYLE_BAD);
    const char *end = sq_style_end(colored);
    for (uint32_t i = 0; i < host->report_count; i++)
        print_fault(run, host, &host->reports[i], colored, stream);
    if (host->forgotten)
        (void)fprintf(
            stream,
            "    the agent was restarted and knows nothing of this run: it undid what its log held before "
            "it answered\n");
    if (!host->unconfirmed)
        return;
    (void)fprintf(stream, "  %s: %snot confirmed as clean%s: %s\n", host->name, bad, end,
                  host->problem.text[0] != '\0' ? host->problem.text : "it did not answer");
    (void)fprintf(
        stream,
        "    its lease is over, so by its kernel's clock no fault applies any more; what it made may be "
        "left.\n    To finish, on %s: squalld --recover, or start its squalld again; then: squall status\n",
        host->name);
}

static const char *summary_of(const struct sq_run *run)
{
    switch (run->ending) {
    case SQ_EXIT_COMPLETED:
        return run->hypothesis != NULL ? "the hypothesis held before, during and after"
                                       : "the method ran to its end; there was no hypothesis to hold";
    case SQ_EXIT_UNCLEAN:
        return "something could not be undone, or not be confirmed as undone";
    default:
        return run->why;
    }
}

static void print_recovery(const struct sq_run *run, FILE *stream)
{
    if (run->hypothesis == NULL || run->inject_boot_ns == 0)
        return;
    if (!run->after_checked)
        (void)fprintf(stream, "  whether the hypothesis holds again was not verified\n");
    else if (!run->after_held && strcmp(run->why, run->after_why) != 0)
        (void)fprintf(stream, "  it did not recover: %s\n", run->after_why);
}

void sq_run_report(const struct sq_run *run, bool colored, const char *record_path, FILE *stream)
{
    enum sq_style style = run->ending == SQ_EXIT_COMPLETED ? SQ_STYLE_GOOD : SQ_STYLE_BAD;
    (void)fprintf(stream, "\n%s%s%s: %s\n", sq_style_begin(colored, style), sq_ending_name(run->ending),
                  sq_style_end(colored), summary_of(run));
    if (run->ending == SQ_EXIT_UNCLEAN)
        (void)fprintf(stream, "  it had ended because: %s\n", run->why);
    if (injected_boot_ns(run) == 0)
        (void)fprintf(stream, "  nothing was injected%s\n",
                      run->inject_boot_ns != 0 ? " as far as is known" : "");
    print_moments(run, stream);
    for (uint32_t i = 0; i < run->host_count; i++)
        print_host(run, &run->hosts[i], colored, stream);
    print_recovery(run, stream);
    (void)fprintf(stream, "  record: %s\n", record_path);
}

static json_t *moments_json(const struct sq_run *run)
{
    struct moment moments[MOMENTS_MAX];
    uint32_t count = list_moments(run, moments);
    json_t *object = json_object();
    for (uint32_t i = 0; i < count; i++)
        (void)json_object_set_new(object, moments[i].key,
                                  sq_record_time(run->options.record, moments[i].boot_ns));
    return object;
}

void sq_run_report_record(struct sq_run *run)
{
    struct sq_record *record = run->options.record;
    sq_record_set(record, "ended", sq_record_time(record, sq_boot_ns()));
    sq_record_set(record, "ending", json_string(sq_ending_name(run->ending)));
    sq_record_set(record, "exit_status", json_integer(run->ending));
    sq_record_set(record, "why", sq_json_text(summary_of(run)));
    if (run->ending == SQ_EXIT_UNCLEAN)
        sq_record_set(record, "had_ended_because", sq_json_text(run->why));
    sq_record_set(record, "moments", moments_json(run));
    sq_record_set(record, "recovered", run->after_checked ? json_boolean(run->after_held) : json_null());
    if (run->after_why[0] != '\0')
        sq_record_set(record, "not_recovered_because", sq_json_text(run->after_why));
}
