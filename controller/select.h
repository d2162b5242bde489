/* Which hosts a step hits: labels and names, then count or per cent by seed (common/sample.h). Pure. */
#ifndef SQ_CONTROLLER_SELECT_H
#define SQ_CONTROLLER_SELECT_H

#include "common/error.h"
#include "controller/inventory.h"

#include <stdint.h>

/*
 * The indices into inventory->hosts, ascending, into `chosen` (room for host_count). SQ_NOBODY when nothing
 * matches, and when `count` asks for more than match; SQ_BAD_INPUT for a host name that the inventory does
 * not have, with the nearest one. Messages say file:line:column of the targets.
 */
int sq_select_hosts(const struct sq_experiment *experiment, const struct sq_targets *targets,
                    const struct sq_inventory *inventory, uint32_t *chosen, uint32_t *chosen_count,
                    struct sq_error *error);

#endif
