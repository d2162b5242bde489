#include "guard.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENDED_NO_SET_UP 40
#define ENDED_NO_PARENT 41
#define ENDED_NO_TIMER  42
#define UNREAPED_MAX    64

/* What a guard tells of its set-up: one atomic write, as it is shorter than PIPE_BUF. */
struct ready_message {
    uint32_t code; /* enum sq_code */
    char text[SQ_ERROR_TEXT_MAX];
};
_Static_assert(sizeof(struct ready_message) <= PIPE_BUF, "one write, whole");

/* The ends that the new process keeps, and those of the injector. */
struct ends {
    int ready_read;
    int ready_write;
    int order_read;
    int order_write;
    int parent; /* a pidfd of the injector */
};

/* ---- in the guard ---- */

struct self {
    const struct sq_guard_job *job;
    struct ends ends;
    pid_t parent;
    int timer_fd;   /* of one that undoes */
    timer_t killer; /* of one that is killed */
};

static int compare_numbers(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Everything is closed but what is listed: the undo log's lock and the front's pipes first of all. */
static int keep_files(const struct self *self, struct sq_error *error)
{
    int kept[SQ_GUARD_FILES_MAX + 3];
    uint32_t count = 0;
    kept[count++] = self->ends.ready_write;
    kept[count++] = self->ends.order_read;
    kept[count++] = self->ends.parent;
    for (uint32_t i = 0; i < self->job->file_count; i++)
        kept[count++] = self->job->files[i];
    qsort(kept, count, sizeof kept[0], compare_numbers);
    unsigned from = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept[i] > (int)from && close_range(from, (unsigned)kept[i] - 1, 0) != 0)
            return sq_fail_errno(error, errno, "cannot close inherited files");
        from = (unsigned)kept[i] + 1;
    }
    if (close_range(from, UINT_MAX, 0) != 0)
        return sq_fail_errno(error, errno, "cannot close inherited files");
    return 0;
}

