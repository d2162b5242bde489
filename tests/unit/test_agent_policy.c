/* libraries: sq_experiment_fixture */
/* A policy that is read again: what it makes of what is prepared, on its way, or in. */
#include "experiment_fixture.h"

#include <string.h>

/* One that is in, one that is prepared. */
static void prepare_two(uint64_t first_ns, uint64_t second_ns)
{
    order(2, first_ns);
    request.faults[1].duration_ns = second_ns;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    memset(&request, 0, sizeof request);
    request.fault_mask = 1u << 2;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    memset(&request, 0, sizeof request);
    memset(calls, 0, sizeof calls);
}

static void expect_forbidden(const struct sq_fault_report *report, const char *why)
{
    assert_int_equal(report->end_reason, SQ_END_POLICY);
    assert_int_equal(report->state, SQ_STATE_REVERTED);
    assert_int_equal(report->code, SQ_OK);
    assert_non_null(strstr(report->message, why));
    const struct sq_report_line *last = &report->lines[report->line_count - 1];
    assert_int_equal(last->kind, SQ_LINE_NOTE);
    assert_non_null(strstr(last->text, "forbidden by the host's new policy: "));
}

static void test_nothing_is_allowed_any_more(void **state)
{
    (void)state;
    prepare_two(30 * SECOND, 30 * SECOND);
    policy.allowed[SQ_PROCESS_KILL] = false;
    sq_experiments_judge(&experiments);
    expect_calls("cc");
    remove_all();
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    expect_forbidden(&reply.faults[0], "does not allow process.kill");
    expect_forbidden(&reply.faults[1], "does not allow process.kill");
    memset(calls, 0, sizeof calls);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    request.lease_ns = SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_STALE);
    assert_non_null(strstr(reply.message, "forbidden by the host's new policy"));
    policy.allowed[SQ_PROCESS_KILL] = true;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    expect_calls("");
    assert_int_equal(undo_log.live_count, 0);
    prepare(2, 1, SECOND);
}

static void test_unreadable_allows_nothing(void **state)
{
    (void)state;
    prepare_two(30 * SECOND, 30 * SECOND);
    (void)strcpy(policy.problem, "policy.yaml:1:1: what is this");
    sq_experiments_judge(&experiments);
    expect_calls("cc");
    remove_all();
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    expect_forbidden(&reply.faults[1], "what is this");
}

static void test_shorter(void **state)
{
    (void)state;
    prepare_two(30 * SECOND, 10 * SECOND);
    policy.max_duration_ns = 20 * SECOND;
    sq_experiments_judge(&experiments);
    expect_calls("cj");
    remove_all();
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    expect_forbidden(&reply.faults[0], "max-duration");
    assert_int_equal(reply.faults[1].state, SQ_STATE_PREPARED);
}

/* What is protected, each fault compares with what it was made for. */
static void test_protected_now(void **state)
{
    (void)state;
    policy.protection.port_count = 1;
    prepare_two(30 * SECOND, 30 * SECOND);
    policy.protection.port_count = 3;
    sq_experiments_judge(&experiments);
    expect_calls("jj");
    assert_int_equal(ports_before, 1);
    assert_int_equal(ports_now, 3);
    assert_int_equal(experiments.current->faults[1].report.state, SQ_STATE_PREPARED);
    fail_call = 'j';
    fail_slot = 1;
    sq_experiments_judge(&experiments);
    expect_calls("jjc");
    remove_all();
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    expect_forbidden(&reply.faults[1], "fake j fails");
}

/* All or none, on the way too. */
static void test_while_it_is_prepared(void **state)
{
    (void)state;
    ready_ns = now_ns + SECOND;
    order(2, 30 * SECOND);
    assert_false(hand_over(SQ_VERB_PREPARE, 1));
    policy.max_duration_ns = SECOND;
    sq_experiments_judge(&experiments);
    assert_true(sq_experiments_answer_prepare(&experiments, &sent, &reply));
    assert_int_equal(reply.code, SQ_POLICY);
    assert_non_null(strstr(reply.message, "max-duration"));
    expect_calls("vvpc");
    remove_all();
    assert_int_equal(undo_log.live_count, 0);
    assert_false(sq_experiments_is_live(&experiments));
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
}

/* Whoever changes the policy without a word: an injection asks it once more, also one at a time. */
static void test_inject_asks_again(void **state)
{
    (void)state;
    prepare(1, 2, 30 * SECOND);
    request.fault_mask = 1u << 3;
    request.at_boot_ns = now_ns + SECOND;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    memset(calls, 0, sizeof calls);
    policy.allowed[SQ_PROCESS_KILL] = false;
    memset(&request, 0, sizeof request);
    request.fault_mask = 1u << 2;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_POLICY);
    assert_non_null(strstr(reply.message, "does not allow process.kill"));
    expect_calls("c");
    pass(SECOND);
    expect_calls("c");
    assert_int_equal(experiments.current->faults[1].report.end_reason, SQ_END_POLICY);
}

static void test_nothing_to_judge(void **state)
{
    (void)state;
    sq_experiments_judge(&experiments);
    prepare(1, 1, SECOND);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    memset(calls, 0, sizeof calls);
    policy.allowed[SQ_PROCESS_KILL] = false;
    sq_experiments_judge(&experiments);
    expect_calls("");
    remove_all();
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[0].end_reason, SQ_END_ORDERED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_allowed_any_more),
        TEST(test_unreadable_allows_nothing),
        TEST(test_shorter),
        TEST(test_protected_now),
        TEST(test_while_it_is_prepared),
        TEST(test_inject_asks_again),
        TEST(test_nothing_to_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
