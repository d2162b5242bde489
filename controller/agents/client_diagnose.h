/*
 * Why can an agent not be reached? nng dials in the background and keeps the reason to itself, so for hosts
 * that are not connected after a moment this connects once more, in the loop, and says what happened:
 * refused, no such socket, not TLS, whose certificate is wrong and in what. Sends nothing but a TLS
 * handshake.
 */
#ifndef SQ_AGENTS_CLIENT_DIAGNOSE_H
#define SQ_AGENTS_CLIENT_DIAGNOSE_H

#include "agents/client_tls.h"
#include "common/error.h"
#include "loop/loop.h"
#include "model/inventory.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct sq_diagnoser;

/* All are called in a turn of the loop, with `cookie`. */
struct sq_diagnoser_calls {
    /* Is there still something to explain? Asked when a host's turn comes. */
    bool (*wanted)(void *cookie, uint32_t host);
    /* Where a TLS host is dialed, port included; NULL: not known yet. Borrowed. */
    const struct sockaddr_storage *(*address)(void *cookie, uint32_t host);
    /*
     * SQ_UNREACHABLE: it will not become better by waiting. SQ_TIMEOUT: nobody answered so far. SQ_OK: a
     * connection and its TLS handshake succeed. The text does not name the host.
     */
    void (*found)(void *cookie, uint32_t host, const struct sq_error *reason);
    void *cookie;
};

/* `loop`, `inventory` and `tls` (NULL: no TLS hosts) are borrowed. */
int sq_diagnoser_open(struct sq_loop *loop, const struct sq_inventory *inventory,
                      const struct sq_client_tls *tls, const struct sq_diagnoser_calls *calls,
                      struct sq_diagnoser **diagnoser, struct sq_error *error);
void sq_diagnoser_close(struct sq_diagnoser *diagnoser); /* NULL is fine */

/* Look at a host `after_ns` from now, unless that is already so. Never blocks. */
void sq_diagnoser_ask(struct sq_diagnoser *diagnoser, uint32_t host, uint64_t after_ns);

/* Find out at once whether anybody listens there, by a connection alone; as often as it takes (SQ_TIMEOUT).
 */
void sq_diagnoser_knock(struct sq_diagnoser *diagnoser, uint32_t host);

#endif
