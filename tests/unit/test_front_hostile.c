/* libraries: sq_front_fixture nng::nng */
/* What strangers and broken clients do to the front: it goes on serving the others, and does not grow. */
#include "front_fixture.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "front/handshakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HUGE_BYTES (100u << 20)
#define GROWTH_KIB (32 * 1024)
#define CROWD      2000
#define UNIX_CROWD 200

#define CROWD_WATCHED_NS (6 * SQ_NS_PER_SECOND) /* longer than all of them may take */

static void test_plain_bytes_on_the_tls_port(void **state)
{
    (void)state;
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    sq_autoclose int fd = front_connect_to_port();
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    assert_true(front_is_closed_within(fd, FRONT_TIMEOUT_MS));
    front_assert_served(&front_operator);
}

/* nng's own handshake without TLS: plain TCP has no way in. */
static void test_plain_nng_on_the_tls_port(void **state)
{
    (void)state;
    static const char hello[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    sq_autoclose int fd = front_connect_to_port();
    assert_int_equal(write(fd, hello, sizeof hello), sizeof hello);
    assert_true(front_is_closed_within(fd, 12000));
    front_assert_served(&front_operator);
}

static void check_garbage(const struct front_client *client)
{
    static struct sq_reply reply;
    static const char garbage[] = "these bytes are no message";
    static const uint8_t version_99[] = {0x08, 99, 0x10, 7};
    struct sq_error error = {0};
    nng_socket socket;
    assert_int_equal(front_dial(client, &socket), 0);
    assert_int_equal(front_exchange(socket, garbage, sizeof garbage, &reply, &error), 0);
    assert_int_equal(reply.code, SQ_BAD_INPUT);
    assert_true(reply.message[0] != '\0');
    assert_int_equal(front_exchange(socket, "", 0, &reply, &error), 0);
    assert_int_equal(reply.code, SQ_BAD_INPUT);
    assert_int_equal(front_exchange(socket, version_99, sizeof version_99, &reply, &error), 0);
    assert_int_equal(reply.code, SQ_VERSION_GAP);
    assert_int_equal(reply.verb, SQ_VERB_STATUS);
    assert_non_null(strstr(reply.message, "99"));
    (void)nng_close(socket);
    front_assert_served(client);
}

static void test_garbage_is_answered(void **state)
{
    (void)state;
    check_garbage(NULL);
    check_garbage(&front_operator);
}

/* A process of its own, since nng's closing of a socket with half a message sent may never return. Exit 0:
 * dropped. */
static void run_flood(const char *directory, const char *url, const char *is_tls)
{
    nng_socket flood;
    nng_msg *message = NULL;
    (void)sq_text_copy(front_lab.directory, sizeof front_lab.directory, directory);
    (void)sq_text_copy(front_lab.ipc_url, sizeof front_lab.ipc_url, url);
    (void)sq_text_copy(front_lab.tls_url, sizeof front_lab.tls_url, url);
    if (front_dial(is_tls[0] == '1' ? &front_operator : NULL, &flood) != 0 ||
        nng_msg_alloc(&message, HUGE_BYTES) != 0)
        _exit(2);
    (void)nng_socket_set_ms(flood, NNG_OPT_RECVTIMEO, 1000);
    (void)nng_sendmsg(flood, message, 0);
    _exit(nng_recvmsg(flood, &message, 0) == 0 ? 1 : 0);
}

static void check_huge(const struct front_client *client)
{
    front_assert_served(client);
    uint64_t before_kib = front_kib("VmRSS");
    size_t descriptors = front_descriptors();
    pid_t flood = fork();
    if (flood == 0) {
        (void)execl("/proc/self/exe", "test_front", "--flood", front_lab.directory,
                    client == NULL ? front_lab.ipc_url : front_lab.tls_url, client == NULL ? "0" : "1",
                    (char *)NULL);
        _exit(127);
    }
    assert_int_equal(front_wait_for(flood), 0);
    front_assert_served(client);
    assert_true(FRONT_IS_WATCHED || front_kib("VmHWM") < before_kib + GROWTH_KIB);
    front_assert_descriptors_return_to(descriptors);
}

static void test_100_mb_are_dropped(void **state)
{
    (void)state;
    check_huge(NULL);
    check_huge(&front_operator);
}

/* ---- nobody holds up the others ---- */

static void test_client_that_never_reads(void **state)
{
    (void)state;
    /* nng's handshake of a requester, then one request after another: length, request id, body. */
    static const unsigned char hello[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const unsigned char request[] = {1, 0, 0, 0, 0, 0, 0, 0, 8, 0x80, 0, 0, 1, 0x08, 1, 0x10, 7};
    size_t descriptors = front_descriptors();
    int fd = front_connect_to_socket();
    assert_int_equal(write(fd, hello, sizeof hello), sizeof hello);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    int sent = 0;
    for (int idle = 0; sent < 20000 && idle < 20;) {
        if (write(fd, request, sizeof request) == (ssize_t)sizeof request) {
            sent++;
        } else {
            idle++;
            front_pause_ms(10);
        }
    }
    assert_true(sent > 100);
    front_assert_served(NULL);
    front_assert_served(&front_operator);
    (void)close(fd);
    front_assert_descriptors_return_to(descriptors);
}

/* ---- a crowd that never gets through its handshake ---- */

static int crowd[CROWD];

static void gather(const void *bytes, size_t length)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(front_lab.port)};
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(crowd[i] >= 0);
        (void)connect(crowd[i], (struct sockaddr *)&address, sizeof address);
    }
    for (int i = 0; i < CROWD && length > 0; i++)
        (void)!send(crowd[i], bytes, length, MSG_NOSIGNAL);
}

