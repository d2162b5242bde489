/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common PkgConfig::LIBBPF */
/*
 * What somebody took away, or came in front of, is noticed, and is not called undone. What others change
 * beside the fault is told apart from it.
 */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "kernel/tcx.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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
/* The same to accept what it matches. */
#define ACCEPT_9999                                                                                          \
    "bytecode '6,48 0 0 23,21 0 3 17,40 0 0 36,21 0 1 9999,6 0 0 0,6 0 0 4294967295' direct-action"

#define LOOKS        64
#define LOOK_MOST_NS (2 * SQ_NS_PER_MILLISECOND)

static struct impairment fault;

/* Filters on clsact, as where the kernel has no tcx. */
static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    sq_tcx_use(false);
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    return 0;
}

static int look(void)
{
    return fault.ops->look(fault.state, &fault.undo, &fault.error);
}

static void expect_vanished(const char *text)
{
    assert_int_equal(look(), -1);
    print_message("%s\n", fault.error.text);
    assert_int_equal(fault.error.code, SQ_VANISHED);
    if (strstr(fault.error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, fault.error.text);
}

static void stop(enum sq_proof proof)
{
    assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
    while (fault.ops->settle(fault.state, &fault.undo) != 0)
        (void)usleep(1000);
    if (fault.ops->remove(fault.state, &fault.undo, &fault.report, &fault.error) != 0)
        fail_msg("%s", fault.error.text);
    fault.ops->release(fault.state);
    free(fault.state);
    assert_string_equal(sq_proof_name(fault.report.proof), sq_proof_name(proof));
    fixture_must(lab.host, "! tc filter show dev eth0 ingress | grep squall/ && "
                           "! tc filter show dev eth0 egress | grep squall/");
}

static void start(void)
{
    impairment_start(&fault);
    assert_int_equal(look(), 0);
}

static void test_filter_deleted(void **state)
{
    (void)state;
    static const char *const sides[] = {"ingress", "egress"};
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    for (int i = 0; i < 2; i++) {
        start();
        fixture_must(lab.host, "tc filter del dev eth0 %s", sides[i]);
        expect_vanished("somebody took squall's filter away from eth0");
        assert_non_null(strstr(fault.error.text, sides[i]));
        stop(SQ_PROOF_PROVED);
    }
}

static void test_clsact_deleted(void **state)
{
    (void)state;
    start();
    fixture_must(lab.host, "tc qdisc del dev eth0 clsact");
    expect_vanished("somebody took squall's filter away from eth0");
    stop(SQ_PROOF_PROVED);
}

static void test_interface_deleted_and_made_anew(void **state)
{
    (void)state;
    start();
    unsigned number = if_nametoindex("eth0");
    fixture_must(lab.host, "ip link del eth0");
    expect_vanished("somebody took the interface eth0 away");
    fixture_must(lab.host, "ip link add eth0 type ifb");
    expect_vanished("somebody took the interface eth0 away");
    fixture_must(lab.host, "ip link del eth0 && ip link add eth0 index %u type ifb", number);
    expect_vanished("somebody took squall's filter away from eth0");
    stop(SQ_PROOF_CHANGED);
}

/* Deleted, or moved to another network namespace: what it was before cannot be told of it. */
static void test_interface_gone(void **state)
{
    (void)state;
    for (int moved = 0; moved < 2; moved++) {
        fixture_add_link(&lab, "eth1", 1);
        impairment_init(&fault, SQ_DIRECTION_BOTH, "eth1");
        impairment_to(&fault, "10.8.1.2");
        start();
        if (moved)
            fixture_must(lab.host,
                         "ip link set eth1 down && ip link set eth1 name gone1 && "
                         "ip link set gone1 netns /proc/%d/fd/%d",
                         getpid(), lab.net);
        else
            fixture_must(lab.host, "ip link del eth1");
        expect_vanished("somebody took the interface eth1 away");
        stop(SQ_PROOF_CHANGED);
        assert_true(impairment_says(&fault, SQ_LINE_FOREIGN, "eth1: the interface is gone"));
    }
}

static void test_interface_renamed(void **state)
{
    (void)state;
    start();
    fixture_must(lab.host,
                 "ip link set eth0 down && ip link set eth0 name other0 && ip link set other0 up && "
                 "ip link set other0 address 02:00:00:00:00:09");
    assert_int_equal(look(), 0);
    fixture_must(lab.host, "ip link set other0 down && ip link set other0 name eth0");
    stop(SQ_PROOF_CHANGED); /* its address */
}

static void test_foreign_filter_in_front(void **state)
{
    (void)state;
    start();
    fixture_must(lab.host, "tc filter add dev eth0 egress prio 5 bpf " ACCEPT_9999);
    expect_vanished("preference 5, handle 0x1) came in front of squall's and may accept or redirect packets");
    fixture_must(lab.host, "tc filter del dev eth0 egress prio 5");
    assert_int_equal(look(), 0);
    stop(SQ_PROOF_PROVED);
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

static void attach_foreign(union bpf_attr *attach, int program, uint32_t type)
{
    memset(attach, 0, sizeof *attach);
    attach->target_fd = if_nametoindex("eth0");
    attach->attach_bpf_fd = (uint32_t)program;
    attach->attach_type = type;
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, attach, sizeof *attach) == 0)
        return;
    print_message("not checked: this kernel has no tcx (%s)\n", strerror(errno));
    close(program);
    stop(SQ_PROOF_PROVED);
    skip();
}

