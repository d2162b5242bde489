#include "stressor.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "kernel/own_group.h"
#include "unprivileged/unprivileged.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PARENT_LOOK_NS    SQ_NS_PER_SECOND /* how often a stressor that waits looks whether its parent lives */
#define ADDRESS_SPACE_GAP (1u << 20)       /* what a stressor's stack may still grow by */

/* What a stressor tells of its set-up: one atomic write, as it is shorter than PIPE_BUF. */
struct ready_message {
    uint32_t code; /* enum sq_code */
    char text[240];
};
_Static_assert(sizeof(struct ready_message) <= PIPE_BUF, "one write, whole");

struct sq_stressor_control *sq_stressor_control_make(void)
{
    void *page = mmap(NULL, sizeof(struct sq_stressor_control), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

void sq_stressor_control_free(struct sq_stressor_control *control)
{
    if (control != NULL)
        (void)munmap(control, sizeof *control);
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

void sq_stressor_set_deadline(struct sq_stressor_control *control, uint64_t deadline_boot_ns)
{
    atomic_store(&control->deadline_boot_ns, deadline_boot_ns);
    (void)atomic_fetch_add(&control->sequence, 1);
    (void)futex(&control->sequence, FUTEX_WAKE, INT_MAX, NULL);
}

/* ---- in the stressor ---- */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / SQ_NS_PER_SECOND),
                             .tv_nsec = (long)(ns % SQ_NS_PER_SECOND)};
}

void sq_stressor_wait(const struct sq_stressor_self *self, uint64_t at_most_ns)
{
    uint32_t seen = atomic_load(&self->control->sequence);
    struct timespec timeout = timespec_of(at_most_ns);
    if (atomic_load(&self->control->deadline_boot_ns) == self->armed_boot_ns)
        (void)futex(&self->control->sequence, FUTEX_WAIT, seen, &timeout);
}

static void arm(timer_t timer, uint64_t at_boot_ns)
{
    struct itimerspec time = {.it_value = timespec_of(at_boot_ns)};
    /* Zero would switch the timer off. */
    if (at_boot_ns == 0 || timer_settime(timer, TIMER_ABSTIME, &time, NULL) != 0)
        _exit(SQ_STRESSOR_NO_TIMER);
}

void sq_stressor_tick(struct sq_stressor_self *self)
{
    uint64_t deadline_ns = atomic_load(&self->control->deadline_boot_ns);
    if (deadline_ns != self->armed_boot_ns) {
        arm(self->lease_timer, deadline_ns);
        self->armed_boot_ns = deadline_ns;
    }
    if (getppid() != self->parent)
        _exit(SQ_STRESSOR_NO_PARENT);
}

static void wait_for_release(struct sq_stressor_self *self, uint64_t duration_ns)
{
    while (atomic_load(&self->control->deadline_boot_ns) == 0) {
        sq_stressor_wait(self, PARENT_LOOK_NS);
        if (getppid() != self->parent)
            _exit(SQ_STRESSOR_NO_PARENT);
    }
    arm(self->end_timer, sq_ns_add(sq_boot_ns(), duration_ns));
    sq_stressor_tick(self);
}

static int make_timer(timer_t *timer, struct sq_error *error)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    if (timer_create(CLOCK_BOOTTIME, &event, timer) != 0)
        return sq_fail_errno(error, errno, "cannot make the timer that ends the stressor");
    return 0;
}

/* A parent that died before this was called is noticed by its pid. */
static int die_with_parent(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)
        _exit(SQ_STRESSOR_NO_PARENT);
    return 0;
}

static int limit_address_space(struct sq_error *error)
{
    char statm[64];
    unsigned long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, statm, sizeof statm - 1);
    if (fd >= 0)
        (void)close(fd);
    if (length > 0) {
        statm[length] = '\0';
        pages = strtoul(statm, NULL, 10);
    }
    if (pages == 0)
        return sq_fail(error, SQ_SYSTEM, "cannot read /proc/self/statm");
    return sq_limit_resource(RLIMIT_AS, (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) + ADDRESS_SPACE_GAP,
                             "the stressor's memory", error);
}