static unsigned still_connected(void)
{
    unsigned count = 0;
    char byte;
    for (int i = 0; i < CROWD; i++)
        count += recv(crowd[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    return count;
}

/* Everybody else for some seconds: who is connected renews, who comes is let in, by TLS and Unix socket. */
static void check_service(nng_socket connected, size_t most_descriptors)
{
    static struct sq_reply reply;
    static const uint8_t status[] = {0x08, 1, 0x10, SQ_VERB_STATUS};
    struct sq_error error = {0};
    uint64_t end_ns = sq_boot_ns() + CROWD_WATCHED_NS;
    while (sq_boot_ns() < end_ns) {
        uint64_t start_ns = sq_boot_ns();
        if (front_exchange(connected, status, sizeof status, &reply, &error) != 0)
            fail_msg("%s", error.text);
        assert_true(sq_boot_ns() - start_ns < SQ_NS_PER_SECOND);
        front_assert_served(NULL);
        front_assert_served(&front_operator);
        assert_true(front_descriptors() <= most_descriptors);
        front_pause_ms(200);
    }
}

static void check_crowd(const void *bytes, size_t length, unsigned most_in_front, bool leaves)
{
    nng_socket connected;
    size_t descriptors = front_descriptors();
    assert_int_equal(front_dial(&front_operator, &connected), 0);
    gather(bytes, length);
    check_service(connected, descriptors + most_in_front);
    assert_int_equal(still_connected() == 0, leaves);
    assert_true(FRONT_IS_WATCHED || front_kib("VmRSS") < 128 * 1024);
    for (int i = 0; i < CROWD; i++)
        (void)close(crowd[i]);
    (void)nng_close(connected);
    front_assert_descriptors_return_to(descriptors);
    front_assert_served(&front_operator);
}

/* They stay in the kernel: beside its own connections the front has none. */
static void test_connections_that_say_nothing(void **state)
{
    (void)state;
    check_crowd(NULL, 0, 8, false);
}

/* The beginning of a ClientHello, and no more: some at a time, and none for longer than 3 s. */
static void test_handshakes_that_stall(void **state)
{
    (void)state;
    static const uint8_t beginning[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
    check_crowd(beginning, sizeof beginning, SQ_TLS_HANDSHAKES_MAX * 2 + 16, true);
}

/* Over the Unix socket the same, within its own budget. */
static void test_unix_connections_that_say_nothing(void **state)
{
    (void)state;
    size_t descriptors = front_descriptors();
    static int silent[UNIX_CROWD];
    for (int i = 0; i < UNIX_CROWD; i++)
        silent[i] = front_connect_to_socket();
    front_assert_served(NULL);
    front_assert_served(&front_operator);
    for (int i = 0; i < UNIX_CROWD; i++) {
        assert_true(front_is_closed_within(silent[i], 2 * FRONT_TIMEOUT_MS));
        (void)close(silent[i]);
    }
    front_assert_descriptors_return_to(descriptors);
    front_assert_served(NULL);
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 5 && strcmp(arguments[1], "--flood") == 0)
        run_flood(arguments[2], arguments[3], arguments[4]);
    front_take_role(argument_count, arguments);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < CROWD + 100) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_bytes_on_the_tls_port),
        cmocka_unit_test(test_plain_nng_on_the_tls_port),
        cmocka_unit_test(test_garbage_is_answered),
        cmocka_unit_test(test_100_mb_are_dropped),
        cmocka_unit_test(test_client_that_never_reads),
        cmocka_unit_test(test_connections_that_say_nothing),
        cmocka_unit_test(test_handshakes_that_stall),
        cmocka_unit_test(test_unix_connections_that_say_nothing),
    };
    return cmocka_run_group_tests(tests, front_set_up, front_tear_down);
}
