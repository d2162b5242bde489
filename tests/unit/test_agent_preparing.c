/* libraries: sq_experiment_fixture */
/* A PREPARE that takes its time: what is served meanwhile, and how it ends. */
#include "experiment_fixture.h"

#include <string.h>

static struct sq_request begun;

/* Begin to prepare two faults that will be there after so long. */
static void begin(uint64_t after_ns)
{
    ready_ns = now_ns + after_ns;
    order(2, 30 * SECOND);
    assert_false(hand_over(SQ_VERB_PREPARE, 1));
    begun = sent;
    expect_calls("vvp");
    /* One fault a turn, and every turn comes at once. */
    assert_true(sq_experiments_next_boot_ns(&experiments) <= now_ns);
    pass(0);
    expect_calls("pqq");
    assert_false(sq_experiments_answer_prepare(&experiments, &begun, &reply));
    memset(&request, 0, sizeof request);
}

static void test_answer_comes_when_all_is_there(void **state)
{
    (void)state;
    begin(SECOND);
    /* Meanwhile it is here, and asked for, and cannot be injected. */
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_NONE);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_CONFLICT);
    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 2), SQ_CONFLICT);
    memset(calls, 0, sizeof calls);
    /* It is asked again soon, and not all the time. */
    unsigned asked = 0;
    while (!sq_experiments_answer_prepare(&experiments, &begun, &reply)) {
        assert_true(sq_experiments_next_boot_ns(&experiments) > now_ns);
        now_ns = sq_experiments_next_boot_ns(&experiments);
        sq_experiments_tick(&experiments);
        asked++;
    }
    assert_in_range(asked, 10, 100);
    assert_in_range(now_ns, ready_ns, ready_ns + 20 * SQ_NS_PER_MILLISECOND);
    assert_int_equal(reply.code, SQ_OK);
    assert_int_equal(reply.verb, SQ_VERB_PREPARE);
    assert_int_equal(reply.faults[1].state, SQ_STATE_PREPARED);
    assert_int_equal(reply.faults[1].prepared_boot_ns, now_ns);
    inject(1);
}

/* Whoever repeats the request waits for the same answer. */
static void test_repeated(void **state)
{
    (void)state;
    begin(SECOND);
    order(2, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_PREPARED);
    assert_true(now_ns >= ready_ns);
}

static void assert_over(enum sq_code code, const char *why)
{
    assert_true(sq_experiments_answer_prepare(&experiments, &begun, &reply));
    assert_int_equal(reply.code, code);
    if (strstr(reply.message, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, reply.message);
    remove_all();
    assert_int_equal(undo_log.live_count, 0);
    assert_false(sq_experiments_is_live(&experiments));
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), 0);
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
}

static void test_halt_ends_it(void **state)
{
    (void)state;
    begin(SECOND);
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    expect_calls("cc");
    assert_over(SQ_STALE, "halt");
    expect_calls("rxrx");
}

static void test_revert_of_one_ends_all(void **state)
{
    (void)state;
    begin(SECOND);
    request.fault_mask = 1u << 2;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_calls("cc");
    assert_over(SQ_STALE, "order");
}

static void test_lease_ends_it(void **state)
{
    (void)state;
    begin(4 * SECOND);
    experiments.current->lease_boot_ns = now_ns + SECOND;
    pass(SECOND);
    assert_over(SQ_STALE, "lease");
}

static void test_too_slow(void **state)
{
    (void)state;
    begin(60 * SECOND);
    pass(5 * SECOND);
    assert_over(SQ_TIMEOUT, "5 s");
}

static void test_one_fails_on_the_way(void **state)
{
    (void)state;
    begin(SECOND);
    fail_call = 'q';
    fail_slot = 1;
    pass(SECOND / 10);
    expect_calls("qqccrxrx");
    assert_over(SQ_UNABLE, "fake q fails");
}

/* All or none, also where one that was there first is over before the last one is there. */
static void test_one_is_over_before_all_are_there(void **state)
{
    (void)state;
    begin(SECOND);
    experiments.current->faults[0].is_being_prepared = false;
    experiments.current->faults[0].report.state = SQ_STATE_PREPARED;
    experiments.current->prepared_until_boot_ns = now_ns + SECOND / 2;
    pass(SECOND / 2);
    assert_false(sq_experiments_answer_prepare(&experiments, &begun, &reply));
    pass(SECOND);
    assert_over(SQ_STALE, "fault 2 has ended while the others were prepared");
}

/* While it is in and while it is removed, when it wants to be, and never after. */
static void test_attend(void **state)
{
    (void)state;
    ready_ns = now_ns;
    prepare(1, 1, 30 * SECOND);
    pass(SECOND);
    expect_calls("vpq");
    inject(1);
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns);
    pass(0);
    expect_calls("it");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + SECOND);
    pass(SECOND - 1);
    expect_calls("");
    pass(1);
    expect_calls("t");
    settled_ns = now_ns + 5 * SECOND;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_false(sq_experiments_remove_settled(&experiments));
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + SECOND);
    pass(SECOND);
    expect_calls("ct");
    remove_all();
    pass(9 * SECOND);
    expect_calls("rx");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answer_comes_when_all_is_there),
        TEST(test_repeated),
        TEST(test_halt_ends_it),
        TEST(test_revert_of_one_ends_all),
        TEST(test_lease_ends_it),
        TEST(test_too_slow),
        TEST(test_one_fails_on_the_way),
        TEST(test_one_is_over_before_all_are_there),
        TEST(test_attend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
