/* libraries: sq_run_fixture sq_engine sq_planning */
/* A whole run: its phases, its times, and the verdict. Played; no time goes by. */
#include "run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_completed(void **state)
{
    (void)state;
    assert_int_equal(run(http_hypothesis, "300ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
    uint64_t first_boot_ns = agents[0].faults[0].inject_at_boot_ns - agents[0].clock_offset_ns;
    for (size_t i = 0; i < HOSTS; i++) {
        uint64_t at_boot_ns = agents[i].faults[0].inject_at_boot_ns - agents[i].clock_offset_ns;
        uint64_t apart_ns =
            at_boot_ns > first_boot_ns ? at_boot_ns - first_boot_ns : first_boot_ns - at_boot_ns;
        /* One moment on three clocks, as exact as half a round trip. */
        assert_true(apart_ns <= 2 * MS);
        assert_int_equal(agents[i].injects, 1);
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_DURATION);
        assert_true(ended.clean_boot_ns[i] != 0 && ended.removed_boot_ns[i] >= ended.clean_boot_ns[i]);
        assert_false(ended.unclean[i]);
    }
    assert_string_equal(ended.why, "the hypothesis held before, during and after");
    assert_true(ended.recovery_checked && ended.recovered);
    assert_true(count_events(SQ_EVENT_MEASUREMENT, "front page") >= 5);
    assert_int_equal(count_events(SQ_EVENT_REQUEST, "inject"), 3);
    assert_int_equal(count_events(SQ_EVENT_REQUEST, "revert"), 3);
    assert_int_equal(count_events(SQ_EVENT_FAULT, "INJECTED"), 3);
    assert_int_equal(count_events(SQ_EVENT_PHASE, NULL), 7);
}

static void test_no_hypothesis(void **state)
{
    (void)state;
    assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
}

static void test_deviated(void **state)
{
    (void)state;
    later(500 * MS, set_status, 503);
    later(1500 * MS, set_status, 200);
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_DEVIATED);
    expect_all_clean();
    for (size_t i = 0; i < HOSTS; i++)
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_ORDERED);
    expect_why("probe \"front page\" missed 3 times in a row");
    assert_true(ended.recovered);
}

static void test_deviated_and_not_recovered(void **state)
{
    (void)state;
    later(300 * MS, set_status, 503);
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_DEVIATED);
    expect_all_clean();
    assert_true(ended.recovery_checked && !ended.recovered);
    assert_non_null(strstr(ended.not_recovered_because, "did not hold again within 1s"));
}

static void test_held_but_not_recovered(void **state)
{
    (void)state;
    /* One miss is allowed; then the faults end, and it stays bad. */
    later(390 * MS, set_status, 503);
    assert_int_equal(run(http_hypothesis, "400ms"), SQ_EXIT_DEVIATED);
    expect_all_clean();
    expect_why("did not hold again");
    assert_int_equal(count_events(SQ_EVENT_DECISION, "completed"), 1);
}

static void test_not_steady(void **state)
{
    (void)state;
    page.status = 500;
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_REFUSED);
    expect_all_clean();
    expect_nothing_injected();
    expect_why("probe \"front page\" is out of tolerance before anything was injected: status 500");
}

static void test_many_leases_long(void **state)
{
    (void)state;
    assert_int_equal(run(no_hypothesis, "1700ms"), SQ_EXIT_COMPLETED);
    for (size_t i = 0; i < HOSTS; i++) {
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_DURATION);
        assert_true(agents[i].renewals >= 9);
    }
}

static void expect_injected_after(size_t agent, uint32_t fault, uint64_t after_ns)
{
    uint64_t first_boot_ns = agents[0].faults[0].report.injected_boot_ns - agents[0].clock_offset_ns;
    uint64_t at_boot_ns = agents[agent].faults[fault].report.injected_boot_ns - agents[agent].clock_offset_ns;
    uint64_t seen_ns = at_boot_ns - first_boot_ns;
    assert_int_equal(agents[agent].faults[fault].report.end_reason, SQ_END_DURATION);
    assert_true(seen_ns + 2 * MS > after_ns && seen_ns < after_ns + 2 * MS);
}

/* before: 0 to 300 ms on web1; beside: 100 to 600 ms on web1 and web2; cut: from 600 ms on all three. */
static void test_steps_have_their_times(void **state)
{
    (void)state;
    assert_int_equal(run(more_steps, "200ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
    assert_int_equal(agents[0].fault_count, 3);
    assert_int_equal(agents[2].fault_count, 1);
    expect_injected_after(0, 0, 0);
    expect_injected_after(0, 1, 100 * MS);
    expect_injected_after(1, 0, 100 * MS);
    expect_injected_after(0, 2, 600 * MS);
    expect_injected_after(1, 1, 600 * MS);
    expect_injected_after(2, 0, 600 * MS);
    assert_int_equal(count_events(SQ_EVENT_REQUEST, "inject"), 6);
    assert_int_equal(count_events(SQ_EVENT_FAULT, "INJECTED"), 6);
}

int main(void)
{
    struct sq_error error;
    if (sq_run_block_signals(&signal_fd, &error) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_completed),
        RUN_TEST(test_no_hypothesis),
        RUN_TEST(test_deviated),
        RUN_TEST(test_deviated_and_not_recovered),
        RUN_TEST(test_held_but_not_recovered),
        RUN_TEST(test_not_steady),
        RUN_TEST(test_many_leases_long),
        RUN_TEST(test_steps_have_their_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
