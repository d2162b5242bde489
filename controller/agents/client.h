/*
 * The agents, as seen from the controller: one nng request socket per agent, many requests under way at once,
 * answers told by one file descriptor to the caller's loop. No callbacks on foreign threads. Names are looked
 * up in the loop (loop/names.h), so that nobody waits for another's, and numeric addresses wait for no name.
 *
 * nng retries a request by itself when a connection breaks; every request here is idempotent, so that is
 * harmless. An agent that is one protocol version behind is asked again in its own, and what that version
 * does not know is refused here, by name.
 */
#ifndef SQ_AGENTS_CLIENT_H
#define SQ_AGENTS_CLIENT_H

#include "common/clock.h"
#include "common/error.h"
#include "loop/names.h"
#include "model/inventory.h"
#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>

struct sq_client; /* all agents of one inventory */

/*
 * Prepare to talk to the hosts of `inventory` (borrowed, as `loop` and `names` are): reads the TLS files,
 * which are refused with their names if they do not parse. Dials nobody before the first request to it. From
 * then on the loop must turn, or what was asked is neither dialed nor answered.
 */
int sq_client_open(const struct sq_inventory *inventory, struct sq_loop *loop, struct sq_names *names,
                   struct sq_client **client, struct sq_error *error);
void sq_client_close(struct sq_client *client); /* cancels what is under way */

/* Readable when answers wait: for the caller's loop. */
int sq_client_fd(const struct sq_client *client);

/*
 * Send `request` (version is filled in; copied) to host index `host`. The answer, or the failure, comes once
 * through sq_client_next with the same tag, at the latest after timeout_ns, of which the time is not counted
 * in which its agent listens and others' TLS handshakes come first. A host has one request under way for each
 * tag; any number of tags. -1 only when out of memory.
 */
int sq_client_send(struct sq_client *client, uint32_t host, uint64_t tag, const struct sq_request *request,
                   uint64_t timeout_ns, struct sq_error *error);

struct sq_answer {
    uint32_t host;
    uint64_t tag;
    bool failed;           /* no valid answer: `error` says why (SQ_UNREACHABLE, SQ_TIMEOUT, SQ_VERSION_GAP,
                              SQ_BAD_INPUT; SQ_UNABLE: the agent is too old for what is asked) */
    struct sq_error error; /* already names the host and its URL */
    uint64_t sent_boot_ns; /* the controller's clock */
    uint64_t answered_boot_ns;
    struct sq_reply reply;
};

/* Take one waiting answer; false: none. */
bool sq_client_next(struct sq_client *client, struct sq_answer *answer);

/* Turn the loop until an answer waits or `until_boot_ns`. -1: waiting failed, or `interrupt_fd` (or -1) is
 * readable (SQ_ABORTED). */
int sq_client_wait(struct sq_client *client, int interrupt_fd, uint64_t until_boot_ns,
                   struct sq_error *error);

/* `i` is the place in `hosts`; `answer` is borrowed. */
typedef void (*sq_answer_call)(void *cookie, uint32_t i, const struct sq_answer *answer);

/*
 * For the verbs that ask everybody once: send the same request to `host_count` hosts at once, and call once
 * for each, as they answer. Returns when all have answered or failed; interruptible as sq_client_wait. A TLS
 * host's own time begins when its turn for a handshake comes, so there is a limit for all of them together,
 * SQ_ASKING_NS: who did not come to be asked within it has failed by that (SQ_TIMEOUT).
 */
#define SQ_ASKING_NS (30 * SQ_NS_PER_SECOND)
void sq_client_limit_asking(struct sq_client *client, uint64_t most_ns); /* instead of SQ_ASKING_NS */
int sq_client_ask(struct sq_client *client, const uint32_t *hosts, uint32_t host_count,
                  const struct sq_request *request, uint64_t timeout_ns, int interrupt_fd,
                  sq_answer_call call, void *cookie, struct sq_error *error);

/* A copy as large as its content, to be freed: of reply.faults only reply.fault_count are there, so that it
 * may not be copied as a whole. NULL: out of memory. */
struct sq_answer *sq_answer_keep(const struct sq_answer *answer);

#endif
