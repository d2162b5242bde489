#include "commands/help.h"

#include "commands/options.h"
#include "common/nearest.h"
#include "common/text.h"
#include "common/units.h"
#include "table/params.h"

#include <string.h>

#define LINE_WIDTH 100

/* Words of `text` in lines of LINE_WIDTH, each indented; the cursor stands at column `used` already. */
static void print_wrapped(FILE *stream, const char *text, int indent, int used)
{
    int column = used;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
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
        text += strspn(text, " ");
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
    print_wrapped(stream, text, indent, indent);
}

static void print_option(FILE *stream, const struct sq_option_info *option)
{
    char term[60] = "";
    if (option->letter != 0)
        sq_text_append(term, sizeof term, "-%c, ", option->letter);
    sq_text_append(term, sizeof term, "--%s", option->name);
    if (option->value != NULL)
        sq_text_append(term, sizeof term, " %s", option->value);
    print_entry(stream, term, option->help, 24);
}

static void print_faults(FILE *stream)
{
    for (size_t i = 0; i < sq_fault_table_count; i++)
        print_entry(stream, sq_fault_table[i]->name, sq_fault_table[i]->help, 24);
}

/* The first line of a verb's help says what it does. */
static void print_summary(FILE *stream, const struct sq_command *command)
{
    char summary[160];
    (void)sq_text_copy(summary, sizeof summary, command->help);
    summary[strcspn(summary, "\n")] = '\0';
    print_entry(stream, command->synopsis, summary, 24);
}

static void print_exit_statuses(FILE *stream)
{
    (void)fputs(
        "Exit status:\n"
        "  0  completed: the hypothesis held before, during and after\n"
        "  1  deviated: a measured value broke its tolerance; rolled back\n"
        "  2  the command line or a file is wrong; nothing was done\n"
        "  3  refused: policy, conflict, limit, nobody to hit, or a bad steady state beforehand;\n"
        "     nothing was injected\n"
        "  4  failed: an agent, Prometheus or the network let us down; rolled back\n"
        "  5  aborted: a person or a stop condition ended it; rolled back\n"
        "  6  unclean: something could not be undone or not be confirmed; it says what, where, and how\n"
        "     to finish\n",
        stream);
}

