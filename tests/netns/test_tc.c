/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common PkgConfig::LIBBPF */
/* The kernel's side by itself: what the host can do, and whose verdict ends what.
 */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "kernel/classifier.h"
#include "kernel/tc.h"
#include "kernel/tc_ability.h"
#include "kernel/tc_snapshot.h"

#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMED 200

#define NET_ADMIN (UINT64_C(1) << CAP_NET_ADMIN)
#define BPF       (UINT64_C(1) << CAP_BPF)

/* Run `act` in a process that has these capabilities alone; its result as exit status. */
static int run_with(uint64_t capabilities, int (*act)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[2] = {{0}, {0}};
        for (int i = 0; i < 2; i++)
            data[i].effective = data[i].permitted = (uint32_t)(capabilities >> (32 * i));
        if (syscall(SYS_capset, &header, data) != 0)
            _exit(3);
        _exit(act());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int ask_ability(void)
{
    struct sq_error error;
    if (sq_tc_check_ability(&error) == 0)
        return 0;
    print_message("%s\n", error.text);
    return error.code == SQ_UNABLE ? 1 : 2;
}

static void test_ability_by_capabilities(void **state)
{
    (void)state;
    assert_int_equal(run_with(NET_ADMIN | BPF, ask_ability), 0);
    assert_int_equal(run_with(NET_ADMIN, ask_ability), 1);
    assert_int_equal(run_with(BPF, ask_ability), 1);
}

static int live_a_fault(void)
{
    static struct impairment fault;
    impairment_init(&fault, SQ_DIRECTION_BOTH, NULL);
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    (void)impairment_counter(&fault, "dropped-out");
    impairment_stop(&fault);
    return 0;
}

static void test_two_capabilities_are_enough(void **state)
{
    (void)state;
    assert_int_equal(run_with(NET_ADMIN | BPF, live_a_fault), 0);
}

static void test_ability_leaves_nothing(void **state)
{
    (void)state;
    struct sq_error error;
    char *before = fixture_tc("lo");
    if (sq_tc_check_ability(&error) != 0)
        fail_msg("%s", error.text);
    fixture_assert_tc("lo", before);
}

/*
 * Is our judgement of foreign filters the kernel's? Each is put in front of a partition that stands already,
 * where no preview could refuse it: a harmless one must not let a single datagram of the peer past.
 */
static void test_judgement_is_the_kernels(void **state)
{
    (void)state;
    static struct impairment fault;
    static const struct {
        const char *filter;
        bool passes;
    } filters[] = {
        {"bpf bytecode '1,6 0 0 0' direct-action", true},
        {"bpf bytecode '1,6 0 0 1'", true},
        {"protocol ip u32 match u32 0 0 flowid 1:1", true},
        {"protocol ip u32 match u32 0 0 action mirred egress mirror dev lo",
         true}, /* the last action pipes */
        {"bpf bytecode '1,6 0 0 2' direct-action", false},
        {"bpf bytecode '1,6 0 0 3' direct-action", false}, /* no verdict that cls_bpf knows: goes on */
        {"bpf bytecode '1,6 0 0 4294967295' direct-action", false},
        {"bpf bytecode '1,6 0 0 0'", false},
        {"protocol ip u32 match u32 0 0 action mirred egress mirror dev lo continue", false},
    };
    impairment_init(&fault, SQ_DIRECTION_OUT, "eth0");
    impairment_to(&fault, "10.9.0.2");
    impairment_start(&fault);
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        fixture_must(lab.host, "tc filter add dev eth0 egress prio 9 %s", filters[i].filter);
        bool dropped = strstr(filters[i].filter, "0 0 2'") != NULL;
        unsigned arrived = fixture_out4(&lab, "2");
        if (arrived != (filters[i].passes ? FIXTURE_COUNT : 0))
            fail_msg("%s: %u datagrams passed", filters[i].filter, arrived);
        /* And the neighbour loses nothing, unless the filter is a dropping one. */
        assert_int_equal(fixture_out4(&lab, "3"), dropped ? 0 : FIXTURE_COUNT);
        static struct impairment judged;
        impairment_init(&judged, SQ_DIRECTION_OUT, "eth0");
        judged.env.slot = 1;
        impairment_to(&judged, "10.9.0.4");
        if ((impairment_preview(&judged) != 0) != filters[i].passes)
            fail_msg("%s: misjudged", filters[i].filter);
        fixture_must(lab.host, "tc filter del dev eth0 egress prio 9");
    }
    impairment_stop(&fault);
}

/* The clsact that is there goes on working for others while one of ours comes and goes. */
static void test_remove_checks_the_name(void **state)
{
    (void)state;
    struct sq_netlink netlink;
    struct sq_error error;
    assert_int_equal(sq_netlink_open(&netlink, &error), 0);
    uint32_t ifindex = if_nametoindex("eth0");
    assert_int_equal(sq_tc_make_clsact(&netlink, ifindex, NULL, 0), 0);
    assert_int_equal(sq_tc_make_clsact(&netlink, ifindex, NULL, 0), -EEXIST);
    struct sq_classifier_config config = {.peers = {NULL, 0}};
    struct sq_classifier *classifier = NULL;
    assert_int_equal(sq_classifier_load(&config, &classifier, NULL), 0);
    struct sq_tc_place place = {
        .ifindex = ifindex, .side = SQ_TC_OUT, .preference = SQ_TC_PREFERENCE, .handle = SQ_TC_HANDLE};
    int program = sq_classifier_program_out(classifier);
    assert_int_equal(sq_tc_add_filter(&netlink, &place, "squall/one/0", program, &error), 0);
    assert_int_equal(sq_tc_add_filter(&netlink, &place, "squall/two/0", program, &error), -1);
    assert_int_equal(error.code, SQ_CONFLICT);
    assert_int_equal(sq_tc_remove_filter(&netlink, &place, "squall/two/0"), -ENOENT);
    struct sq_tc_tenants tenants;
    assert_int_equal(sq_tc_count_tenants(&netlink, ifindex, NULL, NULL, &tenants), 0);
    assert_int_equal(tenants.ours, 1);
    assert_false(tenants.made_by_squall);
    assert_int_equal(sq_tc_remove_filter(&netlink, &place, "squall/one/0"), 0);
    assert_int_equal(sq_tc_remove_filter(&netlink, &place, "squall/one/0"), -ENOENT);
    assert_int_equal(sq_tc_remove_clsact(&netlink, ifindex), 0);
    sq_classifier_free(classifier);
    sq_netlink_close(&netlink);
}

