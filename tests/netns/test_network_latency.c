/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* What added latency does to packets: exactly the named peers, the named direction, the named time. */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS        SQ_NS_PER_MILLISECOND
#define DELAY_MS  60.0
#define EXACT_MS  4.0 /* tests/measure is about exactness */
#define TRIES     20
#define BULK_SIZE (4u << 20)

#define LARGE_COUNT 30
#define LARGE_SIZE  8000 /* in fragments */

static struct impairment fault;
static char *before;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    before = fixture_tc("eth0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(before);
    fixture_close(&lab);
    return 0;
}

static void init(enum sq_direction direction, const char *interface, uint64_t delay_ns)
{
    impairment_init_kind(&fault, SQ_NETWORK_LATENCY, direction, interface);
    fault.order.spec.latency.delay_ns = delay_ns;
}

/*
 * On a busy machine everything is late at times, but nothing is ever early, and a delay that is wrong is
 * wrong each time.
 */
static void assert_delay(const char *from, const char *to, double expected_ms)
{
    double measured_ms = 0;
    for (int i = 0; i < TRIES; i++) {
        measured_ms = probe_delay_ms(&lab, from, to);
        if (measured_ms < expected_ms || measured_ms <= expected_ms + EXACT_MS)
            break;
    }
    if (measured_ms < expected_ms || measured_ms > expected_ms + EXACT_MS)
        fail_msg("from %s to %s: %.2f ms, expected %.0f", from, to, measured_ms, expected_ms);
}

/* Nothing of squall's is there any more, and all is as it was. */
static void assert_nothing_left(void)
{
    fixture_must(lab.host, "! ip link show type ifb | grep .");
    char *now = fixture_tc("eth0");
    assert_string_equal(now, before);
    free(now);
}

static void assert_delays(double out_ms, double in_ms)
{
    assert_delay("10.9.0.1", "10.9.0.2", out_ms);
    assert_delay("10.9.0.2", "10.9.0.1", in_ms);
    assert_delay("fd09::1", "fd09::2", out_ms);
    assert_delay("fd09::2", "fd09::1", in_ms);
    assert_delay("10.9.0.1", "10.9.0.3", 0);
    assert_delay("10.9.0.3", "10.9.0.1", 0);
    assert_delay("fd09::1", "fd09::3", 0);
    assert_delay("fd09::3", "fd09::1", 0);
}

/* Each packet of the peer counts once, also if it passes the filter twice. */
static void assert_counted(const char *counter, bool some)
{
    uint64_t packets = impairment_counter(&fault, counter);
    assert_int_equal(packets % PROBE_FEW, 0);
    assert_int_equal(packets >= 2 * (uint64_t)PROBE_FEW, some);
}

static void slow_down(enum sq_direction direction)
{
    double out_ms = (direction & SQ_DIRECTION_OUT) != 0 ? DELAY_MS : 0;
    double in_ms = (direction & SQ_DIRECTION_IN) != 0 ? DELAY_MS : 0;
    init(direction, NULL, (uint64_t)DELAY_MS * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    assert_delays(0, 0);
    impairment_start(&fault);
    assert_delays(out_ms, in_ms);
    assert_counted("delayed-out", out_ms > 0);
    assert_counted("delayed-in", in_ms > 0);
    assert_true(fault.report.touched);
    impairment_stop(&fault);
    assert_delays(0, 0);
    assert_nothing_left();
}

static void test_both_directions(void **state)
{
    (void)state;
    slow_down(SQ_DIRECTION_BOTH);
}

static void test_out_alone(void **state)
{
    (void)state;
    slow_down(SQ_DIRECTION_OUT);
}

static void test_in_alone(void **state)
{
    (void)state;
    slow_down(SQ_DIRECTION_IN);
}

static void test_prepared_alone_does_nothing(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, "eth0", 200 * MS);
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_nothing_left(); /* a preview makes nothing */
    assert_int_equal(impairment_prepare(&fault), 0);
    fixture_must(lab.host, "ip -d link show squall-0-in | grep -q ifb && ip link show squall-0-out | grep -q "
                           "'state UNKNOWN\\|,UP'");
    fixture_must(lab.host, "ip link show squall-0-in | grep -q 'alias squall/.*/0/in'");
    fixture_must(lab.host, "! ip -6 addr show dev squall-0-in | grep -q inet6");
    assert_delays(0, 0);
    assert_int_equal(impairment_counter(&fault, "matched-out"), 0);
    assert_false(fault.report.touched);
    impairment_stop(&fault);
    assert_nothing_left();
}

