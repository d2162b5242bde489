/* libraries: sq_agent_fixture sq_netns_fixture sq_wire sq_table sq_common nng::nng */
/* The whole agent, both processes, over its Unix socket, with a real partition: every way in which it ends.
 */
#include "agent.h"
#include "kill.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "faults/fault.h"
#include "table/params.h"
#include "wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_hello(void **state)
{
    (void)state;
    start_agent();
    assert_int_equal(reply.code, SQ_OK);
    assert_string_equal(reply.hello.agent_version, SQ_VERSION);
    assert_string_equal(reply.hello.policy_problem, "");
    assert_int_equal(reply.hello.max_duration_ns, 120 * SQ_NS_PER_SECOND);
    assert_int_equal(reply.hello.ability_count, sq_fault_ops_count);
    assert_true(reply.hello.abilities[0].able && reply.hello.abilities[0].permitted);
    assert_false(reply.hello.abilities[1].permitted);
    assert_non_null(strstr(reply.hello.abilities[1].reason, "process.kill"));

    /* A policy that breaks while the agent runs allows nothing, and says so. */
    write_file("policy.yaml", "allow: [network.partitoin]\n");
    assert_int_equal(kill(agent, SIGHUP), 0);
    assert_int_equal(ask(SQ_VERB_HELLO, 0), SQ_OK);
    assert_non_null(strstr(reply.hello.policy_problem, "network.partition"));
    assert_false(reply.hello.abilities[0].permitted);
    write_file("policy.yaml", "allow: []\n");
    assert_int_equal(kill(agent, SIGHUP), 0);
    assert_int_equal(ask(SQ_VERB_HELLO, 0), SQ_OK);
    assert_string_equal(reply.hello.policy_problem, "");
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
}

static void test_revert(void **state)
{
    (void)state;
    start_agent();
    cut(1, 20 * SQ_NS_PER_SECOND);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_not_equal(reply.faults[0].clean_boot_ns, 0);
    expect_removed(1, SQ_END_ORDERED);
    assert_passes();
    assert_true(reply.faults[0].touched);
}

/* How long after the end of its lease a fault was found clean by the agent. */
static uint64_t lease_ends_late_ns(uint8_t experiment)
{
    prepare(experiment, SQ_NS_PER_SECOND / 2, 60 * SQ_NS_PER_SECOND);
    assert_int_equal(ask(SQ_VERB_INJECT, experiment), SQ_OK);
    uint64_t lease_end_ns = reply.lease_boot_ns;
    expect_removed(experiment, SQ_END_LEASE);
    assert_true(reply.faults[0].clean_boot_ns >= lease_end_ns);
    assert_passes();
    return reply.faults[0].clean_boot_ns - lease_end_ns;
}

/* How long after the time that was asked for a fault was injected. */
static uint64_t injected_late_ns(uint8_t experiment)
{
    prepare(experiment, 20 * SQ_NS_PER_SECOND, SQ_NS_PER_SECOND / 2);
    uint64_t at_ns = reply.now_boot_ns + 200 * SQ_NS_PER_MILLISECOND;
    request.at_boot_ns = at_ns;
    assert_int_equal(ask(SQ_VERB_INJECT, experiment), SQ_OK);
    request.at_boot_ns = 0;
    assert_int_equal(reply.faults[0].state, SQ_STATE_PREPARED);
    expect_removed(experiment, SQ_END_DURATION);
    assert_true(reply.faults[0].injected_boot_ns >= at_ns);
    assert_passes();
    return reply.faults[0].injected_boot_ns - at_ns;
}

/* A PREPARE that comes while the faults before it are removed waits for that, and no longer. */
static void test_one_after_the_other(void **state)
{
    (void)state;
    write_file("policy.yaml", "allow: [network.partition, cpu.stress]\nmax-duration: 2m\n");
    start_agent();
    for (uint8_t experiment = 1; experiment < 9; experiment++) {
        order(10 * SQ_NS_PER_SECOND, 60 * SQ_NS_PER_SECOND);
        order_stress_too();
        assert_int_equal(ask(SQ_VERB_PREPARE, experiment), SQ_OK);
        memset(&request, 0, sizeof request);
        assert_int_equal(ask(SQ_VERB_INJECT, experiment), SQ_OK);
        assert_int_equal(ask(SQ_VERB_REVERT, experiment), SQ_OK);
    }
    expect_removed(8, SQ_END_ORDERED);
}

