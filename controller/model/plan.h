/*
 * A plan: which fault is ordered from which host, and, once the agents were asked, what each would touch.
 * Made from an experiment and an inventory; previewed by the agents; written to and read from a plan file.
 */
#ifndef SQ_MODEL_PLAN_H
#define SQ_MODEL_PLAN_H

#include "common/error.h"
#include "model/experiment.h"
#include "model/inventory.h"
#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>

/* One host's part: its faults in the order of the steps. Fault index i on the wire is faults[i]. */
struct sq_plan_host {
    const struct sq_host *host; /* borrowed from the inventory */
    uint32_t fault_count;
    uint32_t steps[SQ_FAULTS_MAX]; /* faults[i] belongs to this step of the experiment */
    bool previewed;
    uint32_t report_count;
    struct sq_fault_report *reports; /* what the agent's preview said, one per fault; owned; NULL before */
};

struct sq_plan {
    const struct sq_experiment *experiment; /* borrowed */
    const struct sq_inventory *inventory;   /* borrowed */
    uint32_t host_count;
    struct sq_plan_host *hosts; /* only those that are hit, in the inventory's order; owned */
};

void sq_plan_free(struct sq_plan *plan);
void sq_plan_cleanup(struct sq_plan **plan);
#define sq_autoplan __attribute__((cleanup(sq_plan_cleanup)))

/* Fill `orders` (room for SQ_FAULTS_MAX) with what is ordered from one host. */
void sq_plan_orders(const struct sq_plan *plan, uint32_t host, struct sq_fault_order *orders,
                    uint32_t *order_count);

#endif