/* A snapshot notices a changed parameter and does not notice traffic. */
static void test_snapshot_sees_configuration_alone(void **state)
{
    (void)state;
    struct sq_netlink netlink;
    assert_int_equal(sq_netlink_open(&netlink, NULL), 0);
    uint32_t ifindex = if_nametoindex("eth0");
    fixture_must(lab.host,
                 "tc qdisc add dev eth0 root handle 1: htb default 77 2>/dev/null && "
                 "tc filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff "
                 "flowid 1:20 && "
                 "tc filter add dev eth0 parent 1: protocol ip prio 2 u32 match mark 0 0xff "
                 "match ip dport 7000 0xffff flowid 1:20");
    struct sq_tc_snapshot before;
    struct sq_tc_snapshot after;
    assert_int_equal(sq_tc_take_snapshot(&netlink, ifindex, &before), 0);
    assert_int_equal(before.parts[SQ_TC_QDISCS].count, 1);
    assert_true(before.parts[SQ_TC_ROOT_FILTERS].count > 0);
    assert_int_equal(fixture_out4(&lab, "2"),
                     FIXTURE_COUNT); /* unclassified: HTB counts them in its parameters */
    assert_int_equal(sq_tc_take_snapshot(&netlink, ifindex, &after), 0);
    assert_memory_equal(&before, &after, sizeof before);
    fixture_must(lab.host,
                 "tc filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport 7001 0xffff "
                 "flowid 1:20");
    assert_int_equal(sq_tc_take_snapshot(&netlink, ifindex, &after), 0);
    assert_memory_equal(&before.parts[SQ_TC_QDISCS], &after.parts[SQ_TC_QDISCS], sizeof before.parts[0]);
    assert_memory_not_equal(&before.parts[SQ_TC_ROOT_FILTERS], &after.parts[SQ_TC_ROOT_FILTERS],
                            sizeof before.parts[0]);
    sq_netlink_close(&netlink);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median_us(uint64_t times_ns[TIMED])
{
    qsort(times_ns, TIMED, sizeof times_ns[0], compare_numbers);
    return (double)times_ns[TIMED / 2] / 1e3;
}

/* How long the device stands still while it gets a clsact and loses it: no longer than the request takes. */
static void time_clsact(void)
{
    static uint64_t make_ns[TIMED];
    static uint64_t remove_ns[TIMED];
    struct sq_netlink netlink;
    assert_int_equal(sq_netlink_open(&netlink, NULL), 0);
    uint32_t ifindex = if_nametoindex("eth0");
    for (int i = 0; i < TIMED; i++) {
        uint64_t t0 = sq_boot_ns();
        assert_int_equal(sq_tc_make_clsact(&netlink, ifindex, NULL, 0), 0);
        uint64_t t1 = sq_boot_ns();
        assert_int_equal(sq_tc_remove_clsact(&netlink, ifindex), 0);
        uint64_t t2 = sq_boot_ns();
        make_ns[i] = t1 - t0;
        remove_ns[i] = t2 - t1;
    }
    sq_netlink_close(&netlink);
    print_message("clsact: make %.0f us, remove %.0f us\n", median_us(make_ns), median_us(remove_ns));
}

/* Figures for a person; nothing depends on them. */
static void test_figures(void **state)
{
    (void)state;
    static struct impairment fault;
    static uint64_t preview_ns[TIMED];
    static uint64_t prepare_ns[TIMED];
    static uint64_t inject_ns[TIMED];
    static uint64_t remove_ns[TIMED];
    for (int i = 0; i < TIMED; i++) {
        impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
        impairment_to(&fault, "10.9.0.2");
        uint64_t t0 = sq_boot_ns();
        assert_int_equal(impairment_preview(&fault), 0);
        uint64_t t1 = sq_boot_ns();
        assert_int_equal(impairment_prepare(&fault), 0);
        uint64_t t2 = sq_boot_ns();
        impairment_inject(&fault, 60000);
        uint64_t t3 = sq_boot_ns();
        impairment_stop(&fault);
        uint64_t t4 = sq_boot_ns();
        preview_ns[i] = t1 - t0;
        prepare_ns[i] = t2 - t1;
        inject_ns[i] = t3 - t2;
        remove_ns[i] = t4 - t3;
    }
    print_message(
        "medians of %d: preview %.0f us, prepare %.0f us, inject %.2f us, clean+remove+release %.0f us\n",
        TIMED, median_us(preview_ns), median_us(prepare_ns), median_us(inject_ns), median_us(remove_ns));
    time_clsact();
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        fixture_test(test_ability_by_capabilities),
        fixture_test(test_two_capabilities_are_enough),
        fixture_test(test_ability_leaves_nothing),
        fixture_test(test_judgement_is_the_kernels),
        fixture_test(test_remove_checks_the_name),
        fixture_test(test_snapshot_sees_configuration_alone),
        fixture_test(test_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
