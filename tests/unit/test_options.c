/* libraries: sq_commands */
#include "commands/help.h"
#include "commands/options.h"
#include "model/ending.h"
#include "screen/style.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int run_nothing(const struct sq_options *options)
{
    (void)options;
    return 0;
}

static const struct sq_option yes = {
    .name = "yes", .letter = 'y', .help = "go on", .place = offsetof(struct sq_options, yes)};
static const struct sq_option output = {.name = "output",
                                        .letter = 'o',
                                        .value = "PLAN",
                                        .help = "write there",
                                        .place = offsetof(struct sq_options, output_path)};
static const struct sq_option record = {.name = "record",
                                        .value = "FILE",
                                        .help = "record there",
                                        .place = offsetof(struct sq_options, record_path)};
static const struct sq_option offline = {
    .name = "offline", .help = "ask nobody", .place = offsetof(struct sq_options, offline)};

static const struct sq_option *const of_check[] = {&sq_option_hosts, &sq_option_set, &sq_option_json, NULL};
static const struct sq_option *const of_go[] = {
    &yes, &output, &record, &offline, &sq_option_local, &sq_option_hosts, NULL};

static const struct sq_command check = {.name = "check",
                                        .synopsis = "check FILE...",
                                        .help = "check files\n\nAt length.\n",
                                        .options = of_check,
                                        .operands_least = 1,
                                        .operands_most = 3,
                                        .run = run_nothing};
static const struct sq_command go = {
    .name = "go", .synopsis = "go", .help = "go on\n", .options = of_go, .run = run_nothing};
static const struct sq_command *const commands[] = {&check, &go};

/* `text` is split at its spaces. */
static int parse(const char *text, struct sq_command_line *line, struct sq_error *error)
{
    static char words[500];
    static char *argv[30];
    int argc = 0;
    (void)snprintf(words, sizeof words, "squall %s", text);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return sq_command_line_parse(argc, argv, commands, 2, line, error);
}

static void test_good(void **state)
{
    (void)state;
    struct sq_command_line line;
    assert_int_equal(unsetenv("SQUALL_HOSTS"), 0);
    assert_int_equal(parse("check a --set x=1 b --json --set y=k=v --color never -- --c", &line, NULL), 0);
    assert_ptr_equal(line.command, &check);
    assert_int_equal(line.options.operand_count, 3);
    assert_string_equal(line.options.operands[0], "a");
    assert_string_equal(line.options.operands[2], "--c");
    assert_true(line.options.json);
    assert_false(line.options.yes);
    assert_int_equal(line.options.color, SQ_COLOR_NEVER);
    assert_int_equal(line.options.setting_count, 2);
    assert_string_equal(line.options.settings[1].name, "y");
    assert_string_equal(line.options.settings[1].value, "k=v");
    assert_string_equal(line.options.hosts_path, SQ_HOSTS_DEFAULT);
    assert_false(line.options.hosts_given);
    assert_int_equal(parse("--yes go -oplan --record=r.json --offline --local", &line, NULL), 0);
    assert_string_equal(line.options.output_path, "plan");
    assert_string_equal(line.options.record_path, "r.json");
    assert_true(line.options.yes && line.options.offline && line.options.local);
    assert_int_equal(parse("go -o plan", &line, NULL), 0);
    assert_string_equal(line.options.output_path, "plan");
    assert_int_equal(parse("go -yo plan", &line, NULL), 0);
    assert_string_equal(line.options.output_path, "plan");
    assert_true(line.options.yes);
    assert_int_equal(parse("check -", &line, NULL), 0);
    assert_string_equal(line.options.operands[0], "-");
}

/* Wherever it stands, whatever POSIXLY_CORRECT says of the order. */
static void test_options_behind_operands(void **state)
{
    (void)state;
    struct sq_command_line line;
    assert_int_equal(setenv("POSIXLY_CORRECT", "1", 1), 0);
    assert_int_equal(parse("check a --json", &line, NULL), 0);
    assert_true(line.options.json);
    assert_int_equal(line.options.operand_count, 1);
    assert_int_equal(unsetenv("POSIXLY_CORRECT"), 0);
}

/* Whoever asked for JSON gets the complaint as JSON. */
static void test_json_of_a_wrong_line(void **state)
{
    (void)state;
    struct sq_command_line line;
    struct sq_error error;
    assert_int_equal(parse("check a --json --zebra", &line, &error), -1);
    assert_true(line.options.json);
    assert_int_equal(parse("check a --zebra --json", &line, &error), -1);
    assert_true(line.options.json);
    assert_int_equal(parse("check a --zebra -- --json", &line, &error), -1);
    assert_false(line.options.json);
    assert_int_equal(parse("check a b c d --json", &line, &error), -1);
    assert_true(line.options.json);
}

