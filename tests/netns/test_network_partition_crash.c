/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* The partition ends although everybody who could end it is dead, and its record alone is enough to remove
 * it. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "faults/network_undo.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS      20
#define DEADLINE_NS (1500 * SQ_NS_PER_MILLISECOND)

static struct impairment *shared; /* by the process that dies and the one that looks at what is left */

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    impairment_init(shared, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(shared, "10.9.0.2");
    impairment_to(shared, "fd09::2");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)munmap(shared, sizeof *shared);
    fixture_close(&lab);
    return 0;
}

static void assert_all_pass(void)
{
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(fixture_in4(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(fixture_out6(&lab, "2"), FIXTURE_COUNT);
    assert_int_equal(fixture_in6(&lab, "2"), FIXTURE_COUNT);
}

static void test_deadline_needs_nobody(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    assert_int_equal(impairment_preview(shared), 0);
    uint64_t before_ns = sq_boot_ns();
    impairment_die(shared, 1500, 0);
    uint64_t after_ns = sq_boot_ns(); /* it was injected between the two */
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(fixture_in6(&lab, "2"), 0);
    assert_int_equal(fixture_out4(&lab, "3"), FIXTURE_COUNT);
    uint64_t lost_ns = fixture_last_lost_ns(&lab, "10.9.0.1", "10.9.0.2", 3 * SQ_NS_PER_SECOND);
    uint64_t flowed_ns = sq_boot_ns();
    print_message("traffic flowed %llu ms after the kill, the deadline was at 1500 ms\n",
                  (unsigned long long)((flowed_ns - after_ns) / SQ_NS_PER_MILLISECOND));
    assert_true(flowed_ns >= before_ns + DEADLINE_NS);
    assert_true(lost_ns <= after_ns + DEADLINE_NS);
    assert_all_pass();
    assert_int_equal(impairment_recover(shared), 0);
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    fixture_assert_tc("eth0", before);
}

static void test_recovery_ends_it_at_once_and_twice(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    assert_int_equal(impairment_preview(shared), 0);
    impairment_die(shared, 60000, 0);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(sq_network_partition_ops.clean(NULL, &shared->undo, &shared->error), 0);
    assert_all_pass();
    assert_int_equal(impairment_recover(shared), 0);
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    assert_int_equal(impairment_recover(shared), 0);
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    fixture_assert_tc("eth0", before);
}

/* With no memory left, a fault still has to end: neither clean nor remove asks for any. */
static void test_reverting_allocates_nothing(void **state)
{
    (void)state;
    impairment_assert_reverting_allocates_nothing(shared);
}

static void test_killed_at_any_moment_of_preparing(void **state)
{
    (void)state;
    unsigned longest_us = impairment_prepare_time_us(shared) + 1;
    char *before = fixture_tc("eth0");
    unsigned half_way = 0;
    srandom(2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(impairment_preview(shared), 0);
        impairment_die(shared, 60000, 1 + (unsigned)random() % longest_us);
        char *now = fixture_tc("eth0");
        half_way += strcmp(now, before) != 0;
        free(now);
        assert_int_equal(impairment_recover(shared), 0);
        assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
        now = fixture_tc("eth0");
        assert_string_equal(now, before);
        free(now);
    }
    print_message("%u of %u kills came when something had been made\n", half_way, ROUNDS);
    assert_all_pass();
    free(before);
}

/* Every state that a crash can leave, made by hand in the order in which prepare makes it. */
static void test_every_half_way(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    for (int stage = 0; stage <= 3; stage++) {
        assert_int_equal(impairment_preview(shared), 0);
        if (stage >= 1) {
            if (stage == 1) {
                fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
            } else {
                assert_int_equal(impairment_prepare(shared), 0);
                sq_network_partition_ops.release(shared->state);
                free(shared->state);
            }
            if (stage == 2)
                fixture_must(lab.host, "tc filter del dev eth0 egress");
        }
        assert_int_equal(impairment_recover(shared), 0);
        assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
        char *now = fixture_tc("eth0");
        assert_string_equal(now, before);
        free(now);
    }
    free(before);
}

static void test_interface_gone(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(shared), 0);
    impairment_die(shared, 60000, 0);
    fixture_must(lab.host, "ip link del eth0");
    assert_int_equal(impairment_recover(shared), 0);
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "the interface is gone"));
}

static void test_interface_renamed(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    assert_int_equal(impairment_preview(shared), 0);
    impairment_die(shared, 60000, 0);
    fixture_must(lab.host, "ip link set eth0 down; ip link set eth0 name wan0 && ip link set wan0 up");
    assert_int_equal(impairment_recover(shared), 0);
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    fixture_must(lab.host, "ip link set wan0 down; ip link set wan0 name eth0");
    fixture_assert_tc("eth0", before);
}

/* What was made in a namespace that had this one's number before is gone; what is here is somebody else's. */
static void test_other_namespace_is_not_touched(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(shared), 0);
    impairment_die(shared, 60000, 0);
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    record.place.netns_cookie++;
    struct sq_undo there;
    sq_network_undo_write(&record, SQ_NETWORK_PARTITION, &there);
    assert_int_equal(sq_network_partition_ops.clean(NULL, &there, &shared->error), 0);
    assert_int_equal(sq_network_partition_ops.remove(NULL, &there, &shared->report, &shared->error), 0);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "its network namespace is gone"));
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    assert_int_equal(impairment_recover(shared), 0);
    assert_all_pass();
}

static void test_unknown_layout_is_reported(void **state)
{
    (void)state;
    assert_int_equal(impairment_preview(shared), 0);
    shared->undo.layout++;
    assert_int_equal(sq_network_partition_ops.remove(NULL, &shared->undo, &shared->report, &shared->error),
                     -1);
    assert_int_equal(shared->error.code, SQ_UNCLEAN);
    shared->undo.layout--;
    shared->undo.size--;
    assert_int_equal(sq_network_partition_ops.clean(NULL, &shared->undo, &shared->error), -1);
    assert_int_equal(shared->error.code, SQ_UNCLEAN);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deadline_needs_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recovery_ends_it_at_once_and_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reverting_allocates_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment_of_preparing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_half_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interface_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interface_renamed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_namespace_is_not_touched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_layout_is_reported, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
