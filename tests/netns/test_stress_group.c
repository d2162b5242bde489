/* libraries: sq_agent_fixture sq_netns_fixture sq_table sq_common */
/*
 * The agent in a control group of version 2 that it may divide: its stressors have a group of their own, a
 * limit of the whole does not silence the agent, and nothing is left.
 */
#include "agent.h"
#include "kill.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "table/params.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GROUP "/sys/fs/cgroup/squall-test.service"
#define MIB   (UINT64_C(1) << 20)

/* Long enough for a few shell commands in User-Mode Linux on a busy machine, with nobody who renews. */
#define LEASE_NS (20 * SQ_NS_PER_SECOND)

static bool shell(const char *command)
{
    return system(command) == 0;
}

static void expect_shell(const char *command)
{
    for (int i = 0; i < 100; i++) {
        if (shell(command))
            return;
        (void)usleep(20000);
    }
    fail_msg("not so: %s", command);
}

static void start_in_group(void)
{
    write_file("policy.yaml", "allow: [cpu.stress, memory.stress]\nmax-duration: 2m\n");
    agent_group = GROUP;
    start_agent();
    agent_group = NULL;
}

static int set_up_group(void **state)
{
    if (mkdir(GROUP, 0755) != 0)
        return -1;
    return set_up(state);
}

static int tear_down_group(void **state)
{
    int result = tear_down(state);
    /* After a test that failed there are groups in it. */
    for (int i = 0; i < 100 && !shell("find " GROUP " -depth -type d -exec rmdir {} + 2>/dev/null"); i++)
        (void)usleep(20000);
    return result == 0 && access(GROUP, F_OK) != 0 ? 0 : -1;
}

static void add_memory(uint64_t bytes)
{
    struct sq_fault_order *order = &request.faults[request.fault_count];
    order->index = request.fault_count++;
    order->duration_ns = 60 * SQ_NS_PER_SECOND;
    sq_spec_init(&order->spec, sq_fault_by_kind(SQ_MEMORY_STRESS));
    order->spec.memory.bytes = bytes;
}

static void add_cpu(void)
{
    struct sq_fault_order *order = &request.faults[request.fault_count];
    order->index = request.fault_count++;
    order->duration_ns = 60 * SQ_NS_PER_SECOND;
    sq_spec_init(&order->spec, sq_fault_by_kind(SQ_CPU_STRESS));
    order->spec.cpu.percent = 100;
    order->spec.cpu.cores.mode = SQ_CORES_ALL;
}

static void begin_order(uint64_t lease_ns)
{
    memset(&request, 0, sizeof request);
    request.lease_ns = lease_ns;
    (void)strcpy(request.title, "stress");
}

static void to_injected(void)
{
    if (ask(SQ_VERB_PREPARE, 1) != SQ_OK)
        fail_msg("prepare: %s", reply.message);
    memset(&request, 0, sizeof request);
    if (ask(SQ_VERB_INJECT, 1) != SQ_OK)
        fail_msg("inject: %s", reply.message);
}

static bool has_note(const char *part)
{
    for (uint32_t i = 0; i < reply.faults[0].line_count; i++)
        if (strstr(reply.faults[0].lines[i].text, part) != NULL)
            return true;
    return false;
}

/* HELLO and RENEW for two seconds; the slowest answer. */
static uint64_t slowest_answer_ns(void)
{
    uint64_t slowest_ns = 0;
    for (uint64_t begin_ns = sq_boot_ns(); sq_boot_ns() - begin_ns < 2 * SQ_NS_PER_SECOND;) {
        static const enum sq_verb verbs[] = {SQ_VERB_HELLO, SQ_VERB_RENEW};
        for (size_t i = 0; i < 2; i++) {
            uint64_t asked_ns = sq_boot_ns();
            memset(&request, 0, sizeof request);
            request.lease_ns = verbs[i] == SQ_VERB_RENEW ? LEASE_NS : 0;
            assert_int_equal(ask(verbs[i], verbs[i] == SQ_VERB_RENEW ? 1 : 0), SQ_OK);
            uint64_t took_ns = sq_boot_ns() - asked_ns;
            slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
        }
        (void)usleep(50000);
    }
    print_message("the slowest answer took %.1f ms\n", (double)slowest_ns / 1e6);
    return slowest_ns;
}

