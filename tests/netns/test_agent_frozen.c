/* libraries: sq_agent_fixture sq_netns_fixture sq_table sq_common */
/*
 * What cannot die holds nothing up: a stressor neither the lease of a fault beside it nor a halt, the guard
 * of a partition on tcx no halt, though it holds what cuts, and nothing is called clean that still applies.
 * Nor does a log that nobody reads, nor a dead front that a debugger holds.
 */
#include "agent.h"
#include "kill.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "table/params.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A partition, fault 0, and a stressor, fault 1, both in; the stressor's pid. */
static char *cut_and_stress(uint64_t lease_ns)
{
    write_file("policy.yaml", "allow: [network.partition, cpu.stress]\nmax-duration: 2m\n");
    start_agent();
    order(lease_ns, 60 * SQ_NS_PER_SECOND);
    order_stress_too();
    if (ask(SQ_VERB_PREPARE, 1) != SQ_OK)
        fail_msg("prepare: %s", reply.message);
    memset(&request, 0, sizeof request);
    if (ask(SQ_VERB_INJECT, 1) != SQ_OK)
        fail_msg("inject: %s", reply.message);
    char *pid = fixture_output(lab.host, "pgrep -P %d squall-cpu | tr -d '\\n'", (int)agent);
    assert_true(atoi(pid) > 1);
    return pid;
}

/* Renew again and again; how long the slowest answer took. */
static uint64_t slowest_renewal_ns(uint64_t lease_ns, uint64_t for_ns)
{
    uint64_t slowest_ns = 0;
    for (uint64_t begin_ns = sq_boot_ns(); sq_boot_ns() - begin_ns < for_ns;) {
        uint64_t asked_ns = sq_boot_ns();
        memset(&request, 0, sizeof request);
        request.lease_ns = lease_ns;
        assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
        assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
        uint64_t took_ns = sq_boot_ns() - asked_ns;
        slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
        (void)usleep(50000);
    }
    print_message("the slowest renewal took %.1f ms\n", (double)slowest_ns / 1e6);
    return slowest_ns;
}

/* Each answer comes at once, and the peers stay cut off. */
static void expect_renewals(uint64_t lease_ns, uint64_t for_ns)
{
    uint64_t slowest_ns;
    unsigned tries = 0;
    do {
        slowest_ns = slowest_renewal_ns(lease_ns, for_ns);
    } while (fixture_measure_again(&tries, slowest_ns < lease_ns / 2));
    assert_true(slowest_ns < lease_ns / 2);
    assert_cut();
}

/* One that cannot die delays neither the lease of a fault beside it nor a halt. */
static void test_frozen_stressor_beside_a_partition(void **state)
{
    (void)state;
    sq_autofree char *pid = cut_and_stress(SQ_NS_PER_SECOND);
    if (!freeze(pid)) {
        print_message("not tried: there is no freezer of version 1 here\n");
        assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
        expect_removed(1, SQ_END_ORDERED);
        return;
    }
    memset(&request, 0, sizeof request);
    request.fault_mask = 1u << 1;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_equal(reply.faults[1].state, SQ_STATE_REVERTING);
    expect_renewals(SQ_NS_PER_SECOND, 2 * SQ_NS_PER_SECOND);
    uint64_t halted_ns = sq_boot_ns();
    assert_int_equal(run("--halt"), 6);
    assert_output_says("output", "the stressor with pid");
    assert_true(sq_boot_ns() - halted_ns < 4 * SQ_NS_PER_SECOND);
    assert_passes();
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_true(reply.faults[0].clean_boot_ns - halted_ns < SQ_NS_PER_SECOND);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    assert_int_equal(reply.faults[1].state, SQ_STATE_FAILED);
    assert_int_equal(reply.faults[1].code, SQ_UNCLEAN);
    /* When it can die, it is removed, and nobody has to ask for it. */
    thaw();
    for (int i = 0; i < 50 && reply.faults[1].state != SQ_STATE_REVERTED; i++) {
        (void)usleep(100000);
        assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    }
    assert_int_equal(reply.faults[1].state, SQ_STATE_REVERTED);
    assert_int_equal(reply.faults[1].code, SQ_OK);
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
}

