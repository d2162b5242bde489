/* Requests to the experiments: what each verb may do in which situation, and how it is answered. */
#include "experiment.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_LEAVES_NS (10 * SQ_NS_PER_MILLISECOND)  /* on a busy host, too */
#define ANSWERS_LEAVE_NS (100 * SQ_NS_PER_MILLISECOND) /* all of them together, after the fault was clean */

/* How a request's experiment relates to what is on this host. */
enum relation {
    RELATION_NONE,      /* nothing is live here, and the id was never seen */
    RELATION_OTHER,     /* another experiment is live */
    RELATION_LIVE,      /* it is the one that is live */
    RELATION_OVER,      /* it is over, and its report is still here */
    RELATION_FORGOTTEN, /* it is over, and only its id is remembered */
    RELATION_COUNT
};

/* What becomes of a request. Zero denies. */
enum permit { DENY = 0, ACT, CONFLICT, UNKNOWN, STALE };

static const uint8_t permits[SQ_VERB_MAX + 1][RELATION_COUNT] = {
    [SQ_VERB_PREVIEW] = {[RELATION_NONE] = ACT,
                         [RELATION_OTHER] = CONFLICT,
                         [RELATION_LIVE] = CONFLICT,
                         [RELATION_OVER] = ACT,
                         [RELATION_FORGOTTEN] = ACT},
    [SQ_VERB_PREPARE] = {[RELATION_NONE] = ACT,
                         [RELATION_OTHER] = CONFLICT,
                         [RELATION_LIVE] = ACT,
                         [RELATION_OVER] = STALE,
                         [RELATION_FORGOTTEN] = STALE},
    [SQ_VERB_INJECT] = {[RELATION_NONE] = UNKNOWN,
                        [RELATION_OTHER] = UNKNOWN,
                        [RELATION_LIVE] = ACT,
                        [RELATION_OVER] = STALE,
                        [RELATION_FORGOTTEN] = STALE},
    [SQ_VERB_RENEW] = {[RELATION_NONE] = UNKNOWN,
                       [RELATION_OTHER] = UNKNOWN,
                       [RELATION_LIVE] = ACT,
                       [RELATION_OVER] = ACT,
                       [RELATION_FORGOTTEN] = STALE},
    [SQ_VERB_REVERT] = {[RELATION_NONE] = UNKNOWN,
                        [RELATION_OTHER] = UNKNOWN,
                        [RELATION_LIVE] = ACT,
                        [RELATION_OVER] = ACT,
                        [RELATION_FORGOTTEN] = STALE},
    /* Asking and halting are always possible. */
    [SQ_VERB_STATUS] = {ACT, ACT, ACT, ACT, ACT},
    [SQ_VERB_HALT] = {ACT, ACT, ACT, ACT, ACT},
};

typedef void handler(struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_reply *reply);

static uint64_t now_of(const struct sq_experiments *experiments)
{
    return experiments->world.now_boot_ns(experiments->world.cookie);
}

static enum relation relate(const struct sq_experiments *experiments, const struct sq_id *id)
{
    const struct sq_experiment *current = experiments->current;
    bool is_live = sq_experiment_is_live(current);
    if (!sq_id_is_zero(&current->id) && sq_id_equal(&current->id, id))
        return is_live ? RELATION_LIVE : RELATION_OVER;
    if (sq_experiments_remembers(experiments, id))
        return RELATION_FORGOTTEN;
    return is_live ? RELATION_OTHER : RELATION_NONE;
}

void sq_experiments_fill_reply(const struct sq_experiments *experiments, enum sq_verb verb,
                               struct sq_reply *reply)
{
    const struct sq_experiment *current = experiments->current;
    sq_reply_clear(reply);
    reply->version = SQ_PROTOCOL_VERSION;
    reply->verb = verb;
    reply->instance = experiments->world.instance;
    reply->now_boot_ns = now_of(experiments);
    if (!sq_experiment_is_live(current))
        return;
    reply->experiment = current->id;
    memcpy(reply->title, current->title, sizeof reply->title);
    memcpy(reply->operator_name, current->operator_name, sizeof reply->operator_name);
    reply->lease_boot_ns = current->lease_boot_ns;
}

