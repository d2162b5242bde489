/* network.loss: some packets between the host and its peers vanish. See docs/faults/network.loss.md. */
#include "faults/fault.h"
#include "faults/network_detour.h"
#include "faults/network_fault.h"

#include "kernel/tc_ability.h"

static struct sq_netem netem_of(const struct sq_network_loss *loss)
{
    return (struct sq_netem){.loss_percent = loss->percent};
}

static int able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    return sq_netem_check_ability(error);
}

static void queues(const struct sq_fault_order *order, struct sq_fault_queues *queues)
{
    sq_network_detours_queues(order->spec.loss.selector.direction, 0, queues);
}

static int preview(const struct sq_fault_order *order, const struct sq_fault_env *env, struct sq_undo *undo,
                   struct sq_fault_report *report, struct sq_error *error)
{
    struct sq_netem netem = netem_of(&order->spec.loss);
    return sq_network_preview_fault(SQ_NETWORK_LOSS, &order->spec.loss.selector, &netem, env, undo, report,
                                    error);
}

static int prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   struct sq_undo *undo, struct sq_error *error)
{
    struct sq_netem netem = netem_of(&order->spec.loss);
    return sq_network_prepare(state, &order->spec.loss.selector, &netem, env, undo, error);
}

static void status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    static const char lucky[] =
        "it has touched nothing so far: chance has lost none of the packets that came by";
    sq_network_count_hits(state, "exposed", report);
    bool exposed = report->touched;
    report->touched = sq_network_count_lost(state, undo, report) > 0;
    sq_network_warn_while(exposed && !report->touched, lucky, report);
}

const struct sq_fault_ops sq_network_loss_ops = {
    .kind = SQ_NETWORK_LOSS,
    .state_size = sizeof(struct sq_network_state),
    .able = able,
    .queues = queues,
    .preview = preview,
    .descriptors = sq_network_descriptors,
    .prepare = prepare,
    .inject = sq_network_set_deadline,
    .renew = sq_network_set_deadline,
    .clean = sq_network_clean,
    .settle = sq_network_settle,
    .remove = sq_network_remove,
    .status = status,
    .release = sq_network_release,
};
