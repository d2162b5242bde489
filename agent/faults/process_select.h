/* Which processes a process fault means, and which of them it must leave alone whoever orders what. */
#ifndef SQ_FAULTS_PROCESS_SELECT_H
#define SQ_FAULTS_PROCESS_SELECT_H

#include "faults/fault.h"
#include "kernel/process.h"

/* A selector made ready for comparing. Plain data: it stands in undo records. */
struct sq_process_pattern {
    struct sq_process_selector selector;
    char resolved[SQ_PATH_TEXT_MAX]; /* selector.executable without symbolic links, as /proc/PID/exe shows it
                                      */
};

/* Which parts of the pattern a process meets; those that are not asked for count as met. */
struct sq_process_verdict {
    bool executable;
    bool comm;
    bool command_line;
    bool unreadable; /* something that was asked for could not be read: the process does not match */
};

/* What must not be hit: made once per look at the host. */
struct sq_process_guard {
    const struct sq_protection *protection;
    char resolved[SQ_PROTECTED_MAX][SQ_PATH_TEXT_MAX]; /* as above; empty for units */
    pid_t front_pid;
    struct sq_process_file own_file;
    bool own_file_known;
};

void sq_process_pattern_init(struct sq_process_pattern *pattern, const struct sq_process_selector *selector);

/*
 * Does the process match? Zombies and the dead never do. `verdict` may be NULL. Allocates nothing and costs a
 * few system calls at most, none if comm already says no and nobody asks for the verdict.
 */
bool sq_process_matches(const struct sq_process_pattern *pattern, const struct sq_process *process,
                        struct sq_process_verdict *verdict);

void sq_process_guard_init(struct sq_process_guard *guard, const struct sq_fault_env *env);

/*
 * Must this process be left alone? Then `why` says it in a few words ("pid 1", "protected by the policy").
 * What cannot be looked at is left alone too.
 */
bool sq_process_is_spared(const struct sq_process_guard *guard, const struct sq_process *process, char *why,
                          size_t size);

#endif
