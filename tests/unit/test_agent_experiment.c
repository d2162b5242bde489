/* libraries: sq_experiment_fixture */
/* An experiment's states, leases and times on a host. */
#include "experiment_fixture.h"

#include <string.h>

static void test_life(void **state)
{
    (void)state;
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), 0);
    prepare(1, 1, 30 * SECOND);
    expect_calls("vp");
    assert_true(is_recorded_when_prepared);
    assert_int_equal(undo_log.live_count, 1);
    assert_int_equal(reply.lease_boot_ns, now_ns + 10 * SECOND);
    assert_string_equal(reply.title, "the title");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + 10 * SECOND);

    inject(1);
    expect_calls("i");
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    assert_int_equal(reply.faults[0].index, 2);
    assert_int_equal(deadline_ns, now_ns + 10 * SECOND);
    assert_int_equal(reply.faults[0].deadline_boot_ns, deadline_ns);

    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_calls("c");
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTING);
    assert_int_equal(reply.faults[0].clean_boot_ns, now_ns);
    assert_true(sq_experiments_removal_is_due(&experiments));
    assert_int_equal(undo_log.live_count, 1);
    remove_all();
    expect_calls("rx");
    assert_int_equal(undo_log.live_count, 0);

    /* The report stays, for STATUS by id, for a repeated REVERT, and for nobody else. */
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    assert_int_equal(reply.faults[0].end_reason, SQ_END_ORDERED);
    assert_int_equal(reply.faults[0].proof, SQ_PROOF_PROVED);
    assert_true(reply.faults[0].touched);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_equal(reply.fault_count, 1);
    assert_int_equal(ask(SQ_VERB_STATUS, 0), SQ_OK);
    assert_int_equal(reply.fault_count, 0);
    assert_true(sq_id_is_zero(&reply.experiment));
    expect_calls("");
}

static void test_final_is_final(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    remove_all();
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    order(1, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_STALE);
    expect_calls("vpcrx");
    /* Also when its report made room for another one's. */
    prepare(2, 1, SECOND);
    assert_int_equal(ask(SQ_VERB_REVERT, 2), SQ_OK);
    remove_all();
    order(1, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_STALE);
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_STALE);
}

/* A revert that overtakes its prepare keeps it from ever starting. */
static void test_revert_before_prepare(void **state)
{
    (void)state;
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_REVERT, 5), SQ_UNKNOWN);
    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 5), SQ_STALE);
    expect_calls("");
}

static void test_repeats(void **state)
{
    (void)state;
    prepare(1, 2, 30 * SECOND);
    expect_calls("vvpp");
    order(2, 30 * SECOND);
    now_ns += SECOND;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    assert_int_equal(reply.fault_count, 2);
    assert_int_equal(reply.lease_boot_ns, now_ns + 9 * SECOND);
    request.faults[1].spec.kill.seed = 77;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_CONFLICT);
    order(1, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_CONFLICT);
    expect_calls("");
    inject(1);
    expect_calls("ii");
    inject(1);
    expect_calls("");
    order(2, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    expect_calls("");
}

static void test_conflict(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 2), SQ_CONFLICT);
    assert_non_null(strstr(reply.message, "the title"));
    assert_non_null(strstr(reply.message, "ann@desk"));
    assert_int_equal(ask(SQ_VERB_PREVIEW, 2), SQ_CONFLICT);
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_INJECT, 2), SQ_UNKNOWN);
    request.lease_ns = SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 2), SQ_UNKNOWN);
    assert_int_equal(ask(SQ_VERB_STATUS, 2), SQ_UNKNOWN);
    assert_int_equal(ask(SQ_VERB_REVERT, 2), SQ_UNKNOWN);
    assert_true(sq_experiments_is_live(&experiments));
    expect_calls("vp");
}

/* At a renewal it is failed at once; at the removal it did not hold to the end. Both say when it was there.
 */
