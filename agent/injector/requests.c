/* Requests to the experiments: what each verb may do in which situation, and how it is answered. */
#include "requests.h"

#include "common/clock.h"

#include <string.h>

#define ANSWER_LEAVES_NS (10 * SQ_NS_PER_MILLISECOND)  /* on a busy host, too */
#define ANSWERS_LEAVE_NS (100 * SQ_NS_PER_MILLISECOND) /* all of them together, after the fault was clean */

/* What becomes of a request. Zero denies. */
enum permit { DENY = 0, ACT, CONFLICT, UNKNOWN, STALE, FOREIGN };

static const uint8_t permits[SQ_VERB_MAX + 1][SQ_RELATION_COUNT] = {
    [SQ_VERB_PREVIEW] = {[SQ_RELATION_NONE] = ACT,
                         [SQ_RELATION_OTHER] = CONFLICT,
                         [SQ_RELATION_LIVE] = CONFLICT,
                         [SQ_RELATION_OVER] = ACT,
                         [SQ_RELATION_FORGOTTEN] = ACT},
    [SQ_VERB_PREPARE] = {[SQ_RELATION_NONE] = ACT,
                         [SQ_RELATION_OTHER] = CONFLICT,
                         [SQ_RELATION_LIVE] = ACT,
                         [SQ_RELATION_OVER] = STALE,
                         [SQ_RELATION_FORGOTTEN] = STALE},
    [SQ_VERB_INJECT] = {[SQ_RELATION_NONE] = UNKNOWN,
                        [SQ_RELATION_OTHER] = UNKNOWN,
                        [SQ_RELATION_LIVE] = ACT,
                        [SQ_RELATION_OVER] = STALE,
                        [SQ_RELATION_FORGOTTEN] = STALE},
    [SQ_VERB_RENEW] = {[SQ_RELATION_NONE] = UNKNOWN,
                       [SQ_RELATION_OTHER] = UNKNOWN,
                       [SQ_RELATION_LIVE] = ACT,
                       [SQ_RELATION_OVER] = ACT,
                       [SQ_RELATION_FORGOTTEN] = STALE},
    [SQ_VERB_REVERT] = {[SQ_RELATION_NONE] = UNKNOWN,
                        [SQ_RELATION_OTHER] = UNKNOWN,
                        [SQ_RELATION_LIVE] = ACT,
                        [SQ_RELATION_OVER] = ACT,
                        [SQ_RELATION_FORGOTTEN] = STALE},
    /* Asking and halting are always possible. */
    [SQ_VERB_STATUS] = {ACT, ACT, ACT, ACT, ACT},
    [SQ_VERB_HALT] = {ACT, ACT, ACT, ACT, ACT},
};

enum sq_relation sq_requests_relate(const struct sq_experiments *experiments, const struct sq_id *id)
{
    const struct sq_experiment *current = experiments->current;
    bool is_live = sq_experiment_is_live(current);
    if (!sq_id_is_zero(&current->id) && sq_id_equal(&current->id, id))
        return is_live ? SQ_RELATION_LIVE : SQ_RELATION_OVER;
    if (sq_ended_has(&experiments->ended, id))
        return SQ_RELATION_FORGOTTEN;
    return is_live ? SQ_RELATION_OTHER : SQ_RELATION_NONE;
}

void sq_experiments_fill_reply(const struct sq_experiments *experiments, enum sq_verb verb,
                               struct sq_reply *reply)
{
    const struct sq_experiment *current = experiments->current;
    sq_reply_clear(reply);
    reply->version = SQ_PROTOCOL_VERSION;
    reply->verb = verb;
    reply->instance = experiments->world.instance;
    reply->now_boot_ns = sq_experiments_now(experiments);
    if (!sq_experiment_is_live(current))
        return;
    reply->experiment = current->id;
    memcpy(reply->title, current->title, sizeof reply->title);
    memcpy(reply->operator_name, current->operator_name, sizeof reply->operator_name);
    reply->lease_boot_ns = current->lease_boot_ns;
}

