/* What was measured: per probe its samples, misses and worst value. */
#include "reports/words.h"

#include "common/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_count(struct sq_text_report *text, const struct sq_probe_count *count)
{
    (void)fprintf(text->stream, "measured %" PRIu64 " time%s", count->samples,
                  count->samples == 1 ? "" : "s");
    if (count->misses == 0) {
        (void)fprintf(text->stream, ", no miss");
        return;
    }
    (void)fprintf(text->stream, ", missed %s%" PRIu64 "%s", text->style->warning, count->misses,
                  text->style->end);
    if (count->unmeasured > 0)
        (void)fprintf(text->stream, " (%" PRIu64 " could not be measured)", count->unmeasured);
    if (count->unjudged > 0)
        (void)fprintf(text->stream, " (%" PRIu64 " not judged)", count->unjudged);
}

/* As many digits as tell it from every other number. */
static void format_value(double value, char *text, size_t size)
{
    for (int digits = 6; digits <= 17; digits++) {
        char *end;
        (void)snprintf(text, size, "%.*g", digits, value);
        double back = strtod(text, &end);
        if (!(back < value) && !(back > value))
            return;
    }
}

static void print_worst(struct sq_text_report *text, const struct sq_probe_summary *probe)
{
    const struct sq_probe_worst *worst = &probe->worst;
    char value[64];
    if (!worst->known)
        return;
    if (probe->by_value)
        format_value(worst->value, value, sizeof(value));
    else
        (void)snprintf(value, sizeof(value), "%safter %.3f s", worst->within ? "answer " : "", worst->took_s);
    (void)fprintf(text->stream, "      the worst: %s at %s", value, sq_shown_time(text, worst->real_ns));
    if (!worst->within && worst->reason[0] != '\0')
        (void)fprintf(text->stream, ": %s", sq_shown_text(text, worst->reason));
    (void)fprintf(text->stream, "\n");
}

static void print_probe(struct sq_text_report *text, const struct sq_probe_summary *probe)
{
    static const char *const times[] = {"before", "while faults were in", "after"};
    uint64_t all = 0;
    (void)fprintf(text->stream, "  probe \"%s\"", sq_shown_text(text, probe->name));
    if (sq_has(probe->form, "tolerance"))
        (void)fprintf(text->stream, ", tolerated: %s", sq_shown(text, probe->form, "tolerance"));
    (void)fprintf(text->stream, "\n");
    for (int i = 0; i < SQ_PROBE_TIMES; i++) {
        const struct sq_probe_count *count = &probe->counts[i];
        all += count->samples;
        if (count->samples == 0)
            continue;
        (void)fprintf(text->stream, "    %s: ", times[i]);
        print_count(text, count);
        (void)fprintf(text->stream, "\n");
        if (i == SQ_PROBE_DURING)
            print_worst(text, probe);
    }
    if (all == 0)
        (void)fprintf(text->stream, "    never measured\n");
}

void sq_report_probes(struct sq_text_report *text)
{
    for (uint32_t i = 0; i < text->summary->probe_count; i++)
        print_probe(text, &text->summary->probes[i]);
    if (text->summary->probe_count > 0)
        (void)fprintf(text->stream, "\n");
}
