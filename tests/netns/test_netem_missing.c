/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* A kernel without netem says so, and what to do, before anything is made; and what was made goes again. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct impairment fault;

static void test_check_says_what_is_missing(void **state)
{
    (void)state;
    struct sq_error error;
    char *before = fixture_tc("lo");
    assert_int_equal(sq_network_latency_ops.able(NULL, &error), -1);
    print_message("%s\n", error.text);
    assert_int_equal(error.code, SQ_UNABLE);
    assert_non_null(strstr(error.text, "modprobe sch_netem"));
    assert_non_null(strstr(error.text, "CONFIG_NET_SCH_NETEM"));
    fixture_assert_tc("lo", before);
    fixture_must(lab.host, "! ip link show type ifb | grep .");
    assert_int_equal(sq_fault_ops_by_kind(SQ_NETWORK_PARTITION)->able(NULL, NULL), 0);
    assert_int_equal(sq_fault_ops_by_kind(SQ_NETWORK_LOSS)->able(NULL, NULL), 0);
}

/* The injector asks check first. If it could not be told there, prepare finds out, and the IFB goes again. */
static void test_prepare_fails_and_leaves_nothing(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    impairment_init_kind(&fault, SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
    fault.order.spec.latency.delay_ns = 10 * SQ_NS_PER_MILLISECOND;
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_int_equal(impairment_prepare(&fault), -1);
    assert_int_equal(fault.error.code, SQ_UNABLE);
    assert_non_null(strstr(fault.error.text, "modprobe"));
    impairment_stop(&fault);
    fixture_must(lab.host, "! ip link show type ifb | grep .");
    fixture_assert_tc("eth0", before);
}

int main(void)
{
    fixture_require_netem(false);
    const struct CMUnitTest tests[] = {
        fixture_test(test_check_says_what_is_missing),
        fixture_test(test_prepare_fails_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
