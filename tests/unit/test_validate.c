/* libraries: sq_commands PkgConfig::JANSSON */
#include "commands/command.h"

#include "common/file.h"
#include "model/ending.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char output[20000]; /* what the verb printed on both streams */

static void path_of(const char *name, char path[128])
{
    (void)snprintf(path, 128, "%s/%s", folder, name);
}

static void write_file(const char *name, const char *content)
{
    char path[128];
    path_of(name, path);
    assert_int_equal(sq_file_write(path, content, strlen(content), 0600, NULL), 0);
}

static const char good[] = "title: Cut web\n"
                           "parameters: {n: 1}\n"
                           "method:\n"
                           "- name: cut\n"
                           "  fault: network.partition\n"
                           "  targets: {labels: {role: web}, count: \"${n}\"}\n"
                           "  with: {to: 10.0.0.0/8}\n"
                           "  duration: 10s\n";
static const char inventory[] = "hosts:\n- {name: a, agent: 'ipc:///run/a', labels: {role: web}}\n"
                                "- {name: b, agent: 'ipc:///run/b', labels: {role: db}}\n";

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/squall-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    write_file("good.yaml", good);
    write_file("bad.yaml", "titel: x\nmethod: {}\n");
    write_file("hosts.yaml", inventory);
    write_file("twice.yaml",
               "hosts:\n- {name: a, agent: 'ipc:///run/a'}\n- {name: a, agent: 'ipc:///run/b'}\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"good.yaml", "bad.yaml", "hosts.yaml", "twice.yaml", "output"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_of(names[i], path);
        (void)unlink(path);
    }
    return rmdir(folder);
}

/* Runs the verb with both streams in a file, read into `output`. */
static int run(struct sq_options *options)
{
    char path[128];
    path_of("output", path);
    (void)fflush(stdout);
    (void)fflush(stderr);
    int saved[2] = {dup(1), dup(2)};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)dup2(fileno(file), 1);
    (void)dup2(fileno(file), 2);
    int status = sq_command_validate.run(options);
    (void)fflush(stdout);
    (void)fflush(stderr);
    (void)dup2(saved[0], 1);
    (void)dup2(saved[1], 2);
    (void)close(saved[0]);
    (void)close(saved[1]);
    (void)fclose(file);
    assert_true(sq_file_read_into(path, output, sizeof output) >= 0);
    return status;
}

static int validate(const char *first, const char *second, struct sq_options *options)
{
    static char paths[2][128];
    static char *operands[2] = {paths[0], paths[1]};
    path_of(first, paths[0]);
    path_of(second == NULL ? "" : second, paths[1]);
    options->operands = operands;
    options->operand_count = second == NULL ? 1 : 2;
    return run(options);
}

static void expect_output(const char *text)
{
    if (strstr(output, text) == NULL)
        fail_msg("expected '%s' in:\n%s", text, output);
}

static void test_valid(void **state)
{
    (void)state;
    struct sq_options options = {0};
    assert_int_equal(validate("good.yaml", "hosts.yaml", &options), SQ_EXIT_COMPLETED);
    expect_output("good.yaml: valid: Cut web (1 step, 0 probes)\n");
    expect_output("hosts.yaml: valid: an inventory of 2 hosts\n");
}

static void test_invalid(void **state)
{
    (void)state;
    struct sq_options options = {0};
    assert_int_equal(validate("bad.yaml", "good.yaml", &options), SQ_EXIT_WRONG);
    expect_output("bad.yaml:1:1: unknown key 'titel' in the experiment; did you mean 'title'?");
    expect_output("bad.yaml:1:1: 'title' is missing");
    expect_output("bad.yaml:2:9: 'method' is a map");
    expect_output("good.yaml: valid");
    assert_int_equal(validate("twice.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("twice.yaml:3:3: the host 'a' stands here twice; it was first on line 2");
    assert_int_equal(validate("gone.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("gone.yaml: No such file or directory");
}

static void test_against_an_inventory(void **state)
{
    (void)state;
    char path[128];
    path_of("hosts.yaml", path);
    struct sq_options options = {.hosts_path = path, .hosts_given = true};
    assert_int_equal(validate("good.yaml", NULL, &options), SQ_EXIT_COMPLETED);
    expect_output("(1 step, 0 probes, hits 1 host)");
    options.setting_count = 1;
    strcpy(options.settings[0].name, "n");
    strcpy(options.settings[0].value, "2");
    assert_int_equal(validate("good.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("good.yaml:6:12: 1 host matches, 2 asked for");
    path_of("twice.yaml", path);
    assert_int_equal(validate("good.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("stands here twice");
}

static void test_json(void **state)
{
    (void)state;
    struct sq_options options = {.json = true};
    assert_int_equal(validate("good.yaml", "bad.yaml", &options), SQ_EXIT_WRONG);
    json_t *result = json_loads(output, 0, NULL);
    assert_non_null(result);
    assert_int_equal(json_integer_value(json_object_get(result, "exit_status")), SQ_EXIT_WRONG);
    const json_t *files = json_object_get(result, "files");
    assert_int_equal(json_array_size(files), 2);
    const json_t *first = json_array_get(files, 0);
    assert_true(json_is_true(json_object_get(first, "valid")));
    assert_string_equal(json_string_value(json_object_get(first, "title")), "Cut web");
    const json_t *second = json_array_get(files, 1);
    assert_true(json_is_false(json_object_get(second, "valid")));
    assert_int_equal(json_array_size(json_object_get(second, "problems")), 3);
    const json_t *problem = json_array_get(json_object_get(second, "problems"), 0);
    assert_non_null(strstr(json_string_value(json_object_get(problem, "file")), "bad.yaml"));
    assert_true(json_integer_value(json_object_get(problem, "line")) > 0);
    assert_true(json_integer_value(json_object_get(problem, "column")) > 0);
    json_decref(result);
}

/* What a file quotes into a message must not reach the terminal as an escape sequence. */
static void test_escape_sequences(void **state)
{
    (void)state;
    write_file("bad.yaml", "title: t\nmethod: []\n\"\\e[31mred\\x80\": 1\n");
    struct sq_options options = {0};
    assert_int_equal(validate("bad.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("unknown key '?[31mred");
    assert_null(strchr(output, '\033'));
    options.json = true;
    assert_int_equal(validate("bad.yaml", NULL, &options), SQ_EXIT_WRONG);
    json_t *result = json_loads(output, 0, NULL);
    assert_non_null(result);
    json_decref(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_against_an_inventory),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_escape_sequences),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
