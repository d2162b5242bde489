/* libraries: sq_commands sq_wire nng::nng */
#include "agents/client.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "nng_leaks.h"
#include "reading/inventory.h"
#include "wire/wire.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>

#define SECOND   SQ_NS_PER_SECOND
#define ABSENCES 8u /* of an agent */
#define CLOSINGS 4u /* tries of one */

static char directory[64];
static unsigned left_behind; /* responders that nng does not close */

/* ---- A small agent that answers well, badly or not at all ---- */

enum manner { ANSWERS, SILENT, GARBAGE, OTHER_VERSION, OLD, OTHER_VERB, REFUSES };

struct responder {
    enum manner manner;
    nng_socket socket;
    pthread_t thread;
    unsigned gaps; /* OLD: requests that it did not understand */
};

static nng_msg *answer_to(struct responder *responder, const struct sq_request *request)
{
    sq_autofree struct sq_reply *reply = calloc(1, sizeof(*reply));
    assert_non_null(reply);
    reply->version = responder->manner == OLD ? 1 : SQ_PROTOCOL_VERSION;
    if (responder->manner == OLD && request->version != 1) {
        responder->gaps++;
        reply->code = SQ_VERSION_GAP;
    }
    reply->verb = responder->manner == OTHER_VERB ? SQ_VERB_HALT : request->verb;
    reply->now_boot_ns = sq_boot_ns();
    if (responder->manner == REFUSES) {
        reply->code = SQ_POLICY;
        (void)sq_text_copy(reply->message, sizeof(reply->message), "forbidden here");
    }
    (void)sq_text_copy(reply->hello.agent_version, sizeof(reply->hello.agent_version), "0.1");
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_reply(reply, &bytes, &length, NULL), 0);
    if (responder->manner == OTHER_VERSION) {
        assert_int_equal(bytes[0], 0x08); /* field 1, the version, stands first for ever */
        bytes[1] = 9;
    }
    nng_msg *message = NULL;
    assert_int_equal(nng_msg_alloc(&message, 0), 0);
    if (responder->manner == GARBAGE)
        assert_int_equal(nng_msg_append(message, "\xff\xff\xff no protobuf", 15), 0);
    else
        assert_int_equal(nng_msg_append(message, bytes, length), 0);
    return message;
}

static void *respond(void *argument)
{
    struct responder *responder = argument;
    nng_msg *message = NULL;
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    while (nng_recvmsg(responder->socket, &message, 0) == 0) {
        struct sq_error error;
        int status = sq_wire_decode_request(nng_msg_body(message), nng_msg_len(message), request, &error);
        nng_msg_free(message);
        if (status != 0)
            fail_msg("%s", error.text);
        if (responder->manner == SILENT)
            continue;
        message = answer_to(responder, request);
        if (nng_sendmsg(responder->socket, message, 0) != 0)
            nng_msg_free(message);
    }
    return NULL;
}

static char *slurp(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 16384);
    assert_non_null(text);
    assert_true(fread(text, 1, 16383, file) > 0);
    (void)fclose(file);
    return text;
}

static nng_tls_config *server_config(const char *name)
{
    char file[64];
    nng_tls_config *config = NULL;
    assert_int_equal(nng_tls_config_alloc(&config, NNG_TLS_MODE_SERVER), 0);
    assert_int_equal(nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED), 0);
    sq_autofree char *ca = slurp("controllers-ca.pem");
    assert_int_equal(nng_tls_config_ca_chain(config, ca, NULL), 0);
    (void)snprintf(file, sizeof(file), "%s.pem", name);
    sq_autofree char *certificate = slurp(file);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    sq_autofree char *key = slurp(file);
    assert_int_equal(nng_tls_config_own_cert(config, certificate, key, NULL), 0);
    return config;
}

/* Listen on ipc://<directory>/NAME, or with TLS on a free port of 127.0.0.1; the URL goes to `url`. */
static void responder_start(struct responder *responder, enum manner manner, const char *name,
                            const char *tls, char url[SQ_AGENT_URL_MAX])
{
    responder->manner = manner;
    assert_int_equal(nng_rep0_open(&responder->socket), 0);
    assert_int_equal(nng_socket_set_size(responder->socket, NNG_OPT_RECVMAXSZ, SQ_WIRE_BYTES_MAX), 0);
    nng_listener listener;
    if (tls == NULL)
        (void)snprintf(url, SQ_AGENT_URL_MAX, "ipc://%s/%s", directory, name);
    assert_int_equal(nng_listener_create(&listener, responder->socket, tls ? "tls+tcp://127.0.0.1:0" : url),
                     0);
    if (tls != NULL) {
        nng_tls_config *config = server_config(tls);
        assert_int_equal(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config), 0);
        nng_tls_config_free(config);
    }
    assert_int_equal(nng_listener_start(listener, 0), 0);
    if (tls != NULL) {
        int port = 0;
        assert_int_equal(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
        (void)snprintf(url, SQ_AGENT_URL_MAX, "tls+tcp://127.0.0.1:%d", port);
    }
    assert_int_equal(pthread_create(&responder->thread, NULL, respond, responder), 0);
}

