/* The injector keeps what its faults and its front need, and nothing else, for itself and all that it starts.
 */
#ifndef SQ_INJECTOR_PRIVILEGES_H
#define SQ_INJECTOR_PRIVILEGES_H

#include "common/error.h"

/*
 * Reduce every capability set, the bounding set too, to the list in privileges.c, and set no_new_privs. What
 * was not there before is not asked for: the faults' own checks say what is missing. Refuses users other than
 * root.
 */
int sq_injector_privileges_drop(struct sq_error *error);

#endif
