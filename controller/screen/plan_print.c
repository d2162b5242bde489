#include "screen/plan_print.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/ending.h"
#include "model/host_list.h"
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

static void print_step_hosts(const struct printer *printer, uint32_t number)
{
    const struct sq_plan *plan = printer->plan;
    const struct sq_targets *targets = &plan->experiment->steps[number].targets;
    char text[2048];
    char names[SQ_HOST_LIST_MAX];
    uint32_t chosen = 0;
    sq_autofree const char **chosen_names = calloc((size_t)plan->host_count + 1, sizeof(*chosen_names));
    for (uint32_t i = 0; chosen_names != NULL && i < plan->host_count; i++)
        for (uint32_t j = 0; j < plan->hosts[i].fault_count; j++)
            if (plan->hosts[i].steps[j] == number)
                chosen_names[chosen++] = plan->hosts[i].host->name;
    describe_targets(targets, text, sizeof(text));
    sq_host_names_format(chosen_names, chosen, names, sizeof(names));
    (void)fprintf(printer->stream, "\n  hosts    %u of %u that match (%s): %s\n", chosen,
                  sq_select_count(plan->experiment, targets, plan->inventory), text, names);
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
        if (step->came_back_within_ns != 0) {
            sq_duration_format(step->came_back_within_ns, duration);
            (void)fprintf(stream, "\n  expects  that it comes back within %s", duration);
        }
    } else {
        (void)fprintf(stream, ", for %s", duration);
    }
    print_step_hosts(printer, number);
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

static void print_host_step(const struct printer *printer, const struct sq_plan_host *planned, uint32_t i)
{
    (void)fprintf(printer->stream, "  step %u: %s\n", planned->steps[i] + 1,
                  printer->plan->experiment->steps[planned->steps[i]].name);
    if (planned->reports[i].code == SQ_OK) {
        print_report(printer, &planned->reports[i]);
        return;
    }
    (void)fprintf(printer->stream, "    ");
    styled(printer, SQ_STYLE_BAD, "refused ");
    (void)fprintf(printer->stream, " %s\n", planned->reports[i].message);
}

/* What is to be said of one host, without its name: what is the same for several is said once. */
static char *describe_host(const struct printer *whole, uint32_t i)
{
    const struct sq_plan_host *planned = &whole->plan->hosts[i];
    char *text = NULL;
    size_t length = 0;
    struct printer printer = *whole;
    printer.stream = open_memstream(&text, &length);
    if (printer.stream == NULL)
        return NULL;
    bool of_a_step = false;
    for (uint32_t j = 0; planned->previewed && j < planned->fault_count; j++)
        of_a_step = of_a_step || planned->reports[j].code != SQ_OK;
    if (!of_a_step && whole->problems != NULL && whole->problems[i].code != SQ_OK) {
        (void)fprintf(printer.stream, "    ");
        styled(&printer, SQ_STYLE_BAD,
               sq_host_said_of(planned->host->name, planned->host->agent, whole->problems[i].text));
        (void)fputc('\n', printer.stream);
    }
    /* Of a host that said nothing of its steps there is nothing to say under their names. */
    for (uint32_t j = 0; planned->previewed && j < planned->fault_count; j++)
        print_host_step(&printer, planned, j);
    (void)fclose(printer.stream);
    return text;
}

static void print_block(const struct printer *printer, const struct sq_host_block *block)
{
    char names[SQ_HOST_LIST_MAX];
    sq_host_list_format(block->names, block->count, names, sizeof(names));
    (void)fputc('\n', printer->stream);
    styled(printer, SQ_STYLE_STRONG, names);
    if (block->count == 1)
        (void)fprintf(printer->stream, "  %s", printer->plan->hosts[block->hosts[0]].host->agent);
    (void)fprintf(printer->stream, "\n%s", block->text);
}

static void print_hosts(const struct printer *printer)
{
    uint32_t count = 0;
    struct sq_host_blocks *blocks = sq_host_blocks_new();
    for (uint32_t i = 0; blocks != NULL && i < printer->plan->host_count; i++) {
        sq_autofree char *text = describe_host(printer, i);
        if (text != NULL)
            (void)sq_host_blocks_add(blocks, i, printer->plan->hosts[i].host->name, text);
    }
    const struct sq_host_block *all = blocks != NULL ? sq_host_blocks_all(blocks, &count) : NULL;
    for (uint32_t i = 0; i < count; i++)
        print_block(printer, &all[i]);
    sq_host_blocks_free(blocks);
}

/* "3 hosts, 5 faults, 1 warning, 0 refusals", and who did not answer. */
static void print_sum(const struct printer *printer, bool offline)
{
    const struct sq_plan *plan = printer->plan;
    uint32_t faults = 0;
    uint32_t warnings = 0;
    uint32_t refusals = 0;
    uint32_t silent = 0;
    for (uint32_t i = 0; i < plan->host_count; i++) {
        enum sq_code code = printer->problems != NULL ? printer->problems[i].code : SQ_OK;
        faults += plan->hosts[i].fault_count;
        refusals += sq_exit_of(code) == SQ_EXIT_REFUSED;
        silent += code != SQ_OK && sq_exit_of(code) != SQ_EXIT_REFUSED;
        for (uint32_t j = 0; plan->hosts[i].previewed && j < plan->hosts[i].fault_count; j++)
            for (uint32_t k = 0; k < plan->hosts[i].reports[j].line_count; k++)
                warnings += plan->hosts[i].reports[j].lines[k].kind == SQ_LINE_WARNING;
    }
    (void)fprintf(printer->stream, "\n%u host%s, %u fault%s", plan->host_count, plural(plan->host_count),
                  faults, plural(faults));
    if (!offline)
        (void)fprintf(printer->stream, ", %u warning%s, %u refusal%s", warnings, plural(warnings), refusals,
                      plural(refusals));
    if (silent > 0)
        (void)fprintf(printer->stream, ", %u that cannot be asked", silent);
    (void)fputs(".\n", printer->stream);
}

static void print_hypothesis(FILE *stream, const struct sq_hypothesis *hypothesis)
{
    const char *title = hypothesis->title;
    uint32_t count = hypothesis->probe_count;
    (void)fprintf(stream, "  steady   %s%s%u probe%s%s\n", title, title[0] == '\0' ? "" : " (", count,
                  plural(count), title[0] == '\0' ? "" : ")");
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
        print_hypothesis(printer->stream, &experiment->hypothesis);
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
    if (offline)
        (void)fprintf(stream, "\nNo agent was asked: what each host would touch and spare is not known.\n");
    else
        print_hosts(&printer);
    print_sum(&printer, offline);
}
