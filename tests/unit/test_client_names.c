/* libraries: sq_commands sq_wire nng::nng */
/* Agents that are named: who waits for whom. */
#include "played_names.h"

#include "client_fixture.h"

struct timed {
    uint64_t at_boot_ns[8];
    struct sq_answer *answers[8];
};

static void take_time(void *cookie, uint32_t i, const struct sq_answer *answer)
{
    struct timed *timed = cookie;
    timed->at_boot_ns[i] = sq_boot_ns();
    timed->answers[i] = sq_answer_keep(answer);
    assert_non_null(timed->answers[i]);
}

static void set_port(char url[SQ_AGENT_URL_MAX], const char *host, const char *like)
{
    (void)snprintf(url, SQ_AGENT_URL_MAX, "tls+tcp://%s%s", host, strrchr(like, ':'));
}

/*
 * Names are looked up beside each other, and numeric addresses wait for none of them. The certificate is
 * compared with the inventory's name, not with the one that was looked up.
 */
static void test_names(void **state)
{
    (void)state;
    static struct responder responder;
    struct played_names played;
    char urls[8][SQ_AGENT_URL_MAX];
    const char *called[8] = {"a", "b", "c", "d", "e", "nowhere", "web1", "missing"};
    uint32_t hosts[8];
    char address[SQ_AGENT_URL_MAX];
    assert_int_equal(played_names_start(&played, loop), 0);
    assert_int_equal(sq_names_set_servers(names, played.servers, NULL), 0);
    responder_start(&responder, ANSWERS, NULL, "web1", address);
    for (uint32_t i = 0; i < 8; i++) {
        hosts[i] = i;
        (void)snprintf(urls[i], sizeof(urls[i]), "tls+tcp://silent%u.example:7433", i);
    }
    set_port(urls[5], "nowhere.example", address);
    set_port(urls[6], "here.example", address);
    (void)snprintf(urls[7], sizeof(urls[7]), "ipc://%s/missing", directory);
    sq_autoinventory struct sq_inventory *inventory = inventory_of("op", called, urls, 8);
    struct sq_client *client = NULL;
    struct timed timed = {0};
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    uint64_t start_ns = sq_boot_ns();
    assert_int_equal(sq_client_ask(client, hosts, 8, hello(), 2 * SECOND, -1, take_time, &timed, NULL), 0);
    uint64_t took_ns = sq_boot_ns() - start_ns;
    assert_true(took_ns >= 2 * SECOND && took_ns < 3 * SECOND);
    for (uint32_t i = 0; i < 5; i++)
        expect_failure(timed.answers[i], SQ_TIMEOUT, ".example was not resolved in time");
    expect_failure(timed.answers[5], SQ_UNREACHABLE, "nowhere (tls+tcp://nowhere.example:");
    expect_failure(timed.answers[5], SQ_UNREACHABLE, "no such name: nowhere.example");
    if (timed.answers[6]->failed)
        fail_msg("%s", timed.answers[6]->error.text);
    expect_failure(timed.answers[7], SQ_UNREACHABLE, "no such socket");
    for (uint32_t i = 5; i < 8; i++)
        assert_true(timed.at_boot_ns[i] - start_ns < 2 * SECOND);
    for (uint32_t i = 0; i < 8; i++)
        free(timed.answers[i]);
    /* Those five are still being looked up: they hold up neither this nor the closing. */
    start_ns = sq_boot_ns();
    assert_int_equal(sq_client_ask(client, &hosts[6], 1, hello(), 2 * SECOND, -1, take_time, &timed, NULL),
                     0);
    assert_false(timed.answers[0]->failed);
    sq_client_close(client);
    assert_true(sq_boot_ns() - start_ns < 2 * SECOND);
    free(timed.answers[0]);
    played_names_stop(&played);
    responder_stop(&responder);
}

#define MUTE 40 /* more than shake hands at a time */

/* Many that accept a connection and say nothing. */
struct mutes {
    int fds[MUTE];
    char urls[MUTE + 1][SQ_AGENT_URL_MAX];
    char texts[MUTE][16];
    const char *called[MUTE + 1];
};

