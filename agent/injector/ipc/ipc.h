/*
 * Between the agent's two processes: one request, one reply, over a pair of pipes. A frame is its length (4
 * bytes) and the plain structure itself, cut behind its last fault, so its length says how many faults it
 * carries and both must agree.
 *
 * Pipes, because they carry bytes and nothing else: over a Unix socket a front in an attacker's hands can
 * pass descriptors, which the kernel closes in the injector, and closing may block.
 *
 * Both sides run the same binary, so the layout needs no versioning. The injector trusts nothing all the
 * same: a frame of any other length is refused, and sq_request_check runs again on its side. The front waits
 * for the injector; the injector waits for nobody: half a frame stays where it is until the rest comes, and
 * an answer leaves as far as there is room.
 */
#ifndef SQ_IPC_IPC_H
#define SQ_IPC_IPC_H

#include "common/error.h"
#include "table/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one of the two processes holds. */
struct sq_ipc_end {
    int in_fd;  /* what the other one says; -1: none */
    int out_fd; /* what is said to it; -1: none */
};

/*
 * Both pipes, close-on-exec; the injector's ends do not block. They have room for the largest frame where the
 * kernel grants it, else frames pass in pieces.
 */
int sq_ipc_make(struct sq_ipc_end *injector, struct sq_ipc_end *front, struct sq_error *error);

/* Close what is open of it. */
void sq_ipc_end_close(struct sq_ipc_end *end);

/* --- the front's side: waits --- */

int sq_ipc_send_request(const struct sq_ipc_end *end, const struct sq_request *request,
                        struct sq_error *error);

/*
 * 1: one reply received. 0: the injector is gone. -1: error (SQ_BAD_INPUT: malformed). `reply` is all zero,
 * or was received into before.
 */
int sq_ipc_receive_reply(const struct sq_ipc_end *end, struct sq_reply *reply, struct sq_error *error);

/* --- the injector's side: never waits. SIGPIPE has to be ignored --- */

/* Large: static, and all zero before the first use. What is never filled takes no memory. */
struct sq_ipc_server {
    struct sq_ipc_end end;
    uint32_t length;      /* of the request under way, once its 4 bytes are there */
    size_t received;      /* of it, those 4 bytes included */
    uint32_t left_length; /* of the answer that has not left whole; 0: none */
    size_t left_sent;     /* of it, its 4 bytes included */
    struct sq_request request;
    struct sq_reply reply;
};

/* Forget what was under way with an earlier front, and serve this end, which becomes the server's. */
void sq_ipc_server_open(struct sq_ipc_server *server, struct sq_ipc_end *end);
void sq_ipc_server_close(struct sq_ipc_server *server);

enum { SQ_IPC_GONE = 0, SQ_IPC_WHOLE = 1, SQ_IPC_PART = 2 };

/*
 * Read what is there of one request. SQ_IPC_WHOLE: it stands in server->request. SQ_IPC_PART: ask again when
 * there is more. SQ_IPC_GONE: the front closed its end. -1 with SQ_BAD_INPUT: a length that no request has,
 * or another request before the last answer was taken; what follows cannot be told apart any more, so the
 * front has to be ended.
 */
int sq_ipc_take_request(struct sq_ipc_server *server, struct sq_error *error);

/* Send server->reply. SQ_IPC_WHOLE, SQ_IPC_PART: go on with sq_ipc_continue_reply when there is room again,
 * and leave the reply as it is until then. SQ_IPC_GONE or -1 as above. */
int sq_ipc_start_reply(struct sq_ipc_server *server, struct sq_error *error);
int sq_ipc_continue_reply(struct sq_ipc_server *server, struct sq_error *error);
bool sq_ipc_reply_is_under_way(const struct sq_ipc_server *server);

#endif