/* The current experiment's reports, live or over. */
static void show(struct sq_experiments *experiments, struct sq_reply *reply)
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
    reply->now_boot_ns = now_of(experiments);
}

static int fail_conflict(const struct sq_experiments *experiments, struct sq_error *error)
{
    const struct sq_experiment *current = experiments->current;
    char until[SQ_TIMESTAMP_MAX];
    uint64_t left_ns = sq_ns_sub(current->lease_boot_ns, now_of(experiments));
    sq_timestamp_format(sq_ns_add(sq_real_ns(), left_ns), until);
    return sq_fail(
        error, SQ_CONFLICT,
        "this host has the experiment '%.120s' of %.63s, until %s unless it is renewed; wait, or end it with "
        "`squall halt`",
        current->title, current->operator_name[0] == '\0' ? "somebody" : current->operator_name, until);
}

static int fail_over(const struct sq_experiments *experiments, enum relation relation, struct sq_error *error)
{
    if (relation != RELATION_OVER)
        return sq_fail(error, SQ_STALE, "that experiment has ended on this host; it is never injected again");
    enum sq_end_reason reason = SQ_END_NONE;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        if (experiments->current->faults[i].report.end_reason > reason)
            reason = experiments->current->faults[i].report.end_reason;
    return sq_fail(error, SQ_STALE, "that experiment has ended on this host (%s); it is never injected again",
                   sq_end_reason_name(reason));
}

static void make_env(const struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_experiment_fault *fault, uint32_t slot);

static int fail_unknown(struct sq_error *error)
{
    return sq_fail(error, SQ_UNKNOWN, "this agent knows no such experiment");
}

/* What is known before anything is asked of the host itself. */
static int check_order(const struct sq_experiments *experiments, const struct sq_fault_order *order,
                       struct sq_error *error)
{
    const struct sq_experiment_world *world = &experiments->world;
    if (world->ops_by_kind(order->spec.kind) == NULL)
        return sq_fail(error, SQ_UNABLE, "this agent knows no fault of kind %d", (int)order->spec.kind);
    if (sq_policy_permits(world->policy, order, error) != 0)
        return -1;
    return world->able(world->cookie, order, error);
}

