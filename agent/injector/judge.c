/* What a policy that was read again makes of the faults that are prepared or in already. */
#include "experiment.h"

#include <string.h>

/* Not over: prepared, in, or of a PREPARE that is on its way, also when its turn has not come yet. */
static bool is_subject(const struct sq_experiments *experiments, const struct sq_experiment_fault *fault)
{
    enum sq_fault_state state = fault->report.state;
    return fault->is_being_prepared || state == SQ_STATE_PREPARED || state == SQ_STATE_INJECTED ||
           (experiments->preparing.is_on && state == SQ_STATE_NONE);
}

/* All faults or none, and so none. */
static void forbid_preparing(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                             const struct sq_error *error)
{
    sq_experiment_forbid(experiments, fault, error);
    sq_experiments_end(experiments, SQ_END_POLICY);
    experiments->preparing.outcome = *error;
}

static void forbid(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                   const struct sq_error *error)
{
    if (experiments->preparing.is_on)
        forbid_preparing(experiments, fault, error);
    else
        sq_experiment_forbid(experiments, fault, error);
}

static int check_protection(const struct sq_experiments *experiments, const struct sq_experiment_fault *fault,
                            struct sq_error *error)
{
    if (fault->ops->allowed == NULL)
        return 0;
    return fault->ops->allowed(fault->state, &fault->order, &fault->env, &fault->undo,
                               &experiments->current->protection, error);
}

void sq_experiments_judge(struct sq_experiments *experiments)
{
    struct sq_experiment *current = experiments->current;
    const struct sq_policy *policy = experiments->world.policy;
    struct sq_error error;
    /* What can be told at once first: to compare targets takes a look at the host. */
    for (uint32_t i = 0; i < current->fault_count; i++)
        if (is_subject(experiments, &current->faults[i]) &&
            sq_policy_permits(policy, &current->faults[i].order, &error) != 0)
            forbid(experiments, &current->faults[i], &error);
    for (uint32_t i = 0; i < current->fault_count; i++)
        if (is_subject(experiments, &current->faults[i]) &&
            check_protection(experiments, &current->faults[i], &error) != 0)
            forbid(experiments, &current->faults[i], &error);
    sq_experiments_insist(experiments);
}