static void test_lease_and_duration(void **state)
{
    (void)state;
    start_agent();
    uint8_t experiment = 0;
    uint64_t late_ns;
    unsigned tries = 0;
    do {
        late_ns = lease_ends_late_ns(++experiment);
    } while (fixture_measure_again(&tries, late_ns < 100 * SQ_NS_PER_MILLISECOND));
    assert_true(late_ns < 100 * SQ_NS_PER_MILLISECOND);
    tries = 0;
    do {
        late_ns = injected_late_ns(++experiment);
    } while (fixture_measure_again(&tries, late_ns < 50 * SQ_NS_PER_MILLISECOND));
    assert_true(late_ns < 50 * SQ_NS_PER_MILLISECOND);
}

static void test_termination(void **state)
{
    (void)state;
    start_agent();
    cut(1, 20 * SQ_NS_PER_SECOND);
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
    assert_passes();
}

/* Through the root-only socket, with a front that does nothing any more. */
static void test_halt(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    pid_t front = front_of_agent();
    assert_int_equal(kill(front, SIGSTOP), 0);
    assert_int_equal(run("--halt"), 0);
    assert_output_says("output", "cut off");
    assert_output_says("output", "REVERTED (halted)");
    assert_output_says("output", "nothing is left");
    assert_passes();
    assert_int_equal(kill(front, SIGCONT), 0);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    assert_int_equal(run("--halt"), 0);
    assert_output_says("output", "nothing was injected");
    assert_int_equal(run("--recover"), 3);
    assert_output_says("output", "another squalld");
}

static void test_halts_are_logged(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    memset(&request, 0, sizeof request);
    (void)strcpy(request.operator_name, "ada@desk\n");
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    assert_output_says("agent.log", "halted from uid 0 by ada@desk");
    assert_int_equal(run("--halt"), 0);
    assert_output_says("agent.log", "halted by uid 0 with `squalld --halt` (pid ");
}

/* The front's death ends nothing, and another one takes its place. */
static void test_front_dies(void **state)
{
    (void)state;
    start_agent();
    cut(1, 20 * SQ_NS_PER_SECOND);
    assert_int_equal(kill(front_of_agent(), SIGKILL), 0);
    struct sq_id before = instance;
    wait_until_it_serves();
    assert_true(sq_id_equal(&before, &instance));
    assert_cut();
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_removed(1, SQ_END_ORDERED);
    assert_passes();
}

static void kill_agent(void)
{
    pid_t front = front_of_agent();
    assert_int_equal(kill(agent, SIGKILL), 0);
    (void)exit_status(agent);
    agent = 0;
    /* The front goes with its injector; who reaps it, and when, is no matter of the agent's. */
    fixture_must(lab.host,
                 "for i in $(seq 100); do grep -q 'State:.[^Z]' /proc/%d/status 2>/dev/null || exit 0; "
                 "sleep 0.01; done; exit 1",
                 (int)front);
}

/* It has what the injector has, whatever has been written into the file meanwhile. */
static void test_next_front_has_the_same_configuration(void **state)
{
    (void)state;
    start_agent();
    write_file("agent.yaml", "listen: ['ipc://elsewhere/agent.sock']\nrun: run\nuser: no-such-user\n");
    assert_int_equal(kill(front_of_agent(), SIGKILL), 0);
    wait_until_it_serves();
}

/* By its parent's death, not by what it would have noticed itself: it is stopped. */
static void test_front_dies_with_the_injector(void **state)
{
    (void)state;
    start_agent();
    pid_t front = front_of_agent();
    sq_autoclose int front_fd = (int)syscall(SYS_pidfd_open, front, 0);
    assert_true(front_fd >= 0);
    assert_int_equal(kill(front, SIGSTOP), 0);
    assert_int_equal(kill(agent, SIGKILL), 0);
    (void)exit_status(agent);
    agent = 0;
    struct pollfd death = {.fd = front_fd, .events = POLLIN};
    assert_int_equal(poll(&death, 1, 10000), 1);
}

static bool is_on_clsact(void)
{
    char *text = fixture_tc("eth0");
    bool is_there = strstr(text, "clsact") != NULL;
    free(text);
    return is_there;
}