/* Ending a service sends these to all of its processes. */
static void ignore_endings(void)
{
    static const int endings[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
    sigset_t none;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        (void)signal(endings[i], SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int make_timers(struct self *self, struct sq_error *error)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    if (self->job->way == SQ_GUARD_WITH_INJECTOR)
        return timer_create(CLOCK_BOOTTIME, &event, &self->killer) == 0
                   ? 0
                   : sq_fail_errno(error, errno, "cannot make the timer that ends a guard");
    self->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return self->timer_fd >= 0 ? 0 : sq_fail_errno(error, errno, "cannot make the timer of a guard");
}

static int drop_capabilities(struct sq_error *error)
{
    cap_t none = cap_init();
    int result = none == NULL ? -1 : cap_set_proc(none);
    int number = errno;
    (void)cap_free(none);
    return result == 0 ? 0 : sq_fail_errno(error, number, "cannot drop a guard's capabilities");
}

static int set_up(struct self *self, struct sq_error *error)
{
    const struct sq_guard_job *job = self->job;
    if (job->set_up != NULL && job->set_up(job->cookie, error) != 0)
        return -1;
    return job->way == SQ_GUARD_WITH_INJECTOR ? drop_capabilities(error) : 0;
}

static void set_deadline(const struct self *self, uint64_t at_boot_ns)
{
    struct itimerspec time = {.it_value = {.tv_sec = (time_t)(at_boot_ns / SQ_NS_PER_SECOND),
                                           .tv_nsec = (long)(at_boot_ns % SQ_NS_PER_SECOND)}};
    int result = self->job->way == SQ_GUARD_WITH_INJECTOR
                     ? timer_settime(self->killer, TIMER_ABSTIME, &time, NULL)
                     : timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &time, NULL);
    if (result != 0 && self->job->way == SQ_GUARD_WITH_INJECTOR)
        _exit(ENDED_NO_TIMER);
}

/* The newest of the deadlines that have come; false when the injector has closed its end. */
static bool take_orders(const struct self *self)
{
    uint64_t deadline_ns;
    ssize_t length = read(self->ends.order_read, &deadline_ns, sizeof deadline_ns);
    if (length == (ssize_t)sizeof deadline_ns)
        set_deadline(self, deadline_ns);
    return length != 0;
}

/* Until the injector is gone or the deadline has passed. False at the first order, if that is waited for. */
static bool wait_for_end(const struct self *self, bool first_order)
{
    struct pollfd polled[] = {
        {.fd = self->ends.parent, .events = POLLIN},
        {.fd = self->ends.order_read, .events = POLLIN},
        {.fd = self->timer_fd, .events = POLLIN}, /* -1: ignored */
    };
    for (;;) {
        if (poll(polled, 3, -1) < 0) {
            if (errno == EINTR)
                continue;
            return true;
        }
        if (polled[0].revents != 0 || polled[2].revents != 0)
            return true;
        if (polled[1].revents == 0)
            continue;
        if (!take_orders(self))
            return true;
        if (first_order)
            return false;
    }
}

static _Noreturn void become_guard(struct self *self)
{
    struct ready_message message = {.code = SQ_OK};
    struct sq_error error = {.code = SQ_OK};
    /* A parent that died before this was called is noticed by its pid. */
    if (self->job->way == SQ_GUARD_WITH_INJECTOR &&
        (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != self->parent))
        _exit(ENDED_NO_PARENT);
    (void)setsid();
    (void)prctl(PR_SET_NAME, self->job->name, 0, 0, 0);
    ignore_endings();
    bool is_ready = keep_files(self, &error) == 0 && make_timers(self, &error) == 0;
    if (is_ready && wait_for_end(self, true))
        _exit(ENDED_NO_PARENT);
    bool has_begun = is_ready;
    is_ready = is_ready && set_up(self, &error) == 0;
    message.code = (uint32_t)error.code;
    if (!is_ready)
        (void)sq_text_copy(message.text, sizeof message.text, error.text);
    (void)!write(self->ends.ready_write, &message, sizeof message);
    (void)close(self->ends.ready_write);
    if (!is_ready && self->job->way == SQ_GUARD_WITH_INJECTOR)
        _exit(ENDED_NO_SET_UP);
    if (is_ready)
        (void)wait_for_end(self, false);
    /* Also after half a set-up: whatever it had made by then. */
    if (has_begun && self->job->way == SQ_GUARD_AFTER_INJECTOR && self->job->undo != NULL)
        self->job->undo(self->job->cookie);
    _exit(is_ready ? 0 : ENDED_NO_SET_UP);
}

/* ---- in the injector ---- */

/* Killed and let go before they had ended. */
static pid_t unreaped[UNREAPED_MAX];

static void reap_others(void)
{
    for (int i = 0; i < UNREAPED_MAX; i++)
        if (unreaped[i] != 0 && waitpid(unreaped[i], NULL, WNOHANG) != 0)
            unreaped[i] = 0;
}

static void remember_unreaped(pid_t pid)
{
    reap_others();
    for (int i = 0; i < UNREAPED_MAX; i++) {
        if (unreaped[i] != 0)
            continue;
        unreaped[i] = pid;
        return;
    }
}

static void close_ends(struct ends *ends)
{
    int *const all[] = {&ends->ready_read, &ends->ready_write, &ends->order_read, &ends->order_write,
                        &ends->parent};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sq_cleanup_close(all[i]);
}

static int open_ends(struct ends *ends, struct sq_error *error)
{
    int ready[2];
    int order[2];
    *ends = (struct ends){-1, -1, -1, -1, -1};
    if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) != 0)
        return sq_fail_errno(error, errno, "cannot make a guard's pipes");
    ends->ready_read = ready[0];
    ends->ready_write = ready[1];
    if (pipe2(order, O_CLOEXEC | O_NONBLOCK) == 0) {
        ends->order_read = order[0];
        ends->order_write = order[1];
        ends->parent = pidfd_open(getpid(), 0);
    }
    if (ends->parent >= 0)
        return 0;
    int number = errno;
    close_ends(ends);
    return sq_fail_errno(error, number, "cannot make a guard's pipes");
}

