/*
 * Asked against measured, for network.latency and network.loss: prints Markdown, kept as
 * docs/measured-network.md. Needs root and a kernel with netem (tests/lab/uml.sh has one).
 *
 * measure_network [--strict]
 *
 * Datagrams that carry their sending time go between a host and its peers in network namespaces, one way, and
 * are timed by the program that receives them: from outside the agent, by the clock that both ends share.
 * --strict: exit with 1 if a row is further off than what was promised.
 */
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
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#define DELAY_PROMISED_MS 1.0
#define JITTER_PROMISED   0.20 /* of the spread */
#define DELAY_SAMPLES     200u
#define DELAY_GAP_US      5000u
#define JITTER_SAMPLES    5000u
#define LOSS_SAMPLES      10000u
#define LOSS_GAP_US       100u
#define CONFIDENCE_999    3.29 /* standard deviations on either side, for 99.9 % */

static struct impairment fault;
static unsigned out_of_bounds;

static const char *verdict(bool is_kept)
{
    out_of_bounds += !is_kept;
    return is_kept ? "yes" : "**no**";
}

static const char *direction_name(enum sq_direction direction)
{
    return direction == SQ_DIRECTION_BOTH ? "both" : direction == SQ_DIRECTION_IN ? "in" : "out";
}

static void one_way(bool in, const char *peer, unsigned count, unsigned gap_us, unsigned wait_ms,
                    struct probe_result *result)
{
    char address[16];
    (void)snprintf(address, sizeof address, "10.9.0.%s", peer);
    struct probe probe = {.from = in ? address : "10.9.0.1",
                          .to = in ? "10.9.0.1" : address,
                          .count = count,
                          .gap_us = gap_us,
                          .wait_ms = wait_ms};
    probe_run(&lab, &probe, result);
}

static double median_of(bool in, const char *peer)
{
    static struct probe_result result;
    one_way(in, peer, DELAY_SAMPLES, DELAY_GAP_US, 600, &result);
    return result.received == DELAY_SAMPLES ? probe_median_ms(&result) : NAN;
}

static void start(enum sq_fault_kind kind, enum sq_direction direction)
{
    impairment_init_kind(&fault, kind, direction, "eth0");
    impairment_to(&fault, "10.9.0.2");
}

static void delay_row(double delay_ms, enum sq_direction direction)
{
    start(SQ_NETWORK_LATENCY, direction);
    fault.order.spec.latency.delay_ns = (uint64_t)(delay_ms * (double)SQ_NS_PER_MILLISECOND);
    double before_out = median_of(false, "2");
    double before_in = median_of(true, "2");
    impairment_start(&fault);
    double out = median_of(false, "2");
    double in = median_of(true, "2");
    double neighbour_out = median_of(false, "3");
    double neighbour_in = median_of(true, "3");
    impairment_stop(&fault);
    double asked_out = (direction & SQ_DIRECTION_OUT) != 0 ? delay_ms : 0;
    double asked_in = (direction & SQ_DIRECTION_IN) != 0 ? delay_ms : 0;
    bool kept = fabs(out - before_out - asked_out) <= DELAY_PROMISED_MS &&
                fabs(in - before_in - asked_in) <= DELAY_PROMISED_MS &&
                fabs(neighbour_out - before_out) <= DELAY_PROMISED_MS &&
                fabs(neighbour_in - before_in) <= DELAY_PROMISED_MS;
    printf("| %.0f ms | %s | %.3f ms | %.3f ms | %.3f, %.3f ms | %.3f, %.3f ms | %s |\n", delay_ms,
           direction_name(direction), out, in, before_out, before_in, neighbour_out, neighbour_in,
           verdict(kept));
}