static void mutes_open(struct mutes *mutes)
{
    for (uint32_t i = 0; i < MUTE; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        mutes->fds[i] = fd;
        (void)snprintf(mutes->urls[i], SQ_AGENT_URL_MAX, "tls+tcp://127.0.0.1:%u", ntohs(address.sin_port));
        (void)snprintf(mutes->texts[i], sizeof(mutes->texts[i]), "mute%u", i);
        mutes->called[i] = mutes->texts[i];
    }
}

static void mutes_close(const struct mutes *mutes)
{
    for (uint32_t i = 0; i < MUTE; i++)
        (void)close(mutes->fds[i]);
}

/* Behind them a host waits for its turn, which is not its own time. */
static void test_a_queue_of_handshakes(void **state)
{
    (void)state;
    static struct responder responder;
    static struct mutes mutes;
    mutes_open(&mutes);
    mutes.called[MUTE] = "web1";
    responder_start(&responder, ANSWERS, NULL, "web1", mutes.urls[MUTE]);
    sq_autoinventory struct sq_inventory *inventory = inventory_of("op", mutes.called, mutes.urls, MUTE + 1);
    sq_autofree struct sq_answer *answer = calloc(1, sizeof(*answer));
    struct sq_client *client = NULL;
    bool answered = false;
    uint64_t until_ns = sq_boot_ns() + 20 * SECOND;
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    for (uint32_t i = 0; i < MUTE; i++)
        assert_int_equal(sq_client_send(client, i, i, hello(), 5 * SECOND, NULL), 0);
    assert_int_equal(sq_client_wait(client, -1, sq_boot_ns() + SECOND / 5, NULL), 0);
    uint64_t start_ns = sq_boot_ns();
    assert_int_equal(sq_client_send(client, MUTE, MUTE, hello(), SECOND / 3, NULL), 0);
    while (!answered && sq_boot_ns() < until_ns) {
        if (!sq_client_next(client, answer)) {
            assert_int_equal(sq_client_wait(client, -1, until_ns, NULL), 0);
            continue;
        }
        answered = answer->host == MUTE;
        if (answered && answer->failed)
            fail_msg("%s", answer->error.text);
    }
    assert_true(answered);
    assert_true(sq_boot_ns() - start_ns >= SECOND / 3);
    sq_client_close(client);
    mutes_close(&mutes);
    responder_stop(&responder);
}

struct asked {
    uint32_t answers;
    uint32_t not_even_asked;
};

static void count(void *cookie, uint32_t i, const struct sq_answer *answer)
{
    struct asked *asked = cookie;
    assert_int_equal(answer->host, i);
    assert_true(answer->failed);
    asked->answers++;
    asked->not_even_asked += strstr(answer->error.text, "not even asked within 500ms") != NULL;
}

/* However many there are: asking everybody ends in time, and says who was not asked. */
static void test_asking_ends(void **state)
{
    (void)state;
    static struct mutes mutes;
    uint32_t hosts[MUTE];
    struct asked asked = {0};
    struct sq_client *client = NULL;
    mutes_open(&mutes);
    sq_autoinventory struct sq_inventory *inventory = inventory_of("op", mutes.called, mutes.urls, MUTE);
    for (uint32_t i = 0; i < MUTE; i++)
        hosts[i] = i;
    assert_int_equal(sq_client_open(inventory, loop, names, &client, NULL), 0);
    sq_client_limit_asking(client, SECOND / 2);
    assert_int_equal(sq_client_ask(client, hosts, MUTE, hello(), SECOND / 5, -1, count, &asked, NULL), 0);
    assert_int_equal(asked.answers, MUTE);
    assert_int_equal(asked.not_even_asked, MUTE - 32);
    sq_client_close(client);
    mutes_close(&mutes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_queue_of_handshakes),
        cmocka_unit_test(test_asking_ends),
    };
    return cmocka_run_group_tests_name("client's names", tests, make_directory, remove_directory);
}