static int draft_fault(struct sq_experiments *experiments, const struct sq_request *request, uint32_t i,
                       struct sq_error *error)
{
    struct sq_experiment_fault *fault = &experiments->draft->faults[i];
    /* Zero already; but now its pages are there, and reverting needs none that the host may not have. */
    memset(fault, 0, sizeof *fault);
    fault->order = request->faults[i];
    fault->report.index = fault->order.index;
    fault->report.kind = fault->order.spec.kind;
    if (check_order(experiments, &fault->order, error) != 0)
        return -1;
    fault->ops = experiments->world.ops_by_kind(fault->order.spec.kind);
    fault->log = experiments->world.log;
    make_env(experiments, request, fault, i);
    if (fault->ops->state_size > 0) {
        fault->state = calloc(1, fault->ops->state_size);
        if (fault->state == NULL)
            return sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    return fault->ops->preview(&fault->order, &fault->env, &fault->undo, &fault->report, error);
}

/* Preview every fault into the draft. Each refused one names itself; the first one decides the reply's code.
 */
static int draft_all(struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_reply *reply)
{
    struct sq_experiment *draft = experiments->draft;
    int result = 0;
    sq_experiment_reset(draft);
    draft->id = request->experiment;
    memcpy(draft->title, request->title, sizeof draft->title);
    memcpy(draft->operator_name, request->operator_name, sizeof draft->operator_name);
    /* They are printed on this host's terminals. */
    sq_text_make_printable(draft->title);
    sq_text_make_printable(draft->operator_name);
    draft->fault_count = request->fault_count;
    for (uint32_t i = 0; i < request->fault_count; i++) {
        struct sq_error error;
        if (draft_fault(experiments, request, i, &error) != 0) {
            sq_report_fail(&draft->faults[i].report, &error);
            if (result == 0)
                sq_reply_fail(reply, &error);
            result = -1;
        }
    }
    return result;
}

static void show_draft(const struct sq_experiments *experiments, struct sq_reply *reply)
{
    reply->fault_count = experiments->draft->fault_count;
    for (uint32_t i = 0; i < reply->fault_count; i++)
        reply->faults[i] = experiments->draft->faults[i].report;
    reply->now_boot_ns = now_of(experiments);
}

static void handle_preview(struct sq_experiments *experiments, const struct sq_request *request,
                           struct sq_reply *reply)
{
    (void)draft_all(experiments, request, reply);
    show_draft(experiments, reply);
    sq_experiment_reset(experiments->draft);
}

static struct sq_undo_key key_of(const struct sq_experiment_fault *fault)
{
    return (struct sq_undo_key){
        .experiment = fault->env.experiment, .slot = fault->env.slot, .fault_index = fault->order.index};
}

/* For faults that learn while they are prepared what has to be undone. */
static int record_update(void *cookie, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_experiment_fault *fault = cookie;
    struct sq_undo_key key = key_of(fault);
    return sq_undo_log_update(fault->log, &key, undo, error);
}

static void make_env(const struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_experiment_fault *fault, uint32_t slot)
{
    struct sq_fault_env *env = &fault->env;
    const struct sq_requester *requester = &request->requester;
    env->protection = &experiments->world.policy->protection;
    env->experiment = request->experiment;
    env->slot = slot;
    env->front_pid = experiments->world.front_pid;
    env->stressor_uid = experiments->world.stressor_uid;
    env->stressor_gid = experiments->world.stressor_gid;
    env->record = record_update;
    env->cookie = fault;
    if (requester->family == 0)
        return;
    struct sq_spared *spared = &env->spared[env->spared_count++];
    spared->controller.family = requester->family;
    spared->controller.prefix = requester->family == 4 ? 32 : 128;
    memcpy(spared->controller.address, requester->address, requester->family == 4 ? 4 : 16);
    spared->agent_port = requester->agent_port;
}

/* Record first, then make: what a crash leaves in between, the log knows. */
static int make_fault(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                      struct sq_error *error)
{
    struct sq_undo_key key = key_of(fault);
    if (sq_undo_log_record(experiments->world.log, &key, &fault->undo, error) != 0) {
        fault->report.state = SQ_STATE_FAILED;
        return -1;
    }
    fault->recorded = true;
    fault->report.state = SQ_STATE_PREPARED;
    fault->report.prepared_boot_ns = now_of(experiments);
    return fault->ops->prepare(fault->state, &fault->order, &fault->env, &fault->undo, error);
}

/* All faults or none: what was prepared before the one that failed is undone at once. */
static int make_all(struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    for (uint32_t i = 0; i < current->fault_count; i++) {
        struct sq_error error;
        if (make_fault(experiments, &current->faults[i], &error) == 0)
            continue;
        sq_report_fail(&current->faults[i].report, &error);
        sq_reply_fail(reply, &error);
        sq_experiments_end(experiments, SQ_END_FAILURE);
        while (sq_experiments_remove_next(experiments))
            ;
        return -1;
    }
    return 0;
}

static bool is_same_content(const struct sq_experiment *current, const struct sq_request *request)
{
    if (current->fault_count != request->fault_count)
        return false;
    for (uint32_t i = 0; i < request->fault_count; i++)
        if (memcmp(&current->faults[i].order, &request->faults[i], sizeof request->faults[i]) != 0)
            return false;
    return true;
}

static void handle_prepare_again(struct sq_experiments *experiments, const struct sq_request *request,
                                 struct sq_reply *reply)
{
    struct sq_error error;
    if (!is_same_content(experiments->current, request)) {
        (void)sq_fail(&error, SQ_CONFLICT, "this experiment is prepared here already, with other faults");
        sq_reply_fail(reply, &error);
    }
    show(experiments, reply);
}

/* Nothing new while something old is left: what it touches is unknown. */
static int make_room(struct sq_experiments *experiments, struct sq_error *error)
{
    while (sq_experiments_remove_next(experiments))
        ;
    if (experiments->world.log->live_count == 0)
        return 0;
    if (experiments->world.recover(experiments->world.cookie, error) == 0)
        return 0;
    error->code = SQ_UNCLEAN;
    return sq_fail_in(error, "something of an earlier experiment is left on this host");
}

static void log_prepare(const struct sq_experiment *experiment, const struct sq_requester *requester,
                        const char *outcome)
{
    char from[INET6_ADDRSTRLEN] = "";
    char id[SQ_ID_TEXT_MAX];
    sq_id_format(&experiment->id, id);
    if (requester->family != 0)
        (void)inet_ntop(requester->family == 4 ? AF_INET : AF_INET6, requester->address, from, sizeof from);
    else
        (void)snprintf(from, sizeof from, "uid %u", requester->uid);
    sq_log(SQ_LOG_INFO, "experiment %s '%s' of %s, from %s: %s", id, experiment->title,
           experiment->operator_name, from, outcome);
}

static void handle_prepare(struct sq_experiments *experiments, const struct sq_request *request,
                           struct sq_reply *reply)
{
    struct sq_error error;
    if (sq_experiment_is_live(experiments->current)) {
        handle_prepare_again(experiments, request, reply);
        return;
    }
    if (make_room(experiments, &error) != 0) {
        sq_reply_fail(reply, &error);
        return;
    }
    if (draft_all(experiments, request, reply) != 0) {
        show_draft(experiments, reply);
        sq_experiment_reset(experiments->draft);
        return;
    }
    struct sq_experiment *draft = experiments->draft;
    experiments->draft = experiments->current;
    experiments->current = draft;
    sq_experiments_remember(experiments, &experiments->draft->id);
    sq_experiment_reset(experiments->draft);
    draft->lease_boot_ns = sq_ns_add(now_of(experiments), request->lease_ns);
    int result = make_all(experiments, reply);
    show(experiments, reply);
    log_prepare(draft, &request->requester, result == 0 ? "prepared" : reply->message);
}

static bool is_selected(const struct sq_request *request, const struct sq_experiment_fault *fault)
{
    return request->fault_mask == 0 || (request->fault_mask >> fault->order.index & 1) != 0;
}

/* That every fault that the mask names is there, and, to be injected, not over. */
static int check_mask(const struct sq_experiment *current, const struct sq_request *request,
                      struct sq_error *error)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < current->fault_count; i++) {
        const struct sq_experiment_fault *fault = &current->faults[i];
        known |= 1u << fault->order.index;
        if (request->verb == SQ_VERB_INJECT && request->fault_mask != 0 && is_selected(request, fault) &&
            fault->report.state > SQ_STATE_INJECTED)
            return sq_fail(error, SQ_STALE, "fault %u has ended (%s); it is never injected again",
                           fault->order.index, sq_end_reason_name(fault->report.end_reason));
    }
    if ((request->fault_mask & ~known) != 0)
        return sq_fail(error, SQ_UNKNOWN, "the experiment has no such fault on this host (mask 0x%x of 0x%x)",
                       request->fault_mask, known);
    return 0;
}

