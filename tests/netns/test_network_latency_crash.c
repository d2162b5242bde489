/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* The delay ends although everybody who could end it is dead, and its record alone is enough to remove it. */
#include "fixture.h"
#include "impairment.h"
#include "probe.h"

#include "common/clock.h"
#include "faults/network_undo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS   20
#define DELAY_MS 100

static struct impairment *shared; /* by the process that dies and the one that looks at what is left */
static char *before;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    before = fixture_tc("eth0");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    impairment_init_kind(shared, SQ_NETWORK_LATENCY, SQ_DIRECTION_BOTH, "eth0");
    shared->order.spec.latency.delay_ns = DELAY_MS * SQ_NS_PER_MILLISECOND;
    impairment_to(shared, "10.9.0.2");
    impairment_to(shared, "fd09::2");
    assert_int_equal(impairment_preview(shared), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(before);
    (void)munmap(shared, sizeof *shared);
    fixture_close(&lab);
    return 0;
}

static bool is_delayed(const char *from, const char *to)
{
    return probe_delay_ms(&lab, from, to) >= DELAY_MS;
}

static void assert_delayed(bool delayed)
{
    assert_int_equal(is_delayed("10.9.0.1", "10.9.0.2"), delayed);
    assert_int_equal(is_delayed("10.9.0.2", "10.9.0.1"), delayed);
    assert_int_equal(is_delayed("fd09::1", "fd09::2"), delayed);
    assert_int_equal(is_delayed("fd09::2", "fd09::1"), delayed);
    assert_false(is_delayed("10.9.0.1", "10.9.0.3"));
    assert_false(is_delayed("10.9.0.3", "10.9.0.1"));
}

static void recover(void)
{
    assert_int_equal(impairment_recover(shared), 0);
    if (shared->report.proof != SQ_PROOF_PROVED)
        for (uint32_t i = 0; i < shared->report.line_count; i++)
            print_message("%s\n", shared->report.lines[i].text);
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    fixture_must(lab.host, "! ip link show type ifb | grep .");
    char *now = fixture_tc("eth0");
    assert_string_equal(now, before);
    free(now);
}

static void test_deadline_needs_nobody(void **state)
{
    (void)state;
    uint64_t before_ns = sq_boot_ns();
    impairment_die(shared, 3000, 0);
    uint64_t start_ns = sq_boot_ns(); /* it was injected between the two */
    uint64_t delayed_ns = start_ns;
    uint64_t look_ns = start_ns;
    assert_true(is_delayed("10.9.0.1", "10.9.0.2"));
    assert_true(is_delayed("fd09::2", "fd09::1"));
    assert_false(is_delayed("10.9.0.1", "10.9.0.3"));
    while ((look_ns = sq_boot_ns()) < start_ns + 6 * SQ_NS_PER_SECOND && is_delayed("10.9.0.1", "10.9.0.2"))
        delayed_ns = look_ns;
    uint64_t ended_ns = sq_boot_ns();
    print_message("no delay %llu ms after the kill, the deadline was at 3000 ms\n",
                  (unsigned long long)((ended_ns - start_ns) / SQ_NS_PER_MILLISECOND));
    /* By when looks began and ended: how long they take depends on how busy the machine is. */
    assert_true(ended_ns >= before_ns + 3 * SQ_NS_PER_SECOND);
    assert_true(delayed_ns <= start_ns + 3 * SQ_NS_PER_SECOND);
    assert_delayed(false);
    recover();
}

static void test_recovery_ends_it_at_once_and_twice(void **state)
{
    (void)state;
    impairment_die(shared, 60000, 0);
    assert_delayed(true);
    assert_int_equal(shared->ops->clean(NULL, &shared->undo, &shared->error), 0);
    assert_delayed(false);
    recover();
    recover();
}

/* Delayed packets of a dead agent are waited for, too. */
static void test_recovery_loses_nothing(void **state)
{
    (void)state;
    impairment_die(shared, 60000, 0);
    int receiver = fixture_socket(&lab, "10.9.0.2", 5000, SOCK_DGRAM);
    int sender = fixture_socket(&lab, "10.9.0.1", 0, SOCK_DGRAM);
    struct sockaddr_storage to;
    socklen_t length = sizeof to;
    char byte;
    assert_int_equal(getsockname(receiver, (struct sockaddr *)&to, &length), 0);
    for (unsigned i = 0; i < FIXTURE_COUNT; i++)
        assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, length), 1);
    recover();
    for (unsigned i = 0; i < FIXTURE_COUNT; i++)
        assert_int_equal(recv(receiver, &byte, 1, MSG_DONTWAIT), 1);
    close(sender);
    close(receiver);
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
    unsigned half_way = 0;
    srandom(3);
    unsigned rounds = 0;
    /* On a busy machine a child may start so late that all of these come too early: then more, and later. */
    for (; rounds < ROUNDS || (half_way == 0 && rounds < 10 * ROUNDS); rounds++) {
        assert_int_equal(impairment_preview(shared), 0);
        impairment_die(shared, 60000, 1 + (unsigned)random() % longest_us);
        if (rounds >= ROUNDS)
            longest_us += longest_us / 10;
        half_way += fixture_run(lab.host, "! ip link show type ifb | grep -q . 2>/dev/null") != 0;
        recover();
    }
    print_message("%u of %u kills came when something had been made\n", half_way, rounds);
    assert_true(half_way > 0);
    assert_delayed(false);
}

