/*
 * The agents, as seen from the controller: one nng request socket per agent, many requests under way at once,
 * answers delivered through one file descriptor to the caller's own poll loop. No callbacks on foreign
 * threads.
 *
 * nng retries a request by itself when a connection breaks; every request here is idempotent, so that is
 * harmless. An agent that is one protocol version behind is asked again in its own, and what that version
 * does not know is refused here, by name.
 */
#ifndef SQ_AGENTS_CLIENT_H
#define SQ_AGENTS_CLIENT_H

#include "common/error.h"
#include "model/inventory.h"
#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>

struct sq_client; /* all agents of one inventory */

/*
 * Prepare to talk to the hosts of `inventory` (borrowed): reads the TLS files, which are refused with their
 * names if they do not parse. Dials nobody before the first request to it.
 */
int sq_client_open(const struct sq_inventory *inventory, struct sq_client **client, struct sq_error *error);
void sq_client_close(struct sq_client *client); /* cancels what is under way */

/* Readable when answers wait: for the caller's poll. */
int sq_client_fd(const struct sq_client *client);

/*
 * Send `request` (version is filled in; copied) to host index `host`. The answer, or the failure, comes once
 * through sq_client_next with the same tag, at the latest after timeout_ns. A host has one request under way
 * for each tag; any number of tags. -1 only when out of memory.
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

/*
 * For the verbs that ask everybody once: send the same request to `host_count` hosts at once and wait for all
 * of them. answers[i] belongs to hosts[i]. Interruptible: `interrupt_fd` (or -1) becoming readable ends it
 * with -1 and SQ_ABORTED.
 */
int sq_client_ask(struct sq_client *client, const uint32_t *hosts, uint32_t host_count,
                  const struct sq_request *request, uint64_t timeout_ns, int interrupt_fd,
                  struct sq_answer *answers, struct sq_error *error);

#endif
