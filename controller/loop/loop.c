#include "loop/loop.h"

#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define NS_PER_US   UINT64_C(1000)
#define ACCURACY_US 1

enum kind { FD, ALWAYS_READY, TIMER, CHILD };

struct sq_loop_source {
    struct sq_loop *loop;
    struct sq_loop_source *next; /* all of the loop */
    struct sq_loop_source *previous;
    enum kind kind;
    bool removed; /* while the list is being walked */
    sd_event_source *event;
    int own_fd; /* a duplicate, or a pidfd; -1: none */
    uint32_t events;
    uint64_t turn; /* in which it was called last */
    uint64_t at_boot_ns;
    pid_t pid;
    union {
        sq_loop_fd_call fd;
        sq_loop_timer_call timer;
        sq_loop_child_call child;
    } call;
    void *cookie;
};

struct sq_loop {
    sd_event *event;
    sd_event_source *alarm;
    bool played;
    uint64_t played_boot_ns;
    uint64_t turn;
    unsigned calls; /* of this turn */
    bool again;     /* what is ready now was called in this turn already */
    bool walking;   /* sources may not be freed now */
    struct sq_loop_source *sources;
};

uint64_t sq_loop_now_boot_ns(const struct sq_loop *loop)
{
    return loop->played ? loop->played_boot_ns : sq_boot_ns();
}

static int on_alarm(sd_event_source *source, uint64_t at_us, void *cookie)
{
    (void)source;
    (void)at_us;
    (void)cookie; /* it only ends the wait; the turn looks at the timers itself */
    return 0;
}

int sq_loop_open(struct sq_loop **loop_out, struct sq_error *error)
{
    struct sq_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return sq_fail_errno(error, ENOMEM, "event loop");
    int status = sd_event_new(&loop->event);
    if (status >= 0)
        status = sd_event_add_time(loop->event, &loop->alarm, CLOCK_BOOTTIME, UINT64_MAX, ACCURACY_US,
                                   on_alarm, NULL);
    if (status < 0) {
        sq_loop_close(loop);
        return sq_fail_errno(error, -status, "event loop");
    }
    *loop_out = loop;
    return 0;
}

int sq_loop_open_played(uint64_t start_boot_ns, struct sq_loop **loop, struct sq_error *error)
{
    if (sq_loop_open(loop, error) != 0)
        return -1;
    (*loop)->played = true;
    (*loop)->played_boot_ns = start_boot_ns;
    return 0;
}

void sq_loop_stand_still(struct sq_loop *loop, uint64_t for_ns)
{
    loop->played_boot_ns = sq_ns_add(loop->played_boot_ns, for_ns);
}

static void release(struct sq_loop_source *source)
{
    (void)sd_event_source_disable_unref(source->event);
    source->event = NULL;
    sq_cleanup_close(&source->own_fd);
    source->own_fd = -1;
}

static void unlink_and_free(struct sq_loop_source *source)
{
    if (source->previous != NULL)
        source->previous->next = source->next;
    else
        source->loop->sources = source->next;
    if (source->next != NULL)
        source->next->previous = source->previous;
    free(source);
}

void sq_loop_close(struct sq_loop *loop)
{
    if (loop == NULL)
        return;
    while (loop->sources != NULL) {
        release(loop->sources);
        unlink_and_free(loop->sources);
    }
    (void)sd_event_source_disable_unref(loop->alarm);
    (void)sd_event_unref(loop->event);
    free(loop);
}

static struct sq_loop_source *source_new(struct sq_loop *loop, enum kind kind, void *cookie,
                                         struct sq_error *error)
{
    struct sq_loop_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        (void)sq_fail_errno(error, ENOMEM, "event loop");
        return NULL;
    }
    source->loop = loop;
    source->kind = kind;
    source->cookie = cookie;
    source->own_fd = -1;
    source->next = loop->sources;
    if (source->next != NULL)
        source->next->previous = source;
    loop->sources = source;
    return source;
}

