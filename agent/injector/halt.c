#include "halt.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "injector/injector.h"
#include "injector/recover.h"
#include "injector/run_directory.h"
#include "table/params.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (32u * 1024)
#define WAITING_MAX      64 /* who may wait to be accepted */

#define HEARD_WITHIN_NS  (2 * SQ_NS_PER_SECOND)
#define ANSWER_WITHIN_NS (30 * SQ_NS_PER_SECOND) /* everything is clean by then, and being removed */
#define DEATH_WITHIN_MS  500
#define TAKEN_WITHIN_NS  (5 * SQ_NS_PER_SECOND) /* from the first question on */
#define PAUSE_NS         (50 * SQ_NS_PER_MILLISECOND)

/* The first answer: the faults are clean. */
#define HEARD "heard"

/* The last line of an answer. */
#define ALL_CLEAN "nothing is left"
#define UNCLEAN   "something is left"

/* A path through the directory's descriptor: sun_path has 108 bytes, a run directory's path may have more. */
static int make_address(int directory_fd, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/halt.sock", directory_fd);
}

int sq_halt_listen(const char *run, int *fd, struct sq_error *error)
{
    char own_directory[PATH_MAX];
    if (sq_run_directory_path(run, "", own_directory, error) != 0)
        return -1;
    sq_autoclose int directory = open(own_directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    sq_autoclose int own = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (directory < 0 || own < 0)
        return sq_fail_errno(error, errno, "cannot make the socket %s/halt.sock", own_directory);
    struct sockaddr_un address;
    (void)make_address(directory, &address);
    mode_t mask = umask(0177);
    (void)unlinkat(directory, "halt.sock", 0);
    int failed =
        bind(own, (const struct sockaddr *)&address, sizeof address) != 0 || listen(own, WAITING_MAX) != 0;
    int number = errno;
    (void)umask(mask);
    if (failed)
        return sq_fail_errno(error, number, "cannot listen on %s/halt.sock", own_directory);
    *fd = sq_take_fd(&own);
    return 0;
}

int sq_halt_accept(int halt_fd)
{
    int client = accept4(halt_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (client >= 0 && getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        sq_log(SQ_LOG_WARNING, "halted by uid %u with `squalld --halt` (pid %d)", (unsigned)peer.uid,
               (int)peer.pid);
    return client;
}

void sq_halt_acknowledge(int client_fd)
{
    (void)send(client_fd, HEARD, strlen(HEARD), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void describe(const struct sq_fault_report *fault, char *text, size_t size)
{
    const struct sq_fault_info *info = sq_fault_by_kind(fault->kind);
    sq_text_append(text, size, "  fault %u, %s: %s (%s)\n", fault->index,
                   info == NULL ? "unknown" : info->name, sq_state_name(fault->state),
                   sq_end_reason_name(fault->end_reason));
    for (uint32_t i = 0; i < fault->line_count; i++)
        if (fault->lines[i].kind == SQ_LINE_LEFT || fault->lines[i].kind == SQ_LINE_FOREIGN)
            sq_text_append(text, size, "    %s: %s\n", sq_line_kind_name(fault->lines[i].kind),
                           fault->lines[i].text);
    if (fault->code != SQ_OK)
        sq_text_append(text, size, "    %s\n", fault->message);
}

void sq_halt_answer(int client_fd, const struct sq_reply *reply)
{
    static char text[ANSWER_BYTES_MAX];
    bool unclean = reply->code != SQ_OK;
    text[0] = '\0';
    if (reply->fault_count == 0)
        sq_text_append(text, sizeof text, "nothing was injected on this host\n");
    else
        sq_text_append(text, sizeof text, "ended the experiment '%s' of %s\n", reply->title,
                       reply->operator_name[0] == '\0' ? "somebody" : reply->operator_name);
    for (uint32_t i = 0; i < reply->fault_count; i++) {
        /* Room for the verdict is kept whatever the faults have to say. */
        describe(&reply->faults[i], text, sizeof text - 64);
        unclean =
            unclean || reply->faults[i].code == SQ_UNCLEAN || reply->faults[i].state == SQ_STATE_REVERTING;
    }
    if (unclean && reply->message[0] != '\0')
        sq_text_append(text, sizeof text - 64, "%s\n", reply->message);
    sq_text_append(text, sizeof text, "%s\n", unclean ? UNCLEAN : ALL_CLEAN);
    (void)send(client_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* 0 with *fd, or an errno. Does not wait when those who wait to be accepted are too many already. */
static int connect_in(const char *path, int *fd)
{
    sq_autoclose int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sq_autoclose int own = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;
    if (directory < 0 || own < 0)
        return errno;
    (void)make_address(directory, &address);
    if (connect(own, (const struct sockaddr *)&address, sizeof address) != 0)
        return errno;
    *fd = sq_take_fd(&own);
    return 0;
}

/* Whoever is no agent may listen to a halt, and do nothing. */
static int check_peer(int fd, const char *run, struct sq_error *error)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid())
        return 0;
    return sq_fail(
        error, SQ_UNREACHABLE,
        "the one that listens to halts in %s is no agent: it belongs to uid %u (pid %d), not to root", run,
        (unsigned)peer.uid, (int)peer.pid);
}

static int connect_once(const char *run, int *fd, struct sq_error *error)
{
    char own_directory[PATH_MAX];
    if (sq_run_directory_path(run, "", own_directory, error) != 0)
        return -1;
    int number = connect_in(own_directory, fd);
    /* An agent of version 0.1 listens in <run> itself. */
    if (number == ENOENT || number == ECONNREFUSED)
        number = connect_in(run, fd);
    if (number == 0)
        return check_peer(*fd, run, error);
    if (number == EAGAIN)
        return sq_fail(error, SQ_TIMEOUT, "the agent in %s takes no connection", run);
    if (number == ENOENT || number == ECONNREFUSED)
        return sq_fail(error, SQ_UNREACHABLE, "no agent listens in %s", run);
    return sq_fail_errno(error, number, "cannot reach the agent in %s", run);
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

static int connect_to(const char *run, uint64_t until_ns, int *fd, struct sq_error *error)
{
    while (connect_once(run, fd, error) != 0) {
        if (error->code != SQ_TIMEOUT || sq_boot_ns() >= until_ns)
            return -1;
        nap();
    }
    return 0;
}

/*
 * Who listens at the other end: root's process that holds the lock of `run`. The kernel tells its pid. The
 * connection still stands after its pidfd was opened, so the listener lived until then, and the pidfd is its
 * own and not that of a later process with its number.
 */
static void identify(const char *run, int fd, struct sq_halt_agent *agent)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 1 ||
        !sq_run_directory_is_locked_by(run, peer.pid))
        return;
    sq_autoclose int pid_fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    struct pollfd connection = {.fd = fd};
    if (pid_fd < 0 || poll(&connection, 1, 0) < 0 || (connection.revents & (POLLHUP | POLLERR)) != 0)
        return;
    agent->pid = peer.pid;
    agent->pid_fd = sq_take_fd(&pid_fd);
}

/* One message into `text`; its length, 0 when the other side ended, -1 when none came in time. */
static ssize_t receive(int fd, uint64_t until_ns, char *text, size_t size)
{
    for (;;) {
        uint64_t left_ns = sq_ns_sub(until_ns, sq_boot_ns());
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        int ready = poll(&waiting, 1, (int)(left_ns / SQ_NS_PER_MILLISECOND) + 1);
        if (ready > 0) {
            ssize_t got = recv(fd, text, size - 1, 0);
            text[got > 0 ? got : 0] = '\0';
            return got > 0 ? got : 0;
        }
        if (ready == 0 || errno != EINTR)
            return -1;
    }
}

int sq_halt_ask(const char *run, struct sq_halt_agent *agent, struct sq_error *error)
{
    static char text[ANSWER_BYTES_MAX];
    sq_autoclose int fd = -1;
    uint64_t now_ns = sq_boot_ns();
    *agent = (struct sq_halt_agent){.pid_fd = -1};
    if (connect_to(run, sq_ns_add(now_ns, HEARD_WITHIN_NS), &fd, error) != 0)
        return -1;
    identify(run, fd, agent);
    ssize_t got = receive(fd, sq_ns_add(now_ns, HEARD_WITHIN_NS), text, sizeof text);
    if (got > 0 && strcmp(text, HEARD) == 0)
        got = receive(fd, sq_ns_add(now_ns, ANSWER_WITHIN_NS), text, sizeof text);
    if (got < 0)
        return sq_fail(error, SQ_TIMEOUT, "the agent in %s does not answer", run);
    if (got == 0)
        return sq_fail(error, SQ_UNREACHABLE, "the agent in %s ended before it answered", run);
    (void)fputs(text, stdout);
    if (strstr(text, "\n" UNCLEAN "\n") != NULL)
        return sq_fail(error, SQ_UNCLEAN, "not everything could be undone on this host");
    return 0;
}

/* SIGKILL an agent that does not answer. True: it is dead, and its lock is free. */
static bool end_agent(const struct sq_halt_agent *agent)
{
    if (agent->pid_fd < 0)
        return false;
    struct pollfd death = {.fd = agent->pid_fd, .events = POLLIN};
    (void)printf("the agent (pid %d) does not answer; ending it with SIGKILL\n", (int)agent->pid);
    (void)fflush(stdout);
    return syscall(SYS_pidfd_send_signal, agent->pid_fd, SIGKILL, NULL, 0) == 0 &&
           poll(&death, 1, DEATH_WITHIN_MS) > 0;
}

/* Somebody else holds the lock and neither answers nor dies: what needs no lock. */
static int clean_alone(const struct sq_agent_config *config, const struct sq_halt_agent *agent,
                       struct sq_error *error)
{
    char who[64] = "another squalld";
    if (agent->pid > 0)
        (void)snprintf(who, sizeof who, "the agent (pid %d)", (int)agent->pid);
    (void)printf("%s neither answers nor ends; making clean what its log holds\n", who);
    if (sq_recover_clean(config->run, error) != 0)
        return -1;
    return sq_fail(
        error, SQ_UNCLEAN,
        "every fault is clean, but not removed: %s holds the log of %s and cannot be ended; it may "
        "be frozen (look at its control group and at /proc/PID/status). When it is gone, run "
        "`squalld --recover`",
        who, config->run);
}

int sq_injector_halt(const struct sq_agent_config *config, struct sq_error *error)
{
    struct sq_error own;
    sq_autoclose int pid_fd = -1;
    struct sq_halt_agent agent;
    uint64_t until_ns = sq_ns_add(sq_boot_ns(), TAKEN_WITHIN_NS);
    do {
        int result = sq_halt_ask(config->run, &agent, &own);
        sq_cleanup_close(&pid_fd);
        pid_fd = agent.pid_fd;
        if (result == 0)
            return 0;
        if (own.code != SQ_UNREACHABLE && own.code != SQ_TIMEOUT)
            return sq_fail(error, own.code, "%s", own.text);
        if (own.code == SQ_TIMEOUT && !end_agent(&agent))
            break;
        (void)printf("no agent is alive; undoing what its log holds\n");
        if (sq_injector_recover(config, &own) == 0)
            return 0;
        /* Another recovery, or an agent that was just started, is at work: ask it. */
        if (own.code != SQ_CONFLICT)
            return sq_fail(error, own.code, "%s", own.text);
        nap();
    } while (sq_boot_ns() < until_ns);
    return clean_alone(config, &agent, error);
}
