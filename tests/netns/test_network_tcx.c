/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common PkgConfig::LIBBPF */
/*
 * Faults that stand on tcx: nobody in front of them is a refusal, nothing of clsact is made, they end with
 * the agent, and whoever takes them away or gets in front of them is noticed.
 */
#include "fixture.h"
#include "impairment.h"

#include "faults/network_undo.h"
#include "kernel/classifier.h"
#include "kernel/tcx.h"
#include "kernel/tcx_others.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS       10
#define PROGRAMS_MAX 8
#define WITHIN_MS    1000

/* Accepts every packet: in front of a filter, a refusal. */
#define ACCEPT "bytecode '1,6 0 0 0' direct-action"

static struct impairment *fault; /* shared with processes that die */
static char *before;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    fault = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fault, MAP_FAILED);
    impairment_init(fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(fault, "10.9.0.2");
    before = fixture_tc("eth0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(before);
    (void)munmap(fault, sizeof *fault);
    fixture_close(&lab);
    return 0;
}

static void assert_no_trace(void)
{
    char *now = fixture_tc("eth0");
    assert_string_equal(now, before);
    free(now);
}

static void assert_passing(unsigned count)
{
    assert_int_equal(fixture_out4(&lab, "2"), count);
    assert_int_equal(fixture_in4(&lab, "2"), count);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "3"), FIXTURE_COUNT);
}

static unsigned count_programs(void)
{
    uint32_t ids[PROGRAMS_MAX];
    uint32_t eth0 = if_nametoindex("eth0");
    return (unsigned)(sq_tcx_programs(eth0, false, ids, PROGRAMS_MAX) +
                      sq_tcx_programs(eth0, true, ids, PROGRAMS_MAX));
}

static int attach_accepting_as(const char *name, enum sq_tc_side side)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_OK},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", code, 2, NULL);
    assert_true(program >= 0);
    int link = sq_tcx_attach(program, if_nametoindex("eth0"), side, 0);
    assert_true(link >= 0);
    close(program);
    return link;
}

static int attach_accepting(enum sq_tc_side side)
{
    return attach_accepting_as("cilium_like", side);
}

/* It drops whatever a program or filter that accepts everything stands there already. */
static void test_others_in_front_are_no_refusal(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress bpf " ACCEPT
                           " && tc filter add dev eth0 egress bpf " ACCEPT);
    free(before);
    before = fixture_tc("eth0");
    int links[] = {attach_accepting(SQ_TC_IN), attach_accepting(SQ_TC_OUT)};
    impairment_start(fault);
    assert_false(impairment_says(fault, SQ_LINE_WARNING, "clsact"));
    assert_int_equal(count_programs(), 4);
    assert_passing(0);
    assert_int_equal(fault->ops->look(fault->state, &fault->undo, &fault->error), 0);
    impairment_stop(fault);
    assert_int_equal(count_programs(), 2);
    assert_passing(FIXTURE_COUNT);
    assert_no_trace();
    close(links[0]);
    close(links[1]);
}

/* No clsact is made, and none is needed: not even an `ingress` qdisc, which keeps it out, is in the way. */
static void test_nothing_is_made_of_traffic_control(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 ingress");
    free(before);
    before = fixture_tc("eth0");
    impairment_start(fault);
    assert_no_trace();
    assert_passing(0);
    impairment_stop(fault);
    assert_no_trace();
}

static void test_it_ends_with_the_agent(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(fault), 0);
    impairment_die(fault, 60000, 0);
    for (int i = 0; i < WITHIN_MS && count_programs() > 0; i++)
        usleep(1000);
    assert_int_equal(count_programs(), 0);
    assert_passing(FIXTURE_COUNT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(impairment_recover(fault), 0);
        assert_int_equal(fault->report.proof, SQ_PROOF_PROVED);
    }
    assert_no_trace();
}