static void test_recover(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    bool clsact = is_on_clsact();
    kill_agent();
    /* What stands on tcx goes with the agent. */
    if (clsact)
        assert_cut();
    assert_int_equal(run("--recover"), 0);
    assert_output_says("output", "undone: fault 0");
    assert_passes();
    fixture_assert_tc("eth0", tc_before);
    tc_before = fixture_tc("eth0");
    assert_int_equal(run("--recover"), 0);
    assert_output_says("output", "nothing to undo");
}

static void go_to(int namespace)
{
    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

/* What was made in another network namespace is undone in there, also by an agent that starts elsewhere. */
static void test_recover_from_elsewhere(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start_agent();
        cut(1, 60 * SQ_NS_PER_SECOND);
        kill_agent();
        go_to(lab.original);
        if (i == 0) {
            int status = run("--recover");
            go_to(lab.host);
            assert_int_equal(status, 0);
            assert_output_says("output", "undone: fault 0");
            assert_output_says("output", "undone in its network namespace");
        } else {
            start_agent();
            go_to(lab.host);
            assert_output_says("agent.log", "of an earlier experiment: undone");
        }
        assert_passes();
        fixture_assert_tc("eth0", tc_before);
        tc_before = fixture_tc("eth0");
    }
}

/* A log whose namespace is gone is resolved without a person. */
static void test_recover_what_is_gone(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    kill_agent();
    int host = lab.host;
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    lab.host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(close(host), 0);
    free(tc_before);
    fixture_must(lab.host, "ip link add eth0 type ifb && tc qdisc add dev eth0 clsact");
    tc_before = fixture_tc("eth0");
    /* The kernel frees UDP sockets, which hold it, a little later, and before that there is something to
     * undo. */
    int status = 6;
    for (int i = 0; i < 50 && status == 6; i++) {
        (void)usleep(100000);
        status = run("--recover");
    }
    assert_int_equal(status, 0);
    assert_output_says("output", "undone: fault 0");
    assert_output_says("output", "its network namespace is gone, and all that was in it");
}

/* Somebody takes the filter away: the next renewal says so, and the fault is FAILED, not REVERTED. */
/* As somebody else would, on clsact or on tcx. */
static void take_away(void)
{
    if (is_on_clsact())
        fixture_must(lab.host, "tc qdisc del dev eth0 clsact");
    else
        fixture_must(lab.host,
                     "for process in /proc/[0-9]*; do "
                     "[ \"$(cat $process/comm 2>/dev/null)\" = squall-tcx ] && "
                     "[ $process/ns/net -ef /proc/self/ns/net ] && kill -9 ${process#/proc/}; done; "
                     "sleep 0.1");
}

static void test_vanished(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    request.lease_ns = 10 * SQ_NS_PER_SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    uint64_t seen_ns = reply.faults[0].seen_boot_ns;
    assert_true(seen_ns >= reply.faults[0].injected_boot_ns);
    /* Its own end, though the lease is shorter. */
    assert_true(reply.faults[0].ends_boot_ns == reply.faults[0].injected_boot_ns + 60 * SQ_NS_PER_SECOND);
    assert_true(reply.faults[0].deadline_boot_ns < reply.faults[0].ends_boot_ns);
    bool clsact = is_on_clsact();
    take_away();
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_VANISHED);
    for (int i = 0; i < 100 && reply.faults[0].state != SQ_STATE_FAILED; i++) {
        (void)usleep(10000);
        assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    }
    assert_int_equal(reply.faults[0].state, SQ_STATE_FAILED);
    assert_int_equal(reply.faults[0].code, SQ_VANISHED);
    assert_int_equal(reply.faults[0].end_reason, SQ_END_FAILURE);
    assert_int_equal(reply.faults[0].seen_boot_ns, seen_ns);
    assert_non_null(strstr(reply.faults[0].message, clsact ? "somebody took squall's filter away from eth0"
                                                           : "squall's tcx program away"));
    assert_int_equal(reply.faults[0].proof, SQ_PROOF_PROVED);
}

static void test_halt_without_agent(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    kill_agent();
    /* Nothing else that is wrong may keep the fault on the host. */
    write_file("agent.yaml", "run: run\nlisten: ['tls+tcp://0.0.0.0:7433']\nuser: no-such-user\n");
    assert_int_equal(run("--halt"), 0);
    assert_output_says("output", "no agent is alive");
    assert_output_says("output", "undone: fault 0");
    assert_passes();
}

