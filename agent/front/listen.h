/* The front's nng socket: every listener on one reply socket, and who is at the other end. For agent/front
 * alone. */
#ifndef SQ_FRONT_LISTEN_H
#define SQ_FRONT_LISTEN_H

#include "common/error.h"
#include "front/front.h"
#include "front/tls_files.h"
#include "table/message.h"

#include <nng/nng.h>
#include <stdbool.h>

/* Does any listener use TLS? */
bool sq_front_needs_tls(const struct sq_front_options *options);

/* Are the directories of the Unix sockets there? SQ_BAD_INPUT: one is not. */
int sq_front_check_directories(const struct sq_front_options *options, struct sq_error *error);

/* Open the socket and start every listener. The caller closes with nng_close; nothing is left open on
 * failure. */
int sq_front_listen(const struct sq_front_options *options, const struct sq_tls_files *files,
                    nng_socket *socket, struct sq_error *error);

/* Remove the files of the Unix sockets. */
void sq_front_remove_sockets(const struct sq_front_options *options);

/* Where a message came from. -1: its connection is gone. */
int sq_front_requester(nng_msg *message, struct sq_requester *requester);

#endif
