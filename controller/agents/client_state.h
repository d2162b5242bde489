/* What the parts of the client share; for client*.c alone. */
#ifndef SQ_AGENTS_CLIENT_STATE_H
#define SQ_AGENTS_CLIENT_STATE_H

#include "agents/client.h"
#include "agents/client_diagnose.h"
#include "agents/client_tls.h"
#include "common/clock.h"
#include "loop/names.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <nng/nng.h>

struct agent {
    struct sq_client *client;
    uint32_t host;
    bool opened;
    nng_socket socket;
    bool dialing;
    nng_dialer dialer;
    struct sq_names_query *query; /* its name is being looked up */
    bool knocking;                /* whether somebody listens there is being found out */
    bool queued;                  /* somebody does; it waits for its turn to be dialed */
    uint64_t queued_boot_ns;
    struct agent *next_queued;
    uint64_t greeting_until_boot_ns; /* dialed: counts among those that shake hands until then; 0: does not */
    bool located;                    /* `address` is where it is dialed */
    struct sockaddr_storage address;
    bool lost_lately;       /* to be looked into */
    uint32_t connections;   /* now */
    uint64_t connected;     /* times so far */
    uint64_t lost;          /* times so far */
    uint32_t version;       /* the one that it was last heard to speak; 0: none yet */
    struct sq_error reason; /* what the diagnosis said; SQ_OK: nothing yet, or that it can be reached */
};

/* A dial that takes longer than this is looked into; a handshake takes some 15 ms. */
#define SQ_DIAGNOSE_AFTER_NS (250 * SQ_NS_PER_MILLISECOND)

enum stage { STAGE_WAITING, STAGE_SENDING, STAGE_RECEIVING, STAGE_DONE };

/* One request under way. In exactly one of the client's lists. */
struct call {
    struct sq_client *client;
    struct call *next;
    struct call *previous;
    uint32_t host;
    uint64_t tag;
    enum sq_verb verb;
    nng_ctx context;
    nng_aio *aio;
    enum stage stage;
    bool given_up; /* the diagnosis says that waiting is of no use */
    uint64_t sent_boot_ns;
    uint64_t answered_boot_ns;
    uint64_t timeout_ns;
    uint64_t lost_before; /* the agent's `lost` when it was sent */
    int result;           /* nng's error number */
    uint32_t version;     /* that it was sent in */
    uint8_t *bytes;       /* as it was sent, should it have to be said again in another version */
    size_t length;
    struct sq_error reason; /* why it was never sent; SQ_OK: it was */
    nng_msg *answer;
};

struct call_list {
    struct call *first;
    struct call *last;
};

struct sq_client {
    const struct sq_inventory *inventory;
    struct sq_loop *loop;
    struct sq_names *names;
    struct sq_loop_source *wake;  /* of wake_fd */
    struct sq_loop_source *timer; /* the first of `waiting` whose time is up */
    int wake_fd;                  /* readable when an agent was lost lately */
    struct call_list waiting;     /* for their agents to be dialed; the loop's thread alone */
    struct agent *queue_first;    /* of agents */
    struct agent *queue_last;
    uint32_t greeting;         /* how many agents shake hands now */
    struct sq_client_tls *tls; /* NULL: no TLS host */
    struct sq_diagnoser *diagnoser;
    uint32_t rounds;    /* of sq_client_ask */
    uint64_t asking_ns; /* what asking everybody may take */
    int event_fd;
    pthread_mutex_t mutex; /* guards the lists, `closing`, and of agents what callbacks change */
    bool closing;
    struct call_list under_way;
    struct call_list done;
    struct agent *agents; /* one per host */
};

/* client.c */
int sq_client_encode(const struct sq_request *request, uint8_t **bytes, size_t *length,
                     struct sq_error *error);
/* `bytes` are a request in our own version. */
int sq_client_send_bytes(struct sq_client *client, uint32_t host, uint64_t tag, enum sq_verb verb,
                         const uint8_t *bytes, size_t length, uint64_t timeout_ns, struct sq_error *error);
/* An answer that is no answer: why it was never sent. Not with the mutex held. */
void sq_client_fail_early(struct sq_client *client, struct call *call, const struct sq_error *reason);
void sq_call_start(struct call *call); /* its agent is being dialed: send it */
void sq_call_list_add(struct call_list *list, struct call *call);
void sq_call_list_remove(struct call_list *list, struct call *call);

/* client_dial.c */
bool sq_agent_is_tls(const struct sq_host *host);
/* See that it is dialed. 1: it is, and requests may be sent; 0: not yet; -1 with the reason. */
int sq_agent_dial(struct sq_client *client, struct agent *agent, struct sq_error *error);
void sq_agent_hang_up(struct agent *agent);
int sq_client_dial_open(struct sq_client *client, struct sq_error *error);
void sq_client_dial_close(struct sq_client *client); /* what the loop knows of it; no callback comes after */
void sq_client_await_dial(struct sq_client *client, struct call *call); /* the dialing said 0 */

#endif
