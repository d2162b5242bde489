/* libraries: sq_run_fixture sq_engine sq_planning */
/* A whole run that somebody stops, that is watched badly, or that stands still. Played; no time goes by. */
#include "run_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect_aborted(void)
{
    expect_all_clean();
    expect_why("stopped by ");
    for (size_t i = 0; i < HOSTS; i++)
        assert_true(agents[i].reverts > 0);
}

static void test_signals_end_with_a_rollback(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1};
    (void)state;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        agents_reset();
        later(300 * MS, send_signal, signals[i]);
        assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
        expect_aborted();
        assert_int_equal(agents[0].injects, 1);
        assert_true(seen[seen_count - 1].boot_ns - seen[0].boot_ns < 1 * SQ_NS_PER_SECOND);
    }
}

static void test_signal_while_preparing(void **state)
{
    (void)state;
    agents[2].mood = SLOW_TO_PREPARE;
    raise_at_prepare = SIGINT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_aborted();
    expect_nothing_injected();
}

static void test_signals_do_not_skip_the_rollback(void **state)
{
    (void)state;
    later(300 * MS, send_signal, SIGINT);
    raise_at_revert = SIGINT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_aborted();
    assert_true(count_events(SQ_EVENT_DECISION, "asked-to-stop") >= 2);
    assert_int_equal(count_events(SQ_EVENT_DECISION, "aborted"), 1);
}

/* The method was through, but whoever stops it does not wait for what it came to. */
static void test_stopped_in_the_rollback_of_a_method_that_was_over(void **state)
{
    (void)state;
    raise_at_revert = SIGTERM;
    assert_int_equal(run(http_hypothesis, "300ms"), SQ_EXIT_ABORTED);
    expect_why("stopped by SIGTERM during the rollback");
    assert_int_equal(count_events(SQ_EVENT_DECISION, "completed"), 1);
    assert_int_equal(count_events(SQ_EVENT_DECISION, "aborted"), 1);
}

/* The second reason of one turn changes nothing: the first one is the decision. */
static void test_the_first_reason_wins(void **state)
{
    (void)state;
    agents[2].mood = HALTED_AFTER_INJECT;
    later(300 * MS, send_signal, SIGINT);
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_why("somebody halted web3");
}

static void lose_terminal(int value)
{
    (void)value;
    sq_run_stop(the_run, "the loss of the terminal");
    sq_run_stop(the_run, "the loss of the terminal");
}

static void test_a_lost_terminal(void **state)
{
    (void)state;
    later(300 * MS, lose_terminal, 0);
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_aborted();
    expect_why("stopped by the loss of the terminal");
}

/* --- observers --- */

/* All orders of a turn have left before anybody hears of the decision that is behind them. */
static void test_orders_leave_before_the_decision_is_told(void **state)
{
    (void)state;
    later(300 * MS, set_status, 503);
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_DEVIATED);
    bool told = false;
    for (size_t i = 0; i < seen_count; i++)
        if (seen[i].kind == SQ_EVENT_DECISION && strcmp(seen[i].what, "deviated") == 0) {
            told = true;
            assert_int_equal(seen[i].reverts, HOSTS);
        }
    assert_true(told);
}

static void dawdle(const struct sq_run_event *event)
{
    (void)event;
    sq_loop_stand_still(played_loop, 20 * MS);
}

static void dawdle_at_decisions(const struct sq_run_event *event)
{
    if (event->kind == SQ_EVENT_DECISION)
        sq_loop_stand_still(played_loop, 3 * SQ_NS_PER_SECOND);
}

/* A full disk, a stopped terminal: whoever watches slowly changes neither ending nor rollback. */
static void test_slow_observers_change_nothing(void **state)
{
    static void (*const slow[])(const struct sq_run_event *event) = {dawdle, dawdle_at_decisions};
    (void)state;
    for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
        agents_reset();
        page.status = 200;
        on_event = slow[i];
        later(300 * MS, set_status, 503);
        assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_DEVIATED);
        expect_all_clean();
        expect_why("probe \"front page\" missed 3 times in a row");
        for (size_t host = 0; host < HOSTS; host++) {
            assert_int_equal(agents[host].faults[0].report.end_reason, SQ_END_ORDERED);
            assert_false(ended.unclean[host]);
        }
    }
}

