#include "commands/options.h"

#include "common/cleanup.h"
#include "common/nearest.h"
#include "common/text.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static int read_hosts(struct sq_options *options, const char *value, struct sq_error *error)
{
    (void)error;
    options->hosts_path = value;
    options->hosts_given = true;
    return 0;
}

static int read_setting(struct sq_options *options, const char *value, struct sq_error *error)
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

static int read_color(struct sq_options *options, const char *value, struct sq_error *error)
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

const struct sq_option sq_option_hosts = {
    .name = "hosts",
    .value = "FILE",
    .help = "the inventory, as squall's YAML or Prometheus file_sd; without it SQUALL_HOSTS, "
            "else " SQ_HOSTS_DEFAULT,
    .read = read_hosts,
};
const struct sq_option sq_option_hosts_alone = {
    .name = "hosts",
    .value = "FILE",
    .help = "check experiments against this inventory too; nothing stands in for it",
    .read = read_hosts,
};
const struct sq_option sq_option_local = {
    .name = "local",
    .help = "start an agent on this machine for this command alone; needs no inventory",
    .place = offsetof(struct sq_options, local),
};
const struct sq_option sq_option_set = {
    .name = "set",
    .value = "NAME=VALUE",
    .help = "give the experiment's parameter NAME this value; may be repeated",
    .read = read_setting,
};
const struct sq_option sq_option_json = {
    .name = "json",
    .help = "print the result as JSON on standard output",
    .place = offsetof(struct sq_options, json),
};
const struct sq_option sq_option_runs = {
    .name = "runs",
    .value = "DIR",
    .help = "the folder of run records; without it SQUALL_RUNS, else the inventory's `runs`, else "
            "./squall-runs",
    .place = offsetof(struct sq_options, runs_path),
};
static const struct sq_option option_color = {
    .name = "color",
    .value = "WHEN",
    .help = "auto (the default: on a terminal, unless NO_COLOR is set), always or never",
    .read = read_color,
};
static const struct sq_option option_help = {
    .name = "help",
    .letter = 'h',
    .help = "show this help",
    .place = offsetof(struct sq_options, help),
};
static const struct sq_option option_version = {
    .name = "version",
    .letter = 'V',
    .help = "print the version",
    .place = offsetof(struct sq_options, version),
};
const struct sq_option *const sq_common_options[] = {&option_color, &option_help, &option_version, NULL};

static const struct sq_option *find(const struct sq_option *const *table, const char *name)
{
    for (; *table != NULL; table++)
        if (strcmp((*table)->name, name) == 0)
            return *table;
    return NULL;
}

static size_t count_of(const struct sq_option *const *table)
{
    size_t count = 0;
    while (table[count] != NULL)
        count++;
    return count;
}

/* Of one name a later verb's stays, in the place of the first: validate's own are the exceptions. */
static void add_missing(const struct sq_option **list, const struct sq_option *const *table)
{
    for (; *table != NULL; table++) {
        size_t place = 0;
        while (list[place] != NULL && strcmp(list[place]->name, (*table)->name) != 0)
            place++;
        list[place] = *table;
    }
}

const struct sq_option **sq_option_list(const struct sq_command *const *commands, size_t command_count)
{
    size_t most = count_of(sq_common_options) + 1;
    for (size_t i = 0; i < command_count; i++)
        most += count_of(commands[i]->options);
    const struct sq_option **list = calloc(most, sizeof(*list));
    for (size_t i = 0; list != NULL && i < command_count; i++)
        add_missing(list, commands[i]->options);
    if (list != NULL)
        add_missing(list, sq_common_options);
    return list;
}

/* One option as it stands on the command line. */
struct given {
    const struct sq_option *option;
    const char *value;
};

/* The command line while it is read: getopt_long's tables, made of those of all verbs. */
struct scan {
    const struct sq_option **list;
    struct option *known;
    char *letters;
    struct given *given;
    size_t given_count;
};

#define FIRST_NUMBER 256 /* of getopt_long's for the options: beyond every letter */

static void scan_cleanup(struct scan *scan)
{
    free(scan->list);
    free(scan->known);
    free(scan->letters);
    free(scan->given);
}