static void handle_inject(struct sq_experiments *experiments, const struct sq_request *request,
                          struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    struct sq_error error;
    uint64_t now_ns = now_of(experiments);
    if (check_mask(current, request, &error) != 0) {
        sq_reply_fail(reply, &error);
        show(experiments, reply);
        return;
    }
    for (uint32_t i = 0; i < current->fault_count; i++) {
        struct sq_experiment_fault *fault = &current->faults[i];
        /* A repeated request changes nothing: the first one set the time. */
        if (!is_selected(request, fault) || fault->report.state != SQ_STATE_PREPARED ||
            fault->inject_at_boot_ns != 0)
            continue;
        fault->inject_at_boot_ns = request->at_boot_ns > now_ns ? request->at_boot_ns : now_ns;
        if (fault->inject_at_boot_ns == now_ns && sq_experiment_inject(experiments, fault) != 0 &&
            reply->code == SQ_OK) {
            reply->code = fault->report.code;
            memcpy(reply->message, fault->report.message, sizeof reply->message);
        }
    }
    show(experiments, reply);
}

/* A lease over an experiment that has ended by itself is no failure; one that was taken away is. */
static void renew_ended(struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_error error;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        enum sq_end_reason reason = experiments->current->faults[i].report.end_reason;
        if (reason == SQ_END_DURATION || reason == SQ_END_ORDERED)
            continue;
        (void)fail_over(experiments, RELATION_OVER, &error);
        sq_reply_fail(reply, &error);
        break;
    }
    show(experiments, reply);
}

