/* libraries: sq_netns_fixture sq_kernel sq_table sq_common PkgConfig::LIBBPF */
/*
 * tcx itself: what the trial says of this kernel, that the classifier drops silently there and in front of
 * everybody, the order of squall's own programs, and that a link ends with its holder.
 */
#include "fixture.h"

#include "common/clock.h"
#include "kernel/classifier.h"
#include "kernel/guard.h"
#include "kernel/tcx.h"
#include "table/fault_spec.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAMS_MAX 8
#define WITHIN_MS    2000

static uint32_t eth0;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    eth0 = if_nametoindex("eth0");
    return 0;
}

static struct sq_classifier *load(const char *peer, double lose_percent)
{
    struct sq_cidr range;
    struct sq_error error;
    struct sq_classifier *classifier = NULL;
    assert_int_equal(sq_cidr_parse(peer, &range, &error), 0);
    struct sq_classifier_config config = {
        .for_tcx = true, .ethernet = true, .lose_percent = lose_percent, .peers = {&range, 1}};
    if (sq_classifier_load(&config, &classifier, &error) != 0)
        fail_msg("%s", error.text);
    sq_classifier_set_deadline(classifier, sq_boot_ns() + 60 * SQ_NS_PER_SECOND);
    return classifier;
}

static int program_on(const struct sq_classifier *classifier, enum sq_tc_side side)
{
    return side == SQ_TC_IN ? sq_classifier_program_in(classifier) : sq_classifier_program_out(classifier);
}

static int attach(const struct sq_classifier *classifier, enum sq_tc_side side, uint32_t rank)
{
    int link = sq_tcx_attach(program_on(classifier, side), eth0, side, rank);
    if (link < 0)
        fail_msg("%s", strerror(-link));
    return link;
}

/* A foreign program that lets everything pass, and by that ends what stands behind it. */
static int attach_foreign(enum sq_tc_side side)
{
    const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_OK},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "cilium_like", "GPL", code, 2, NULL);
    assert_true(program >= 0);
    int link = sq_tcx_attach(program, eth0, side, 0);
    assert_true(link >= 0);
    close(program);
    return link;
}

static void test_silent_drop_in_front_of_others(void **state)
{
    (void)state;
    struct sq_classifier *classifier = load("10.9.0.2", 0);
    int links[] = {attach_foreign(SQ_TC_IN), attach_foreign(SQ_TC_OUT), -1, -1};
    char *before = fixture_tc("eth0");
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    links[2] = attach(classifier, SQ_TC_IN, 0);
    links[3] = attach(classifier, SQ_TC_OUT, 0);
    /* A send that failed would end the test. */
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in4(&lab, "2"), 0);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "3"), FIXTURE_COUNT);
    fixture_assert_tc("eth0", before);
    struct sq_classifier_totals in;
    struct sq_classifier_totals out;
    assert_int_equal(sq_classifier_totals(classifier, &in, &out, NULL), 0);
    assert_int_equal(in.hit, FIXTURE_COUNT);
    assert_int_equal(out.hit, FIXTURE_COUNT);
    sq_classifier_set_deadline(classifier, 0);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "2"), FIXTURE_COUNT);
    for (size_t i = 0; i < 4; i++)
        close(links[i]);
    sq_classifier_free(classifier);
}

static void test_order_by_rank(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {8, 0, 9, 1};
    static const int expected[] = {1, 3, 0, 2}; /* their places in `ranks`, in front of the foreign one */
    struct sq_classifier *classifiers[4];
    uint32_t ids[PROGRAMS_MAX] = {0};
    int links[5];
    links[4] = attach_foreign(SQ_TC_OUT);
    for (int i = 0; i < 4; i++) {
        classifiers[i] = load("10.9.0.2", 0);
        uint32_t id = sq_bpf_program_id(sq_classifier_program_out(classifiers[i]));
        assert_int_not_equal(id, 0);
        assert_int_equal(sq_tcx_own_add(id, ranks[i], NULL), 0);
        assert_true(sq_tcx_is_own(id));
        links[i] = attach(classifiers[i], SQ_TC_OUT, ranks[i]);
    }
    assert_int_equal(sq_tcx_programs(eth0, true, ids, PROGRAMS_MAX), 5);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ids[i], sq_bpf_program_id(sq_classifier_program_out(classifiers[expected[i]])));
    assert_false(sq_tcx_is_own(ids[4]));
    for (int i = 0; i < 4; i++)
        sq_tcx_own_remove(ids[i]);
    assert_false(sq_tcx_is_own(ids[0]));
    for (int i = 0; i < 5; i++)
        close(links[i]);
    for (int i = 0; i < 4; i++)
        sq_classifier_free(classifiers[i]);
}

static int attach_and_hold(void *cookie, struct sq_error *error)
{
    int link = sq_tcx_attach(sq_classifier_program_out(cookie), eth0, SQ_TC_OUT, 0);
    return link >= 0 ? 0 : sq_fail_errno(error, -link, "cannot attach");
}

/* Off the injector's path: the guard attaches, and its end takes the program away. */
static void test_guard_holds_the_link(void **state)
{
    (void)state;
    struct sq_classifier *classifier = load("10.9.0.2", 0);
    uint32_t ids[PROGRAMS_MAX] = {0};
    struct sq_guard guard;
    struct sq_error error;
    struct sq_guard_job job = {.name = "squall-tcx",
                               .way = SQ_GUARD_WITH_INJECTOR,
                               .files = {sq_classifier_program_out(classifier)},
                               .file_count = 1,
                               .set_up = attach_and_hold,
                               .cookie = classifier};
    assert_int_equal(sq_guard_start(&job, &guard, &error), 0);
    assert_int_equal(sq_guard_go(&guard), 0);
    int ready = 0;
    for (int i = 0; i < WITHIN_MS && ready == 0; i++) {
        usleep(1000);
        ready = sq_guard_ready(&guard, &error);
    }
    if (ready != 1)
        fail_msg("%s", ready == 0 ? "not ready in time" : error.text);
    assert_int_equal(sq_tcx_programs(eth0, true, ids, PROGRAMS_MAX), 1);
    assert_int_equal(ids[0], sq_bpf_program_id(sq_classifier_program_out(classifier)));
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    sq_guard_end(&guard);
    for (int i = 0; i < WITHIN_MS && !sq_guard_is_gone(&guard); i++)
        usleep(1000);
    assert_true(sq_guard_is_gone(&guard));
    assert_int_equal(sq_tcx_programs(eth0, true, ids, PROGRAMS_MAX), 0);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    sq_guard_release(&guard);
    sq_classifier_free(classifier);
}

static void test_gone_interface(void **state)
{
    (void)state;
    struct sq_classifier *classifier = load("10.9.0.2", 0);
    assert_int_equal(sq_tcx_attach(sq_classifier_program_out(classifier), 4711, SQ_TC_OUT, 0), -ENODEV);
    sq_classifier_free(classifier);
}

int main(void)
{
    fixture_require_root();
    sq_tcx_try();
    if (!sq_tcx_is_used()) {
        printf("skipped: this kernel has no tcx\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_silent_drop_in_front_of_others, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_order_by_rank, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_guard_holds_the_link, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_gone_interface, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
