/* From an experiment and an inventory to a plan: who is hit by what. */
#ifndef SQ_PLANNING_PLAN_H
#define SQ_PLANNING_PLAN_H

#include "common/error.h"
#include "model/plan.h"

/*
 * Select the hosts of every step and gather them per host. Refuses: nobody to hit (SQ_NOBODY), two faults
 * that collide on one host while their times overlap (SQ_BAD_INPUT, with both steps' lines), more than
 * SQ_FAULTS_MAX faults on a host, more hosts than `limits` allow (SQ_LIMIT). Pure.
 */
int sq_plan_make(const struct sq_experiment *experiment, const struct sq_inventory *inventory,
                 struct sq_plan **plan, struct sq_error *error);

#endif
