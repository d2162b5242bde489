/*
 * Guards: helper processes that hold or undo what the kernel does not end by itself. One is forked from the
 * injector, which never waits for it: starting is quick, readiness and the end are asked for.
 *
 * There are two ways to end:
 * - with the injector: whatever the guard holds (a descriptor, say) goes with it. It has the parent's death
 *   signal and notices the parent's end by itself as well;
 * - after the injector: it notices the injector's end, undoes, and exits. Only SIGKILL hinders it.
 *
 * Both can be given a deadline that the injector moves: a kernel timer on the boot-time clock, at whose end
 * the first kind is killed by the kernel and the second undoes. A guard that cannot follow a renewal
 * (stopped, say) ends when the lease that it last knew of does.
 *
 * It is forked blocked: the caller records its pid and start time, and lets it go; until then it has made
 * nothing. It ignores the signals that end a service, so that it is the injector that decides, and keeps no
 * descriptor but those it is given: not the undo log's lock, not the front's pipes.
 */
#ifndef SQ_KERNEL_GUARD_H
#define SQ_KERNEL_GUARD_H

#include "common/error.h"
#include "kernel/process.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_GUARD_FILES_MAX 8

enum sq_guard_way { SQ_GUARD_WITH_INJECTOR, SQ_GUARD_AFTER_INJECTOR };

/* What it is to be and do. Copied by fork: the caller may forget it. It begins when it is told to go. */
struct sq_guard_job {
    const char *name; /* its comm, at most 15 bytes */
    enum sq_guard_way way;
    int files[SQ_GUARD_FILES_MAX]; /* descriptors that it inherits, at their own numbers */
    uint32_t file_count;
    /* In the guard, with the injector's privileges: get what is to be held. Then it says that it is ready. */
    int (*set_up)(void *cookie, struct sq_error *error);
    /*
     * In the guard, when the injector is gone or the deadline has passed: undo. Only with
     * SQ_GUARD_AFTER_INJECTOR; the other kind drops every capability after set_up.
     */
    void (*undo)(void *cookie);
    void *cookie;
};

/* The injector's end of it. Zeroed: there is none. */
struct sq_guard {
    struct sq_process_id id; /* pid 0: none was started */
    int pidfd;
    int ready_fd; /* what it tells of its set-up; -1: it has told */
    int order_fd; /* deadlines go this way */
    bool is_ready;
    bool is_gone; /* and reaped */
};

#define SQ_GUARD_DESCRIPTORS 4 /* that one holds in the injector at most */

/* Fork one, which waits to be told to go. Errors: SQ_SYSTEM. */
int sq_guard_start(const struct sq_guard_job *job, struct sq_guard *guard, struct sq_error *error);

/* Let it begin. Does not wait; -1 if it is gone already. */
int sq_guard_go(const struct sq_guard *guard);

/* 1: it is set up, 0: not yet, -1: it failed, or has ended; `error` says what it told. */
int sq_guard_ready(struct sq_guard *guard, struct sq_error *error);

/* Move the deadline; 0 is none. Does not wait; -1 if the guard is gone or does not follow. */
int sq_guard_set_deadline(const struct sq_guard *guard, uint64_t deadline_boot_ns);

/* Begin its end, by SIGKILL: it undoes nothing. Does not wait, cannot fail; harmless when it is gone. */
void sq_guard_end(const struct sq_guard *guard);

/* Has it ended, with all that it held released? Reaps it. True if there was none. */
bool sq_guard_is_gone(struct sq_guard *guard);

/* Close the injector's descriptors; one that is still there is killed, and reaped some time later. */
void sq_guard_release(struct sq_guard *guard);

#endif
