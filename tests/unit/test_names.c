/* libraries: sq_loop sq_common */
/* Names to addresses, asked of a name server that is played on loopback. */
#include "common/clock.h"
#include "loop/names.h"
#include "played_names.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_NS (20 * SQ_NS_PER_SECOND)

struct world {
    struct sq_loop *loop;
    struct sq_names *names;
    struct played_names server;
};

struct told {
    struct world *world;
    unsigned calls;
    bool close;             /* the resolver, from within the call */
    const char *then;       /* ask for this from within the call */
    struct told *then_told; /* and tell it here */
    struct sq_names_query *cancel;
    enum sq_code code;
    char text[SQ_ERROR_TEXT_MAX];
    struct sq_addresses addresses;
    struct sq_names_query *query;
};

static int set_up(void **state)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    if (sq_loop_open(&world.loop, NULL) != 0 || sq_names_open(world.loop, &world.names, NULL) != 0 ||
        played_names_start(&world.server, world.loop) != 0)
        return -1;
    *state = &world;
    return sq_names_set_servers(world.names, world.server.servers, NULL);
}

static int tear_down(void **state)
{
    struct world *world = *state;
    sq_names_close(world->names);
    played_names_stop(&world->server);
    sq_loop_close(world->loop);
    return 0;
}

static void on_told(void *cookie, const struct sq_addresses *addresses, const struct sq_error *error);

static void ask_for(struct world *world, const char *host, uint64_t timeout_ns, struct told *told)
{
    struct sq_error error = {0};
    told->world = world;
    if (sq_names_resolve(world->names, host, timeout_ns, on_told, told, &told->query, &error) != 0)
        fail_msg("%s", error.text);
}

static void on_told(void *cookie, const struct sq_addresses *addresses, const struct sq_error *error)
{
    struct told *told = cookie;
    told->calls++;
    if (addresses != NULL) {
        told->addresses = *addresses;
    } else {
        told->code = error->code;
        memcpy(told->text, error->text, sizeof(told->text));
    }
    sq_names_cancel(told->cancel);
    if (told->then != NULL)
        ask_for(told->world, told->then, PATIENCE_NS, told->then_told);
    if (told->close) {
        sq_names_close(told->world->names);
        told->world->names = NULL;
    }
}

static void turn(struct world *world)
{
    struct sq_error error = {0};
    if (sq_loop_turn(world->loop, sq_boot_ns() + PATIENCE_NS, &error) != 0)
        fail_msg("%s", error.text);
}

static void wait_for(struct world *world, const struct told *told)
{
    uint64_t until_boot_ns = sq_boot_ns() + PATIENCE_NS;
    while (told->calls == 0 && sq_boot_ns() < until_boot_ns)
        turn(world);
    assert_int_equal(told->calls, 1);
}

static void assert_loopback(const struct told *told)
{
    const struct sockaddr_in *address = (const void *)&told->addresses.addresses[0];
    assert_int_equal(told->code, SQ_OK);
    assert_int_equal(told->addresses.count, 1);
    assert_int_equal(address->sin_family, AF_INET);
    assert_int_equal(ntohl(address->sin_addr.s_addr), INADDR_LOOPBACK);
    assert_int_equal(address->sin_port, 0);
}

static void resolves_a_name(void **state)
{
    struct told told = {0};
    ask_for(*state, "here.example", PATIENCE_NS, &told);
    assert_int_equal(told.calls, 0);
    wait_for(*state, &told);
    assert_loopback(&told);
}

static void asks_anew_each_time(void **state)
{
    struct world *world = *state;
    struct told first = {0};
    struct told second = {0};
    ask_for(world, "here.example", PATIENCE_NS, &first);
    wait_for(world, &first);
    unsigned asked = world->server.asked;
    ask_for(world, "here.example", PATIENCE_NS, &second);
    wait_for(world, &second);
    assert_int_equal(world->server.asked, 2 * asked);
}

