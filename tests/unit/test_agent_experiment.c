/* libraries: sq_injector sq_faults sq_table sq_common */
/* The experiment's states, leases and refusals, with a clock that the test sets and faults that only take
 * notes. */
#include "injector/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND SQ_NS_PER_SECOND

/* What the fake faults did, one letter a call: v preview, p prepare, i inject, n renew, c clean, r remove, x
 * release. */
static char calls[512];
static uint64_t deadline_ns;
static char fail_call;     /* this call fails ... */
static uint32_t fail_slot; /* ... for the fault of this slot */
static bool is_recorded_when_prepared;
static uint64_t now_ns;
static char directory[64];
static struct sq_undo_log undo_log;
static struct sq_undo_content content;
static struct sq_policy policy;
static struct sq_experiments experiments;
static struct sq_request request;
static struct sq_reply reply;
static int recoveries;

static int note(char call, uint32_t slot, struct sq_error *error)
{
    size_t length = strlen(calls);
    assert_true(length + 2 < sizeof calls);
    calls[length] = call;
    if (call != fail_call || slot != fail_slot)
        return 0;
    return sq_fail(error, SQ_UNABLE, "fake %c fails", call);
}

static int fake_preview(const struct sq_fault_order *order, const struct sq_fault_env *env,
                        struct sq_undo *undo, struct sq_fault_report *report, struct sq_error *error)
{
    (void)order;
    undo->kind = SQ_PROCESS_KILL;
    undo->size = 1;
    undo->bytes[0] = (uint8_t)env->slot;
    sq_report_line(report, SQ_LINE_TOUCHES, "slot %u", env->slot);
    return note('v', env->slot, error);
}

static int fake_prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                        struct sq_undo *undo, struct sq_error *error)
{
    (void)state;
    (void)order;
    is_recorded_when_prepared = undo_log.live_count > env->slot;
    if (note('p', env->slot, error) != 0)
        return -1;
    undo->size = 2;
    return env->record(env->cookie, undo, error);
}

static int fake_inject(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                       struct sq_error *error)
{
    assert_non_null(state);
    deadline_ns = deadline_boot_ns;
    return note('i', undo->bytes[0], error);
}

static int fake_renew(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                      struct sq_error *error)
{
    (void)state;
    deadline_ns = deadline_boot_ns;
    return note('n', undo->bytes[0], error);
}

static int fake_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    (void)state;
    return note('c', undo->bytes[0], error);
}

static int fake_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                       struct sq_error *error)
{
    (void)state;
    report->proved = true;
    return note('r', undo->bytes[0], error);
}

static void fake_status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    (void)state;
    (void)undo;
    report->touched = true;
}

static void fake_release(void *state)
{
    (void)state;
    (void)note('x', 99, NULL);
}

static const struct sq_fault_ops fake_ops = {
    .kind = SQ_PROCESS_KILL,
    .state_size = 64,
    .preview = fake_preview,
    .prepare = fake_prepare,
    .inject = fake_inject,
    .renew = fake_renew,
    .clean = fake_clean,
    .remove = fake_remove,
    .status = fake_status,
    .release = fake_release,
};

static const struct sq_fault_ops *ops_by_kind(enum sq_fault_kind kind)
{
    return kind == SQ_PROCESS_KILL ? &fake_ops : NULL;
}

static uint64_t clock_now(void *cookie)
{
    (void)cookie;
    return now_ns;
}

static int is_able(void *cookie, enum sq_fault_kind kind, struct sq_error *error)
{
    (void)cookie;
    (void)kind;
    if (fail_call != 'a')
        return 0;
    return sq_fail(error, SQ_UNABLE, "no module");
}

static int recover(void *cookie, struct sq_error *error)
{
    (void)cookie;
    recoveries++;
    return sq_fail(error, SQ_SYSTEM, "still there");
}

