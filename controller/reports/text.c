#include "reports/words.h"

#include "common/clock.h"
#include "common/text.h"
#include "model/ending.h"

#include <inttypes.h>
#include <string.h>

#define MOMENT_TEXT_MAX (SQ_TITLE_MAX + 64)

struct moment {
    uint64_t real_ns;
    char text[MOMENT_TEXT_MAX];
};

/* Times that an agent told are whole milliseconds in the record, others finer: within one, what came first is
 * known by what leads to what. */
static bool is_later(uint64_t real_ns, uint64_t than_real_ns)
{
    return real_ns / SQ_NS_PER_MILLISECOND > than_real_ns / SQ_NS_PER_MILLISECOND;
}

/* What they are called, and those that came, in the order of their time. */
static uint32_t list_moments(const struct sq_summary *summary, struct moment list[SQ_MOMENTS])
{
    static const char *const words[] = {"the first fault was in",   "first miss, of probe \"%s\"",
                                        "last allowed miss",        "the rollback began",
                                        "every host was clean",     "everything was removed",
                                        "the hypothesis held again"};
    uint32_t count = 0;
    for (enum sq_moment i = 0; i < SQ_MOMENTS; i++) {
        uint64_t real_ns = sq_summary_moment(summary, i);
        if (real_ns == 0)
            continue;
        uint32_t at = count++;
        for (; at > 0 && is_later(list[at - 1].real_ns, real_ns); at--)
            list[at] = list[at - 1];
        list[at].real_ns = real_ns;
        bool over = i == SQ_MOMENT_ROLLBACK && sq_summary_exit_status(summary) == SQ_EXIT_COMPLETED;
        if (i == SQ_MOMENT_FIRST_MISSED && summary->first_missed[0] != '\0')
            (void)snprintf(list[at].text, MOMENT_TEXT_MAX, "first miss, of probe \"%s\"",
                           summary->first_missed);
        else if (i == SQ_MOMENT_FIRST_MISSED)
            (void)sq_text_copy(list[at].text, MOMENT_TEXT_MAX, "first miss");
        else
            (void)sq_text_copy(list[at].text, MOMENT_TEXT_MAX, over ? "the method was over" : words[i]);
    }
    return count;
}

static void print_moments(struct sq_text_report *text)
{
    struct moment list[SQ_MOMENTS];
    uint32_t count = list_moments(text->summary, list);
    uint64_t zero_real_ns = sq_summary_moment(text->summary, SQ_MOMENT_INJECTED);
    if (zero_real_ns == 0)
        zero_real_ns = text->summary->began_real_ns;
    for (uint32_t i = 0; i < count; i++) {
        double offset_s = ((double)list[i].real_ns - (double)zero_real_ns) / 1e9;
        (void)fprintf(text->stream, "  %s  %+9.3f s  %s\n", sq_shown_time(text, list[i].real_ns), offset_s,
                      sq_shown_text(text, list[i].text));
    }
    if (count > 0)
        (void)fprintf(text->stream, "\n");
}

static const char *phase_words(const char *word)
{
    for (enum sq_run_phase phase = SQ_PHASE_HELLO; phase <= SQ_PHASE_DONE; phase++)
        if (strcmp(sq_run_phase_word(phase), word) == 0)
            return sq_run_phase_name(phase);
    return "making ready";
}

static bool is_anything_ordered(const struct sq_summary *summary)
{
    const char *name;
    json_t *host;
    json_object_foreach(summary->hosts, name, host)
    {
        if (sq_is_true(host, "ordered"))
            return true;
    }
    return false;
}

/* Nobody wrote an ending. */
static void print_open_end(struct sq_text_report *text)
{
    const struct sq_summary *summary = text->summary;
    const struct sq_report_style *style = text->style;
    double after_s = (double)sq_ns_sub(summary->last_real_ns, summary->began_real_ns) / 1e9;
    if (summary->state.being_written) {
        (void)fprintf(text->stream, "%sstill running%s: %s, %.3f s after it began\n", style->warning,
                      style->end, phase_words(summary->phase), after_s);
        return;
    }
    if (!is_anything_ordered(summary))
        return;
    double lease_s = json_number_value(json_object_get(summary->head, "lease_s"));
    (void)fprintf(text->stream,
                  "%sno ending%s: the record ends %.3f s after its beginning (%s): its controller died, was "
                  "killed, or could not write any more\n",
                  style->bad, style->end, after_s, phase_words(summary->phase));
    (void)fprintf(
        text->stream,
        "  What was injected has ended by itself when its lease did, at most %g s later, without the "
        "controller.\n"
        "  To see that nothing is left: squall status; to end what is: squall halt\n",
        lease_s);
}

static void print_ending(struct sq_text_report *text)
{
    const struct sq_summary *summary = text->summary;
    int status = sq_summary_exit_status(summary);
    if (summary->ending == NULL || status < 0) {
        print_open_end(text);
        return;
    }
    const char *color = status == SQ_EXIT_COMPLETED ? text->style->good : text->style->bad;
    (void)fprintf(text->stream, "%s%s%s: %s\n", color, sq_ending_name((enum sq_exit)status), text->style->end,
                  sq_shown(text, summary->ending, "why"));
    if (sq_has(summary->ending, "had_ended_because"))
        (void)fprintf(text->stream, "  it had ended because: %s\n",
                      sq_shown(text, summary->ending, "had_ended_because"));
}

