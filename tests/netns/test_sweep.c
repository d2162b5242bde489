/* libraries: sq_netns_fixture sq_faults sq_table sq_common */
/* Without any record: what bears squall's marks is found and removed, and nothing else. */
#include "fixture.h"
#include "impairment.h"
#include "kill.h"

#include "faults/network_sweep.h"
#include "faults/process_sweep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct impairment *shared; /* by the process that dies and this one */
static struct sq_fault_report report;
static struct sq_error error;

static int set_up(void **state)
{
    (void)state;
    memset(&report, 0, sizeof report);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fixture_open(&lab);
    return shared == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)munmap(shared, sizeof *shared);
    fixture_close(&lab);
    return 0;
}

static void must(int result)
{
    if (result != 0)
        fail_msg("%s", error.text);
}

/* Filters by hand, with squall's marks or with all but one of them. */
static void test_filters(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    must(sq_network_sweep_filters(&report, &error));
    assert_int_equal(report.line_count, 0);
    fixture_must(lab.host, "tc qdisc show dev eth0 | grep -q clsact");
    fixture_must(
        lab.host,
        "tc filter add dev eth0 egress pref 65504 handle 0x53510000 bpf da bytecode '1,6 0 0 4294967295,'");
    fixture_must(
        lab.host,
        "tc filter add dev eth0 ingress pref 65504 handle 0x53510000 bpf da bytecode '1,6 0 0 4294967295,'");
    must(sq_network_sweep_filters(&report, &error));
    assert_int_equal(report.line_count, 0);
    fixture_must(lab.host, "test $(tc filter show dev eth0 egress | grep -c handle) = 1");
    fixture_must(lab.host, "tc qdisc del dev eth0 clsact");
    fixture_assert_tc("eth0", before);
}

/* A fault whose process was killed and whose record is lost, beside a foreign filter. */
static void test_lost_fault(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    impairment_init(shared, SQ_DIRECTION_BOTH, NULL);
    impairment_to(shared, "10.9.0.2");
    assert_int_equal(impairment_preview(shared), 0);
    impairment_die(shared, 60000, 0);
    fixture_must(lab.host,
                 "tc filter add dev eth0 egress pref 10 handle 7 bpf da bytecode '1,6 0 0 4294967295,'");
    must(sq_network_sweep_filters(&report, &error));
    assert_true(report.line_count >= 2);
    /* The clsact is left to it. */
    fixture_must(lab.host, "test $(tc filter show dev eth0 egress | grep -c handle) = 1 && "
                           "tc filter show dev eth0 egress | grep -q 'handle 0x7 '");
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    fixture_must(lab.host, "tc qdisc del dev eth0 clsact");
    fixture_assert_tc("eth0", before);
}

static void test_devices(void **state)
{
    (void)state;
    fixture_must(lab.host,
                 "ip link add squall-0-in index 1397817344 type ifb && ip link set squall-0-in alias "
                 "squall/00000000000000000000000000000001/0/in && ip link add squall-1-in type ifb && "
                 "ip link add ifb-other index 1397817346 type ifb");
    must(sq_network_sweep_detours(&report, &error));
    assert_int_equal(report.line_count, 1);
    assert_non_null(strstr(report.lines[0].text, "squall-0-in"));
    fixture_must(
        lab.host,
        "! ip link show squall-0-in 2>/dev/null && ip link show squall-1-in && ip link show ifb-other");
}

static pid_t start_helper(bool is_orphan)
{
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        if (is_orphan && fork() != 0)
            _exit(0);
        (void)prctl(PR_SET_NAME, "squall-cpu");
        pid_t self = getpid();
        while (is_orphan && getppid() == child)
            (void)usleep(1000);
        (void)usleep(is_orphan ? 20000 : 0);
        (void)!write(told[1], &self, sizeof self);
        (void)pause();
        _exit(0);
    }
    pid_t helper = 0;
    assert_int_equal(read(told[0], &helper, sizeof helper), sizeof helper);
    (void)close(told[0]);
    (void)close(told[1]);
    if (is_orphan)
        (void)waitpid(child, NULL, 0);
    return helper;
}

/* Among the lines: another test beside this one may have left something on its way out. */
static unsigned count_ended(pid_t helper)
{
    char expected[64];
    unsigned count = 0;
    (void)snprintf(expected, sizeof expected, "ended squall-cpu[%d]", (int)helper);
    for (uint32_t i = 0; i < report.line_count; i++)
        count += strcmp(report.lines[i].text, expected) == 0;
    return count;
}

/* This program stands for squalld: its own children belong to an agent that is alive. */
static void test_processes(void **state)
{
    (void)state;
    pid_t mine = start_helper(false);
    pid_t orphan = start_helper(true);
    must(sq_process_sweep(&report, &error));
    assert_int_equal(count_ended(orphan), 1);
    assert_int_equal(count_ended(mine), 0);
    for (int i = 0; i < 200 && kill(orphan, 0) == 0; i++)
        (void)usleep(5000);
    assert_int_equal(kill(mine, 0), 0);
    assert_int_equal(kill(mine, SIGKILL), 0);
    assert_int_equal(waitpid(mine, NULL, 0), mine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_filters),
        TEST(test_lost_fault),
        TEST(test_devices),
        TEST(test_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* With processes of its own: it would also end what the agents of other tests have left for a moment. */
int main(void)
{
    fixture_require_root();
    return kill_main(run_all);
}
