/* PREVIEW and PREPARE: from orders to faults that are recorded and made. */
#include "requests.h"

#include "common/clock.h"
#include "common/text.h"
#include "faults/bounds.h"
#include "faults/protection.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* How long packets that are still delayed, and processes that die slowly, are waited for by what comes next.
 */
#define ROOM_WITHIN_NS (2 * SQ_NS_PER_SECOND)

static void make_env(const struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_experiment_fault *fault, uint32_t slot);

static uint32_t descriptors_of(const struct sq_experiment_fault *fault)
{
    return fault->ops->descriptors == NULL ? SQ_FAULT_DESCRIPTORS : fault->ops->descriptors(&fault->undo);
}

/* What the experiment that is over still holds is free before another one is prepared. */
static uint64_t descriptors_left(const struct sq_experiments *experiments)
{
    uint64_t left = experiments->world.descriptors_left();
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        if (experiments->current->faults[i].state != NULL)
            left += descriptors_of(&experiments->current->faults[i]);
    return left;
}

/* All faults together must find the descriptors that each of them needs. */
static int check_descriptors(const struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_experiment *draft = experiments->draft;
    struct sq_error error;
    uint64_t needed = 0;
    if (experiments->world.descriptors_left == NULL)
        return 0;
    uint64_t left = descriptors_left(experiments);
    for (uint32_t i = 0; i < draft->fault_count; i++) {
        needed += descriptors_of(&draft->faults[i]);
        if (needed <= left)
            continue;
        (void)sq_fail(
            &error, SQ_LIMIT,
            "the faults up to this one need %llu file descriptors and the agent has %llu to spare; "
            "order fewer victims or faults at a time, or raise LimitNOFILE of squalld.service (ulimit "
            "-n) and start it again",
            (unsigned long long)needed, (unsigned long long)left);
        sq_report_fail(&draft->faults[i].report, &error);
        sq_reply_fail(reply, &error);
        return -1;
    }
    return 0;
}

/* What is known before anything is asked of the host itself. */
static int check_order(const struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                       struct sq_error *error)
{
    const struct sq_experiment_world *world = &experiments->world;
    const struct sq_fault_order *order = &fault->order;
    if (world->ops_by_kind(order->spec.kind) == NULL)
        return sq_fail(error, SQ_UNABLE, "this agent knows no fault of kind %d", (int)order->spec.kind);
    if (sq_policy_permits(world->policy, order, error) != 0)
        return -1;
    int able = world->able(world->cookie, order, error);
    if (able > 0)
        sq_report_line(&fault->report, SQ_LINE_WARNING, "%s", error->text);
    return able < 0 ? -1 : 0;
}

