/* libraries: sq_commands sq_table sq_common */
/* What many hosts have in common is said once: in the table of `squall hosts` and in a plan. */
#include "commands/hosts_table.h"
#include "screen/plan_print.h"

#include "common/clock.h"
#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOSTS 100
#define TO    "\xe2\x80\xa6"

static struct sq_setting zone_a = {.name = "zone", .value = "a"};
static struct sq_setting zone_b = {.name = "zone", .value = "b"};
static struct sq_host hosts[HOSTS];
static struct sq_inventory inventory = {.path = "hosts.yaml", .host_count = HOSTS, .hosts = hosts};
static char *text;
static size_t length;
static FILE *stream;

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HOSTS; i++) {
        (void)snprintf(hosts[i].name, sizeof(hosts[i].name), "web%u", i + 1);
        (void)snprintf(hosts[i].agent, sizeof(hosts[i].agent), "tls+tcp://10.0.0.%u:7433", i + 1);
        hosts[i].labels = i < 60 ? &zone_a : &zone_b;
        hosts[i].label_count = 1;
    }
    stream = open_memstream(&text, &length);
    return stream != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(text);
    return 0;
}

static void expect(const char *part)
{
    (void)fflush(stream);
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

static uint32_t count_lines(void)
{
    uint32_t lines = 0;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    return lines;
}

static void answer_hello(struct sq_answer *answer)
{
    struct sq_hello *hello = &answer->reply.hello;
    hello->protocol = SQ_PROTOCOL_VERSION;
    (void)strcpy(hello->agent_version, "1.2.3");
    hello->real_ns = sq_real_ns();
    answer->sent_boot_ns = answer->answered_boot_ns = sq_boot_ns();
    for (size_t i = 0; i < sq_fault_table_count; i++)
        hello->abilities[hello->ability_count++] =
            (struct sq_ability){.kind = sq_fault_table[i]->kind, .able = i > 0, .permitted = true};
    (void)strcpy(hello->abilities[0].reason, "no such scheduler");
}

static void test_hosts(void **state)
{
    (void)state;
    struct sq_answer *answers[HOSTS];
    for (uint32_t i = 0; i < HOSTS; i++) {
        answers[i] = calloc(1, sizeof(*answers[i]));
        assert_non_null(answers[i]);
        answer_hello(answers[i]);
    }
    for (uint32_t i = 97; i < HOSTS; i++) {
        answers[i]->failed = true;
        (void)sq_fail(&answers[i]->error, SQ_UNREACHABLE, "%s (%s): connection refused", hosts[i].name,
                      hosts[i].agent);
    }
    (void)strcpy(answers[0]->reply.hello.policy_problem, "there is no policy");
    struct sq_everybody everybody = {.inventory = &inventory, .answers = answers};
    assert_int_equal(sq_hosts_print(&everybody, false, stream), 0);
    expect("60 hosts: web1" TO "web60 ");
    expect("37 hosts: web61" TO "web97 ");
    expect("tls+tcp://10.0.0." TO ":7433");
    expect("within ");
    expect("zone=a");
    expect("\n3 hosts: web98" TO "web100: connection refused\n");
    expect("\nweb1: there is no policy\n");
    expect("100 hosts: 97 answered, 0 refused, 3 did not answer;");
    expect("1 warning\n");
    assert_true(count_lines() <= 8);
    for (uint32_t i = 0; i < HOSTS; i++)
        free(answers[i]);
    (void)fclose(stream);
}

static void test_nobody_answers(void **state)
{
    (void)state;
    struct sq_answer *answers[HOSTS];
    struct sq_answer answer = {.failed = true};
    for (uint32_t i = 0; i < HOSTS; i++)
        answers[i] = &answer;
    (void)sq_fail(&answer.error, SQ_UNREACHABLE, "connection refused");
    struct sq_everybody everybody = {.inventory = &inventory, .answers = answers};
    assert_int_equal(sq_hosts_print(&everybody, false, stream), 0);
    expect("\n100 hosts: 0 answered, 0 refused, 100 did not answer; 0 warnings\n");
    (void)fclose(stream);
}

static void test_plan(void **state)
{
    (void)state;
    struct sq_step step = {.name = "cut", .spec.kind = SQ_NETWORK_PARTITION, .duration_ns = 1};
    struct sq_experiment experiment = {.title = "t", .path = "t.yaml", .step_count = 1, .steps = &step};
    experiment.has_hypothesis = true;
    experiment.hypothesis.probe_count = 2;
    struct sq_plan plan = {.experiment = &experiment, .inventory = &inventory, .host_count = HOSTS};
    struct sq_error *problems = calloc(HOSTS, sizeof(*problems));
    plan.hosts = calloc(HOSTS, sizeof(*plan.hosts));
    assert_true(plan.hosts != NULL && problems != NULL);
    for (uint32_t i = 0; i < HOSTS; i++) {
        plan.hosts[i] = (struct sq_plan_host){.host = &hosts[i], .fault_count = 1, .previewed = true};
        plan.hosts[i].reports = calloc(1, sizeof(*plan.hosts[i].reports));
        assert_non_null(plan.hosts[i].reports);
        plan.hosts[i].reports->line_count = 1;
        plan.hosts[i].reports->lines[0].kind = i < 50 ? SQ_LINE_WARNING : SQ_LINE_SPARES;
        (void)strcpy(plan.hosts[i].reports->lines[0].text, "eth0");
    }
    (void)sq_fail(&problems[98], SQ_POLICY, "web99 refuses: forbidden");
    (void)sq_fail(&problems[99], SQ_TIMEOUT, "web100 (%s): hangs", hosts[99].agent);
    sq_plan_print(&plan, problems, NULL, false, false, stream);
    expect("  steady   2 probes\n");
    expect("  hosts    100 of 100 that match (every host): web1" TO "web100\n");
    expect("\n50 hosts: web1" TO "web50\n  step 1: cut\n    warning  eth0\n");
    expect("\n48 hosts: web51" TO "web98\n  step 1: cut\n    spares   eth0\n");
    expect("\nweb99  tls+tcp://10.0.0.99:7433\n    refuses: forbidden\n");
    expect("\nweb100  tls+tcp://10.0.0.100:7433\n    hangs\n");
    expect("\n100 hosts, 100 faults, 50 warnings, 1 refusal, 1 that cannot be asked.\n");
    for (uint32_t i = 0; i < HOSTS; i++)
        free(plan.hosts[i].reports);
    free(plan.hosts);
    free(problems);
    (void)fclose(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
