/* Which hosts a step hits: labels and names, then count or per cent by seed (common/sample.h). Pure. */
#ifndef SQ_MODEL_SELECT_H
#define SQ_MODEL_SELECT_H

#include "common/error.h"
#include "model/experiment.h"
#include "model/inventory.h"

#include <stdint.h>

/*
 * The indices into inventory->hosts, ascending, into `chosen` (room for host_count). SQ_NOBODY when nothing
 * matches, and when `count` asks for more than match; SQ_BAD_INPUT for a host name that the inventory does
 * not have, with the nearest one. Messages say file:line:column of the targets.
 */
int sq_select_hosts(const struct sq_experiment *experiment, const struct sq_targets *targets,
                    const struct sq_inventory *inventory, uint32_t *chosen, uint32_t *chosen_count,
                    struct sq_error *error);

/* How many hosts match the targets before count or per cent picks among them; 0 if that cannot be told. */
uint32_t sq_select_count(const struct sq_experiment *experiment, const struct sq_targets *targets,
                         const struct sq_inventory *inventory);

#endif
