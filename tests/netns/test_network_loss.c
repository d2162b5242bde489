/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common m */
/* What loss by chance does to packets: the named share of the named peers' in the named direction. */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include "common/clock.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PACKETS 2000u
#define GAP_US  100

static struct fixture lab;
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

static void init(enum sq_direction direction, double percent)
{
    impairment_init_kind(&fault, SQ_NETWORK_LOSS, direction, "eth0");
    fault.order.spec.loss.percent = percent;
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
}

static unsigned count_lost(const char *from, const char *to)
{
    static struct probe_result result;
    struct probe probe = {.from = from, .to = to, .count = PACKETS, .gap_us = GAP_US, .wait_ms = 200};
    probe_run(&lab, &probe, &result);
    return PACKETS - result.received;
}

/* Inside the 99.99 % confidence interval: one run in ten thousand fails by chance. */
static void assert_share(const char *from, const char *to, double share)
{
    unsigned lost = count_lost(from, to);
    double expected = share * PACKETS;
    double slack = 3.89 * sqrt(PACKETS * share * (1 - share));
    if (lost < expected - slack || lost > expected + slack)
        fail_msg("from %s to %s: %u of %u lost, expected %.0f +- %.0f", from, to, lost, PACKETS, expected,
                 slack);
}

static void assert_nothing_left(void)
{
    fixture_must(lab.host, "! ip link show type ifb | grep .");
    char *now = fixture_tc("eth0");
    assert_string_equal(now, before);
    free(now);
}

static void lose(enum sq_direction direction, double percent)
{
    double out = (direction & SQ_DIRECTION_OUT) != 0 ? percent / 100 : 0;
    double in = (direction & SQ_DIRECTION_IN) != 0 ? percent / 100 : 0;
    init(direction, percent);
    impairment_start(&fault);
    assert_share("10.9.0.1", "10.9.0.2", out);
    assert_share("10.9.0.2", "10.9.0.1", in);
    assert_share("fd09::1", "fd09::2", out);
    assert_share("fd09::2", "fd09::1", in);
    assert_share("10.9.0.1", "10.9.0.3", 0);
    assert_share("10.9.0.3", "10.9.0.1", 0);
    if (out > 0) {
        assert_int_equal(impairment_counter(&fault, "exposed-out"), 2 * PACKETS);
        assert_true(impairment_counter(&fault, "lost-out") > 0);
    }
    if (in > 0) {
        assert_int_equal(impairment_counter(&fault, "exposed-in"), 2 * PACKETS);
        assert_true(impairment_counter(&fault, "lost-in") > 0);
    }
    assert_true(fault.report.touched);
    impairment_stop(&fault);
    assert_share("10.9.0.1", "10.9.0.2", 0);
    assert_share("10.9.0.2", "10.9.0.1", 0);
    assert_nothing_left();
}

static void test_half_of_both(void **state)
{
    (void)state;
    lose(SQ_DIRECTION_BOTH, 50);
}

static void test_some_going_out(void **state)
{
    (void)state;
    lose(SQ_DIRECTION_OUT, 10);
}

static void test_some_coming_in(void **state)
{
    (void)state;
    lose(SQ_DIRECTION_IN, 10);
}

static void test_all(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, 100);
    impairment_start(&fault);
    assert_int_equal(count_lost("10.9.0.1", "10.9.0.2"), PACKETS);
    assert_int_equal(count_lost("10.9.0.2", "10.9.0.1"), PACKETS);
    assert_int_equal(impairment_counter(&fault, "lost-out"), PACKETS);
    assert_int_equal(impairment_counter(&fault, "lost-in"), PACKETS);
    impairment_stop(&fault);
    assert_nothing_left();
}

/* Chance that has taken nothing yet has touched nothing, and the user is told. */
static void test_luck_is_told(void **state)
{
    (void)state;
    init(SQ_DIRECTION_OUT, 0.001);
    impairment_start(&fault);
    assert_int_equal(impairment_counter(&fault, "lost-out"), 0);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "no packet from or to the peers came by"));
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(impairment_counter(&fault, "lost-out"), 0);
    assert_false(impairment_says(&fault, SQ_LINE_WARNING, "no packet from or to the peers came by"));
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "chance has lost none"));
    assert_false(fault.report.touched);
    impairment_stop(&fault);
}

static void test_deadline_needs_nobody(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, 100);
    assert_int_equal(impairment_preview(&fault), 0);
    impairment_die(&fault, 1500, 0);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in6(&lab, "2"), 0);
    usleep(1500000);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(fixture_in6(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(impairment_recover(&fault), 0);
    assert_int_equal(fault.report.proof, SQ_PROOF_PROVED);
    assert_int_equal(impairment_recover(&fault), 0);
    assert_int_equal(fault.report.proof, SQ_PROOF_PROVED);
    assert_nothing_left();
}

static void test_control_connection_is_spared(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, 100);
    impairment_to(&fault, "0.0.0.0/0");
    impairment_spare(&fault, "10.9.0.2", 7433);
    impairment_start(&fault);
    assert_true(fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7433));
    assert_false(fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7434));
    impairment_stop(&fault);
}

static void test_policy(void **state)
{
    (void)state;
    init(SQ_DIRECTION_BOTH, 5);
    impairment_protect(&fault, "10.9.0.0/24");
    impairment_assert_refused(&fault, SQ_POLICY, "10.9.0.2/32 is protected");
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_half_of_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_going_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_coming_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_luck_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_needs_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_connection_is_spared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_policy, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
