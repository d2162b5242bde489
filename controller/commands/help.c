#include "commands/help.h"

#include "commands/options.h"
#include "common/cleanup.h"
#include "common/nearest.h"
#include "common/text.h"
#include "common/units.h"
#include "model/probe_form.h"
#include "table/params.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LINE_WIDTH 80

/* Words of `text`, which may have line breaks, in lines of LINE_WIDTH; the cursor stands at column `indent`.
 */
static void print_wrapped(FILE *stream, const char *text, int indent)
{
    int column = indent;
    while (*text != '\0') {
        int length = (int)strcspn(text, " \n");
        if (column + 1 + length > LINE_WIDTH) {
            (void)fprintf(stream, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            (void)fputc(' ', stream);
            column++;
        }
        (void)fprintf(stream, "%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " \n");
    }
    (void)fputc('\n', stream);
}

static void print_entry(FILE *stream, const char *term, const char *text, int indent)
{
    int length = fprintf(stream, "  %s", term);
    if (length >= indent - 1)
        (void)fprintf(stream, "\n%*s", indent, "");
    else
        (void)fprintf(stream, "%*s", indent - length, "");
    print_wrapped(stream, text, indent);
}

static void print_option(FILE *stream, const struct sq_option *option)
{
    sq_autostring struct sq_string term = {0};
    if (option->letter != 0)
        sq_string_add(&term, "-%c, ", option->letter);
    sq_string_add(&term, "--%s", option->name);
    if (option->value != NULL)
        sq_string_add(&term, " %s", option->value);
    print_entry(stream, sq_string_text(&term), option->help, 24);
}

static void print_options(FILE *stream, const struct sq_option *const *options)
{
    for (; *options != NULL; options++)
        print_option(stream, *options);
}

/* Is the line after this one part of the same paragraph? */
static bool goes_on(const char *line_end)
{
    return line_end[0] == '\n' && line_end[1] != '\0' && line_end[1] != '\n' && line_end[1] != ' ';
}

/* A verb's help: paragraphs are broken anew, empty and indented lines stay as they are. */
static void print_paragraphs(FILE *stream, const char *text)
{
    while (*text != '\0') {
        bool is_kept = *text == ' ' || *text == '\n';
        size_t length = strcspn(text, "\n");
        while (!is_kept && goes_on(text + length))
            length += 1 + strcspn(text + length + 1, "\n");
        sq_autofree char *paragraph = strndup(text, length);
        if (is_kept)
            (void)fprintf(stream, "%.*s\n", (int)length, text);
        else if (paragraph != NULL)
            print_wrapped(stream, paragraph, 0);
        text += length;
        text += *text == '\n' ? 1 : 0;
    }
}

static void print_faults(FILE *stream)
{
    for (size_t i = 0; i < sq_fault_table_count; i++)
        print_entry(stream, sq_fault_table[i]->name, sq_fault_table[i]->help, 24);
}

static void print_probes(FILE *stream)
{
    for (size_t i = 0; i < sq_probe_form_count; i++)
        print_entry(stream, sq_probe_forms[i]->name, sq_probe_forms[i]->help, 24);
}

/* The first line of a verb's help says what it does. */
static void print_summary(FILE *stream, const struct sq_command *command)
{
    sq_autofree char *summary = strndup(command->help, strcspn(command->help, "\n"));
    print_entry(stream, command->synopsis, summary == NULL ? "" : summary, 24);
}

static void print_exit_statuses(FILE *stream)
{
    static const char *const statuses[][2] = {
        {"0", "completed: the hypothesis held before, during and after"},
        {"1", "deviated: a measured value broke its tolerance; rolled back"},
        {"2", "the command line or a file is wrong; nothing was done"},
        {"3",
         "refused: policy, conflict, limit, nobody to hit, or a bad steady state beforehand; nothing was "
         "injected"},
        {"4", "failed: an agent, Prometheus or the network let us down; rolled back"},
        {"5", "aborted: a person or a stop condition ended it; rolled back"},
        {"6", "unclean: something could not be undone or not be confirmed; it says what, where, and how to "
              "finish"},
    };
    (void)fputs("Exit status:\n", stream);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        print_entry(stream, statuses[i][0], statuses[i][1], 5);
}

static void print_environment(FILE *stream)
{
    (void)fputs("\nEnvironment:\n", stream);
    print_entry(stream, "SQUALL_HOSTS", "the inventory, where --hosts does not name one", 24);
    print_entry(stream, "SQUALL_CONTROLLER",
                "TLS and Prometheus for a bare file_sd inventory (else /etc/squall/controller.yaml)", 24);
    print_entry(stream, "NO_COLOR", "when set and not empty, no colours", 24);
}

void sq_help_print(FILE *stream, const struct sq_command *const *commands, size_t command_count)
{
    (void)fputs("squall - chaos experiments on Linux hosts, with faults that always end\n\n"
                "Usage: squall VERB [OPTION]... [FILE]...\n\n",
                stream);
    print_wrapped(
        stream,
        "squall plans an experiment, hands each host's agent (squalld) its part, watches the steady "
        "state in Prometheus, and ends every fault on every host the moment the hypothesis breaks. "
        "Every fault lives on a lease: when squall dies, the agents end it; when they die too, the "
        "kernel does.",
        0);
    (void)fputs("\nVerbs:\n", stream);
    for (size_t i = 0; i < command_count; i++)
        print_summary(stream, commands[i]);
    print_entry(stream, "help [VERB|FAULT]",
                "more about a verb, a fault or probe kind with its parameters, `faults` or `probes`", 24);
    (void)fputs("\nFaults:\n", stream);
    print_faults(stream);
    (void)fputs("\nProbes:\n", stream);
    print_probes(stream);
    (void)fputs("\nOptions (each verb's help says which it takes):\n", stream);
    sq_autofree const struct sq_option **options = sq_option_list(commands, command_count);
    if (options != NULL)
        print_options(stream, options);
    print_environment(stream);
    (void)fputs("\nExamples:\n"
                "  squall validate experiments/*.yaml\n"
                "  squall hosts --hosts hosts.yaml\n"
                "  squall plan partition.yaml --set victims=2 -o game-day.plan\n"
                "  squall run game-day.plan\n"
                "  squall halt\n\n",
                stream);
    print_exit_statuses(stream);
}

void sq_help_print_command(FILE *stream, const struct sq_command *command)
{
    (void)fprintf(stream, "Usage: squall %s [OPTION]...\n\n", command->synopsis);
    print_paragraphs(stream, command->help);
    (void)fputs("\nOptions:\n", stream);
    print_options(stream, command->options);
    print_options(stream, sq_common_options);
}

static void describe_range(const struct sq_param *param, struct sq_string *text)
{
    char least[SQ_UNIT_TEXT_MAX];
    char most[SQ_UNIT_TEXT_MAX];
    switch (param->type) {
    case SQ_PARAM_CHOICE:
        for (size_t i = 0; param->choices[i] != NULL; i++)
            sq_string_add(text, "%s%s", i == 0 ? "one of " : ", ", param->choices[i]);
        return;
    case SQ_PARAM_TEXT:
        sq_string_add(text, "a text of at most %zu bytes", param->size - 1);
        return;
    case SQ_PARAM_CIDRS:
        sq_string_add(text, "one address or range, or a list of at most %.0f", param->most);
        return;
    case SQ_PARAM_COUNT:
        sq_string_add(text, "a whole number, %.0f to %.0f", param->least, param->most);
        return;
    case SQ_PARAM_SEED:
        sq_string_add(text, "a whole number of 64 bits");
        return;
    case SQ_PARAM_PERCENT:
        sq_string_add(text, "a percentage, %.4g%% to %.4g%%", param->least, param->most);
        return;
    case SQ_PARAM_DURATION:
        sq_duration_format((uint64_t)param->least, least);
        sq_duration_format((uint64_t)param->most, most);
        sq_string_add(text, "a duration, %s to %s", least, most);
        return;
    case SQ_PARAM_SIZE:
        sq_size_format((uint64_t)param->least, least);
        sq_size_format((uint64_t)param->most, most);
        sq_string_add(text, "a size, %s to %s", least, most);
        return;
    case SQ_PARAM_SIGNAL:
        sq_string_add(text, "a signal's name, such as TERM");
        return;
    case SQ_PARAM_CORES:
        sq_string_add(text, "all, a number of cores, or a list such as [0, 2, 5] or 0-3");
        return;
    }
}

static void print_param(FILE *stream, const struct sq_param *param)
{
    sq_autostring struct sq_string text = {0};
    sq_string_add(&text, "%s (", param->help);
    describe_range(param, &text);
    if (param->required)
        sq_string_add(&text, "; required");
    else if (param->standard != NULL)
        sq_string_add(&text, "; default %s", param->standard);
    sq_string_add(&text, ")");
    print_entry(stream, param->key, sq_string_text(&text), 18);
}

static void print_fault(FILE *stream, const struct sq_fault_info *info)
{
    sq_autostring struct sq_string title = {0};
    sq_string_add(&title, "%s - %s", info->name, info->help);
    print_wrapped(stream, sq_string_text(&title), 0);
    (void)fputc('\n', stream);
    print_wrapped(stream,
                  info->instant
                      ? "Instant: what it does cannot be undone. `duration` (10s if it is not given) is how "
                        "long squall watches whether the victim comes back."
                      : "Lasts for the step's `duration` and ends with it, with the lease, or with a halt.",
                  0);
    (void)fputs("\nParameters, in a step's `with`:\n", stream);
    for (size_t i = 0; i < info->param_count; i++)
        print_param(stream, &info->params[i]);
}

static const char *nearest_topic(const char *topic, const struct sq_command *const *commands,
                                 size_t command_count)
{
    size_t count = 0;
    sq_autofree const char **names =
        calloc(command_count + sq_fault_table_count + sq_probe_form_count + 2, sizeof(*names));
    if (names == NULL)
        return NULL;
    names[count++] = "faults";
    names[count++] = "probes";
    for (size_t i = 0; i < command_count; i++)
        names[count++] = commands[i]->name;
    for (size_t i = 0; i < sq_fault_table_count; i++)
        names[count++] = sq_fault_table[i]->name;
    for (size_t i = 0; i < sq_probe_form_count; i++)
        names[count++] = sq_probe_forms[i]->name;
    return sq_nearest(topic, names, count);
}

static void print_probe(FILE *stream, const struct sq_probe_form *form)
{
    (void)fprintf(stream, "%s - %s\n\nKeys of such a probe, beside those that every probe has:\n", form->name,
                  form->help);
    for (size_t i = 0; i < form->key_count; i++) {
        const struct sq_probe_key *key = &form->keys[i];
        char text[600] = "";
        sq_text_append(text, sizeof text, "%s (%s%s%s)", key->help, key->expected,
                       key->required           ? "; required"
                       : key->standard != NULL ? "; default "
                                               : "",
                       key->required || key->standard == NULL ? "" : key->standard);
        print_entry(stream, key->key, text, 18);
    }
}

int sq_help_print_topic(FILE *stream, const char *topic, const struct sq_command *const *commands,
                        size_t command_count, struct sq_error *error)
{
    if (strcmp(topic, "faults") == 0) {
        print_faults(stream);
        (void)fputs("\n`squall help FAULT` lists a fault's parameters.\n", stream);
        return 0;
    }
    if (strcmp(topic, "probes") == 0) {
        print_probes(stream);
        (void)fputs("\n`squall help PROBE` lists a probe's keys.\n", stream);
        return 0;
    }
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, topic) == 0) {
            sq_help_print_command(stream, commands[i]);
            return 0;
        }
    }
    const struct sq_fault_info *info = sq_fault_by_name(topic);
    if (info != NULL) {
        print_fault(stream, info);
        return 0;
    }
    const struct sq_probe_form *form = sq_probe_form_by_name(topic);
    if (form != NULL) {
        print_probe(stream, form);
        return 0;
    }
    const char *nearest = nearest_topic(topic, commands, command_count);
    if (nearest != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "no help on '%.40s'; did you mean '%s'?", topic, nearest);
    return sq_fail(error, SQ_BAD_INPUT,
                   "no help on '%.40s'; expected a verb, a fault or probe kind, `faults` or `probes`", topic);
}
