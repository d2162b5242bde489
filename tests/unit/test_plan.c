/* libraries: sq_commands */
#include "model/plan.h"

#include "common/file.h"
#include "model/select.h"
#include "planning/plan.h"
#include "reading/experiment.h"
#include "reading/inventory.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOSTS "hosts:\n"
#define HOST(name, role, zone)                                                                               \
    "- {name: " name ", agent: 'ipc:///run/" name ".sock', labels: {role: " role ", zone: " zone "}}\n"

static const char inventory_text[] = HOSTS HOST("web1", "web", "a") HOST("web2", "web", "b")
    HOST("web3", "web", "c") HOST("db1", "db", "a") HOST("db2", "db", "b");

static struct sq_inventory *inventory;

static int setup(void **state)
{
    (void)state;
    return sq_inventory_parse("hosts.yaml", inventory_text, strlen(inventory_text), &inventory, NULL);
}

static int teardown(void **state)
{
    (void)state;
    sq_inventory_free(inventory);
    return 0;
}

static struct sq_experiment *experiment_of(const char *steps)
{
    char text[4000];
    (void)snprintf(text, sizeof text, "title: t\nmethod:\n%s", steps);
    struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, &error) != 0)
        fail_msg("%s", error.text);
    return experiment;
}

#define CUT(name, targets, rest)                                                                             \
    "- {name: " name ", fault: network.partition, targets: " targets                                         \
    ", with: {to: 10.0.0.0/8}, duration: 10s" rest "}\n"

/* The names that a selector takes, joined by spaces; "" and the error when it is refused. */
static void select_names(const char *targets, char names[200], struct sq_error *error)
{
    char step[600];
    (void)snprintf(step, sizeof step, CUT("s", "%s", ""), targets);
    sq_autoexperiment struct sq_experiment *experiment = experiment_of(step);
    uint32_t chosen[5];
    uint32_t count = 0;
    names[0] = '\0';
    if (sq_select_hosts(experiment, &experiment->steps[0].targets, inventory, chosen, &count, error) != 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        strcat(names, i == 0 ? "" : " ");
        strcat(names, inventory->hosts[chosen[i]].name);
    }
}

