#include "screen/run_report.h"

#include "common/clock.h"
#include "events/moments.h"
#include "screen/style.h"
#include "table/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sq_run_report {
    bool colored;
    const struct sq_plan *plan;
    uint64_t real_minus_boot_ns;
    uint64_t inject_boot_ns; /* the common moment that was ordered; 0: none was */
    struct sq_run_moments moments;
    char *text;
    size_t length;
};

static void print_time(const struct sq_run_report *own, uint64_t boot_ns, FILE *stream)
{
    char time[SQ_TIMESTAMP_MAX];
    sq_timestamp_format(boot_ns + own->real_minus_boot_ns, time);
    (void)fprintf(stream, "%.12s", time + 11);
}

static void print_moments(const struct sq_run_report *own, FILE *stream)
{
    struct sq_run_moment list[SQ_MOMENTS_MAX];
    uint32_t count = sq_run_moments_list(&own->moments, list);
    uint64_t zero_boot_ns = own->moments.injected_boot_ns;
    if (zero_boot_ns == 0)
        zero_boot_ns = own->moments.began_boot_ns;
    for (uint32_t i = 0; i < count; i++) {
        double offset_s = ((double)list[i].boot_ns - (double)zero_boot_ns) / 1e9;
        (void)fprintf(stream, "  ");
        print_time(own, list[i].boot_ns, stream);
        (void)fprintf(stream, "  %+9.3f s  %s\n", offset_s, list[i].text);
    }
}

static bool was_shown_before(const struct sq_plan_host *host, const struct sq_fault_report *report,
                             const struct sq_report_line *line)
{
    for (uint32_t i = 0; i < host->report_count; i++) {
        const struct sq_fault_report *preview = &host->reports[i];
        for (uint32_t at = 0; preview->index == report->index && at < preview->line_count; at++)
            if (preview->lines[at].kind == line->kind && strcmp(preview->lines[at].text, line->text) == 0)
                return true;
    }
    return false;
}

/* Returns whether there was a warning among them. */
static bool print_lines(const struct sq_plan_host *host, const struct sq_fault_report *report, bool colored,
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

static void print_fault(const struct sq_run_report *own, const struct sq_run_last_host *host,
                        const struct sq_run_last_fault *fault, FILE *stream)
{
    const struct sq_fault_report *report = fault->report;
    const struct sq_plan_host *plan = &own->plan->hosts[host->host];
    const struct sq_step *step = fault->step;
    bool colored = own->colored;
    if (report == NULL)
        return;
    const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
    bool failed = report->state == SQ_STATE_FAILED;
    const char *seen = host->unconfirmed || host->forgotten ? "last seen as " : "";
    (void)fprintf(stream, "  %s: %s, %s: %s%s%s%s", plan->host->name, step->name,
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
        (void)fprintf(stream, "    it was last seen in place at ");
        print_time(own, fault->seen_boot_ns, stream);
        (void)fprintf(stream, "\n");
    }
    bool warned = print_lines(plan, report, colored, stream);
    print_proof(report, info, colored, stream);
    if (was_injected(report) && !report->touched && !warned)
        (void)fprintf(stream,
                      "    %swarning%s: the fault touched nothing on %s: is it aimed at the right thing?\n",
                      sq_style_begin(colored, SQ_STYLE_WARNING), sq_style_end(colored), plan->host->name);
}

static void print_host(const struct sq_run_report *own, const struct sq_run_last_host *host, FILE *stream)
{
    const char *name = own->plan->hosts[host->host].host->name;
    bool colored = own->colored;
    const char *bad = sq_style_begin(colored, SQ_STYLE_BAD);
    const char *end = sq_style_end(colored);
    for (uint32_t i = 0; i < host->fault_count; i++)
        print_fault(own, host, &host->faults[i], stream);
    if (host->forgotten)
        (void)fprintf(
            stream,
            "    the agent was restarted and knows nothing of this run: it undid what its log held before "
            "it answered\n");
    if (!host->unconfirmed)
        return;
    (void)fprintf(stream, "  %s: %snot confirmed as clean%s: %s\n", name, bad, end,
                  host->problem[0] != '\0' ? host->problem : "it did not answer");
    (void)fprintf(
        stream,
        "    its lease is over, so by its kernel's clock no fault applies any more; what it made may be "
        "left.\n    To finish, on %s: squalld --recover, or start its squalld again; then: squall status\n",
        name);
}

static void print_recovery(const struct sq_run_report *own, const struct sq_run_ended *ended, FILE *stream)
{
    if (!own->plan->experiment->has_hypothesis || own->inject_boot_ns == 0)
        return;
    const char *why = ended->had_ended_because[0] != '\0' ? ended->had_ended_because : ended->why;
    if (!ended->recovery_checked)
        (void)fprintf(stream, "  whether the hypothesis holds again was not verified\n");
    else if (!ended->recovered && strcmp(why, ended->not_recovered_because) != 0)
        (void)fprintf(stream, "  it did not recover: %s\n", ended->not_recovered_because);
}

static void print_ending(const struct sq_run_report *own, const struct sq_run_ended *ended, FILE *stream)
{
    enum sq_style style = ended->ending == SQ_EXIT_COMPLETED ? SQ_STYLE_GOOD : SQ_STYLE_BAD;
    (void)fprintf(stream, "\n%s%s%s: %s\n", sq_style_begin(own->colored, style),
                  sq_ending_name(ended->ending), sq_style_end(own->colored), ended->why);
    if (ended->ending == SQ_EXIT_UNCLEAN)
        (void)fprintf(stream, "  it had ended because: %s\n", ended->had_ended_because);
    if (own->moments.injected_boot_ns == 0)
        (void)fprintf(stream, "  nothing was injected%s\n",
                      own->inject_boot_ns != 0 ? " as far as is known" : "");
    print_moments(own, stream);
    for (uint32_t i = 0; i < ended->host_count; i++)
        print_host(own, &ended->hosts[i], stream);
    print_recovery(own, ended, stream);
}

static void see(void *cookie, const struct sq_run_event *event)
{
    struct sq_run_report *own = cookie;
    sq_run_moments_see(&own->moments, event);
    if (event->kind == SQ_EVENT_BEGIN) {
        own->plan = event->of.begin.plan;
        own->real_minus_boot_ns = event->of.begin.real_ns - event->boot_ns;
    } else if (event->kind == SQ_EVENT_PHASE && event->of.phase.phase == SQ_PHASE_WATCH) {
        own->inject_boot_ns = event->of.phase.inject_boot_ns;
    } else if (event->kind == SQ_EVENT_ENDING) {
        FILE *stream = open_memstream(&own->text, &own->length);
        if (stream == NULL)
            return;
        print_ending(own, &event->of.ending, stream);
        (void)fclose(stream);
    }
}

int sq_run_report_open(bool colored, struct sq_run_report **report, struct sq_error *error)
{
    struct sq_run_report *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the report");
    own->colored = colored;
    *report = own;
    return 0;
}

void sq_run_report_close(struct sq_run_report *report)
{
    if (report == NULL)
        return;
    free(report->text);
    free(report);
}

struct sq_observer sq_run_report_observer(struct sq_run_report *report)
{
    return (struct sq_observer){.see = see, .cookie = report};
}

const char *sq_run_report_text(const struct sq_run_report *report)
{
    return report->text != NULL ? report->text : "";
}