/* Whatever the agent itself runs as, a stressor competes like any program. */
static int be_ordinary(int core, struct sq_error *error)
{
    struct sched_param none = {.sched_priority = 0};
    if (sched_setscheduler(0, SCHED_OTHER, &none) != 0)
        return sq_fail_errno(error, errno, "cannot choose the ordinary scheduling class");
    /* To a higher value it is always allowed; a lower one the service's owner has chosen. */
    (void)setpriority(PRIO_PROCESS, 0, 0);
    if (core < 0)
        return 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        return sq_fail_errno(error, errno, "cannot run on core %d", core);
    return 0;
}

/* First choice of the OOM killer. Raising the value is allowed to everybody; a sandbox may hide the file. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, "1000", 4);
    (void)close(fd);
}

/* Keep the pipe and the work's files, as 0, 1, 2; close everything else, the agent's sockets and log first of
 * all. */
static int keep_files(int *ready_fd, const int files[SQ_STRESSOR_FILES_MAX], struct sq_error *error)
{
    int high[1 + SQ_STRESSOR_FILES_MAX];
    const int wanted[1 + SQ_STRESSOR_FILES_MAX] = {*ready_fd, files[0], files[1]};
    for (int i = 0; i < 1 + SQ_STRESSOR_FILES_MAX; i++) {
        high[i] = wanted[i] < 0 ? -1 : fcntl(wanted[i], F_DUPFD, 3);
        if (wanted[i] >= 0 && high[i] < 0)
            return sq_fail_errno(error, errno, "cannot keep a file");
    }
    for (int i = 0; i < 1 + SQ_STRESSOR_FILES_MAX; i++) {
        (void)close(i);
        if (high[i] >= 0 && dup2(high[i], i) != i)
            return sq_fail_errno(error, errno, "cannot keep a file");
    }
    *ready_fd = 0;
    if (close_range(1 + SQ_STRESSOR_FILES_MAX, UINT_MAX, 0) != 0)
        return sq_fail_errno(error, errno, "cannot close inherited files");
    return 0;
}

static int set_up(const struct sq_stressor_job *job, struct sq_stressor_self *self, int *ready_fd,
                  struct sq_error *error)
{
    int files[SQ_STRESSOR_FILES_MAX] = {-1, -1};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setsid();
    (void)prctl(PR_SET_NAME, job->name, 0, 0, 0);
    offer_to_oom_killer();
    if (be_ordinary(job->core, error) != 0 ||
        (job->set_up != NULL && job->set_up(job->cookie, files, error) != 0) ||
        (job->limit_memory && limit_address_space(error) != 0) || keep_files(ready_fd, files, error) != 0)
        return -1;
    if (sq_limit_resource(RLIMIT_CPU, job->cpu_seconds_max, "the stressor's CPU time", error) != 0 ||
        sq_limit_resource(RLIMIT_CORE, 0, "core dumps", error) != 0 ||
        sq_limit_resource(RLIMIT_FSIZE, 0, "files", error) != 0)
        return -1;
    if (make_timer(&self->lease_timer, error) != 0 || make_timer(&self->end_timer, error) != 0 ||
        sq_become_unprivileged(job->uid, job->gid, "the stressor", error) != 0)
        return -1;
    /* Changing the user took the parent's death signal away. */
    (void)die_with_parent(self->parent);
    return sq_stressor_confine(job->calls, job->call_count, error);
}