/* The kernel's clock ends it also where its agent neither dies nor renews. */
static void test_deadline_needs_nobody(void **state)
{
    (void)state;
    impairment_start(fault);
    impairment_inject(fault, 400);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    usleep(400000);
    assert_int_equal(count_programs(), 2);
    assert_passing(FIXTURE_COUNT);
    impairment_stop(fault);
}

/* Recovery waits for what is on its way out, and takes it for nobody else's. */
static void test_killed_at_any_moment_of_preparing(void **state)
{
    (void)state;
    unsigned longest_us = impairment_prepare_time_us(fault) + 1;
    unsigned half_way = 0;
    srandom(2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(impairment_preview(fault), 0);
        impairment_die(fault, 60000, 1 + (unsigned)random() % longest_us);
        half_way += count_programs() > 0;
        assert_int_equal(impairment_recover(fault), 0);
        assert_int_equal(fault->report.proof, SQ_PROOF_PROVED);
        assert_int_equal(count_programs(), 0);
    }
    print_message("after %u of %u kills something was still there for a moment\n", half_way, ROUNDS);
    assert_passing(FIXTURE_COUNT);
    assert_no_trace();
}

static pid_t guard_pid(void)
{
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&fault->undo, &record, NULL), 0);
    assert_int_equal(record.attachment, SQ_NETWORK_TCX);
    assert_int_not_equal(record.guard_pid, 0);
    return (pid_t)record.guard_pid;
}

/* Ending a service asks every process of it to end; when it does is for the injector to say. */
static void test_guard_stays_when_asked_to_go(void **state)
{
    (void)state;
    impairment_start(fault);
    assert_int_equal(kill(guard_pid(), SIGTERM), 0);
    usleep(50000);
    assert_passing(0);
    assert_int_equal(fault->ops->look(fault->state, &fault->undo, &fault->error), 0);
    impairment_stop(fault);
}

static void assert_vanished(const char *text)
{
    assert_int_equal(fault->ops->look(fault->state, &fault->undo, &fault->error), -1);
    print_message("%s\n", fault->error.text);
    assert_int_equal(fault->error.code, SQ_VANISHED);
    assert_non_null(strstr(fault->error.text, text));
}

static void test_a_killed_guard_is_noticed(void **state)
{
    (void)state;
    impairment_start(fault);
    assert_int_equal(kill(guard_pid(), SIGKILL), 0);
    for (int i = 0; i < WITHIN_MS && count_programs() > 0; i++)
        usleep(1000);
    assert_passing(FIXTURE_COUNT);
    assert_vanished("away from the ingress side of eth0");
    /* Also when it is asked after its end was begun, as before a removal. */
    impairment_stop(fault);
    assert_no_trace();
}

static void test_who_comes_in_front_is_noticed(void **state)
{
    (void)state;
    impairment_start(fault);
    int link = attach_accepting(SQ_TC_OUT);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT); /* it is bypassed */
    assert_vanished("in front of squall's on the egress side of eth0");
    close(link);
    assert_int_equal(fault->ops->look(fault->state, &fault->undo, &fault->error), 0);
    impairment_stop(fault);
}

/* A process that is no relative, with a fault of its own, as another squalld: until its input ends. */
static int be_another_squalld(enum sq_fault_kind kind)
{
    static struct impairment other;
    char byte;
    sq_tcx_try();
    impairment_init_kind(&other, kind, SQ_DIRECTION_BOTH, "eth0");
    other.order.spec.loss.percent = 100;
    impairment_to(&other, "10.9.0.3");
    impairment_start(&other);
    if (write(STDOUT_FILENO, "x", 1) != 1 || read(STDIN_FILENO, &byte, 1) != 0)
        return 1;
    impairment_stop(&other);
    return 0;
}

