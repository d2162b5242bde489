/* How an agent is reached: its address, its socket, and what becomes of its connections. */
#include "agents/client_state.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nng/protocol/reqrep0/req.h>

/* nng sends a request again by itself when its connection breaks; by the clock it never needs to. */
#define RESEND_MS (24 * 3600 * 1000)

/*
 * How soon an agent is dialed again, always the same: a lease of half a second has to outlive the restart of
 * a front. nng 1.5.2 draws its pauses from minus to plus this, so that every second one is none at all;
 * pauses that grow would have grown to their longest within milliseconds.
 */
#define REDIAL_WITHIN_MS 100

/*
 * With 1,000 handshakes at once none would be through before all are. So few at once, and who waits for his
 * turn has been found listening: those that are not there cost one connection attempt, and hold up nobody.
 */
#define GREETING_MAX 32
#define GREETING_NS  SQ_NS_PER_SECOND

/* Longer than any request waits: a look-up that nobody awaits any more ends sometime, too. */
#define LOOK_UP_NS (60 * SQ_NS_PER_SECOND)

bool sq_agent_is_tls(const struct sq_host *host)
{
    return strncmp(host->agent, "tls+", 4) == 0;
}

/* On one of nng's threads. */
static void on_connection(nng_pipe pipe, nng_pipe_ev event, void *argument)
{
    (void)pipe;
    struct agent *agent = argument;
    uint64_t one = 1;
    (void)pthread_mutex_lock(&agent->client->mutex);
    if (event == NNG_PIPE_EV_ADD_POST) {
        agent->connections++;
        agent->connected++;
        agent->reason.code = SQ_OK;
        if (!agent->client->closing)
            (void)!write(agent->client->wake_fd, &one, sizeof(one));
    } else if (agent->connections > 0) {
        agent->connections--;
        agent->lost++;
        agent->lost_lately = true;
        if (!agent->client->closing)
            (void)!write(agent->client->wake_fd, &one, sizeof(one));
    }
    (void)pthread_mutex_unlock(&agent->client->mutex);
}

static const struct sockaddr_storage *diagnosis_address(void *cookie, uint32_t host)
{
    const struct sq_client *client = cookie;
    return client->agents[host].located ? &client->agents[host].address : NULL;
}

static int agent_open(struct sq_client *client, struct agent *agent, struct sq_error *error)
{
    int code = nng_req0_open(&agent->socket);
    if (code != 0)
        return sq_fail(error, SQ_SYSTEM, "cannot make a socket: %s", nng_strerror(code));
    agent->opened = true;
    code = nng_socket_set_ms(agent->socket, NNG_OPT_REQ_RESENDTIME, RESEND_MS);
    if (code == 0)
        code = nng_socket_set_ms(agent->socket, NNG_OPT_RECONNMINT, REDIAL_WITHIN_MS);
    if (code == 0)
        code = nng_socket_set_ms(agent->socket, NNG_OPT_RECONNMAXT, REDIAL_WITHIN_MS);
    if (code == 0)
        code = nng_socket_set_size(agent->socket, NNG_OPT_RECVMAXSZ, SQ_WIRE_BYTES_MAX);
    if (code == 0)
        code =
            nng_pipe_notify(agent->socket, NNG_PIPE_EV_ADD_POST, on_connection, &client->agents[agent->host]);
    if (code == 0)
        code =
            nng_pipe_notify(agent->socket, NNG_PIPE_EV_REM_POST, on_connection, &client->agents[agent->host]);
    return code == 0 ? 0 : sq_fail(error, SQ_SYSTEM, "cannot set up a socket: %s", nng_strerror(code));
}

/* "tls+tcp://host:port" and "tls+tcp://[host]:port". */
static int split_url(const char *url, char *host, size_t size, uint16_t *port, struct sq_error *error)
{
    const char *start = strstr(url, "://");
    (void)sq_text_copy(host, size, start != NULL ? start + 3 : url);
    char *colon = strrchr(host, ':');
    char *end = NULL;
    unsigned long number = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (number == 0 || number > UINT16_MAX || *end != '\0')
        return sq_fail(error, SQ_UNREACHABLE, "the URL has no port");
    *colon = '\0';
    *port = (uint16_t)number;
    return 0;
}

