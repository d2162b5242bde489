/* network.partition: packets between the host and its peers vanish. See docs/faults/network.partition.md. */
#include "faults/fault.h"
#include "faults/network_fault.h"
#include "faults/network_policy.h"
#include "faults/network_sweep.h"

#include "kernel/tc_ability.h"

/* No detour, no chance. */
static const struct sq_network_effect everything = {.netem = NULL};

static int able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    return sq_drop_check_ability(error);
}

static int preview(const struct sq_fault_order *order, const struct sq_fault_env *env, struct sq_undo *undo,
                   struct sq_fault_report *report, struct sq_error *error)
{
    return sq_network_preview_fault(SQ_NETWORK_PARTITION, &order->spec.partition.selector, &everything, env,
                                    undo, report, error);
}

static int prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   struct sq_undo *undo, struct sq_error *error)
{
    return sq_network_prepare(state, &order->spec.partition.selector, &everything, env, undo, error);
}

static void status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    (void)undo;
    sq_network_count_hits(state, "dropped", report);
}

const struct sq_fault_ops sq_network_partition_ops = {
    .kind = SQ_NETWORK_PARTITION,
    .state_size = sizeof(struct sq_network_state),
    .able = able,
    .preview = preview,
    .descriptors = sq_network_descriptors,
    .prepare = prepare,
    .prepared = sq_network_prepared,
    .inject = sq_network_set_deadline,
    .renew = sq_network_set_deadline,
    .look = sq_network_look,
    .allowed = sq_network_allowed,
    .clean = sq_network_clean,
    .settle = sq_network_settle,
    .remove = sq_network_remove,
    .status = status,
    .release = sq_network_release,
    .sweep = sq_network_sweep_filters,
};
