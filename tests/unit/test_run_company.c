/* libraries: sq_run_fixture sq_engine sq_planning */
/* A run beside others: what they have prepared or injected elsewhere in the inventory. Played. */
#include "run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Somebody else has this on a host of the inventory that is not in the plan; NONE: the host is silent. */
static enum sq_exit run_beside(enum sq_fault_state state, const char *under)
{
    struct agent *other = &agents[HOSTS];
    limits = under;
    other->mood = state == SQ_STATE_NONE ? GONE : WELL;
    other->experiment.bytes[0] = 7;
    other->fault_count = 1;
    other->faults[0] = (struct fault){.duration_ns = 60 * SQ_NS_PER_SECOND, .report.state = state};
    other->faults[0].report.injected_boot_ns = sq_loop_now_boot_ns(played_loop);
    return run(no_hypothesis, "300ms");
}

/* Everybody had prepared, and everybody was told to revert. */
static void expect_company_refused(const char *why)
{
    expect_nothing_injected();
    expect_all_clean();
    expect_why(why);
    for (size_t i = 0; i < HOSTS; i++)
        assert_true(agents[i].prepares == 1 && agents[i].reverts > 0);
    assert_int_equal(agents[HOSTS].reverts, 0);
}

static void test_what_is_prepared_counts(void **state)
{
    (void)state;
    assert_int_equal(run_beside(SQ_STATE_PREPARED, "limits: {max-hosts: 3}\n"), SQ_EXIT_REFUSED);
    expect_company_refused("the plan hits 3 hosts and 1 more is disturbed (db1: prepared by eve@desk");
}

static void test_who_is_alone_bears_nobody(void **state)
{
    (void)state;
    assert_int_equal(run_beside(SQ_STATE_INJECTED, "limits: {alone: yes}\n"), SQ_EXIT_REFUSED);
    expect_company_refused("'limits: alone' bears no company, and 1 host is disturbed (db1: injected by eve");
}

static void test_silence_counts(void **state)
{
    (void)state;
    assert_int_equal(run_beside(SQ_STATE_NONE, "limits: {max-hosts: 75%}\n"), SQ_EXIT_REFUSED);
    expect_company_refused("1 more is disturbed (db1: no answer)");
}

static void test_within_the_limits(void **state)
{
    (void)state;
    assert_int_equal(run_beside(SQ_STATE_PREPARED, "limits: {max-hosts: 4}\n"), SQ_EXIT_COMPLETED);
    assert_true(agents[HOSTS].injects == 0 && agents[HOSTS].reverts == 0);
}

/* Nobody is asked, and nothing waits for a host that is gone. */
static void test_without_limits(void **state)
{
    (void)state;
    assert_int_equal(run_beside(SQ_STATE_NONE, ""), SQ_EXIT_COMPLETED);
}

static void break_it_after_three(const struct sq_run_event *event)
{
    (void)event;
    if (count_events(SQ_EVENT_MEASUREMENT, "front page") >= 3)
        page.status = 503;
}

/* What held before goes bad while a host that is gone is still waited for: nothing is injected into that. */
static void test_the_steady_state_is_watched_while_others_are_asked(void **state)
{
    (void)state;
    limits = "limits: {max-hosts: 4}\n";
    agents[HOSTS].mood = GONE;
    on_event = break_it_after_three;
    assert_int_equal(run(http_hypothesis, "1s"), SQ_EXIT_REFUSED);
    expect_nothing_injected();
    expect_all_clean();
    expect_why("probe \"front page\" is out of tolerance before anything was injected: status 503");
}

int main(void)
{
    struct sq_error error;
    if (sq_run_block_signals(&signal_fd, &error) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_what_is_prepared_counts),
        RUN_TEST(test_who_is_alone_bears_nobody),
        RUN_TEST(test_silence_counts),
        RUN_TEST(test_within_the_limits),
        RUN_TEST(test_without_limits),
        RUN_TEST(test_the_steady_state_is_watched_while_others_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
