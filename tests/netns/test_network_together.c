/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common m */
/*
 * Several network faults on the same peers at a time: what drops comes before what delays, whatever their
 * slots and whichever was made first, and each does its own to a packet once.
 */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include "common/clock.h"
#include "kernel/tcx.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DELAY_MS 40.0
#define PERCENT  30.0
#define PACKETS  1000u

static struct impairment first;
static struct impairment second;
static bool has_netem;

static void init(struct impairment *fault, enum sq_fault_kind kind, uint32_t slot, const char *peers4)
{
    impairment_init_kind(fault, kind, SQ_DIRECTION_BOTH, "eth0");
    fault->env.slot = slot;
    fault->env.experiment = (struct sq_id){{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    impairment_to(fault, peers4);
    impairment_to(fault, "fd09::2");
    if (kind == SQ_NETWORK_LOSS)
        fault->order.spec.loss.percent = PERCENT;
    if (kind == SQ_NETWORK_LATENCY)
        fault->order.spec.latency.delay_ns = (uint64_t)(DELAY_MS * (double)SQ_NS_PER_MILLISECOND);
}

static void start_both(bool first_goes_first)
{
    char *before = fixture_tc("eth0");
    assert_int_equal(impairment_preview(&first), 0);
    assert_int_equal(impairment_preview(&second), 0);
    assert_int_equal(impairment_prepare(first_goes_first ? &first : &second), 0);
    assert_int_equal(impairment_prepare(first_goes_first ? &second : &first), 0);
    impairment_inject(&first, 60000);
    impairment_inject(&second, 60000);
    assert_int_equal(first.ops->look(first.state, &first.undo, &first.error), 0);
    assert_int_equal(second.ops->look(second.state, &second.undo, &second.error), 0);
    free(before);
}

/* A partition of one peer within a range that loses some: no packet of that peer runs the other's risk. */
static void cut_and_lose(uint32_t slot, bool partition_goes_first)
{
    char *before = fixture_tc("eth0");
    init(&first, SQ_NETWORK_PARTITION, slot, "10.9.0.2");
    init(&second, SQ_NETWORK_LOSS, 1 - slot, "10.9.0.0/24");
    start_both(partition_goes_first);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in4(&lab, "2"), 0);
    assert_int_equal(impairment_counter(&first, "dropped-out"), FIXTURE_COUNT);
    assert_int_equal(impairment_counter(&second, "matched-out"), 0);
    assert_int_equal(impairment_counter(&second, "matched-in"), 0);
    unsigned passed = fixture_out4(&lab, "3");
    assert_int_equal(impairment_counter(&second, "exposed-out"), FIXTURE_COUNT);
    assert_int_equal(impairment_counter(&second, "lost-out"), FIXTURE_COUNT - passed);
    impairment_stop(&first);
    (void)fixture_out4(&lab, "2");
    assert_int_equal(impairment_counter(&second, "exposed-out"), 2 * FIXTURE_COUNT);
    impairment_stop(&second);
    fixture_assert_tc("eth0", before);
}

static void test_partition_and_loss(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        cut_and_lose((uint32_t)(i & 1), (i & 2) != 0);
}

/* Lost once, by the chance that was asked for; what is left is late. */
static void assert_lost_and_late(const char *from, const char *to)
{
    static struct probe_result result;
    struct probe probe = {.from = from, .to = to, .count = PACKETS, .gap_us = 200, .wait_ms = 300};
    probe_run(&lab, &probe, &result);
    double lost = PACKETS - result.received;
    double expected = PACKETS * PERCENT / 100;
    double slack = 3.89 * sqrt(expected * (1 - PERCENT / 100)); /* 99.99 % */
    print_message("from %s to %s: %.0f of %u lost, delays from %.2f ms\n", from, to, lost, PACKETS,
                  result.delays_ms[0]);
    assert_true(fabs(lost - expected) <= slack);
    assert_true(result.delays_ms[0] > DELAY_MS - 0.1);
    assert_true(result.delays_ms[0] < DELAY_MS + 20); /* not twice */
}

static uint64_t counter_of(struct impairment *fault, const char *what, const char *side)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s-%s", what, side);
    return impairment_counter(fault, name);
}

/* Every packet that ran the risk was lost or delayed, and none did twice. `first` delays, `second` loses. */
static void assert_account(uint64_t at_least)
{
    static const char *const sides[] = {"in", "out"};
    for (int i = 0; i < 2; i++) {
        uint64_t exposed;
        uint64_t lost;
        uint64_t delayed;
        do { /* a late packet may come between two readings */
            exposed = counter_of(&second, "exposed", sides[i]);
            lost = counter_of(&second, "lost", sides[i]);
            delayed = counter_of(&first, "delayed", sides[i]);
        } while (exposed != counter_of(&second, "exposed", sides[i]));
        assert_int_equal(exposed - lost, delayed);
        assert_true(exposed >= at_least);
    }
}

