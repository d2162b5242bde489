/* libraries: sq_experiment_fixture */
/* What an experiment is refused, and how its failures end. */
#include "experiment_fixture.h"

#include <string.h>

static void test_preview(void **state)
{
    (void)state;
    order(2, SECOND);
    assert_int_equal(ask(SQ_VERB_PREVIEW, 1), SQ_OK);
    assert_int_equal(reply.fault_count, 2);
    assert_string_equal(reply.faults[1].lines[0].text, "slot 1");
    assert_true(sq_id_is_zero(&reply.experiment));
    assert_int_equal(undo_log.live_count, 0);
    assert_int_equal(undo_log.used_bytes, 0);
    expect_calls("vvxx");

    /* The one that is refused names itself, and the others are still looked at. */
    fail_call = 'v';
    fail_slot = 0;
    assert_int_equal(ask(SQ_VERB_PREVIEW, 1), SQ_UNABLE);
    assert_int_equal(reply.faults[0].code, SQ_UNABLE);
    assert_int_equal(reply.faults[1].code, SQ_OK);
    assert_string_equal(reply.message, "fake v fails");
    expect_calls("vvxx");

    fail_call = 'a';
    assert_int_equal(ask(SQ_VERB_PREVIEW, 1), SQ_UNABLE);
    assert_string_equal(reply.faults[1].message, "no module");
    fail_call = 0;
    request.faults[1].duration_ns = 61 * SECOND;
    assert_int_equal(ask(SQ_VERB_PREVIEW, 1), SQ_POLICY);
    assert_int_equal(reply.faults[0].code, SQ_OK);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_POLICY);
    policy.allowed[SQ_PROCESS_KILL] = false;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_POLICY);
    request.faults[0].spec.kind = SQ_NETWORK_PARTITION;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_UNABLE);
    assert_int_equal(undo_log.live_count, 0);
    assert_false(sq_experiments_is_live(&experiments));
}

/* One of three cannot be prepared: nothing stays of the others. */
static void test_prepare_fails(void **state)
{
    (void)state;
    order(3, SECOND);
    fail_call = 'p';
    fail_slot = 1;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_UNABLE);
    expect_calls("vvvppccrxrx");
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    assert_int_equal(reply.faults[1].state, SQ_STATE_FAILED);
    assert_int_equal(reply.faults[1].code, SQ_UNABLE);
    assert_int_equal(reply.faults[2].state, SQ_STATE_NONE);
    assert_int_equal(undo_log.live_count, 0);
    assert_false(sq_experiments_is_live(&experiments));
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_STALE);
    fail_call = 0;
    prepare(2, 1, SECOND);
}

/* Prepare two faults of the same targets and inject the first of them, which lasts a second. */
static void prepare_rivals(void)
{
    order(2, SECOND);
    request.faults[1].spec = request.faults[0].spec;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    memset(&request, 0, sizeof request);
    request.fault_mask = 1u << 2;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    expect_calls("vvppi");
    request.fault_mask = 1u << 3;
}

static void test_rivals_one_after_the_other(void **state)
{
    (void)state;
    prepare_rivals();
    now_ns += 10;
    request.at_boot_ns = now_ns + SECOND - 1000;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_OK);
    pass(SECOND - 1000);
    expect_calls("");
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + 990);
    pass(990);
    expect_calls("ci");
    assert_int_equal(experiments.current->faults[1].report.state, SQ_STATE_INJECTED);
}

static void test_rivals_at_once(void **state)
{
    (void)state;
    prepare_rivals();
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_CONFLICT);
    expect_calls("c");
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    assert_int_equal(reply.faults[1].end_reason, SQ_END_FAILURE);
}

static void test_inject_fails(void **state)
{
    (void)state;
    prepare(1, 2, 30 * SECOND);
    fail_call = 'i';
    fail_slot = 1;
    assert_int_equal(ask(SQ_VERB_INJECT, 1), SQ_UNABLE);
    expect_calls("vvppiic");
    assert_int_equal(reply.faults[0].state, SQ_STATE_INJECTED);
    remove_all();
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_equal(reply.faults[1].state, SQ_STATE_FAILED);
    assert_int_equal(reply.faults[1].end_reason, SQ_END_FAILURE);
    remove_all();
    assert_int_equal(undo_log.live_count, 0);
}

/* What cannot be made clean is removed at once; what cannot be removed stays in the log and blocks what is
 * new. */
static void test_unclean(void **state)
{
    (void)state;
    prepare(1, 2, 30 * SECOND);
    inject(1);
    expect_calls("vvppii");
    fail_call = 'c';
    fail_slot = 0;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    expect_calls("ccrx");
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTED);
    fail_call = 'r';
    fail_slot = 1;
    remove_all();
    expect_calls("rx");
    assert_int_equal(ask(SQ_VERB_STATUS, 1), SQ_OK);
    assert_int_equal(reply.faults[1].state, SQ_STATE_FAILED);
    assert_int_equal(reply.faults[1].code, SQ_UNCLEAN);
    assert_int_equal(undo_log.live_count, 1);

    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 2), SQ_UNCLEAN);
    assert_int_equal(recoveries, 1);
    expect_calls("r");
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_UNCLEAN);
    expect_calls("r");
    fail_call = 0;
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_OK);
    expect_calls("r");
    assert_int_equal(undo_log.live_count, 0);
    prepare(2, 1, SECOND);
}

