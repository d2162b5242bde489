/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* The policy protects interfaces, not their names: by any name, through whatever is stacked on them or below.
 */
#include "fixture.h"
#include "impairment.h"

#include "faults/protection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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

static void protect(const char *interface)
{
    strcpy(fault.protection.interfaces[fault.protection.interface_count++], interface);
}

/* A fault on one interface while another one is protected. */
static void hit_while_protected(const char *interface, const char *kept)
{
    impairment_init(&fault, SQ_DIRECTION_BOTH, interface);
    impairment_to(&fault, "10.8.1.2");
    protect(kept);
}

static void note(const char *sentence, void *cookie)
{
    strcat(cookie, sentence);
}

static void test_alternative_names(void **state)
{
    (void)state;
    static const char alias[] = "an-alternative-name-that-is-longer-than-an-interface's-own-may-be";
    fixture_must(lab.host, "ip link property add dev eth1 altname \"%s\" altname uplink", alias);
    hit_while_protected("eth1", "uplink");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth1 (in the policy: uplink) is protected");
    hit_while_protected("eth1", alias);
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth1");
    hit_while_protected("uplink", "eth1");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth1 is protected");
    hit_while_protected(alias, "eth0");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(impairment_says(&fault, SQ_LINE_TOUCHES, "eth1: packets from and to 10.8.1.2/32"));
    char unmatched[1000] = "";
    protect(alias);
    protect("uplink");
    protect("uplnk");
    sq_protection_each_unmatched(&fault.protection, note, unmatched);
    assert_string_equal(unmatched, "the policy protects the interface uplnk, which is not there");
    hit_while_protected("uplnk", "eth0");
    impairment_assert_refused(&fault, SQ_NOBODY, "did you mean 'uplink'");
}

/* Bridges on tunnels on bridges: seven in a row, where kernels nest eight at most. */
static void test_deep_stacks(void **state)
{
    (void)state;
    if (fixture_run(lab.host, "lower=eth1; for i in 1 2 3; do ip link add br$i type bridge && "
                              "ip link set $lower master br$i && "
                              "ip link add vx$i type vxlan id $i dstport 4789 dev br$i remote 10.8.1.2 && "
                              "lower=vx$i || exit 1; done") != 0)
        skip();
    hit_while_protected("eth1", "vx3");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth1 carries the packets of vx3");
    hit_while_protected("vx3", "eth1");
    impairment_assert_refused(&fault, SQ_POLICY, "the packets of interface vx3 travel over eth1");
    hit_while_protected("br2", "vx2");
    impairment_assert_refused(&fault, SQ_POLICY, "interface br2 carries the packets of vx2");
    hit_while_protected("eth0", "vx3");
    assert_int_equal(impairment_preview(&fault), 0);
}

/* Both ends of a pair lead to each other; whoever follows them comes to an end. */
static void test_circles(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip link add one type veth peer name two");
    hit_while_protected("one", "two");
    impairment_assert_refused(&fault, SQ_POLICY, "carries the packets of two");
    hit_while_protected("one", "eth0");
    assert_int_equal(impairment_preview(&fault), 0);
}

/* Nothing but the route to its far end says over which interface a tunnel goes. */
static void test_tunnels(void **state)
{
    (void)state;
    fixture_must(lab.host, "ip link add tunnel type vxlan id 1 dstport 4789 remote 10.8.1.2 && "
                           "ip link add tunnel6 type vxlan id 2 dstport 4789 remote fd09::2");
    hit_while_protected("eth1", "tunnel");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth1 carries the packets of tunnel");
    hit_while_protected("tunnel", "eth1");
    impairment_assert_refused(&fault, SQ_POLICY, "the packets of interface tunnel travel over eth1");
    hit_while_protected("eth0", "tunnel");
    assert_int_equal(impairment_preview(&fault), 0);
    hit_while_protected("eth0", "tunnel6");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth0 carries the packets of tunnel6");
    fixture_must(lab.host,
                 "ip link add many type vxlan id 3 dstport 4790 && ip route add 10.8.1.2 via 10.9.0.2");
    hit_while_protected("eth0", "tunnel");
    impairment_assert_refused(&fault, SQ_POLICY, "interface eth0 carries the packets of tunnel");
    hit_while_protected("eth0", "many");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(
        impairment_says(&fault, SQ_LINE_WARNING, "the policy protects many, of which cannot be told"));
    hit_while_protected("many", "eth1");
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "many is a tunnel of which cannot be told whether"));
}

/* The same of the tunnels that only other kernels have. */
static void test_more_tunnels(void **state)
{
    (void)state;
    static const char *const kinds[] = {"gre", "gretap", "ipip", "sit", "geneve id 5"};
    unsigned tried = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (fixture_run(lab.host, "ip link add t%zu type %s remote 10.8.1.2 2>/dev/null", i, kinds[i]) != 0)
            continue;
        char name[8];
        (void)snprintf(name, sizeof name, "t%zu", i);
        hit_while_protected("eth1", name);
        impairment_assert_refused(&fault, SQ_POLICY, "interface eth1 carries the packets of t");
        hit_while_protected("eth0", name);
        assert_int_equal(impairment_preview(&fault), 0);
        tried++;
    }
    if (tried == 0)
        skip();
}

/* The policy of a whole network names this host's own address as well: that spares the others', not all. */
static void test_own_address_among_the_protected(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2/31");
    impairment_protect(&fault, "10.9.0.0/31");
    impairment_protect(&fault, "10.9.0.3");
    impairment_start(&fault);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in4(&lab, "2"), 0);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "3"), FIXTURE_COUNT);
    impairment_stop(&fault);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_alternative_names, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_deep_stacks, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_circles, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_tunnels, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_more_tunnels, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_own_address_among_the_protected, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
