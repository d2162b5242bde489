/*
 * Becoming a process that may do nothing special, for good: what the front and every stressor do to
 * themselves before they do anything else. Each of them adds its own seccomp filter.
 */
#ifndef SQ_UNPRIVILEGED_UNPRIVILEGED_H
#define SQ_UNPRIVILEGED_UNPRIVILEGED_H

#include "common/error.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * Become uid and gid (neither 0) with no further groups, no capabilities in any set and no way to gain any,
 * no ptrace by that user. A process that is not root may only stay who it is. `who` names it in errors.
 * Changing the user takes a PR_SET_PDEATHSIG away: set it again.
 */
int sq_become_unprivileged(uid_t uid, gid_t gid, const char *who, struct sq_error *error);

/*
 * Limit a resource (RLIMIT_...) of this process to `most`, or to less where less is allowed already. `what`
 * names it in errors.
 */
int sq_limit_resource(unsigned resource, uint64_t most, const char *what, struct sq_error *error);

#endif
