#include "front/front.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "front/handshakes.h"
#include "front/listen.h"
#include "front/privileges.h"
#include "front/sandbox.h"
#include "front/tls_files.h"
#include "ipc/ipc.h"
#include "ipc/requester.h"
#include "wire/wire.h"

#include <errno.h>
#include <malloc.h>
#include <nng/nng.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Complaints about peers: so many, then none until the window is over, so that nobody can fill a disk. */
#define COMPLAINTS_MAX   5
#define COMPLAINT_WINDOW (10 * SQ_NS_PER_SECOND)

struct front {
    nng_socket socket;
    struct sq_ipc_end injector;
    int wake_fd;                /* something happened to connections */
    struct sq_request *request; /* too large for the stack of a careful program */
    struct sq_reply *reply;
    uint64_t window_boot_ns;
    unsigned complaints;
};

static void complain(struct front *front, const struct sq_requester *requester, const char *what,
                     const char *why)
{
    uint64_t now_boot_ns = sq_boot_ns();
    if (front->window_boot_ns == 0 || now_boot_ns - front->window_boot_ns > COMPLAINT_WINDOW) {
        if (front->complaints > COMPLAINTS_MAX)
            sq_log(SQ_LOG_WARNING, "%u more bad messages and connections",
                   front->complaints - COMPLAINTS_MAX);
        front->window_boot_ns = now_boot_ns;
        front->complaints = 0;
    }
    if (front->complaints++ >= COMPLAINTS_MAX)
        return;
    char from[SQ_REQUESTER_TEXT_MAX];
    sq_requester_format(requester, from);
    sq_log(SQ_LOG_WARNING, "%s from %s%s", what, from, why);
}

static void complain_of_message(struct front *front, const struct sq_requester *requester,
                                const struct sq_error *error)
{
    char why[SQ_ERROR_TEXT_MAX + 4];
    (void)snprintf(why, sizeof why, ": %s", error->text);
    complain(front, requester, "bad message", why);
}

/* nng tells nothing of those who never got through; the reason is as much as can be seen from outside. */
static void tell_refused(struct front *front)
{
    static const char *const reasons[] = {
        [SQ_REFUSAL_ENDED] =
            " ended without a completed handshake: it showed no certificate of a controller, or is none",
        [SQ_REFUSAL_SLOW] = " was dropped: its handshake was not complete within 3 s",
        [SQ_REFUSAL_CROWDED] = " was dropped: too many were in their handshakes",
    };
    struct sq_refused refused;
    unsigned untold;
    while (sq_handshakes_refused(&refused, &untold))
        complain(front, &refused.from, "a connection", reasons[refused.why]);
    front->complaints += untold;
}

/* Fill the reply with a refusal of the front's own. */
static void refuse(struct front *front, const struct sq_error *error)
{
    sq_reply_clear(front->reply);
    front->reply->now_boot_ns = sq_boot_ns();
    sq_reply_fail(front->reply, error);
}

/* Hand the request to the injector and wait for its answer, however long: without the injector there is none.
 */
static void ask_injector(struct front *front)
{
    struct sq_error error = {0};
    int got = -1;
    if (sq_ipc_send_request(&front->injector, front->request, &error) == 0)
        got = sq_ipc_receive_reply(&front->injector, front->reply, &error);
    if (got == 0)
        (void)sq_fail(&error, SQ_SYSTEM,
                      "the agent's privileged half is gone; it recovers when it starts again");
    if (got != 1) {
        sq_log(SQ_LOG_ERROR, "%s", error.text);
        refuse(front, &error);
    }
}

/* Put the encoded reply in the message's place. */
static int encode_reply(struct front *front, nng_msg *message, struct sq_error *error)
{
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    if (sq_wire_encode_reply(front->reply, &bytes, &length, error) != 0)
        return -1;
    nng_msg_clear(message);
    if (nng_msg_append(message, bytes, length) != 0)
        return sq_fail(error, SQ_SYSTEM, "out of memory for a reply");
    return 0;
}

/*
 * nng takes an answer while the one before it is still on its way only if it may wait. Whoever does not read
 * answers is cut off, and delays others only once.
 */
static void answer(struct front *front, nng_msg *message)
{
    struct sq_error error = {0};
    front->reply->version = sq_protocol_answer_version(front->request->version);
    front->reply->verb = front->request->verb;
    if (encode_reply(front, message, &error) != 0) {
        sq_log(SQ_LOG_ERROR, "cannot answer: %s", error.text);
        refuse(front, &error);
        front->reply->version = sq_protocol_answer_version(front->request->version);
        front->reply->verb = front->request->verb;
        if (encode_reply(front, message, &error) != 0) {
            nng_msg_free(message);
            return;
        }
    }
    nng_pipe pipe = nng_msg_get_pipe(message);
    if (nng_sendmsg(front->socket, message, 0) != 0) {
        nng_msg_free(message);
        (void)nng_pipe_close(pipe);
    }
}

