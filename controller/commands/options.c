#include "commands/options.h"

#include "common/nearest.h"
#include "common/text.h"
#include "reading/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sq_option_info sq_option_table[] = {
    {.name = "hosts",
     .value = "FILE",
     .help = "the inventory, as squall's YAML or Prometheus file_sd; without it SQUALL_HOSTS, "
             "else " SQ_HOSTS_DEFAULT},
    {.name = "prometheus",
     .value = "URL",
     .help = "ask this Prometheus instead of the one the inventory names"},
    {.name = "set",
     .value = "NAME=VALUE",
     .help = "give the experiment's parameter NAME this value; may be repeated"},
    {.name = "output",
     .letter = 'o',
     .value = "PLAN",
     .help = "write the plan to this file, which `squall run` takes"},
    {.name = "record",
     .value = "FILE",
     .help = "write the run record here instead of ./squall-runs/TIME-ID/run.json"},
    {.name = "offline", .help = "ask no agent: show what the inventory alone can tell"},
    {.name = "local", .help = "start an agent on this machine for this command alone; needs no inventory"},
    {.name = "yes", .help = "do not ask before the faults are injected; for CI"},
    {.name = "json", .help = "print the result as JSON on standard output"},
    {.name = "color",
     .value = "WHEN",
     .help = "auto (the default: on a terminal, unless NO_COLOR is set), always or never",
     .everywhere = true},
    {.name = "help", .letter = 'h', .help = "show this help", .everywhere = true},
    {.name = "version", .help = "print the version", .everywhere = true},
};
const size_t sq_option_table_count = sizeof sq_option_table / sizeof sq_option_table[0];
#define OPTIONS_MAX 16

_Static_assert(sizeof sq_option_table / sizeof sq_option_table[0] <= OPTIONS_MAX, "a bit for every option");

/* One option as it stands on the command line. */
struct given {
    const struct sq_option_info *option;
    const char *value;
};

bool sq_command_takes(const struct sq_command *command, const struct sq_option_info *option)
{
    if (option->everywhere)
        return true;
    const char *word = command->options == NULL ? "" : command->options;
    while (*word != '\0') {
        size_t length = strcspn(word, " ");
        if ((length == strlen(option->name) && memcmp(word, option->name, length) == 0) ||
            (length == 1 && word[0] == option->letter))
            return true;
        word += length;
        word += strspn(word, " ");
    }
    return false;
}

static int fail_unknown_option(const char *argument, struct sq_error *error)
{
    char name[40];
    const char *names[OPTIONS_MAX];
    for (size_t i = 0; i < sq_option_table_count; i++)
        names[i] = sq_option_table[i].name;
    (void)sq_text_copy(name, sizeof name, argument + strspn(argument, "-"));
    name[strcspn(name, "=")] = '\0';
    const char *nearest = sq_nearest(name, names, sq_option_table_count);
    if (nearest != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "unknown option '%.60s'; did you mean '--%s'?", argument,
                       nearest);
    return sq_fail(error, SQ_BAD_INPUT, "unknown option '%.60s'; `squall --help` lists them", argument);
}

/* `argument` is "--name", "--name=value", "-l" or "-lvalue"; `next` is the argument behind it or NULL. */
static int read_option(const char *argument, const char *next, struct given *given, bool *took_next,
                       struct sq_error *error)
{
    bool is_long = argument[1] == '-';
    const char *name = argument + (is_long ? 2 : 1);
    size_t length = is_long ? strcspn(name, "=") : 1;
    given->option = NULL;
    for (size_t i = 0; i < sq_option_table_count && given->option == NULL; i++) {
        const struct sq_option_info *option = &sq_option_table[i];
        if (is_long ? strlen(option->name) == length && memcmp(option->name, name, length) == 0
                    : option->letter == name[0])
            given->option = option;
    }
    if (given->option == NULL)
        return fail_unknown_option(argument, error);
    const char *attached = name[length] == '\0' ? NULL : name + length + (is_long ? 1 : 0);
    *took_next = given->option->value != NULL && attached == NULL;
    given->value = *took_next ? next : attached;
    if (given->option->value == NULL && attached != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "'--%s' takes no value", given->option->name);
    if (given->option->value != NULL && given->value == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "'--%s' needs a value: --%s %s", given->option->name,
                       given->option->name, given->option->value);
    return 0;
}

static int apply_setting(struct sq_options *options, const char *value, struct sq_error *error)
{
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || (size_t)(equals - value) >= SQ_NAME_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "'--set %.60s' is no setting; expected --set NAME=VALUE", value);
    if (options->setting_count == SQ_PARAMETERS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "more than %d settings", SQ_PARAMETERS_MAX);
    struct sq_setting *setting = &options->settings[options->setting_count];
    (void)sq_text_copy(setting->name, (size_t)(equals - value) + 1, value);
    if (!sq_text_copy(setting->value, sizeof setting->value, equals + 1))
        return sq_fail(error, SQ_BAD_INPUT, "the value of '--set %s' is longer than %d bytes", setting->name,
                       SQ_PATH_TEXT_MAX - 1);
    for (uint32_t i = 0; i < options->setting_count; i++)
        if (strcmp(options->settings[i].name, setting->name) == 0)
            return sq_fail(error, SQ_BAD_INPUT, "'--set %s' stands twice", setting->name);
    options->setting_count++;
    return 0;
}

