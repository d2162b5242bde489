#include "agents/client_state.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CLOSE_PATIENCE_S 2

void sq_call_list_add(struct call_list *list, struct call *call)
{
    call->next = NULL;
    call->previous = list->last;
    if (list->last != NULL)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
}

void sq_call_list_remove(struct call_list *list, struct call *call)
{
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        list->first = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    else
        list->last = call->previous;
    call->next = call->previous = NULL;
}

static nng_duration to_ms(uint64_t duration_ns)
{
    uint64_t ms = duration_ns / SQ_NS_PER_MILLISECOND + (duration_ns % SQ_NS_PER_MILLISECOND != 0);
    if (ms < 1)
        ms = 1;
    return ms > INT32_MAX ? INT32_MAX : (nng_duration)ms;
}

/* With the mutex held. */
static void finish(struct call *call, int result)
{
    struct sq_client *client = call->client;
    call->stage = STAGE_DONE;
    call->result = result;
    call->answered_boot_ns = sq_boot_ns();
    sq_call_list_remove(&client->under_way, call);
    sq_call_list_add(&client->done, call);
    uint64_t one = 1;
    /* The counter cannot overflow, and a wake-up that is pending already is enough. */
    (void)!write(client->event_fd, &one, sizeof(one));
}

/* On one of nng's threads: the request went out, the answer came, or it is over. */
static void on_progress(void *argument)
{
    struct call *call = argument;
    struct sq_client *client = call->client;
    int result = nng_aio_result(call->aio);
    (void)pthread_mutex_lock(&client->mutex);
    if (call->stage == STAGE_SENDING) {
        if (result != 0) {
            nng_msg_free(nng_aio_get_msg(call->aio)); /* ours again, since it was not sent */
            finish(call, result);
        } else if (call->given_up || client->closing) {
            finish(call, NNG_ECANCELED);
        } else {
            uint64_t left_ns = sq_ns_sub(sq_ns_add(call->sent_boot_ns, call->timeout_ns), sq_boot_ns());
            call->stage = STAGE_RECEIVING;
            nng_aio_set_timeout(call->aio, to_ms(left_ns));
            nng_ctx_recv(call->context, call->aio);
        }
    } else {
        if (result == 0)
            call->answer = nng_aio_get_msg(call->aio);
        finish(call, result);
    }
    (void)pthread_mutex_unlock(&client->mutex);
}

int sq_client_open(const struct sq_inventory *inventory, struct sq_loop *loop, struct sq_names *names,
                   struct sq_client **result, struct sq_error *error)
{
    struct sq_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    client->inventory = inventory;
    client->loop = loop;
    client->asking_ns = SQ_ASKING_NS;
    client->names = names;
    client->event_fd = client->wake_fd = -1;
    (void)pthread_mutex_init(&client->mutex, NULL);
    client->agents = calloc(inventory->host_count > 0 ? inventory->host_count : 1, sizeof(*client->agents));
    if (client->agents == NULL) {
        (void)sq_fail(error, SQ_SYSTEM, "out of memory");
        goto failed;
    }
    bool tls = false;
    for (uint32_t i = 0; i < inventory->host_count; i++) {
        client->agents[i].client = client;
        client->agents[i].host = i;
        tls = tls || sq_agent_is_tls(&inventory->hosts[i]);
    }
    if (tls && sq_client_tls_load(inventory, &client->tls, error) != 0)
        goto failed;
    client->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->event_fd < 0) {
        (void)sq_fail_errno(error, errno, "cannot make an eventfd");
        goto failed;
    }
    if (sq_client_dial_open(client, error) != 0)
        goto failed;
    *result = client;
    return 0;
failed:
    sq_client_close(client);
    return -1;
}

static void call_free(struct call *call)
{
    if (call == NULL)
        return;
    if (call->aio != NULL)
        nng_aio_free(call->aio);
    if (nng_ctx_id(call->context) > 0)
        (void)nng_ctx_close(call->context);
    if (call->answer != NULL)
        nng_msg_free(call->answer);
    free(call->bytes);
    free(call);
}