static void delay_and_lose(uint32_t slot, bool latency_goes_first)
{
    char *before = fixture_tc("eth0");
    init(&first, SQ_NETWORK_LATENCY, slot, "10.9.0.2");
    init(&second, SQ_NETWORK_LOSS, 1 - slot, "10.9.0.2");
    start_both(latency_goes_first);
    assert_lost_and_late("10.9.0.1", "10.9.0.2");
    assert_lost_and_late("10.9.0.2", "10.9.0.1");
    assert_account(PACKETS);
    assert_int_equal(impairment_counter(&second, "exposed-out"), PACKETS);
    assert_lost_and_late("fd09::1", "fd09::2");
    assert_lost_and_late("fd09::2", "fd09::1");
    assert_account(2 * PACKETS);
    /* TCP, which sends again: whether it comes through is its own business. */
    (void)fixture_tcp_works(&lab, "10.9.0.2", "10.9.0.1", 7000);
    assert_account(2 * PACKETS + 1);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "3"), FIXTURE_COUNT);
    impairment_stop(&first);
    impairment_stop(&second);
    fixture_assert_tc("eth0", before);
}

static void test_latency_and_loss(void **state)
{
    (void)state;
    if (!has_netem) {
        print_message("not checked: this kernel has no netem\n");
        skip();
    }
    delay_and_lose(0, true);
    delay_and_lose(1, false);
}

/* A virtual LAN on eth0, at both ends: 10.8.5.1 and 10.8.5.2. */
static void add_virtual_lan(void)
{
    const int ends[] = {lab.host, lab.net};
    for (int i = 0; i < 2; i++)
        fixture_must(
            ends[i],
            "ip link add link eth0 name upper type vlan id 5 && ip addr add 10.8.5.%d/24 dev upper && "
            "ip link set upper up",
            i + 1);
}

static void init_on(struct impairment *fault, enum sq_fault_kind kind, uint32_t slot, const char *interface)
{
    init(fault, kind, slot, "10.8.5.2");
    struct sq_network_selector *selector = kind == SQ_NETWORK_LATENCY ? &fault->order.spec.latency.selector
                                           : kind == SQ_NETWORK_PARTITION
                                               ? &fault->order.spec.partition.selector
                                               : &fault->order.spec.loss.selector;
    (void)snprintf(selector->interface, sizeof selector->interface, "%s", interface);
}

static void delay_and_lose_on(const char *delays, const char *loses, bool latency_goes_first)
{
    init_on(&first, SQ_NETWORK_LATENCY, 0, delays);
    init_on(&second, SQ_NETWORK_LOSS, 1, loses);
    start_both(latency_goes_first);
    assert_lost_and_late("10.8.5.1", "10.8.5.2");
    assert_lost_and_late("10.8.5.2", "10.8.5.1");
    impairment_stop(&first);
    impairment_stop(&second);
}

/* One on a device, the other on the device under it: what the upper one's detour gives back is new below. */
static void test_stacked_devices(void **state)
{
    (void)state;
    if (!has_netem || fixture_run(lab.host, "ip link add link eth0 name upper type vlan id 5 2>/dev/null && "
                                            "ip link del upper") != 0) {
        print_message("not checked: this kernel has no netem, or no virtual LANs\n");
        skip();
    }
    add_virtual_lan();
    delay_and_lose_on("upper", "eth0", true);
    delay_and_lose_on("upper", "eth0", false);
    delay_and_lose_on("eth0", "upper", true);
    delay_and_lose_on("upper", "upper", true);
    init_on(&first, SQ_NETWORK_LATENCY, 0, "upper");
    init_on(&second, SQ_NETWORK_PARTITION, 1, "eth0");
    start_both(true);
    assert_false(fixture_tcp_works(&lab, "10.8.5.2", "10.8.5.1", 7000));
    assert_int_equal(impairment_counter(&second, "matched-out"), impairment_counter(&second, "dropped-out"));
    impairment_stop(&first);
    impairment_stop(&second);
}

/* A fault of its own that loses on both would lose too much. */
static void test_stacked_loss_is_refused(void **state)
{
    (void)state;
    if (fixture_run(lab.host, "ip link add link eth0 name upper type vlan id 5 2>/dev/null") != 0) {
        print_message("not checked: this kernel has no virtual LANs\n");
        skip();
    }
    fixture_must(lab.host, "ip addr add 10.8.5.1/24 dev upper && ip link set upper up");
    init(&first, SQ_NETWORK_LOSS, 0, "10.8.5.2");
    impairment_to(&first, "10.9.0.2");
    first.order.spec.loss.selector.interface[0] = '\0';
    impairment_assert_refused(&first, SQ_UNABLE, "eth0, which carries the packets of upper");
}

int main(void)
{
    fixture_require_root();
    has_netem = fixture_has_netem();
    const struct CMUnitTest tests[] = {
        fixture_test(test_partition_and_loss),
        fixture_test(test_latency_and_loss),
        fixture_test(test_stacked_devices),
        fixture_test(test_stacked_loss_is_refused),
    };
    int failures = cmocka_run_group_tests_name("clsact", tests, NULL, NULL);
    sq_tcx_try();
    if (sq_tcx_is_used())
        failures += cmocka_run_group_tests_name("tcx", tests, NULL, NULL);
    return failures;
}
