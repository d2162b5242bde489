/*
 * `squalld --halt`: a root-only Unix socket beside the undo log, <run>/halt.sock. Whoever connects halts: the
 * agent says at once that it heard, when every fault is clean, and in the end, as text for a person, what was
 * ended. It does not pass through the front, so it works when the front does not.
 *
 * An agent that does not say so within 2 s hangs, or was stopped or frozen by somebody. It is ended with
 * SIGKILL, which frees its lock, and the log tells what is to be undone. If not even that ends it, every
 * fault is made clean from the log, and nothing is removed.
 */
#ifndef SQ_INJECTOR_HALT_H
#define SQ_INJECTOR_HALT_H

#include "common/error.h"
#include "table/message.h"

#include <sys/types.h>

/* Listen (the lock is held, so a socket that is there is an earlier life's). *fd is the caller's; does not
 * block. */
int sq_halt_listen(const char *run, int *fd, struct sq_error *error);

/* Take one who connected, and log who it is. -1: nobody is there. The descriptor is the caller's. */
int sq_halt_accept(int halt_fd);

/* Tell one who connected that the faults are clean, and what was ended; never block. `reply` is that of a
 * HALT, after the removals.
 */
void sq_halt_acknowledge(int client_fd);
void sq_halt_answer(int client_fd, const struct sq_reply *reply);

/* The agent at the other end, as far as it is known beyond doubt. */
struct sq_halt_agent {
    pid_t pid;  /* 0: not known */
    int pid_fd; /* -1: not known */
};

/*
 * The other side: ask the agent of `run` to halt and print its answer. SQ_UNREACHABLE when no agent listens,
 * SQ_TIMEOUT when it does not answer, and then *agent says who it is (its pid_fd is the caller's, in any
 * case), SQ_UNCLEAN when something is left.
 */
int sq_halt_ask(const char *run, struct sq_halt_agent *agent, struct sq_error *error);

#endif
