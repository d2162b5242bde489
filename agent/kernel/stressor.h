/*
 * Stressors: processes that do nothing but use up a resource. They are forked from the injector, have no
 * privilege, and end by themselves.
 *
 * What ends one, each without the help of the others and of any code of squall's but the first:
 * - SIGKILL from the injector;
 * - a kernel timer (timer_create(2)) on the boot-time clock that sends SIGKILL at the end of the lease. A
 * timer belongs to the process that made it, so the injector cannot move it; it puts the renewed deadline
 * into a page that both share, and the stressor moves its own timer when it sees the change. A stressor that
 * is stopped, starved or broken does not, and is killed when the lease it last knew of ends: failing means
 * ending. One that was stopped before it saw its release has not begun, and dies as soon as it goes on;
 * - a second timer like it, set once, at injection + duration;
 * - the death of the injector (PR_SET_PDEATHSIG), and the stressor's own look whether its parent is still
 * there;
 * - RLIMIT_CPU, and for memory RLIMIT_AS.
 *
 * It is forked blocked: it sets itself up, says so, and waits. The caller records its id, and releases it
 * later by one store and one futex(2) wake for all stressors of a fault. Between fork and record it is the
 * parent's death that keeps it from being left behind.
 */
#ifndef SQ_KERNEL_STRESSOR_H
#define SQ_KERNEL_STRESSOR_H

#include "common/error.h"
#include "kernel/process.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* The page that the injector shares with the stressors of one fault. */
struct sq_stressor_control {
    _Atomic uint32_t sequence;         /* futex: changes with every change of the deadline */
    _Atomic uint64_t deadline_boot_ns; /* 0: not released yet */
    _Atomic uint64_t held_bytes;       /* the stressors add to it: memory that they have touched */
    _Atomic uint32_t stopped_short;    /* how many of the stressors have stopped growing at the floor */
};

/* What a stressor knows of itself, in its own process. */
struct sq_stressor_self {
    struct sq_stressor_control *control;
    pid_t parent;
    timer_t lease_timer;
    timer_t end_timer;
    uint64_t armed_boot_ns;
};

#define SQ_STRESSOR_FILES_MAX 2
#define SQ_STRESSOR_CALLS_MAX 4

/* What it is to be and do. */
struct sq_stressor_job {
    const char *name; /* its comm, at most 15 bytes */
    uid_t uid;        /* never 0 */
    gid_t gid;
    int group_fd;                     /* the control group that it starts in; -1: the agent's own */
    int core;                         /* the only one it may run on; -1: any */
    uint64_t duration_ns;             /* from its release on, whatever is renewed */
    uint64_t cpu_seconds_max;         /* RLIMIT_CPU */
    bool limit_memory;                /* RLIMIT_AS: nothing more after set_up */
    int calls[SQ_STRESSOR_CALLS_MAX]; /* system calls that `work` needs besides keeping time */
    uint32_t call_count;
    /*
     * In the new process, while it has the injector's privileges: get what the work needs. `files` are
     * closed-over descriptors that stay open; -1: none. NULL: nothing to do.
     */
    int (*set_up)(void *cookie, int files[SQ_STRESSOR_FILES_MAX], struct sq_error *error);
    /* In the new process, after its release. Calls sq_stressor_tick at least every 100 ms; never returns. */
    void (*work)(void *cookie, struct sq_stressor_self *self);
    void *cookie;
};

/* Why a stressor ended by itself: its exit status. */
enum sq_stressor_end {
    SQ_STRESSOR_NO_SET_UP = 40, /* it could not set itself up, and has told why */
    SQ_STRESSOR_NO_PARENT = 41,
    SQ_STRESSOR_NO_TIMER = 42, /* its timer could not be moved */
    SQ_STRESSOR_NO_CORE = 43,  /* its core went offline */
};

/* Can stressors be made here? Privileges, pidfds, seccomp, timers. SQ_UNABLE with what to do. */
int sq_stressor_check_host(struct sq_error *error);

/* NULL with errno. */
struct sq_stressor_control *sq_stressor_control_make(void);
void sq_stressor_control_free(struct sq_stressor_control *control); /* NULL is fine */

/*
 * Fork one. `ready_fd` is the writing end of a pipe for sq_stressor_take_ready. *id and *pidfd are the
 * caller's; it reaps the child.
 */
int sq_stressor_start(const struct sq_stressor_job *job, struct sq_stressor_control *control, int ready_fd,
                      struct sq_process_id *id, int *pidfd, struct sq_error *error);

/*
 * Take what the stressors have said by now: *ready, 0 at first, counts those that are set up. 1: all `count`
 * of them are, 0: not yet, -1: SQ_UNABLE with what one of them told. The reading end does not block; the
 * caller has closed its own copy of the writing end.
 */
int sq_stressor_take_ready(int ready_fd, uint32_t count, uint32_t *ready, struct sq_error *error);

/* Release those that wait, or move the deadline of those that work. One store and one wake: cannot fail. */
void sq_stressor_set_deadline(struct sq_stressor_control *control, uint64_t deadline_boot_ns);

/* --- in the stressor --- */

/* Follow a moved deadline; end if the parent is gone. */
void sq_stressor_tick(struct sq_stressor_self *self);

/* Sleep until the deadline moves, or at most so long. */
void sq_stressor_wait(const struct sq_stressor_self *self, uint64_t at_most_ns);

/* For stressor.c: confine this process to a few system calls (stressor_sandbox.c). */
int sq_stressor_confine(const int *calls, uint32_t call_count, struct sq_error *error);

#endif
