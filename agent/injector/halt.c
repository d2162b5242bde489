#include "halt.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "injector/injector.h"
#include "injector/run_directory.h"
#include "table/params.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX (32u * 1024)
#define ANSWER_WAIT_MS   30000

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
    int failed = bind(own, (const struct sockaddr *)&address, sizeof address) != 0 || listen(own, 8) != 0;
    int number = errno;
    (void)umask(mask);
    if (failed)
        return sq_fail_errno(error, number, "cannot listen on %s/halt.sock", own_directory);
    *fd = sq_take_fd(&own);
    return 0;
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
        unclean = unclean || reply->faults[i].code == SQ_UNCLEAN;
    }
    if (unclean && reply->message[0] != '\0')
        sq_text_append(text, sizeof text - 64, "%s\n", reply->message);
    sq_text_append(text, sizeof text, "%s\n", unclean ? UNCLEAN : ALL_CLEAN);
    (void)send(client_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* 0 with *fd, or an errno. */
static int connect_in(const char *path, int *fd)
{
    sq_autoclose int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sq_autoclose int own = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
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

static int connect_to(const char *run, int *fd, struct sq_error *error)
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
    if (number == ENOENT || number == ECONNREFUSED)
        return sq_fail(error, SQ_UNREACHABLE, "no agent listens in %s", run);
    return sq_fail_errno(error, number, "cannot reach the agent in %s", run);
}

int sq_halt_ask(const char *run, struct sq_error *error)
{
    static char text[ANSWER_BYTES_MAX];
    sq_autoclose int fd = -1;
    if (connect_to(run, &fd, error) != 0)
        return -1;
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (poll(&waiting, 1, ANSWER_WAIT_MS) <= 0)
        return sq_fail(
            error, SQ_TIMEOUT,
            "the agent in %s did not answer within %d s; SIGKILL it and run `squalld --recover`: what it had "
            "injected ends with its lease at the latest",
            run, ANSWER_WAIT_MS / 1000);
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    if (got <= 0)
        return sq_fail(error, SQ_UNREACHABLE, "the agent in %s ended before it answered", run);
    text[got] = '\0';
    (void)fputs(text, stdout);
    if (strstr(text, "\n" UNCLEAN "\n") != NULL)
        return sq_fail(error, SQ_UNCLEAN, "not everything could be undone on this host");
    return 0;
}

int sq_injector_halt(const struct sq_agent_config *config, struct sq_error *error)
{
    struct sq_error own;
    if (sq_halt_ask(config->run, &own) == 0)
        return 0;
    if (own.code == SQ_UNREACHABLE) {
        (void)printf("no agent is alive; undoing what its log holds\n");
        return sq_injector_recover(config, error);
    }
    return sq_fail(error, own.code, "%s", own.text);
}
