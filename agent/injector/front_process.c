#include "front_process.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAUSE_LEAST_NS (100 * SQ_NS_PER_MILLISECOND)
#define DIES_WITHIN_MS 1000 /* else it outlives the injector by as long as it takes to die */
#define LONG_LIFE_NS   (1 * SQ_NS_PER_SECOND)
#define PAUSE_MOST_NS  (30 * SQ_NS_PER_SECOND)

/*
 * What a front may take of the injector: so many turns of its loop in a second, and so many at once. A
 * controller renews about once a second, and people ask for the status; whoever has taken over the front can
 * ask without end, and no lease, timer or halt may come late for it. A turn reads what is there of a request:
 * all of it, unless it comes in pieces.
 */
#define TURNS_PER_SECOND 200
#define TURNS_AT_ONCE    100
#define TURN_NS          (SQ_NS_PER_SECOND / TURNS_PER_SECOND)
#define SHARE_NS         (TURNS_AT_ONCE * TURN_NS)

int sq_front_process_init(struct sq_front_process *front, const struct sq_agent_config *config,
                          struct sq_error *error)
{
    front->pid_fd = front->ready_fd = front->config_fd = -1;
    front->ipc.end = (struct sq_ipc_end){-1, -1};
    return sq_agent_config_seal(config, &front->config_fd, error);
}

static void close_fd(int *fd)
{
    sq_cleanup_close(fd);
    *fd = -1;
}

