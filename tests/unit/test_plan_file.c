/* libraries: sq_commands PkgConfig::JANSSON */
#include "planning/plan_file.h"

#include "common/cleanup.h"
#include "common/file.h"
#include "common/text.h"
#include "planning/plan.h"
#include "reading/experiment.h"
#include "reading/inventory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char inventory_text[] = "hosts:\n"
                                     "- {name: web1, agent: 'ipc:///run/web1.sock', labels: {role: web}}\n"
                                     "- {name: web2, agent: 'ipc:///run/web2.sock', labels: {role: web}}\n"
                                     "- {name: db1, agent: 'ipc:///run/db1.sock', labels: {role: db}}\n";
static const char experiment_text[] =
    "title: Two webs\n"
    "parameters: {peer: 10.0.0.0/8}\n"
    "method:\n"
    "- {name: cut, fault: network.partition, targets: {labels: {role: web}}, with: {to: '${peer}'}, "
    "duration: 10s}\n"
    "- {name: kill, fault: process.kill, targets: {hosts: [db1]}, with: {comm: postgres}, duration: 2s}\n";

static char directory[] = "/tmp/squall-plan-file.XXXXXX";
static char path[64];

/* An inventory, the experiment and a plan with one line touched per fault, as agents would have said. */
struct world {
    struct sq_inventory *inventory;
    struct sq_experiment *experiment;
    struct sq_plan *plan;
};

static void make_world(struct world *world, const char *inventory, const struct sq_setting *settings,
                       uint32_t setting_count)
{
    struct sq_error error = {0};
    memset(world, 0, sizeof(*world));
    if (sq_inventory_parse("hosts.yaml", inventory, strlen(inventory), &world->inventory, &error) != 0 ||
        sq_experiment_parse("two.yaml", experiment_text, strlen(experiment_text), settings, setting_count,
                            &world->experiment, &error) != 0 ||
        sq_plan_make(world->experiment, world->inventory, &world->plan, &error) != 0)
        fail_msg("%s", error.text);
    for (uint32_t i = 0; i < world->plan->host_count; i++) {
        struct sq_plan_host *host = &world->plan->hosts[i];
        host->reports = calloc(host->fault_count, sizeof(*host->reports));
        assert_non_null(host->reports);
        host->report_count = host->fault_count;
        host->previewed = true;
        for (uint32_t j = 0; j < host->fault_count; j++)
            sq_report_line(&host->reports[j], SQ_LINE_TOUCHES, "something on %s", host->host->name);
    }
}

static void free_world(struct world *world)
{
    sq_plan_free(world->plan);
    sq_experiment_free(world->experiment);
    sq_inventory_free(world->inventory);
}

static bool is_plan(const char *name)
{
    sq_autoinput struct sq_input input = {0};
    return sq_input_read(name, &input, NULL) == 0 && sq_plan_file_is(&input);
}

static int load(struct sq_plan_file **file, struct sq_error *error)
{
    sq_autoinput struct sq_input input = {0};
    return sq_input_read(path, &input, error) != 0 ? -1 : sq_plan_file_load(&input, file, error);
}