/* What an earlier life left is no experiment of this one, and is still said. */
static void test_leftovers(void **state)
{
    struct sq_error error;
    struct sq_undo_key key = {.experiment = {{9}}};
    static struct sq_undo undo = {.kind = SQ_PROCESS_KILL};
    (void)state;
    assert_int_equal(sq_undo_log_record(&undo_log, &key, &undo, &error), 0);
    memset(&request, 0, sizeof request);
    assert_int_equal(ask(SQ_VERB_STATUS, 9), SQ_UNCLEAN);
    assert_int_equal(ask(SQ_VERB_STATUS, 0), SQ_UNCLEAN);
    assert_int_equal(ask(SQ_VERB_HALT, 0), SQ_UNCLEAN);
    assert_int_equal(recoveries, 1);
    order(1, SECOND);
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_UNCLEAN);
    expect_calls("");
}

static void test_spared(void **state)
{
    (void)state;
    order(1, SECOND);
    request.requester = (struct sq_requester){.family = 4, .address = {10, 0, 0, 9}, .agent_port = 7433};
    experiments.world.agent_ports[experiments.world.agent_port_count++] = 7434;
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    const struct sq_fault_env *env = &experiments.current->faults[0].env;
    assert_int_equal(env->spared_count, 1);
    assert_true(sq_cidr_is_valid(&env->spared[0].controller));
    assert_int_equal(env->spared[0].controller.prefix, 32);
    assert_int_equal(env->spared[0].agent_port, 7433);
    assert_int_equal(env->agent_port_count, 1);
    assert_int_equal(env->agent_ports[0], 7434);
}

/* Every verb in every situation gets an answer that can be sent, and only PREPARE and INJECT begin anything.
 */
/* Removing may stop the packets of the device that carries the answer. */
static void test_answers_leave_before_the_removal(void **state)
{
    (void)state;
    prepare(1, 1, 30 * SECOND);
    inject(1);
    memset(&request, 0, sizeof request);
    request.requester.family = 4;
    assert_int_equal(ask(SQ_VERB_REVERT, 1), SQ_OK);
    assert_int_equal(reply.faults[0].state, SQ_STATE_REVERTING);
    assert_false(sq_experiments_removal_is_ready(&experiments));
    assert_int_equal(sq_experiments_next_boot_ns(&experiments), now_ns + SECOND / 100);
    /* Asking all the time puts it off for 100 ms at most. */
    for (int i = 0; i < 99; i++) {
        pass(SECOND / 1000);
        (void)ask(SQ_VERB_STATUS, 1);
    }
    assert_false(sq_experiments_removal_is_ready(&experiments));
    pass(SECOND / 1000);
    assert_true(sq_experiments_removal_is_ready(&experiments));
    assert_true(sq_experiments_remove_settled(&experiments));
    assert_int_equal(experiments.current->faults[0].report.state, SQ_STATE_REVERTED);
}

static void test_every_verb_everywhere(void **state)
{
    struct sq_error error;
    (void)state;
    for (int situation = 0; situation < 4; situation++) {
        for (int verb = SQ_VERB_PREVIEW; verb <= SQ_VERB_MAX; verb++) {
            uint8_t id = (uint8_t)(1 + situation * SQ_VERB_MAX + verb);
            if (situation >= 1)
                prepare(id, 1, SECOND);
            if (situation >= 2)
                inject(id);
            if (situation == 3) {
                assert_int_equal(ask(SQ_VERB_REVERT, id), SQ_OK);
                remove_all();
            }
            memset(calls, 0, sizeof calls);
            order(1, SECOND);
            (void)ask((enum sq_verb)verb, id);
            assert_int_equal(sq_reply_check(&reply, &error), 0);
            assert_true(strchr(calls, 'i') == NULL || verb == SQ_VERB_INJECT);
            assert_true(strchr(calls, 'p') == NULL || verb == SQ_VERB_PREPARE);
            assert_true(situation < 3 || strchr(calls, 'i') == NULL);
            assert_true(situation < 3 || strchr(calls, 'p') == NULL);
            (void)ask(SQ_VERB_HALT, 0);
            remove_all();
            assert_int_equal(undo_log.live_count, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_preview),
        TEST(test_prepare_fails),
        TEST(test_rivals_one_after_the_other),
        TEST(test_rivals_at_once),
        TEST(test_inject_fails),
        TEST(test_unclean),
        TEST(test_leftovers),
        TEST(test_spared),
        TEST(test_answers_leave_before_the_removal),
        TEST(test_every_verb_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