static void *close_responder(void *argument)
{
    struct responder *responder = argument;
    (void)nng_close(responder->socket);
    (void)pthread_join(responder->thread, NULL);
    return NULL;
}

/* nng_close may wait for ever (see client.c); both sides share one process here, so this one is bounded as
 * well. */
static bool responder_stops(struct responder *responder)
{
    pthread_t thread;
    struct timespec until;
    assert_int_equal(pthread_create(&thread, NULL, close_responder, responder), 0);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    if (pthread_timedjoin_np(thread, NULL, &until) == 0)
        return true;
    (void)pthread_detach(thread);
    left_behind++;
    return false;
}

static void responder_stop(struct responder *responder)
{
    (void)responder_stops(responder);
}

/* ---- Inventories ---- */

static struct sq_inventory *inventory_of(const char *controller, const char *const *names,
                                         char (*urls)[SQ_AGENT_URL_MAX], uint32_t count)
{
    sq_autofree char *text = calloc(1, 4096 + 256 * (size_t)count);
    assert_non_null(text);
    size_t size = 4096 + 256 * (size_t)count;
    if (controller != NULL)
        sq_text_append(text, size,
                       "tls: {certificate: %s/%s.pem, key: %s/%s.key, agents: %s/agents-ca.pem}\n", directory,
                       controller, directory, controller, directory);
    sq_text_append(text, size, "hosts:\n");
    for (uint32_t i = 0; i < count; i++)
        sq_text_append(text, size, "- {name: \"%s\", agent: \"%s\"}\n", names[i], urls[i]);
    struct sq_inventory *inventory = NULL;
    struct sq_error error;
    if (sq_inventory_parse("hosts.yaml", text, strlen(text), &inventory, &error) != 0)
        fail_msg("%s", error.text);
    return inventory;
}

static const struct sq_request *hello(void)
{
    static struct sq_request request = {.verb = SQ_VERB_HELLO};
    return &request;
}

/* Ask one host and give back the answer, which the caller frees; `took_ns` may be NULL. */
static struct sq_answer *ask_one(const char *controller, const char *name, const char *url,
                                 uint64_t timeout_ns, uint64_t *took_ns)
{
    char urls[1][SQ_AGENT_URL_MAX];
    (void)sq_text_copy(urls[0], sizeof(urls[0]), url);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(controller, &name, urls, 1);
    struct sq_client *client = NULL;
    struct sq_error error;
    if (sq_client_open(inventory, &client, &error) != 0)
        fail_msg("%s", error.text);
    struct sq_answer *answer = calloc(1, sizeof(*answer));
    assert_non_null(answer);
    uint32_t host = 0;
    uint64_t start_ns = sq_boot_ns();
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), timeout_ns, -1, answer, &error), 0);
    if (took_ns != NULL)
        *took_ns = sq_boot_ns() - start_ns;
    sq_client_close(client);
    return answer;
}

static void expect_failure(const struct sq_answer *answer, enum sq_code code, const char *part)
{
    assert_true(answer->failed);
    if (answer->error.code != code || strstr(answer->error.text, part) == NULL)
        fail_msg("expected %s with '%s', got %s: %s", sq_code_name(code), part,
                 sq_code_name(answer->error.code), answer->error.text);
}

/* ---- Tests ---- */

#define MANY 40

