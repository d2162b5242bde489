/*
 * Names to addresses without blocking and without threads: c-ares asks the servers of /etc/resolv.conf and
 * reads /etc/hosts, in the loop. Asked anew each time: nothing is kept, so that a name that vanished is
 * missed at once. Modules of nsswitch.conf other than `files` and `dns` are not asked.
 */
#ifndef SQ_LOOP_NAMES_H
#define SQ_LOOP_NAMES_H

#include "common/error.h"
#include "loop/loop.h"

#include <stdint.h>
#include <sys/socket.h>

#define SQ_ADDRESSES_MAX 16

struct sq_names;       /* the resolver */
struct sq_names_query; /* one question under way */

struct sq_addresses { /* in the order in which they should be tried (RFC 6724); the ports are 0 */
    uint32_t count;
    struct sockaddr_storage addresses[SQ_ADDRESSES_MAX];
};

/* Once for each question: addresses, or NULL and why not (SQ_UNREACHABLE: no such name, no server answers;
 * SQ_TIMEOUT). Both are borrowed. */
typedef void (*sq_names_call)(void *cookie, const struct sq_addresses *addresses,
                              const struct sq_error *error);

int sq_names_open(struct sq_loop *loop, struct sq_names **names, struct sq_error *error);
void sq_names_close(struct sq_names *names); /* forgets what is under way, calls nobody; NULL is fine */

/* Ask these instead of those of /etc/resolv.conf, from the next question on that finds none under way:
 * "ADDRESS:PORT,...", for tests. */
int sq_names_set_servers(struct sq_names *names, const char *servers, struct sq_error *error);

/*
 * Resolve `host` within `timeout_ns`. A numeric address (IPv6 also in brackets, with a zone) and "localhost"
 * (RFC 6761) wait for nobody and are told from within this call; everybody else in a turn of the loop, from
 * where all of these functions may be called. `query` is what cancels it, NULL if it is through already. -1:
 * nobody will be called.
 */
int sq_names_resolve(struct sq_names *names, const char *host, uint64_t timeout_ns, sq_names_call call,
                     void *cookie, struct sq_names_query **query, struct sq_error *error);
void sq_names_cancel(struct sq_names_query *query); /* calls nobody; not once it was called; NULL is fine */

#endif
