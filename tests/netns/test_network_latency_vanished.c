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

#include <cmocka.h>

static struct fixture lab;
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

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&lab);
    return 0;
}

static void test_every_part_of_a_detour(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *says;
    } cases[] = {
        {"ip link del squall-0-out", "took the interface squall-0-out away"},
        {"ip link set squall-0-in down", "switched off the interface squall-0-in"},
        {"tc qdisc del dev squall-0-out root", "took the netem away from squall-0-out"},
        {"tc filter del dev eth0 ingress", "took squall's filter away from eth0 (ingress)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        impairment_start(&fault);
        assert_int_equal(fault.ops->look(fault.state, &fault.undo, &fault.error), 0);
        fixture_must(lab.host, "%s", cases[i].command);
        assert_int_equal(fault.ops->look(fault.state, &fault.undo, &fault.error), -1);
        print_message("%s\n", fault.error.text);
        assert_int_equal(fault.error.code, SQ_VANISHED);
        assert_non_null(strstr(fault.error.text, cases[i].says));
        impairment_stop(&fault);
    }
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_part_of_a_detour, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
