/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common sq_bpf m */
/* What loss by chance does to packets: the named share of the named peers' in the named direction. */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include "bpf_program/classifier.h"
#include "common/clock.h"

#include <arpa/inet.h>
#include <math.h>
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

#define PACKETS 2000u
#define GAP_US  20

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
    fault.env.experiment = (struct sq_id){{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "fd09::2");
}

static unsigned count_lost(const char *from, const char *to)
{
    static struct probe_result result;
    struct probe probe = {.from = from, .to = to, .count = PACKETS, .gap_us = GAP_US, .wait_ms = 100};
    probe_run(&lab, &probe, &result);
    return PACKETS - result.received;
}

/* Inside the 99.99 % confidence interval; the experiment's id is fixed, and so are the packets that it loses.
 */
static unsigned assert_share(const char *from, const char *to, double share)
{
    unsigned lost = count_lost(from, to);
    double expected = share * PACKETS;
    double slack = 3.89 * sqrt(PACKETS * share * (1 - share));
    if (lost < expected - slack || lost > expected + slack)
        fail_msg("from %s to %s: %u of %u lost, expected %.0f +- %.0f", from, to, lost, PACKETS, expected,
                 slack);
    return lost;
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
    unsigned lost_out = assert_share("10.9.0.1", "10.9.0.2", out);
    unsigned lost_in = assert_share("10.9.0.2", "10.9.0.1", in);
    lost_out += assert_share("fd09::1", "fd09::2", out);
    lost_in += assert_share("fd09::2", "fd09::1", in);
    assert_share("10.9.0.1", "10.9.0.3", 0);
    assert_share("10.9.0.3", "10.9.0.1", 0);
    if (out > 0) {
        assert_int_equal(impairment_counter(&fault, "exposed-out"), 2 * PACKETS);
        assert_int_equal(impairment_counter(&fault, "lost-out"), lost_out);
    }
    if (in > 0) {
        assert_int_equal(impairment_counter(&fault, "exposed-in"), 2 * PACKETS);
        assert_int_equal(impairment_counter(&fault, "lost-in"), lost_in);
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

/* The numbers of those of PACKETS datagrams from the host to the peer that arrive. */
static void send_numbered(bool arrived[PACKETS])
{
    int receiver = fixture_socket(&lab, "10.9.0.2", 4711, SOCK_DGRAM);
    int sender = fixture_socket(&lab, "10.9.0.1", 0, SOCK_DGRAM);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(4711), .sin_addr = {htonl(0x0a090002)}};
    struct pollfd poller = {.fd = receiver, .events = POLLIN};
    memset(arrived, 0, PACKETS * sizeof arrived[0]);
    for (uint32_t i = 0; i < PACKETS; i++) {
        uint32_t number = 0;
        assert_int_equal(sendto(sender, &i, sizeof i, 0, (struct sockaddr *)&to, sizeof to), sizeof i);
        while (poll(&poller, 1, i + 1 < PACKETS ? 0 : 100) == 1) {
            assert_int_equal(recv(receiver, &number, sizeof number, 0), sizeof number);
            assert_in_range(number, 0, PACKETS - 1);
            arrived[number] = true;
        }
    }
    close(sender);
    close(receiver);
}

/*
 * The same experiment loses the same packets again, another one others. And what is lost is nobody's pattern:
 * runs of arrivals between two losses are distributed as chance has it (chi-square, 99.9 %).
 */
static void test_chance_is_seeded(void **state)
{
    (void)state;
    static bool first[PACKETS];
    static bool again[PACKETS];
    static bool other[PACKETS];
    bool *runs[] = {first, again, other};
    for (int i = 0; i < 3; i++) {
        init(SQ_DIRECTION_OUT, 20);
        fault.env.experiment.bytes[0] = i == 2 ? 77 : 1;
        impairment_start(&fault);
        send_numbered(runs[i]);
        impairment_stop(&fault);
    }
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    unsigned counts[8] = {0};
    unsigned gaps = 0;
    unsigned gap = 0;
    for (uint32_t i = 0; i < PACKETS; i++) {
        gap += first[i];
        if (first[i])
            continue;
        counts[gap < 7 ? gap : 7]++;
        gaps++;
        gap = 0;
    }
    double chi_square = 0;
    for (int i = 0; i < 8; i++) {
        double expected = gaps * (i < 7 ? 0.2 * pow(0.8, i) : pow(0.8, 7));
        chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    print_message("%u losses, chi-square of the gaps %.2f\n", gaps, chi_square);
    assert_true(chi_square < 24.32); /* 7 degrees of freedom */
}

/* Draws are even, and neither the other direction's nor the neighbouring seed's. */
static void test_draws(void **state)
{
    (void)state;
    enum { DRAWS = 100000, BINS = 16 };
    unsigned bins[BINS * BINS] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t in = sq_classifier_draw(7, SQ_CLASSIFIER_IN, i);
        uint64_t out = sq_classifier_draw(7, SQ_CLASSIFIER_OUT, i);
        assert_int_equal((in | out) >> 32, 0);
        bins[(in >> 28) * BINS + (out >> 28)]++;
    }
    double expected = (double)DRAWS / (BINS * BINS);
    double chi_square = 0;
    for (int i = 0; i < BINS * BINS; i++)
        chi_square += (bins[i] - expected) * (bins[i] - expected) / expected;
    assert_true(chi_square < 330.5); /* 255 degrees of freedom, 99.9 % */
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
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_half_of_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_going_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_coming_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_luck_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_needs_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_connection_is_spared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chance_is_seeded, set_up, tear_down),
        cmocka_unit_test(test_draws),
        cmocka_unit_test_setup_teardown(test_policy, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
