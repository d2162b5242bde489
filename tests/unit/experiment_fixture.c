#include "experiment_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char calls[512];
uint64_t deadline_ns;
char fail_call;     /* this call fails ... */
uint32_t fail_slot; /* ... for the fault of this slot */
bool is_recorded_when_prepared;
uint64_t now_ns;
static char directory[64];
struct sq_undo_log undo_log;
static struct sq_undo_content content;
struct sq_policy policy;
struct sq_experiments experiments;
struct sq_request request;
struct sq_request sent;
struct sq_reply reply;
bool is_taken_away;
int recoveries;
uint32_t version;
uint64_t settled_ns;
uint64_t ready_ns;
uint32_t ports_before;
uint32_t ports_now;

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

static int fake_allowed(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                        const struct sq_undo *undo, const struct sq_protection *before,
                        struct sq_error *error)
{
    (void)state;
    (void)order;
    (void)undo;
    ports_before = before->port_count;
    ports_now = env->protection->port_count;
    return note('j', env->slot, error);
}

static int fake_clean(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    (void)state;
    return note('c', undo->bytes[0], error);
}

static uint64_t fake_settle(void *state, const struct sq_undo *undo)
{
    (void)state;
    (void)undo;
    return settled_ns > now_ns ? settled_ns : 0;
}

static int fake_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                       struct sq_error *error)
{
    (void)state;
    report->proof = SQ_PROOF_PROVED;
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

static int fake_prepared(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    (void)state;
    if (note('q', undo->bytes[0], error) != 0)
        return -1;
    return now_ns >= ready_ns;
}

static int fake_look(void *state, const struct sq_undo *undo, struct sq_error *error)
{
    (void)state;
    (void)undo;
    return is_taken_away ? sq_fail(error, SQ_VANISHED, "somebody took it away") : 0;
}

static uint64_t fake_attend(void *state, const struct sq_undo *undo, uint64_t now_boot_ns)
{
    (void)state;
    (void)note('t', undo->bytes[0], NULL);
    return now_boot_ns + SECOND;
}

static const struct sq_fault_ops slow_ops = {
    .kind = SQ_PROCESS_KILL,
    .state_size = 64,
    .preview = fake_preview,
    .prepare = fake_prepare,
    .prepared = fake_prepared,
    .inject = fake_inject,
    .renew = fake_renew,
    .attend = fake_attend,
    .allowed = fake_allowed,
    .clean = fake_clean,
    .settle = fake_settle,
    .remove = fake_remove,
    .status = fake_status,
    .release = fake_release,
};

static const struct sq_fault_ops fake_ops = {
    .kind = SQ_PROCESS_KILL,
    .state_size = 64,
    .preview = fake_preview,
    .prepare = fake_prepare,
    .inject = fake_inject,
    .renew = fake_renew,
    .look = fake_look,
    .clean = fake_clean,
    .allowed = fake_allowed,
    .settle = fake_settle,
    .remove = fake_remove,
    .status = fake_status,
    .release = fake_release,
};

static const struct sq_fault_ops *ops_by_kind(enum sq_fault_kind kind)
{
    if (kind != SQ_PROCESS_KILL)
        return NULL;
    return ready_ns == 0 ? &fake_ops : &slow_ops;
}

static uint64_t clock_now(void *cookie)
{
    (void)cookie;
    return now_ns;
}

static int is_able(void *cookie, const struct sq_fault_order *order, struct sq_error *error)
{
    (void)cookie;
    (void)order;
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

int set_up(void **state)
{
    struct sq_error error;
    (void)state;
    (void)strcpy(directory, "/tmp/squall-experiment-XXXXXX");
    if (mkdtemp(directory) == NULL || sq_undo_log_open(&undo_log, directory, false, &content, &error) != 0)
        return -1;
    memset(&policy, 0, sizeof policy);
    policy.allowed[SQ_PROCESS_KILL] = true;
    policy.max_duration_ns = 60 * SECOND;
    memset(calls, 0, sizeof calls);
    fail_call = 0;
    fail_slot = 0;
    is_taken_away = false;
    recoveries = 0;
    version = SQ_PROTOCOL_VERSION;
    settled_ns = 0;
    ready_ns = 0;
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

int tear_down(void **state)
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

/* As the event loop does: no time passes but what the experiments want to wait. */
static void await_prepare(void)
{
    while (!sq_experiments_answer_prepare(&experiments, &sent, &reply)) {
        uint64_t next_ns = sq_experiments_next_boot_ns(&experiments);
        assert_true(next_ns != 0);
        if (next_ns > now_ns)
            now_ns = next_ns;
        sq_experiments_tick(&experiments);
        (void)sq_experiments_remove_settled(&experiments);
    }
}

bool hand_over(enum sq_verb verb, uint8_t id)
{
    request.version = version;
    request.verb = verb;
    request.instance = experiments.world.instance;
    request.experiment = (struct sq_id){{id}};
    const struct sq_request asked = request;
    if (request.version >= 2 && sq_id_is_zero(&request.token))
        request.token = (struct sq_id){{id, 7}};
    if (request.not_after_boot_ns == 0)
        request.not_after_boot_ns = now_ns + SECOND;
    if (request.version >= 2 && request.prepared_until_boot_ns == 0)
        request.prepared_until_boot_ns = now_ns + 3600 * SECOND;
    sent = request;
    bool is_answered = sq_experiments_handle(&experiments, &request, &reply);
    request = asked;
    return is_answered;
}

enum sq_code ask(enum sq_verb verb, uint8_t id)
{
    if (!hand_over(verb, id))
        await_prepare();
    assert_int_equal(reply.verb, verb);
    return reply.code;
}

void order(uint32_t count, uint64_t duration_ns)
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
        request.faults[i].spec.kill.selector.comm[0] = (char)('a' + i);
    }
}

void prepare(uint8_t id, uint32_t count, uint64_t duration_ns)
{
    order(count, duration_ns);
    if (ask(SQ_VERB_PREPARE, id) != SQ_OK)
        fail_msg("prepare: %s", reply.message);
    assert_int_equal(reply.fault_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(reply.faults[i].state, SQ_STATE_PREPARED);
    memset(&request, 0, sizeof request);
}

void inject(uint8_t id)
{
    memset(&request, 0, sizeof request);
    if (ask(SQ_VERB_INJECT, id) != SQ_OK)
        fail_msg("inject: %s", reply.message);
}

void remove_all(void)
{
    while (sq_experiments_remove_next(&experiments))
        ;
    assert_false(sq_experiments_removal_is_due(&experiments));
}

/* Set the clock and let the experiments see it, as the event loop does. */
void pass(uint64_t duration_ns)
{
    now_ns += duration_ns;
    sq_experiments_tick(&experiments);
}

void expect_calls(const char *expected)
{
    assert_string_equal(calls, expected);
    memset(calls, 0, sizeof calls);
}