static struct sq_plan_file *written(const struct world *world, bool offline,
                                    const struct sq_setting *settings, uint32_t setting_count)
{
    struct sq_error error = {0};
    char sha256[SQ_SHA256_TEXT_MAX];
    if (sq_plan_file_write(path, world->plan, offline, experiment_text, settings, setting_count, sha256,
                           &error) != 0)
        fail_msg("%s", error.text);
    assert_true(is_plan(path));
    struct sq_plan_file *file = NULL;
    if (load(&file, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(file->sha256, sha256);
    return file;
}

static void test_there_and_back(void **state)
{
    (void)state;
    const struct sq_setting setting = {.name = "peer", .value = "10.9.0.0/16"};
    struct world world;
    make_world(&world, inventory_text, &setting, 1);
    sq_autoplan_file struct sq_plan_file *file = written(&world, false, &setting, 1);
    assert_string_equal(file->experiment_text, experiment_text);
    assert_string_equal(file->experiment_path, "two.yaml");
    assert_string_equal(file->inventory_path, "hosts.yaml");
    assert_int_equal(file->setting_count, 1);
    assert_false(file->offline);
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    assert_int_equal(sq_plan_file_experiment(file, &experiment, NULL), 0);
    struct sq_cidr cidr;
    assert_int_equal(sq_cidr_parse("10.9.0.0/16", &cidr, NULL), 0);
    assert_memory_equal(&experiment->steps[0].spec.partition.selector.to[0], &cidr, sizeof(cidr));
    char *differences = NULL;
    assert_int_equal(sq_plan_file_compare(file, world.plan, &differences, NULL), 0);
    assert_null(differences);
    free_world(&world);
}

/* Compare with a changed world; the differences must hold each of the parts. */
static void expect_differences(const struct sq_plan_file *file, const struct world *now,
                               const char *const *parts)
{
    sq_autofree char *differences = NULL;
    struct sq_error error = {0};
    assert_int_equal(sq_plan_file_compare(file, now->plan, &differences, &error), -1);
    assert_int_equal(error.code, SQ_CONFLICT);
    for (; *parts != NULL; parts++)
        if (strstr(differences, *parts) == NULL)
            fail_msg("'%s' is not in: %s", *parts, differences);
}

static void test_what_is_touched_is_promised(void **state)
{
    (void)state;
    struct world then;
    struct world now;
    make_world(&then, inventory_text, NULL, 0);
    sq_autoplan_file struct sq_plan_file *file = written(&then, false, NULL, 0);
    make_world(&now, inventory_text, NULL, 0);
    struct sq_fault_report *report = &now.plan->hosts[1].reports[0];
    report->line_count = 0;
    sq_report_line(report, SQ_LINE_TOUCHES, "something else");
    sq_report_line(report, SQ_LINE_SPARES, "a friend");
    expect_differences(file, &now,
                       (const char *const[]){"web2: no longer: touches something on web2",
                                             "web2: new: touches something else",
                                             "web2: new: spares a friend", NULL});
    free_world(&now);
    make_world(&now, inventory_text, NULL, 0);
    sq_report_line(&now.plan->hosts[0].reports[0], SQ_LINE_NOTE, "a note is no promise");
    char *differences = NULL;
    assert_int_equal(sq_plan_file_compare(file, now.plan, &differences, NULL), 0);
    now.plan->hosts[0].reports[0].lines_dropped = 3;
    expect_differences(file, &now, (const char *const[]){"web1: another number of things", NULL});
    free_world(&now);
    free_world(&then);
}

/* The agent of --local has another URL every time, and is the same host. */
static void test_a_plan_of_local(void **state)
{
    (void)state;
    static const char elsewhere[] = "hosts:\n"
                                    "- {name: web1, agent: 'ipc:///run/x1/agent.sock', labels: {role: web}}\n"
                                    "- {name: web2, agent: 'ipc:///run/x2/agent.sock', labels: {role: web}}\n"
                                    "- {name: db1, agent: 'ipc:///run/x3/agent.sock', labels: {role: db}}\n";
    struct world then;
    struct world now;
    make_world(&then, inventory_text, NULL, 0);
    (void)strcpy(then.inventory->path, SQ_INVENTORY_LOCAL);
    sq_autoplan_file struct sq_plan_file *file = written(&then, false, NULL, 0);
    make_world(&now, elsewhere, NULL, 0);
    char *differences = NULL;
    assert_int_equal(sq_plan_file_compare(file, now.plan, &differences, NULL), -1);
    free(differences);
    (void)strcpy(now.inventory->path, SQ_INVENTORY_LOCAL);
    struct sq_error error;
    if (sq_plan_file_compare(file, now.plan, &differences, &error) != 0)
        fail_msg("%s", differences);
    free_world(&now);
    free_world(&then);
}

static void test_hosts_and_orders_are_promised(void **state)
{
    (void)state;
    static const char other_hosts[] =
        "hosts:\n"
        "- {name: web1, agent: 'ipc:///run/elsewhere.sock', labels: {role: web}}\n"
        "- {name: web3, agent: 'ipc:///run/web3.sock', labels: {role: web}}\n"
        "- {name: db1, agent: 'ipc:///run/db1.sock', labels: {role: db}}\n";
    const struct sq_setting setting = {.name = "peer", .value = "10.9.0.0/16"};
    struct world then;
    struct world now;
    make_world(&then, inventory_text, NULL, 0);
    for (int offline = 0; offline < 2; offline++) {
        sq_autoplan_file struct sq_plan_file *file = written(&then, offline != 0, NULL, 0);
        make_world(&now, other_hosts, NULL, 0);
        expect_differences(file, &now,
                           (const char *const[]){"web1: its agent's URL is another one",
                                                 "web2: no longer among", "web3: would be hit now", NULL});
        free_world(&now);
        make_world(&now, inventory_text, &setting, 1);
        expect_differences(file, &now,
                           (const char *const[]){"web1: a fault is ordered otherwise: with", NULL});
        free_world(&now);
    }
    free_world(&then);
}

/* Load `text` as a plan and expect a refusal that says `part`. */
static void expect_refused(const char *text, const char *part)
{
    struct sq_error error = {0};
    struct sq_plan_file *file = NULL;
    assert_int_equal(sq_file_write(path, text, strlen(text), 0600, NULL), 0);
    assert_int_equal(load(&file, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, error.text);
}

static void test_bad_files(void **state)
{
    (void)state;
    struct world world;
    make_world(&world, inventory_text, NULL, 0);
    sq_plan_file_free(written(&world, false, NULL, 0));
    free_world(&world);
    sq_autofree char *text = NULL;
    size_t length = 0;
    assert_int_equal(sq_file_read(path, 1 << 20, &text, &length, NULL), 0);
    /* Every single changed letter of a promise is found out. */
    char *touched = strstr(text, "something on web2");
    assert_non_null(touched);
    touched[0] = 'S';
    expect_refused(text, "was changed after it was made");
    touched[0] = 's';
    /* Layout is no content. */
    sq_autofree char *wide = calloc(1, length + 64);
    assert_non_null(wide);
    (void)snprintf(wide, length + 64, "\n%s\n\n", text);
    assert_int_equal(sq_file_write(path, wide, strlen(wide), 0600, NULL), 0);
    sq_autoplan_file struct sq_plan_file *file = NULL;
    assert_int_equal(load(&file, NULL), 0);
    /* Cut anywhere, it is no plan, and nothing crashes. */
    for (size_t end = 0; end < length - 2; end += 97) {
        sq_autofree char *cut = strndup(text, end);
        expect_refused(cut, "not a");
    }
    expect_refused("{\"format\": \"squall plan 9\"}", "another version of squall made this plan");
    expect_refused("[]", "expected a file of format");
    expect_refused("{\"format\": \"squall plan 2\"}", "'sha256' is missing");
}

/* A plan replaces an older plan, and nothing else. */
static void test_what_is_replaced(void **state)
{
    (void)state;
    struct world world;
    struct sq_error error = {0};
    make_world(&world, inventory_text, NULL, 0);
    sq_plan_file_free(written(&world, false, NULL, 0));
    sq_plan_file_free(written(&world, false, NULL, 0));
    static const char *const others[] = {experiment_text, "{}", "{\"format\": \"squall-run-record\"}",
                                         "{\"text\": \"squall plan \"}"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(sq_file_write(path, others[i], strlen(others[i]), 0600, NULL), 0);
        assert_int_equal(sq_plan_file_check_path(path, &error), -1);
        assert_int_equal(sq_plan_file_write(path, world.plan, false, experiment_text, NULL, 0, NULL, &error),
                         -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        sq_autofree char *text = NULL;
        size_t length = 0;
        assert_int_equal(sq_file_read(path, 1 << 20, &text, &length, NULL), 0);
        assert_string_equal(text, others[i]);
    }
    free_world(&world);
}

/* Of the inventory a plan holds its path, and the hosts that are hit; of Prometheus and TLS nothing. */
static void test_secrets_stay_out(void **state)
{
    (void)state;
    char inventory[1024];
    struct world world;
    (void)snprintf(inventory, sizeof(inventory), "prometheus: {url: 'http://me:sesame@mon:9090'}\n%s",
                   inventory_text);
    make_world(&world, inventory, NULL, 0);
    sq_plan_file_free(written(&world, false, NULL, 0));
    sq_autofree char *text = NULL;
    size_t length = 0;
    assert_int_equal(sq_file_read(path, 1 << 20, &text, &length, NULL), 0);
    assert_null(strstr(text, "sesame"));
    free_world(&world);
    /* An experiment that holds one itself is not written down with less. */
    static const char secretive[] = "title: t\nsteady-state-hypothesis:\n  title: s\n  probes:\n"
                                    "  - {name: p, http: 'http://me:open-sesame@127.0.0.1/'}\n";
    struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (sq_experiment_parse("s.yaml", secretive, strlen(secretive), NULL, 0, &experiment, &error) != 0)
        fail_msg("%s", error.text);
    make_world(&world, inventory_text, NULL, 0);
    (void)unlink(path);
    assert_int_equal(sq_plan_file_write(path, world.plan, false, secretive, NULL, 0, NULL, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "holds a password"));
    assert_int_equal(access(path, F_OK), -1);
    sq_experiment_free(experiment);
    free_world(&world);
}

static void test_what_is_a_plan(void **state)
{
    (void)state;
    assert_int_equal(sq_file_write(path, "title: x\n", 9, 0600, NULL), 0);
    assert_false(is_plan(path));
    assert_int_equal(sq_file_write(path, "{\"title\": \"x\"}", 14, 0600, NULL), 0);
    assert_false(is_plan(path));
    assert_false(is_plan("/nowhere/at/all"));
    assert_false(is_plan("/tmp"));
    /* A text that speaks of plans is none. */
    static const char speaks[] = "{\"title\": \"format\", \"description\": \"squall plan 1\"}";
    assert_int_equal(sq_file_write(path, speaks, strlen(speaks), 0600, NULL), 0);
    assert_false(is_plan(path));
}

/* Other white space, another order of keys, escapes where there were none, 1.0 for 1: the same plan, under
 * its hash. */
static void test_written_again(void **state)
{
    (void)state;
    static const size_t layouts[] = {JSON_COMPACT, JSON_SORT_KEYS | JSON_INDENT(7),
                                     JSON_ENSURE_ASCII | JSON_ESCAPE_SLASH | JSON_INDENT(1)};
    struct world world;
    make_world(&world, inventory_text, NULL, 0);
    sq_autoplan_file struct sq_plan_file *first = written(&world, false, NULL, 0);
    free_world(&world);
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        json_t *content = json_load_file(path, i == 1 ? JSON_DECODE_INT_AS_REAL : 0, NULL);
        /* The format, by which it is known, comes last, behind more than any beginning of a file. */
        json_t *format = json_incref(json_object_get(content, "format"));
        (void)json_object_del(content, "format");
        (void)json_object_set_new(content, "format", format);
        assert_int_equal(json_dump_file(content, path, layouts[i]), 0);
        json_decref(content);
        assert_true(is_plan(path));
        sq_autoplan_file struct sq_plan_file *file = NULL;
        struct sq_error error;
        if (load(&file, &error) != 0)
            fail_msg("%s", error.text);
        assert_string_equal(file->sha256, first->sha256);
    }
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/plan.json", directory);
    return 0;
}

static int remove_plan(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_there_and_back, remove_plan),
        cmocka_unit_test_setup(test_what_is_touched_is_promised, remove_plan),
        cmocka_unit_test_setup(test_hosts_and_orders_are_promised, remove_plan),
        cmocka_unit_test_setup(test_a_plan_of_local, remove_plan),
        cmocka_unit_test_setup(test_bad_files, remove_plan),
        cmocka_unit_test_setup(test_what_is_replaced, remove_plan),
        cmocka_unit_test_setup(test_secrets_stay_out, remove_plan),
        cmocka_unit_test_setup(test_what_is_a_plan, remove_plan),
        cmocka_unit_test_setup(test_written_again, remove_plan),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