static void *close_each(void *argument)
{
    struct sq_client *client = argument;
    for (uint32_t i = 0; i < client->inventory->host_count; i++)
        if (client->agents[i].opened)
            (void)nng_close(client->agents[i].socket);
    return NULL;
}

/*
 * nng_close of nng 1.5 can wait for ever when a connection breaks at the same moment (nng issues 1543, 1813).
 * No verb of ours may hang on that: after a while the thread that waits is left behind, with what it uses.
 * False: it is.
 */
static bool close_sockets(struct sq_client *client)
{
    pthread_t thread;
    if (client->agents == NULL)
        return true;
    int code = pthread_create(&thread, NULL, close_each, client);
    if (code != 0)
        return false;
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_PATIENCE_S;
    if (pthread_timedjoin_np(thread, NULL, &until) == 0)
        return true;
    (void)pthread_detach(thread);
    return false;
}

void sq_client_close(struct sq_client *client)
{
    if (client == NULL)
        return;
    (void)pthread_mutex_lock(&client->mutex);
    client->closing = true;
    (void)pthread_mutex_unlock(&client->mutex);
    sq_client_dial_close(client);
    while (client->waiting.first != NULL) {
        struct call *call = client->waiting.first;
        sq_call_list_remove(&client->waiting, call);
        call_free(call);
    }
    for (;;) {
        (void)pthread_mutex_lock(&client->mutex);
        struct call *call = client->under_way.first;
        (void)pthread_mutex_unlock(&client->mutex);
        if (call == NULL)
            break;
        /* Waits for the callback, which moves the call to the other list; only this thread frees calls. */
        nng_aio_stop(call->aio);
    }
    while (client->done.first != NULL) {
        struct call *call = client->done.first;
        sq_call_list_remove(&client->done, call);
        call_free(call);
    }
    if (!close_sockets(client))
        return;
    free(client->agents);
    sq_client_tls_free(client->tls);
    sq_cleanup_close(&client->event_fd);
    sq_cleanup_close(&client->wake_fd);
    (void)pthread_mutex_destroy(&client->mutex);
    free(client);
}

int sq_client_fd(const struct sq_client *client)
{
    return client->event_fd;
}

static struct call *call_make(struct sq_client *client, uint32_t host, uint64_t tag, enum sq_verb verb)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return NULL;
    call->client = client;
    call->host = host;
    call->tag = tag;
    call->verb = verb;
    if (nng_aio_alloc(&call->aio, on_progress, call) != 0) {
        free(call);
        return NULL;
    }
    return call;
}

/* Fail a call that could not even start: its answer waits like any other. */
void sq_client_fail_early(struct sq_client *client, struct call *call, const struct sq_error *reason)
{
    (void)pthread_mutex_lock(&client->mutex);
    call->reason = *reason;
    sq_call_list_add(&client->under_way, call);
    finish(call, NNG_ECANCELED);
    (void)pthread_mutex_unlock(&client->mutex);
}

