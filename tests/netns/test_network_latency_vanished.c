/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* A detour that somebody took apart is noticed: packets would be lost on it, or not delayed. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    impairment_init_kind(&fault, SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
    fault.order.spec.latency.delay_ns = 20 * SQ_NS_PER_MILLISECOND;
    impairment_to(&fault, "10.9.0.2");
    return 0;
}

static void stop(enum sq_proof proof)
{
    assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
    assert_int_equal(fault.ops->remove(fault.state, &fault.undo, &fault.report, &fault.error), 0);
    fault.ops->release(fault.state);
    free(fault.state);
    assert_string_equal(sq_proof_name(fault.report.proof), sq_proof_name(proof));
}

static void test_every_part_of_a_detour(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *says;
        enum sq_proof proof;
    } cases[] = {
        {"ip link del squall-0-out", "took the interface squall-0-out away", SQ_PROOF_CHANGED},
        {"ip link set squall-0-in down", "switched off the interface squall-0-in", SQ_PROOF_PROVED},
        {"tc qdisc del dev squall-0-out root", "took the netem away from squall-0-out", SQ_PROOF_PROVED},
        {"tc filter del dev eth0 ingress", "took squall's filter away from eth0 (ingress)", SQ_PROOF_PROVED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        impairment_start(&fault);
        assert_int_equal(fault.ops->look(fault.state, &fault.undo, &fault.error), 0);
        fixture_must(lab.host, "%s", cases[i].command);
        assert_int_equal(fault.ops->look(fault.state, &fault.undo, &fault.error), -1);
        print_message("%s\n", fault.error.text);
        assert_int_equal(fault.error.code, SQ_VANISHED);
        assert_non_null(strstr(fault.error.text, cases[i].says));
        stop(cases[i].proof);
    }
}

/* It is there still, and nothing that was made here is said to be gone that is not. */
static void test_detour_moved(void **state)
{
    (void)state;
    static const char *const names[] = {"squall-0-in", "squall-0-out"};
    for (int i = 0; i < 2; i++) {
        impairment_start(&fault);
        fixture_must(lab.host, "ip link set %s netns /proc/%d/fd/%d", names[i], getpid(), lab.net);
        assert_int_equal(fault.ops->look(fault.state, &fault.undo, &fault.error), -1);
        stop(SQ_PROOF_CHANGED);
        assert_true(impairment_says(&fault, SQ_LINE_FOREIGN, names[i]));
        fixture_must(lab.host, "! ip link show type ifb | grep .");
        fixture_must(lab.net, "ip link del %s", names[i]);
    }
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_part_of_a_detour, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_detour_moved, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