/* One message in, one out. The sender that has gone meanwhile is neither obeyed nor answered. */
static void serve(struct front *front, nng_msg *message)
{
    struct sq_error error = {0};
    struct sq_requester requester;
    if (sq_front_requester(message, &requester) != 0) {
        nng_msg_free(message);
        return;
    }
    if (sq_wire_decode_request(nng_msg_body(message), nng_msg_len(message), front->request, &error) == 0) {
        front->request->requester = requester;
        ask_injector(front);
    } else {
        complain_of_message(front, &requester, &error);
        refuse(front, &error);
    }
    answer(front, message);
}

/* For how long to sleep, in milliseconds: for ever, unless a handshake is under way. */
static int patience_ms(void)
{
    uint64_t now_ns = sq_boot_ns();
    uint64_t next_ns = sq_handshakes_tend(now_ns);
    return next_ns == 0 ? -1 : (int)(sq_ns_sub(next_ns, now_ns) / SQ_NS_PER_MILLISECOND) + 1;
}

/* Until the injector's end closes. Sleeps in poll alone: an idle agent does nothing at all. */
static int loop(struct front *front, struct sq_error *error)
{
    int receive_fd = -1;
    int number = nng_socket_get_int(front->socket, NNG_OPT_RECVFD, &receive_fd);
    if (number != 0)
        return sq_fail(error, SQ_SYSTEM, "cannot watch the reply socket: %s", nng_strerror(number));
    for (;;) {
        struct pollfd polls[] = {{.fd = front->injector.in_fd, .events = POLLIN},
                                 {.fd = receive_fd, .events = POLLIN},
                                 {.fd = front->wake_fd, .events = POLLIN}};
        int wait_ms = patience_ms();
        tell_refused(front);
        if (poll(polls, sizeof polls / sizeof polls[0], wait_ms) < 0) {
            if (errno == EINTR)
                continue;
            return sq_fail_errno(error, errno, "cannot wait for requests");
        }
        /* Between requests the injector has nothing to say: what comes is its end, or out of step. */
        if (polls[0].revents != 0)
            return 0;
        nng_msg *message = NULL;
        if (polls[1].revents != 0 && nng_recvmsg(front->socket, &message, NNG_FLAG_NONBLOCK) == 0)
            serve(front, message);
    }
}

static void announce(int ready_fd)
{
    if (ready_fd < 0)
        return;
    ssize_t written;
    do {
        written = write(ready_fd, "r", 1);
    } while (written < 0 && errno == EINTR);
    (void)close(ready_fd);
}

/*
 * The injector decides on signals to the whole process group or service (it reverts, then its end closes);
 * SIGTERM to the front alone ends the front, and the injector starts another.
 */
static int settle_signals(struct sq_error *error)
{
    static const int ignored[] = {SIGINT, SIGHUP, SIGQUIT, SIGPIPE};
    sigset_t none;
    (void)sigemptyset(&none);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGTERM, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
        return sq_fail_errno(error, errno, "cannot set signals up");
    return 0;
}

static int start(const struct sq_front_options *options, pid_t parent, struct front *front,
                 struct sq_error *error)
{
    struct sq_tls_files files = {0};
    int result = 0;
    if (sq_front_needs_tls(options))
        result = sq_tls_files_read(options, &files, error);
    if (result == 0)
        result = sq_front_check_directories(options, error);
    if (result == 0)
        result = sq_front_drop_privileges(options->uid, options->gid, error);
    if (result == 0)
        result = sq_front_die_with(parent, error);
    if (result == 0)
        result = sq_front_sandbox_enter(error);
    if (result == 0)
        result = sq_handshakes_watch(&front->wake_fd, error);
    if (result == 0)
        result = sq_front_listen(options, &files, &front->socket, error);
    sq_tls_files_release(&files);
    return result;
}

int sq_front_run(const struct sq_front_options *options, struct sq_error *error)
{
    struct front front = {.injector = {.in_fd = options->in_fd, .out_fd = options->out_fd}};
    const int kept[] = {options->in_fd, options->out_fd, options->ready_fd};
    pid_t parent = getppid();
    (void)prctl(PR_SET_NAME,
                "squalld-front");  /* it was started as /proc/self/exe, and would be called `exe` */
    (void)mallopt(M_ARENA_MAX, 1); /* each of nng's threads would take a heap of its own, and keep it */
    if (settle_signals(error) != 0 || sq_front_close_others(kept, sizeof kept / sizeof kept[0], error) != 0 ||
        start(options, parent, &front, error) != 0)
        return -1;
    int result = sq_front_sandbox_tighten(error);
    front.request = calloc(1, sizeof *front.request);
    front.reply = calloc(1, sizeof *front.reply);
    if (result == 0 && (front.request == NULL || front.reply == NULL))
        result = sq_fail(error, SQ_SYSTEM, "out of memory");
    if (result == 0) {
        announce(options->ready_fd);
        result = loop(&front, error);
    }
    /*
     * Not nng_close: it waits for its threads, and one of them for a peer that does not read; the end of the
     * process closes everything at once.
     */
    sq_front_remove_sockets(options);
    free(front.request);
    free(front.reply);
    return result;
}
