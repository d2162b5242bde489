/*
 * <run>, the directory of an agent's life, and what is root's alone in it.
 *
 *   <run>          root's, and, where squalld made it, open to the front's group, so that the front can make
 * its Unix socket there; by the sticky bit nobody can touch what others keep beside it <run>/squalld  root's
 * alone, mode 0700: the lock, the undo log, halt.sock. Nobody else can plant one
 *
 * A directory that squalld did not make is never changed.
 */
#ifndef SQ_INJECTOR_RUN_DIRECTORY_H
#define SQ_INJECTOR_RUN_DIRECTORY_H

#include "common/error.h"
#include "injector/config.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Make both where they are not there: <run> with mode 1775, root:<group>. Refuses a <run> that is not this
 * user's or in which others may rename files, and a <run>/squalld that others may even look into.
 */
int sq_run_directory_make(const struct sq_agent_config *config, struct sq_error *error);

/* That it could be made, or is as it has to be; makes nothing. */
int sq_run_directory_check(const char *run, struct sq_error *error);

/* The second of them alone, in a <run> that is there. */
int sq_run_directory_make_own(const char *run, struct sq_error *error);

/* The path of a file in <run>/squalld. SQ_BAD_INPUT: it is too long. */
int sq_run_directory_path(const char *run, const char *file, char path[PATH_MAX], struct sq_error *error);

/* True if `path`, or what it would be made in, is on a tmpfs, where a full disk cannot stop a revert. */
bool sq_run_directory_is_tmpfs(const char *path);

/*
 * Lock <run>/squalld/squalld.lock for this process's life; *lock_fd is the caller's. SQ_CONFLICT, with the
 * holder's pid, when an agent or a recovery runs already, also one of version 0.1, whose lock stands in
 * <run>.
 */
int sq_run_directory_lock(const char *run, int *lock_fd, struct sq_error *error);

/* Was it this process that took the lock last? Whether it still holds it is not said. */
bool sq_run_directory_is_locked_by(const char *run, pid_t pid);

/* Does anybody hold the lock? */
bool sq_run_directory_is_in_use(const char *run);

#endif
