/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* Which interfaces a partition stands on: named ones, those of the routes, and those that it must not touch.
 */
#include "fixture.h"
#include "impairment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    fixture_add_link(&lab, "eth1", 1);
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    return 0;
}

static unsigned out(const char *from, const char *to)
{
    struct fixture_flow flow = {.from = from, .to = to, .count = FIXTURE_COUNT};
    return fixture_send(&lab, &flow);
}

static bool touches(const char *interface)
{
    char text[40] = "";
    strncat(text, interface, 20);
    strcat(text, ": packets");
    return impairment_says(&fault, SQ_LINE_TOUCHES, text);
}

static void test_single_peers_by_route(void **state)
{
    (void)state;
    impairment_to(&fault, "10.8.1.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth1"));
    assert_false(touches("eth0"));
}

/* The narrowest route that covers a range is the one that is used; the default route is not. */
static void test_range_by_its_own_route(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip route add default via 10.9.0.2");
    impairment_to(&fault, "10.8.1.0/25");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth1"));
    assert_false(touches("eth0"));
}

static void test_wide_range_takes_every_interface(void **state)
{
    (void)state;
    char *before0 = fixture_tc("eth0");
    char *before1 = fixture_tc("eth1");
    impairment_to(&fault, "10.0.0.0/8");
    impairment_start(&fault);
    assert_true(touches("eth0") && touches("eth1"));
    assert_false(touches("lo"));
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(out("10.8.1.1", "10.8.1.2"), 0);
    assert_int_equal(out("10.8.1.2", "10.8.1.1"), 0);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), 2 * FIXTURE_COUNT);
    impairment_stop(&fault);
    assert_int_equal(out("10.8.1.1", "10.8.1.2"), FIXTURE_COUNT);
    fixture_assert_tc("eth0", before0);
    fixture_assert_tc("eth1", before1);
}

static void test_everybody_includes_the_default_route(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip route add default via 10.8.1.2");
    impairment_to(&fault, "0.0.0.0/0");
    impairment_to(&fault, "::/0");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth0") && touches("eth1"));
}

static void test_multipath_and_other_tables(void **state)
{
    (void)state;
    fixture_add_link(&lab, "eth2", 2);
    fixture_must(lab.host, "ip route add 10.100.0.0/16 nexthop via 10.8.1.2 nexthop via 10.8.2.2");
    impairment_to(&fault, "10.100.0.0/16");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth1") && touches("eth2"));
    assert_false(touches("eth0"));
    fixture_must(lab.host,
                 "ip route del 10.100.0.0/16 && ip route add 10.100.0.0/16 via 10.8.2.2 table 77 && "
                 "ip rule add to 10.100.0.0/16 lookup 77");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth2"));
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.100.3.4");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(touches("eth2"));
    assert_false(touches("eth1"));
}

static void test_too_many_interfaces(void **state)
{
    (void)state;
    for (unsigned i = 2; i <= 9; i++) {
        char name[8] = "link0";
        name[4] = (char)('0' + i);
        fixture_add_link(&lab, name, i);
    }
    impairment_to(&fault, "10.0.0.0/8");
    impairment_assert_refused(&fault, SQ_LIMIT, "10 interfaces");
}

static void test_nobody(void **state)
{
    (void)state;
    impairment_to(&fault, "198.51.100.7");
    impairment_assert_refused(&fault, SQ_NOBODY, "no route to 198.51.100.7/32");
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.9.0.1");
    impairment_assert_refused(&fault, SQ_NOBODY, "interface: lo");
    impairment_to(&fault, "198.51.100.0/24");
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "no route leads to 1 of the 3"));
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "1 of the 3 ranges in 'to' are this host itself"));
    impairment_init(&fault, SQ_DIRECTION_BOTH, "ehth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_assert_refused(&fault, SQ_NOBODY, "did you mean 'eth0'");
}

static void test_loopback_when_named(void **state)
{
    (void)state;
    char *before = fixture_tc("lo");
    impairment_init(&fault, SQ_DIRECTION_OUT, "lo");
    impairment_to(&fault, "10.9.0.1");
    impairment_start(&fault);
    assert_int_equal(out("10.9.0.1", "10.9.0.1"), 0);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    impairment_stop(&fault);
    assert_int_equal(out("10.9.0.1", "10.9.0.1"), FIXTURE_COUNT);
    fixture_assert_tc("lo", before);
}

static void test_policy(void **state)
{
    (void)state;
    strcpy(fault.protection.interfaces[fault.protection.interface_count++], "eth1");
    impairment_to(&fault, "10.9.0.2");
    assert_int_equal(impairment_preview(&fault), 0);
    impairment_to(&fault, "10.8.1.2");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth1 is protected");
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_protect(&fault, "10.9.0.0/24");
    impairment_to(&fault, "10.9.0.2");
    impairment_assert_refused(&fault, SQ_POLICY, "10.9.0.2/32 is protected");
}

/* What stands under a protected interface is protected with it. */
static void test_policy_from_below(void **state)
{
    (void)state;
    if (fixture_run(lab.host, "ip link add bridge0 type bridge && ip link set eth1 master bridge0") != 0) {
        print_message("not checked: this kernel has no bridges\n");
        skip();
    }
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth1");
    strcpy(fault.protection.interfaces[fault.protection.interface_count++], "bridge0");
    impairment_to(&fault, "10.8.1.2");
    impairment_assert_refused(&fault, SQ_POLICY, "eth1 carries the packets of bridge0");
    strcpy(fault.order.spec.partition.selector.interface, "eth0");
    assert_int_equal(impairment_preview(&fault), 0);
}

/* A preview reads; it leaves the host as it was. */
static void test_preview_changes_nothing(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    impairment_to(&fault, "10.9.0.0/24");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_int_equal(fault.records, 0);
    fixture_assert_tc("eth0", before);
    assert_int_equal(impairment_recover(&fault), 0);
    assert_int_equal(fault.report.proof, SQ_PROOF_PROVED);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_single_peers_by_route, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_range_by_its_own_route, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_wide_range_takes_every_interface, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_everybody_includes_the_default_route, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_multipath_and_other_tables, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_interfaces, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_nobody, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_loopback_when_named, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_policy, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_policy_from_below, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_preview_changes_nothing, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