/* In the child: only functions that are safe between fork and exec. */
static _Noreturn void become_front(const int fds[4], pid_t parent)
{
    char argument[64];
    sigset_t none;
    (void)snprintf(argument, sizeof argument, SQ_FRONT_ARGUMENT "%d,%d,%d,%d", fds[0], fds[1], fds[2],
                   fds[3]);
    char *const arguments[] = {(char *)(uintptr_t) "squalld: front", argument, NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    for (int i = 0; i < 4; i++)
        if (fcntl(fds[i], F_SETFD, 0) != 0)
            _exit(127);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execv("/proc/self/exe", arguments);
    _exit(127);
}

static int launch(struct sq_front_process *front, const int fds[4], struct sq_error *error)
{
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return sq_fail_errno(error, errno, "cannot start the front");
    if (pid == 0)
        become_front(fds, self);
    front->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (front->pid_fd < 0) {
        int number = errno;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return sq_fail_errno(error, number, "cannot watch the front");
    }
    front->pid = pid;
    return 0;
}

int sq_front_process_start(struct sq_front_process *front, struct sq_error *error)
{
    int ready[2];
    struct sq_ipc_end own;
    struct sq_ipc_end its;
    if (pipe2(ready, O_CLOEXEC) != 0)
        return sq_fail_errno(error, errno, "cannot make a pipe for the front");
    sq_autoclose int ready_end = ready[0];
    sq_autoclose int front_ready = ready[1];
    if (fcntl(ready_end, F_SETFL, O_NONBLOCK) != 0)
        return sq_fail_errno(error, errno, "cannot prepare a pipe for the front");
    if (sq_ipc_make(&own, &its, error) != 0)
        return -1;
    const int fds[] = {its.in_fd, its.out_fd, front_ready, front->config_fd};
    int result = launch(front, fds, error);
    sq_ipc_end_close(&its);
    if (result != 0) {
        sq_ipc_end_close(&own);
        return -1;
    }
    sq_ipc_server_open(&front->ipc, &own);
    front->ready_fd = sq_take_fd(&ready_end);
    front->is_ready = false;
    front->restart_boot_ns = 0;
    front->started_boot_ns = sq_boot_ns();
    return 0;
}

/*
 * Its end is seen on its pidfd; until then there is nothing to say to it. `why` NULL: it has closed its end,
 * mostly because it is dying already.
 */
static void end(struct sq_front_process *front, const char *why)
{
    if (why != NULL)
        sq_log(SQ_LOG_ERROR, "the front is ended: %s", why);
    if (front->pid > 0)
        (void)kill(front->pid, SIGKILL);
    sq_ipc_server_close(&front->ipc);
}

static bool has_had_its_share(const struct sq_front_process *front, uint64_t now_boot_ns)
{
    return front->spent_boot_ns > sq_ns_add(now_boot_ns, SHARE_NS - TURN_NS);
}

uint64_t sq_front_process_fill_polls(const struct sq_front_process *front, uint64_t now_boot_ns,
                                     struct pollfd *request_poll, struct pollfd *reply_poll)
{
    bool replies = sq_ipc_reply_is_under_way(&front->ipc);
    bool is_patient = has_had_its_share(front, now_boot_ns);
    *request_poll =
        (struct pollfd){.fd = replies || is_patient ? -1 : front->ipc.end.in_fd, .events = POLLIN};
    *reply_poll = (struct pollfd){.fd = replies ? front->ipc.end.out_fd : -1, .events = POLLOUT};
    if (front->restart_boot_ns != 0)
        return front->restart_boot_ns;
    return front->ipc.end.in_fd >= 0 && is_patient ? sq_ns_sub(front->spent_boot_ns, SHARE_NS - TURN_NS) : 0;
}

bool sq_front_process_take_request(struct sq_front_process *front, uint64_t now_boot_ns)
{
    struct sq_error error;
    if (front->spent_boot_ns < now_boot_ns)
        front->spent_boot_ns = now_boot_ns;
    front->spent_boot_ns = sq_ns_add(front->spent_boot_ns, TURN_NS);
    int result = sq_ipc_take_request(&front->ipc, &error);
    if (result == SQ_IPC_GONE)
        end(front, NULL);
    else if (result < 0)
        end(front, error.text);
    return result == SQ_IPC_WHOLE;
}

static void judge_reply(struct sq_front_process *front, int result, const struct sq_error *error)
{
    if (result == SQ_IPC_GONE)
        end(front, NULL);
    else if (result < 0)
        end(front, error->text);
}

void sq_front_process_reply(struct sq_front_process *front)
{
    struct sq_error error;
    judge_reply(front, sq_ipc_start_reply(&front->ipc, &error), &error);
}

void sq_front_process_continue_reply(struct sq_front_process *front)
{
    struct sq_error error;
    if (sq_ipc_reply_is_under_way(&front->ipc))
        judge_reply(front, sq_ipc_continue_reply(&front->ipc, &error), &error);
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
    sq_ipc_server_close(&front->ipc);
    close_fd(&front->ready_fd);
    front->pid = 0;
    front->is_ready = false;
}

static void tell_end(const struct sq_front_process *front, bool is_buried, int status)
{
    if (front->is_replaced)
        sq_log(SQ_LOG_INFO, "the front makes room for one with the new certificates");
    else if (!is_buried)
        sq_log(SQ_LOG_WARNING, "the front ended, and a debugger keeps to itself how");
    else if (WIFSIGNALED(status))
        sq_log(SQ_LOG_WARNING, "the front was ended by signal %d", WTERMSIG(status));
    else
        sq_log(SQ_LOG_WARNING, "the front ended with status %d", WEXITSTATUS(status));
}

void sq_front_process_bury(struct sq_front_process *front, uint64_t now_boot_ns)
{
    int status = 0;
    /* Whoever traces it decides when it may be buried, and nobody waits for that. */
    bool is_buried = waitpid(front->pid, &status, WNOHANG) != 0;
    if (front->unburied != 0 && waitpid(front->unburied, NULL, WNOHANG) != 0)
        front->unburied = 0;
    if (!is_buried)
        front->unburied = front->pid;
    close_all(front);
    /* The first time at once, for a lease may be short; one that dies again soon must not keep the host busy.
     */
    if (front->is_replaced || sq_ns_sub(now_boot_ns, front->started_boot_ns) >= LONG_LIFE_NS)
        front->failures = 0;
    uint64_t pause_ns =
        front->failures == 0 ? 0 : PAUSE_LEAST_NS << (front->failures < 10 ? front->failures - 1 : 9);
    if (pause_ns > PAUSE_MOST_NS)
        pause_ns = PAUSE_MOST_NS;
    front->failures++;
    front->restart_boot_ns = sq_ns_add(now_boot_ns, pause_ns);
    tell_end(front, is_buried, status);
    front->is_replaced = false;
}

void sq_front_process_replace(struct sq_front_process *front)
{
    if (front->pid == 0)
        return;
    front->is_replaced = true;
    (void)kill(front->pid, SIGKILL);
}

void sq_front_process_kill(struct sq_front_process *front)
{
    if (front->pid == 0)
        return;
    struct pollfd dead = {.fd = front->pid_fd, .events = POLLIN};
    (void)kill(front->pid, SIGKILL);
    (void)poll(&dead, 1, DIES_WITHIN_MS);
    (void)waitpid(front->pid, NULL, WNOHANG);
    close_all(front);
}

void sq_front_process_close(struct sq_front_process *front)
{
    sq_front_process_kill(front);
    close_fd(&front->config_fd);
}
