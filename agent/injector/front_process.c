#include "front_process.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAUSE_LEAST_NS (100 * SQ_NS_PER_MILLISECOND)
#define LONG_LIFE_NS   (1 * SQ_NS_PER_SECOND)
#define PAUSE_MOST_NS  (30 * SQ_NS_PER_SECOND)

void sq_front_process_init(struct sq_front_process *front)
{
    *front = (struct sq_front_process){.pid_fd = -1, .ipc_fd = -1, .ready_fd = -1};
}

static void close_fd(int *fd)
{
    sq_cleanup_close(fd);
    *fd = -1;
}

/* In the child: only functions that are safe between fork and exec. */
static _Noreturn void become_front(const char *config_path, int ipc_fd, int ready_fd, pid_t parent)
{
    char argument[64];
    sigset_t none;
    (void)snprintf(argument, sizeof argument, SQ_FRONT_ARGUMENT "%d,%d", ipc_fd, ready_fd);
    char *const arguments[] = {(char *)(uintptr_t) "squalld: front", argument, (char *)(uintptr_t) "--config",
                               (char *)(uintptr_t)config_path, NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || fcntl(ipc_fd, F_SETFD, 0) != 0 || fcntl(ready_fd, F_SETFD, 0) != 0)
        _exit(127);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execv("/proc/self/exe", arguments);
    _exit(127);
}

int sq_front_process_start(struct sq_front_process *front, const char *config_path, struct sq_error *error)
{
    int pair[2];
    int ready[2];
    if (sq_ipc_pair(pair, error) != 0)
        return -1;
    sq_autoclose int own_end = pair[0];
    sq_autoclose int front_end = pair[1];
    if (pipe2(ready, O_CLOEXEC) != 0)
        return sq_fail_errno(error, errno, "cannot make a pipe for the front");
    sq_autoclose int ready_end = ready[0];
    sq_autoclose int front_ready = ready[1];
    /* A front that stops reading must not hold up a lease. */
    if (fcntl(own_end, F_SETFL, O_NONBLOCK) != 0 || fcntl(ready_end, F_SETFL, O_NONBLOCK) != 0)
        return sq_fail_errno(error, errno, "cannot prepare the front's socket");
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return sq_fail_errno(error, errno, "cannot start the front");
    if (pid == 0)
        become_front(config_path, front_end, front_ready, self);
    int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pid_fd < 0) {
        int number = errno;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return sq_fail_errno(error, number, "cannot watch the front");
    }
    front->pid = pid;
    front->pid_fd = pid_fd;
    front->ipc_fd = sq_take_fd(&own_end);
    front->ready_fd = sq_take_fd(&ready_end);
    front->is_ready = false;
    front->restart_boot_ns = 0;
    front->started_boot_ns = sq_boot_ns();
    return 0;
}

bool sq_front_process_take_ready(struct sq_front_process *front)
{
    char byte;
    ssize_t got = read(front->ready_fd, &byte, 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close_fd(&front->ready_fd);
    front->is_ready = got == 1;
    return front->is_ready;
}

static void close_all(struct sq_front_process *front)
{
    close_fd(&front->pid_fd);
    close_fd(&front->ipc_fd);
    close_fd(&front->ready_fd);
    front->pid = 0;
    front->is_ready = false;
}

void sq_front_process_bury(struct sq_front_process *front, uint64_t now_boot_ns)
{
    int status = 0;
    (void)waitpid(front->pid, &status, 0);
    close_all(front);
    /* The first time at once, for a lease may be short; one that dies again soon must not keep the host busy.
     */
    if (sq_ns_sub(now_boot_ns, front->started_boot_ns) >= LONG_LIFE_NS)
        front->failures = 0;
    uint64_t pause_ns =
        front->failures == 0 ? 0 : PAUSE_LEAST_NS << (front->failures < 10 ? front->failures - 1 : 9);
    if (pause_ns > PAUSE_MOST_NS)
        pause_ns = PAUSE_MOST_NS;
    front->failures++;
    front->restart_boot_ns = sq_ns_add(now_boot_ns, pause_ns);
    if (WIFSIGNALED(status))
        sq_log(SQ_LOG_WARNING, "the front was ended by signal %d", WTERMSIG(status));
    else
        sq_log(SQ_LOG_WARNING, "the front ended with status %d", WEXITSTATUS(status));
}

void sq_front_process_kill(struct sq_front_process *front)
{
    if (front->pid == 0)
        return;
    (void)kill(front->pid, SIGKILL);
    (void)waitpid(front->pid, NULL, 0);
    close_all(front);
}
