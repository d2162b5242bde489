/* libraries: sq_run_fixture sq_engine sq_planning */
/* A whole run with agents that let it down. Played; no time goes by. */
#include "run_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_one_refuses(void **state)
{
    (void)state;
    agents[1].mood = REFUSES_PREPARE;
    agents[2].mood = SLOW_TO_PREPARE;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_REFUSED);
    assert_int_equal(agents[0].prepares, 1);
    expect_all_clean();
    expect_nothing_injected();
    expect_why("web2: the policy does not allow network.partition");
}

static void test_one_is_old(void **state)
{
    (void)state;
    agents[2].mood = OLD;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    assert_int_equal(agents[0].prepares, 0);
    expect_nothing_injected();
    expect_why("web3: speaks version 9");
}

static void test_one_fails_to_inject(void **state)
{
    (void)state;
    agents[1].mood = FAILS_TO_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_why("the device went away");
}

static void test_one_goes_away(void **state)
{
    (void)state;
    agents[0].mood = GOES_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_UNCLEAN);
    assert_int_equal(agents[1].faults[0].report.state, SQ_STATE_REVERTED);
    assert_int_equal(agents[2].faults[0].report.state, SQ_STATE_REVERTED);
    expect_why("web1 did not answer for a whole lease (500ms)");
    assert_true(ended.unclean[0] && !ended.unclean[1] && !ended.unclean[2]);
    assert_true(ended.clean_boot_ns[0] == 0);
    assert_int_equal(count_events(SQ_EVENT_HOST, "silent"), 1);
    assert_int_equal(count_events(SQ_EVENT_HOST, "unconfirmed"), 1);
}

static void test_one_restarts(void **state)
{
    (void)state;
    agents[0].mood = RESTARTS_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_why("web1 renews no lease");
}

static void test_one_is_halted(void **state)
{
    (void)state;
    agents[2].mood = HALTED_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_all_clean();
    expect_why("somebody halted web3");
}

/* The order is lost until the step is over, and renewals are answered: what held, held without the fault. */
static void test_one_never_hears_the_order(void **state)
{
    (void)state;
    agents[1].requests_to_lose[SQ_VERB_INJECT] = 1000;
    assert_int_equal(run(http_hypothesis, "1s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_why("web2 never injected \"cut\", ordered ");
    agents_reset();
    agents[1].requests_to_lose[SQ_VERB_INJECT] = 1000;
    assert_int_equal(run(no_hypothesis, "400ms"), SQ_EXIT_FAILED);
    expect_why("web2 never injected \"cut\"");
}

/* A host's policy is read again: before anything was injected that is a refusal, after it a failure. */
static void test_one_forbids(void **state)
{
    (void)state;
    agents[1].mood = FORBIDDEN_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_why("web2 ended \"cut\": forbidden by the host's new policy: the policy does not allow");
}

static void test_one_forbids_beforehand(void **state)
{
    (void)state;
    agents[1].mood = FORBIDDEN_WHILE_PREPARED;
    assert_int_equal(run(held_hypothesis, "20s"), SQ_EXIT_REFUSED);
    expect_all_clean();
    expect_why("web2 ended \"cut\": forbidden by the host's new policy: the policy does not allow");
    assert_int_equal(agents[0].injects + agents[1].injects, 0);
}

/* What is left, or said to be, or could not be looked at, is unclean, and not a line. */
static void test_something_is_left(void **state)
{
    static const enum mood moods[] = {LEAVES_SOMETHING, SAYS_LEFT, COMPARES_NOTHING};
    (void)state;
    for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++) {
        agents_reset();
        agents[1].mood = moods[i];
        assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_UNCLEAN);
        assert_true(agents[1].reverts > 1);
        assert_true(ended.unclean[1] && !ended.unclean[0] && !ended.unclean[2]);
        assert_true(ended.removed_boot_ns[1] == 0);
        bool is_seen_to_fail = moods[i] == LEAVES_SOMETHING;
        expect_why(is_seen_to_fail ? "\"cut\" failed: not all of it could be undone"
                                   : "the method ran to its end");
        assert_int_equal(count_events(SQ_EVENT_DECISION, "unclean"), 1);
    }
}