static void handle_renew(struct sq_experiments *experiments, const struct sq_request *request,
                         struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    if (!sq_experiment_is_live(current)) {
        renew_ended(experiments, reply);
        return;
    }
    current->lease_boot_ns = sq_ns_add(now_of(experiments), request->lease_ns);
    for (uint32_t i = 0; i < current->fault_count; i++) {
        struct sq_experiment_fault *fault = &current->faults[i];
        if (fault->report.state != SQ_STATE_INJECTED)
            continue;
        struct sq_error error;
        if (sq_experiment_renew(experiments, fault, &error) != 0 && reply->code == SQ_OK)
            sq_reply_fail(reply, &error);
    }
    show(experiments, reply);
}

/* True if the log holds more than what the current experiment accounts for: of an earlier life of the agent.
 */
static bool has_leftovers(const struct sq_experiments *experiments)
{
    uint32_t recorded = 0;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        recorded += experiments->current->faults[i].recorded;
    return experiments->world.log->live_count > recorded;
}

static void report_unclean(const struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_error error;
    if (sq_experiments_is_unclean(experiments))
        (void)sq_fail(&error, SQ_UNCLEAN,
                      "not everything could be undone on this host; the fault's report says what is left");
    else if (has_leftovers(experiments))
        (void)sq_fail(&error, SQ_UNCLEAN,
                      "something of an earlier experiment is left on this host; the agent's log says what, "
                      "`squall halt` tries again");
    else
        return;
    sq_reply_fail(reply, &error);
}

static void handle_revert(struct sq_experiments *experiments, const struct sq_request *request,
                          struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    struct sq_error error;
    if (check_mask(current, request, &error) != 0)
        sq_reply_fail(reply, &error);
    for (uint32_t i = 0; i < current->fault_count; i++)
        if (is_selected(request, &current->faults[i]))
            sq_experiment_clean(experiments, &current->faults[i], SQ_END_ORDERED);
    sq_experiments_insist(experiments);
    report_unclean(experiments, reply);
    show(experiments, reply);
}

static void handle_halt(struct sq_experiments *experiments, const struct sq_request *request,
                        struct sq_reply *reply)
{
    bool was_live = sq_experiments_is_live(experiments);
    struct sq_error error;
    sq_experiments_end(experiments, SQ_END_HALT);
    sq_experiments_remember(experiments, &request->experiment);
    if (has_leftovers(experiments))
        (void)make_room(experiments, &error);
    report_unclean(experiments, reply);
    if (was_live || sq_experiments_removal_is_due(experiments) || sq_experiments_is_unclean(experiments))
        show(experiments, reply);
    if (was_live)
        sq_log(SQ_LOG_WARNING, "experiment '%s': halted", experiments->current->title);
}