/* The record as it is until all filters are there. */
static void unmark(void)
{
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    record.interfaces[0].is_marked = 0;
    sq_network_undo_write(&record, SQ_NETWORK_LATENCY, &shared->undo);
}

/* Every state that a crash can leave, made by hand in the order in which prepare makes it. */
static void test_every_half_way(void **state)
{
    (void)state;
    static const char *const undone[] = {
        "true",
        "tc filter del dev eth0 egress",
        "tc filter del dev eth0 egress; tc filter del dev eth0 ingress",
        "tc qdisc del dev eth0 clsact",
        "tc qdisc del dev eth0 clsact; ip link set squall-0-out down",
        "tc qdisc del dev eth0 clsact; ip link set squall-0-out down; tc qdisc del dev squall-0-out root",
        "tc qdisc del dev eth0 clsact; ip link set squall-0-out down; ip link set squall-0-out alias ''",
        "tc qdisc del dev eth0 clsact; ip link del squall-0-out",
        "tc qdisc del dev eth0 clsact; ip link del squall-0-out; ip link del squall-0-in",
    };
    for (size_t i = 0; i < sizeof undone / sizeof undone[0]; i++) {
        assert_int_equal(impairment_preview(shared), 0);
        impairment_die(shared, 60000, 0);
        fixture_must(lab.host, "%s", undone[i]);
        unmark();
        recover();
    }
    assert_delayed(false);
}

/* Without the detour, what the filters send there is lost; but the fault still ends. */
static void test_detour_deleted_by_somebody(void **state)
{
    (void)state;
    impairment_die(shared, 1500, 0);
    fixture_must(lab.host, "ip link del squall-0-out");
    usleep(1600000);
    assert_delayed(false);
    assert_int_equal(impairment_recover(shared), 0);
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "took the interface squall-0-out away"));
    recover(); /* there is nothing any more that it could be missing from */
}

static void test_detour_renamed(void **state)
{
    (void)state;
    impairment_die(shared, 60000, 0);
    fixture_must(lab.host, "ip link set squall-0-in down; ip link set squall-0-in name mine0");
    recover();
}

/* What stands in the place of a detour under another mark is somebody else's. */
static void test_foreign_in_its_place(void **state)
{
    (void)state;
    static const char *const marks[] = {
        "type dummy",
        "type ifb",
        "address 02:00:00:00:00:01 type ifb",
    };
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    uint32_t ifindex = record.detours[SQ_TC_IN].ifindex;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (fixture_run(lab.host, "ip link add squall-0-in index %u %s 2>/dev/null", ifindex, marks[i]) != 0)
            continue; /* no such device in this kernel */
        assert_int_equal(impairment_recover(shared), 0);
        assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
        assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "somebody else's; not touched"));
        fixture_must(lab.host, "ip link show squall-0-in >/dev/null");
        assert_int_equal(impairment_prepare(shared), -1);
        assert_int_equal(shared->error.code, SQ_CONFLICT);
        shared->ops->release(shared->state);
        free(shared->state);
        fixture_must(lab.host, "ip link del squall-0-in");
    }
    recover();
    /* Other names and numbers are chosen where those are taken. */
    fixture_must(lab.host, "ip link add squall-0-in type ifb && ip link add other0 index %u type ifb",
                 ifindex + 1);
    assert_int_equal(impairment_preview(shared), 0);
    assert_int_equal(impairment_prepare(shared), 0);
    fixture_must(lab.host, "ip link show squall-8-in >/dev/null && ip link show squall-8-out >/dev/null");
    impairment_inject(shared, 60000);
    assert_delayed(true);
    impairment_stop(shared);
    fixture_must(
        lab.host,
        "test $(ip -o link show type ifb | wc -l) = 2 && ip link del squall-0-in && ip link del other0");
}

static void test_other_namespace_is_not_touched(void **state)
{
    (void)state;
    impairment_die(shared, 60000, 0);
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    record.place.netns_cookie++;
    struct sq_undo there;
    sq_network_undo_write(&record, SQ_NETWORK_LATENCY, &there);
    assert_int_equal(shared->ops->clean(NULL, &there, &shared->error), 0);
    assert_int_equal(shared->ops->remove(NULL, &there, &shared->report, &shared->error), 0);
    fixture_must(lab.host, "test $(ip -o link show type ifb | wc -l) = 2");
    recover();
}

int main(void)
{
    fixture_require_netem(true);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deadline_needs_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recovery_ends_it_at_once_and_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recovery_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reverting_allocates_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_at_any_moment_of_preparing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_half_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_detour_deleted_by_somebody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_detour_renamed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_in_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_namespace_is_not_touched, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