/* The current experiment's reports, live or over. */
void sq_requests_show(struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    sq_experiment_refresh(current);
    reply->experiment = current->id;
    memcpy(reply->title, current->title, sizeof reply->title);
    memcpy(reply->operator_name, current->operator_name, sizeof reply->operator_name);
    reply->lease_boot_ns = current->lease_boot_ns;
    reply->fault_count = current->fault_count;
    for (uint32_t i = 0; i < current->fault_count; i++)
        reply->faults[i] = current->faults[i].report;
    reply->now_boot_ns = sq_experiments_now(experiments);
}

static int fail_conflict(const struct sq_experiments *experiments, struct sq_error *error)
{
    const struct sq_experiment *current = experiments->current;
    char until[SQ_TIMESTAMP_MAX];
    uint64_t left_ns = sq_ns_sub(current->lease_boot_ns, sq_experiments_now(experiments));
    sq_timestamp_format(sq_ns_add(sq_real_ns(), left_ns), until);
    return sq_fail(
        error, SQ_CONFLICT,
        "this host has the experiment '%.120s' of %.63s, until %s unless it is renewed; wait, or end it with "
        "`squall halt`",
        current->title, current->operator_name[0] == '\0' ? "somebody" : current->operator_name, until);
}

int sq_requests_fail_over(const struct sq_experiments *experiments, enum sq_relation relation,
                          struct sq_error *error)
{
    if (relation != SQ_RELATION_OVER)
        return sq_fail(error, SQ_STALE, "that experiment has ended on this host; it is never injected again");
    enum sq_end_reason reason = SQ_END_NONE;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        if (experiments->current->faults[i].report.end_reason > reason)
            reason = experiments->current->faults[i].report.end_reason;
    return sq_fail(error, SQ_STALE, "that experiment has ended on this host (%s); it is never injected again",
                   sq_end_reason_name(reason));
}

int sq_requests_fail_unknown(struct sq_error *error)
{
    return sq_fail(error, SQ_UNKNOWN, "this agent knows no such experiment");
}

/* The life of the agent that is meant, and the time until which the request may act. */
static int check_freshness(const struct sq_experiments *experiments, const struct sq_request *request,
                           struct sq_error *error)
{
    bool bound = request->verb == SQ_VERB_PREPARE || request->verb == SQ_VERB_INJECT ||
                 request->verb == SQ_VERB_RENEW || request->verb == SQ_VERB_REVERT;
    if (bound && !sq_id_equal(&request->instance, &experiments->world.instance))
        return sq_fail(
            error, SQ_STALE,
            "the request is meant for an earlier life of this agent; what that one had injected was undone "
            "when this one started");
    uint64_t now_ns = sq_experiments_now(experiments);
    bool dated = request->verb == SQ_VERB_PREPARE || request->verb == SQ_VERB_INJECT;
    if (dated && now_ns > request->not_after_boot_ns)
        return sq_fail(error, SQ_STALE, "the request came too late; nothing was done");
    if (dated && request->not_after_boot_ns - now_ns > SQ_NOT_AFTER_MAX_NS)
        return sq_fail(error, SQ_LIMIT,
                       "the request is to hold for more than two minutes; nothing was done: does the "
                       "controller know this host's clock?");
    if (request->prepared_until_boot_ns != 0 &&
        sq_ns_sub(request->prepared_until_boot_ns, now_ns) > SQ_PREPARED_MAX_NS)
        return sq_fail(error, SQ_LIMIT,
                       "a fault is to be injected more than 24h from now; no host is held for so long");
    return 0;
}

/*
 * Who prepared an experiment owns it: whoever else has a certificate, or may use the socket, can halt it, and
 * nothing else. A controller of version 1 has no token, nor has what it prepares.
 */
static bool is_owners(const struct sq_experiments *experiments, const struct sq_request *request,
                      enum sq_relation relation)
{
    bool is_there = relation == SQ_RELATION_LIVE || relation == SQ_RELATION_OVER;
    bool is_guarded = request->verb == SQ_VERB_PREPARE || request->verb == SQ_VERB_INJECT ||
                      request->verb == SQ_VERB_RENEW || request->verb == SQ_VERB_REVERT;
    return !is_there || !is_guarded || sq_id_equal_secret(&request->token, &experiments->current->token);
}

