/*
 * The dry run: every agent of a plan is asked what its part would do. Nothing is changed anywhere. Also the
 * plan's blast radius as JSON (sq_plan_print in plan.h is its text).
 */
#ifndef SQ_CONTROLLER_PREVIEW_H
#define SQ_CONTROLLER_PREVIEW_H

#include "common/error.h"
#include "controller/client.h"
#include "controller/plan.h"

#include <jansson.h>
#include <stdio.h>

#define SQ_PREVIEW_TIMEOUT_NS (5 * SQ_NS_PER_SECOND)

/*
 * Ask every host of `plan` at once and keep the reports in it (previewed, reports). What went wrong with
 * single hosts stands in problems[i] for plan->hosts[i] (room for host_count; code SQ_OK: fine): unreachable,
 * or a fault that the host refuses, with the step named. Returns 0 if all is well; else -1 with the sum in
 * `error`, whose code is that of a refusal if there is one (a refusal is final), else that of an unreachable
 * host.
 */
int sq_preview(struct sq_plan *plan, struct sq_client *client, int interrupt_fd, struct sq_error *problems,
               struct sq_error *error);

/* The blast radius for people. `problems` may be NULL. sq_plan_print is this on standard output. */
void sq_preview_print(const struct sq_plan *plan, const struct sq_error *problems, bool offline, bool colored,
                      FILE *stream);

/* {"title", "steps": [...], "hosts": [{"name", "agent", "faults": [...], "problem"}]}; NULL when out of
 * memory. */
json_t *sq_preview_json(const struct sq_plan *plan, const struct sq_error *problems);

#endif
