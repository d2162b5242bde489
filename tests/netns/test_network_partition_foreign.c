/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common PkgConfig::LIBBPF */
/* Somebody else's traffic control: it stays what it was, it is never bypassed, and who stands in front is
 * named. */
#include "fixture.h"
#include "impairment.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Attach types of Linux 6.6, which the headers of older systems do not name. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

/* Classic BPF for direct action: drop UDP to port 9999 on an interface with a link layer, else continue. */
#define DROP_9999                                                                                            \
    "bytecode '6,48 0 0 23,21 0 3 17,40 0 0 36,21 0 1 9999,6 0 0 2,6 0 0 4294967295' direct-action"

static struct impairment fault;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    return 0;
}

static unsigned to_port(const char *peer, uint16_t port)
{
    struct fixture_flow flow = {.from = "10.9.0.1", .to = peer, .to_port = port, .count = FIXTURE_COUNT};
    return fixture_send(&lab, &flow);
}

static void make_foreign_root(void)
{
    fixture_must(lab.host,
                 "tc qdisc add dev eth0 root handle 1: htb default 10 && "
                 "tc class add dev eth0 parent 1: classid 1:10 htb rate 1gbit && "
                 "tc class add dev eth0 parent 1: classid 1:20 htb rate 100mbit && "
                 "tc qdisc add dev eth0 parent 1:20 handle 20: tbf rate 50mbit burst 64k latency 50ms && "
                 "tc filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff "
                 "flowid 1:20");
}

static void make_foreign_tree(void)
{
    make_foreign_root();
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && "
                           "tc filter add dev eth0 egress prio 5 bpf " DROP_9999 " && "
                           "tc filter add dev eth0 egress prio 6 bpf " DROP_9999 " && "
                           "tc filter add dev eth0 ingress prio 7 bpf " DROP_9999);
}

/* Packets and bytes that HTB's class 1:20 has sent; only port 7000 goes there. */
static char *class_counters(void)
{
    return fixture_output(lab.host, "tc -s class show dev eth0 classid 1:20 | grep Sent");
}

static void test_foreign_tree_stays(void **state)
{
    (void)state;
    make_foreign_tree();
    assert_int_equal(to_port("10.9.0.3", 7000), FIXTURE_COUNT);
    assert_int_equal(to_port("10.9.0.3", 9999), 0);
    char *before = fixture_tc("eth0");
    char *counters = class_counters();
    assert_non_null(strstr(counters, " 20 pkt"));
    impairment_start(&fault);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in4(&lab, "2"), 0);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    /* The foreign drop still drops, for those whom the partition means and for the others. */
    assert_int_equal(to_port("10.9.0.2", 9999), 0);
    assert_int_equal(to_port("10.9.0.3", 9999), 0);
    impairment_stop(&fault);
    char *after = class_counters();
    assert_string_equal(after, counters);
    free(after);
    free(counters);
    assert_int_equal(to_port("10.9.0.3", 9999), 0);
    assert_int_equal(to_port("10.9.0.3", 7000), FIXTURE_COUNT);
    fixture_assert_tc("eth0", before);
}

/* The same where squall makes the clsact, which deactivates and activates the tree. */
static void test_foreign_root_without_clsact_stays(void **state)
{
    (void)state;
    make_foreign_root();
    assert_int_equal(to_port("10.9.0.3", 7000), FIXTURE_COUNT);
    char *before = fixture_tc("eth0");
    char *counters = class_counters();
    impairment_start(&fault);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    impairment_stop(&fault);
    char *after = class_counters();
    assert_string_equal(after, counters);
    free(after);
    free(counters);
    assert_int_equal(to_port("10.9.0.3", 7000), FIXTURE_COUNT);
    fixture_assert_tc("eth0", before);
}

/* What a foreign filter drops never reaches squall's: its drop comes first, always. */
static void test_foreign_drop_comes_first(void **state)
{
    (void)state;
    make_foreign_tree();
    impairment_start(&fault);
    assert_int_equal(to_port("10.9.0.2", 9999), 0);
    assert_int_equal(impairment_counter(&fault, "matched-out"), 0);
    assert_int_equal(to_port("10.9.0.2", 9998), 0);
    assert_int_equal(impairment_counter(&fault, "dropped-out"), FIXTURE_COUNT);
    impairment_stop(&fault);
}

