#include "model/plan.h"

#include <stdlib.h>

void sq_plan_free(struct sq_plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; plan->hosts != NULL && i < plan->host_count; i++)
        free(plan->hosts[i].reports);
    free(plan->hosts);
    free(plan);
}

void sq_plan_cleanup(struct sq_plan **plan)
{
    sq_plan_free(*plan);
}

void sq_plan_orders(const struct sq_plan *plan, uint32_t host, struct sq_fault_order *orders,
                    uint32_t *order_count)
{
    const struct sq_plan_host *planned = &plan->hosts[host];
    for (uint32_t i = 0; i < planned->fault_count; i++) {
        const struct sq_step *step = &plan->experiment->steps[planned->steps[i]];
        orders[i].index = i;
        orders[i].duration_ns = step->duration_ns;
        orders[i].spec = step->spec;
    }
    *order_count = planned->fault_count;
}