static _Noreturn void become_stressor(const struct sq_stressor_job *job, struct sq_stressor_control *control,
                                      int ready_fd, pid_t parent)
{
    struct sq_stressor_self self = {.control = control, .parent = parent};
    struct ready_message message = {.code = SQ_OK};
    struct sq_error error = {.code = SQ_OK};
    (void)die_with_parent(parent);
    bool is_ready = set_up(job, &self, &ready_fd, &error) == 0;
    message.code = (uint32_t)error.code;
    if (!is_ready)
        (void)sq_text_copy(message.text, sizeof message.text, error.text);
    (void)!write(ready_fd, &message, sizeof message);
    (void)close(ready_fd);
    if (!is_ready)
        _exit(SQ_STRESSOR_NO_SET_UP);
    wait_for_release(&self, job->duration_ns);
    job->work(job->cookie, &self);
    _exit(0);
}

/* ---- in the injector ---- */

static int fail_started(pid_t pid, int number, struct sq_error *error)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, WNOHANG); /* a zombie at worst: nobody waits for it */
    return sq_fail_errno(error, number, "cannot watch a stressor");
}

int sq_stressor_start(const struct sq_stressor_job *job, struct sq_stressor_control *control, int ready_fd,
                      struct sq_process_id *id, int *pidfd, struct sq_error *error)
{
    if (job->uid == 0 || job->gid == 0)
        return sq_fail(
            error, SQ_UNABLE,
            "a stressor may not run as user or group 0; name an unprivileged 'user' in the agent's "
            "configuration");
    pid_t parent = getpid();
    pid_t pid = sq_group_fork(job->group_fd);
    if (pid < 0)
        return sq_fail_errno(error, errno, "cannot start a stressor");
    if (pid == 0)
        become_stressor(job, control, ready_fd, parent);
    struct sq_process process;
    if (sq_process_read(pid, &process) != 0)
        return fail_started(pid, errno, error);
    *pidfd = pidfd_open(pid, 0);
    if (*pidfd < 0)
        return fail_started(pid, errno, error);
    *id = process.id;
    return 0;
}

int sq_stressor_take_ready(int ready_fd, uint32_t count, uint32_t *ready, struct sq_error *error)
{
    while (*ready < count) {
        struct ready_message message;
        ssize_t length = read(ready_fd, &message, sizeof message);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (length != (ssize_t)sizeof message)
            return sq_fail(error, SQ_SYSTEM, "a stressor ended before it was ready");
        message.text[sizeof message.text - 1] = '\0';
        if (message.code != SQ_OK)
            return sq_fail(error, SQ_UNABLE, "a stressor could not be set up: %s", message.text);
        (*ready)++;
    }
    return 1;
}

static int check_capabilities(struct sq_error *error)
{
    static const struct {
        cap_value_t value;
        const char *name;
    } needed[] = {{CAP_KILL, "CAP_KILL"}, {CAP_SETUID, "CAP_SETUID"}, {CAP_SETGID, "CAP_SETGID"}};
    cap_t held = cap_get_proc();
    const char *missing = NULL;
    if (held == NULL)
        return sq_fail_errno(error, errno, "cannot read the agent's capabilities");
    for (size_t i = 0; i < sizeof needed / sizeof needed[0] && missing == NULL; i++) {
        cap_flag_value_t is_there = CAP_CLEAR;
        if (cap_get_flag(held, needed[i].value, CAP_EFFECTIVE, &is_there) != 0 || is_there != CAP_SET)
            missing = needed[i].name;
    }
    (void)cap_free(held);
    if (missing == NULL)
        return 0;
    return sq_fail(
        error, SQ_UNABLE,
        "the agent lacks %s, which it needs to start and end an unprivileged stressor; start squalld as root",
        missing);
}

int sq_stressor_check_host(struct sq_error *error)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    timer_t timer;
    if (sq_process_check_host(error) != 0 || check_capabilities(error) != 0)
        return -1;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
        return sq_fail(error, SQ_UNABLE,
                       "the kernel has no seccomp filters (%s); it needs CONFIG_SECCOMP_FILTER",
                       strerrordesc_np(errno));
    if (make_timer(&timer, error) != 0) {
        error->code = SQ_UNABLE;
        return -1;
    }
    (void)timer_delete(timer);
    return 0;
}