static void waits_for_a_server_that_is_slow(void **state)
{
    struct told told = {0};
    ask_for(*state, "slow.example", PATIENCE_NS, &told);
    wait_for(*state, &told);
    assert_loopback(&told);
}

/* c-ares would keep the answer for IPv4 back for its 7.5 s. */
static void takes_one_family_where_the_other_is_not_answered(void **state)
{
    struct told told = {0};
    uint64_t began_boot_ns = sq_boot_ns();
    ask_for(*state, "half.example", PATIENCE_NS, &told);
    wait_for(*state, &told);
    assert_loopback(&told);
    assert_true(sq_boot_ns() - began_boot_ns < 4 * SQ_NS_PER_SECOND);
}

/* Each question for one family is cancelled, or closed, with its whole. */
static void forgets_what_was_asked_by_family(void **state)
{
    struct world *world = *state;
    struct told silent = {0};
    struct told cancelled = {0};
    struct told half = {0};
    ask_for(world, "silent.example", PATIENCE_NS, &silent);
    ask_for(world, "half.cancelled.example", PATIENCE_NS, &cancelled);
    ask_for(world, "half.example", PATIENCE_NS, &half);
    sq_names_cancel(cancelled.query);
    wait_for(world, &half);
    assert_loopback(&half);
    sq_names_cancel(silent.query);
    struct told here = {0};
    ask_for(world, "here.example", PATIENCE_NS, &here);
    wait_for(world, &here);
    assert_loopback(&here);
    assert_int_equal(silent.calls + cancelled.calls, 0);
    assert_int_equal(half.calls, 1);
}

