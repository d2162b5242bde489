/* The inventory's file, read into the model. docs/inventory.md has the format. */
#ifndef SQ_READING_INVENTORY_H
#define SQ_READING_INVENTORY_H

#include "common/error.h"
#include "common/problems.h"
#include "model/inventory.h"
#include "reading/input.h"

#include <stddef.h>

/*
 * Read the file, "-" being standard input. Refuses the same name twice, one agent URL under two names, plain
 * tcp://, a TLS agent without the `tls:` section, TLS files that do not exist. Agents' URLs come out
 * canonical (url.h). A bare file_sd file takes Prometheus and TLS from /etc/squall/controller.yaml or the
 * file that SQUALL_CONTROLLER names. The caller frees with sq_inventory_free. Relative paths are taken from
 * where the file stands, those of a pipe from the current folder. sq_inventory_parse looks at nothing but the
 * text it is given.
 */
int sq_inventory_load(const char *path, struct sq_inventory **inventory, struct sq_error *error);
int sq_inventory_read(const struct sq_input *input, struct sq_inventory **inventory, struct sq_error *error);

/* As sq_inventory_read, for `validate`: tells everything that is wrong. */
int sq_inventory_examine(const struct sq_input *input, struct sq_inventory **inventory,
                         struct sq_problems *problems);
extern const char *const sq_inventory_keys[]; /* of squall's own format, and NULL */

/* The controller's own settings alone, as an inventory without hosts. */
int sq_controller_examine(const struct sq_input *input, struct sq_inventory **inventory,
                          struct sq_problems *problems);
extern const char *const sq_controller_keys[]; /* and NULL */
int sq_inventory_parse(const char *name, const char *content, size_t length, struct sq_inventory **inventory,
                       struct sq_error *error);

#endif
