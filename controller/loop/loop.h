/*
 * The one event loop of the controller, for everything that waits: descriptors, timers, child processes, and
 * through names.h names. One thread. sd-event (libsystemd) waits; its clock is CLOCK_BOOTTIME, as deadlines
 * are.
 *
 * A turn waits until something is ready, calls everything that is, then the timers that are due, and returns.
 * A call may add and remove sources, its own too. Whoever runs a loop does what is his after each turn.
 *
 * A played loop has a clock that goes only when nothing else is to be done: a turn looks at the descriptors
 * without waiting, and if none is ready jumps to the next timer. Tests with played agents need no time.
 */
#ifndef SQ_LOOP_LOOP_H
#define SQ_LOOP_LOOP_H

#include "common/error.h"

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

struct sq_loop;
struct sq_loop_source; /* one descriptor, timer or child; belongs to its loop */

typedef void (*sq_loop_fd_call)(void *cookie, uint32_t events);    /* EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP */
typedef void (*sq_loop_timer_call)(void *cookie);                  /* is disarmed by then */
typedef void (*sq_loop_child_call)(void *cookie, int wait_status); /* reaped; -1: by another */

int sq_loop_open(struct sq_loop **loop, struct sq_error *error);
int sq_loop_open_played(uint64_t start_boot_ns, struct sq_loop **loop, struct sq_error *error);
void sq_loop_stand_still(struct sq_loop *loop, uint64_t for_ns); /* a played one: time goes by unseen */
void sq_loop_close(struct sq_loop *loop); /* frees the sources that are left, calls nobody; NULL is fine */

/* The clock of deadlines: CLOCK_BOOTTIME as it is at the call, or the played one. */
uint64_t sq_loop_now_boot_ns(const struct sq_loop *loop);

/*
 * Watch `fd` (borrowed; remove the source before closing it), level-triggered, for `events` (EPOLLIN,
 * EPOLLOUT; 0: errors and hang-ups alone, which are always told). A regular file is always ready for EPOLLIN
 * and EPOLLOUT and never has errors. A descriptor may be watched more than once.
 */
int sq_loop_add_fd(struct sq_loop *loop, int fd, uint32_t events, sq_loop_fd_call call, void *cookie,
                   struct sq_loop_source **source, struct sq_error *error);
int sq_loop_set_events(struct sq_loop_source *source, uint32_t events, struct sq_error *error);

/* A timer, disarmed. Arming moves it; 0 disarms it. Timers are few: looking for the next costs their number.
 */
int sq_loop_add_timer(struct sq_loop *loop, sq_loop_timer_call call, void *cookie,
                      struct sq_loop_source **source, struct sq_error *error);
void sq_loop_arm(struct sq_loop_source *timer, uint64_t at_boot_ns);

/* Call once when child `pid` has ended, by its pidfd; the source is still to be removed. */
int sq_loop_add_child(struct sq_loop *loop, pid_t pid, sq_loop_child_call call, void *cookie,
                      struct sq_loop_source **source, struct sq_error *error);

void sq_loop_remove(struct sq_loop_source *source); /* is never called again; NULL is fine */

/* Wait for what comes first, at most until `until_boot_ns` (UINT64_MAX: however long it takes; 0: do not
 * wait), and call all that is ready. -1: waiting itself failed. */
int sq_loop_turn(struct sq_loop *loop, uint64_t until_boot_ns, struct sq_error *error);

#endif