static void test_foreign_tcx_in_front(void **state)
{
    (void)state;
    union bpf_attr attach;
    start();
    int program = load_accepting_program();
    attach_foreign(&attach, program, TCX_EGRESS);
    expect_vanished("tcx program 'foreign_edge'");
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT); /* it is bypassed indeed */
    assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
    assert_int_equal(fault.ops->remove(fault.state, &fault.undo, &fault.report, &fault.error), 0);
    fault.ops->release(fault.state);
    free(fault.state);
    assert_int_equal(fault.report.proof, SQ_PROOF_CHANGED);
    assert_true(
        impairment_says(&fault, SQ_LINE_FOREIGN, "changed the egress tcx programs meanwhile (0 before, 1"));
    assert_int_equal(syscall(SYS_bpf, BPF_PROG_DETACH, &attach, sizeof attach), 0);
    close(program);
}

/* It sees what comes in before traffic control does, on tcx as on clsact. One that was there was in the plan.
 */
static void test_xdp_that_comes_later(void **state)
{
    (void)state;
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int eth0 = (int)if_nametoindex("eth0");
    int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_xdp", "GPL", code, 2, NULL);
    assert_true(program >= 0);
    for (int tcx = 0; tcx < 2; tcx++) {
        if (tcx)
            sq_tcx_try();
        start();
        assert_int_equal(bpf_xdp_attach(eth0, program, 0, NULL), 0);
        expect_vanished("an XDP program came to eth0");
        /* Also if it is the end that looks first. */
        assert_int_equal(fault.ops->clean(fault.state, &fault.undo, &fault.error), 0);
        (void)fault.ops->settle(fault.state, &fault.undo);
        expect_vanished("an XDP program came to eth0");
        stop(SQ_PROOF_PROVED);
        start();
        assert_true(impairment_says(&fault, SQ_LINE_WARNING, "eth0 has an XDP program"));
        stop(SQ_PROOF_PROVED);
        assert_int_equal(bpf_xdp_detach(eth0, 0, NULL), 0);
        impairment_init(&fault, SQ_DIRECTION_OUT, "eth0");
        impairment_to(&fault, "10.9.0.2");
        start();
        assert_int_equal(bpf_xdp_attach(eth0, program, 0, NULL), 0);
        assert_int_equal(look(), 0);
        stop(SQ_PROOF_PROVED);
        assert_int_equal(bpf_xdp_detach(eth0, 0, NULL), 0);
        impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
        impairment_to(&fault, "10.9.0.2");
    }
    close(program);
}

/* Docker and Cilium make, replace and remove filters while the fault is in: none of it is squall's, or left.
 */
static void test_others_change_their_own(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "tc filter add dev eth0 egress prio 7 bpf " DROP_9999,
        "tc filter replace dev eth0 ingress prio 3 handle 1 bpf " DROP_9999,
        "tc filter del dev eth0 ingress prio 3",
        "tc qdisc add dev eth0 root handle 5: tbf rate 1gbit burst 64k latency 50ms",
        "tc qdisc del dev eth0 root",
    };
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && "
                           "tc filter add dev eth0 ingress prio 3 handle 1 bpf bytecode '1,6 0 0 4294967295' "
                           "direct-action && "
                           "tc qdisc add dev eth0 root handle 4: tbf rate 1gbit burst 64k latency 50ms");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        if (i == 3)
            fixture_must(lab.host, "tc qdisc del dev eth0 root");
        start();
        fixture_must(lab.host, "%s", changes[i]);
        assert_int_equal(look(), 0);
        stop(SQ_PROOF_CHANGED);
    }
}

static void test_looking_is_quick(void **state)
{
    (void)state;
    start();
    uint64_t each_ns;
    unsigned tries = 0;
    do {
        uint64_t start_ns = sq_boot_ns();
        for (int i = 0; i < LOOKS; i++)
            assert_int_equal(look(), 0);
        each_ns = (sq_boot_ns() - start_ns) / LOOKS;
        print_message("one look takes %llu us\n", (unsigned long long)(each_ns / 1000));
    } while (fixture_measure_again(&tries, each_ns < LOOK_MOST_NS));
    assert_true(each_ns < LOOK_MOST_NS);
    stop(SQ_PROOF_PROVED);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_filter_deleted, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_clsact_deleted, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_interface_deleted_and_made_anew, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_interface_gone, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_interface_renamed, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_filter_in_front, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_tcx_in_front, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_xdp_that_comes_later, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_others_change_their_own, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_looking_is_quick, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
