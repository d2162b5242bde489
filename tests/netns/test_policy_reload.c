/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* A fault that is in, and a policy that protects more than when it was prepared: `allowed` of each kind. */
#include "fixture.h"
#include "impairment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct impairment fault;
static struct sq_protection before;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    return 0;
}

static void start(const char *to)
{
    impairment_to(&fault, to);
    before = fault.protection;
    impairment_start(&fault);
}

static int ask(void)
{
    memset(&fault.error, 0, sizeof fault.error);
    return fault.ops->allowed(fault.state, &fault.order, &fault.env, &fault.undo, &before, &fault.error);
}

static void expect_allowed(void)
{
    if (ask() != 0)
        fail_msg("%s", fault.error.text);
}

static void expect_forbidden(const char *part)
{
    assert_int_equal(ask(), -1);
    assert_int_equal(fault.error.code, SQ_POLICY);
    if (strstr(fault.error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, fault.error.text);
    fault.protection = before;
}

static void protect_interface(const char *name)
{
    (void)snprintf(fault.protection.interfaces[fault.protection.interface_count++], SQ_INTERFACE_NAME_MAX,
                   "%s", name);
}

static void test_peers(void **state)
{
    (void)state;
    impairment_except(&fault, "10.9.0.5/32");
    impairment_protect(&fault, "10.9.0.3/32");
    start("10.9.0.0/24");
    expect_allowed();
    impairment_protect(&fault, "10.8.0.0/16"); /* none of its packets */
    impairment_protect(&fault, "10.9.0.5/32"); /* excepted */
    impairment_protect(&fault, "10.9.0.3/32"); /* spared already */
    expect_allowed();
    impairment_protect(&fault, "10.9.0.2/31");
    expect_forbidden("10.9.0.2/31 are protected by this host's policy now");
    impairment_protect(&fault, "10.0.0.0/8");
    expect_forbidden("10.0.0.0/8 are protected");
    fault.protection.peer_count = 0; /* less is no reason */
    expect_allowed();
    impairment_stop(&fault);
}

static void test_ports(void **state)
{
    (void)state;
    fault.protection.ports[fault.protection.port_count++] = 22;
    start("10.9.0.2");
    expect_allowed();
    fault.protection.ports[fault.protection.port_count++] = 53;
    expect_forbidden("to port 53 are protected by this host's policy now");
    impairment_stop(&fault);
}

static void test_interfaces(void **state)
{
    (void)state;
    fixture_add_link(&lab, "eth1", 1);
    start("10.9.0.2");
    protect_interface("eth1");
    expect_allowed();
    protect_interface("eth0");
    expect_forbidden("interface eth0 is protected by this host's policy");
    fixture_must(lab.host, "ip link property add dev eth0 altname uplink");
    protect_interface("uplink");
    expect_forbidden("eth0 (in the policy: uplink) is protected");
    /* What is not there any more has no packets to protect. */
    fixture_must(lab.host, "ip link delete eth0");
    protect_interface("eth0");
    expect_allowed();
    fault.ops->release(fault.state);
    free(fault.state);
}

static void test_memory(void **state)
{
    (void)state;
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    fault.ops = &sq_memory_stress_ops;
    fault.env.protection = &fault.protection;
    fault.protection.memory_floor_bytes = UINT64_C(256) << 20;
    before = fault.protection;
    expect_allowed();
    fault.protection.memory_floor_bytes--;
    expect_allowed();
    fault.protection.memory_floor_bytes = UINT64_C(512) << 20;
    expect_forbidden("the policy keeps 512MiB of memory now");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_peers, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_ports, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_interfaces, set_up, fixture_tear_down),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
