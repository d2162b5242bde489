/*
 * The dry run of a plan, for `plan` and for `run` before it asks: what would each host do, and who else is at
 * work in the inventory? Asks the agents, changes nothing.
 */
#ifndef SQ_PLANNING_DRY_RUN_H
#define SQ_PLANNING_DRY_RUN_H

#include "agents/client.h"
#include "common/error.h"
#include "model/company.h"
#include "model/plan.h"

#include <stdbool.h>

struct sq_dry_run {
    struct sq_error *problems; /* one per host of the plan, as in agents/preview.h; owned */
    struct sq_company company; /* its `hosts` are NULL: nobody was asked */
    bool crowded;              /* it is the company that stands in the way */
};

int sq_dry_run_open(const struct sq_plan *plan, struct sq_dry_run *dry_run, struct sq_error *error);
void sq_dry_run_close(struct sq_dry_run *dry_run); /* one that was zeroed and never opened is fine */

/*
 * Ask every host of the inventory. 0: nobody refuses and the limits are kept beside all company. Else -1 with
 * what stands in the way, a refusal before anything else; SQ_ABORTED when `interrupt_fd` (or -1) became
 * readable.
 */
int sq_dry_run_ask(struct sq_plan *plan, struct sq_client *client, int interrupt_fd,
                   struct sq_dry_run *dry_run, struct sq_error *error);

/*
 * What is still to be said of a refusal where the plan was shown: who cannot take part, as the reasons stand
 * there; the whole refusal if it is no host's own. Into `text` (SQ_ERROR_TEXT_MAX).
 */
void sq_dry_run_brief(const struct sq_dry_run *dry_run, const struct sq_plan *plan,
                      const struct sq_error *refusal, char text[SQ_ERROR_TEXT_MAX]);

#endif