void sq_loop_remove(struct sq_loop_source *source)
{
    if (source == NULL)
        return;
    release(source);
    source->removed = true;
    if (!source->loop->walking)
        unlink_and_free(source);
}

/* Once in a turn: what stays ready may keep neither timers nor the caller from their turn. */
static bool begin_call(struct sq_loop_source *source)
{
    struct sq_loop *loop = source->loop;
    loop->again = source->turn == loop->turn;
    if (loop->again)
        return false;
    source->turn = loop->turn;
    loop->calls++;
    return true;
}

static int on_io(sd_event_source *event, int fd, uint32_t events, void *cookie)
{
    (void)event;
    (void)fd;
    struct sq_loop_source *source = cookie;
    if (begin_call(source))
        source->call.fd(source->cookie, events);
    return 0;
}

int sq_loop_add_fd(struct sq_loop *loop, int fd, uint32_t events, sq_loop_fd_call call, void *cookie,
                   struct sq_loop_source **source_out, struct sq_error *error)
{
    struct sq_loop_source *source = source_new(loop, FD, cookie, error);
    if (source == NULL)
        return -1;
    source->call.fd = call;
    source->events = events;
    int status = sd_event_add_io(loop->event, &source->event, fd, events, on_io, source);
    if (status == -EEXIST) { /* epoll takes a descriptor once */
        source->own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        status = source->own_fd < 0
                     ? -errno
                     : sd_event_add_io(loop->event, &source->event, source->own_fd, events, on_io, source);
    }
    if (status == -EPERM) { /* a regular file: epoll has nothing to wait for */
        source->kind = ALWAYS_READY;
        status = 0;
    }
    if (status < 0) {
        sq_loop_remove(source);
        return sq_fail_errno(error, -status, "event loop: descriptor %d", fd);
    }
    *source_out = source;
    return 0;
}

int sq_loop_set_events(struct sq_loop_source *source, uint32_t events, struct sq_error *error)
{
    source->events = events;
    if (source->kind == ALWAYS_READY)
        return 0;
    int status = sd_event_source_set_io_events(source->event, events);
    return status < 0 ? sq_fail_errno(error, -status, "event loop") : 0;
}

int sq_loop_add_timer(struct sq_loop *loop, sq_loop_timer_call call, void *cookie,
                      struct sq_loop_source **source_out, struct sq_error *error)
{
    struct sq_loop_source *source = source_new(loop, TIMER, cookie, error);
    if (source == NULL)
        return -1;
    source->call.timer = call;
    *source_out = source;
    return 0;
}

void sq_loop_arm(struct sq_loop_source *timer, uint64_t at_boot_ns)
{
    timer->at_boot_ns = at_boot_ns;
}

static int on_child(sd_event_source *event, int fd, uint32_t events, void *cookie)
{
    (void)event;
    (void)fd;
    (void)events;
    struct sq_loop_source *source = cookie;
    int wait_status = 0;
    if (!begin_call(source))
        return 0;
    (void)sd_event_source_set_enabled(source->event, SD_EVENT_OFF);
    pid_t reaped = waitpid(source->pid, &wait_status, WNOHANG);
    if (reaped != 0)
        source->call.child(source->cookie, reaped == source->pid ? wait_status : -1);
    return 0;
}

int sq_loop_add_child(struct sq_loop *loop, pid_t pid, sq_loop_child_call call, void *cookie,
                      struct sq_loop_source **source_out, struct sq_error *error)
{
    struct sq_loop_source *source = source_new(loop, CHILD, cookie, error);
    if (source == NULL)
        return -1;
    source->call.child = call;
    source->pid = pid;
    source->own_fd = pidfd_open(pid, 0);
    int status = source->own_fd < 0 ? -errno
                                    : sd_event_add_io(loop->event, &source->event, source->own_fd, EPOLLIN,
                                                      on_child, source);
    if (status < 0) {
        sq_loop_remove(source);
        return sq_fail_errno(error, -status, "event loop: process %d", (int)pid);
    }
    *source_out = source;
    return 0;
}