/* Makes it numeric, so that nng's own resolver, which blocks, has nothing to look up. */
static void numeric_url(const struct agent *agent, char *url, size_t size)
{
    char number[INET6_ADDRSTRLEN] = "";
    if (agent->address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)&agent->address;
        if (six->sin6_scope_id != 0)
            return; /* a zone: it was numeric to begin with */
        (void)inet_ntop(AF_INET6, &six->sin6_addr, number, sizeof(number));
        (void)snprintf(url, size, "tls+tcp://[%s]:%u", number, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const void *)&agent->address;
        (void)inet_ntop(AF_INET, &four->sin_addr, number, sizeof(number));
        (void)snprintf(url, size, "tls+tcp://%s:%u", number, ntohs(four->sin_port));
    }
}

static int dialer_set_tls(struct sq_client *client, struct agent *agent, struct sq_error *error)
{
    nng_tls_config *config = NULL;
    if (sq_client_tls_for(client->tls, client->inventory->hosts[agent->host].name, &config, error) != 0)
        return -1;
    int code = nng_dialer_set_ptr(agent->dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config); /* the dialer holds it now */
    if (code == 0)
        code = nng_dialer_set_bool(agent->dialer, NNG_OPT_TCP_KEEPALIVE, true);
    return code == 0 ? 0 : sq_fail(error, SQ_UNREACHABLE, "cannot dial: %s", nng_strerror(code));
}

/* Its address is known. */
static int dial(struct sq_client *client, struct agent *agent, struct sq_error *error)
{
    const struct sq_host *host = &client->inventory->hosts[agent->host];
    char url[SQ_AGENT_URL_MAX];
    (void)sq_text_copy(url, sizeof(url), host->agent);
    if (sq_agent_is_tls(host))
        numeric_url(agent, url, sizeof(url));
    if (!agent->opened && agent_open(client, agent, error) != 0)
        return -1;
    int code = nng_dialer_create(&agent->dialer, agent->socket, url);
    if (code != 0)
        return sq_fail(error, SQ_UNREACHABLE, "cannot dial: %s", nng_strerror(code));
    if (sq_agent_is_tls(host) && dialer_set_tls(client, agent, error) != 0) {
        (void)nng_dialer_close(agent->dialer);
        return -1;
    }
    code = nng_dialer_start(agent->dialer, NNG_FLAG_NONBLOCK);
    if (code != 0) {
        (void)nng_dialer_close(agent->dialer);
        return sq_fail(error, SQ_UNREACHABLE, "cannot dial: %s", nng_strerror(code));
    }
    agent->dialing = true;
    return 0;
}

static void locate(struct agent *agent, const struct sockaddr_storage *address)
{
    char host[SQ_AGENT_URL_MAX];
    uint16_t port = 0;
    (void)split_url(agent->client->inventory->hosts[agent->host].agent, host, sizeof(host), &port, NULL);
    agent->address = *address;
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&agent->address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)&agent->address)->sin_port = htons(port);
    agent->located = true;
}

static void arm(struct sq_client *client)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (const struct call *call = client->waiting.first; call != NULL; call = call->next) {
        uint64_t until_boot_ns = sq_ns_add(call->sent_boot_ns, call->timeout_ns);
        if (!client->agents[call->host].queued && until_boot_ns < next_boot_ns)
            next_boot_ns = until_boot_ns;
    }
    for (uint32_t i = 0; client->greeting > 0 && i < client->inventory->host_count; i++) {
        uint64_t until_boot_ns = client->agents[i].greeting_until_boot_ns;
        if (until_boot_ns != 0 && until_boot_ns < next_boot_ns)
            next_boot_ns = until_boot_ns;
    }
    sq_loop_arm(client->timer, next_boot_ns == UINT64_MAX ? 0 : next_boot_ns);
}

static void fail_waiting(struct sq_client *client, const struct agent *agent, const struct sq_error *reason)
{
    for (struct call *call = client->waiting.first, *next; call != NULL; call = next) {
        next = call->next;
        if (call->host != agent->host)
            continue;
        sq_call_list_remove(&client->waiting, call);
        sq_client_fail_early(client, call, reason);
    }
}

static bool is_awaited(const struct sq_client *client, const struct agent *agent)
{
    for (const struct call *call = client->waiting.first; call != NULL; call = call->next)
        if (call->host == agent->host)
            return true;
    return false;
}

