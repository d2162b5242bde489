/* A PREPARE on its way: one fault after the other, in turns of the event loop, until all are there. */
#include "experiment.h"

#include "common/clock.h"
#include "common/log.h"
#include "injector/own_memory.h"

#include <arpa/inet.h>
#include <stdio.h>

#define READY_WITHIN_NS (5 * SQ_NS_PER_SECOND)
#define PAUSE_LEAST_NS  SQ_NS_PER_MILLISECOND
#define PAUSE_MOST_NS   (16 * SQ_NS_PER_MILLISECOND)
#define PAUSE_PART      8 /* of the time that it took so far: nothing takes much longer for being asked late */

/* However it went, it is over. */
static void finish(struct sq_experiments *experiments, const struct sq_error *outcome)
{
    const struct sq_experiment *experiment = experiments->current;
    const struct sq_requester *requester = &experiment->requester;
    char from[INET6_ADDRSTRLEN] = "";
    char id[SQ_ID_TEXT_MAX];
    experiments->preparing.is_on = false;
    experiments->preparing.outcome = *outcome;
    sq_id_format(&experiment->id, id);
    if (requester->family != 0)
        (void)inet_ntop(requester->family == 4 ? AF_INET : AF_INET6, requester->address, from, sizeof from);
    else
        (void)snprintf(from, sizeof from, "uid %u", requester->uid);
    sq_log(SQ_LOG_INFO, "experiment %s '%s' of %s, from %s: %s", id, experiment->title,
           experiment->operator_name, from, outcome->code == SQ_OK ? "prepared" : outcome->text);
}

static void is_there(struct sq_experiments *experiments, struct sq_experiment_fault *fault)
{
    fault->is_being_prepared = false;
    fault->report.state = SQ_STATE_PREPARED;
    fault->report.prepared_boot_ns = sq_experiments_now(experiments);
}

/* Record first, then make: what a crash leaves in between, the log knows. */
static int begin(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                 struct sq_error *error)
{
    struct sq_undo_key key = sq_experiment_key(fault);
    if (sq_undo_log_record(experiments->world.log, &key, &fault->undo, error) != 0) {
        fault->report.state = SQ_STATE_FAILED;
        return -1;
    }
    fault->recorded = true;
    fault->is_being_prepared = true;
    if (fault->ops->prepare(fault->state, &fault->order, &fault->env, &fault->undo, error) != 0)
        return -1;
    if (fault->ops->prepared == NULL)
        is_there(experiments, fault);
    return 0;
}

/* Ends what the others have, too: all faults or none. */
static void fail_preparing(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                           const struct sq_error *error)
{
    sq_report_fail(&fault->report, error);
    finish(experiments, error);
    sq_experiments_end(experiments, SQ_END_FAILURE);
    while (sq_experiments_remove_settled(experiments))
        ;
}

/* How many are not there yet; -1: one of them never will be. */
static int ask_all(struct sq_experiments *experiments)
{
    int missing = 0;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiments->current->faults[i];
        struct sq_error error;
        if (!fault->is_being_prepared)
            continue;
        int result = fault->ops->prepared(fault->state, &fault->undo, &error);
        if (result == 0 && sq_experiments_now(experiments) >= experiments->preparing.until_boot_ns)
            result = sq_fail(&error, SQ_TIMEOUT, "it was not ready within %d s",
                             (int)(READY_WITHIN_NS / SQ_NS_PER_SECOND));
        if (result < 0) {
            fail_preparing(experiments, fault, &error);
            return -1;
        }
        if (result > 0)
            is_there(experiments, fault);
        missing += result == 0;
    }
    return missing;
}

/* All are there; but one that was there before them may be over by now, and it is all or none. */
static void finish_whole(struct sq_experiments *experiments)
{
    struct sq_error outcome = {.code = SQ_OK};
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        const struct sq_experiment_fault *fault = &experiments->current->faults[i];
        if (fault->report.state != SQ_STATE_PREPARED)
            (void)sq_fail(&outcome, SQ_STALE, "fault %u has ended while the others were prepared (%s)",
                          fault->order.index, sq_end_reason_name(fault->report.end_reason));
    }
    if (outcome.code == SQ_OK)
        sq_own_memory_take();
    finish(experiments, &outcome);
    if (outcome.code != SQ_OK)
        sq_experiments_end(experiments, SQ_END_FAILURE);
}

static uint64_t pause_ns(const struct sq_preparing *preparing)
{
    uint64_t began_ns = sq_ns_sub(preparing->until_boot_ns, READY_WITHIN_NS);
    uint64_t part_ns = sq_ns_sub(preparing->next_boot_ns, began_ns) / PAUSE_PART;
    if (part_ns < PAUSE_LEAST_NS)
        return PAUSE_LEAST_NS;
    return part_ns < PAUSE_MOST_NS ? part_ns : PAUSE_MOST_NS;
}

void sq_experiments_go_on_preparing(struct sq_experiments *experiments)
{
    struct sq_preparing *preparing = &experiments->preparing;
    struct sq_experiment *current = experiments->current;
    struct sq_error error;
    if (preparing->next < current->fault_count) {
        struct sq_experiment_fault *fault = &current->faults[preparing->next++];
        if (begin(experiments, fault, &error) != 0) {
            fail_preparing(experiments, fault, &error);
            return;
        }
    }
    preparing->next_boot_ns = sq_experiments_now(experiments);
    if (preparing->next < current->fault_count)
        return;
    int missing = ask_all(experiments);
    if (missing < 0)
        return;
    if (missing == 0) {
        finish_whole(experiments);
        return;
    }
    preparing->next_boot_ns = sq_ns_add(preparing->next_boot_ns, pause_ns(preparing));
}

void sq_experiments_start_preparing(struct sq_experiments *experiments)
{
    uint64_t now_ns = sq_experiments_now(experiments);
    experiments->preparing = (struct sq_preparing){
        .is_on = true, .next_boot_ns = now_ns, .until_boot_ns = sq_ns_add(now_ns, READY_WITHIN_NS)};
    sq_experiments_go_on_preparing(experiments);
}
