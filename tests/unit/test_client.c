/* libraries: sq_commands sq_wire nng::nng */
#include "client_fixture.h"

#define ABSENCES 8u /* of an agent */
#define CLOSINGS 4u /* tries of one */

/* ---- Tests ---- */

#define MANY 40

static void test_many_hosts_at_once(void **state)
{
    (void)state;
    static struct responder responders[MANY];
    static char urls[MANY][SQ_AGENT_URL_MAX];
    static char called[MANY][16];
    const char *pointers[MANY];
    uint32_t hosts[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(called[i], sizeof(called[i]), "host%u", i);
        pointers[i] = called[i];
        hosts[i] = MANY - 1 - i;
        responder_start(&responders[i], i == 3 ? REFUSES : ANSWERS, called[i], NULL, urls[i]);
    }
    sq_autoinventory struct sq_inventory *inventory = inventory_of(NULL, pointers, urls, MANY);
    struct sq_client *client = NULL;
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    sq_autofree struct sq_answer *answers = calloc(MANY, sizeof(*answers));
    for (int round = 0; round < 3; round++) {
        memset(answers, 0, MANY * sizeof(*answers));
        assert_int_equal(sq_client_ask(client, hosts, MANY, hello(), 10 * SECOND, -1, take, answers, NULL),
                         0);
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, &error), 0);
    for (int i = 0; i < 3; i++) {
        const uint32_t host = 0;
        sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
        assert_int_equal(sq_client_ask(client, &host, 1, &request, SECOND, -1, take, answer, &error), 0);
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "does not belong to the certificate"));
    (void)snprintf(inventory->tls_key, sizeof(inventory->tls_key), "%s/op.pem", directory);
    assert_int_equal(sq_client_open(inventory, loop, names, &client, &error), -1);
    assert_non_null(strstr(error.text, "op.pem: not a private key"));
    (void)snprintf(inventory->tls_agents, sizeof(inventory->tls_agents), "%s/missing.pem", directory);
    (void)snprintf(inventory->tls_key, sizeof(inventory->tls_key), "%s/op.key", directory);
    assert_int_equal(sq_client_open(inventory, loop, names, &client, &error), -1);
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    /* Not yet there; then there; then gone and back while a request waits. */
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, take, answer, NULL), 0);
    assert_true(answer->failed);
    responder_start(&responder, ANSWERS, name, NULL, urls[0]);
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, take, answer, NULL), 0);
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, take, answer, NULL), 0);
    assert_false(answer->failed);
    bool gone = responder_stops(responder);
    if (gone) {
        uint64_t start_ns = sq_boot_ns();
        do { /* the first may still go out on the connection that is just ending, or not seen to have ended */
            assert_int_equal(sq_client_ask(client, &host, 1, hello(), SECOND, -1, take, answer, NULL), 0);
            assert_true(answer->failed);
        } while (strstr(answer->error.text, "is squalld running?") == NULL &&
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
    static const char *const called[CLOSINGS] = {"dodo", "moa", "auk", "quagga"};
    unsigned i = 0;
    while (!is_told_to_be_gone(&responders[i], called[i]))
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    unsigned late = 0;
    responder_start(&responder, ANSWERS, name, NULL, urls[0]);
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 5 * SECOND, -1, take, answer, NULL), 0);
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
    const char *called[5] = {"quick", "silent", "web1", "gone", "missing"};
    responder_start(&responders[0], ANSWERS, "quick", NULL, urls[0]);
    responder_start(&responders[1], SILENT, "silent", NULL, urls[1]);
    responder_start(&responders[2], ANSWERS, NULL, "web1", urls[2]);
    (void)snprintf(urls[3], sizeof(urls[3]), "tls+tcp://127.0.0.1:1");
    (void)snprintf(urls[4], sizeof(urls[4]), "ipc://%s/missing", directory);
    sq_autoinventory struct sq_inventory *inventory = inventory_of("op", called, urls, 5);
    for (unsigned round = 0; round < 12; round++) {
        struct sq_client *client = NULL;
        assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
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
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    uint32_t host = 0;
    struct sq_error error;
    assert_int_equal(sq_client_ask(client, &host, 1, hello(), 30 * SECOND, ends[0], take, answer, &error),
                     -1);
    assert_int_equal(error.code, SQ_ABORTED);
    sq_client_close(client);
    (void)close(ends[0]);
    (void)close(ends[1]);
    responder_stop(&responder);
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