/* What it waited in the queue is not its own time. */
static void start_waiting(struct sq_client *client, const struct agent *agent, uint64_t queued_ns)
{
    for (struct call *call = client->waiting.first, *next; call != NULL; call = next) {
        next = call->next;
        if (call->host != agent->host)
            continue;
        sq_call_list_remove(&client->waiting, call);
        call->timeout_ns = sq_ns_add(call->timeout_ns, queued_ns);
        sq_call_start(call);
    }
}

static void end_greeting(struct agent *agent)
{
    if (agent->greeting_until_boot_ns != 0)
        agent->client->greeting--;
    agent->greeting_until_boot_ns = 0;
}

static void dial_queued(struct sq_client *client)
{
    while (client->queue_first != NULL && client->greeting < GREETING_MAX) {
        struct agent *agent = client->queue_first;
        struct sq_error reason;
        uint64_t now_boot_ns = sq_loop_now_boot_ns(client->loop);
        client->queue_first = agent->next_queued;
        agent->queued = false;
        if (!is_awaited(client, agent))
            continue;
        if (dial(client, agent, &reason) != 0) {
            fail_waiting(client, agent, &reason);
            continue;
        }
        agent->greeting_until_boot_ns = sq_ns_add(now_boot_ns, GREETING_NS);
        client->greeting++;
        start_waiting(client, agent, sq_ns_sub(now_boot_ns, agent->queued_boot_ns));
    }
    arm(client);
}

static void enqueue(struct sq_client *client, struct agent *agent)
{
    agent->queued = true;
    agent->queued_boot_ns = sq_loop_now_boot_ns(client->loop);
    agent->next_queued = NULL;
    if (client->queue_first == NULL)
        client->queue_first = agent;
    else
        client->queue_last->next_queued = agent;
    client->queue_last = agent;
}

/* nng's threads have connected or lost somebody. */
static void on_wake(void *cookie, uint32_t events)
{
    struct sq_client *client = cookie;
    uint64_t count;
    (void)events;
    (void)!read(client->wake_fd, &count, sizeof(count));
    (void)pthread_mutex_lock(&client->mutex);
    for (uint32_t i = 0; i < client->inventory->host_count; i++) {
        struct agent *agent = &client->agents[i];
        if (agent->lost_lately)
            sq_diagnoser_ask(client->diagnoser, i, SQ_DIAGNOSE_AFTER_NS);
        if (agent->connections > 0)
            end_greeting(agent);
        agent->lost_lately = false;
    }
    (void)pthread_mutex_unlock(&client->mutex);
    dial_queued(client);
}

/* Of an agent that is looked for: its address, or that there is none. */
static void on_address(void *cookie, const struct sq_addresses *addresses, const struct sq_error *error)
{
    struct agent *agent = cookie;
    struct sq_client *client = agent->client;
    agent->query = NULL;
    if (addresses == NULL) {
        fail_waiting(client, agent, error);
        return;
    }
    locate(agent, &addresses->addresses[0]);
    agent->knocking = true;
    sq_diagnoser_knock(client->diagnoser, agent->host);
}

/* Why a request could not wait until its agent was dialed. What is being done goes on, for the next one. */
static void explain_waiting(const struct sq_client *client, const struct call *call, struct sq_error *reason)
{
    const struct agent *agent = &client->agents[call->host];
    char host[SQ_AGENT_URL_MAX];
    char waited[SQ_UNIT_TEXT_MAX];
    uint16_t port;
    sq_duration_format_rounded(call->timeout_ns, waited);
    if (agent->query == NULL && agent->reason.code != SQ_OK) {
        *reason = agent->reason;
        return;
    }
    (void)split_url(client->inventory->hosts[call->host].agent, host, sizeof(host), &port, NULL);
    if (agent->query != NULL)
        (void)sq_fail(reason, SQ_TIMEOUT, "the name %s was not resolved in time", host);
    else
        (void)sq_fail(reason, SQ_TIMEOUT, "not connected within %s", waited);
}

static void on_time(void *cookie)
{
    struct sq_client *client = cookie;
    uint64_t now_boot_ns = sq_loop_now_boot_ns(client->loop);
    for (struct call *call = client->waiting.first, *next; call != NULL; call = next) {
        struct sq_error reason;
        next = call->next;
        if (client->agents[call->host].queued ||
            sq_ns_add(call->sent_boot_ns, call->timeout_ns) > now_boot_ns)
            continue;
        explain_waiting(client, call, &reason);
        sq_call_list_remove(&client->waiting, call);
        sq_client_fail_early(client, call, &reason);
    }
    for (uint32_t i = 0; client->greeting > 0 && i < client->inventory->host_count; i++)
        if (client->agents[i].greeting_until_boot_ns <= now_boot_ns)
            end_greeting(&client->agents[i]);
    dial_queued(client);
}

