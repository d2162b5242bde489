/* The blast radius of a plan, as JSON. */
#ifndef SQ_PLANNING_PLAN_JSON_H
#define SQ_PLANNING_PLAN_JSON_H

#include "common/error.h"
#include "model/plan.h"

#include <jansson.h>

/* {"title", "steps": [...], "hosts": [{"name", "agent", "faults": [...], "problem"}]}; NULL when out of
 * memory. */
json_t *sq_plan_json(const struct sq_plan *plan, const struct sq_error *problems);

#endif
