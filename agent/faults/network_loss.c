/* network.loss: some packets between the host and its peers vanish. See docs/faults/network.loss.md. */
#include "faults/fault.h"
#include "faults/network_fault.h"
#include "faults/network_policy.h"

#include "kernel/tc_ability.h"

#include <string.h>

/* The same experiment loses the same packets again: of each direction the same numbers in their order. */
static uint64_t seed_of(const struct sq_fault_env *env)
{
    uint64_t words[2];
    _Static_assert(sizeof words == sizeof env->experiment, "an id is two words");
    memcpy(words, &env->experiment, sizeof words);
    return words[0] ^ (words[1] << 1) ^ ((uint64_t)env->slot << 56);
}

static struct sq_network_effect effect_of(const struct sq_fault_order *order, const struct sq_fault_env *env)
{
    return (struct sq_network_effect){
        .chance = {.lose_percent = order->spec.loss.percent, .seed = seed_of(env)}};
}

static int able(const struct sq_fault_order *order, struct sq_error *error)
{
    (void)order;
    return sq_drop_check_ability(error);
}

static int preview(const struct sq_fault_order *order, const struct sq_fault_env *env, struct sq_undo *undo,
                   struct sq_fault_report *report, struct sq_error *error)
{
    const struct sq_network_effect effect = effect_of(order, env);
    return sq_network_preview_fault(SQ_NETWORK_LOSS, &order->spec.loss.selector, &effect, env, undo, report,
                                    error);
}

static int prepare(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                   struct sq_undo *undo, struct sq_error *error)
{
    const struct sq_network_effect effect = effect_of(order, env);
    return sq_network_prepare(state, &order->spec.loss.selector, &effect, env, undo, error);
}

static void status(void *state, const struct sq_undo *undo, struct sq_fault_report *report)
{
    static const char lucky[] =
        "it has touched nothing so far: chance has lost none of the packets that came by";
    sq_network_count_hits(state, "exposed", report);
    bool exposed = report->touched;
    report->touched = sq_network_count_chance(state, undo, report) > 0;
    sq_network_warn_while(exposed && !report->touched, lucky, report);
}

const struct sq_fault_ops sq_network_loss_ops = {
    .kind = SQ_NETWORK_LOSS,
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
};