void sq_help_print(FILE *stream, const struct sq_command *const *commands, size_t command_count)
{
    (void)fputs(
        "squall - chaos experiments on Linux hosts, with faults that always end\n\n"
        "Usage: squall VERB [OPTION]... [FILE]...\n\n"
        "squall plans an experiment, hands each host's agent (squalld) its part, watches the steady state\n"
        "in Prometheus, and ends every fault on every host the moment the hypothesis breaks. Every fault\n"
        "lives on a lease: when squall dies, the agents end it; when they die too, the kernel does.\n\n"
        "Verbs:\n",
        stream);
    for (size_t i = 0; i < command_count; i++)
        print_summary(stream, commands[i]);
    print_entry(stream, "help [VERB|FAULT]",
                "more about a verb, a fault kind with its parameters, or `faults`", 24);
    (void)fputs("\nFaults:\n", stream);
    print_faults(stream);
    (void)fputs("\nOptions (each verb's help says which it takes):\n", stream);
    for (size_t i = 0; i < sq_option_table_count; i++)
        print_option(stream, &sq_option_table[i]);
    (void)fputs("\nEnvironment:\n"
                "  SQUALL_HOSTS          the inventory, where --hosts does not name one\n"
                "  SQUALL_CONTROLLER     TLS and Prometheus for a bare file_sd inventory\n"
                "                        (else /etc/squall/controller.yaml)\n"
                "  NO_COLOR              when set and not empty, no colours\n"
                "\nExamples:\n"
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
    size_t length = strlen(command->help);
    (void)fprintf(stream, "Usage: squall %s [OPTION]...\n\n%s%s\nOptions:\n", command->synopsis,
                  command->help, length > 0 && command->help[length - 1] == '\n' ? "" : "\n");
    for (size_t i = 0; i < sq_option_table_count; i++)
        if (sq_command_takes(command, &sq_option_table[i]))
            print_option(stream, &sq_option_table[i]);
}

static void describe_range(const struct sq_param *param, char *text, size_t size)
{
    char least[SQ_UNIT_TEXT_MAX];
    char most[SQ_UNIT_TEXT_MAX];
    switch (param->type) {
    case SQ_PARAM_CHOICE:
        for (size_t i = 0; param->choices[i] != NULL; i++)
            sq_text_append(text, size, "%s%s", i == 0 ? "one of " : ", ", param->choices[i]);
        return;
    case SQ_PARAM_TEXT:
        sq_text_append(text, size, "a text of at most %zu bytes", param->size - 1);
        return;
    case SQ_PARAM_CIDRS:
        sq_text_append(text, size, "one address or range, or a list of at most %.0f", param->most);
        return;
    case SQ_PARAM_COUNT:
        sq_text_append(text, size, "a whole number, %.0f to %.0f", param->least, param->most);
        return;
    case SQ_PARAM_SEED:
        sq_text_append(text, size, "a whole number of 64 bits");
        return;
    case SQ_PARAM_PERCENT:
        sq_text_append(text, size, "a percentage, %.4g%% to %.4g%%", param->least, param->most);
        return;
    case SQ_PARAM_DURATION:
        sq_duration_format((uint64_t)param->least, least);
        sq_duration_format((uint64_t)param->most, most);
        sq_text_append(text, size, "a duration, %s to %s", least, most);
        return;
    case SQ_PARAM_SIZE:
        sq_size_format((uint64_t)param->least, least);
        sq_size_format((uint64_t)param->most, most);
        sq_text_append(text, size, "a size, %s to %s", least, most);
        return;
    case SQ_PARAM_SIGNAL:
        sq_text_append(text, size, "a signal's name, such as TERM");
        return;
    case SQ_PARAM_CORES:
        sq_text_append(text, size, "all, a number of cores, or a list such as [0, 2, 5] or 0-3");
        return;
    }
}

static void print_param(FILE *stream, const struct sq_param *param)
{
    char text[600] = "";
    sq_text_append(text, sizeof text, "%s (", param->help);
    describe_range(param, text, sizeof text);
    if (param->required)
        sq_text_append(text, sizeof text, "; required");
    else if (param->standard != NULL)
        sq_text_append(text, sizeof text, "; default %s", param->standard);
    sq_text_append(text, sizeof text, ")");
    print_entry(stream, param->key, text, 18);
}

static void print_fault(FILE *stream, const struct sq_fault_info *info)
{
    (void)fprintf(stream, "%s - %s\n\n", info->name, info->help);
    if (info->instant)
        print_wrapped(
            stream,
            "Instant: what it does cannot be undone. `duration` (10s if it is not given) is how long "
            "squall watches whether the victim comes back.",
            0, 0);
    else
        print_wrapped(stream,
                      "Lasts for the step's `duration` and ends with it, with the lease, or with a halt.", 0,
                      0);
    (void)fputs("\nParameters, in a step's `with`:\n", stream);
    for (size_t i = 0; i < info->param_count; i++)
        print_param(stream, &info->params[i]);
}

int sq_help_print_topic(FILE *stream, const char *topic, const struct sq_command *const *commands,
                        size_t command_count, struct sq_error *error)
{
    const char *names[64] = {"faults"};
    size_t count = 1;
    if (strcmp(topic, "faults") == 0) {
        print_faults(stream);
        (void)fputs("\n`squall help FAULT` lists a fault's parameters.\n", stream);
        return 0;
    }
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, topic) == 0) {
            sq_help_print_command(stream, commands[i]);
            return 0;
        }
        if (count < 64)
            names[count++] = commands[i]->name;
    }
    const struct sq_fault_info *info = sq_fault_by_name(topic);
    if (info != NULL) {
        print_fault(stream, info);
        return 0;
    }
    for (size_t i = 0; i < sq_fault_table_count && count < 64; i++)
        names[count++] = sq_fault_table[i]->name;
    const char *nearest = sq_nearest(topic, names, count);
    if (nearest != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "no help on '%.40s'; did you mean '%s'?", topic, nearest);
    return sq_fail(error, SQ_BAD_INPUT, "no help on '%.40s'; expected a verb, a fault kind or `faults`",
                   topic);
}