/* A partition on tcx, whose guard cannot die; false: there is no such thing here. */
static bool cut_with_frozen_guard(bool with_injector)
{
    char injector[16];
    write_file("policy.yaml", "allow: [network.partition]\nmax-duration: 2m\n");
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    (void)snprintf(injector, sizeof injector, "%d", (int)agent);
    sq_autofree char *guard = fixture_output(lab.host, "pgrep -P %d squall-tcx | tr -d '\\n'", (int)agent);
    if (guard[0] != '\0' && freeze(guard)) {
        assert_true(!with_injector || freeze_too(injector));
        return true;
    }
    print_message("not tried: there is no tcx or no freezer of version 1 here\n");
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_removed(1, SQ_END_ORDERED);
    return false;
}

static void test_frozen_guard_of_a_dead_injector(void **state)
{
    (void)state;
    if (!cut_with_frozen_guard(false))
        return;
    assert_int_equal(kill(agent, SIGKILL), 0);
    (void)exit_status(agent);
    agent = 0;
    uint64_t begin_ns = sq_boot_ns();
    pid_t halting = start("--halt", "output");
    uint64_t lost_ns = fixture_last_lost_ns(&lab, "10.9.0.1", "10.9.0.2", 5 * SQ_NS_PER_SECOND);
    assert_true(lost_ns - begin_ns < SQ_NS_PER_SECOND);
    /* It waits for the rest, which comes when the guard can die. */
    thaw();
    assert_int_equal(exit_status(halting), 0);
    assert_passes();
}

/* Where it cannot be switched off, for want of CAP_SYS_ADMIN, it is not called off. */
static void test_frozen_with_its_guard(void **state)
{
    (void)state;
    if (!cut_with_frozen_guard(true))
        return;
    assert_int_equal(run_without_admin("--halt"), 6);
    assert_output_says("output", "NOT CLEAN: fault 0, network.partition");
    assert_output_says("output", "may still drop packets until the lease ends");
    assert_cut();
    uint64_t begin_ns = sq_boot_ns();
    assert_int_equal(run("--halt"), 6);
    assert_true(sq_boot_ns() - begin_ns < 3 * SQ_NS_PER_SECOND);
    assert_output_says("output", "clean: fault 0, network.partition");
    assert_passes();
    thaw();
    (void)exit_status(agent);
    agent = 0;
    assert_int_equal(run("--recover"), 0);
    assert_passes();
}

/* Everything that is logged goes into a pipe that is full. */
static void test_log_that_nobody_reads(void **state)
{
    (void)state;
    int ends[2];
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    while (write(ends[1], "full", 4) > 0)
        ;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    write_file("policy.yaml", "allow: [network.partition]\nmax-duration: 2m\n");
    agent = start(NULL, NULL);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    wait_until_it_serves();
    cut(1, 60 * SQ_NS_PER_SECOND);
    uint64_t begin_ns = sq_boot_ns();
    assert_int_equal(run("--halt"), 0);
    assert_true(sq_boot_ns() - begin_ns < SQ_NS_PER_SECOND);
    assert_output_says("output", "ended the experiment");
    assert_passes();
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
    (void)close(saved);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Whoever traces a process is told of its end first, and here takes no notice. */
static void test_front_that_a_debugger_holds(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    pid_t front = front_of_agent();
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t debugger = fork();
    if (debugger == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_SEIZE, front, NULL, NULL) == 0 && write(ready[1], "r", 1) == 1)
            for (;;)
                (void)pause();
        _exit(1);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    assert_int_equal(kill(front, SIGKILL), 0);
    /* Another one takes its place, the lease is kept, and a halt is quick. */
    wait_until_it_serves();
    memset(&request, 0, sizeof request);
    request.lease_ns = 60 * SQ_NS_PER_SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    uint64_t begin_ns = sq_boot_ns();
    assert_int_equal(run("--halt"), 0);
    assert_true(sq_boot_ns() - begin_ns < SQ_NS_PER_SECOND);
    assert_output_says("output", "ended the experiment");
    (void)kill(debugger, SIGKILL);
    (void)waitpid(debugger, NULL, 0);
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frozen_stressor_beside_a_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frozen_guard_of_a_dead_injector, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frozen_with_its_guard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_log_that_nobody_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_front_that_a_debugger_holds, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    fixture_require_root();
    return kill_main(run_all);
}
