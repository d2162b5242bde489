/* The system calls that are left to the front. For agent/front alone. */
#ifndef SQ_FRONT_SANDBOX_H
#define SQ_FRONT_SANDBOX_H

#include "common/error.h"

/* Before nng starts: what threads, sockets, TLS and memory need. Whatever else is called ends the process. */
int sq_front_sandbox_enter(struct sq_error *error);

/* Once every listener listens: no new threads, no new sockets, and no connection outwards; those fail with
 * EPERM. */
int sq_front_sandbox_tighten(struct sq_error *error);

#endif