static int scan_begin(int argc, const struct sq_command *const *commands, size_t command_count,
                      struct scan *scan, struct sq_error *error)
{
    scan->list = sq_option_list(commands, command_count);
    size_t count = scan->list == NULL ? 0 : count_of(scan->list);
    scan->known = calloc(count + 1, sizeof(*scan->known));
    scan->letters = calloc(2 * count + 3, 1);
    scan->given = calloc((size_t)argc + 1, sizeof(*scan->given));
    if (scan->list == NULL || scan->known == NULL || scan->letters == NULL || scan->given == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    /* '-': operands come in their order, wherever they stand; ':': a missing value is told, not printed. */
    char *letter = stpcpy(scan->letters, "-:");
    for (size_t i = 0; i < count; i++) {
        const struct sq_option *option = scan->list[i];
        scan->known[i] = (struct option){.name = option->name,
                                         .has_arg = option->value == NULL ? no_argument : required_argument,
                                         .val = FIRST_NUMBER + (int)i};
        if (option->letter != 0)
            *letter++ = option->letter;
        if (option->letter != 0 && option->value != NULL)
            *letter++ = ':';
    }
    return 0;
}

static const struct sq_option *option_of(const struct scan *scan, int number)
{
    if (number >= FIRST_NUMBER)
        return scan->list[number - FIRST_NUMBER];
    for (const struct sq_option **option = scan->list; *option != NULL; option++)
        if ((*option)->letter == number)
            return *option;
    return NULL;
}

static int fail_unknown(const struct scan *scan, const char *argument, struct sq_error *error)
{
    char name[40];
    size_t count = count_of(scan->list);
    sq_autofree const char **names = calloc(count + 1, sizeof(*names));
    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = scan->list[i]->name;
    (void)sq_text_copy(name, sizeof name, argument + strspn(argument, "-"));
    name[strcspn(name, "=")] = '\0';
    const char *nearest = names == NULL ? NULL : sq_nearest(name, names, count);
    if (nearest != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "unknown option '%.60s'; did you mean '--%s'?", argument,
                       nearest);
    return sq_fail(error, SQ_BAD_INPUT, "unknown option '%.60s'; `squall --help` lists them", argument);
}

/* What getopt_long could make nothing of; `argument` is where it stands. */
static int fail_option(const struct scan *scan, int answer, const char *argument, struct sq_error *error)
{
    const struct sq_option *option = optopt == 0 ? NULL : option_of(scan, optopt);
    if (option == NULL && optopt != 0 && optopt < FIRST_NUMBER)
        return sq_fail(error, SQ_BAD_INPUT, "unknown option '-%c'; `squall --help` lists them", optopt);
    if (option == NULL)
        return fail_unknown(scan, argument, error);
    if (answer == ':')
        return sq_fail(error, SQ_BAD_INPUT, "'--%s' needs a value: --%s %s", option->name, option->name,
                       option->value);
    return sq_fail(error, SQ_BAD_INPUT, "'--%s' takes no value", option->name);
}

/* getopt_long takes an abbreviation, which the next option of the same beginning would make ambiguous. */
static bool is_abbreviated(const struct sq_option *option, const char *argument)
{
    return strncmp(argument, "--", 2) == 0 && strcspn(argument + 2, "=") != strlen(option->name);
}

/* Operands move to the front of argv; *operand_count tells how many there are. */
static int scan_arguments(int argc, char **argv, struct scan *scan, int *operand_count,
                          struct sq_error *error)
{
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (;;) {
        int answer = getopt_long(argc, argv, scan->letters, scan->known, NULL);
        if (answer == -1)
            break;
        if (answer == 1) {
            argv[(*operand_count)++] = optarg;
            continue;
        }
        if (answer == '?' || answer == ':')
            return fail_option(scan, answer, argv[optind - 1], error);
        const struct sq_option *option = option_of(scan, answer);
        const char *argument = argv[optind - (optarg != NULL && optarg == argv[optind - 1] ? 2 : 1)];
        if (answer >= FIRST_NUMBER && is_abbreviated(option, argument))
            return fail_unknown(scan, argument, error);
        if (scan->given_count == (size_t)argc)
            return sq_fail(error, SQ_BAD_INPUT, "too many options");
        scan->given[scan->given_count++] = (struct given){.option = option, .value = optarg};
    }
    while (optind < argc)
        argv[(*operand_count)++] = argv[optind++];
    return 0;
}

static int apply(const struct sq_option *option, const char *value, struct sq_options *options,
                 struct sq_error *error)
{
    if (option->value != NULL && value[0] == '\0')
        return sq_fail(error, SQ_BAD_INPUT, "'--%s' has an empty value; expected a %s", option->name,
                       option->value);
    if (option->read != NULL)
        return option->read(options, value, error);
    void *place = (char *)options + option->place;
    if (option->value == NULL)
        *(bool *)place = true;
    else
        *(const char **)place = value;
    return 0;
}

static int apply_all(const struct scan *scan, struct sq_command_line *line, struct sq_error *error)
{
    const char *verb = line->command == NULL ? "help" : line->command->name;
    for (size_t i = 0; i < scan->given_count; i++) {
        const char *name = scan->given[i].option->name;
        const struct sq_option *option = find(sq_common_options, name);
        if (option == NULL && line->command != NULL)
            option = find(line->command->options, name);
        if (option == NULL)
            return sq_fail(error, SQ_BAD_INPUT,
                           "`squall %s` has no option '--%s'; `squall help%s%s` lists its options", verb,
                           name, line->command == NULL ? "" : " ", line->command == NULL ? "" : verb);
        if (apply(option, scan->given[i].value, &line->options, error) != 0)
            return -1;
    }
    return 0;
}

static int find_verb(const char *verb, const struct sq_command *const *commands, size_t command_count,
                     struct sq_command_line *line, struct sq_error *error)
{
    sq_autofree const char **names = calloc(command_count + 1, sizeof(*names));
    if (names == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    names[command_count] = "help";
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, verb) == 0)
            line->command = commands[i];
        names[i] = commands[i]->name;
    }
    line->help = strcmp(verb, "help") == 0;
    if (line->command != NULL || line->help)
        return 0;
    const char *nearest = sq_nearest(verb, names, command_count + 1);
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

