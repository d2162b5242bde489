/*
 * Between the agent's two processes: one request, one reply, over a SOCK_SEQPACKET pair. A frame is the plain
 * structure itself, cut behind its last fault, so its length says how many faults it carries and both must
 * agree.
 *
 * Both sides run the same binary, so the layout needs no versioning. The injector trusts nothing all the
 * same: a frame of any other length is refused, and sq_request_check runs again on its side.
 */
#ifndef SQ_IPC_IPC_H
#define SQ_IPC_IPC_H

#include "common/error.h"
#include "table/message.h"

/* fds[0] for the injector, fds[1] for the front; close-on-exec, with room for the largest frame. */
int sq_ipc_pair(int fds[2], struct sq_error *error);

int sq_ipc_send_request(int fd, const struct sq_request *request, struct sq_error *error);
int sq_ipc_send_reply(int fd, const struct sq_reply *reply, struct sq_error *error);

/*
 * 1: one frame received. 0: the other side is gone. -1: error (SQ_BAD_INPUT: a malformed frame, now
 * discarded). What is received into is all zero, or was received into before.
 */
int sq_ipc_receive_request(int fd, struct sq_request *request, struct sq_error *error);
int sq_ipc_receive_reply(int fd, struct sq_reply *reply, struct sq_error *error);

#endif
