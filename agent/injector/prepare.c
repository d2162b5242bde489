/* PREVIEW and PREPARE: from orders to faults that are recorded and made. */
#include "requests.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make_env(const struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_experiment_fault *fault, uint32_t slot);

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
    reply->now_boot_ns = sq_experiments_now(experiments);
}

void sq_requests_preview(struct sq_experiments *experiments, const struct sq_request *request,
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
    fault->report.prepared_boot_ns = sq_experiments_now(experiments);
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
    sq_requests_show(experiments, reply);
}

/* Nothing new while something old is left: what it touches is unknown. */
int sq_requests_make_room(struct sq_experiments *experiments, struct sq_error *error)
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

void sq_requests_prepare(struct sq_experiments *experiments, const struct sq_request *request,
                         struct sq_reply *reply)
{
    struct sq_error error;
    if (sq_experiment_is_live(experiments->current)) {
        handle_prepare_again(experiments, request, reply);
        return;
    }
    if (sq_requests_make_room(experiments, &error) != 0) {
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
    draft->lease_boot_ns = sq_ns_add(sq_experiments_now(experiments), request->lease_ns);
    int result = make_all(experiments, reply);
    sq_requests_show(experiments, reply);
    log_prepare(draft, &request->requester, result == 0 ? "prepared" : reply->message);
}
