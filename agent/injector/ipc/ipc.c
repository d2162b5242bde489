#include "ipc/ipc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* Above the largest frame, for the kernel's own bookkeeping, which counts against the buffer too. */
#define BUFFER_BYTES (2 * (int)(sizeof(struct sq_request) + sizeof(struct sq_reply)))

/* More than net.core.wmem_max needs CAP_NET_ADMIN; the plain option does where that limit is not low. */
static int make_room(int fd, struct sq_error *error)
{
    int wanted = BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof wanted) != 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted) != 0)
        return sq_fail_errno(error, errno, "cannot size the socket between front and injector");
    int given = 0;
    socklen_t size = sizeof given;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &given, &size) != 0)
        return sq_fail_errno(error, errno, "cannot read the size of the socket between front and injector");
    int least = BUFFER_BYTES / 2 + 4096;
    if (given < least)
        return sq_fail(error, SQ_UNABLE,
                       "the socket between front and injector holds %d bytes and needs %d; raise "
                       "net.core.wmem_max",
                       given, least);
    return 0;
}

int sq_ipc_pair(int fds[2], struct sq_error *error)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return sq_fail_errno(error, errno, "cannot make the socket between front and injector");
    if (make_room(fds[0], error) == 0 && make_room(fds[1], error) == 0)
        return 0;
    (void)close(fds[0]);
    (void)close(fds[1]);
    fds[0] = fds[1] = -1;
    return -1;
}

static int send_frame(int fd, const void *frame, size_t length, struct sq_error *error)
{
    ssize_t sent;
    do {
        sent = send(fd, frame, length, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return sq_fail_errno(error, errno, "cannot send to the agent's other process");
    if ((size_t)sent != length)
        return sq_fail(error, SQ_INTERNAL, "sent %zd of %zu bytes to the agent's other process", sent,
                       length);
    return 0;
}

/* As the functions in ipc.h; on 1 *length holds the frame's length. */
static int receive_frame(int fd, void *frame, size_t size, size_t *length, struct sq_error *error)
{
    struct iovec part = {.iov_base = frame, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t got;
    do {
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == ECONNRESET || errno == EPIPE))
        return 0;
    if (got < 0)
        return sq_fail_errno(error, errno, "cannot receive from the agent's other process");
    if (got == 0)
        return 0;
    if ((message.msg_flags & MSG_TRUNC) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "a frame from the agent's other process has more than %zu bytes",
                       size);
    *length = (size_t)got;
    return 1;
}

/*
 * Is `length` what `count` entries behind `head` bytes make? `count` stands within the first `head` bytes,
 * and is looked at only once they are known to be there.
 */
static bool length_fits(size_t length, size_t head, const uint32_t *count, size_t entry)
{
    return length >= head && *count <= SQ_FAULTS_MAX && length == head + *count * entry;
}

static int malformed(size_t length, struct sq_error *error)
{
    return sq_fail(error, SQ_BAD_INPUT, "a frame of %zu bytes from the agent's other process is malformed",
                   length);
}

#define REQUEST_HEAD offsetof(struct sq_request, faults)
#define REPLY_HEAD   offsetof(struct sq_reply, faults)

_Static_assert(offsetof(struct sq_request, fault_count) < REQUEST_HEAD, "the count stands before the faults");
_Static_assert(offsetof(struct sq_reply, fault_count) < REPLY_HEAD, "the count stands before the faults");

int sq_ipc_send_request(int fd, const struct sq_request *request, struct sq_error *error)
{
    if (request->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_INTERNAL, "a request with %u faults", request->fault_count);
    return send_frame(fd, request, REQUEST_HEAD + request->fault_count * sizeof request->faults[0], error);
}

int sq_ipc_send_reply(int fd, const struct sq_reply *reply, struct sq_error *error)
{
    if (reply->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_INTERNAL, "a reply with %u faults", reply->fault_count);
    return send_frame(fd, reply, REPLY_HEAD + reply->fault_count * sizeof reply->faults[0], error);
}

int sq_ipc_receive_request(int fd, struct sq_request *request, struct sq_error *error)
{
    size_t length = 0;
    sq_request_clear(request);
    int result = receive_frame(fd, request, sizeof *request, &length, error);
    if (result == 1 && !length_fits(length, REQUEST_HEAD, &request->fault_count, sizeof request->faults[0]))
        result = malformed(length, error);
    if (result != 1)
        memset(request, 0, sizeof *request);
    return result;
}

int sq_ipc_receive_reply(int fd, struct sq_reply *reply, struct sq_error *error)
{
    size_t length = 0;
    sq_reply_clear(reply);
    int result = receive_frame(fd, reply, sizeof *reply, &length, error);
    if (result == 1 && !length_fits(length, REPLY_HEAD, &reply->fault_count, sizeof reply->faults[0]))
        result = malformed(length, error);
    if (result != 1)
        memset(reply, 0, sizeof *reply);
    return result;
}