static void test_restart_recovers(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    struct sq_id before = instance;
    kill_agent();
    start_agent();
    assert_passes();
    assert_false(sq_id_equal(&before, &instance));
    instance = before;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_STALE);
    assert_passes();
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_STATUS, 0), SQ_OK);
    assert_int_equal(reply.fault_count, 0);
}

/* Only the fewest privileges, and a timer that does not run when there is nothing to wait for. */
static void test_idle(void **state)
{
    (void)state;
    start_agent();
    fixture_must(lab.host, "grep -q '^NoNewPrivs:.*1$' /proc/%d/status", (int)agent);
    fixture_must(lab.host, "grep -q '^CapBnd:.*000000c0000811e4$' /proc/%d/status", (int)agent);
    fixture_must(lab.host, "grep -q '^CapEff:.*0000000000000000$' /proc/%d/status", (int)front_of_agent());
    /* What it has to do after its start takes longer on a busy machine, but not for ever. */
    unsigned tries = 0;
    bool slept;
    do {
        (void)usleep(300000);
        sq_autofree char *first = fixture_output(lab.host, "grep ctxt /proc/%d/status", (int)agent);
        (void)usleep(2000000);
        sq_autofree char *second = fixture_output(lab.host, "grep ctxt /proc/%d/status", (int)agent);
        slept = strcmp(first, second) == 0;
    } while (fixture_measure_again(&tries, slept));
    assert_true(slept);
}

/* A log that cannot be trusted: unclean, never "nothing to undo"; what bears squall's marks is found without
 * it. */
static void test_damaged_log(void **state)
{
    (void)state;
    start_agent();
    cut(1, 60 * SQ_NS_PER_SECOND);
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_int_equal(waitpid(agent, NULL, 0), agent);
    agent = 0;
    fixture_must(lab.host,
                 "printf damage | dd of=%s/run/squalld/undo.log bs=1 seek=300 conv=notrunc status=none",
                 directory);
    assert_int_equal(run("--recover"), 6);
    assert_output_says("output", "damaged at byte");
    assert_int_equal(run("--halt"), 6);
    assert_int_equal(run(NULL), 6);
    fixture_must(lab.host, "%s --config %s --recover --sweep >%s/output", SQUALLD, config_path, directory);
    assert_output_says("output", "starting a new log");
    assert_passes();
    fixture_assert_tc("eth0", tc_before);
    tc_before = fixture_tc("eth0");
    fixture_must(lab.host, "%s --config %s --recover --sweep >%s/output", SQUALLD, config_path, directory);
    assert_output_says("output", "nothing on this host bears squall's marks");
    start_agent();
    cut(2, 60 * SQ_NS_PER_SECOND);
    assert_int_equal(kill(agent, SIGTERM), 0);
    assert_int_equal(exit_status(agent), 0);
    agent = 0;
}

static void test_wrong_use(void **state)
{
    (void)state;
    assert_int_equal(run("--no-such-option"), 2);
    assert_int_equal(run("--json"), 2);
    assert_int_equal(run("surplus"), 2);
    assert_int_equal(run("--help"), 0);
    assert_output_says("output", "--recover");
    assert_output_fits("output", 80);
    assert_int_equal(run("--version"), 0);
    assert_int_equal(run("--check"), 0);
    assert_output_says("output", "network.partition");
    assert_output_says("output", "NOT allowed");
    assert_int_equal(run("--recover"), 0);
    write_file("agent.yaml", "listen: ['tcp://127.0.0.1:7433']\nuser: nobody\n");
    assert_int_equal(run("--check"), 2);
    assert_output_says("output", "agent.yaml:1:10: ");
    assert_int_equal(run(NULL), 2);
    write_file("agent.yaml", "listen: ['ipc://nope/agent.sock']\nrun: run\nuser: nobody\n");
    assert_int_equal(run(NULL), 4);
    assert_output_says("output", "/nope is missing");
}