static int set_up(void **state)
{
    struct sq_error error;
    (void)state;
    (void)strcpy(directory, "/tmp/squall-experiment-XXXXXX");
    if (mkdtemp(directory) == NULL || sq_undo_log_open(&undo_log, directory, &content, &error) != 0)
        return -1;
    memset(&policy, 0, sizeof policy);
    policy.allowed[SQ_PROCESS_KILL] = true;
    policy.max_duration_ns = 60 * SECOND;
    memset(calls, 0, sizeof calls);
    fail_call = 0;
    fail_slot = 0;
    recoveries = 0;
    now_ns = 1000 * SECOND;
    memset(&experiments, 0, sizeof experiments);
    struct sq_experiment_world world = {.now_boot_ns = clock_now,
                                        .ops_by_kind = ops_by_kind,
                                        .able = is_able,
                                        .recover = recover,
                                        .log = &undo_log,
                                        .policy = &policy,
                                        .instance = {{42}}};
    sq_experiments_init(&experiments, &world);
    return 0;
}

static int tear_down(void **state)
{
    char path[128];
    (void)state;
    sq_experiment_reset(experiments.current);
    sq_experiment_reset(experiments.draft);
    sq_undo_log_close(&undo_log);
    (void)snprintf(path, sizeof path, "%s/undo.log", directory);
    (void)unlink(path);
    return rmdir(directory);
}

static enum sq_code ask(enum sq_verb verb, uint8_t id)
{
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = verb;
    request.instance = experiments.world.instance;
    request.experiment = (struct sq_id){{id}};
    sq_experiments_handle(&experiments, &request, &reply);
    assert_int_equal(reply.verb, verb);
    return reply.code;
}

static void order(uint32_t count, uint64_t duration_ns)
{
    memset(&request, 0, sizeof request);
    request.fault_count = count;
    request.lease_ns = 10 * SECOND;
    (void)strcpy(request.title, "the title");
    (void)strcpy(request.operator_name, "ann@desk");
    for (uint32_t i = 0; i < count; i++) {
        request.faults[i].index = i + 2;
        request.faults[i].duration_ns = duration_ns;
        request.faults[i].spec.kind = SQ_PROCESS_KILL;
        (void)snprintf(request.faults[i].spec.kill.selector.comm, SQ_COMM_MAX, "worker%u", i);
    }
}

static void prepare(uint8_t id, uint32_t count, uint64_t duration_ns)
{
    order(count, duration_ns);
    if (ask(SQ_VERB_PREPARE, id) != SQ_OK)
        fail_msg("prepare: %s", reply.message);
    assert_int_equal(reply.fault_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(reply.faults[i].state, SQ_STATE_PREPARED);
    memset(&request, 0, sizeof request);
}

static void inject(uint8_t id)
{
    memset(&request, 0, sizeof request);
    if (ask(SQ_VERB_INJECT, id) != SQ_OK)
        fail_msg("inject: %s", reply.message);
}

static void remove_all(void)
{
    while (sq_experiments_remove_next(&experiments))
        ;
    assert_false(sq_experiments_removal_is_due(&experiments));
}

/* Set the clock and let the experiments see it, as the event loop does. */
static void pass(uint64_t duration_ns)
{
    now_ns += duration_ns;
    sq_experiments_tick(&experiments);
}

static void expect_calls(const char *expected)
{
    assert_string_equal(calls, expected);
    memset(calls, 0, sizeof calls);
}

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
    assert_true(reply.faults[0].proved);
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
        sq_experiments_handle(&experiments, &request, &reply);
        assert_int_equal(reply.code, SQ_STALE);
    }
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
    assert_int_equal(ask(SQ_VERB_PREPARE, 1), SQ_OK);
    const struct sq_fault_env *env = &experiments.current->faults[0].env;
    assert_int_equal(env->spared_count, 1);
    assert_true(sq_cidr_is_valid(&env->spared[0].controller));
    assert_int_equal(env->spared[0].controller.prefix, 32);
    assert_int_equal(env->spared[0].agent_port, 7433);
}

/* Every verb in every situation gets an answer that can be sent, and only PREPARE and INJECT begin anything.
 */
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_final_is_final),
        TEST(test_revert_before_prepare),
        TEST(test_repeats),
        TEST(test_conflict),
        TEST(test_stale),
        TEST(test_lease),
        TEST(test_late_renewal),
        TEST(test_prepared_only_expires),
        TEST(test_duration),
        TEST(test_times_and_masks),
        TEST(test_halt),
        TEST(test_preview),
        TEST(test_prepare_fails),
        TEST(test_rivals_one_after_the_other),
        TEST(test_rivals_at_once),
        TEST(test_inject_fails),
        TEST(test_unclean),
        TEST(test_leftovers),
        TEST(test_spared),
        TEST(test_every_verb_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
