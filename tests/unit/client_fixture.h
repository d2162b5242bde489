/* For the tests of agents/client.h, one program's only file each: agents that answer, and their inventory. */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

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

#define SECOND SQ_NS_PER_SECOND

static char directory[64];
static struct sq_loop *loop;
static struct sq_names *names;
static unsigned left_behind; /* responders that nng does not close */

/* ---- A small agent that answers well, badly or not at all ---- */

enum manner { ANSWERS, SILENT, GARBAGE, OTHER_VERSION, OLD, OTHER_VERB, REFUSES };

struct responder {
    enum manner manner;
    nng_socket socket;
    pthread_t thread;
    unsigned gaps; /* OLD: requests that it did not understand */
};

static inline nng_msg *answer_to(struct responder *responder, const struct sq_request *request)
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

static inline void *respond(void *argument)
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

static inline char *slurp(const char *name)
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

static inline nng_tls_config *server_config(const char *name)
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
static inline void responder_start(struct responder *responder, enum manner manner, const char *name,
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

static inline void *close_responder(void *argument)
{
    struct responder *responder = argument;
    (void)nng_close(responder->socket);
    (void)pthread_join(responder->thread, NULL);
    return NULL;
}

/* nng_close may wait for ever (see client.c); both sides share one process here, so this one is bounded as
 * well. */
static inline bool responder_stops(struct responder *responder)
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

static inline void responder_stop(struct responder *responder)
{
    (void)responder_stops(responder);
}

/* ---- Inventories ---- */

static inline struct sq_inventory *inventory_of(const char *controller, const char *const *called,
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
        sq_text_append(text, size, "- {name: \"%s\", agent: \"%s\"}\n", called[i], urls[i]);
    struct sq_inventory *inventory = NULL;
    struct sq_error error;
    if (sq_inventory_parse("hosts.yaml", text, strlen(text), &inventory, &error) != 0)
        fail_msg("%s", error.text);
    return inventory;
}

static inline const struct sq_request *hello(void)
{
    static struct sq_request request = {.verb = SQ_VERB_HELLO};
    return &request;
}

static inline void take(void *cookie, uint32_t i, const struct sq_answer *answer)
{
    struct sq_answer *answers = cookie;
    answers[i] = *answer;
}

/* Ask one host and give back the answer, which the caller frees; `took_ns` may be NULL. */
static inline struct sq_answer *ask_one(const char *controller, const char *name, const char *url,
                                        uint64_t timeout_ns, uint64_t *took_ns)
{
    char urls[1][SQ_AGENT_URL_MAX];
    (void)sq_text_copy(urls[0], sizeof(urls[0]), url);
    sq_autoinventory struct sq_inventory *inventory = inventory_of(controller, &name, urls, 1);
    struct sq_client *client = NULL;
    struct sq_error error;
    if (sq_client_open(inventory, loop, names, &client, &error) != 0)
        fail_msg("%s", error.text);
    struct sq_answer *answer = calloc(1, sizeof(*answer));
    assert_non_null(answer);
    uint32_t host = 0;
    uint64_t start_ns = sq_boot_ns();
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), timeout_ns, -1, take, answer, &error), 0);
    if (took_ns != NULL)
        *took_ns = sq_boot_ns() - start_ns;
    sq_client_close(client);
    return answer;
}

static inline void expect_failure(const struct sq_answer *answer, enum sq_code code, const char *part)
{
    assert_true(answer->failed);
    if (answer->error.code != code || strstr(answer->error.text, part) == NULL)
        fail_msg("expected %s with '%s', got %s: %s", sq_code_name(code), part,
                 sq_code_name(answer->error.code), answer->error.text);
}

static inline int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/squall-client.XXXXXX");
    if (mkdtemp(directory) == NULL || sq_loop_open(&loop, NULL) != 0 ||
        sq_names_open(loop, &names, NULL) != 0)
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

static inline int remove_directory(void **state)
{
    (void)state;
    char command[128];
    sq_names_close(names);
    sq_loop_close(loop);
    (void)snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

#endif
