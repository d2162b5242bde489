/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* A host with a thousand interfaces: what a preview costs, and that it sees what dumps of all of them showed.
 */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "kernel/tc.h"

#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PAIRS          500
#define PREVIEW_MOST   100.0 /* milliseconds */
#define PREVIEW_ROUNDS 5     /* the quickest counts: others share this machine */

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    return 0;
}

/* Pairs rather than dummies, which not every kernel has; up, so that they have routes. */
static void make_many(void)
{
    fixture_must(
        lab.host,
        "sysctl -qw net.ipv6.conf.default.disable_ipv6=1; "
        "for i in $(seq %d); do echo \"link add v$i type veth peer name w$i\"; "
        "echo \"addr add 10.200.$((i / 250)).$((i %% 250))/32 dev v$i\"; echo \"link set v$i up\"; done | "
        "ip -batch -",
        PAIRS);
}

/* Of the processor, in the kernel too; a preview waits for nothing. */
static uint64_t spent_ns(void)
{
    struct timespec spent;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * SQ_NS_PER_SECOND + (uint64_t)spent.tv_nsec;
}

static double preview_ms(void)
{
    double best = 1e9;
    for (int i = 0; i < PREVIEW_ROUNDS; i++) {
        uint64_t start_ns = spent_ns();
        if (impairment_preview(&fault) != 0)
            fail_msg("%s", fault.error.text);
        double took = (double)(spent_ns() - start_ns) / (double)SQ_NS_PER_MILLISECOND;
        best = took < best ? took : best;
    }
    return best;
}

static void test_preview_is_quick(void **state)
{
    (void)state;
    make_many();
    for (uint32_t i = 0; i < SQ_PROTECTED_MAX; i++)
        (void)snprintf(fault.protection.interfaces[i], sizeof fault.protection.interfaces[i], "v%u",
                       i * 7 + 1);
    fault.protection.interface_count = SQ_PROTECTED_MAX;
    impairment_to(&fault, "10.9.0.2");
    impairment_to(&fault, "10.9.0.0/24");
    double few_ms = preview_ms();
    /* As many peers as there can be, each within the next. */
    for (unsigned i = 2; i < SQ_PEERS_MAX; i++) {
        char range[32];
        (void)snprintf(range, sizeof range, "10.%u.%u.%u/32", 128 + i / 512, i / 256, i % 256);
        impairment_to(&fault, range);
    }
    fixture_must(lab.host, "ip route add 10.128.0.0/9 via 10.9.0.2");
    double many_ms = preview_ms();
    print_message("a preview: %.1f ms, with %d peers %.1f ms\n", few_ms, SQ_PEERS_MAX, many_ms);
    assert_true(few_ms < PREVIEW_MOST);
    assert_true(many_ms < PREVIEW_MOST);
    fault.protection.interface_count = 0;
    impairment_init(&fault, SQ_DIRECTION_BOTH, "v3");
    impairment_to(&fault, "0.0.0.0/0");
    assert_true(preview_ms() < PREVIEW_MOST);
}

struct found {
    size_t count;
    char names[16][32];
};

static int note_qdisc(const struct sq_tc_qdisc *qdisc, void *cookie)
{
    struct found *found = cookie;
    assert_true(found->count < 16);
    (void)snprintf(found->names[found->count++], sizeof found->names[0], "%s %x %x", qdisc->kind,
                   qdisc->handle, qdisc->parent);
    return 0;
}

static bool has(const struct found *found, const char *name)
{
    for (size_t i = 0; i < found->count; i++)
        if (strcmp(found->names[i], name) == 0)
            return true;
    return false;
}

/* By parent, as the kernel answers on both kernels: root, clsact, and what hangs below classes. */
static void test_queueing_disciplines(void **state)
{
    (void)state;
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    assert_int_equal(sq_netlink_open(&netlink, NULL), 0);
    const uint32_t eth0 = if_nametoindex("eth0");
    struct found found = {0};
    assert_int_equal(sq_tc_qdiscs(&netlink, eth0, note_qdisc, &found), 0);
    assert_int_equal(found.count, 1);
    assert_true(has(&found, "noqueue 0 ffffffff"));
    fixture_must(lab.host,
                 "tc qdisc add dev eth0 root handle 1: htb default 20 && "
                 "tc class add dev eth0 parent 1: classid 1:1 htb rate 1gbit && "
                 "tc class add dev eth0 parent 1:1 classid 1:20 htb rate 1mbit && "
                 "tc class add dev eth0 parent 1:1 classid 1:30 htb rate 1mbit && "
                 "tc qdisc add dev eth0 parent 1:20 handle 20: tbf rate 1mbit burst 10k limit 10k && "
                 "tc qdisc add dev eth0 parent 1:30 handle 30: pfifo && tc qdisc add dev eth0 clsact");
    found.count = 0;
    assert_int_equal(sq_tc_qdiscs(&netlink, eth0, note_qdisc, &found), 0);
    assert_true(has(&found, "htb 10000 ffffffff") && has(&found, "clsact ffff0000 fffffff1") &&
                has(&found, "tbf 200000 10020") && has(&found, "pfifo 300000 10030"));
    char *shown = fixture_output(lab.host, "tc qdisc show dev eth0 | wc -l");
    assert_int_equal(found.count, strtoul(shown, NULL, 10));
    free(shown);
    struct sq_tc_clsact clsact;
    assert_int_equal(sq_tc_find_clsact(&netlink, eth0, &clsact), 0);
    assert_true(clsact.present && !clsact.ingress_only);
    /* An interface that is down, one of several queues whose parent has no handle, one that is not there. */
    fixture_must(lab.host, "ip link add many numtxqueues 2 numrxqueues 2 type veth peer name other");
    found.count = 0;
    assert_int_equal(sq_tc_qdiscs(&netlink, if_nametoindex("many"), note_qdisc, &found), 0);
    assert_int_equal(sq_tc_qdiscs(&netlink, 4711, note_qdisc, &found), 0);
    assert_int_equal(sq_tc_find_clsact(&netlink, 4711, &clsact), 0);
    assert_false(clsact.present);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_preview_is_quick, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_queueing_disciplines, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