static void test_vanished(void **state)
{
    (void)state;
    for (uint8_t id = 1; id <= 3; id++) {
        is_taken_away = false;
        prepare(id, 1, 30 * SECOND);
        if (id < 3)
            inject(id);
        pass(SECOND);
        request.lease_ns = 10 * SECOND;
        assert_int_equal(ask(SQ_VERB_RENEW, id), SQ_OK);
        uint64_t seen_ns = now_ns;
        pass(2 * SECOND);
        is_taken_away = true;
        request.lease_ns = 10 * SECOND;
        if (id != 2) {
            assert_int_equal(ask(SQ_VERB_RENEW, id), SQ_VANISHED);
            assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTING);
            assert_int_equal(reply.faults[0].end_reason, SQ_END_FAILURE);
        } else {
            assert_int_equal(ask(SQ_VERB_REVERT, id), SQ_OK);
        }
        remove_all();
        assert_int_equal(ask(SQ_VERB_STATUS, id), SQ_OK);
        assert_int_equal(reply.faults[0].state, SQ_STATE_FAILED);
        assert_int_equal(reply.faults[0].code, SQ_VANISHED);
        assert_int_equal(reply.faults[0].seen_boot_ns, seen_ns);
        assert_non_null(
            strstr(reply.faults[0].message, "somebody took it away; 2.00s ago all of it was seen"));
    }
}

static void test_stale(void **state)
{
    static const enum sq_verb verbs[] = {SQ_VERB_PREPARE, SQ_VERB_INJECT, SQ_VERB_RENEW, SQ_VERB_REVERT};
    (void)state;
    prepare(1, 1, 30 * SECOND);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        request.version = SQ_PROTOCOL_VERSION;
        request.verb = verbs[i];
        request.instance = (struct sq_id){{41}};
        request.experiment = (struct sq_id){{1}};
        assert_true(sq_experiments_handle(&experiments, &request, &reply));
        assert_int_equal(reply.code, SQ_STALE);
    }
    memset(&request, 0, sizeof request);
    request.not_after_boot_ns = now_ns - 1;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    expect_calls("vp");
    request.not_after_boot_ns = now_ns;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    expect_calls("i");
}

static void test_lease(void **state)
{
    (void)state;
    prepare(1, 2, 60 * SECOND);
    inject(1);
    expect_calls("vvppii");
    pass(9 * SECOND);
    request.lease_ns = 5 * SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    expect_calls("nn");
    assert_int_equal(deadline_ns, now_ns + 5 * SECOND);
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + 5 * SECOND);
    pass(5 * SECOND - 1);
    expect_calls("");
    pass(1);
    expect_calls("cc");
    remove_all();
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_STALE);
    assert_int_equal(reply.faults[1].end_reason, SQ_END_LEASE);
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), 0);
}

/* A lease that ran out while nobody looked ends before the request is heard that came after it. */
static void test_late_renewal(void **state)
{
    (void)state;
    prepare(1, 1, 60 * SECOND);
    inject(1);
    now_ns += 10 * SECOND;
    request.lease_ns = 10 * SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_STALE);
    expect_calls("vpic");
}

static void test_prepared_only_expires(void **state)
{
    (void)state;
    prepare(1, 1, 60 * SECOND);
    pass(10 * SECOND);
    expect_calls("vpc");
    remove_all();
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    assert_int_equal(reply.faults[0].end_reason, SQ_END_LEASE);
    expect_calls("rx");
}

/* However often it is renewed, no deadline passes injection + duration, and its end is no failure. */
static void test_duration(void **state)
{
    (void)state;
    prepare(1, 1, 12 * SECOND);
    inject(1);
    uint64_t injected_ns = now_ns;
    for (int i = 0; i < 11; i++) {
        pass(SECOND);
        request.lease_ns = 10 * SECOND;
        assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
        assert_true(deadline_ns <= injected_ns + 12 * SECOND);
    }
    assert_int_equal(deadline_ns, injected_ns + 12 * SECOND);
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), injected_ns + 12 * SECOND);
    /* A deadline that does not move needs no call. */
    expect_calls("vpinn");
    pass(SECOND);
    expect_calls("c");
    remove_all();
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    assert_int_equal(reply.faults[0].end_reason, SQ_END_DURATION);
}