static void test_delays(void **state)
{
    (void)state;
    static const double delays[] = {1, 10, 73, 250};
    static const enum sq_direction directions[] = {SQ_DIRECTION_IN, SQ_DIRECTION_OUT, SQ_DIRECTION_BOTH};
    printf("\n## Delay\n\nMedians of %u datagrams, one every %u ms. Promised: within 1 ms of what was asked "
           "on top "
           "of the time without the fault, and the neighbour's within 1 ms of it.\n\n",
           DELAY_SAMPLES, DELAY_GAP_US / 1000);
    printf("| asked | direction | measured out | measured in | without the fault: out, in | neighbour: out, "
           "in | "
           "kept |\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++)
        for (size_t j = 0; j < sizeof directions / sizeof directions[0]; j++)
            delay_row(delays[i], directions[j]);
}

static void jitter_row(double delay_ms, double jitter_ms, bool in)
{
    static struct probe_result result;
    start(SQ_NETWORK_LATENCY, in ? SQ_DIRECTION_IN : SQ_DIRECTION_OUT);
    fault.order.spec.latency.delay_ns = (uint64_t)(delay_ms * (double)SQ_NS_PER_MILLISECOND);
    fault.order.spec.latency.jitter_ns = (uint64_t)(jitter_ms * (double)SQ_NS_PER_MILLISECOND);
    impairment_start(&fault);
    one_way(in, "2", JITTER_SAMPLES, 1000, 1000, &result);
    impairment_stop(&fault);
    double asked = jitter_ms / sqrt(3);
    double measured = result.received == JITTER_SAMPLES ? probe_deviation_ms(&result) : NAN;
    /* The mean of so many draws is itself off by chance. */
    double mean_slack_ms = DELAY_PROMISED_MS + CONFIDENCE_999 * asked / sqrt(JITTER_SAMPLES);
    bool kept = fabs(measured - asked) <= JITTER_PROMISED * asked &&
                fabs(probe_mean_ms(&result) - delay_ms) <= mean_slack_ms;
    printf("| %.0f ms ± %.0f ms | %s | %.2f ms | %.2f ms | %.2f ms | %.1f to %.1f ms | %s |\n", delay_ms,
           jitter_ms, in ? "in" : "out", probe_mean_ms(&result), asked, measured,
           result.delays_ms[result.received / 100],
           result.delays_ms[result.received - result.received / 100 - 1], verdict(kept));
}

static void test_jitter(void **state)
{
    (void)state;
    printf("\n## Jitter\n\n%u datagrams, one every ms. An even spread of plus and minus J has a standard "
           "deviation of J / √3. Promised: within 20 %% of it; and the mean within 1 ms, besides what chance "
           "makes of it in 999 of 1,000 cases.\n\n",
           JITTER_SAMPLES);
    printf(
        "| asked | direction | mean | asked deviation | measured deviation | 1st to 99th percentile | kept "
        "|\n|---|---|---|---|---|---|---|\n");
    for (int in = 0; in < 2; in++) {
        jitter_row(20, 5, in);
        jitter_row(100, 40, in);
        jitter_row(250, 250, in);
    }
}

static void loss_row(double percent, bool in)
{
    static struct probe_result result;
    static struct probe_result neighbour;
    start(SQ_NETWORK_LOSS, in ? SQ_DIRECTION_IN : SQ_DIRECTION_OUT);
    fault.order.spec.loss.percent = percent;
    impairment_start(&fault);
    one_way(in, "2", LOSS_SAMPLES, LOSS_GAP_US, 300, &result);
    uint64_t counted = impairment_counter(&fault, in ? "lost-in" : "lost-out");
    one_way(in, "3", LOSS_SAMPLES, LOSS_GAP_US, 300, &neighbour);
    impairment_stop(&fault);
    unsigned lost = LOSS_SAMPLES - result.received;
    double share = percent / 100;
    double expected = LOSS_SAMPLES * share;
    double slack = CONFIDENCE_999 * sqrt(LOSS_SAMPLES * share * (1 - share));
    bool kept = fabs(lost - expected) <= slack && neighbour.received == LOSS_SAMPLES && counted == lost;
    printf("| %.0f %% | %s | %u of %u (%.2f %%) | %.0f to %.0f | %llu | %u | %.3f ms | %s |\n", percent,
           in ? "in" : "out", lost, LOSS_SAMPLES, 100.0 * lost / LOSS_SAMPLES, expected - slack,
           expected + slack, (unsigned long long)counted, LOSS_SAMPLES - neighbour.received,
           probe_median_ms(&neighbour), verdict(kept));
}

static void test_loss(void **state)
{
    (void)state;
    printf("\n## Loss\n\n%u datagrams, one every %u us. Promised: inside the 99.9 %% confidence interval, "
           "and the "
           "neighbour loses none. The counter is what the agent reports.\n\n",
           LOSS_SAMPLES, LOSS_GAP_US);
    printf("| asked | direction | lost | interval | counter | neighbour lost | neighbour's delay | kept "
           "|\n|---|---|---|---|---|---|---|---|\n");
    for (int in = 0; in < 2; in++) {
        loss_row(1, in);
        loss_row(10, in);
        loss_row(50, in);
    }
}

static int tear_down(void **state)
{
    (void)state;
    (void)fflush(stdout);
    fixture_close(&lab);
    return 0;
}

int main(int argc, char **argv)
{
    bool strict = argc > 1 && strcmp(argv[1], "--strict") == 0;
    struct utsname system;
    fixture_require_netem(true);
    if (uname(&system) != 0)
        return 1;
    printf("# network.latency and network.loss: asked against measured\n\n"
           "Printed by `tests/measure/network.sh`. Kernel %s %s, %ld processor%s, one-way times of single "
           "datagrams "
           "between network namespaces.\n",
           system.release, strstr(system.machine, "86") != NULL ? "x86" : system.machine,
           sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_NPROCESSORS_ONLN) == 1 ? "" : "s");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delays, fixture_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_jitter, fixture_set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loss, fixture_set_up, tear_down),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    if (out_of_bounds > 0)
        (void)fprintf(stderr, "%u rows are out of bounds\n", out_of_bounds);
    return failures != 0 || (strict && out_of_bounds > 0) ? 1 : 0;
}
