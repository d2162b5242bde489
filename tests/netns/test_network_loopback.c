/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* On lo both ends are this host: each packet is met once, whichever end is the peer. */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    fixture_must(lab.host, "ip addr add 10.6.1.1/32 dev lo && ip addr add 10.6.2.1/32 dev lo && "
                           "ip addr add 10.6.3.1/32 dev lo");
    return 0;
}

static unsigned send_it(const char *from, const char *to)
{
    const struct fixture_flow flow = {.from = from, .to = to, .count = FIXTURE_COUNT};
    return fixture_send(&lab, &flow);
}

static void test_each_direction(void **state)
{
    (void)state;
    static const struct {
        enum sq_direction direction;
        unsigned to_peer;
        unsigned from_peer;
    } cases[] = {
        {SQ_DIRECTION_OUT, 0, FIXTURE_COUNT}, {SQ_DIRECTION_IN, FIXTURE_COUNT, 0}, {SQ_DIRECTION_BOTH, 0, 0}};
    char *before = fixture_tc("lo");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        impairment_init(&fault, cases[i].direction, "lo");
        impairment_to(&fault, "10.6.2.1");
        impairment_start(&fault);
        assert_true(impairment_says(&fault, SQ_LINE_NOTE, "both ends are this host"));
        assert_int_equal(send_it("10.6.1.1", "10.6.2.1"), cases[i].to_peer);
        assert_int_equal(send_it("10.6.2.1", "10.6.1.1"), cases[i].from_peer);
        assert_int_equal(send_it("10.6.1.1", "10.6.3.1"), FIXTURE_COUNT);
        uint64_t in = cases[i].from_peer == 0 ? FIXTURE_COUNT : 0;
        uint64_t out = cases[i].to_peer == 0 ? FIXTURE_COUNT : 0;
        assert_int_equal(impairment_counter(&fault, "dropped-in"), in);
        assert_int_equal(impairment_counter(&fault, "dropped-out"), out);
        /* Both ends are the peer: one packet is one. */
        assert_int_equal(send_it("10.6.2.1", "10.6.2.1"), 0);
        assert_int_equal(impairment_counter(&fault, "dropped-in") + impairment_counter(&fault, "dropped-out"),
                         in + out + FIXTURE_COUNT);
        impairment_stop(&fault);
    }
    fixture_assert_tc("lo", before);
}

/* Whichever end it is for whose sake a packet is left alone. */
static void test_spared(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "lo");
    impairment_to(&fault, "10.6.0.0/16");
    impairment_to(&fault, "::/0");
    impairment_except(&fault, "10.6.3.1");
    fault.env.agent_ports[fault.env.agent_port_count++] = 7433;
    impairment_start(&fault);
    assert_int_equal(send_it("10.6.1.1", "10.6.2.1"), 0);
    assert_int_equal(send_it("10.6.1.1", "10.6.3.1"), FIXTURE_COUNT);
    assert_int_equal(send_it("10.6.3.1", "10.6.1.1"), FIXTURE_COUNT);
    assert_int_equal(send_it("fd09::1", "fd09::1"), 0);
    assert_true(fixture_tcp_works(&lab, "10.6.1.1", "10.6.2.1", 7433));
    assert_true(fixture_tcp_works(&lab, "fd09::1", "fd09::1", 7433));
    assert_false(fixture_tcp_works(&lab, "10.6.1.1", "10.6.2.1", 7434));
    impairment_stop(&fault);
}

/* There and back are two packets, and each runs the risk once. */
static void test_loss(void **state)
{
    (void)state;
    impairment_init_kind(&fault, SQ_NETWORK_LOSS, SQ_DIRECTION_BOTH, "lo");
    fault.order.spec.loss.percent = 50;
    impairment_to(&fault, "10.6.2.1");
    impairment_start(&fault);
    unsigned arrived = send_it("10.6.1.1", "10.6.2.1") + send_it("10.6.2.1", "10.6.1.1");
    assert_int_equal(impairment_counter(&fault, "exposed-out"), FIXTURE_COUNT);
    assert_int_equal(impairment_counter(&fault, "exposed-in"), FIXTURE_COUNT);
    assert_int_equal(impairment_counter(&fault, "lost-out") + impairment_counter(&fault, "lost-in"),
                     2 * FIXTURE_COUNT - arrived);
    impairment_stop(&fault);
}

/* 50 ms, in both directions, are 50 ms for each packet. */
static void test_delay(void **state)
{
    (void)state;
    if (system("ip link add ifb9 type ifb && tc qdisc add dev ifb9 root netem delay 1ms 2>/dev/null") != 0) {
        print_message("not checked: this kernel has no netem\n");
        skip();
    }
    static const char *const ends[][2] = {
        {"10.6.1.1", "10.6.2.1"}, {"10.6.2.1", "10.6.1.1"}, {"10.6.2.1", "10.6.2.1"}};
    impairment_init_kind(&fault, SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "lo");
    fault.order.spec.latency.delay_ns = 50000000;
    impairment_to(&fault, "10.6.2.1");
    impairment_start(&fault);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        double delay_ms = probe_delay_ms(&lab, ends[i][0], ends[i][1]);
        assert_true(delay_ms >= 49.5 && delay_ms < 80);
    }
    assert_true(probe_delay_ms(&lab, "10.6.1.1", "10.6.3.1") < 20);
    impairment_stop(&fault);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_direction, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_spared, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_loss, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_delay, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
