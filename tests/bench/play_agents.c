/* libraries: sq_wire sq_table sq_common nng::nng */
/*
 * play_agents DIRECTORY COUNT: plays COUNT agents on the Unix sockets DIRECTORY/1 to DIRECTORY/COUNT, writes
 * the inventory DIRECTORY/hosts.yaml of them, prints "ready", and answers until it is killed. They do what
 * they are asked and have nothing of a real agent: what is measured is the controller.
 */
#include "common/cleanup.h"
#include "common/clock.h"
#include "table/params.h"
#include "wire/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>

struct played {
    struct sq_id experiment;
    char title[SQ_TITLE_MAX];
    uint32_t fault_count;
    uint64_t duration_ns[SQ_FAULTS_MAX];
    struct sq_fault_report faults[SQ_FAULTS_MAX];
};

static struct played **agents; /* by the number of their listener */
static uint32_t agents_size;

static void die(const char *what, int code)
{
    (void)fprintf(stderr, "play_agents: %s: %s\n", what, nng_strerror(code));
    exit(1);
}

static void set_state(struct played *agent, enum sq_fault_state state, enum sq_end_reason reason)
{
    uint64_t now_boot_ns = sq_boot_ns();
    for (uint32_t i = 0; i < agent->fault_count; i++) {
        struct sq_fault_report *report = &agent->faults[i];
        if (report->state >= SQ_STATE_REVERTED)
            continue;
        report->state = state;
        if (state == SQ_STATE_INJECTED && report->injected_boot_ns == 0) {
            report->injected_boot_ns = now_boot_ns;
            report->deadline_boot_ns = now_boot_ns + agent->duration_ns[i];
        } else if (state == SQ_STATE_REVERTED) {
            report->clean_boot_ns = report->removed_boot_ns = now_boot_ns;
            report->end_reason = reason;
            report->proof = SQ_PROOF_PROVED;
        }
    }
}

static void take_orders(struct played *agent, const struct sq_request *request)
{
    agent->experiment = request->experiment;
    memcpy(agent->title, request->title, sizeof(agent->title));
    agent->fault_count = request->fault_count;
    for (uint32_t i = 0; i < request->fault_count; i++) {
        agent->duration_ns[i] = request->faults[i].duration_ns;
        agent->faults[i] = (struct sq_fault_report){.index = request->faults[i].index,
                                                    .kind = request->faults[i].spec.kind,
                                                    .prepared_boot_ns = sq_boot_ns()};
        sq_report_line(&agent->faults[i], SQ_LINE_TOUCHES, "interface eth0");
    }
}

static void act(struct played *agent, const struct sq_request *request, struct sq_reply *reply)
{
    struct played preview = {0};
    switch (request->verb) {
    case SQ_VERB_PREVIEW:
        agent = &preview;
        take_orders(agent, request);
        break;
    case SQ_VERB_PREPARE:
        take_orders(agent, request);
        set_state(agent, SQ_STATE_PREPARED, SQ_END_NONE);
        break;
    case SQ_VERB_INJECT:
        set_state(agent, SQ_STATE_INJECTED, SQ_END_NONE);
        break;
    case SQ_VERB_REVERT:
        set_state(agent, SQ_STATE_REVERTED, SQ_END_ORDERED);
        break;
    case SQ_VERB_HALT:
        set_state(agent, SQ_STATE_REVERTED, SQ_END_HALT);
        break;
    default:
        break;
    }
    reply->experiment = agent->experiment;
    memcpy(reply->title, agent->title, sizeof(reply->title));
    reply->fault_count = agent->fault_count;
    memcpy(reply->faults, agent->faults, sizeof(reply->faults));
}

static void answer(struct played *agent, nng_msg *message)
{
    static struct sq_request request;
    static struct sq_reply reply;
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    struct sq_error error;
    if (sq_wire_decode_request(nng_msg_body(message), nng_msg_len(message), &request, &error) != 0) {
        (void)fprintf(stderr, "play_agents: %s\n", error.text);
        exit(1);
    }
    memset(&reply, 0, sizeof(reply));
    reply.version = SQ_PROTOCOL_VERSION;
    reply.verb = request.verb;
    reply.instance.bytes[0] = 1;
    reply.now_boot_ns = sq_boot_ns();
    reply.hello.protocol = SQ_PROTOCOL_VERSION;
    reply.hello.real_ns = sq_real_ns();
    (void)strcpy(reply.hello.agent_version, "0.1.0");
    reply.hello.max_duration_ns = 600 * SQ_NS_PER_SECOND;
    for (size_t i = 0; i < sq_fault_table_count && i < SQ_ABILITIES_MAX; i++)
        reply.hello.abilities[reply.hello.ability_count++] =
            (struct sq_ability){.kind = sq_fault_table[i]->kind, .able = true, .permitted = true};
    act(agent, &request, &reply);
    if (sq_wire_encode_reply(&reply, &bytes, &length, &error) != 0) {
        (void)fprintf(stderr, "play_agents: %s\n", error.text);
        exit(1);
    }
    nng_msg_clear(message);
    int code = nng_msg_append(message, bytes, length);
    if (code != 0)
        die("answer", code);
}