static void stop_the_run(const struct sq_run_event *event)
{
    /* What no observer may do does no harm either. */
    if (event->kind == SQ_EVENT_FAULT)
        sq_run_stop(the_run, "an observer");
}

static void test_an_observer_that_calls_back(void **state)
{
    (void)state;
    on_event = stop_the_run;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_all_clean();
}

/* --- standing still --- */

static void stand_still(int ms)
{
    sq_loop_stand_still(played_loop, (uint64_t)ms * MS);
}

static void stand_still_when_prepared(const struct sq_run_event *event)
{
    if (event->kind == SQ_EVENT_PHASE && event->of.phase.phase == SQ_PHASE_STEADY)
        stand_still(2000);
}

/* SIGSTOP, or a machine that was suspended: the agents ended the faults, and it was not their doing. */
static void test_who_stood_still_says_so(void **state)
{
    (void)state;
    later(300 * MS, stand_still, 14000);
    assert_int_equal(run(no_hypothesis, "60s"), SQ_EXIT_FAILED);
    expect_why("squall itself stood still for 14");
    expect_why(", longer than the lease of 500ms: every fault ended by itself");
    for (size_t i = 0; i < HOSTS; i++)
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_LEASE);
}

static void test_also_before_anything_is_injected(void **state)
{
    (void)state;
    on_event = stand_still_when_prepared;
    assert_int_equal(run(held_hypothesis, "60s"), SQ_EXIT_FAILED);
    expect_why("longer than the lease of 500ms: what was prepared ended by itself");
    expect_nothing_injected();
}

static void test_a_short_stop_is_nothing(void **state)
{
    (void)state;
    later(300 * MS, stand_still, 200);
    assert_int_equal(run(no_hypothesis, "2s"), SQ_EXIT_COMPLETED);
    expect_all_clean();
}

static unsigned deciding;

static void count_deciding(const struct sq_run_event *event)
{
    deciding += event->kind == SQ_EVENT_MEASUREMENT && event->of.measurement.deciding;
}

/* A miss that decides is told like each other one, or the record counts fewer than the verdict. */
static void test_what_nobody_measured_is_told(void **state)
{
    unsigned missed = 0;
    (void)state;
    deciding = 0;
    on_event = count_deciding;
    later(950 * MS, set_status, 500);
    later(1050 * MS, stand_still, 330);
    assert_int_equal(run(http_hypothesis, "5s"), SQ_EXIT_DEVIATED);
    expect_why("missed 3 times in a row");
    for (size_t i = 0; i < seen_count; i++)
        missed +=
            seen[i].kind == SQ_EVENT_MEASUREMENT && strstr(seen[i].text, "nobody measured then") != NULL;
    assert_int_equal(missed, 2);
    assert_int_equal(deciding, 1);
    expect_all_clean();
}

int main(void)
{
    struct sq_error error;
    if (sq_run_block_signals(&signal_fd, &error) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_signals_end_with_a_rollback),
        RUN_TEST(test_signal_while_preparing),
        RUN_TEST(test_signals_do_not_skip_the_rollback),
        RUN_TEST(test_stopped_in_the_rollback_of_a_method_that_was_over),
        RUN_TEST(test_the_first_reason_wins),
        RUN_TEST(test_a_lost_terminal),
        RUN_TEST(test_orders_leave_before_the_decision_is_told),
        RUN_TEST(test_slow_observers_change_nothing),
        RUN_TEST(test_an_observer_that_calls_back),
        RUN_TEST(test_who_stood_still_says_so),
        RUN_TEST(test_also_before_anything_is_injected),
        RUN_TEST(test_a_short_stop_is_nothing),
        RUN_TEST(test_what_nobody_measured_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
