/*
 * <run>, the directory of an agent's life: its lock, its undo log, its sockets. It belongs to root, and the
 * front's group may make files in it (its Unix socket), but, by the sticky bit, not touch those of root.
 */
#ifndef SQ_INJECTOR_RUN_DIRECTORY_H
#define SQ_INJECTOR_RUN_DIRECTORY_H

#include "common/error.h"
#include "injector/config.h"

#include <stdbool.h>

/* Make it if it is not there, mode 1775, root:<group>. Refuses one that others than root may rename files in.
 */
int sq_run_directory_make(const struct sq_agent_config *config, struct sq_error *error);

/* True if `path` is on a tmpfs, where a full disk cannot stop a revert. */
bool sq_run_directory_is_tmpfs(const char *path);

/*
 * Lock <run>/squalld.lock for this process's life; *lock_fd is the caller's. SQ_CONFLICT, with the holder's
 * pid, when an agent or a recovery runs already.
 */
int sq_run_directory_lock(const char *run, int *lock_fd, struct sq_error *error);

#endif