static int parse(int argc, char **argv, const struct sq_command *const *commands, size_t command_count,
                 struct scan *scan, struct sq_command_line *line, struct sq_error *error)
{
    int count = 0;
    if (scan_begin(argc, commands, command_count, scan, error) != 0 ||
        scan_arguments(argc, argv, scan, &count, error) != 0)
        return -1;
    if (count > 0 && find_verb(argv[0], commands, command_count, line, error) != 0)
        return -1;
    line->options.operands = argv + (count > 0 ? 1 : 0);
    line->options.operand_count = (uint32_t)(count > 0 ? count - 1 : 0);
    if (count > 0 && apply_all(scan, line, error) != 0)
        return -1;
    /* Without a verb, --help and --version alone say enough. */
    for (size_t i = 0; count == 0 && i < scan->given_count; i++)
        if (find(sq_common_options, scan->given[i].option->name) != NULL &&
            apply(scan->given[i].option, scan->given[i].value, &line->options, error) != 0)
            return -1;
    line->help = line->help || line->options.help;
    if (!line->help && line->options.local && line->options.hosts_given)
        return sq_fail(error, SQ_BAD_INPUT,
                       "--local has this machine alone for its inventory and --hosts names another: take one "
                       "of them");
    line->version = line->options.version;
    if (count == 0 && !line->help && !line->version)
        return sq_fail(error, SQ_BAD_INPUT, "no verb; `squall help` lists them");
    return line->help || line->version ? 0 : check_operands(line, error);
}

int sq_command_line_parse(int argc, char **argv, const struct sq_command *const *commands,
                          size_t command_count, struct sq_command_line *line, struct sq_error *error)
{
    sq_auto(scan_cleanup) struct scan scan = {0};
    memset(line, 0, sizeof *line);
    const char *hosts = getenv("SQUALL_HOSTS");
    line->options.hosts_path = hosts != NULL && hosts[0] != '\0' ? hosts : SQ_HOSTS_DEFAULT;
    if (parse(argc, argv, commands, command_count, &scan, line, error) == 0)
        return 0;
    /* Whoever reads JSON reads the complaint as JSON too. */
    for (size_t i = 0; i < scan.given_count; i++)
        if (scan.given[i].option == &sq_option_json)
            line->options.json = true;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0) /* behind what is wrong */
            line->options.json = true;
    return -1;
}