static void test_many_hosts_at_once(void **state)
{
    (void)state;
    static struct responder responders[MANY];
    static char urls[MANY][SQ_AGENT_URL_MAX];
    static char names[MANY][16];
    const char *pointers[MANY];
    uint32_t hosts[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "host%u", i);
        pointers[i] = names[i];
        hosts[i] = MANY - 1 - i;
        responder_start(&responders[i], i == 3 ? REFUSES : ANSWERS, names[i], NULL, urls[i]);
    }
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, pointers, urls, MANY);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
    sq_autofree struct sq_answer *answers = calloc(MANY, sizeof(*answers));
    for (int round = 0; round < 3; round++) {
        memset(answers, 0, MANY * sizeof(*answers));
        assert_int_equal(sq_client_ask(client, hosts, MANY, hello(), 10 * SECOND, -1, answers, NULL), 0);
        for (uint32_t i = 0; i < MANY; i++) {
            assert_false(answers[i].failed);
            assert_int_equal(answers[i].host, hosts[i]);
            assert_int_equal(answers[i].reply.code, hosts[i] == 3 ? SQ_POLICY : SQ_OK);
            assert_true(answers[i].sent_boot_ns <= answers[i].reply.now_boot_ns);
            assert_true(answers[i].reply.now_boot_ns <= answers[i].answered_boot_ns);
        }
    }
    sq_client_close(client);
    for (uint32_t i = 0; i < MANY; i++)
        responder_stop(&responders[i]);
}

static void test_many_requests_to_one_host(void **state)
{
    (void)state;
    static struct responder responder;
    char urls[1][SQ_AGENT_URL_MAX];
    const char *name = "busy";
    responder_start(&responder, ANSWERS, name, NULL, urls[0]);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, &name, urls, 1);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
    for (uint64_t tag = 0; tag < 200; tag++)
        assert_int_equal(sq_client_send(client, 0, tag, hello(), 10 * SECOND, NULL), 0);
    bool seen[200] = {false};
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint64_t start_ns = sq_boot_ns();
    for (int got = 0; got < 200;) {
        assert_true(sq_boot_ns() - start_ns < 10 * SECOND);
        if (!sq_client_next(client, answer))
            continue;
        assert_false(answer->failed);
        assert_true(answer->tag < 200 && !seen[answer->tag]);
        seen[answer->tag] = true;
        got++;
    }
    assert_false(sq_client_next(client, answer));
    sq_client_close(client);
    responder_stop(&responder);
}

static void test_bad_answers(void **state)
{
    (void)state;
    const struct {
        enum manner manner;
        enum sq_code code;
        const char *part;
    } cases[] = {
        {SILENT, SQ_TIMEOUT, "connected, but no answer"},
        {GARBAGE, SQ_BAD_INPUT, "cannot be understood"},
        {OTHER_VERSION, SQ_VERSION_GAP, "speaks protocol version 9"},
        {OTHER_VERB, SQ_BAD_INPUT, "answered to halt"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct responder responder;
        char url[SQ_AGENT_URL_MAX];
        responder_start(&responder, cases[i].manner, "bad", NULL, url);
        uint64_t took_ns = 0;
        sq_autofree struct sq_answer *answer = ask_one(NULL, "bad", url, SECOND, &took_ns);
        expect_failure(answer, cases[i].code, cases[i].part);
        assert_non_null(strstr(answer->error.text, "bad (ipc://"));
        assert_true(took_ns < 2 * SECOND);
        responder_stop(&responder);
    }
}

/* One version behind, it is asked again in its own, once; who asked hears nothing of it. */
static void test_old_agent(void **state)
{
    (void)state;
    static struct responder responder;
    char urls[1][SQ_AGENT_URL_MAX];
    const char *name = "old";
    struct sq_client *client = NULL;
    struct sq_error error;
    static struct sq_request request = {.verb = SQ_VERB_REVERT, .experiment = {{1}}, .token = {{2}}};
    responder_start(&responder, OLD, name, NULL, urls[0]);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, &name, urls, 1);
    assert_int_equal(sq_client_open(inventory, &client, &error), 0);
    for (int i = 0; i < 3; i++) {
        const uint32_t host = 0;
        sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
        assert_int_equal(sq_client_ask(client, &host, 1, &request, SECOND, -1, answer, &error), 0);
        if (answer->failed)
            fail_msg("%s", answer->error.text);
        assert_int_equal(answer->reply.code, SQ_OK);
        assert_int_equal(answer->reply.verb, SQ_VERB_REVERT);
        assert_int_equal(answer->reply.version, 1);
    }
    assert_int_equal(responder.gaps, 1);
    sq_client_close(client);
    responder_stop(&responder);
}

/*
 * An agent that announces more than the bound, again and again, without nng: a Unix socket that says what nng
 * says first (a rep0's protocol number), then the head of a message of SQ_WIRE_BYTES_MAX + 1 bytes.
 */