static int draft_fault(struct sq_experiments *experiments, const struct sq_request *request, uint32_t i,
                       uint32_t packets_most, struct sq_error *error)
{
    struct sq_experiment_fault *fault = &experiments->draft->faults[i];
    /* Zero already; but now its pages are there, and reverting needs none that the host may not have. */
    memset(fault, 0, sizeof *fault);
    fault->order = request->faults[i];
    fault->report.index = fault->order.index;
    fault->report.kind = fault->order.spec.kind;
    if (check_order(experiments, fault, error) != 0)
        return -1;
    fault->ops = experiments->world.ops_by_kind(fault->order.spec.kind);
    fault->log = experiments->world.log;
    make_env(experiments, request, fault, i);
    fault->env.queue_packets_most = packets_most;
    if (i == 0)
        sq_protection_warn(&experiments->world.policy->protection, &fault->report);
    if (fault->ops->state_size > 0) {
        fault->state = calloc(1, fault->ops->state_size);
        if (fault->state == NULL)
            return sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    int result = fault->ops->preview(&fault->order, &fault->env, &fault->undo, &fault->report, error);
    fault->env.orders = NULL; /* the request goes, the surroundings stay */
    fault->env.order_count = 0;
    fault->env.request_number = 0;
    return result;
}

/* Preview every fault into the draft. Each refused one names itself; the first one decides the reply's code.
 */
static int draft_all(struct sq_experiments *experiments, const struct sq_request *request,
                     struct sq_reply *reply)
{
    struct sq_experiment *draft = experiments->draft;
    int result = 0;
    sq_experiment_reset(draft);
    experiments->draft_number++;
    draft->id = request->experiment;
    memcpy(draft->title, request->title, sizeof draft->title);
    memcpy(draft->operator_name, request->operator_name, sizeof draft->operator_name);
    /* They are printed on this host's terminals. */
    sq_text_make_printable(draft->title);
    sq_text_make_printable(draft->operator_name);
    draft->fault_count = request->fault_count;
    uint32_t packets_most =
        sq_bounds_share_queues(request->faults, request->fault_count, experiments->world.ops_by_kind);
    for (uint32_t i = 0; i < request->fault_count; i++) {
        struct sq_error error;
        if (draft_fault(experiments, request, i, packets_most, &error) != 0) {
            sq_report_fail(&draft->faults[i].report, &error);
            if (result == 0)
                sq_reply_fail(reply, &error);
            result = -1;
        }
    }
    return result == 0 ? check_descriptors(experiments, reply) : result;
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

/* For faults that learn while they are prepared what has to be undone. */
static int record_update(void *cookie, const struct sq_undo *undo, struct sq_error *error)
{
    struct sq_experiment_fault *fault = cookie;
    struct sq_undo_key key = sq_experiment_key(fault);
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
    env->agent_port_count = experiments->world.agent_port_count;
    memcpy(env->agent_ports, experiments->world.agent_ports, sizeof env->agent_ports);
    env->stressor_uid = experiments->world.stressor_uid;
    env->stressor_gid = experiments->world.stressor_gid;
    env->requester_pid = requester->pid <= INT_MAX ? (pid_t)requester->pid : 0;
    env->orders = request->faults;
    env->order_count = request->fault_count;
    env->request_number = experiments->draft_number;
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
    sq_experiments_insist(experiments);
    if (experiments->world.log->live_count == 0 || sq_experiments_recover(experiments, error) == 0)
        return 0;
    error->code = SQ_UNCLEAN;
    return sq_fail_in(error, "something of an earlier experiment is left on this host");
}

void sq_requests_prepare(struct sq_experiments *experiments, const struct sq_request *request,
                         struct sq_reply *reply)
{
    struct sq_error error;
    if (sq_experiment_is_live(experiments->current)) {
        handle_prepare_again(experiments, request, reply);
        return;
    }
    experiments->awaits_room = sq_experiments_removal_is_due(experiments);
    if (experiments->awaits_room) {
        experiments->waiting = request->experiment;
        sq_experiments_hurry(experiments, sq_ns_add(sq_experiments_now(experiments), ROOM_WITHIN_NS));
        return;
    }
    if (sq_ended_check_room(&experiments->ended, sq_experiments_now(experiments), &error) != 0 ||
        sq_requests_make_room(experiments, &error) != 0) {
        sq_reply_fail(reply, &error);
        return;
    }
    if (draft_all(experiments, request, reply) != 0) {
        show_draft(experiments, reply);
        sq_experiment_reset(experiments->draft);
        return;
    }
    struct sq_experiment *draft = experiments->draft;
    draft->token = request->token;
    draft->protection = experiments->world.policy->protection;
    draft->prepared_until_boot_ns = request->prepared_until_boot_ns != 0
                                        ? request->prepared_until_boot_ns
                                        : sq_ns_add(sq_experiments_now(experiments), SQ_PREPARED_MAX_NS);
    experiments->draft = experiments->current;
    experiments->current = draft;
    sq_ended_add(&experiments->ended, &experiments->draft->id, sq_experiments_now(experiments));
    sq_experiment_reset(experiments->draft);
    draft->requester = request->requester;
    draft->lease_boot_ns = sq_ns_add(sq_experiments_now(experiments), request->lease_ns);
    sq_experiments_start_preparing(experiments);
}

bool sq_experiments_answer_prepare(struct sq_experiments *experiments, const struct sq_request *request,
                                   struct sq_reply *reply)
{
    const struct sq_preparing *preparing = &experiments->preparing;
    if (experiments->awaits_room) {
        if (sq_experiments_removal_is_due(experiments))
            return false;
        /* It came in time, and was judged when it came. */
        sq_experiments_fill_reply(experiments, SQ_VERB_PREPARE, reply);
        sq_requests_prepare(experiments, request, reply);
        if (reply->code != SQ_OK)
            return true;
    }
    if (experiments->awaits_room || preparing->is_on)
        return false;
    sq_experiments_fill_reply(experiments, SQ_VERB_PREPARE, reply);
    if (preparing->outcome.code != SQ_OK)
        sq_reply_fail(reply, &preparing->outcome);
    if (sq_id_equal(&experiments->current->id, &request->experiment))
        sq_requests_show(experiments, reply);
    return true;
}