static struct played *agent_of(nng_msg *message)
{
    int id = nng_listener_id(nng_pipe_listener(nng_msg_get_pipe(message)));
    if (id < 0 || (uint32_t)id >= agents_size || agents[id] == NULL)
        die("a request", NNG_ENOENT);
    return agents[id];
}

static void listen_to(nng_socket socket, const char *url, nng_tls_config *tls)
{
    nng_listener listener;
    int code = nng_listener_create(&listener, socket, url);
    if (code == 0 && tls != NULL)
        code = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, tls);
    if (code == 0)
        code = nng_listener_start(listener, 0);
    if (code != 0)
        die(url, code);
    uint32_t id = (uint32_t)nng_listener_id(listener);
    if (id >= agents_size) {
        agents = realloc(agents, (id + 1) * sizeof(*agents));
        if (agents == NULL)
            die(url, NNG_ENOMEM);
        memset(agents + agents_size, 0, (id + 1 - agents_size) * sizeof(*agents));
        agents_size = id + 1;
    }
    agents[id] = calloc(1, sizeof(**agents));
    if (agents[id] == NULL)
        die(url, NNG_ENOMEM);
}

static nng_tls_config *tls_of(const char *directory)
{
    char path[2][256];
    nng_tls_config *tls = NULL;
    (void)snprintf(path[0], sizeof(path[0]), "%s/controllers-ca.pem", directory);
    (void)snprintf(path[1], sizeof(path[1]), "%s/both.pem", directory);
    int code = nng_tls_config_alloc(&tls, NNG_TLS_MODE_SERVER);
    if (code == 0)
        code = nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED);
    if (code == 0)
        code = nng_tls_config_ca_file(tls, path[0]);
    if (code == 0)
        code = nng_tls_config_cert_key_file(tls, path[1], NULL);
    if (code != 0)
        die("TLS", code);
    return tls;
}

/* The inventory, and what it names. */
static void make_agents(nng_socket socket, const char *directory, unsigned count, const char *port)
{
    char text[300];
    nng_tls_config *tls = port != NULL ? tls_of(directory) : NULL;
    (void)snprintf(text, sizeof(text), "%s/hosts.yaml", directory);
    FILE *inventory = fopen(text, "w");
    if (inventory == NULL)
        die(text, NNG_ENOENT);
    if (port != NULL)
        (void)fprintf(inventory, "tls: {certificate: op.pem, key: op.key, agents: agents-ca.pem}\n");
    (void)fprintf(inventory, "hosts:\n");
    for (unsigned i = 1; i <= count; i++) {
        if (port == NULL)
            (void)snprintf(text, sizeof(text), "ipc://%s/%u", directory, i);
        else
            (void)snprintf(text, sizeof(text), "tls+tcp://127.1.%u.%u:%s", i / 250, i % 250 + 1, port);
        listen_to(socket, text, tls);
        (void)fprintf(inventory, "- {name: host%u%s, agent: \"%s\", labels: {role: web}}\n", i,
                      port != NULL ? ".example" : "", text);
    }
    (void)fclose(inventory);
}

static void play(const char *directory, unsigned count, const char *port)
{
    nng_socket socket;
    int code = nng_rep0_open_raw(&socket); /* raw: many questions at once, each answered in its turn */
    if (code != 0)
        die("socket", code);
    (void)nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, SQ_WIRE_BYTES_MAX);
    (void)nng_socket_set_int(socket, NNG_OPT_RECVBUF, 1024);
    (void)nng_socket_set_int(socket, NNG_OPT_SENDBUF, 1024);
    make_agents(socket, directory, count, port);
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        nng_msg *message = NULL;
        code = nng_recvmsg(socket, &message, 0);
        if (code != 0)
            die("receive", code);
        answer(agent_of(message), message);
        code = nng_sendmsg(socket, message, 0);
        if (code != 0)
            nng_msg_free(message);
    }
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc < 3 || argc > 4 || atoi(argv[2]) <= 0) {
        (void)fprintf(stderr, "usage: play_agents DIRECTORY COUNT [PORT]\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    play(argv[1], (unsigned)atoi(argv[2]), argc > 3 ? argv[3] : NULL);
}