static void *announce_too_much(void *argument)
{
    const int *listening = argument;
    static const uint8_t hello_bytes[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    static const uint8_t head[9] = {1, 0, 0, 0, 0, 0, 0x08, 0, 1};
    int fd;
    while ((fd = accept(*listening, NULL, NULL)) >= 0) {
        uint8_t buffer[1024];
        /* The diagnosis comes by and leaves at once: that is no failure. */
        (void)send(fd, hello_bytes, sizeof(hello_bytes), MSG_NOSIGNAL);
        (void)!read(fd, buffer, sizeof(hello_bytes));
        (void)!read(fd, buffer, sizeof(buffer)); /* the request */
        (void)send(fd, head, sizeof(head), MSG_NOSIGNAL);
        (void)!read(fd, buffer, sizeof(buffer)); /* until it hangs up */
        (void)close(fd);
    }
    return NULL;
}

static void test_huge_answer(void **state)
{
    (void)state;
    char url[SQ_AGENT_URL_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/huge", directory);
    (void)snprintf(url, sizeof(url), "ipc://%s/huge", directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, announce_too_much, &fd), 0);
    uint64_t took_ns = 0;
    sq_autofree struct sq_answer *answer = ask_one(NULL, "huge", url, 2 * SECOND, &took_ns);
    expect_failure(answer, SQ_UNREACHABLE, "more than 512 KiB");
    assert_true(took_ns < 5 * SECOND);
    (void)shutdown(fd, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(fd);
}

static void test_nobody_there(void **state)
{
    (void)state;
    char url[SQ_AGENT_URL_MAX];
    (void)snprintf(url, sizeof(url), "ipc://%s/nothing", directory);
    uint64_t took_ns = 0;
    sq_autofree struct sq_answer *local = ask_one(NULL, "web9", url, 20 * SECOND, &took_ns);
    expect_failure(local, SQ_UNREACHABLE, "there is no such socket: is squalld running?");
    assert_true(took_ns < 5 * SECOND);
    sq_autofree struct sq_answer *nowhere =
        ask_one(NULL, "web9", "ipc:///run/sq-nope/agent.sock", 20 * SECOND, &took_ns);
    expect_failure(nowhere, SQ_UNREACHABLE, "the folder /run/sq-nope is missing");
    sq_autofree struct sq_answer *remote =
        ask_one("op", "web9", "tls+tcp://127.0.0.1:1", 20 * SECOND, &took_ns);
    expect_failure(remote, SQ_UNREACHABLE, "connection refused: is squalld running?");
    assert_non_null(strstr(remote->error.text, "web9 (tls+tcp://127.0.0.1:1)"));
    assert_true(took_ns < 5 * SECOND);
}

static void test_tls(void **state)
{
    (void)state;
    const struct {
        const char *agent; /* its certificate */
        const char *controller;
        const char *name; /* in the inventory */
        const char *part; /* NULL: works */
    } cases[] = {
        {"web1", "op", "web1", NULL},
        {"web1", "op", "web2", "is for another name"},
        {"web1-wrong", "op", "web1", "is not signed by the CA in"},
        {"web1-expired", "op", "web1", "has expired"},
        {"web1", "op-wrong", "web1", "refused our certificate"},
        {"web1", "op-expired", "web1", "refused our certificate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct responder responder;
        char url[SQ_AGENT_URL_MAX];
        responder_start(&responder, ANSWERS, NULL, cases[i].agent, url);
        uint64_t took_ns = 0;
        sq_autofree struct sq_answer *answer =
            ask_one(cases[i].controller, cases[i].name, url, 20 * SECOND, &took_ns);
        if (cases[i].part == NULL)
            assert_false(answer->failed);
        else
            expect_failure(answer, SQ_UNREACHABLE, cases[i].part);
        assert_true(took_ns < 10 * SECOND);
        responder_stop(&responder);
    }
}

static void test_peer_without_tls(void **state)
{
    (void)state;
    nng_socket socket;
    nng_listener listener;
    int port = 0;
    char url[SQ_AGENT_URL_MAX];
    assert_int_equal(nng_rep0_open(&socket), 0);
    assert_int_equal(nng_listen(socket, "tcp://127.0.0.1:0", &listener, 0), 0);
    assert_int_equal(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
    (void)snprintf(url, sizeof(url), "tls+tcp://127.0.0.1:%d", port);
    sq_autofree struct sq_answer *answer = ask_one("op", "web1", url, 3 * SECOND, NULL);
    expect_failure(answer, SQ_UNREACHABLE, "does not speak TLS");
    (void)nng_close(socket);
}

static void test_bad_tls_files(void **state)
{
    (void)state;
    const char *name = "web1";
    char urls[1][SQ_AGENT_URL_MAX] = {"tls+tcp://127.0.0.1:1"};
    sq_autoinventory struct sq_inventory *inventory = inventory_of("op", &name, urls, 1);
    struct sq_client *client = NULL;
    struct sq_error error;
    (void)snprintf(inventory->tls_key, sizeof(inventory->tls_key), "%s/op-wrong.key", directory);
    assert_int_equal(sq_client_open(inventory, &client, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "does not belong to the certificate"));
    (void)snprintf(inventory->tls_key, sizeof(inventory->tls_key), "%s/op.pem", directory);
    assert_int_equal(sq_client_open(inventory, &client, &error), -1);
    assert_non_null(strstr(error.text, "op.pem: not a private key"));
    (void)snprintf(inventory->tls_agents, sizeof(inventory->tls_agents), "%s/missing.pem", directory);
    (void)snprintf(inventory->tls_key, sizeof(inventory->tls_key), "%s/op.key", directory);
    assert_int_equal(sq_client_open(inventory, &client, &error), -1);
    assert_non_null(strstr(error.text, "missing.pem"));
}

static void test_agent_that_comes_back(void **state)
{
    (void)state;
    static struct responder responder;
    char urls[1][SQ_AGENT_URL_MAX];
    const char *name = "phoenix";
    (void)snprintf(urls[0], sizeof(urls[0]), "ipc://%s/%s", directory, name);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, &name, urls, 1);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    /* Not yet there; then there; then gone and back while a request waits. */
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, answer, NULL), 0);
    assert_true(answer->failed);
    responder_start(&responder, ANSWERS, name, NULL, urls[0]);
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, answer, NULL), 0);
    assert_false(answer->failed);
    responder_stop(&responder);
    assert_int_equal(sq_client_send(client, 0, 7, hello(), 10 * SECOND, NULL), 0);
    (void)usleep(600 * 1000);
    assert_false(sq_client_next(client, answer));
    responder_start(&responder, ANSWERS, name, NULL, urls[0]);
    uint64_t start_ns = sq_boot_ns();
    while (!sq_client_next(client, answer))
        assert_true(sq_boot_ns() - start_ns < 10 * SECOND);
    assert_false(answer->failed);
    assert_int_equal(answer->tag, 7);
    sq_client_close(client);
    responder_stop(&responder);
}