/* Its pid is its own until it is reaped. */
static int identify(pid_t pid, struct sq_guard *guard, struct sq_error *error)
{
    struct sq_process process;
    int found = sq_process_read(pid, &process);
    if (found == 0) {
        guard->id = process.id;
        guard->pidfd = pidfd_open(pid, 0);
    }
    if (found == 0 && guard->pidfd >= 0)
        return 0;
    int number = errno;
    (void)kill(pid, SIGKILL);
    remember_unreaped(pid);
    return sq_fail_errno(error, number, "cannot watch a guard");
}

int sq_guard_start(const struct sq_guard_job *job, struct sq_guard *guard, struct sq_error *error)
{
    struct self self = {.job = job, .parent = getpid(), .timer_fd = -1};
    *guard = (struct sq_guard){.pidfd = -1, .ready_fd = -1, .order_fd = -1};
    if (job->file_count > SQ_GUARD_FILES_MAX)
        return sq_fail(error, SQ_INTERNAL, "a guard was given %u descriptors", job->file_count);
    reap_others();
    if (open_ends(&self.ends, error) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become_guard(&self);
    if (pid < 0) {
        int number = errno;
        close_ends(&self.ends);
        return sq_fail_errno(error, number, "cannot start a guard");
    }
    guard->ready_fd = sq_take_fd(&self.ends.ready_read);
    guard->order_fd = sq_take_fd(&self.ends.order_write);
    close_ends(&self.ends);
    if (identify(pid, guard, error) == 0)
        return 0;
    sq_cleanup_close(&guard->ready_fd);
    sq_cleanup_close(&guard->order_fd);
    *guard = (struct sq_guard){0};
    return -1;
}

int sq_guard_go(const struct sq_guard *guard)
{
    return sq_guard_set_deadline(guard, 0);
}

int sq_guard_ready(struct sq_guard *guard, struct sq_error *error)
{
    struct ready_message message;
    if (guard->id.pid == 0)
        return sq_fail(error, SQ_INTERNAL, "there is no guard");
    if (guard->is_ready)
        return 1;
    ssize_t length = guard->ready_fd < 0 ? 0 : read(guard->ready_fd, &message, sizeof message);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    sq_cleanup_close(&guard->ready_fd);
    guard->ready_fd = -1;
    if (length != (ssize_t)sizeof message)
        return sq_fail(error, SQ_SYSTEM, "a guard ended before it was ready");
    message.text[sizeof message.text - 1] = '\0';
    if (message.code != SQ_OK)
        return sq_fail(error, (enum sq_code)message.code, "%s", message.text);
    guard->is_ready = true;
    return 1;
}

int sq_guard_set_deadline(const struct sq_guard *guard, uint64_t deadline_boot_ns)
{
    if (guard->id.pid == 0)
        return -1;
    ssize_t length = write(guard->order_fd, &deadline_boot_ns, sizeof deadline_boot_ns);
    return length == (ssize_t)sizeof deadline_boot_ns ? 0 : -1;
}

void sq_guard_end(const struct sq_guard *guard)
{
    if (guard->id.pid != 0 && !guard->is_gone)
        (void)sq_process_signal(guard->pidfd, SIGKILL);
}

bool sq_guard_is_gone(struct sq_guard *guard)
{
    if (guard->id.pid == 0 || guard->is_gone)
        return true;
    pid_t reaped = waitpid(guard->id.pid, NULL, WNOHANG);
    /* Not this process's child: somebody else's to reap. */
    guard->is_gone = reaped == guard->id.pid || (reaped < 0 && errno == ECHILD);
    return guard->is_gone;
}

void sq_guard_release(struct sq_guard *guard)
{
    if (guard->id.pid == 0)
        return;
    sq_guard_end(guard);
    if (!sq_guard_is_gone(guard))
        remember_unreaped(guard->id.pid);
    sq_cleanup_close(&guard->pidfd);
    sq_cleanup_close(&guard->ready_fd);
    sq_cleanup_close(&guard->order_fd);
    *guard = (struct sq_guard){0};
}
