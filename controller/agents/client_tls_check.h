/* The controller's own TLS files, judged before anybody rests on them: `squall validate`. */
#ifndef SQ_AGENTS_CLIENT_TLS_CHECK_H
#define SQ_AGENTS_CLIENT_TLS_CHECK_H

#include "common/document.h"
#include "common/problems.h"
#include "model/inventory.h"

#include <stdint.h>

#define SQ_TLS_WARN_DAYS 14

/*
 * That the three files of the inventory's `tls` are what they should be, that the key fits the certificate,
 * and that they are valid at this time (wall clock); one that ends within SQ_TLS_WARN_DAYS is warned of, and
 * so is one that may not be read here. `tls` is where they were named, for the messages; it may be not there.
 * Without a `tls` section nothing is wrong.
 */
void sq_client_tls_check(const struct sq_inventory *inventory, struct sq_node tls, uint64_t now_real_ns,
                         struct sq_problems *problems);

#endif