static void act(struct sq_experiments *experiments, const struct sq_request *request, struct sq_reply *reply)
{
    static sq_request_handler *const handlers[SQ_VERB_MAX + 1] = {
        [SQ_VERB_PREVIEW] = sq_requests_preview, [SQ_VERB_PREPARE] = sq_requests_prepare,
        [SQ_VERB_INJECT] = sq_requests_inject,   [SQ_VERB_RENEW] = sq_requests_renew,
        [SQ_VERB_REVERT] = sq_requests_revert,   [SQ_VERB_STATUS] = sq_requests_status,
        [SQ_VERB_HALT] = sq_requests_halt,
    };
    handlers[request->verb](experiments, request, reply);
}

/* What is refused, and why; for the experiment at hand with its report. */
static void refuse(struct sq_experiments *experiments, const struct sq_request *request,
                   enum sq_relation relation, enum permit permit, struct sq_reply *reply)
{
    struct sq_error error;
    if (permit == CONFLICT)
        (void)fail_conflict(experiments, &error);
    else if (permit == STALE)
        (void)sq_requests_fail_over(experiments, relation, &error);
    else if (permit == FOREIGN)
        (void)sq_fail(&error, SQ_CONFLICT,
                      "this experiment is another controller's: only who prepared it may %s it; "
                      "`squall halt` ends it",
                      sq_verb_name(request->verb));
    else if (permit == UNKNOWN)
        (void)sq_requests_fail_unknown(&error);
    else
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s is not possible now", sq_verb_name(request->verb));
    /* What was ordered to end must not begin when its PREPARE arrives late. */
    if (request->verb == SQ_VERB_REVERT && permit == UNKNOWN)
        (void)sq_ended_bar(&experiments->ended, &request->experiment, sq_experiments_now(experiments),
                           &error);
    sq_reply_fail(reply, &error);
    if (relation == SQ_RELATION_OVER)
        sq_requests_show(experiments, reply);
}

/*
 * Removing a clsact stops its device's outgoing packets for a moment, and an answer lost in it is sent again
 * by TCP only 200 ms later. So an answer over the network gets a moment to leave; who asks again and again
 * gets no more than that.
 */
static void let_answer_leave(struct sq_experiments *experiments, const struct sq_request *request)
{
    if (request->requester.family == 0)
        return;
    struct sq_experiment *current = experiments->current;
    uint64_t until_ns = sq_ns_add(sq_experiments_now(experiments), ANSWER_LEAVES_NS);
    for (uint32_t i = 0; i < current->fault_count; i++) {
        struct sq_experiment_fault *fault = &current->faults[i];
        uint64_t latest_ns = sq_ns_add(fault->report.clean_boot_ns, ANSWERS_LEAVE_NS);
        if (fault->removal_is_due && fault->report.clean_boot_ns != 0 && until_ns <= latest_ns &&
            until_ns > fault->removal_at_boot_ns)
            fault->removal_at_boot_ns = until_ns;
    }
}

bool sq_experiments_handle(struct sq_experiments *experiments, const struct sq_request *request,
                           struct sq_reply *reply)
{
    struct sq_error error;
    /* What has come due meanwhile; but nothing begins on the way to an end. */
    if (request->verb != SQ_VERB_HALT && request->verb != SQ_VERB_REVERT)
        sq_experiments_tick(experiments);
    sq_experiments_fill_reply(experiments, request->verb, reply);
    if (check_freshness(experiments, request, &error) != 0) {
        sq_reply_fail(reply, &error);
        return true;
    }
    enum sq_relation relation = sq_requests_relate(experiments, &request->experiment);
    enum permit permit = (enum permit)permits[request->verb][relation];
    if (permit == ACT && !is_owners(experiments, request, relation))
        permit = FOREIGN;
    if (permit == ACT)
        act(experiments, request, reply);
    else
        refuse(experiments, request, relation, permit, reply);
    let_answer_leave(experiments, request);
    /* What was begun, now or by the same request before, is answered when it is there. */
    if (request->verb == SQ_VERB_PREPARE && permit == ACT && reply->code == SQ_OK)
        return !experiments->awaits_room && sq_experiments_answer_prepare(experiments, request, reply);
    return true;
}
