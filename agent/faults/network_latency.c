/* network.latency: packets between the host and its peers arrive later. See docs/faults/network.latency.md.
 */
#include "faults/fault.h"
#include "faults/network_detour.h"
#include "faults/network_fault.h"
#include "faults/network_policy.h"
#include "faults/network_sweep.h"

#include "kernel/tc_ability.h"

static struct sq_netem netem_of(const struct sq_network_latency *latency)
{
    return (struct sq_netem){.delay_ns = latency->delay_ns, .jitter_ns = latency->jitter_ns};
}

static int able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    return sq_netem_check_ability(error);
}

static void queues(const struct sq_fault_order *order, struct sq_fault_queues *queues)
{
    sq_network_detours_queues(order->spec.latency.selector.direction,
                              order->spec.latency.delay_ns + order->spec.latency.jitter_ns, queues);
}

static int preview(const struct sq_fault_order *order, const struct sq_fault_env *env, struct sq_undo *undo,
                   struct sq_fault_report *report, struct sq_error *error)
{
    const struct sq_network_latency *latency = &order->spec.latency;
    struct sq_netem netem = netem_of(latency);
    const struct sq_network_effect effect = {.netem = &netem};
    if (sq_network_preview_fault(SQ_NETWORK_LATENCY, &latency->selector, &effect, env, undo, report, error) !=
        0)
        return -1;
    if (latency->jitter_ns > 0)
        sq_report_line(report, SQ_LINE_NOTE,
                       "with jitter, packets closer together than it may arrive in another order");
    return 0;
}

static int prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   struct sq_undo *undo, struct sq_error *error)
{
    struct sq_netem netem = netem_of(&order->spec.latency);
    const struct sq_network_effect effect = {.netem = &netem};
    return sq_network_prepare(state, &order->spec.latency.selector, &effect, env, undo, error);
}

static void status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    sq_network_count_hits(state, "delayed", report);
    if (sq_network_count_lost(state, undo, report) > 0)
        sq_network_warn_while(
            true, "packets were lost: more came than the queue holds (counters lost-in, lost-out)", report);
}

const struct sq_fault_ops sq_network_latency_ops = {
    .kind = SQ_NETWORK_LATENCY,
    .state_size = sizeof(struct sq_network_state),
    .able = able,
    .queues = queues,
    .preview = preview,
    .descriptors = sq_network_descriptors,
    .prepare = prepare,
    .inject = sq_network_set_deadline,
    .renew = sq_network_set_deadline,
    .look = sq_network_look,
    .allowed = sq_network_allowed,
    .clean = sq_network_clean,
    .settle = sq_network_settle,
    .remove = sq_network_remove,
    .status = status,
    .release = sq_network_release,
    .sweep = sq_network_sweep_detours,
};