/* Only when it is to be taken away does the agent find that it was not there any more. */
static void test_something_vanished(void **state)
{
    (void)state;
    agents[1].mood = FINDS_IT_GONE;
    assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_FAILED);
    expect_why("web2: \"cut\" failed: somebody took it away");
}

/* An order to inject, or its answer, that is lost once costs nothing: it is given again, for the same moment.
 */
static void test_a_lost_order_is_given_again(void **state)
{
    (void)state;
    for (int answer = 0; answer < 2; answer++) {
        agents_reset();
        uint32_t *to_lose = answer == 0 ? agents[1].requests_to_lose : agents[1].answers_to_lose;
        to_lose[SQ_VERB_INJECT] = 1;
        assert_int_equal(run(no_hypothesis, "1s"), SQ_EXIT_COMPLETED);
        expect_all_clean();
        assert_int_equal(agents[1].injects, answer == 0 ? 1 : 2);
        assert_int_equal(agents[0].injects, 1);
        /* What begins later ends with the others. */
        assert_int_equal(agents[1].faults[0].report.end_reason,
                         answer == 0 ? SQ_END_ORDERED : SQ_END_DURATION);
        /* Injected once, and not a second time for a second order. */
        assert_int_equal(count_events(SQ_EVENT_FAULT, "INJECTED"), 3);
        assert_int_equal(count_events(SQ_EVENT_REQUEST, "inject"), 4);
    }
}

/* No answer to an order comes, but renewals show that it was obeyed. */
static void test_all_answers_to_the_order_are_lost(void **state)
{
    (void)state;
    agents[1].answers_to_lose[SQ_VERB_INJECT] = 1000;
    assert_int_equal(run(no_hypothesis, "3s"), SQ_EXIT_COMPLETED);
    expect_all_clean();
    assert_true(agents[1].injects > 2 && agents[1].injects < 10);
    assert_int_equal(agents[1].faults[0].report.end_reason, SQ_END_DURATION);
}

/* No order arrives, renewals do: the fault is not where it should be, and the run says so. */
static void test_all_orders_are_lost(void **state)
{
    (void)state;
    agents[1].requests_to_lose[SQ_VERB_INJECT] = 1000;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    assert_int_equal(agents[1].injects, 0);
    expect_why("web2 did not inject \"cut\" at its time, ordered ");
}

/* Nothing at all comes back any more: at most a lease, then the faults have ended. */
static void test_all_is_lost(void **state)
{
    (void)state;
    for (size_t verb = 0; verb <= SQ_VERB_MAX; verb++)
        if (verb != SQ_VERB_HELLO && verb != SQ_VERB_PREPARE)
            agents[1].requests_to_lose[verb] = 1000;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_UNCLEAN);
    expect_why("web2 did not answer for a whole lease (500ms)");
    assert_true(ended.unclean[1] && !ended.unclean[0]);
}

/* The answer to the first REVERT is lost: it is asked again, and nothing is unclean. */
static void test_a_lost_answer_to_the_rollback(void **state)
{
    (void)state;
    agents[0].answers_to_lose[SQ_VERB_REVERT] = 1;
    agents[2].requests_to_lose[SQ_VERB_REVERT] = 1;
    assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
    assert_int_equal(agents[0].reverts, 2);
    assert_int_equal(agents[2].reverts, 1);
}

int main(void)
{
    struct sq_error error;
    if (sq_run_block_signals(&signal_fd, &error) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_one_refuses),
        RUN_TEST(test_one_is_old),
        RUN_TEST(test_one_fails_to_inject),
        RUN_TEST(test_one_goes_away),
        RUN_TEST(test_one_restarts),
        RUN_TEST(test_one_is_halted),
        RUN_TEST(test_one_never_hears_the_order),
        RUN_TEST(test_one_forbids),
        RUN_TEST(test_one_forbids_beforehand),
        RUN_TEST(test_something_is_left),
        RUN_TEST(test_something_vanished),
        RUN_TEST(test_a_lost_order_is_given_again),
        RUN_TEST(test_all_answers_to_the_order_are_lost),
        RUN_TEST(test_all_orders_are_lost),
        RUN_TEST(test_all_is_lost),
        RUN_TEST(test_a_lost_answer_to_the_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