static int apply_color(struct sq_options *options, const char *value, struct sq_error *error)
{
    static const char *const words[] = {"auto", "always", "never"};
    static const enum sq_color colors[] = {SQ_COLOR_AUTO, SQ_COLOR_ALWAYS, SQ_COLOR_NEVER};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(value, words[i]) == 0) {
            options->color = colors[i];
            return 0;
        }
    }
    return sq_fail(error, SQ_BAD_INPUT, "'--color %.30s': expected auto, always or never", value);
}

static int apply_url(struct sq_options *options, const char *value, struct sq_error *error)
{
    if (strlen(value) >= SQ_PATH_TEXT_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "'--prometheus': the URL is longer than %d bytes",
                       SQ_PATH_TEXT_MAX - 1);
    if (sq_http_url_check(value, error) != 0)
        return sq_fail_in(error, "'--prometheus'");
    options->prometheus_url = value;
    return 0;
}

static int apply(const struct given *given, struct sq_command_line *line, struct sq_error *error)
{
    struct sq_options *options = &line->options;
    const char *name = given->option->name;
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"json", &options->json},   {"yes", &options->yes}, {"offline", &options->offline},
                 {"local", &options->local}, {"help", &line->help},  {"version", &line->version}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0)
            *flags[i].flag = true;
    if (strcmp(name, "set") == 0)
        return apply_setting(options, given->value, error);
    if (strcmp(name, "color") == 0)
        return apply_color(options, given->value, error);
    if (strcmp(name, "prometheus") == 0)
        return apply_url(options, given->value, error);
    if (given->option->value != NULL && given->value[0] == '\0')
        return sq_fail(error, SQ_BAD_INPUT, "'--%s' has an empty value; expected a %s", name,
                       given->option->value);
    if (strcmp(name, "hosts") == 0) {
        options->hosts_path = given->value;
        options->hosts_given = true;
    } else if (strcmp(name, "output") == 0) {
        options->output_path = given->value;
    } else if (strcmp(name, "record") == 0) {
        options->record_path = given->value;
    }
    return 0;
}

static int find_verb(const char *verb, const struct sq_command *const *commands, size_t command_count,
                     struct sq_command_line *line, struct sq_error *error)
{
    const char *names[32] = {"help"};
    size_t name_count = 1;
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, verb) == 0)
            line->command = commands[i];
        if (name_count < sizeof names / sizeof names[0])
            names[name_count++] = commands[i]->name;
    }
    if (line->command != NULL)
        return 0;
    if (strcmp(verb, "help") == 0) {
        line->help = true;
        return 0;
    }
    const char *nearest = sq_nearest(verb, names, name_count);
    if (nearest != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "unknown verb '%.40s'; did you mean '%s'?", verb, nearest);
    return sq_fail(error, SQ_BAD_INPUT, "unknown verb '%.40s'; `squall help` lists them", verb);
}

static int check_operands(const struct sq_command_line *line, struct sq_error *error)
{
    const struct sq_command *command = line->command;
    uint32_t count = line->options.operand_count;
    if (count < command->operands_least)
        return sq_fail(error, SQ_BAD_INPUT, "`squall %s` needs more: squall %s", command->name,
                       command->synopsis);
    if (count > command->operands_most)
        return sq_fail(error, SQ_BAD_INPUT, "`squall %s` does not take '%.60s': squall %s", command->name,
                       line->options.operands[command->operands_most], command->synopsis);
    return 0;
}

static int check_taken(const struct sq_command_line *line, unsigned used, struct sq_error *error)
{
    for (size_t i = 0; i < sq_option_table_count; i++) {
        const struct sq_option_info *option = &sq_option_table[i];
        bool taken = line->command == NULL ? option->everywhere : sq_command_takes(line->command, option);
        if ((used & 1u << i) != 0 && !taken)
            return sq_fail(error, SQ_BAD_INPUT,
                           "`squall %s` has no option '--%s'; `squall help %s` lists its options",
                           line->command == NULL ? "help" : line->command->name, option->name,
                           line->command == NULL ? "" : line->command->name);
    }
    return 0;
}

/* Options are applied, everything else moves to the front of argv; *operand_count tells how much that is. */
static int read_arguments(int argc, char **argv, struct sq_command_line *line, unsigned *used,
                          int *operand_count, struct sq_error *error)
{
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        if (only_operands || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[(*operand_count)++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_operands = true;
            continue;
        }
        struct given given = {0};
        bool took_next = false;
        if (read_option(argv[i], i + 1 < argc ? argv[i + 1] : NULL, &given, &took_next, error) != 0 ||
            apply(&given, line, error) != 0)
            return -1;
        *used |= 1u << (given.option - sq_option_table);
        i += took_next ? 1 : 0;
    }
    return 0;
}

int sq_command_line_parse(int argc, char **argv, const struct sq_command *const *commands,
                          size_t command_count, struct sq_command_line *line, struct sq_error *error)
{
    memset(line, 0, sizeof *line);
    const char *hosts = getenv("SQUALL_HOSTS");
    line->options.hosts_path = hosts != NULL && hosts[0] != '\0' ? hosts : SQ_HOSTS_DEFAULT;
    unsigned used = 0;
    int count = 0;
    if (read_arguments(argc, argv, line, &used, &count, error) != 0)
        return -1;
    if (count == 0 && !line->help && !line->version)
        return sq_fail(error, SQ_BAD_INPUT, "no verb; `squall help` lists them");
    if (count == 0)
        return 0;
    if (find_verb(argv[0], commands, command_count, line, error) != 0)
        return -1;
    line->options.operands = argv + 1;
    line->options.operand_count = (uint32_t)(count - 1);
    if (check_taken(line, used, error) != 0)
        return -1;
    return line->help || line->version ? 0 : check_operands(line, error);
}
