/* Removing what is clean, one step at a time, and trying again what could not be removed. */
#include "experiment.h"

#include "common/clock.h"
#include "common/log.h"

#include <string.h>

#define RETRY_FIRST_NS (100 * SQ_NS_PER_MILLISECOND)
#define RETRY_MOST_NS  (10 * SQ_NS_PER_SECOND)

/* The pause after so many failures in a row. */
static uint64_t pause_after_ns(uint32_t failures)
{
    uint64_t pause_ns = failures > 7 ? RETRY_MOST_NS : RETRY_FIRST_NS << (failures == 0 ? 0 : failures - 1);
    return pause_ns < RETRY_MOST_NS ? pause_ns : RETRY_MOST_NS;
}

static void fault_is_left(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                          const struct sq_error *error)
{
    struct sq_error unclean;
    (void)sq_fail(
        &unclean, SQ_UNCLEAN,
        "not all of it could be undone: %s; the agent tries again by itself, `squalld --halt` at once",
        error->text);
    sq_report_fail(&fault->report, &unclean);
    fault->report.state = SQ_STATE_FAILED;
    fault->retry.failures++;
    fault->retry.at_boot_ns =
        sq_ns_add(sq_experiments_now(experiments), pause_after_ns(fault->retry.failures));
    if (fault->retry.failures == 1)
        sq_log(SQ_LOG_ERROR, "fault %u, %s: %s", fault->order.index, sq_experiment_kind_name(fault),
               unclean.text);
}

static void fault_is_removed(struct sq_experiments *experiments, struct sq_experiment_fault *fault)
{
    struct sq_error error;
    const struct sq_undo_key key = sq_experiment_key(fault);
    fault->retry.at_boot_ns = 0;
    fault->report.removed_boot_ns = sq_experiments_now(experiments);
    if (fault->report.clean_boot_ns == 0)
        fault->report.clean_boot_ns = fault->report.removed_boot_ns;
    fault->report.state = fault->report.code == SQ_OK ? SQ_STATE_REVERTED : SQ_STATE_FAILED;
    if (fault->recorded && sq_undo_log_done(experiments->world.log, &key, &error) == 0)
        fault->recorded = false;
    else if (fault->recorded)
        sq_log(SQ_LOG_ERROR, "fault %u is undone, but stays in the undo log: %s", fault->order.index,
               error.text);
    sq_log(SQ_LOG_INFO, "fault %u, %s: removed (%s)", fault->order.index, sq_experiment_kind_name(fault),
           sq_end_reason_name(fault->report.end_reason));
}

/* What the tries before have said is over: the report is what it was before the first one. */
static void forget_failure(struct sq_experiment_fault *fault)
{
    struct sq_fault_report *report = &fault->report;
    report->line_count = fault->retry.line_count;
    report->lines_dropped = fault->retry.lines_dropped;
    report->code = SQ_OK;
    report->message[0] = '\0';
    if (fault->retry.before.code != SQ_OK)
        sq_report_fail(report, &fault->retry.before);
}

static void remember_report(struct sq_experiment_fault *fault)
{
    struct sq_fault_report *report = &fault->report;
    fault->retry = (struct sq_removal_retry){.line_count = report->line_count,
                                             .lines_dropped = report->lines_dropped,
                                             .before = {.code = report->code}};
    memcpy(fault->retry.before.text, report->message, sizeof report->message);
}

/* Take away what prepare made, and only then say so in the log. */
static void remove_fault(struct sq_experiments *experiments, struct sq_experiment_fault *fault)
{
    struct sq_error error = {.code = SQ_SYSTEM, .text = "its removal failed"};
    if (fault->removal_is_due) {
        fault->removal_is_due = false;
        /* A last look: what was gone before it was taken away did not hold until then. */
        if (fault->report.injected_boot_ns != 0 && fault->report.code == SQ_OK &&
            sq_experiment_look(experiments, fault, &error) != 0)
            sq_report_fail(&fault->report, &error);
        /* Last counters: what they count in goes away now. */
        if (fault->report.injected_boot_ns != 0 && fault->state != NULL)
            fault->ops->status(fault->state, &fault->undo, &fault->report);
        remember_report(fault);
    } else {
        forget_failure(fault);
    }
    int result = fault->ops->remove(fault->state, &fault->undo, &fault->report, &error);
    if (result != 0)
        fault_is_left(experiments, fault, &error);
    sq_experiment_release(fault);
    if (result == 0)
        fault_is_removed(experiments, fault);
}

bool sq_experiments_removal_is_due(const struct sq_experiments *experiments)
{
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        if (experiments->current->faults[i].removal_is_due)
            return true;
    return false;
}

bool sq_experiments_remove_next(struct sq_experiments *experiments)
{
    struct sq_experiment *experiment = experiments->current;
    for (uint32_t i = experiment->fault_count; i-- > 0;) {
        if (!experiment->faults[i].removal_is_due)
            continue;
        remove_fault(experiments, &experiment->faults[i]);
        return true;
    }
    return false;
}

void sq_experiments_hurry(struct sq_experiments *experiments, uint64_t by_boot_ns)
{
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiments->current->faults[i];
        fault->removal_by_boot_ns = sq_sooner_boot_ns(fault->removal_by_boot_ns, by_boot_ns);
        if (fault->removal_at_boot_ns > fault->removal_by_boot_ns)
            fault->removal_at_boot_ns = fault->removal_by_boot_ns;
    }
}