/* With an id: that experiment, also when it is over. Without: whatever is here now. */
static void handle_status(struct sq_experiments *experiments, const struct sq_request *request,
                          struct sq_reply *reply)
{
    struct sq_error error;
    bool any = sq_id_is_zero(&request->experiment);
    enum relation relation = relate(experiments, &request->experiment);
    bool is_here = any ? sq_experiments_is_live(experiments) || sq_experiments_removal_is_due(experiments) ||
                             sq_experiments_is_unclean(experiments)
                       : relation == RELATION_LIVE || relation == RELATION_OVER;
    if (is_here) {
        show(experiments, reply);
    } else if (!any) {
        if (relation == RELATION_FORGOTTEN)
            (void)fail_over(experiments, relation, &error);
        else
            (void)fail_unknown(&error);
        sq_reply_fail(reply, &error);
    }
    if (has_leftovers(experiments))
        report_unclean(experiments, reply);
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
    bool dated = request->verb == SQ_VERB_PREPARE || request->verb == SQ_VERB_INJECT;
    if (dated && request->not_after_boot_ns != 0 && now_of(experiments) > request->not_after_boot_ns)
        return sq_fail(error, SQ_STALE, "the request came too late; nothing was done");
    return 0;
}

static void act(struct sq_experiments *experiments, const struct sq_request *request, struct sq_reply *reply)
{
    static handler *const handlers[SQ_VERB_MAX + 1] = {
        [SQ_VERB_PREVIEW] = handle_preview, [SQ_VERB_PREPARE] = handle_prepare,
        [SQ_VERB_INJECT] = handle_inject,   [SQ_VERB_RENEW] = handle_renew,
        [SQ_VERB_REVERT] = handle_revert,   [SQ_VERB_STATUS] = handle_status,
        [SQ_VERB_HALT] = handle_halt,
    };
    handlers[request->verb](experiments, request, reply);
}

/* What is refused, and why; for the experiment at hand with its report. */
static void refuse(struct sq_experiments *experiments, const struct sq_request *request,
                   enum relation relation, enum permit permit, struct sq_reply *reply)
{
    struct sq_error error;
    if (permit == CONFLICT)
        (void)fail_conflict(experiments, &error);
    else if (permit == STALE)
        (void)fail_over(experiments, relation, &error);
    else if (permit == UNKNOWN)
        (void)fail_unknown(&error);
    else
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s is not possible now", sq_verb_name(request->verb));
    /* What was ordered to end must not begin when its PREPARE arrives late. */
    if (request->verb == SQ_VERB_REVERT && permit == UNKNOWN)
        sq_experiments_remember(experiments, &request->experiment);
    sq_reply_fail(reply, &error);
    if (relation == RELATION_OVER)
        show(experiments, reply);
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
    uint64_t until_ns = sq_ns_add(now_of(experiments), ANSWER_LEAVES_NS);
    for (uint32_t i = 0; i < current->fault_count; i++) {
        struct sq_experiment_fault *fault = &current->faults[i];
        uint64_t latest_ns = sq_ns_add(fault->report.clean_boot_ns, ANSWERS_LEAVE_NS);
        if (fault->removal_is_due && fault->report.clean_boot_ns != 0 && until_ns <= latest_ns &&
            until_ns > fault->removal_at_boot_ns)
            fault->removal_at_boot_ns = until_ns;
    }
}

void sq_experiments_handle(struct sq_experiments *experiments, const struct sq_request *request,
                           struct sq_reply *reply)
{
    struct sq_error error;
    /* What has come due meanwhile; but nothing begins on the way to an end. */
    if (request->verb != SQ_VERB_HALT && request->verb != SQ_VERB_REVERT)
        sq_experiments_tick(experiments);
    sq_experiments_fill_reply(experiments, request->verb, reply);
    if (check_freshness(experiments, request, &error) != 0) {
        sq_reply_fail(reply, &error);
        return;
    }
    enum relation relation = relate(experiments, &request->experiment);
    enum permit permit = (enum permit)permits[request->verb][relation];
    if (permit == ACT)
        act(experiments, request, reply);
    else
        refuse(experiments, request, relation, permit, reply);
    let_answer_leave(experiments, request);
}