static void test_hosts(void **state)
{
    (void)state;
    struct sq_command_line line;
    assert_int_equal(setenv("SQUALL_HOSTS", "mine.yaml", 1), 0);
    assert_int_equal(parse("check a", &line, NULL), 0);
    assert_string_equal(line.options.hosts_path, "mine.yaml");
    assert_false(line.options.hosts_given);
    assert_int_equal(parse("check a --hosts other.yaml", &line, NULL), 0);
    assert_string_equal(line.options.hosts_path, "other.yaml");
    assert_true(line.options.hosts_given);
    assert_int_equal(unsetenv("SQUALL_HOSTS"), 0);
}

static void test_help_needs_no_operands(void **state)
{
    (void)state;
    struct sq_command_line line;
    assert_int_equal(parse("check --help", &line, NULL), 0);
    assert_true(line.help);
    assert_ptr_equal(line.command, &check);
    assert_int_equal(parse("help check", &line, NULL), 0);
    assert_true(line.help);
    assert_null(line.command);
    assert_string_equal(line.options.operands[0], "check");
    static const char *const versions[] = {"--version", "-V", "check -V", "--color never --version"};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        assert_int_equal(parse(versions[i], &line, NULL), 0);
        assert_true(line.version);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"", "no verb"},
        {"--json", "no verb"},
        {"chekc a", "unknown verb 'chekc'; did you mean 'check'?"},
        {"zebra", "unknown verb 'zebra'; `squall help` lists them"},
        {"check a --jsno", "unknown option '--jsno'; did you mean '--json'?"},
        {"check a --zebra=1", "unknown option '--zebra=1'; `squall --help` lists them"},
        {"check a --js", "unknown option '--js'"},
        {"check a --col always", "unknown option '--col'"},
        {"check a --color", "'--color' needs a value: --color WHEN"},
        {"go -o", "'--output' needs a value: --output PLAN"},
        {"check a -x", "unknown option '-x'"},
        {"check a --yes", "`squall check` has no option '--yes'"},
        {"go --set a=1", "`squall go` has no option '--set'"},
        {"help --json", "`squall help` has no option '--json'"},
        {"check", "`squall check` needs more: squall check FILE..."},
        {"check a b c d", "`squall check` does not take 'd'"},
        {"go a", "`squall go` does not take 'a'"},
        {"check a --json=1", "'--json' takes no value"},
        {"go --local --hosts x.yaml", "take one of them"},
        {"check a --hosts", "'--hosts' needs a value: --hosts FILE"},
        {"check a --hosts=", "'--hosts' has an empty value"},
        {"check a --set x", "'--set x' is no setting"},
        {"check a --set =x", "'--set =x' is no setting"},
        {"check a --set x=1 --set x=2", "'--set x' stands twice"},
        {"check a --color red", "'--color red': expected auto, always or never"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sq_command_line line;
        struct sq_error error = {0};
        if (parse(cases[i].text, &line, &error) == 0)
            fail_msg("'%s' was accepted", cases[i].text);
        assert_int_equal(sq_exit_of(error.code), SQ_EXIT_WRONG);
        if (strstr(error.text, cases[i].message) == NULL)
            fail_msg("expected '%s' in: %s", cases[i].message, error.text);
    }
}