static pid_t start_another_squalld(const char *kind, int *input)
{
    int in[2];
    int out[2];
    char byte;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execl("/proc/self/exe", "test_network_tcx", kind, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    close(out[0]);
    *input = in[1];
    return pid;
}

/* With no more privileges than an agent keeps. */
static int look_as_an_agent(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2];
    assert_int_equal(syscall(SYS_capget, &header, all), 0);
    struct __user_cap_data_struct some[2] = {all[0], all[1]};
    some[0].effective = 1u << CAP_NET_ADMIN | 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_READ_SEARCH;
    some[1].effective = 1u << (CAP_BPF - 32) | 1u << (CAP_PERFMON - 32);
    assert_int_equal(syscall(SYS_capset, &header, some), 0);
    int result = fault->ops->look(fault->state, &fault->undo, &fault->error);
    assert_int_equal(syscall(SYS_capset, &header, all), 0);
    return result;
}

/* It only drops, so it bypasses nobody; and what loses stands behind what drops, whosever it is. */
static void test_another_squalld_is_nobody_in_front(void **state)
{
    (void)state;
    static const char *const kinds[] = {"partition", "loss"};
    for (int i = 0; i < 2; i++) {
        int input;
        int status;
        uint32_t ids[PROGRAMS_MAX];
        impairment_start(fault);
        pid_t other = start_another_squalld(kinds[i], &input);
        if (look_as_an_agent() != 0)
            fail_msg("%s: %s", kinds[i], fault->error.text);
        assert_int_equal(fixture_out4(&lab, "2") + fixture_in4(&lab, "2"), 0);
        assert_int_equal(fixture_out4(&lab, "3") + fixture_in4(&lab, "3"), 0);
        struct sq_network_undo record;
        assert_int_equal(sq_network_undo_read(&fault->undo, &record, NULL), 0);
        assert_int_equal(sq_tcx_programs(if_nametoindex("eth0"), true, ids, PROGRAMS_MAX), 2);
        assert_int_equal(ids[0] == record.programs[SQ_TC_OUT], i == 1);
        close(input);
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, 0);
        impairment_stop(fault);
    }
    assert_passing(FIXTURE_COUNT);
}

/* The name makes no squall: not of the program, and not of the process. */
static void test_who_looks_like_squall_is_foreign(void **state)
{
    (void)state;
    char name[16];
    impairment_start(fault);
    assert_int_equal(prctl(PR_GET_NAME, name), 0);
    assert_int_equal(prctl(PR_SET_NAME, SQ_TCX_GUARD_NAME), 0);
    int link = attach_accepting_as("sq_out_ethernet", SQ_TC_OUT);
    int result = fault->ops->look(fault->state, &fault->undo, &fault->error);
    assert_int_equal(prctl(PR_SET_NAME, name), 0);
    assert_int_equal(result, -1);
    assert_int_equal(fault->error.code, SQ_VANISHED);
    close(link);
    impairment_stop(fault);
}

/* An end that is begun is no vanishing; what was gone before it stays so. */
static void test_last_look(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        impairment_start(fault);
        if (killed != 0)
            assert_int_equal(kill(guard_pid(), SIGKILL), 0);
        for (int i = 0; killed != 0 && i < WITHIN_MS && count_programs() > 0; i++)
            usleep(1000);
        assert_int_equal(fault->ops->clean(fault->state, &fault->undo, &fault->error), 0);
        (void)fault->ops->settle(fault->state, &fault->undo);
        usleep(50000);
        assert_int_equal(fault->ops->look(fault->state, &fault->undo, &fault->error), killed == 0 ? 0 : -1);
        impairment_stop(fault);
    }
}

/* By its record alone, before its guard is gone: it is off at once, and only then called so. */
static void test_clean_does_not_need_the_guard(void **state)
{
    (void)state;
    impairment_start(fault);
    assert_int_equal(kill(guard_pid(), SIGSTOP), 0);
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&fault->undo, &record, NULL), 0);
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        assert_int_equal(sq_classifier_switch_off(record.programs[side]), 0);
    assert_int_equal(count_programs(), 2);
    assert_passing(FIXTURE_COUNT);
    impairment_stop(fault);
    assert_int_equal(sq_classifier_switch_off(record.programs[SQ_TC_IN]), 0);
}