static void print_row(struct sq_text_report *text, const char *name, const char *value)
{
    if (value[0] != '\0')
        (void)fprintf(text->stream, "  %-11s %s\n", name, value);
}

static void print_parameters(struct sq_text_report *text)
{
    const json_t *parameters =
        json_object_get(json_object_get(text->summary->head, "experiment"), "parameters");
    const char *name;
    json_t *value;
    char line[SQ_SHOWN_MAX] = "";
    json_object_foreach((json_t *)parameters, name, value)
    {
        const char *words = json_string_value(value);
        sq_text_append(line, sizeof(line), "%s%s=%s", line[0] != '\0' ? ", " : "", name,
                       words != NULL ? words : "");
    }
    print_row(text, "parameters", sq_shown_text(text, line));
}

static void print_head(struct sq_text_report *text)
{
    const struct sq_summary *summary = text->summary;
    const json_t *experiment = json_object_get(summary->head, "experiment");
    uint64_t ended_real_ns = summary->last_real_ns;
    double took_s = (double)sq_ns_sub(ended_real_ns, summary->began_real_ns) / 1e9;
    char when[SQ_SHOWN_MAX];
    (void)fprintf(text->stream, "\n");
    print_row(text, "experiment", sq_shown(text, summary->head, "title"));
    print_row(text, "file", sq_shown(text, experiment, "path"));
    print_row(text, "plan", sq_shown(text, experiment, "plan_sha256"));
    print_parameters(text);
    print_row(text, "run", sq_shown(text, summary->head, "id"));
    print_row(text, "operator", sq_shown(text, summary->head, "operator"));
    (void)snprintf(when, sizeof(when), "%s to %s, %.3f s; all times in %s",
                   sq_shown_date(text, summary->began_real_ns), sq_shown_time(text, ended_real_ns), took_s,
                   sq_shown_zone(text, summary->began_real_ns));
    print_row(text, "time", when);
    (void)fprintf(text->stream, "\n");
}

/* Did an order to inject leave, with nobody who said that it was in? */
static void print_nothing_injected(struct sq_text_report *text)
{
    if (sq_summary_moment(text->summary, SQ_MOMENT_INJECTED) != 0)
        return;
    bool ordered = text->summary->injection_ordered;
    (void)fprintf(text->stream, "  nothing was injected%s\n", ordered ? " as far as is known" : "");
}

static void print_recovery(struct sq_text_report *text)
{
    const json_t *ending = text->summary->ending;
    const char *why = json_string_value(json_object_get(ending, "why"));
    const char *not_recovered = json_string_value(json_object_get(ending, "not_recovered_because"));
    if (ending == NULL || !sq_has(text->summary->head, "hypothesis") || !text->summary->injection_ordered)
        return;
    if (!sq_has(ending, "recovered"))
        (void)fprintf(text->stream, "  whether the hypothesis holds again was not verified\n");
    else if (!sq_is_true(ending, "recovered") && not_recovered != NULL &&
             (why == NULL || strcmp(why, not_recovered) != 0))
        (void)fprintf(text->stream, "  it did not recover: %s\n", sq_shown_text(text, not_recovered));
}

static void print_record(struct sq_text_report *text)
{
    const struct sq_record_state *state = &text->summary->state;
    const char *warning = text->style->warning;
    const char *end = text->style->end;
    const char *path = sq_shown_text(text, text->report->record_path);
    if (text->report->not_whole != NULL)
        (void)fprintf(text->stream, "  %sthe record %s is not whole%s: %s\n", warning, path, end,
                      sq_shown_text(text, text->report->not_whole));
    else
        (void)fprintf(text->stream, "  record: %s\n", path);
    if (state->version == 1)
        (void)fprintf(text->stream, "    of version 1, written by squall %s\n",
                      sq_shown_text(text, state->squall));
    if (state->damaged > 0)
        (void)fprintf(text->stream,
                      "    %swarning%s: %" PRIu64 " of its lines are damaged and were left out\n", warning,
                      end, state->damaged);
    if (state->torn && !state->being_written)
        (void)fprintf(text->stream, "    its last line was cut short and is left out\n");
    if (text->summary->cut)
        (void)fprintf(text->stream, "    %swarning%s: it has more than a report holds\n", warning, end);
}

void sq_report_text(const struct sq_report *report, const struct sq_report_style *style, FILE *stream)
{
    struct sq_text_report text = {
        .report = report, .summary = report->summary, .style = style, .stream = stream};
    print_ending(&text);
    print_head(&text);
    print_nothing_injected(&text);
    print_moments(&text);
    sq_report_faults(&text);
    sq_report_probes(&text);
    print_recovery(&text);
    print_record(&text);
}
