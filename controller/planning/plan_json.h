/* The blast radius of a plan, and who else is at work, as JSON (docs/json.md). */
#ifndef SQ_PLANNING_PLAN_JSON_H
#define SQ_PLANNING_PLAN_JSON_H

#include "common/error.h"
#include "model/company.h"
#include "model/plan.h"

#include <jansson.h>

/* {"title", "steps": [...], "hosts": [{"name", "agent", "faults": [...], "problem"}]}; NULL when out of
 * memory. */
json_t *sq_plan_json(const struct sq_plan *plan, const struct sq_error *problems);

/* [{"host", "state", "id", "title", "operator", "since", "until", ...}], one per host that has company. */
json_t *sq_company_json(const struct sq_company *company);

#endif
