/* libraries: sq_experiment_fixture */
/* Whose orders are obeyed, for how long an order holds, and what is never forgotten. */
#include "experiment_fixture.h"

#include <string.h>

#define MINUTE (60 * SECOND)

static const enum sq_verb owners_verbs[] = {SQ_VERB_PREPARE, SQ_VERB_INJECT, SQ_VERB_RENEW, SQ_VERB_REVERT};
#define OWNERS_VERBS (sizeof owners_verbs / sizeof owners_verbs[0])

/* A stranger who knows the id, the content, and all but one bit of the token. */
static void test_strangers_order_nothing(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    expect_calls("vp");
    uint64_t lease_ns = reply.lease_boot_ns;
    for (size_t i = 0; i < OWNERS_VERBS; i++) {
        order(owners_verbs[i] == SQ_VERB_PREPARE, 30 * SECOND);
        request.token = (struct sq_id){{1, 7, [15] = 1}};
        assert_int_equal(ask(owners_verbs[i], 1), SQ_CONFLICT);
        assert_non_null(strstr(reply.message, "only who prepared it may"));
        assert_int_equal(reply.fault_count, 0);
    }
    assert_int_equal(experiments.current->lease_boot_ns, lease_ns);
    expect_calls("");
    /* Who prepared it is obeyed, also again. */
    order(1, 30 * SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    inject(1);
    expect_calls("i");
    /* Over, and still nobody else's; but anybody may stop what is in. */
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    expect_calls("c");
    request.token = (struct sq_id){{9}};
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_CONFLICT);
    expect_calls("");
}

/* What a controller of version 1 prepares has no token; what has one is deaf to orders without. */
static void test_versions_do_not_mix(void **state)
{
    (void)state;
    version = 1;
    prepare(1, 1, 30 * SECOND);
    expect_calls("vp");
    assert_int_equal(experiments.current->prepared_until_boot_ns, now_ns + SQ_PREPARED_MAX_NS);
    version = 2;
    for (size_t i = 1; i < OWNERS_VERBS; i++)
        assert_int_equal(ask(owners_verbs[i], 1), SQ_CONFLICT);
    version = 1;
    request.lease_ns = SECOND;
    assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    inject(1);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_calls("ic");
    remove_all();
    version = 2;
    prepare(2, 1, 30 * SECOND);
    memset(calls, 0, sizeof calls);
    version = 1;
    for (size_t i = 1; i < OWNERS_VERBS; i++)
        assert_int_equal(ask(owners_verbs[i], 2), SQ_CONFLICT);
    expect_calls("");
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    expect_calls("c");
}

static void test_orders_hold_for_minutes(void **state)
{
    (void)state;
    order(1, SECOND);
    request.not_after_boot_ns = now_ns + SQ_NOT_AFTER_MAX_NS + 1;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_LIMIT);
    request.not_after_boot_ns = UINT64_MAX;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_LIMIT);
    request.not_after_boot_ns = now_ns + SQ_NOT_AFTER_MAX_NS;
    request.prepared_until_boot_ns = now_ns + SQ_PREPARED_MAX_NS + 1;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_LIMIT);
    expect_calls("");
    request.prepared_until_boot_ns = now_ns + SQ_PREPARED_MAX_NS;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    memset(&request, 0, sizeof request);
    request.not_after_boot_ns = now_ns + SQ_NOT_AFTER_MAX_NS + 1;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_LIMIT);
    expect_calls("vp");
}

/* As the wire would bring them: any id, no matter whose. */
static enum sq_code revert_unknown(uint32_t number)
{
    memset(&request, 0, sizeof request);
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = SQ_VERB_REVERT;
    request.instance = experiments.world.instance;
    request.token.bytes[0] = 1;
    memcpy(request.experiment.bytes, &number, sizeof number);
    request.experiment.bytes[15] = 1;
    sq_experiments_handle(&experiments, &request, &reply);
    return reply.code;
}

/* 65 of them made the agent forget what had ended, and take an old PREPARE once more. */
static void test_unknown_ids_push_nothing_out(void **state)
{
    (void)state;
    assert_int_equal(ask(SQ_VERB_REVERT, 9), SQ_UNKNOWN);
    prepare(1, 1, SECOND);
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    remove_all();
    prepare(2, 1, SECOND); /* its report makes room: only the id of 1 is left */
    assert_int_equal(ask(SQ_VERB_REVERT, 2), SQ_OK);
    remove_all();
    memset(calls, 0, sizeof calls);
    for (uint32_t i = 1; i < SQ_BARRED_MAX; i++)
        assert_int_equal(revert_unknown(i), SQ_UNKNOWN);
    assert_int_equal(revert_unknown(7), SQ_STALE);
    assert_int_equal(revert_unknown(SQ_BARRED_MAX), SQ_LIMIT); /* refused, rather than forget another one */
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_HALT, 77), SQ_LIMIT);
    static const uint8_t ids[] = {1, 2, 9};
    for (size_t i = 0; i < sizeof ids; i++) {
        order(1, SECOND);
        assert_int_equal(ask(SQ_VERB_PREPARE, ids[i]), SQ_STALE);
    }
    /* After two minutes what was late is too late by its own date. */
    pass(SQ_NOT_AFTER_MAX_NS);
    assert_int_equal(revert_unknown(SQ_BARRED_MAX), SQ_UNKNOWN);
    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_STALE);
    expect_calls("");
}

/* So many experiments that one would have to be forgotten too early: the next one is refused instead. */
static void test_ended_ids_are_kept(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SQ_ENDED_MAX; i++) {
        struct sq_id id = {{0, (uint8_t)i, (uint8_t)(i >> 8), 1}};
        sq_ended_add(&experiments.ended, &id, now_ns);
    }
    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_LIMIT);
    assert_non_null(strstr(reply.message, "try again in 120"));
    pass(SQ_NOT_AFTER_MAX_NS - 1);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_LIMIT);
    expect_calls("");
    pass(1);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    expect_calls("vp");
}

/* Renewed for ever, and never injected: the host is free again when the experiment's time is over. */
static void test_prepared_ends(void **state)
{
    (void)state;
    policy.max_duration_ns = 60 * MINUTE;
    order(2, 40 * MINUTE);
    request.prepared_until_boot_ns = now_ns + 20 * MINUTE;
    request.lease_ns = 10 * MINUTE;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    memset(&request, 0, sizeof request);
    request.fault_mask = 1u << 3;
    request.at_boot_ns = now_ns + 20 * MINUTE;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_LIMIT);
    request.fault_mask = 1u << 2;
    request.at_boot_ns = 0;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    expect_calls("vvppi");
    for (int i = 0; i < 2; i++) {
        pass(9 * MINUTE);
        memset(&request, 0, sizeof request);
        request.lease_ns = 10 * MINUTE;
        assert_int_equal(ask(SQ_VERB_RENEW, 1), SQ_OK);
    }
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + 2 * MINUTE);
    expect_calls("nn");
    pass(2 * MINUTE);
    expect_calls("c");
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    assert_int_equal(reply.faults[1].end_reason, SQ_END_UNUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_strangers_order_nothing), TEST(test_versions_do_not_mix),
        TEST(test_orders_hold_for_minutes), TEST(test_unknown_ids_push_nothing_out),
        TEST(test_ended_ids_are_kept),      TEST(test_prepared_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