static void test_only_classifiers_are_switched_off(void **state)
{
    (void)state;
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "sq_in", "GPL", code, 2, NULL);
    assert_true(program >= 0);
    uint32_t id = sq_bpf_program_id(program);
    assert_int_equal(sq_classifier_switch_off(id), -ENODATA);
    close(program);
    assert_int_equal(sq_classifier_switch_off(id), 0); /* there is none any more */
}

static void test_reverting_allocates_nothing(void **state)
{
    (void)state;
    impairment_assert_reverting_allocates_nothing(fault);
}

static void test_interface_gone(void **state)
{
    (void)state;
    impairment_start(fault);
    fixture_must(lab.host, "ip link del eth0");
    assert_vanished("eth0");
    assert_int_equal(fault->ops->clean(fault->state, &fault->undo, &fault->error), 0);
    assert_int_equal(impairment_recover(fault), 0);
    assert_true(impairment_says(fault, SQ_LINE_FOREIGN, "eth0: the interface is gone"));
    assert_int_equal(fault->report.proof, SQ_PROOF_CHANGED);
    fault->ops->release(fault->state);
    free(fault->state);
}

/* There each packet is met on its way out, whichever end is the peer, and no sender hears of it. */
static void test_loopback(void **state)
{
    (void)state;
    static const enum sq_direction directions[] = {SQ_DIRECTION_IN, SQ_DIRECTION_OUT, SQ_DIRECTION_BOTH};
    fixture_must(lab.host, "ip addr add 10.7.0.1/32 dev lo");
    for (size_t i = 0; i < sizeof directions / sizeof directions[0]; i++) {
        impairment_init(fault, directions[i], "lo");
        impairment_to(fault, "10.7.0.1");
        impairment_start(fault);
        struct fixture_flow flow = {.from = "10.7.0.1", .to = "10.7.0.1", .count = 5};
        assert_int_equal(fixture_send(&lab, &flow), 0);
        impairment_stop(fault);
        assert_int_equal(fixture_send(&lab, &flow), 5);
    }
}

static void test_loss(void **state)
{
    (void)state;
    impairment_init_kind(fault, SQ_NETWORK_LOSS, SQ_DIRECTION_BOTH, "eth0");
    fault->order.spec.loss.percent = 50;
    impairment_to(fault, "10.9.0.2");
    impairment_start(fault);
    unsigned out = 0;
    unsigned in = 0;
    for (int i = 0; i < 10; i++) {
        out += fixture_out4(&lab, "2");
        in += fixture_in4(&lab, "2");
    }
    assert_in_range(out, 10 * FIXTURE_COUNT / 4, 10 * FIXTURE_COUNT * 3 / 4);
    assert_in_range(in, 10 * FIXTURE_COUNT / 4, 10 * FIXTURE_COUNT * 3 / 4);
    assert_int_equal(impairment_counter(fault, "lost-out"), 10 * FIXTURE_COUNT - out);
    assert_int_equal(impairment_counter(fault, "lost-in"), 10 * FIXTURE_COUNT - in);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    assert_no_trace();
    impairment_stop(fault);
}

int main(int argc, char **argv)
{
    fixture_require_root();
    if (argc > 1)
        return be_another_squalld(strcmp(argv[1], "loss") == 0 ? SQ_NETWORK_LOSS : SQ_NETWORK_PARTITION);
    sq_tcx_try();
    if (!sq_tcx_is_used()) {
        printf("skipped: this kernel has no tcx\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_others_in_front_are_no_refusal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_made_of_traffic_control, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_ends_with_the_agent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_needs_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment_of_preparing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guard_stays_when_asked_to_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_killed_guard_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_comes_in_front_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_squalld_is_nobody_in_front, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_looks_like_squall_is_foreign, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last_look, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clean_does_not_need_the_guard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_classifiers_are_switched_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reverting_allocates_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interface_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loopback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loss, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
