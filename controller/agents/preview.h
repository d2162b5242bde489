/*
 * The dry run: every agent of a plan is asked what its part would do. Nothing is changed anywhere.
 */
#ifndef SQ_AGENTS_PREVIEW_H
#define SQ_AGENTS_PREVIEW_H

#include "agents/client.h"
#include "common/error.h"
#include "model/plan.h"

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

#endif
