/* libraries: sq_planning */
#include "model/company.h"

#include "common/clock.h"
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

#include <cmocka.h>

#define HOSTS       4
#define S           SQ_NS_PER_SECOND
#define NOW_BOOT_NS (1000 * S) /* of the controller */
#define THEIRS_NS   (77 * S)   /* of the agent at the same moment */

static const char inventory_text[] = "hosts:\n"
                                     "- {name: web1, agent: 'ipc:///run/web1.sock'}\n"
                                     "- {name: web2, agent: 'ipc:///run/web2.sock'}\n"
                                     "- {name: web3, agent: 'ipc:///run/web3.sock'}\n"
                                     "- {name: db1, agent: 'ipc:///run/db1.sock'}\n";

static struct sq_inventory *inventory;
static struct sq_company company;
static struct sq_reply reply;
static const struct sq_id nobody;

static int set_up(void **state)
{
    (void)state;
    memset(&reply, 0, sizeof reply);
    reply.now_boot_ns = THEIRS_NS;
    if (sq_inventory_parse("hosts.yaml", inventory_text, strlen(inventory_text), &inventory, NULL) != 0 ||
        sq_company_open(inventory, &company, NULL) != 0)
        return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sq_company_close(&company);
    sq_inventory_free(inventory);
    return 0;
}

/* The host has one fault of an experiment, of ada unless `number` is 2. */
static void occupy(uint32_t host, uint8_t number, enum sq_fault_state fault_state)
{
    reply.experiment.bytes[0] = number;
    (void)strcpy(reply.title, number == 2 ? "Other" : "The shop");
    (void)strcpy(reply.operator_name, number == 2 ? "" : "ada@laptop");
    reply.lease_boot_ns = THEIRS_NS + 8 * S;
    reply.fault_count = 1;
    reply.faults[0] = (struct sq_fault_report){.state = fault_state,
                                               .prepared_boot_ns = THEIRS_NS - 20 * S,
                                               .injected_boot_ns = THEIRS_NS - 12 * S,
                                               .deadline_boot_ns = THEIRS_NS + 5 * S};
    sq_company_take(&company.hosts[host], &nobody, &reply, NOW_BOOT_NS, NULL);
}

static void expect_state(uint32_t host, enum sq_company_state expected)
{
    assert_string_equal(sq_company_state_name(company.hosts[host].state), sq_company_state_name(expected));
}

static void test_what_a_host_says(void **state)
{
    (void)state;
    const struct sq_company_host *host = &company.hosts[0];
    sq_company_take(&company.hosts[0], &nobody, &reply, NOW_BOOT_NS, NULL);
    expect_state(0, SQ_COMPANY_NONE);

    occupy(0, 1, SQ_STATE_INJECTED);
    expect_state(0, SQ_COMPANY_INJECTED);
    assert_string_equal(host->title, "The shop");
    assert_string_equal(host->operator_name, "ada@laptop");
    assert_true(host->since_boot_ns == NOW_BOOT_NS - 12 * S);
    assert_true(host->until_boot_ns == NOW_BOOT_NS + 5 * S);
    assert_false(host->renewable);

    occupy(0, 1, SQ_STATE_PREPARED);
    expect_state(0, SQ_COMPANY_PREPARED);
    assert_true(host->since_boot_ns == NOW_BOOT_NS - 20 * S);
    assert_true(host->until_boot_ns == NOW_BOOT_NS + 8 * S);
    assert_true(host->renewable);

    /* Clean, though not removed yet; over; our own. */
    occupy(0, 1, SQ_STATE_REVERTING);
    expect_state(0, SQ_COMPANY_NONE);
    occupy(0, 1, SQ_STATE_REVERTED);
    expect_state(0, SQ_COMPANY_NONE);
    occupy(0, 1, SQ_STATE_INJECTED);
    struct sq_id own = reply.experiment;
    sq_company_take(&company.hosts[0], &own, &reply, NOW_BOOT_NS, NULL);
    expect_state(0, SQ_COMPANY_NONE);
}

static void test_what_is_left_or_not_known(void **state)
{
    (void)state;
    sq_company_take(&company.hosts[0], &nobody, NULL, 0, "web1: nobody there");
    expect_state(0, SQ_COMPANY_SILENT);
    assert_string_equal(company.hosts[0].problem, "web1: nobody there");
    reply.code = SQ_SYSTEM;
    (void)strcpy(reply.message, "no memory");
    sq_company_take(&company.hosts[0], &nobody, &reply, NOW_BOOT_NS, NULL);
    expect_state(0, SQ_COMPANY_SILENT);
    assert_string_equal(company.hosts[0].problem, "no memory");
    reply.code = SQ_UNCLEAN;
    occupy(0, 1, SQ_STATE_REVERTED);
    expect_state(0, SQ_COMPANY_LEFT);
}

