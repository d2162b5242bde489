/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* Somebody else's traffic control and firewall beside a detour: it stays what it was, it is never bypassed.
 */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include "common/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define DELAY_MS 100

/* Classic BPF for direct action: drop UDP to port 9999 on an interface with a link layer, else continue. */
#define DROP_9999                                                                                            \
    "bytecode '6,48 0 0 23,21 0 3 17,40 0 0 36,21 0 1 9999,6 0 0 2,6 0 0 4294967295' direct-action"

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    impairment_init_kind(&fault, SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
    fault.order.spec.latency.delay_ns = DELAY_MS * SQ_NS_PER_MILLISECOND;
    impairment_to(&fault, "10.9.0.2");
    return 0;
}

static unsigned to_port(const char *from, const char *to, uint16_t port)
{
    struct fixture_flow flow = {.from = from, .to = to, .to_port = port, .count = FIXTURE_COUNT};
    return fixture_send(&lab, &flow);
}

/* A tree on the root whose filters drop by an action, and filters on the clsact. */
static void make_foreign_tree(void)
{
    fixture_must(lab.host,
                 "tc qdisc add dev eth0 root handle 1: htb default 10 && "
                 "tc class add dev eth0 parent 1: classid 1:10 htb rate 1gbit && "
                 "tc class add dev eth0 parent 1: classid 1:20 htb rate 100mbit && "
                 "tc qdisc add dev eth0 parent 1:20 handle 20: tbf rate 50mbit burst 64k latency 50ms && "
                 "tc filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff "
                 "flowid 1:20 && "
                 "tc filter add dev eth0 parent 1: protocol ip prio 2 u32 match ip dport 7777 0xffff "
                 "action drop");
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && "
                           "tc filter add dev eth0 egress prio 5 bpf " DROP_9999 " && "
                           "tc filter add dev eth0 ingress prio 7 bpf " DROP_9999);
}

static char *class_counters(void)
{
    return fixture_output(lab.host, "tc -s class show dev eth0 classid 1:20 | grep Sent");
}

static void test_foreign_tree_stays(void **state)
{
    (void)state;
    make_foreign_tree();
    char *before = fixture_tc("eth0");
    char *counters = class_counters();
    impairment_start(&fault);
    assert_true(probe_delay_ms(&lab, "10.9.0.1", "10.9.0.2") >= DELAY_MS);
    assert_true(probe_delay_ms(&lab, "10.9.0.2", "10.9.0.1") >= DELAY_MS);
    assert_true(probe_delay_ms(&lab, "10.9.0.1", "10.9.0.3") < DELAY_MS);
    char *now = class_counters();
    assert_string_equal(now, counters);
    free(now);
    free(counters);
    /* What comes back from the detour is classified by the foreign tree as ever. */
    assert_int_equal(to_port("10.9.0.1", "10.9.0.2", 7000), FIXTURE_COUNT);
    now = class_counters();
    assert_non_null(strstr(now, " 20 pkt"));
    free(now);
    impairment_stop(&fault);
    fixture_assert_tc("eth0", before);
}

static void test_foreign_drops_are_not_bypassed(void **state)
{
    (void)state;
    make_foreign_tree();
    impairment_start(&fault);
    for (int peer = 2; peer <= 3; peer++) {
        char address[16];
        (void)snprintf(address, sizeof address, "10.9.0.%d", peer);
        assert_int_equal(to_port("10.9.0.1", address, 9999), 0);
        assert_int_equal(to_port(address, "10.9.0.1", 9999), 0);
        assert_int_equal(to_port("10.9.0.1", address, 7777), 0);
        assert_int_equal(to_port("10.9.0.1", address, 9998), FIXTURE_COUNT);
        assert_int_equal(to_port(address, "10.9.0.1", 9998), FIXTURE_COUNT);
    }
    impairment_stop(&fault);
}

/* Packets that are still on the detour when the fault ends, and when it is removed, are dropped there too. */
static void test_late_packets_do_not_bypass(void **state)
{
    (void)state;
    make_foreign_tree();
    for (int removed = 0; removed < 2; removed++) {
        impairment_start(&fault);
        int receiver = fixture_socket(&lab, "10.9.0.2", 7777, SOCK_DGRAM);
        int sender = fixture_socket(&lab, "10.9.0.1", 0, SOCK_DGRAM);
        struct sockaddr_storage to;
        socklen_t length = sizeof to;
        char byte;
        assert_int_equal(getsockname(receiver, (struct sockaddr *)&to, &length), 0);
        for (unsigned i = 0; i < FIXTURE_COUNT; i++)
            assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, length), 1);
        assert_int_equal(impairment_counter(&fault, "delayed-out"), FIXTURE_COUNT);
        assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
        if (removed)
            impairment_stop(&fault);
        usleep(2000 * DELAY_MS);
        assert_int_equal(recv(receiver, &byte, 1, MSG_DONTWAIT), -1);
        close(sender);
        close(receiver);
        if (!removed)
            impairment_stop(&fault);
    }
}

static void test_accepting_filters_are_refused(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && "
                           "tc filter add dev eth0 egress prio 10 bpf bytecode '1,6 0 0 0' direct-action");
    impairment_assert_refused(&fault, SQ_UNABLE, "preference 10");
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_tree_stays, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_drops_are_not_bypassed, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_late_packets_do_not_bypass, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_accepting_filters_are_refused, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