/* False: nng's closing hung, so that it is still there. */
static bool is_told_to_be_gone(struct responder *responder, const char *name)
{
    char urls[1][SQ_AGENT_URL_MAX];
    responder_start(responder, ANSWERS, name, NULL, urls[0]);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, &name, urls, 1);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, answer, NULL), 0);
    assert_false(answer->failed);
    bool gone = responder_stops(responder);
    if (gone) {
        uint64_t start_ns = sq_boot_ns();
        do { /* the first may still go out on the connection that is just ending */
            assert_int_equal(sq_client_ask(client, &host, 1, hello(), SECOND, -1, answer, NULL), 0);
            assert_true(answer->failed);
        } while (strstr(answer->error.text, "was lost 1 times") != NULL &&
                 sq_boot_ns() - start_ns < 20 * SECOND);
        expect_failure(answer, SQ_UNREACHABLE, "is squalld running?");
    }
    sq_client_close(client);
    return gone;
}

/* Gone for good: the timeout's message tells what the diagnosis found. */
static void test_agent_that_stays_away(void **state)
{
    (void)state;
    static struct responder responders[CLOSINGS]; /* a thread that is left behind may use them */
    static const char *const names[CLOSINGS] = {"dodo", "moa", "auk", "quagga"};
    unsigned i = 0;
    while (!is_told_to_be_gone(&responders[i], names[i]))
        assert_true(++i < CLOSINGS);
}

/*
 * An agent is away for longer than a growing back-off would take to grow long, again and again; a lease is to
 * outlive that. Two may be late: the machine may be busy.
 */