/* The first of the faults of one host that began says since when; the latest end says until when. */
static void test_several_faults(void **state)
{
    (void)state;
    occupy(0, 1, SQ_STATE_INJECTED);
    reply.fault_count = 3;
    reply.faults[1] = reply.faults[0];
    reply.faults[1].injected_boot_ns -= 2 * S;
    reply.faults[1].deadline_boot_ns += 1 * S;
    reply.faults[2] = reply.faults[0];
    reply.faults[2].state = SQ_STATE_PREPARED;
    sq_company_take(&company.hosts[0], &nobody, &reply, NOW_BOOT_NS, NULL);
    expect_state(0, SQ_COMPANY_INJECTED);
    assert_true(company.hosts[0].since_boot_ns == NOW_BOOT_NS - 14 * S);
    assert_true(company.hosts[0].until_boot_ns == NOW_BOOT_NS + 8 * S);
    assert_true(company.hosts[0].renewable);
}

static void test_whose_it_is(void **state)
{
    (void)state;
    uint32_t position = 0;
    char text[SQ_ERROR_TEXT_MAX];
    assert_false(sq_company_next(&company, &position, NOW_BOOT_NS, text));
    for (uint32_t i = 0; i < 3; i++)
        occupy(i, 1, SQ_STATE_INJECTED);
    sq_company_take(&company.hosts[3], &nobody, NULL, 0, "db1: nobody there");
    position = 0;
    assert_true(sq_company_next(&company, &position, NOW_BOOT_NS + S, text));
    assert_string_equal(text,
                        "3 hosts: web1…web3: \"The shop\" of ada@laptop (experiment 01000000), injected "
                        "13s ago, ends in 4s");
    assert_true(sq_company_next(&company, &position, NOW_BOOT_NS + S, text));
    assert_string_equal(text, "db1: no answer, counted as disturbed: db1: nobody there");
    assert_false(sq_company_next(&company, &position, NOW_BOOT_NS, text));
    occupy(0, 2, SQ_STATE_PREPARED);
    position = 0;
    assert_true(sq_company_next(&company, &position, NOW_BOOT_NS, text));
    assert_string_equal(text,
                        "web1: \"Other\" of somebody (experiment 02000000), prepared 20s ago, ends in 8s "
                        "unless its lease is renewed");
}

/* An experiment that hits web1 alone, or nobody, under these limits. */
static int judge(const char *limits, struct sq_error *error)
{
    char text[512];
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    sq_autoplan struct sq_plan *plan = NULL;
    (void)snprintf(text, sizeof text,
                   "title: t\nmethod:\n- {name: a, fault: network.partition, targets: {hosts: [web1]}, with: "
                   "{to: 10.0.0.0/8}, duration: 10s}\n%s\n",
                   limits);
    if (sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, error) != 0 ||
        sq_plan_make(experiment, inventory, &plan, error) != 0)
        fail_msg("%s", error->text);
    assert_int_equal(sq_company_matters(&experiment->limits), strlen(limits) > 0);
    return sq_company_judge(&company, plan, error);
}

static void expect_refused(const char *limits, const char *text)
{
    struct sq_error error = {0};
    assert_int_equal(judge(limits, &error), -1);
    assert_int_equal(error.code, SQ_LIMIT);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' instead of '%s'", error.text, text);
}

static void expect_fine(const char *limits)
{
    struct sq_error error = {0};
    if (judge(limits, &error) != 0)
        fail_msg("%s", error.text);
}

static void test_counting(void **state)
{
    (void)state;
    expect_fine("limits: {max-hosts: 1, alone: yes}");
    occupy(1, 1, SQ_STATE_PREPARED);
    expect_fine("");
    expect_fine("limits: {max-hosts: 2, alone: no}");
    expect_fine("limits: {max-hosts: 50%}");
    expect_refused("limits: {max-hosts: 1}", "e.yaml: the plan hits 1 host and 1 more is disturbed (web2: "
                                             "prepared by ada@laptop, \"The shop\"); 'limits: max-hosts' "
                                             "allows 1 of the 4 together: wait");
    expect_refused("limits: {max-hosts: 49%}", "allows 1 of the 4");
    sq_company_take(&company.hosts[3], &nobody, NULL, 0, "nobody there");
    expect_refused("limits: {max-hosts: 50%}", "2 more are disturbed (web2: prepared by ada@laptop, \"The "
                                               "shop\"; db1: no answer)");
    expect_fine("limits: {max-hosts: 3}");
}

/* A host of the plan is counted once, whoever else is there: its own agent refuses or accepts. */
static void test_planned_hosts_count_once(void **state)
{
    (void)state;
    occupy(0, 1, SQ_STATE_INJECTED);
    expect_fine("limits: {max-hosts: 1}");
    expect_refused("limits: {alone: yes}", "'limits: alone' bears no company, and 1 host is disturbed (web1: "
                                           "injected by ada@laptop");
}

static void test_alone(void **state)
{
    (void)state;
    sq_company_take(&company.hosts[2], &nobody, NULL, 0, "nobody there");
    expect_refused("limits: {alone: yes}", "1 host is disturbed (web3: no answer)");
    occupy(2, 1, SQ_STATE_REVERTED);
    expect_fine("limits: {alone: yes}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_a_host_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_left_or_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_faults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whose_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_planned_hosts_count_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