static char *help_on(const char *topic, struct sq_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    int result = 0;
    if (topic == NULL)
        sq_help_print(stream, commands, 2);
    else
        result = sq_help_print_topic(stream, topic, commands, 2, error);
    (void)fclose(stream);
    if (result != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void test_help(void **state)
{
    (void)state;
    struct sq_error error = {0};
    char *text = help_on(NULL, &error);
    static const char *const in_global[] = {
        "check FILE...", "go on", "network.partition", "process.kill", "--set NAME=VALUE", "SQUALL_HOSTS"};
    for (size_t i = 0; i < sizeof in_global / sizeof in_global[0]; i++)
        assert_non_null(strstr(text, in_global[i]));
    free(text);
    text = help_on("check", &error);
    assert_non_null(strstr(text, "Usage: squall check FILE..."));
    assert_non_null(strstr(text, "At length."));
    assert_non_null(strstr(text, "--hosts FILE"));
    assert_null(strstr(text, "--yes"));
    free(text);
    assert_null(help_on("network.partitoin", &error));
    assert_string_equal(error.text, "no help on 'network.partitoin'; did you mean 'network.partition'?");
}

static void expect_narrow(const char *what, const char *text)
{
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (length > 80)
            fail_msg("help on %s is wider than 80 columns: %.*s", what, (int)length, line);
        line += length;
        line += *line == '\n' ? 1 : 0;
    }
}

/* Of every verb and every fault. */
static void test_width(void **state)
{
    (void)state;
    for (size_t i = 0; i <= sq_command_count + sq_fault_table_count; i++) {
        const char *topic = i == 0                  ? NULL
                            : i <= sq_command_count ? sq_commands[i - 1]->name
                                                    : sq_fault_table[i - sq_command_count - 1]->name;
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        struct sq_error error;
        if (topic == NULL)
            sq_help_print(stream, sq_commands, sq_command_count);
        else
            assert_int_equal(sq_help_print_topic(stream, topic, sq_commands, sq_command_count, &error), 0);
        (void)fclose(stream);
        assert_true(size > 100);
        expect_narrow(topic == NULL ? "squall" : topic, text);
        free(text);
    }
}

/* One name is one option: the command line is read before the verb is known. */
static void test_tables(void **state)
{
    (void)state;
    const struct sq_option **list = sq_option_list(sq_commands, sq_command_count);
    assert_non_null(list);
    for (size_t v = 0; v < sq_command_count; v++) {
        for (const struct sq_option *const *own = sq_commands[v]->options; *own != NULL; own++) {
            size_t same = 0;
            for (const struct sq_option **other = list; *other != NULL; other++) {
                bool is_namesake = strcmp((*other)->name, (*own)->name) == 0;
                same += is_namesake;
                if (is_namesake)
                    assert_true((*own)->letter == (*other)->letter &&
                                ((*own)->value == NULL) == ((*other)->value == NULL));
                else
                    assert_true((*own)->letter == 0 || (*own)->letter != (*other)->letter);
            }
            assert_int_equal(same, 1);
        }
    }
    free(list);
}

/* What stands in for --hosts is told where something does. */
static void test_help_on_hosts(void **state)
{
    (void)state;
    struct sq_error error;
    char *text[2] = {NULL, NULL};
    size_t size;
    FILE *stream = open_memstream(&text[0], &size);
    sq_help_print(stream, sq_commands, sq_command_count);
    (void)fclose(stream);
    stream = open_memstream(&text[1], &size);
    assert_int_equal(sq_help_print_topic(stream, "validate", sq_commands, sq_command_count, &error), 0);
    (void)fclose(stream);
    assert_non_null(strstr(text[0], "without it SQUALL_HOSTS"));
    assert_non_null(strstr(text[1], "--hosts FILE"));
    assert_null(strstr(text[1], "SQUALL_HOSTS"));
    free(text[0]);
    free(text[1]);
}

/* The help on a fault kind names every parameter that its table has. */
static void test_help_on_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        const struct sq_fault_info *info = sq_fault_table[i];
        struct sq_error error = {0};
        char *text = help_on(info->name, &error);
        assert_non_null(text);
        for (size_t p = 0; p < info->param_count; p++) {
            char term[80];
            (void)snprintf(term, sizeof term, "\n  %s ", info->params[p].key);
            assert_non_null(strstr(text, term));
        }
        free(text);
    }
}

static void test_exit_statuses(void **state)
{
    (void)state;
    static const enum sq_exit expected[] = {
        [SQ_OK] = SQ_EXIT_COMPLETED,       [SQ_BAD_INPUT] = SQ_EXIT_WRONG,
        [SQ_POLICY] = SQ_EXIT_REFUSED,     [SQ_CONFLICT] = SQ_EXIT_REFUSED,
        [SQ_UNABLE] = SQ_EXIT_REFUSED,     [SQ_NOBODY] = SQ_EXIT_REFUSED,
        [SQ_LIMIT] = SQ_EXIT_REFUSED,      [SQ_UNKNOWN] = SQ_EXIT_FAILED,
        [SQ_STALE] = SQ_EXIT_FAILED,       [SQ_VERSION_GAP] = SQ_EXIT_FAILED,
        [SQ_UNREACHABLE] = SQ_EXIT_FAILED, [SQ_TIMEOUT] = SQ_EXIT_FAILED,
        [SQ_NO_DATA] = SQ_EXIT_FAILED,     [SQ_NOT_STEADY] = SQ_EXIT_REFUSED,
        [SQ_DEVIATED] = SQ_EXIT_DEVIATED,  [SQ_ABORTED] = SQ_EXIT_ABORTED,
        [SQ_UNCLEAN] = SQ_EXIT_UNCLEAN,    [SQ_SYSTEM] = SQ_EXIT_FAILED,
        [SQ_INTERNAL] = SQ_EXIT_FAILED,    [SQ_VANISHED] = SQ_EXIT_FAILED,
    };
    _Static_assert(sizeof expected / sizeof expected[0] == SQ_CODE_MAX + 1, "every code");
    for (int code = 0; code <= SQ_CODE_MAX; code++)
        assert_int_equal(sq_exit_of(code), expected[code]);
}

static void test_color(void **state)
{
    (void)state;
    FILE *stream = tmpfile();
    assert_non_null(stream);
    assert_true(sq_style_is_wanted(SQ_COLOR_ALWAYS, stream));
    assert_false(sq_style_is_wanted(SQ_COLOR_NEVER, stream));
    assert_false(sq_style_is_wanted(SQ_COLOR_AUTO, stream));
    (void)fclose(stream);
    assert_string_equal(sq_style_begin(false, SQ_STYLE_BAD), "");
    assert_string_equal(sq_style_begin(true, SQ_STYLE_BAD), "\033[31m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_options_behind_operands),
        cmocka_unit_test(test_json_of_a_wrong_line),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_help_needs_no_operands),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_help_on_hosts),
        cmocka_unit_test(test_help_on_faults),
        cmocka_unit_test(test_exit_statuses),
        cmocka_unit_test(test_color),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
