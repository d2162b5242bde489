#include "screen/plan_print.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/select.h"
#include "screen/style.h"

#include <stdlib.h>
#include <string.h>

struct printer {
    const struct sq_plan *plan;
    const struct sq_error *problems;  /* NULL: none */
    const struct sq_company *company; /* NULL: nobody was asked */
    bool colored;
    FILE *stream;
};

static void styled(const struct printer *printer, enum sq_style style, const char *text)
{
    (void)fprintf(printer->stream, "%s%s%s", sq_style_begin(printer->colored, style), text,
                  sq_style_end(printer->colored));
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* "labels role=web; count 1, seed 7" */
static void describe_targets(const struct sq_targets *targets, char *text, size_t size)
{
    const char *separator = "";
    text[0] = '\0';
    for (uint32_t i = 0; i < targets->label_count; i++) {
        sq_text_append(text, size, "%s%s=%s", separator, targets->labels[i].name, targets->labels[i].value);
        separator = ", ";
    }
    if (targets->host_count > 0) {
        sq_text_append(text, size, "%snamed", separator);
        separator = ", ";
    }
    if (targets->count > 0)
        sq_text_append(text, size, "%scount %u, seed %llu", separator, targets->count,
                       (unsigned long long)targets->seed);
    if (targets->percent > 0) {
        char percent[SQ_UNIT_TEXT_MAX];
        sq_percent_format(targets->percent, percent);
        sq_text_append(text, size, "%s%s, seed %llu", separator, percent, (unsigned long long)targets->seed);
    }
    if (text[0] == '\0')
        sq_text_append(text, size, "every host");
}

/* "direction both, to 10.77.0.0/24" */
static void describe_parameters(const struct sq_fault_spec *spec, char *text, size_t size)
{
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    text[0] = '\0';
    for (size_t i = 0; info != NULL && i < info->param_count; i++) {
        char value[1024];
        if (sq_param_format(spec, &info->params[i], value, sizeof(value)))
            sq_text_append(text, size, "%s%s %s", text[0] != '\0' ? ", " : "", info->params[i].key, value);
    }
}

static void print_step(const struct printer *printer, uint32_t number)
{
    const struct sq_plan *plan = printer->plan;
    const struct sq_step *step = &plan->experiment->steps[number];
    const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
    FILE *stream = printer->stream;
    char start[SQ_UNIT_TEXT_MAX];
    char duration[SQ_UNIT_TEXT_MAX];
    char text[2048];
    sq_duration_format(sq_experiment_step_start_ns(plan->experiment, number), start);
    sq_duration_format(step->duration_ns, duration);
    (void)fprintf(stream, "\nStep %u: ", number + 1);
    styled(printer, SQ_STYLE_STRONG, step->name);
    (void)fprintf(stream, "\n  fault    %s", info->name);
    describe_parameters(&step->spec, text, sizeof(text));
    if (text[0] != '\0')
        (void)fprintf(stream, " (%s)", text);
    (void)fprintf(stream, "\n  time     at %s", start);
    if (info->instant) {
        (void)fprintf(stream, ", watched for %s; ", duration);
        styled(printer, SQ_STYLE_WARNING, "cannot be undone");
    } else {
        (void)fprintf(stream, ", for %s", duration);
    }
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < plan->host_count; i++)
        for (uint32_t j = 0; j < plan->hosts[i].fault_count; j++)
            chosen += plan->hosts[i].steps[j] == number;
    describe_targets(&step->targets, text, sizeof(text));
    (void)fprintf(stream, "\n  hosts    %u of %u that match (%s):", chosen,
                  sq_select_count(printer->plan->experiment, &step->targets, printer->plan->inventory), text);
    for (uint32_t i = 0; i < plan->host_count; i++)
        for (uint32_t j = 0; j < plan->hosts[i].fault_count; j++)
            if (plan->hosts[i].steps[j] == number)
                (void)fprintf(stream, " %s", plan->hosts[i].host->name);
    (void)fputc('\n', stream);
}