/* An agent that its own stressors throttle is slow every time, a busy machine is not. */
static void assert_answers_within(uint64_t most_ns)
{
    uint64_t slowest_ns = slowest_answer_ns();
    for (int i = 0; i < 3 && slowest_ns >= most_ns; i++) {
        print_message("measured again: the machine may have been busy\n");
        slowest_ns = slowest_answer_ns();
    }
    assert_true(slowest_ns < most_ns);
}

static void stop_agent(void)
{
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
    expect_shell("! ls -d " GROUP "/*/ 2>/dev/null");
    expect_shell("test -z \"$(cat " GROUP "/cgroup.subtree_control)\"");
}

/* What just fits below memory.high is held, the agent answers, and after the end nothing is left. */
static void test_memory_that_just_fits(void **state)
{
    (void)state;
    start_in_group();
    expect_shell("test $(wc -l <" GROUP "/squall-agent/cgroup.procs) = 2");
    expect_shell("echo 104857600 >" GROUP "/memory.high");
    begin_order(LEASE_NS);
    add_memory(100 * MIB);
    assert_int_equal(ask(SQ_VERB_PREPARE, 2), SQ_UNABLE);
    begin_order(LEASE_NS);
    add_memory(70 * MIB);
    to_injected();
    expect_shell("test $(cat " GROUP "/squall-stress-*/cgroup.procs | wc -l) = 1");
    expect_shell("grep -qx squall-mem /proc/$(cat " GROUP "/squall-stress-*/cgroup.procs)/comm");
    assert_answers_within(SQ_NS_PER_SECOND / 2);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    assert_false(has_note("share the agent's control group"));
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_removed(1, SQ_END_ORDERED);
    expect_shell("! ls -d " GROUP "/squall-stress-* 2>/dev/null");
    stop_agent();
}

/* The unit's quota bounds the stressor, and the agent answers in it. */
static void test_quota(void **state)
{
    (void)state;
    start_in_group();
    expect_shell("echo '20000 100000' >" GROUP "/cpu.max");
    begin_order(LEASE_NS);
    add_cpu();
    to_injected();
    assert_answers_within(SQ_NS_PER_SECOND);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    stop_agent();
}

/* From the log alone, by a process that is in another group; or by name. */
static void test_after_sigkill(void **state)
{
    (void)state;
    static const char *const ways[] = {NULL, "--sweep"};
    for (size_t i = 0; i < 2; i++) {
        start_in_group();
        begin_order(LEASE_NS);
        add_memory(20 * MIB);
        add_cpu();
        to_injected();
        expect_shell("test $(ls -d " GROUP "/squall-stress-* | wc -l) = 2");
        assert_int_equal(kill(agent, SIGKILL), 0);
        (void)exit_status(agent);
        agent = 0;
        if (ways[i] != NULL) {
            char command[256];
            (void)snprintf(command, sizeof command, "rm %s/run/squalld/undo.log", directory);
            assert_true(shell(command));
            (void)snprintf(command, sizeof command, "%s --config %s --recover --sweep", SQUALLD, config_path);
            assert_true(shell(command));
        } else {
            assert_int_equal(run("--recover"), 0);
            assert_output_says("output", "undone");
        }
        assert_false(shell("ls -d " GROUP "/*/ 2>/dev/null"));
        expect_shell("test -z \"$(cat " GROUP "/cgroup.subtree_control)\"");
    }
}

/* In a group with others in it, or the root: as before, and the plan says so. */
static void test_without_a_group(void **state)
{
    (void)state;
    write_file("policy.yaml", "allow: [memory.stress]\nmax-duration: 2m\n");
    start_agent();
    begin_order(LEASE_NS);
    add_memory(8 * MIB);
    to_injected();
    assert_true(has_note("the stressors share the agent's control group"));
    assert_false(shell("find /sys/fs/cgroup -name 'squall-stress-*' | grep ."));
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_removed(1, SQ_END_ORDERED);
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
}

#define GROUP_TEST(function) cmocka_unit_test_setup_teardown(function, set_up_group, tear_down_group)

static int run_all(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test_setup_teardown(test_without_a_group, set_up, tear_down),
    };
    const struct CMUnitTest tests[] = {
        GROUP_TEST(test_memory_that_just_fits),
        GROUP_TEST(test_quota),
        GROUP_TEST(test_after_sigkill),
    };
    int failed = cmocka_run_group_tests(alone, NULL, NULL);
    if (!shell("grep -q memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null && "
               "echo '+cpu +memory' >/sys/fs/cgroup/cgroup.subtree_control")) {
        print_message("not tried: groups of version 2 with cpu and memory are not here\n");
        return failed;
    }
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    fixture_require_root();
    return kill_main(run_all);
}