static void test_deadline_and_renewal(void **state)
{
    (void)state;
    init(SQ_DIRECTION_OUT, "eth0", 80 * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    impairment_inject(&fault, 600);
    assert_delay("10.9.0.1", "10.9.0.2", 80);
    impairment_inject(&fault, 1500);
    usleep(700000);
    assert_delay("10.9.0.1", "10.9.0.2", 80);
    usleep(1000000);
    assert_delay("10.9.0.1", "10.9.0.2", 0);
    impairment_inject(&fault, 60000);
    assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
    assert_delay("10.9.0.1", "10.9.0.2", 0);
    impairment_stop(&fault);
}

/* What is on its way when the fault ends arrives after its delay, and only then the detour goes. */
static void test_packets_in_flight_arrive(void **state)
{
    (void)state;
    for (int in = 0; in < 2; in++) {
        init(in ? SQ_DIRECTION_IN : SQ_DIRECTION_OUT, "eth0", 400 * MS);
        impairment_to(&fault, "10.9.0.2");
        impairment_start(&fault);
        int receiver = fixture_socket(&lab, in ? "10.9.0.1" : "10.9.0.2", 5000, SOCK_DGRAM);
        int sender = fixture_socket(&lab, in ? "10.9.0.2" : "10.9.0.1", 0, SOCK_DGRAM);
        struct sockaddr_storage to;
        socklen_t length = sizeof to;
        assert_int_equal(getsockname(receiver, (struct sockaddr *)&to, &length), 0);
        uint64_t start_ns = sq_boot_ns();
        for (unsigned i = 0; i < FIXTURE_COUNT; i++)
            assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, length), 1);
        /* Incoming packets get into the queue: on a busy machine not at once. */
        while (impairment_counter(&fault, in ? "delayed-in" : "delayed-out") < FIXTURE_COUNT &&
               sq_boot_ns() < start_ns + 300 * MS)
            usleep(1000);
        assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
        unsigned asked = 0;
        uint64_t now_ns = sq_boot_ns();
        while (fault.ops->settle(fault.state, &fault.undo) > now_ns) {
            asked++;
            usleep(5000);
            now_ns = sq_boot_ns();
        }
        double settled_ms = (double)(sq_boot_ns() - start_ns) / (double)MS;
        print_message("settled %.0f ms after the first was sent, asked %u times\n", settled_ms, asked);
        assert_true(asked > 0 && settled_ms >= 400 && settled_ms < 3000);
        impairment_stop(&fault);
        char byte;
        for (unsigned i = 0; i < FIXTURE_COUNT; i++)
            assert_int_equal(recv(receiver, &byte, 1, MSG_DONTWAIT), 1);
        close(sender);
        close(receiver);
        assert_nothing_left();
    }
}

/* Whoever cannot wait that long is told what was lost. */
static void test_removing_never_waits(void **state)
{
    (void)state;
    init(SQ_DIRECTION_OUT, "eth0", 30 * SQ_NS_PER_SECOND);
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    uint64_t start_ns = sq_boot_ns();
    assert_true(fault.ops->settle(fault.state, &fault.undo) > start_ns);
    impairment_stop_at_once(&fault);
    double took_ms = (double)(sq_boot_ns() - start_ns) / (double)MS;
    print_message("removed after %.0f ms\n", took_ms);
    assert_true(took_ms < 1000);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "20 packets that were still delayed"));
    assert_nothing_left();
}

static void test_full_queue_is_told(void **state)
{
    (void)state;
    static struct probe_result result;
    init(SQ_DIRECTION_OUT, "eth0", 1000 * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    struct probe probe = {.from = "10.9.0.1", .to = "10.9.0.2", .count = 100, .gap_us = 100, .wait_ms = 1500};
    probe_run(&lab, &probe, &result);
    assert_int_equal(result.received, 100);
    assert_int_equal(impairment_counter(&fault, "lost-out"), 0);
    assert_false(impairment_says(&fault, SQ_LINE_WARNING, "packets were lost"));
    /* The real limit depends on the memory; a small one stands for it. */
    fixture_must(lab.host, "tc qdisc change dev squall-0-out root netem limit 50 delay 1s");
    probe_run(&lab, &probe, &result);
    assert_int_equal(result.received, 50);
    assert_int_equal(impairment_counter(&fault, "lost-out"), 50);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "packets were lost"));
    impairment_stop(&fault);
}

static void test_control_connection_is_spared(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, "eth0", 3 * SQ_NS_PER_SECOND);
    impairment_to(&fault, "0.0.0.0/0");
    impairment_to(&fault, "::/0");
    impairment_spare(&fault, "10.9.0.2", 7433);
    impairment_start(&fault);
    fixture_must(lab.host, "ip neigh flush dev eth0");
    fixture_must(lab.net, "ip neigh flush dev eth0");
    assert_true(fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7433));
    assert_false(fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7434));
    assert_false(fixture_tcp_works(&lab, "10.9.0.3", "10.9.0.1", 7433));
    impairment_stop(&fault);
    assert_nothing_left();
}