void sq_client_await_dial(struct sq_client *client, struct call *call)
{
    sq_call_list_add(&client->waiting, call);
    arm(client);
}

int sq_agent_dial(struct sq_client *client, struct agent *agent, struct sq_error *error)
{
    const struct sq_host *host = &client->inventory->hosts[agent->host];
    char name[SQ_AGENT_URL_MAX];
    uint16_t port = 0;
    if (agent->dialing)
        return 1;
    if (!sq_agent_is_tls(host))
        return dial(client, agent, error) == 0 ? 1 : -1;
    if (agent->query != NULL || agent->knocking || agent->queued)
        return 0;
    if (split_url(host->agent, name, sizeof(name), &port, error) != 0)
        return -1;
    return sq_names_resolve(client->names, name, LOOK_UP_NS, on_address, agent, &agent->query, error);
}

/* The answer to a knock. As long as nobody opens, it is repeated. */
static void take_knock(struct sq_client *client, struct agent *agent, const struct sq_error *reason)
{
    (void)pthread_mutex_lock(&client->mutex);
    agent->reason = *reason;
    (void)pthread_mutex_unlock(&client->mutex);
    agent->knocking = reason->code == SQ_TIMEOUT;
    if (reason->code == SQ_OK)
        enqueue(client, agent);
    else if (!agent->knocking)
        fail_waiting(client, agent, reason);
    dial_queued(client);
}

static bool diagnosis_wanted(void *cookie, uint32_t host)
{
    struct sq_client *client = cookie;
    if (client->agents[host].knocking) {
        client->agents[host].knocking = is_awaited(client, &client->agents[host]);
        return client->agents[host].knocking;
    }
    (void)pthread_mutex_lock(&client->mutex);
    bool wanted = false;
    if (client->agents[host].connections == 0)
        for (struct call *call = client->under_way.first; call != NULL && !wanted; call = call->next)
            wanted = call->host == host;
    (void)pthread_mutex_unlock(&client->mutex);
    return wanted;
}

/*
 * A host that was never connected and will not be is told at once. After that an agent that went away may be
 * on its way back (a restart): its requests wait their time out.
 */
static void diagnosis_found(void *cookie, uint32_t host, const struct sq_error *reason)
{
    struct sq_client *client = cookie;
    struct agent *agent = &client->agents[host];
    if (agent->knocking) {
        take_knock(client, agent, reason);
        return;
    }
    (void)pthread_mutex_lock(&client->mutex);
    if (agent->connections == 0) {
        agent->reason = *reason;
        for (struct call *call = client->under_way.first; call != NULL; call = call->next) {
            if (call->host != host || agent->connected > 0 || reason->code != SQ_UNREACHABLE)
                continue;
            call->given_up = true;
            nng_aio_cancel(call->aio);
        }
    }
    (void)pthread_mutex_unlock(&client->mutex);
}

/* A dialer that had no success is taken away, so that nothing keeps knocking at a door that said no. */
void sq_agent_hang_up(struct agent *agent)
{
    if (!agent->dialing)
        return;
    (void)nng_dialer_close(agent->dialer);
    agent->dialing = false;
    end_greeting(agent);
}

int sq_client_dial_open(struct sq_client *client, struct sq_error *error)
{
    struct sq_diagnoser_calls calls = {diagnosis_wanted, diagnosis_address, diagnosis_found, client};
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wake_fd < 0)
        return sq_fail_errno(error, errno, "cannot make an eventfd");
    if (sq_loop_add_fd(client->loop, client->wake_fd, EPOLLIN, on_wake, client, &client->wake, error) != 0 ||
        sq_loop_add_timer(client->loop, on_time, client, &client->timer, error) != 0)
        return -1;
    return sq_diagnoser_open(client->loop, client->inventory, client->tls, &calls, &client->diagnoser, error);
}

void sq_client_dial_close(struct sq_client *client)
{
    sq_diagnoser_close(client->diagnoser);
    sq_loop_remove(client->wake);
    sq_loop_remove(client->timer);
    for (uint32_t i = 0; client->agents != NULL && i < client->inventory->host_count; i++)
        sq_names_cancel(client->agents[i].query);
}