static void test_times_and_masks(void **state)
{
    (void)state;
    prepare(1, 2, 3 * SECOND);
    request.fault_mask = 1u << 2;
    request.at_boot_ns = now_ns + SECOND;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    request.fault_mask = 1u << 3;
    request.at_boot_ns = now_ns + 2 * SECOND;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    expect_calls("vvpp");
    /* The first request sets the time. */
    request.fault_mask = 0;
    request.at_boot_ns = 0;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    expect_calls("");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + SECOND);
    pass(SECOND);
    expect_calls("i");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + SECOND);
    pass(SECOND);
    expect_calls("i");
    pass(2 * SECOND);
    expect_calls("c");
    request.fault_mask = 1u << 2;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTING);
    assert_int_equal(reply.faults[1].state, SQ_STATE_INJECTED);
    request.fault_mask = 1u << 7;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_UNKNOWN);
    request.fault_mask = 1u << 3;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_calls("c");
    remove_all();
    expect_calls("rxrx");
}

/* All are clean before the first one is removed, and a halt is for everybody's experiment. */
static void test_halt(void **state)
{
    (void)state;
    prepare(1, 3, 60 * SECOND);
    request.fault_mask = 1u << 3;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    request.fault_mask = 1u << 4;
    request.at_boot_ns = now_ns + SECOND;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    expect_calls("vvvpppi");
    memset(&request, 0, sizeof request);
    now_ns += 2 * SECOND;
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    /* What had come due meanwhile does not begin any more. */
    expect_calls("ccc");
    assert_int_equal(reply.fault_count, 3);
    assert_int_equal(reply.faults[0].end_reason, SQ_END_HALT);
    remove_all();
    expect_calls("rxrxrx");
    order(3, 60 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_STALE);
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    assert_int_equal(reply.fault_count, 0);
    expect_calls("");
}

/* What is still on its way is waited for, by nobody but the removal, and by none who cannot wait. */
static void test_removal_waits_until_settled(void **state)
{
    (void)state;
    prepare(1, 1, 60 * SECOND);
    inject(1);
    settled_ns = now_ns + 3 * SECOND;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_equal(reply.faults[0].clean_boot_ns, now_ns);
    expect_calls("vpic");
    assert_true(sq_experiments_removal_is_ready(&experiments));
    assert_false(sq_experiments_remove_settled(&experiments));
    assert_false(sq_experiments_removal_is_ready(&experiments));
    assert_true(sq_experiments_removal_is_due(&experiments));
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), settled_ns);
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTING);
    pass(2 * SECOND);
    assert_false(sq_experiments_remove_settled(&experiments));
    expect_calls("");
    pass(SECOND);
    assert_true(sq_experiments_removal_is_ready(&experiments));
    assert_true(sq_experiments_remove_settled(&experiments));
    expect_calls("rx");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), 0);
    assert_false(sq_experiments_remove_settled(&experiments));

    prepare(2, 2, 60 * SECOND);
    settled_ns = now_ns + 3 * SECOND;
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    assert_false(sq_experiments_remove_settled(&experiments));
    remove_all();
    expect_calls("vvppccrxrx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_final_is_final),
        TEST(test_revert_before_prepare),
        TEST(test_repeats),
        TEST(test_conflict),
        TEST(test_vanished),
        TEST(test_stale),
        TEST(test_lease),
        TEST(test_late_renewal),
        TEST(test_prepared_only_expires),
        TEST(test_duration),
        TEST(test_times_and_masks),
        TEST(test_halt),
        TEST(test_removal_waits_until_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
