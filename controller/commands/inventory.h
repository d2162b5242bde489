/* The inventory that a verb works on. */
#ifndef SQ_COMMANDS_INVENTORY_H
#define SQ_COMMANDS_INVENTORY_H

#include "commands/command.h"
#include "common/error.h"
#include "model/inventory.h"

/*
 * The one of --hosts, SQUALL_HOSTS or the default place. Where nobody named one and the default is not there,
 * SQ_BAD_INPUT says what to do; `or_local`: the verb takes --local, which needs none. The caller frees it
 * with sq_inventory_free.
 */
int sq_command_inventory(const struct sq_options *options, bool or_local, struct sq_inventory **inventory,
                         struct sq_error *error);

#endif