static bool is_due_by(const struct sq_experiment_fault *fault, uint64_t now_ns)
{
    return fault->removal_is_due && fault->removal_at_boot_ns <= now_ns;
}

static bool is_tried_again(const struct sq_experiment_fault *fault)
{
    return fault->recorded && fault->report.state == SQ_STATE_FAILED && !fault->removal_is_due &&
           fault->retry.at_boot_ns != 0;
}

bool sq_experiments_has_leftovers(const struct sq_experiments *experiments)
{
    uint32_t recorded = 0;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++)
        recorded += experiments->current->faults[i].recorded;
    return experiments->world.log->live_count > recorded;
}

uint64_t sq_experiments_next_removal_boot_ns(const struct sq_experiments *experiments)
{
    uint64_t next_ns = 0;
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        const struct sq_experiment_fault *fault = &experiments->current->faults[i];
        if (fault->removal_is_due)
            next_ns =
                sq_sooner_boot_ns(next_ns, fault->removal_at_boot_ns == 0 ? 1 : fault->removal_at_boot_ns);
        else if (is_tried_again(fault))
            next_ns = sq_sooner_boot_ns(next_ns, fault->retry.at_boot_ns);
    }
    if (sq_experiments_has_leftovers(experiments) && !sq_experiment_is_live(experiments->current))
        next_ns =
            sq_sooner_boot_ns(next_ns, experiments->recover_boot_ns == 0 ? 1 : experiments->recover_boot_ns);
    return next_ns;
}

bool sq_experiments_removal_is_ready(const struct sq_experiments *experiments)
{
    uint64_t next_ns = sq_experiments_next_removal_boot_ns(experiments);
    return next_ns != 0 && next_ns <= sq_experiments_now(experiments);
}

/* Has it settled by now? Else it is looked at again later. */
static bool is_settled(struct sq_experiment_fault *fault, uint64_t now_ns)
{
    if (fault->ops->settle != NULL)
        fault->removal_at_boot_ns = fault->ops->settle(fault->state, &fault->undo);
    if (fault->removal_by_boot_ns != 0 && fault->removal_at_boot_ns > fault->removal_by_boot_ns)
        fault->removal_at_boot_ns = fault->removal_by_boot_ns;
    return is_due_by(fault, now_ns);
}

/* The one that waits longest for its next try; NULL: none is to be tried now. */
static struct sq_experiment_fault *find_retry(struct sq_experiment *experiment, uint64_t now_ns)
{
    struct sq_experiment_fault *found = NULL;
    for (uint32_t i = 0; i < experiment->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiment->faults[i];
        if (is_tried_again(fault) && fault->retry.at_boot_ns <= now_ns &&
            (found == NULL || fault->retry.at_boot_ns < found->retry.at_boot_ns))
            found = fault;
    }
    return found;
}

/* The log alone knows of them; what of the current experiment is left is tried by the way. */
static void retry_leftovers(struct sq_experiments *experiments, uint64_t now_ns)
{
    struct sq_error error;
    if (sq_experiments_recover(experiments, &error) == 0) {
        experiments->recover_failures = 0;
        return;
    }
    experiments->recover_failures++;
    experiments->recover_boot_ns = sq_ns_add(now_ns, pause_after_ns(experiments->recover_failures));
}

bool sq_experiments_remove_settled(struct sq_experiments *experiments)
{
    struct sq_experiment *experiment = experiments->current;
    uint64_t now_ns = sq_experiments_now(experiments);
    for (uint32_t i = experiment->fault_count; i-- > 0;) {
        struct sq_experiment_fault *fault = &experiment->faults[i];
        if (!is_due_by(fault, now_ns) || !is_settled(fault, now_ns))
            continue;
        remove_fault(experiments, fault);
        return true;
    }
    struct sq_experiment_fault *fault = find_retry(experiment, now_ns);
    if (fault != NULL) {
        remove_fault(experiments, fault);
        return true;
    }
    if (sq_experiment_is_live(experiment) || sq_experiments_removal_is_due(experiments) ||
        !sq_experiments_has_leftovers(experiments) || experiments->recover_boot_ns > now_ns)
        return false;
    retry_leftovers(experiments, now_ns);
    return true;
}

int sq_experiments_recover(struct sq_experiments *experiments, struct sq_error *error)
{
    if (experiments->world.recover(experiments->world.cookie, error) != 0)
        return -1;
    /* It has undone whatever the log held, of the current experiment too. */
    for (uint32_t i = 0; i < experiments->current->fault_count; i++) {
        struct sq_experiment_fault *fault = &experiments->current->faults[i];
        if (!is_tried_again(fault))
            continue;
        fault->recorded = false;
        forget_failure(fault);
        fault_is_removed(experiments, fault);
    }
    return 0;
}

void sq_experiments_remove_unclean(struct sq_experiments *experiments)
{
    struct sq_experiment *experiment = experiments->current;
    for (uint32_t i = experiment->fault_count; i-- > 0;)
        if (experiment->faults[i].removal_is_due && experiment->faults[i].report.clean_boot_ns == 0)
            remove_fault(experiments, &experiment->faults[i]);
}

void sq_experiments_insist(struct sq_experiments *experiments)
{
    struct sq_experiment *experiment = experiments->current;
    sq_experiments_remove_unclean(experiments);
    for (uint32_t i = experiment->fault_count; i-- > 0;)
        if (is_tried_again(&experiment->faults[i]))
            remove_fault(experiments, &experiment->faults[i]);
}