static void test_accepting_filters_are_refused(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    static const struct {
        const char *filter;
        const char *named;
    } accepting[] = {
        {"egress prio 10 bpf bytecode '1,6 0 0 0' direct-action", "bpf filter"},
        {"ingress prio 11 bpf bytecode '1,6 0 0 7' direct-action", "ingress of eth0, preference 11"},
        {"egress prio 12 bpf bytecode '1,6 0 0 1'", "preference 12"},
        {"egress prio 13 bpf bytecode '2,40 0 0 12,22 0 0 0' direct-action", "preference 13"},
        {"egress protocol ip prio 14 u32 match ip dport 80 0xffff flowid 1:1", "u32 filter"},
        {"egress protocol ip prio 15 u32 match ip dport 80 0xffff action mirred egress redirect dev eth0",
         "preference 15"},
        {"egress protocol ip prio 16 u32 match ip dport 80 0xffff action mirred egress mirror dev eth0",
         "preference 16"},
    };
    for (size_t i = 0; i < sizeof accepting / sizeof accepting[0]; i++) {
        fixture_must(lab.host, "tc filter add dev eth0 %s", accepting[i].filter);
        char *before = fixture_tc("eth0");
        impairment_assert_refused(&fault, SQ_UNABLE, accepting[i].named);
        fixture_assert_tc("eth0", before);
        fixture_must(lab.host, "tc filter del dev eth0 ingress; tc filter del dev eth0 egress");
    }
    assert_int_equal(impairment_preview(&fault), 0);
}

static void test_harmless_filters_are_not_refused(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    static const char *const harmless[] = {
        "egress prio 10 bpf bytecode '1,6 0 0 2' direct-action",
        "egress prio 10 bpf bytecode '1,6 0 0 4294967295' direct-action",
        "egress prio 10 bpf bytecode '1,6 0 0 0'",
        "egress protocol arp prio 10 u32 match u32 0 0 flowid 1:1",
        "egress prio 10 chain 3 bpf bytecode '1,6 0 0 0' direct-action",
        "egress protocol ip prio 10 u32 match ip dport 80 0xffff action mirred egress mirror dev eth0 "
        "continue",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        fixture_must(lab.host, "tc filter add dev eth0 %s", harmless[i]);
        if (impairment_preview(&fault) != 0)
            fail_msg("%s: %s", harmless[i], fault.error.text);
        fixture_must(
            lab.host,
            "tc filter del dev eth0 egress; tc filter del dev eth0 egress chain 3 2>/dev/null; true");
    }
}

/* The other direction's filters are none of our business. */
static void test_only_used_sides_matter(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress prio 3 bpf "
                           "bytecode '1,6 0 0 0' direct-action");
    fault.order.spec.partition.selector.direction = SQ_DIRECTION_OUT;
    assert_int_equal(impairment_preview(&fault), 0);
    fault.order.spec.partition.selector.direction = SQ_DIRECTION_IN;
    impairment_assert_refused(&fault, SQ_UNABLE, "preference 3");
}

static void test_filter_behind_is_refused(void **state)
{
    (void)state;
    fixture_must(lab.host,
                 "tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress prio 65535 bpf " DROP_9999);
    impairment_assert_refused(&fault, SQ_UNABLE, "preference 65535");
}

static void test_ingress_qdisc(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 ingress");
    char *before = fixture_tc("eth0");
    impairment_assert_refused(&fault, SQ_UNABLE, "'ingress' qdisc");
    fault.order.spec.partition.selector.direction = SQ_DIRECTION_IN;
    impairment_start(&fault);
    assert_int_equal(fixture_in4(&lab, "2"), 0);
    assert_int_equal(fixture_in4(&lab, "3"), FIXTURE_COUNT);
    impairment_stop(&fault);
    fixture_assert_tc("eth0", before);
}

static void test_shared_block_is_refused(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 ingress_block 22 clsact");
    impairment_assert_refused(&fault, SQ_UNABLE, "block 22");
}