static uint64_t next_timer_boot_ns(const struct sq_loop *loop)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (const struct sq_loop_source *source = loop->sources; source != NULL; source = source->next)
        if (source->kind == TIMER && source->at_boot_ns != 0 && source->at_boot_ns < next_boot_ns)
            next_boot_ns = source->at_boot_ns;
    return next_boot_ns;
}

static bool is_any_always_ready(const struct sq_loop *loop)
{
    for (const struct sq_loop_source *source = loop->sources; source != NULL; source = source->next)
        if (source->kind == ALWAYS_READY && source->events != 0)
            return true;
    return false;
}

/* sd-event calls one source in each of its runs, who became ready first first; after the first run the rest
 * waits for nobody. */
static int wait_and_call(struct sq_loop *loop, bool wait)
{
    loop->again = false;
    int status = sd_event_run(loop->event, wait ? UINT64_MAX : 0);
    while (status > 0 && !loop->again)
        status = sd_event_run(loop->event, 0);
    return status;
}

static void call_due(struct sq_loop *loop)
{
    uint64_t now_boot_ns = sq_loop_now_boot_ns(loop);
    loop->walking = true;
    for (struct sq_loop_source *source = loop->sources; source != NULL; source = source->next) {
        if (source->removed)
            continue;
        if (source->kind == ALWAYS_READY && source->events != 0) {
            source->call.fd(source->cookie, source->events);
        } else if (source->kind == TIMER && source->at_boot_ns != 0 && source->at_boot_ns <= now_boot_ns) {
            source->at_boot_ns = 0;
            source->call.timer(source->cookie);
        }
    }
    loop->walking = false;
    for (struct sq_loop_source *source = loop->sources; source != NULL;) {
        struct sq_loop_source *next = source->next;
        if (source->removed)
            unlink_and_free(source);
        source = next;
    }
}

static int arm_alarm(const struct sq_loop *loop, uint64_t at_boot_ns)
{
    if (at_boot_ns == UINT64_MAX)
        return sd_event_source_set_enabled(loop->alarm, SD_EVENT_OFF);
    int status =
        sd_event_source_set_time(loop->alarm, at_boot_ns / NS_PER_US + (at_boot_ns % NS_PER_US != 0));
    return status < 0 ? status : sd_event_source_set_enabled(loop->alarm, SD_EVENT_ONESHOT);
}

static int turn_played(struct sq_loop *loop, uint64_t until_boot_ns)
{
    int status = wait_and_call(loop, false);
    uint64_t next_boot_ns = next_timer_boot_ns(loop);
    if (next_boot_ns > until_boot_ns)
        next_boot_ns = until_boot_ns;
    if (status < 0 || loop->calls > 0 || is_any_always_ready(loop))
        return status;
    /* With no timer and no limit there is only the world outside to wait for. */
    if (next_boot_ns == UINT64_MAX)
        return wait_and_call(loop, true);
    if (next_boot_ns > loop->played_boot_ns)
        loop->played_boot_ns = next_boot_ns;
    return status;
}

static int turn_real(struct sq_loop *loop, uint64_t until_boot_ns)
{
    uint64_t next_boot_ns = next_timer_boot_ns(loop);
    if (next_boot_ns > until_boot_ns)
        next_boot_ns = until_boot_ns;
    bool wait = next_boot_ns > sq_boot_ns() && !is_any_always_ready(loop);
    int status = arm_alarm(loop, wait ? next_boot_ns : UINT64_MAX);
    return status < 0 ? status : wait_and_call(loop, wait);
}

int sq_loop_turn(struct sq_loop *loop, uint64_t until_boot_ns, struct sq_error *error)
{
    loop->turn++;
    loop->calls = 0;
    int status = loop->played ? turn_played(loop, until_boot_ns) : turn_real(loop, until_boot_ns);
    if (status < 0 && status != -EINTR)
        return sq_fail_errno(error, -status, "event loop: cannot wait");
    call_due(loop);
    return 0;
}
