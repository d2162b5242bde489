#include "ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define PREFIX_BYTES sizeof(uint32_t)
#define REQUEST_HEAD offsetof(struct sq_request, faults)
#define REPLY_HEAD   offsetof(struct sq_reply, faults)

_Static_assert(offsetof(struct sq_request, fault_count) < REQUEST_HEAD, "the count stands before the faults");
_Static_assert(offsetof(struct sq_reply, fault_count) < REPLY_HEAD, "the count stands before the faults");
_Static_assert(sizeof(struct sq_request) < UINT32_MAX && sizeof(struct sq_reply) < UINT32_MAX,
               "a length has 4 bytes");

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void sq_ipc_end_close(struct sq_ipc_end *end)
{
    close_fd(&end->in_fd);
    close_fd(&end->out_fd);
}

/*
 * The kernel rounds up to a power of two. More than /proc/sys/fs/pipe-max-size, or than a user may have in
 * all, is refused: then frames pass in pieces.
 */
static void make_room(int fd, size_t frame)
{
    (void)fcntl(fd, F_SETPIPE_SZ, (int)(PREFIX_BYTES + frame));
}

int sq_ipc_make(struct sq_ipc_end *injector, struct sq_ipc_end *front, struct sq_error *error)
{
    int requests[2];
    int replies[2];
    *injector = *front = (struct sq_ipc_end){-1, -1};
    if (pipe2(requests, O_CLOEXEC) != 0)
        return sq_fail_errno(error, errno, "cannot make the pipes between front and injector");
    injector->in_fd = requests[0];
    front->out_fd = requests[1];
    if (pipe2(replies, O_CLOEXEC) == 0) {
        front->in_fd = replies[0];
        injector->out_fd = replies[1];
        make_room(requests[1], sizeof(struct sq_request));
        make_room(replies[1], sizeof(struct sq_reply));
        if (fcntl(injector->in_fd, F_SETFL, O_NONBLOCK) == 0 &&
            fcntl(injector->out_fd, F_SETFL, O_NONBLOCK) == 0)
            return 0;
    }
    int number = errno;
    sq_ipc_end_close(injector);
    sq_ipc_end_close(front);
    return sq_fail_errno(error, number, "cannot make the pipes between front and injector");
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

enum way { READ, WRITE };

/*
 * Bytes `done` to `whole` of a frame, its length and what follows. In the front until all of it has passed.
 * In the injector, whose descriptors do not wait, with one call: however the other side cuts a frame into
 * pieces, a turn of the injector's loop stays short.
 */
static int move_frame(int fd, enum way way, bool once, uint32_t *length, void *frame, size_t whole,
                      size_t *done, struct sq_error *error)
{
    while (*done < whole) {
        size_t behind = *done < PREFIX_BYTES ? 0 : *done - PREFIX_BYTES;
        size_t before = *done < PREFIX_BYTES ? PREFIX_BYTES - *done : 0;
        struct iovec parts[] = {
            {.iov_base = (uint8_t *)length + PREFIX_BYTES - before, .iov_len = before},
            {.iov_base = (uint8_t *)frame + behind, .iov_len = whole - *done - before},
        };
        ssize_t moved = way == WRITE ? writev(fd, parts, 2) : readv(fd, parts, 2);
        if (moved > 0) {
            *done += (size_t)moved;
            if (once)
                return *done < whole ? SQ_IPC_PART : SQ_IPC_WHOLE;
        } else if (moved == 0 || errno == EPIPE)
            return SQ_IPC_GONE;
        else if (errno == EAGAIN)
            return SQ_IPC_PART;
        else if (errno != EINTR)
            return sq_fail_errno(error, errno, "cannot %s the agent's other process",
                                 way == WRITE ? "write to" : "read from");
    }
    return SQ_IPC_WHOLE;
}

int sq_ipc_send_request(const struct sq_ipc_end *end, const struct sq_request *request,
                        struct sq_error *error)
{
    if (request->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_INTERNAL, "a request with %u faults", request->fault_count);
    uint32_t length = (uint32_t)(REQUEST_HEAD + request->fault_count * sizeof request->faults[0]);
    size_t sent = 0;
    int result = move_frame(end->out_fd, WRITE, false, &length, (void *)(uintptr_t)request,
                            PREFIX_BYTES + length, &sent, error);
    if (result == SQ_IPC_GONE)
        return sq_fail(error, SQ_SYSTEM, "the agent's privileged half is gone");
    return result == SQ_IPC_WHOLE ? 0 : -1;
}

int sq_ipc_receive_reply(const struct sq_ipc_end *end, struct sq_reply *reply, struct sq_error *error)
{
    uint32_t length = 0;
    size_t received = 0;
    sq_reply_clear(reply);
    int result = move_frame(end->in_fd, READ, false, &length, NULL, PREFIX_BYTES, &received, error);
    if (result == SQ_IPC_WHOLE && (length < REPLY_HEAD || length > sizeof *reply))
        return malformed(length, error);
    if (result == SQ_IPC_WHOLE)
        result = move_frame(end->in_fd, READ, false, &length, reply, PREFIX_BYTES + length, &received, error);
    if (result == SQ_IPC_WHOLE &&
        !length_fits(length, REPLY_HEAD, &reply->fault_count, sizeof reply->faults[0]))
        result = malformed(length, error);
    if (result != SQ_IPC_WHOLE)
        memset(reply, 0, sizeof *reply);
    return result;
}

void sq_ipc_server_open(struct sq_ipc_server *server, struct sq_ipc_end *end)
{
    server->end = *end;
    *end = (struct sq_ipc_end){-1, -1};
    if (server->received > 0)
        memset(&server->request, 0, sizeof server->request);
    server->length = 0;
    server->received = 0;
    server->left_length = 0;
    server->left_sent = 0;
}

void sq_ipc_server_close(struct sq_ipc_server *server)
{
    sq_ipc_end_close(&server->end);
    server->left_length = 0;
}

/*
 * A front that is what it should be has taken the whole answer before it asks again. One that has not would
 * have the injector collect what it does not read.
 */
static int check_turn(const struct sq_ipc_server *server, struct sq_error *error)
{
    int untaken = 0;
    if (server->left_length == 0 && ioctl(server->end.out_fd, FIONREAD, &untaken) == 0 && untaken == 0)
        return 0;
    return sq_fail(error, SQ_BAD_INPUT, "it asked again before it had taken the answer to its last request");
}

/* What a broken frame has left in the request must not be there when the next one is judged. */
static int spoilt(struct sq_ipc_server *server, struct sq_error *error)
{
    memset(&server->request, 0, sizeof server->request);
    server->received = 0;
    return malformed(server->length, error);
}

int sq_ipc_take_request(struct sq_ipc_server *server, struct sq_error *error)
{
    struct sq_request *request = &server->request;
    int result = SQ_IPC_WHOLE;
    if (server->received == 0) {
        sq_request_clear(request);
        if (check_turn(server, error) != 0)
            return -1;
    }
    if (server->received < PREFIX_BYTES)
        result = move_frame(server->end.in_fd, READ, true, &server->length, NULL, PREFIX_BYTES,
                            &server->received, error);
    if (result != SQ_IPC_WHOLE)
        return result;
    if (server->length < REQUEST_HEAD || server->length > sizeof *request)
        return spoilt(server, error);
    result = move_frame(server->end.in_fd, READ, true, &server->length, request,
                        PREFIX_BYTES + server->length, &server->received, error);
    if (result != SQ_IPC_WHOLE)
        return result;
    if (!length_fits(server->length, REQUEST_HEAD, &request->fault_count, sizeof request->faults[0]))
        return spoilt(server, error);
    server->received = 0;
    return SQ_IPC_WHOLE;
}

int sq_ipc_continue_reply(struct sq_ipc_server *server, struct sq_error *error)
{
    int result = move_frame(server->end.out_fd, WRITE, true, &server->left_length, &server->reply,
                            PREFIX_BYTES + server->left_length, &server->left_sent, error);
    if (result != SQ_IPC_PART)
        server->left_length = 0;
    return result;
}

int sq_ipc_start_reply(struct sq_ipc_server *server, struct sq_error *error)
{
    const struct sq_reply *reply = &server->reply;
    if (reply->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_INTERNAL, "a reply with %u faults", reply->fault_count);
    server->left_length = (uint32_t)(REPLY_HEAD + reply->fault_count * sizeof reply->faults[0]);
    server->left_sent = 0;
    return sq_ipc_continue_reply(server, error);
}

bool sq_ipc_reply_is_under_way(const struct sq_ipc_server *server)
{
    return server->left_length != 0;
}
