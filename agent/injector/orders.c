/* INJECT, RENEW, REVERT, STATUS and HALT: orders to what is prepared already. */
#include "requests.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"

#include <string.h>

static bool is_selected(const struct sq_request *request, const struct sq_experiment_fault *fault)
{
    return request->fault_mask == 0 || (request->fault_mask >> fault->order.index & 1) != 0;
}

/* That every fault that the mask names is there, and, to be injected, not over nor by its time. */
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
    if (request->verb == SQ_VERB_INJECT && request->at_boot_ns >= current->prepared_until_boot_ns)
        return sq_fail(
            error, SQ_LIMIT,
            "the time to inject is later than what the faults were prepared for; nothing was done");
    if ((request->fault_mask & ~known) != 0)
        return sq_fail(error, SQ_UNKNOWN, "the experiment has no such fault on this host (mask 0x%x of 0x%x)",
                       request->fault_mask, known);
    return 0;
}

void sq_requests_inject(struct sq_experiments *experiments, const struct sq_request *request,
                        struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    struct sq_error error;
    uint64_t now_ns = sq_experiments_now(experiments);
    int refused = check_mask(current, request, &error);
    if (experiments->preparing.is_on)
        refused = sq_fail(&error, SQ_CONFLICT, "the experiment is still being prepared");
    if (refused != 0) {
        sq_reply_fail(reply, &error);
        sq_requests_show(experiments, reply);
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
            reply->code = fault->report.end_reason == SQ_END_POLICY ? SQ_POLICY : fault->report.code;
            memcpy(reply->message, fault->report.message, sizeof reply->message);
        }
    }
    sq_requests_show(experiments, reply);
}

/* A lease over an experiment that has ended by itself is no failure; one that was taken away is. */
static void renew_ended(struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_error error;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        enum sq_end_reason reason = experiments->current->faults[i].report.end_reason;
        if (reason == SQ_END_DURATION || reason == SQ_END_ORDERED)
            continue;
        (void)sq_requests_fail_over(experiments, SQ_RELATION_OVER, &error);
        sq_reply_fail(reply, &error);
        break;
    }
    sq_requests_show(experiments, reply);
}

void sq_requests_renew(struct sq_experiments *experiments, const struct sq_request *request,
                       struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    if (!sq_experiment_is_live(current)) {
        renew_ended(experiments, reply);
        return;
    }
    current->lease_boot_ns = sq_ns_add(sq_experiments_now(experiments), request->lease_ns);
    for (uint32_t i = 0; i < current->fault_count; i++) {
        struct sq_experiment_fault *fault = &current->faults[i];
        struct sq_error error;
        int result = 0;
        if (fault->report.state == SQ_STATE_INJECTED)
            result = sq_experiment_renew(experiments, fault, &error);
        else if (fault->report.state == SQ_STATE_PREPARED && !fault->is_being_prepared)
            result = sq_experiment_insist_on(experiments, fault, &error);
        if (result != 0 && reply->code == SQ_OK)
            sq_reply_fail(reply, &error);
    }
    sq_requests_show(experiments, reply);
}

static void report_unclean(const struct sq_experiments *experiments, struct sq_reply *reply)
{
    struct sq_error error;
    if (sq_experiments_is_unclean(experiments))
        (void)sq_fail(&error, SQ_UNCLEAN,
                      "not everything could be undone on this host; the fault's report says what is left");
    else if (sq_experiments_has_leftovers(experiments))
        (void)sq_fail(&error, SQ_UNCLEAN,
                      "something of an earlier experiment is left on this host; the agent's log says what, "
                      "it is tried again, by `squall halt` at once");
    else
        return;
    sq_reply_fail(reply, &error);
}

void sq_requests_revert(struct sq_experiments *experiments, const struct sq_request *request,
                        struct sq_reply *reply)
{
    struct sq_experiment *current = experiments->current;
    struct sq_error error;
    if (check_mask(current, request, &error) != 0)
        sq_reply_fail(reply, &error);
    /* While it is being prepared: all faults or none. */
    if (experiments->preparing.is_on)
        sq_experiments_end(experiments, SQ_END_ORDERED);
    for (uint32_t i = 0; i < current->fault_count; i++)
        if (is_selected(request, &current->faults[i]))
            sq_experiment_clean(experiments, &current->faults[i], SQ_END_ORDERED);
    sq_experiments_insist(experiments);
    report_unclean(experiments, reply);
    sq_requests_show(experiments, reply);
}

void sq_requests_halt(struct sq_experiments *experiments, const struct sq_request *request,
                      struct sq_reply *reply)
{
    bool was_live = sq_experiments_is_live(experiments);
    struct sq_error error;
    sq_experiments_end(experiments, SQ_END_HALT);
    sq_experiments_insist(experiments);
    if (!sq_id_equal(&request->experiment, &experiments->current->id) &&
        sq_ended_bar(&experiments->ended, &request->experiment, sq_experiments_now(experiments), &error) != 0)
        sq_reply_fail(reply, &error);
    /* What an earlier life left; without touching what is being removed in its own time. */
    if (sq_experiments_has_leftovers(experiments) && !sq_experiments_removal_is_due(experiments))
        (void)sq_experiments_recover(experiments, &error);
    report_unclean(experiments, reply);
    if (was_live || sq_experiments_removal_is_due(experiments) || sq_experiments_is_unclean(experiments))
        sq_requests_show(experiments, reply);
    if (was_live)
        sq_log(SQ_LOG_WARNING, "experiment '%s': halted", experiments->current->title);
}

/* With an id: that experiment, also when it is over. Without: whatever is here now. */
void sq_requests_status(struct sq_experiments *experiments, const struct sq_request *request,
                        struct sq_reply *reply)
{
    struct sq_error error;
    bool any = sq_id_is_zero(&request->experiment);
    enum sq_relation relation = sq_requests_relate(experiments, &request->experiment);
    bool is_here = any ? sq_experiments_is_live(experiments) || sq_experiments_removal_is_due(experiments) ||
                             sq_experiments_is_unclean(experiments)
                       : relation == SQ_RELATION_LIVE || relation == SQ_RELATION_OVER;
    if (is_here) {
        sq_requests_show(experiments, reply);
    } else if (!any) {
        if (relation == SQ_RELATION_FORGOTTEN)
            (void)sq_requests_fail_over(experiments, relation, &error);
        else
            (void)sq_requests_fail_unknown(&error);
        sq_reply_fail(reply, &error);
    }
    if (sq_experiments_has_leftovers(experiments))
        report_unclean(experiments, reply);
}