/* As when /etc/resolv.conf names another server: nobody goes on waiting for the one before. */
static void asks_other_servers_though_somebody_waits(void **state)
{
    struct world *world = *state;
    struct told first = {0};
    struct told second = {0};
    char servers[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int mute = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(mute, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(mute, (struct sockaddr *)&address, &bytes), 0);
    (void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(sq_names_set_servers(world->names, servers, NULL), 0);
    ask_for(world, "here.example", PATIENCE_NS, &first);
    assert_int_equal(sq_names_set_servers(world->names, world->server.servers, NULL), 0);
    ask_for(world, "here.second.example", PATIENCE_NS, &second);
    wait_for(world, &second);
    assert_loopback(&second);
    wait_for(world, &first);
    assert_loopback(&first);
    (void)close(mute);
}

static void says_that_there_is_no_such_name(void **state)
{
    struct told told = {0};
    ask_for(*state, "nowhere.example", PATIENCE_NS, &told);
    wait_for(*state, &told);
    assert_int_equal(told.code, SQ_UNREACHABLE);
    assert_string_equal(told.text, "no such name: nowhere.example");
}

/* Others are told meanwhile, and what is asked of c-ares still does not keep the resolver from closing. */
static void gives_a_silent_server_up_in_time(void **state)
{
    struct world *world = *state;
    struct told silent = {0};
    struct told here = {0};
    uint64_t began_boot_ns = sq_boot_ns();
    ask_for(world, "silent.example", 60 * SQ_NS_PER_MILLISECOND, &silent);
    ask_for(world, "here.example", PATIENCE_NS, &here);
    wait_for(world, &here);
    assert_loopback(&here);
    assert_int_equal(silent.calls, 0);
    wait_for(world, &silent);
    assert_int_equal(silent.code, SQ_TIMEOUT);
    assert_true(sq_boot_ns() - began_boot_ns >= 60 * SQ_NS_PER_MILLISECOND);
    assert_string_equal(silent.text, "the name silent.example was not resolved in time");
}

static void tells_at_once_that_no_server_is_there(void **state)
{
    struct world *world = *state;
    struct told told = {0};
    assert_int_equal(sq_names_set_servers(world->names, "127.0.0.1:1", NULL), 0);
    ask_for(world, "here.example", PATIENCE_NS, &told);
    wait_for(world, &told);
    assert_int_equal(told.code, SQ_UNREACHABLE);
    assert_non_null(strstr(told.text, "the name here.example does not resolve: "));
}

static void waits_for_nobody_with_an_address(void **state)
{
    struct world *world = *state;
    static const char *const hosts[] = {"192.0.2.7", "2001:db8::7", "[2001:db8::7]", "fe80::7%lo"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct told told = {0};
        char text[INET6_ADDRSTRLEN] = "";
        ask_for(world, hosts[i], 0, &told);
        assert_int_equal(told.calls, 1);
        assert_null(told.query);
        assert_int_equal(told.addresses.count, 1);
        const struct sockaddr_storage *address = &told.addresses.addresses[0];
        if (address->ss_family == AF_INET)
            (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, sizeof(text));
        else
            (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, sizeof(text));
        assert_non_null(strstr(hosts[i], text));
    }
    assert_int_equal(world->server.asked, 0);
}

/* Also where there is no /etc/hosts. */
static void knows_localhost(void **state)
{
    struct world *world = *state;
    static const char *const hosts[] = {"localhost", "LocalHost.", "a.localhost"};
    static const char *const others[] = {"notlocalhost", "localhost.example"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct told told = {0};
        ask_for(world, hosts[i], 0, &told);
        assert_int_equal(told.calls, 1);
        assert_int_equal(told.addresses.count, 2);
        assert_int_equal(told.addresses.addresses[0].ss_family, AF_INET);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct told told = {0};
        ask_for(world, others[i], PATIENCE_NS, &told);
        assert_int_equal(told.calls, 0);
        wait_for(world, &told);
    }
}

static void does_not_call_what_was_cancelled(void **state)
{
    struct world *world = *state;
    struct told cancelled = {0};
    struct told other = {0};
    ask_for(world, "here.example", PATIENCE_NS, &cancelled);
    sq_names_cancel(cancelled.query);
    ask_for(world, "slow.example", PATIENCE_NS, &other);
    wait_for(world, &other);
    assert_int_equal(cancelled.calls, 0);
    sq_names_cancel(NULL);
}

static void may_be_asked_cancelled_and_closed_from_within_a_call(void **state)
{
    struct world *world = *state;
    struct told silent = {0};
    struct told second = {.close = true};
    struct told first = {.then = "slow.example", .then_told = &second};
    ask_for(world, "silent.example", PATIENCE_NS, &silent);
    first.cancel = silent.query;
    ask_for(world, "here.example", PATIENCE_NS, &first);
    wait_for(world, &second);
    assert_loopback(&second);
    assert_null(world->names);
    turn(world);
    assert_int_equal(silent.calls, 0);
}

static void closes_with_questions_under_way(void **state)
{
    struct world *world = *state;
    struct told silent = {0};
    struct told here = {0};
    ask_for(world, "silent.example", PATIENCE_NS, &silent);
    ask_for(world, "here.example", PATIENCE_NS, &here);
    sq_names_close(world->names);
    world->names = NULL;
    turn(world);
    assert_int_equal(silent.calls + here.calls, 0);
}

static void refuses_what_is_too_long_for_a_name(void **state)
{
    struct world *world = *state;
    struct told told = {0};
    struct sq_error error = {0};
    char host[400];
    memset(host, 'a', sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    assert_int_equal(sq_names_resolve(world->names, host, 1, on_told, &told, &told.query, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_int_equal(told.calls, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resolves_a_name),
        TEST(asks_anew_each_time),
        TEST(waits_for_a_server_that_is_slow),
        TEST(takes_one_family_where_the_other_is_not_answered),
        TEST(forgets_what_was_asked_by_family),
        TEST(asks_other_servers_though_somebody_waits),
        TEST(says_that_there_is_no_such_name),
        TEST(gives_a_silent_server_up_in_time),
        TEST(tells_at_once_that_no_server_is_there),
        TEST(waits_for_nobody_with_an_address),
        TEST(knows_localhost),
        TEST(does_not_call_what_was_cancelled),
        TEST(may_be_asked_cancelled_and_closed_from_within_a_call),
        TEST(closes_with_questions_under_way),
        TEST(refuses_what_is_too_long_for_a_name),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