/* An entry that protects nothing may be a slip: said wherever the policy is looked at. */
static void test_policy_that_protects_nothing(void **state)
{
    static const char policy[] =
        "allow: [network.partition]\nprotect: {processes: [%s, /bin/sh, 'unit:sq-no-such'], "
        "interfaces: [eth0x, lo]}\n";
    char text[256];
    (void)state;
    (void)snprintf(text, sizeof text, policy, "/usr/sbin/sq-sshdd");
    write_file("policy.yaml", text);
    assert_int_equal(run("--check"), 0);
    assert_output_says("output", "warning: the policy protects /usr/sbin/sq-sshdd, which does not exist");
    assert_output_says("output", "warning: the policy protects unit:sq-no-such, which has neither");
    assert_output_says("output", "warning: the policy protects the interface eth0x, which is not there");
    fixture_must(lab.host,
                 SQUALLD " --config %s --check --json | grep -q '\"unmatched\": .\"the policy protects "
                         "/usr/sbin/sq-sshdd, .*sq-no-such, .*the interface eth0x, which is not there\".}'",
                 config_path);
    start_agent();
    assert_output_says("agent.log", "the policy protects /usr/sbin/sq-sshdd, which");
    (void)snprintf(text, sizeof text, policy, "/usr/sbin/sq-other");
    write_file("policy.yaml", text);
    assert_int_equal(kill(agent, SIGHUP), 0);
    prepare(7, 5 * SQ_NS_PER_SECOND, 60 * SQ_NS_PER_SECOND);
    assert_output_says("agent.log", "the policy protects /usr/sbin/sq-other, which");
    static const char *const warnings[] = {"the policy protects /usr/sbin/sq-other, which",
                                           "the policy protects unit:sq-no-such, which",
                                           "the policy protects the interface eth0x, which"};
    uint32_t found = 0;
    for (uint32_t i = 0; i < reply.faults[0].line_count; i++) {
        const struct sq_report_line *line = &reply.faults[0].lines[i];
        if (line->kind != SQ_LINE_WARNING || strstr(line->text, "the policy protects") == NULL)
            continue;
        assert_true(found < 3);
        assert_int_equal(strncmp(line->text, warnings[found], strlen(warnings[found])), 0);
        found++;
    }
    assert_int_equal(found, 3);
    assert_int_equal(ask(SQ_VERB_REVERT, 7), SQ_OK);
    expect_removed(7, SQ_END_ORDERED);
}

/* Over the same socket, with the same rights, and without the token: nothing but a halt. */
static void test_another_controller(void **state)
{
    static const enum sq_verb verbs[] = {SQ_VERB_RENEW, SQ_VERB_INJECT, SQ_VERB_REVERT};
    (void)state;
    start_agent();
    cut(1, 20 * SQ_NS_PER_SECOND);
    whose = 2;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        request.lease_ns = 60 * SQ_NS_PER_SECOND;
        assert_int_equal(ask(verbs[i], 1), SQ_CONFLICT);
        assert_int_equal(reply.fault_count, 0);
    }
    assert_cut();
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    expect_removed(1, SQ_END_HALT);
    whose = 1;
    assert_passes();
}

static int run_all(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_hello),
        TEST(test_one_after_the_other),
        TEST(test_lease_and_duration),
        TEST(test_termination),
        TEST(test_halt),
        TEST(test_another_controller),
        TEST(test_halts_are_logged),
        TEST(test_front_dies),
        TEST(test_next_front_has_the_same_configuration),
        TEST(test_front_dies_with_the_injector),
        TEST(test_recover),
        TEST(test_recover_from_elsewhere),
        TEST(test_vanished),
        TEST(test_halt_without_agent),
        TEST(test_restart_recovers),
        TEST(test_idle),
        TEST(test_damaged_log),
        TEST(test_wrong_use),
        TEST(test_policy_that_protects_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Kernels that open no namespace by its cookie: that one is gone is told only where every process can be
 * seen. */
static int run_among_all(void)
{
    /* nng's threads stay in the namespace in which it is used first. */
    const struct CMUnitTest tests[] = {TEST(test_revert), TEST(test_recover_what_is_gone)};
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("skipped: no mount namespace can be made here\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The others have processes of their own: --sweep ends what is left of any agent that it sees. */
int main(void)
{
    fixture_require_root();
    pid_t child = fork();
    if (child == 0)
        exit(run_among_all());
    int status = child > 0 ? exit_status(child) : 1;
    return status != 0 ? status : kill_main(run_all);
}
