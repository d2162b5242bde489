/*
 * Connections that were accepted and are no peers of nng's yet: their TLS handshake, or the few bytes that
 * open a connection over the Unix socket, are still under way. nng 1.5 accepts whoever comes, waits 10 s for
 * each, and tells nothing of them, so that 512 silent connections shut out every controller.
 *
 * So listen, accept, readv and close, as libnng finds them, stand here, and keep a table of nng's
 * connections:
 *   - who connects to a TLS port and says nothing stays in the kernel for half a minute, and is never
 * accepted unless the kernel runs out of room for such;
 *   - who has not completed its handshake within 3 s is dropped;
 *   - of more than so many at once, the one that has taken longest is dropped for the next, though not within
 *     its first 50 ms: meanwhile newcomers wait in the kernel;
 *   - TLS and Unix sockets have a budget each, so that whoever fills the one does not touch the other.
 * For agent/front alone. In the agent's other process the table is off, and these are the system calls.
 */
#ifndef SQ_FRONT_HANDSHAKES_H
#define SQ_FRONT_HANDSHAKES_H

#include "common/error.h"
#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SQ_HANDSHAKE_WITHIN_NS (3 * 1000000000ull)

/* At a time. An agent has one controller or a few, so more are a mistake or an attack. */
#define SQ_TLS_HANDSHAKES_MAX   64
#define SQ_TLS_CONNECTIONS_MAX  256
#define SQ_UNIX_HANDSHAKES_MAX  32
#define SQ_UNIX_CONNECTIONS_MAX 64

/* What all of them, those that nng is about to close, and what nng needs itself take. */
#define SQ_CONNECTION_DESCRIPTORS_MAX 640

/*
 * Turn the table on, before nng listens. *wake_fd becomes readable when sq_handshakes_tend or
 * sq_handshakes_refused has something to do; it lives as long as the process.
 */
int sq_handshakes_watch(int *wake_fd, struct sq_error *error);

/*
 * Drop those that take too long. Returns when the next one does (boot-time clock); 0: there is none, and no
 * timer need run.
 */
uint64_t sq_handshakes_tend(uint64_t now_boot_ns);

/*
 * A TCP connection from this address became a peer. False: there are too many of them, and it is to be
 * closed. Over the Unix socket nng names no address; there the table sees for itself.
 */
bool sq_handshakes_complete_tls(const struct sockaddr *remote);
bool sq_handshakes_unix_is_full(void);

enum sq_refusal {
    SQ_REFUSAL_ENDED,   /* by either side, after it had said something: a wrong certificate, a scan */
    SQ_REFUSAL_SLOW,    /* dropped: not completed in time */
    SQ_REFUSAL_CROWDED, /* dropped: too many at once */
};

struct sq_refused {
    enum sq_refusal why;
    struct sq_requester from; /* family, address or uid alone */
};

/* The next one that did not become a peer. False: no more. Of very many at once some are only counted. */
bool sq_handshakes_refused(struct sq_refused *refused, unsigned *untold);

#endif