static void print_report(const struct printer *printer, const struct sq_fault_report *report)
{
    for (uint32_t i = 0; i < report->line_count; i++) {
        const struct sq_report_line *line = &report->lines[i];
        (void)fprintf(printer->stream, "    %s%-8s%s %s\n",
                      line->kind == SQ_LINE_WARNING ? sq_style_begin(printer->colored, SQ_STYLE_WARNING) : "",
                      sq_line_kind_name(line->kind),
                      line->kind == SQ_LINE_WARNING ? sq_style_end(printer->colored) : "", line->text);
    }
    if (report->lines_dropped > 0)
        (void)fprintf(printer->stream, "    ... and %u more\n", report->lines_dropped);
}

static void print_host(const struct printer *printer, uint32_t i)
{
    const struct sq_plan_host *planned = &printer->plan->hosts[i];
    (void)fputc('\n', printer->stream);
    styled(printer, SQ_STYLE_STRONG, planned->host->name);
    (void)fprintf(printer->stream, "  %s\n", planned->host->agent);
    if (printer->problems != NULL && printer->problems[i].code != SQ_OK) {
        (void)fprintf(printer->stream, "    ");
        styled(printer, SQ_STYLE_BAD, printer->problems[i].text);
        (void)fputc('\n', printer->stream);
    }
    for (uint32_t j = 0; j < planned->fault_count; j++) {
        (void)fprintf(printer->stream, "  step %u: %s\n", planned->steps[j] + 1,
                      printer->plan->experiment->steps[planned->steps[j]].name);
        if (planned->previewed && planned->reports[j].code == SQ_OK)
            print_report(printer, &planned->reports[j]);
    }
}

static void print_head(const struct printer *printer)
{
    const struct sq_experiment *experiment = printer->plan->experiment;
    const struct sq_inventory *inventory = printer->plan->inventory;
    char length[SQ_UNIT_TEXT_MAX];
    char lease[SQ_UNIT_TEXT_MAX];
    sq_duration_format(sq_experiment_length_ns(experiment), length);
    sq_duration_format(experiment->lease_ns, lease);
    styled(printer, SQ_STYLE_STRONG, experiment->title);
    (void)fprintf(
        printer->stream, "\n  file     %s\n  hosts    %u of the %u in %s\n  length   %s, on a lease of %s\n",
        experiment->path, printer->plan->host_count, inventory->host_count, inventory->path, length, lease);
    if (experiment->limits.max_hosts > 0)
        (void)fprintf(printer->stream, "  limit    at most %u host%s\n", experiment->limits.max_hosts,
                      plural(experiment->limits.max_hosts));
    if (experiment->limits.max_hosts_percent > 0) {
        char percent[SQ_UNIT_TEXT_MAX];
        sq_percent_format(experiment->limits.max_hosts_percent, percent);
        (void)fprintf(printer->stream, "  limit    at most %s of the hosts\n", percent);
    }
    if (experiment->limits.alone)
        (void)fprintf(printer->stream, "  limit    nobody else at work in the inventory\n");
    if (experiment->has_hypothesis)
        (void)fprintf(printer->stream, "  steady   %s (%u probe%s)\n", experiment->hypothesis.title,
                      experiment->hypothesis.probe_count, plural(experiment->hypothesis.probe_count));
    else
        (void)fprintf(printer->stream, "  steady   no hypothesis: nothing will be measured\n");
}

/* What others do in the inventory at the same time. */
static void print_company(const struct printer *printer)
{
    uint32_t position = 0;
    char text[SQ_ERROR_TEXT_MAX];
    while (sq_company_next(printer->company, &position, sq_boot_ns(), text)) {
        (void)fprintf(printer->stream, "  ");
        styled(printer, SQ_STYLE_WARNING, "others");
        (void)fprintf(printer->stream, "   %s\n", text);
    }
}

void sq_plan_print(const struct sq_plan *plan, const struct sq_error *problems,
                   const struct sq_company *company, bool offline, bool colored, FILE *stream)
{
    bool asked = company != NULL && company->hosts != NULL;
    struct printer printer = {plan, problems, asked ? company : NULL, colored, stream};
    print_head(&printer);
    if (asked)
        print_company(&printer);
    for (uint32_t i = 0; i < plan->experiment->step_count; i++)
        print_step(&printer, i);
    if (offline) {
        (void)fprintf(stream, "\nNo agent was asked: what each host would touch and spare is not known.\n");
        return;
    }
    for (uint32_t i = 0; i < plan->host_count; i++)
        print_host(&printer, i);
    (void)fputc('\n', stream);
}
