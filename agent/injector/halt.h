/*
 * `squalld --halt`: a root-only Unix socket beside the undo log, <run>/squalld/halt.sock. Whoever connects
 * halts; the answer is text for a person, then the end. It does not pass through the front, so it works when
 * the front does not.
 */
#ifndef SQ_INJECTOR_HALT_H
#define SQ_INJECTOR_HALT_H

#include "common/error.h"
#include "table/message.h"

/* Listen (the lock is held, so a socket that is there is an earlier life's). *fd is the caller's; does not
 * block. */
int sq_halt_listen(const char *run, int *fd, struct sq_error *error);

/* Answer one who connected with what was ended; never blocks. `reply` is that of a HALT, after the removals.
 */
void sq_halt_answer(int client_fd, const struct sq_reply *reply);

/*
 * The other side: ask the agent of `run` to halt and print its answer. SQ_UNREACHABLE when no agent listens,
 * SQ_TIMEOUT when it does not answer, SQ_UNCLEAN when something is left.
 */
int sq_halt_ask(const char *run, struct sq_error *error);

#endif
