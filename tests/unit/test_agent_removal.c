/* libraries: sq_experiment_fixture */
/* What cannot be removed is tried again by itself, and holds nothing up meanwhile. */
#include "experiment_fixture.h"

#include <string.h>

/* As the event loop does. */
static void turn_until(uint64_t until_ns)
{
    for (;;) {
        uint64_t next_ns = sq_experiments_next_boot_ns(&experiments);
        if (next_ns == 0 || next_ns > until_ns)
            break;
        if (next_ns > now_ns)
            now_ns = next_ns;
        sq_experiments_tick(&experiments);
        if (!sq_experiments_remove_settled(&experiments))
            assert_true(sq_experiments_next_boot_ns(&experiments) > now_ns);
    }
    now_ns = until_ns;
}

static struct sq_fault_report *report_of(uint32_t i)
{
    return &experiments.current->faults[i].report;
}

static void leave_one(void)
{
    prepare(1, 2, 30 * SECOND);
    inject(1);
    fail_call = 'r';
    fail_slot = 1;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    memset(calls, 0, sizeof calls);
    turn_until(now_ns);
    /* The other one is removed all the same. */
    expect_calls("rxrx");
    assert_int_equal(report_of(0)->state, SQ_STATE_REVERTED);
    assert_int_equal(report_of(1)->state, SQ_STATE_FAILED);
    assert_int_equal(report_of(1)->code, SQ_UNCLEAN);
}

static void test_tried_again_with_growing_pauses(void **state)
{
    static const uint64_t pauses_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    (void)state;
    leave_one();
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        uint64_t at_ns = now_ns + pauses_ms[i] * SQ_NS_PER_MILLISECOND;
        assert_int_equal(sq_experiments_next_boot_ns(&experiments), at_ns);
        turn_until(at_ns);
        expect_calls("r");
    }
    fail_call = 0;
    turn_until(now_ns + 10 * SECOND);
    expect_calls("r");
    assert_int_equal(report_of(1)->state, SQ_STATE_REVERTED);
    assert_int_equal(report_of(1)->code, SQ_OK);
    assert_string_equal(report_of(1)->message, "");
    assert_int_equal(undo_log.live_count, 0);
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), 0);
}

/* Why it failed in the first place is not forgotten when it is gone at last. */
static void test_earlier_failure_stays(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    fail_call = 'i';
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_UNABLE);
    fail_call = 'r';
    turn_until(now_ns + SECOND);
    assert_int_equal(report_of(0)->code, SQ_UNCLEAN);
    fail_call = 0;
    turn_until(now_ns + 2 * SECOND);
    assert_int_equal(report_of(0)->state, SQ_STATE_FAILED);
    assert_int_equal(report_of(0)->code, SQ_UNABLE);
    assert_string_equal(report_of(0)->message, "fake i fails");
    assert_int_equal(report_of(0)->line_count, 1);
    assert_int_equal(undo_log.live_count, 0);
}

/* One that cannot be removed delays neither the end nor the removal of another. */
static void test_others_go_on(void **state)
{
    (void)state;
    prepare(1, 2, 30 * SECOND);
    inject(1);
    fail_call = 'r';
    fail_slot = 1;
    request.fault_mask = 1u << 3;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    turn_until(now_ns + 5 * SECOND);
    memset(calls, 0, sizeof calls);
    memset(&request, 0, sizeof request);
    request.lease_ns = 10 * SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    expect_calls("n");
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_UNCLEAN);
    /* Clean first, then what is left is tried at once. */
    expect_calls("cr");
}

static void test_hurry(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    inject(1);
    settled_ns = now_ns + 9 * SECOND;
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    uint64_t by_ns = now_ns + 2 * SECOND;
    sq_experiments_hurry(&experiments, by_ns);
    turn_until(by_ns - 1);
    assert_true(sq_experiments_removal_is_due(&experiments));
    turn_until(by_ns);
    assert_false(sq_experiments_removal_is_due(&experiments));
}

/* A new experiment waits for what was before, within a bound, and nobody is held up by it. */
static void test_new_experiment_waits(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    settled_ns = now_ns + 9 * SECOND;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    memset(calls, 0, sizeof calls);
    uint64_t begun_ns = now_ns;
    prepare(2, 1, 30 * SECOND);
    expect_calls("rxvp");
    assert_int_equal(now_ns, begun_ns + 2 * SECOND);

    /* A halt ends one that still waits, too. */
    assert_int_equal(ask(SQ_VERB_REVERT, 2), SQ_OK);
    order(1, 30 * SECOND);
    memset(calls, 0, sizeof calls);
    settled_ns = now_ns + 9 * SECOND;
    assert_false(hand_over(SQ_VERB_PREPARE, 3));
    assert_false(sq_experiments_answer_prepare(&experiments, &sent, &reply));
    static struct sq_request prepare_request;
    prepare_request = sent;
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    assert_true(sq_experiments_answer_prepare(&experiments, &prepare_request, &reply));
    assert_int_equal(reply.code, SQ_STALE);
    assert_int_equal(reply.fault_count, 0);
    turn_until(now_ns + 5 * SECOND);
    expect_calls("rx");
    /* Nor does it begin when it is sent once more. */
    order(1, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 3), SQ_STALE);
    expect_calls("");
}

/* Of an earlier life of the agent. */
static void test_leftovers_are_tried_again(void **state)
{
    struct sq_error error;
    struct sq_undo_key key = {.experiment = {{9}}};
    static struct sq_undo undo = {.kind = SQ_PROCESS_KILL};
    (void)state;
    assert_int_equal(sq_undo_log_record(&undo_log, &key, &undo, &error), 0);
    turn_until(now_ns + SECOND);
    assert_int_equal(recoveries, 4);
    turn_until(now_ns + 100 * SECOND);
    assert_in_range(recoveries, 15, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tried_again_with_growing_pauses),
        TEST(test_earlier_failure_stays),
        TEST(test_others_go_on),
        TEST(test_hurry),
        TEST(test_new_experiment_waits),
        TEST(test_leftovers_are_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
