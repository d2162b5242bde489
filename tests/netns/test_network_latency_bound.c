/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* Eight delays in both directions at a time hold together no more packets than one alone might. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "faults/bounds.h"
#include "kernel/netem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PACKET_BYTES 65536u

static struct impairment faults[SQ_FAULTS_MAX];

static unsigned long sum_of_limits(unsigned *queues)
{
    char *text = fixture_output(lab.host, "tc qdisc show | grep netem");
    unsigned long sum = 0;
    *queues = 0;
    for (const char *limit = strstr(text, "limit "); limit != NULL; limit = strstr(limit + 1, "limit ")) {
        sum += strtoul(limit + strlen("limit "), NULL, 10);
        (*queues)++;
    }
    free(text);
    return sum;
}

static void test_eight_share_one_bound(void **state)
{
    (void)state;
    static struct sq_fault_order orders[SQ_FAULTS_MAX];
    char *before = fixture_tc("eth0");
    unsigned queues;
    for (unsigned i = 0; i < SQ_FAULTS_MAX; i++) {
        char peer[16];
        (void)snprintf(peer, sizeof peer, "10.9.0.%u", 100 + i);
        impairment_init_kind(&faults[i], SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
        faults[i].order.spec.latency.delay_ns = 10 * SQ_NS_PER_SECOND;
        faults[i].env.slot = i;
        impairment_to(&faults[i], peer);
        orders[i] = faults[i].order;
    }
    uint32_t most = sq_bounds_share_queues(orders, SQ_FAULTS_MAX, sq_fault_ops_by_kind);
    for (unsigned i = 0; i < SQ_FAULTS_MAX; i++) {
        char told[64];
        faults[i].env.queue_packets_most = most;
        assert_int_equal(impairment_preview(&faults[i]), 0);
        (void)snprintf(told, sizeof told, "at most %u of them", most);
        assert_true(impairment_says(&faults[i], SQ_LINE_NOTE, told));
        assert_int_equal(impairment_prepare(&faults[i]), 0);
    }
    unsigned long sum = sum_of_limits(&queues);
    print_message("%u queues, %lu packets\n", queues, sum);
    assert_int_equal(queues, 2 * SQ_FAULTS_MAX);
    assert_int_equal(sum, queues * most);
    assert_true(sum * PACKET_BYTES <= sq_netem_memory_bytes() / 8);
    for (unsigned i = 0; i < SQ_FAULTS_MAX; i++)
        impairment_stop(&faults[i]);
    fixture_assert_tc("eth0", before);
}

/* Where the memory bears too few for each, that is a refusal, with numbers. */
static void test_too_little_memory_is_refused(void **state)
{
    (void)state;
    impairment_init_kind(&faults[0], SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
    faults[0].order.spec.latency.delay_ns = SQ_NS_PER_SECOND;
    faults[0].env.queue_packets_most = SQ_NETEM_PACKETS_MIN - 1;
    impairment_to(&faults[0], "10.9.0.2");
    impairment_assert_refused(&faults[0], SQ_LIMIT, "63 packets");
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        fixture_test(test_eight_share_one_bound),
        fixture_test(test_too_little_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