static void test_agent_is_found_soon(void **state)
{
    (void)state;
    static struct responder responder;
    char urls[1][SQ_AGENT_URL_MAX];
    const char *name = "lazarus";
    (void)snprintf(urls[0], sizeof(urls[0]), "ipc://%s/%s", directory, name);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, &name, urls, 1);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    unsigned late = 0;
    responder_start(&responder, ANSWERS, name, NULL, urls[0]);
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, answer, NULL), 0);
    for (unsigned i = 0; i < ABSENCES; i++) {
        responder_stop(&responder);
        assert_int_equal(sq_client_send(client, 0, i, hello(), 10 * SECOND, NULL), 0);
        (void)usleep(500 * 1000);
        responder_start(&responder, ANSWERS, name, NULL, urls[0]);
        uint64_t start_ns = sq_boot_ns();
        while (!sq_client_next(client, answer))
            (void)usleep(1000);
        assert_false(answer->failed);
        late += sq_boot_ns() - start_ns > SECOND / 5;
    }
    responder_stop(&responder);
    sq_client_close(client);
    print_message("late %u times of %u\n", late, ABSENCES);
    assert_true(late <= 2);
}

static void test_closing_with_requests_under_way(void **state)
{
    (void)state;
    static struct responder responders[3]; /* a thread that is left behind may use them */
    char urls[5][SQ_AGENT_URL_MAX];
    const char *names[5] = {"quick", "silent", "web1", "gone", "missing"};
    responder_start(&responders[0], ANSWERS, "quick", NULL, urls[0]);
    responder_start(&responders[1], SILENT, "silent", NULL, urls[1]);
    responder_start(&responders[2], ANSWERS, NULL, "web1", urls[2]);
    (void)snprintf(urls[3], sizeof(urls[3]), "tls+tcp://127.0.0.1:1");
    (void)snprintf(urls[4], sizeof(urls[4]), "ipc://%s/missing", directory);
    sq_autoinventory struct sq_inventory *inventory = inventory_of("op", names, urls, 5);
    for (unsigned round = 0; round < 12; round++) {
        struct sq_client *client = NULL;
        assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
        for (uint64_t tag = 0; tag < 20; tag++)
            for (uint32_t host = 0; host < 5; host++)
                assert_int_equal(sq_client_send(client, host, tag, hello(), 10 * SECOND, NULL), 0);
        (void)usleep(round * round * 4000);
        uint64_t start_ns = sq_boot_ns();
        sq_client_close(client);
        assert_true(sq_boot_ns() - start_ns < 5 * SECOND);
    }
    for (int i = 0; i < 3; i++)
        responder_stop(&responders[i]);
}

static void test_interrupt(void **state)
{
    (void)state;
    static struct responder responder;
    char urls[1][SQ_AGENT_URL_MAX];
    const char *name = "silent";
    responder_start(&responder, SILENT, name, NULL, urls[0]);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, &name, urls, 1);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, &client, NULL), 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    struct sq_error error;
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 30 * SECOND, ends[0], answer, &error), -1);
    assert_int_equal(error.code, SQ_ABORTED);
    sq_client_close(client);
    (void)close(ends[0]);
    (void)close(ends[1]);
    responder_stop(&responder);
}

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/squall-client.XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    char command[1024];
    (void)snprintf(
        command, sizeof(command),
        "cd %s && c='sh %s/tests/lab/certificates.sh .' && { $c init && $c wrong-agent web1 && "
        "mv web1.pem web1-wrong.pem && mv web1.key web1-wrong.key && $c expired-agent web1 && "
        "mv web1.pem web1-expired.pem && mv web1.key web1-expired.key && $c agent web1 127.0.0.1 && "
        "$c wrong-controller op-wrong && $c expired-controller op-expired && $c controller op; } "
        ">log 2>&1 || { cat log; exit 1; }",
        directory, SQ_SOURCE_DIR);
    return system(command) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_hosts_at_once),
        cmocka_unit_test(test_many_requests_to_one_host),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_old_agent),
        cmocka_unit_test(test_huge_answer),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_peer_without_tls),
        cmocka_unit_test(test_bad_tls_files),
        cmocka_unit_test(test_agent_that_comes_back),
        cmocka_unit_test(test_agent_that_stays_away),
        cmocka_unit_test(test_agent_is_found_soon),
        cmocka_unit_test(test_closing_with_requests_under_way),
        cmocka_unit_test(test_interrupt),
    };
    int failed = cmocka_run_group_tests(tests, make_directory, remove_directory);
    if (left_behind == 0)
        return failed;
    /* What such a responder has is no leak of the client's: leave before the sanitizer counts it. */
    print_message("# leaks were not looked for: nng did not close %u responders\n", left_behind);
    (void)fflush(NULL);
    _exit(failed);
}