/* Several interfaces share the detour of a direction; each packet comes back to its own. */
static void test_several_interfaces(void **state)
{
    (void)state;
    fixture_add_link(&lab, "eth1", 1);
    init(SQ_DIRECTION_BOTH, NULL, 40 * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "10.8.1.2");
    impairment_start(&fault);
    assert_int_equal(fault.report.line_count > 0, 1);
    fixture_must(lab.host, "test $(ip -o link show type ifb | wc -l) = 2");
    assert_delay("10.9.0.1", "10.9.0.2", 40);
    assert_delay("10.9.0.2", "10.9.0.1", 40);
    assert_delay("10.8.1.1", "10.8.1.2", 40);
    assert_delay("10.8.1.2", "10.8.1.1", 40);
    assert_delay("10.9.0.3", "10.9.0.1", 0);
    impairment_stop(&fault);
    assert_nothing_left();
}

/* Faults on disjoint peers stand side by side on one interface. */
static void test_beside_a_partition(void **state)
{
    (void)state;
    static struct impairment other;
    init(SQ_DIRECTION_BOTH, "eth0", 50 * MS);
    impairment_to(&fault, "10.9.0.2");
    fault.env.slot = 1;
    impairment_init(&other, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&other, "10.9.0.3");
    assert_int_equal(impairment_preview(&other), 0);
    assert_int_equal(impairment_preview(&fault), 0);
    assert_int_equal(impairment_prepare(&other), 0);
    assert_int_equal(impairment_prepare(&fault), 0);
    impairment_inject(&other, 60000);
    impairment_inject(&fault, 60000);
    assert_delay("10.9.0.1", "10.9.0.2", 50);
    assert_delay("10.9.0.2", "10.9.0.1", 50);
    assert_int_equal(fixture_out4(&lab, "3"), 0);
    assert_int_equal(fixture_in4(&lab, "3"), 0);
    assert_delay("10.9.0.4", "10.9.0.1", 0);
    impairment_stop(&other);
    assert_delay("10.9.0.3", "10.9.0.1", 0);
    assert_delay("10.9.0.1", "10.9.0.2", 50);
    impairment_stop(&fault);
    assert_nothing_left();
}

static void test_jitter(void **state)
{
    (void)state;
    static struct probe_result result;
    init(SQ_DIRECTION_OUT, "eth0", 100 * MS);
    fault.order.spec.latency.jitter_ns = 40 * MS;
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    assert_true(impairment_says(&fault, SQ_LINE_NOTE, "another order"));
    struct probe probe = {
        .from = "10.9.0.1", .to = "10.9.0.2", .count = 1000, .gap_us = 1000, .wait_ms = 1000};
    double spread_ms = 0;
    for (int i = 0; i < TRIES && (spread_ms < 64 * 0.8 || spread_ms > 64 * 1.2); i++) {
        probe_run(&lab, &probe, &result);
        assert_int_equal(result.received, 1000);
        assert_true(result.delays_ms[0] >= 60);
        spread_ms = result.delays_ms[900] - result.delays_ms[100];
    }
    print_message("mean %.1f ms, from %.1f to %.1f ms, the middle 80 %% within %.1f ms\n",
                  probe_mean_ms(&result), result.delays_ms[0], result.delays_ms[999], spread_ms);
    /* Evenly from 60 to 140 ms. */
    assert_true(spread_ms > 64 * 0.8 && spread_ms < 64 * 1.2);
    impairment_stop(&fault);
}

