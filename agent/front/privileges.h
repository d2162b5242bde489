/* Giving up everything the front does not need, for good. For agent/front alone. */
#ifndef SQ_FRONT_PRIVILEGES_H
#define SQ_FRONT_PRIVILEGES_H

#include "common/error.h"

#include <stddef.h>
#include <sys/types.h>

/* Close every descriptor but the standard ones and these (at most 8; -1: none): what the injector had open is
 * not the front's. */
int sq_front_close_others(const int *kept, size_t count, struct sq_error *error);

/*
 * Become uid and gid with no further groups, no capabilities in any set, no way to gain any, no core dumps,
 * no ptrace by that user, and bounded descriptors. A process that is not root may only stay who it is.
 */
int sq_front_drop_privileges(uid_t uid, gid_t gid, struct sq_error *error);

/*
 * From now on the kernel ends this process when its parent dies, whatever it is doing. What it was told
 * before exec is lost with the change of user, so this comes after it. `parent` is who was the parent at the
 * start: one that has died meanwhile is an error.
 */
int sq_front_die_with(pid_t parent, struct sq_error *error);

#endif
