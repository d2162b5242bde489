/* libraries: sq_commands PkgConfig::JANSSON */
#include "commands/inventory.h"
#include "commands/output.h"
#include "reading/input.h"

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
#include <sys/stat.h>
#include <sys/wait.h>
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
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command); /* NOLINT(cert-env33-c): a path of our own */
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

/* The first key that is not known says less than what the file is. */
static void test_another_kind_of_file(void **state)
{
    (void)state;
    struct sq_experiment *experiment = NULL;
    struct sq_inventory *read = NULL;
    struct sq_input input = {0};
    struct sq_error error = {0};
    struct sq_options options = {0};
    char path[128];
    path_of("good.yaml", path);
    options.hosts_path = path;
    options.hosts_given = true;
    assert_int_equal(sq_command_inventory(&options, false, &read, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "good.yaml is an experiment, where an inventory is expected"));
    assert_int_equal(validate("good.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("good.yaml is an experiment, where an inventory is expected");
    path_of("hosts.yaml", path);
    assert_int_equal(sq_input_read(path, &input, &error), 0);
    assert_int_equal(sq_command_read_experiment(&options, &input, &experiment, &error), -1);
    assert_non_null(strstr(error.text, "hosts.yaml is an inventory, where an experiment is expected"));
    sq_input_free(&input);
    /* One with a slip in it is still an experiment. */
    path_of("bad.yaml", path);
    assert_int_equal(sq_input_read(path, &input, &error), 0);
    assert_int_equal(sq_command_read_experiment(&options, &input, &experiment, &error), -1);
    assert_non_null(strstr(error.text, "unknown key 'titel'"));
    sq_input_free(&input);
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

/* Each is known by its keys, and judged as the agent judges it. */
static void test_policies_and_agents(void **state)
{
    (void)state;
    struct sq_options options = {0};
    write_file("policy.yaml", "allow: [network.*]\nmax-duration: 1m\n");
    write_file("agent.yaml", "listen: ['ipc:///run/squall/agent.sock']\nuser: nobody-here\n");
    assert_int_equal(validate("policy.yaml", "agent.yaml", &options), SQ_EXIT_COMPLETED);
    expect_output("policy.yaml: valid: a policy that allows 3 of ");
    expect_output("agent.yaml: valid: an agent's configuration, listening on 1 address ");
    write_file("policy.yaml", "alow: []\nmax-duration: 1y\nprotect: {ports: [0, 22, x], peer: []}\n");
    write_file("agent.yaml", "listen: ['tcp://0.0.0.0:1', 'tls+tcp://0.0.0.0:7433']\nsocket-mode: 9\n");
    assert_int_equal(validate("policy.yaml", "agent.yaml", &options), SQ_EXIT_WRONG);
    expect_output("policy.yaml:1:1: unknown key 'alow' in the policy; did you mean 'allow'?");
    expect_output("policy.yaml:1:1: the policy has no 'allow'");
    expect_output("policy.yaml:2:15: '1y'");
    expect_output("policy.yaml:3:19: '0' is no port");
    expect_output("policy.yaml:3:26: 'x' is no port");
    expect_output("policy.yaml:3:30: unknown key 'peer' in 'protect'");
    expect_output("agent.yaml:1:10: 'tcp://0.0.0.0:1' is plain TCP");
    expect_output("agent.yaml:1:9: a tls+tcp:// address needs 'tls'");
    expect_output("agent.yaml:2:14: '9' is no mode");
}

static void test_other_kinds(void **state)
{
    (void)state;
    struct sq_options options = {0};
    write_file("sd.json", "[{\"targets\": [\"fd00::1:9100\", \"http://a\"]}]\n");
    write_file("broken.plan", "{\"sha256\": \"x\",\n \"format\": \"squall plan 1\"}");
    assert_int_equal(validate("sd.json", "broken.plan", &options), SQ_EXIT_WRONG);
    expect_output("sd.json:1:15: the target 'fd00::1:9100' has several colons and no brackets");
    expect_output("sd.json:1:31: the target 'http://a' is a URL");
    expect_output("broken.plan: ");
    write_file("controller.yaml", "prometheus: {url: 'http://p:9090'}\n");
    write_file("other.yaml", "services: {web: {image: x}}\nversion: 3\n");
    assert_int_equal(validate("controller.yaml", "other.yaml", &options), SQ_EXIT_WRONG);
    expect_output("controller.yaml: valid: settings of the controller");
    expect_output("other.yaml: nothing in it tells what it is meant as; expected an experiment");
    write_file("other.yaml", "");
    assert_int_equal(validate("other.yaml", NULL, &options), SQ_EXIT_WRONG);
    expect_output("other.yaml: the file is empty; expected an experiment");
}

static void make_tree(void)
{
    static const char *const folders[] = {"tree", "tree/b", "tree/.git", "none"};
    char path[128];
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        path_of(folders[i], path);
        (void)mkdir(path, 0700);
    }
    write_file("tree/a.yaml", good);
    write_file("tree/b/z.yml", good);
    write_file("tree/b/hosts.json", "{\"hosts\": [{\"name\": \"a\", \"agent\": \"ipc:///run/a\"}]}");
    write_file("tree/compose.yaml", "services: {}\n");
    write_file("tree/notes.txt", "title: no\n");
    write_file("tree/.git/c.yaml", "title: no\n");
    path_of("tree/b/loop", path);
    (void)symlink("..", path);
}

/* All below, sorted; and what is left out, why. */
static void test_folders(void **state)
{
    (void)state;
    struct sq_options options = {0};
    make_tree();
    assert_int_equal(validate("tree", NULL, &options), SQ_EXIT_COMPLETED);
    static const char *const order[] = {
        "tree/.git: skipped: its name begins with a dot\n",
        "tree/a.yaml: valid: Cut web",
        "tree/b/hosts.json: valid: an inventory of 1 host",
        "tree/b/loop: skipped: it is a link to a folder\n",
        "tree/b/z.yml: valid: Cut web",
        "tree/compose.yaml: skipped: it has no key of any file of squall's\n",
        "tree/notes.txt: skipped: it is no .yaml, .yml, .json or .plan\n",
    };
    const char *rest = output;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        rest = strstr(rest, order[i]);
        if (rest == NULL)
            fail_msg("expected '%s' in its order in:\n%s", order[i], output);
    }
    assert_int_equal(validate("none", NULL, &options), SQ_EXIT_WRONG);
    expect_output("there is nothing to check in ");
    options.json = true;
    assert_int_equal(validate("tree", "bad.yaml", &options), SQ_EXIT_WRONG);
    json_t *result = json_loads(output, 0, NULL);
    const json_t *files = json_object_get(result, "files");
    assert_int_equal(json_array_size(files), 8);
    assert_string_equal(json_string_value(json_object_get(json_array_get(files, 3), "skipped")),
                        "it is a link to a folder");
    const json_t *problem = json_array_get(json_object_get(json_array_get(files, 7), "problems"), 0);
    assert_string_equal(json_string_value(json_object_get(problem, "severity")), "error");
    assert_string_equal(json_string_value(json_object_get(problem, "kind")), "experiment");
    json_decref(result);
}

/* What can be read once only is read once: a FIFO here, as of a shell's <(...). */
static void test_fifo(void **state)
{
    (void)state;
    char path[128];
    struct sq_options options = {0};
    path_of("fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t writer = fork();
    if (writer == 0) {
        FILE *stream = fopen(path, "we");
        (void)fputs(good, stream);
        (void)fclose(stream);
        _exit(0);
    }
    assert_int_equal(validate("fifo", NULL, &options), SQ_EXIT_COMPLETED);
    expect_output("fifo: valid: Cut web (1 step, 0 probes)\n");
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_against_an_inventory),
        cmocka_unit_test(test_another_kind_of_file),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_policies_and_agents),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_escape_sequences),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