static bool move(int from, int to, uint64_t *sent, uint64_t *received)
{
    static uint8_t block[65536];
    static uint8_t got[65536];
    struct pollfd polls[] = {{.fd = from, .events = *sent < BULK_SIZE ? POLLOUT : 0},
                             {.fd = to, .events = POLLIN}};
    if (poll(polls, 2, 5000) <= 0)
        return false;
    if ((polls[0].revents & POLLOUT) != 0) {
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (uint8_t)((*sent + i) * 31 >> 3);
        ssize_t count = send(from, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
        *sent += count > 0 ? (uint64_t)count : 0;
    }
    if ((polls[1].revents & POLLIN) != 0) {
        ssize_t count = recv(to, got, sizeof got, MSG_DONTWAIT);
        for (ssize_t i = 0; i < count; i++)
            if (got[i] != (uint8_t)((*received + (uint64_t)i) * 31 >> 3))
                return false;
        *received += count > 0 ? (uint64_t)count : 0;
    }
    return true;
}

/* A bulk transfer, whose packets the kernel joins (GSO), arrives whole in both directions. */
static void test_tcp_transfer(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, "eth0", 10 * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    for (int in = 0; in < 2; in++) {
        const char *here = in ? "10.9.0.2" : "10.9.0.1";
        const char *there = in ? "10.9.0.1" : "10.9.0.2";
        int listener = fixture_socket(&lab, there, 6000, SOCK_STREAM);
        int client = fixture_socket(&lab, here, 0, SOCK_STREAM);
        struct sockaddr_storage to;
        socklen_t length = sizeof to;
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &length), 0);
        uint64_t start_ns = sq_boot_ns();
        assert_int_equal(connect(client, (struct sockaddr *)&to, length), 0);
        double connect_ms = (double)(sq_boot_ns() - start_ns) / (double)MS;
        assert_true(connect_ms >= 20 && connect_ms < 500);
        int server = accept(listener, NULL, NULL);
        uint64_t sent = 0;
        uint64_t received = 0;
        start_ns = sq_boot_ns();
        while (received < BULK_SIZE)
            assert_true(move(client, server, &sent, &received));
        print_message("%u KiB in %.0f ms\n", BULK_SIZE >> 10, (double)(sq_boot_ns() - start_ns) / (double)MS);
        close(server);
        close(client);
        close(listener);
    }
    uint64_t packets = impairment_counter(&fault, "delayed-out") + impairment_counter(&fault, "delayed-in");
    print_message("%llu packets took the detour\n", (unsigned long long)packets);
    assert_int_equal(impairment_counter(&fault, "lost-out"), 0);
    assert_int_equal(impairment_counter(&fault, "lost-in"), 0);
    assert_true(packets < 2 * (BULK_SIZE / 1448)); /* or they would not have been joined */
    impairment_stop(&fault);
    assert_nothing_left();
}

/* How many large datagrams arrive. None of the sockets' buffers is too small for all of them. */
static unsigned send_large(const char *from, const char *to)
{
    static char datagram[LARGE_SIZE];
    const int bytes = 4 << 20;
    int receiver = fixture_socket(&lab, to, 5000, SOCK_DGRAM);
    int sender = fixture_socket(&lab, from, 0, SOCK_DGRAM);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    unsigned received = 0;
    assert_int_equal(setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes), 0);
    assert_int_equal(setsockopt(sender, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes), 0);
    assert_int_equal(getsockname(receiver, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < LARGE_COUNT; i++)
        assert_int_equal(sendto(sender, datagram, LARGE_SIZE, 0, (struct sockaddr *)&address, length),
                         LARGE_SIZE);
    struct pollfd poller = {.fd = receiver, .events = POLLIN};
    while (received < LARGE_COUNT && poll(&poller, 1, 1000) == 1 &&
           recv(receiver, datagram, LARGE_SIZE, 0) == LARGE_SIZE)
        received++;
    close(sender);
    close(receiver);
    return received;
}

/* Also where ports matter: all fragments are delayed alike, so that none waits for the others and is given
 * up. */
static void test_fragments(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, "eth0", 100 * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
    fault.env.agent_port_count = 1;
    fault.env.agent_ports[0] = 7433;
    impairment_start(&fault);
    assert_int_equal(send_large("10.9.0.1", "10.9.0.2"), LARGE_COUNT);
    assert_int_equal(send_large("10.9.0.2", "10.9.0.1"), LARGE_COUNT);
    assert_int_equal(send_large("fd09::1", "fd09::2"), LARGE_COUNT);
    assert_int_equal(send_large("fd09::2", "fd09::1"), LARGE_COUNT);
    assert_true(impairment_counter(&fault, "delayed-out") >= 2 * 6 * LARGE_COUNT);
    assert_true(impairment_counter(&fault, "delayed-in") >= 2 * 6 * LARGE_COUNT);
    impairment_stop(&fault);
    assert_nothing_left();
}

static void test_policy(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, NULL, 10 * MS);
    impairment_to(&fault, "10.9.0.2");
    impairment_protect(&fault, "10.9.0.0/24");
    impairment_assert_refused(&fault, SQ_POLICY, "10.9.0.2/32 is protected");
    init(SQ_DIRECTION_BOTH, NULL, 10 * MS);
    impairment_to(&fault, "10.9.0.2");
    memcpy(fault.protection.interfaces[fault.protection.interface_count++], "eth0", 5);
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth0 is protected");
    assert_nothing_left();
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_out_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prepared_alone_does_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_and_renewal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_packets_in_flight_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removing_never_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_queue_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_connection_is_spared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_interfaces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beside_a_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_jitter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp_transfer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fragments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_policy, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
