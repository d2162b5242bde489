/* Which processes a process fault means, and which of them it must leave alone whoever orders what. */
#ifndef SQ_FAULTS_PROCESS_SELECT_H
#define SQ_FAULTS_PROCESS_SELECT_H

#include "faults/fault.h"
#include "faults/process_view.h"
#include "faults/protection.h"
#include "kernel/process.h"

#define SQ_ORDERING_MAX 64 /* generations; a shell below a shell below a session has some ten */

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
    struct sq_protected_files files;
    pid_t front_pid;
    struct sq_process_file own_file;
    bool own_file_known;
    uint32_t ordering_count;
    pid_t ordering[SQ_ORDERING_MAX]; /* whoever ordered this, and its ancestors */
};

void sq_process_pattern_init(struct sq_process_pattern *pattern, const struct sq_process_selector *selector);

/*
 * Does the process match? Zombies and the dead never do. When it does, SQ_PART_PROCESS has been read. Costs a
 * few system calls at most, the cheapest first, and no more than are needed to say no.
 */
bool sq_process_matches(const struct sq_process_pattern *pattern, struct sq_process_view *view);

/* The same for a message: every part is compared. */
bool sq_process_judge(const struct sq_process_pattern *pattern, struct sq_process_view *view,
                      struct sq_process_verdict *verdict);

void sq_process_guard_init(struct sq_process_guard *guard, const struct sq_fault_env *env);

/*
 * Must this process be left alone? Then `why` says it in a few words ("pid 1", "protected by the policy").
 * What cannot be looked at is left alone too.
 */
bool sq_process_is_spared(const struct sq_process_guard *guard, struct sq_process_view *view, char *why,
                          size_t size);

#endif