/* Into call->bytes: the request in the version that the agent speaks, as far as that is known. */
static int put_bytes(struct call *call, const uint8_t *bytes, size_t length, struct sq_error *error)
{
    uint32_t spoken = call->client->agents[call->host].version;
    call->version = spoken != 0 ? spoken : SQ_PROTOCOL_VERSION;
    if (call->version != SQ_PROTOCOL_VERSION)
        return sq_wire_translate_request(bytes, length, call->version, &call->bytes, &call->length, error);
    call->bytes = malloc(length > 0 ? length : 1);
    if (call->bytes == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    memcpy(call->bytes, bytes, length);
    call->length = length;
    return 0;
}

/* On failure the message is gone. */
static int make_message(struct call *call, nng_msg **message, struct sq_error *error)
{
    int code = nng_msg_alloc(message, 0);
    if (code == 0 && (code = nng_msg_append(*message, call->bytes, call->length)) == 0 &&
        (code = nng_ctx_open(&call->context, call->client->agents[call->host].socket)) == 0)
        return 0;
    if (*message != NULL)
        nng_msg_free(*message);
    return sq_fail(error, SQ_SYSTEM, "cannot send: %s", nng_strerror(code));
}

void sq_call_start(struct call *call)
{
    struct sq_client *client = call->client;
    struct agent *agent = &client->agents[call->host];
    nng_msg *message = NULL;
    struct sq_error reason = {0};
    if (make_message(call, &message, &reason) != 0) {
        sq_client_fail_early(client, call, &reason);
        return;
    }
    uint64_t left_ns = sq_ns_sub(sq_ns_add(call->sent_boot_ns, call->timeout_ns), sq_boot_ns());
    nng_aio_set_timeout(call->aio, to_ms(left_ns));
    nng_aio_set_msg(call->aio, message);
    (void)pthread_mutex_lock(&client->mutex);
    call->stage = STAGE_SENDING;
    call->lost_before = agent->lost;
    sq_call_list_add(&client->under_way, call);
    bool connected = agent->connections > 0;
    (void)pthread_mutex_unlock(&client->mutex);
    nng_ctx_send(call->context, call->aio);
    if (!connected)
        sq_diagnoser_ask(client->diagnoser, call->host, SQ_DIAGNOSE_AFTER_NS);
}

int sq_client_send_bytes(struct sq_client *client, uint32_t host, uint64_t tag, enum sq_verb verb,
                         const uint8_t *bytes, size_t length, uint64_t timeout_ns, struct sq_error *error)
{
    struct call *call = call_make(client, host, tag, verb);
    struct sq_error reason = {0};
    if (call == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    call->sent_boot_ns = sq_boot_ns();
    call->timeout_ns = timeout_ns;
    int dialed = put_bytes(call, bytes, length, &reason) != 0
                     ? -1
                     : sq_agent_dial(client, &client->agents[host], &reason);
    if (dialed < 0)
        sq_client_fail_early(client, call, &reason);
    else if (dialed == 0)
        sq_client_await_dial(client, call);
    else
        sq_call_start(call);
    return 0;
}

int sq_client_encode(const struct sq_request *request, uint8_t **bytes, size_t *length,
                     struct sq_error *error)
{
    /* A request is some 180 KiB of mostly nothing: not copied a thousand times while a rollback waits. */
    if (request->version == SQ_PROTOCOL_VERSION)
        return sq_wire_encode_request(request, bytes, length, error);
    sq_autofree struct sq_request *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    *copy = *request;
    copy->version = SQ_PROTOCOL_VERSION;
    return sq_wire_encode_request(copy, bytes, length, error);
}

int sq_client_send(struct sq_client *client, uint32_t host, uint64_t tag, const struct sq_request *request,
                   uint64_t timeout_ns, struct sq_error *error)
{
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    if (sq_client_encode(request, &bytes, &length, error) != 0)
        return -1;
    return sq_client_send_bytes(client, host, tag, request->verb, bytes, length, timeout_ns, error);
}

/* No answer came: why? With what the diagnosis found out, copied under the mutex. */
static void explain(const struct call *call, const struct agent *agent, struct sq_error *error)
{
    char waited[SQ_UNIT_TEXT_MAX];
    sq_duration_format_rounded(sq_ns_sub(call->answered_boot_ns, call->sent_boot_ns), waited);
    uint64_t lost = agent->lost - call->lost_before;
    if (call->reason.code != SQ_OK)
        *error = call->reason;
    else if (call->given_up || (agent->connections == 0 && agent->reason.code != SQ_OK))
        *error = agent->reason;
    else if (call->result != NNG_ETIMEDOUT)
        (void)sq_fail(error, SQ_UNREACHABLE, "no answer: %s", nng_strerror(call->result));
    else if (lost > 0)
        (void)sq_fail(
            error, SQ_UNREACHABLE,
            "the connection was lost %llu times before an answer came, in %s: the agent keeps restarting, "
            "is no squalld, or answers with more than %u KiB",
            (unsigned long long)lost, waited, SQ_WIRE_BYTES_MAX / 1024);
    else if (agent->connections == 0)
        (void)sq_fail(error, SQ_TIMEOUT, "not connected within %s", waited);
    else
        (void)sq_fail(error, SQ_TIMEOUT,
                      "connected, but no answer within %s: the agent hangs or its host is overloaded",
                      waited);
}

static void decode(const struct call *call, struct sq_answer *answer)
{
    struct sq_error *error = &answer->error;
    if (sq_wire_decode_reply(nng_msg_body(call->answer), nng_msg_len(call->answer), &answer->reply, error) !=
        0) {
        answer->failed = true;
        if (error->code != SQ_VERSION_GAP)
            (void)sq_fail_in(error, "the agent's answer cannot be understood");
    } else if (answer->reply.code == SQ_OK && answer->reply.verb != call->verb) {
        answer->failed = true;
        (void)sq_fail(error, SQ_BAD_INPUT, "the agent answered to %s when it was asked for %s",
                      sq_verb_name(answer->reply.verb), sq_verb_name(call->verb));
    }
}

/*
 * An agent that is one version behind refuses what it does not speak and names its own: the same once more in
 * that one, of which nobody else hears. It did nothing the first time. False: there is an answer.
 */
static bool ask_again(struct sq_client *client, struct call *call, struct sq_answer *answer)
{
    struct agent *agent = &client->agents[call->host];
    const struct sq_reply *reply = &answer->reply;
    if (answer->failed)
        return false;
    bool is_gap = reply->code == SQ_VERSION_GAP && reply->version < call->version;
    agent->version = is_gap ? reply->version : call->version;
    if (!is_gap)
        return false;
    uint64_t left_ns = sq_ns_sub(sq_ns_add(call->sent_boot_ns, call->timeout_ns), sq_boot_ns());
    if (sq_client_send_bytes(client, call->host, call->tag, call->verb, call->bytes, call->length, left_ns,
                             &answer->error) == 0)
        return true;
    answer->failed = true;
    return false;
}

/* The next call that is over, or NULL; then *reason is why there is no answer to it. */
static struct call *take_done(struct sq_client *client, bool *of_no_use, struct sq_error *reason)
{
    (void)pthread_mutex_lock(&client->mutex);
    struct call *call = client->done.first;
    if (call == NULL) {
        uint64_t count;
        /* Under the mutex, so that no wake-up of a call that is not yet in the list is swallowed. */
        (void)!read(client->event_fd, &count, sizeof(count));
        (void)pthread_mutex_unlock(&client->mutex);
        return NULL;
    }
    sq_call_list_remove(&client->done, call);
    const struct agent *agent = &client->agents[call->host];
    *of_no_use = (call->given_up || call->reason.code != SQ_OK) && agent->connected == 0;
    for (struct call *other = client->under_way.first; other != NULL && *of_no_use; other = other->next)
        *of_no_use = other->host != call->host;
    if (call->result != 0)
        explain(call, agent, reason);
    (void)pthread_mutex_unlock(&client->mutex);
    return call;
}

static void fill_answer(const struct call *call, const struct sq_error *reason, struct sq_answer *answer)
{
    answer->host = call->host;
    answer->tag = call->tag;
    answer->failed = call->result != 0;
    answer->error = *reason;
    answer->sent_boot_ns = call->sent_boot_ns;
    answer->answered_boot_ns = call->answered_boot_ns;
    if (call->result == 0)
        decode(call, answer);
    else
        memset(&answer->reply, 0, sizeof(answer->reply));
}

bool sq_client_next(struct sq_client *client, struct sq_answer *answer)
{
    for (;;) {
        struct sq_error reason = {0};
        bool of_no_use = false;
        struct call *call = take_done(client, &of_no_use, &reason);
        if (call == NULL)
            return false;
        fill_answer(call, &reason, answer);
        bool again = ask_again(client, call, answer);
        call_free(call);
        if (again)
            continue;
        if (answer->failed) {
            const struct sq_host *host = &client->inventory->hosts[answer->host];
            (void)sq_fail_in(&answer->error, "%s (%s)", host->name, host->agent);
            if (of_no_use)
                sq_agent_hang_up(&client->agents[answer->host]);
        }
        return true;
    }
}