static void test_select(void **state)
{
    (void)state;
    static const struct {
        const char *targets;
        const char *names;
    } cases[] = {
        {"{labels: {role: web}}", "web1 web2 web3"},   {"{labels: {role: web, zone: b}}", "web2"},
        {"{hosts: [db1, web1]}", "web1 db1"},          {"{hosts: [db1, web1], labels: {role: db}}", "db1"},
        {"{percent: 100%}", "web1 web2 web3 db1 db2"}, {"{count: 5}", "web1 web2 web3 db1 db2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char names[200];
        struct sq_error error = {0};
        select_names(cases[i].targets, names, &error);
        if (strcmp(names, cases[i].names) != 0)
            fail_msg("%s: '%s' %s", cases[i].targets, names, error.text);
    }
}

static size_t count_words(const char *text)
{
    size_t count = text[0] != '\0';
    for (; *text != '\0'; text++)
        count += *text == ' ';
    return count;
}

static void test_select_share(void **state)
{
    (void)state;
    static const struct {
        const char *targets;
        size_t count;
    } cases[] = {
        {"{count: 2, seed: 1}", 2},
        {"{percent: 1%}", 1},
        {"{percent: 50%}", 2},
        {"{percent: 60%}", 3},
        {"{labels: {role: web}, percent: 67%}", 2},
        {"{labels: {role: web}, percent: 66%}", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char names[200];
        struct sq_error error = {0};
        select_names(cases[i].targets, names, &error);
        assert_int_equal(count_words(names), cases[i].count);
    }
}

/* The same seed takes the same hosts; a larger count only adds; over the seeds, every host has its turn. */
static void test_select_is_seeded(void **state)
{
    (void)state;
    unsigned taken[5] = {0};
    for (unsigned seed = 0; seed < 200; seed++) {
        char one[200];
        char again[200];
        char two[200];
        char targets[100];
        struct sq_error error;
        (void)snprintf(targets, sizeof targets, "{count: 1, seed: %u}", seed);
        select_names(targets, one, &error);
        select_names(targets, again, &error);
        assert_string_equal(one, again);
        (void)snprintf(targets, sizeof targets, "{count: 2, seed: %u}", seed);
        select_names(targets, two, &error);
        assert_non_null(strstr(two, one));
        for (uint32_t h = 0; h < 5; h++)
            taken[h] += strcmp(one, inventory->hosts[h].name) == 0;
    }
    for (uint32_t h = 0; h < 5; h++)
        assert_in_range(taken[h], 20, 60);
}

static void test_select_refused(void **state)
{
    (void)state;
    static const struct {
        const char *targets;
        enum sq_code code;
        const char *message;
    } cases[] = {
        {"{labels: {role: cache}}", SQ_NOBODY,
         "e.yaml:3:48: no host matches: none of the 5 hosts of hosts.yaml has role=cache"},
        {"{labels: {rolle: web}}", SQ_NOBODY,
         "e.yaml:3:48: no host matches: none of the 5 hosts of hosts.yaml has a "
         "label 'rolle'"},
        {"{labels: {role: db, zone: c}}", SQ_NOBODY,
         "e.yaml:3:48: no host matches: none of the 5 hosts of hosts.yaml "
         "fits all of role=db, zone=c"},
        {"{hosts: web1, labels: {role: db}}", SQ_NOBODY, "e.yaml:3:48: no host matches"},
        {"{labels: {role: web}, count: 5}", SQ_NOBODY, "e.yaml:3:48: 3 hosts match, 5 asked for"},
        {"{labels: {role: web, zone: a}, count: 2}", SQ_NOBODY, "e.yaml:3:48: 1 host matches, 2 asked for"},
        {"{hosts: web9}", SQ_BAD_INPUT,
         "e.yaml:3:48: the inventory hosts.yaml has no host 'web9'; did you mean "
         "'web1'?"},
        {"{hosts: zebra}", SQ_BAD_INPUT, "e.yaml:3:48: the inventory hosts.yaml has no host 'zebra'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char names[200];
        struct sq_error error = {0};
        select_names(cases[i].targets, names, &error);
        assert_string_equal(names, "");
        assert_int_equal(error.code, cases[i].code);
        if (strncmp(error.text, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("expected '%s'; got: %s", cases[i].message, error.text);
    }
}

static void test_plan(void **state)
{
    (void)state;
    sq_autoexperiment struct sq_experiment *experiment =
        experiment_of(CUT("a", "{labels: {role: web}}", "") CUT("b", "{labels: {zone: a}}", ""));
    sq_autoplan struct sq_plan *plan = NULL;
    struct sq_error error = {0};
    if (sq_plan_make(experiment, inventory, &plan, &error) != 0)
        fail_msg("%s", error.text);
    static const char *const names[] = {"web1", "web2", "web3", "db1"};
    static const uint32_t fault_counts[] = {2, 1, 1, 1};
    assert_int_equal(plan->host_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(plan->hosts[i].host->name, names[i]);
        assert_int_equal(plan->hosts[i].fault_count, fault_counts[i]);
        assert_false(plan->hosts[i].previewed);
    }
    struct sq_fault_order *orders = calloc(SQ_FAULTS_MAX, sizeof *orders);
    uint32_t order_count = 0;
    sq_plan_orders(plan, 0, orders, &order_count);
    assert_int_equal(order_count, 2);
    assert_int_equal(orders[1].index, 1);
    assert_int_equal(orders[1].duration_ns, 10 * SQ_NS_PER_SECOND);
    assert_int_equal(orders[1].spec.kind, SQ_NETWORK_PARTITION);
    assert_int_equal(orders[1].spec.partition.selector.to_count, 1);
    sq_plan_orders(plan, 3, orders, &order_count);
    assert_int_equal(order_count, 1);
    assert_int_equal(plan->hosts[3].steps[0], 1);
    free(orders);
}

static void expect_plan_refused(const char *steps, enum sq_code code, const char *message)
{
    sq_autoexperiment struct sq_experiment *experiment = experiment_of(steps);
    sq_autoplan struct sq_plan *plan = NULL;
    struct sq_error error = {0};
    assert_int_equal(sq_plan_make(experiment, inventory, &plan, &error), -1);
    assert_null(plan);
    assert_int_equal(error.code, code);
    if (strncmp(error.text, message, strlen(message)) != 0)
        fail_msg("expected '%s'; got: %s", message, error.text);
}

static void test_two_faults_that_collide(void **state)
{
    (void)state;
    expect_plan_refused(
        CUT("a", "{labels: {role: web}}", "") CUT("b", "{labels: {zone: a}}", ", at: 9s"), SQ_BAD_INPUT,
        "e.yaml:4:3: the step 'b' (9s to 19s) collides on host web1 with 'a' on line 3 (0s to 10s): both "
        "are network.partition");
    /* Later, elsewhere, the other direction, other peers: no collision. */
    static const char *const fine[] = {
        CUT("a", "{labels: {role: web}}", "") CUT("b", "{labels: {zone: a}}", ", at: 10s"),
        CUT("a", "{labels: {role: web}}", "") CUT("b", "{labels: {role: db}}", ", at: 1s"),
        "- {name: a, fault: network.partition, targets: {count: 5}, with: {to: 10.0.0.1, direction: in}, "
        "duration: 9s}\n"
        "- {name: b, fault: network.partition, targets: {count: 5}, with: {to: 10.0.0.1, direction: out}, "
        "duration: 9s, "
        "at: 1s}\n"
        "- {name: c, fault: network.partition, targets: {count: 5}, with: {to: 10.0.0.2}, duration: 9s, at: "
        "1s}\n",
    };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        sq_autoexperiment struct sq_experiment *experiment = experiment_of(fine[i]);
        sq_autoplan struct sq_plan *plan = NULL;
        struct sq_error error = {0};
        if (sq_plan_make(experiment, inventory, &plan, &error) != 0)
            fail_msg("%s", error.text);
    }
}

static void test_limits(void **state)
{
    (void)state;
    expect_plan_refused(CUT("a", "{labels: {role: web}}", "") "limits: {max-hosts: 2}\n", SQ_LIMIT,
                        "e.yaml: the plan hits 3 hosts; 'limits: max-hosts' allows 2");
    expect_plan_refused(CUT("a", "{labels: {role: web}}", "") "limits: {max-hosts: 59%}\n", SQ_LIMIT,
                        "e.yaml: the plan hits 3 hosts; 'limits: max-hosts' allows 2 (59% of 5)");
    sq_autoexperiment struct sq_experiment *experiment =
        experiment_of(CUT("a", "{labels: {role: web}}", "") "limits: {max-hosts: 60%}\n");
    sq_autoplan struct sq_plan *plan = NULL;
    assert_int_equal(sq_plan_make(experiment, inventory, &plan, NULL), 0);
    char steps[3000] = "";
    for (int i = 0; i <= SQ_FAULTS_MAX; i++) {
        char step[300];
        (void)snprintf(step, sizeof step, CUT("s%d", "{hosts: web1}", ""), i);
        strcat(steps, step);
    }
    expect_plan_refused(steps, SQ_LIMIT,
                        "e.yaml:11:3: the step 's8' is the fault number 9 on host web1; at most 8 fit");
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    sq_autoexperiment struct sq_experiment *experiment =
        experiment_of("  []\nsteady-state-hypothesis: {probes: [{name: p, http: 'http://a/'}]}\n");
    sq_autoplan struct sq_plan *plan = NULL;
    assert_int_equal(sq_plan_make(experiment, inventory, &plan, NULL), 0);
    assert_int_equal(plan->host_count, 0);
}

/* Every experiment of the library is valid and finds its hosts in the lab. */
static void test_library(void **state)
{
    (void)state;
    sq_autoinventory struct sq_inventory *lab = NULL;
    char *content = NULL;
    size_t length;
    struct sq_error error = {0};
    assert_int_equal(
        sq_file_read(SQ_SOURCE_DIR "/tests/unit/data/lab-hosts.yaml", 100000, &content, &length, NULL), 0);
    if (sq_inventory_parse("lab-hosts.yaml", content, length, &lab, &error) != 0)
        fail_msg("%s", error.text);
    free(content);
    glob_t found;
    assert_int_equal(glob(SQ_SOURCE_DIR "/experiments/*.yaml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 5);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        sq_autoexperiment struct sq_experiment *experiment = NULL;
        sq_autoplan struct sq_plan *plan = NULL;
        sq_autoinput struct sq_input input = {0};
        if (sq_input_read(found.gl_pathv[i], &input, &error) != 0 ||
            sq_experiment_read(&input, NULL, 0, &experiment, &error) != 0 ||
            sq_plan_make(experiment, lab, &plan, &error) != 0)
            fail_msg("%s", error.text);
        assert_true(plan->host_count >= 1);
        assert_true(experiment->has_hypothesis);
        assert_true(experiment->description[0] != '\0');
        assert_true(experiment->limits.max_hosts > 0 || experiment->limits.max_hosts_percent > 0);
    }
    globfree(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_select_share),
        cmocka_unit_test(test_select_is_seeded),
        cmocka_unit_test(test_select_refused),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_two_faults_that_collide),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_library),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