static int load_accepting_program(void)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign_edge", "GPL", code, 2, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void test_tcx_is_refused(void **state)
{
    (void)state;
    int program = load_accepting_program();
    for (int side = 0; side < 2; side++) {
        union bpf_attr attach = {0};
        attach.target_fd = if_nametoindex("eth0");
        attach.attach_bpf_fd = (uint32_t)program;
        attach.attach_type = side == 0 ? TCX_INGRESS : TCX_EGRESS;
        if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) != 0) {
            print_message("not checked: this kernel has no tcx (%s)\n", strerror(errno));
            close(program);
            skip();
        }
        impairment_assert_refused(&fault, SQ_UNABLE, "tcx program 'foreign_edge'");
        assert_non_null(strstr(fault.error.text, side == 0 ? "ingress of eth0" : "egress of eth0"));
        assert_int_equal(syscall(SYS_bpf, BPF_PROG_DETACH, &attach, sizeof attach), 0);
    }
    close(program);
    assert_int_equal(impairment_preview(&fault), 0);
}

static void test_foreign_filter_on_our_clsact_stays(void **state)
{
    (void)state;
    impairment_start(&fault);
    fixture_must(lab.host, "tc filter add dev eth0 ingress prio 4 bpf " DROP_9999);
    assert_int_equal(sq_network_partition_ops.clean(fault.state, &fault.undo, &fault.error), 0);
    assert_int_equal(sq_network_partition_ops.remove(fault.state, &fault.undo, &fault.report, &fault.error),
                     0);
    sq_network_partition_ops.release(fault.state);
    free(fault.state);
    assert_int_equal(fault.report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(&fault, SQ_LINE_FOREIGN, "foreign filters came to the clsact"));
    assert_true(impairment_says(&fault, SQ_LINE_FOREIGN, "ingress filters"));
    char *now = fixture_tc("eth0");
    assert_non_null(strstr(now, "pref 4 bpf"));
    assert_null(strstr(now, "squall/"));
    free(now);
}

static void test_foreign_changes_meanwhile_are_told(void **state)
{
    (void)state;
    impairment_start(&fault);
    fixture_must(lab.host, "tc qdisc add dev eth0 root handle 5: tbf rate 1gbit burst 64k latency 50ms");
    assert_int_equal(sq_network_partition_ops.clean(fault.state, &fault.undo, &fault.error), 0);
    assert_int_equal(sq_network_partition_ops.remove(fault.state, &fault.undo, &fault.report, &fault.error),
                     0);
    sq_network_partition_ops.release(fault.state);
    free(fault.state);
    assert_int_equal(fault.report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(&fault, SQ_LINE_FOREIGN, "queueing disciplines"));
    char *now = fixture_tc("eth0");
    assert_non_null(strstr(now, "qdisc tbf 5:"));
    assert_null(strstr(now, "clsact"));
    free(now);
}

/* A clsact that turns up between preview and prepare is not ours, and the record says so before we give up.
 */
static void test_clsact_in_between(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(&fault), 0);
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    char *before = fixture_tc("eth0");
    assert_int_equal(impairment_prepare(&fault), -1);
    assert_int_equal(fault.error.code, SQ_CONFLICT);
    assert_int_equal(fault.records, 1);
    impairment_stop(&fault);
    fixture_assert_tc("eth0", before);
}

/* A filter in our place under another name is not ours. */
static void test_same_place_other_name(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(&fault), 0);
    fixture_must(lab.host,
                 "tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress prio 65504 handle 0x53510000 "
                 "bpf " DROP_9999);
    assert_int_equal(impairment_recover(&fault), 0);
    assert_int_equal(fault.report.proof, SQ_PROOF_CHANGED);
    char *now = fixture_tc("eth0");
    assert_non_null(strstr(now, "pref 65504 bpf"));
    free(now);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_tree_stays, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_root_without_clsact_stays, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_drop_comes_first, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_accepting_filters_are_refused, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_harmless_filters_are_not_refused, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_only_used_sides_matter, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_filter_behind_is_refused, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_ingress_qdisc, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_shared_block_is_refused, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_tcx_is_refused, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_filter_on_our_clsact_stays, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_changes_meanwhile_are_told, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_clsact_in_between, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_same_place_other_name, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
