/* libraries: sq_front_fixture nng::nng */
/* What strangers and broken clients do to the front: it goes on serving the others, and does not grow. */
#include "front_fixture.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <nng/nng.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HUGE_BYTES  (100u << 20)
#define GROWTH_KIB  (32 * 1024)
#define CONNECTIONS 600 /* more than the front has descriptors for */

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

static void test_connections_that_say_nothing(void **state)
{
    (void)state;
    static int fds[CONNECTIONS];
    nng_socket connected;
    size_t descriptors = front_descriptors();
    assert_int_equal(front_dial(NULL, &connected), 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                      .sin_port = htons(front_lab.port)};
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof address);
    }
    front_pause_ms(500);
    /* Whoever was connected goes on being served: leases are renewed. */
    static struct sq_reply reply;
    static const uint8_t status[] = {0x08, 1, 0x10, SQ_VERB_STATUS};
    struct sq_error error = {0};
    if (front_exchange(connected, status, sizeof status, &reply, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(FRONT_IS_WATCHED || front_kib("VmRSS") < 128 * 1024);
    for (int i = 0; i < CONNECTIONS; i++)
        (void)close(fds[i]);
    (void)nng_close(connected);
    front_assert_descriptors_return_to(descriptors);
    front_assert_served(&front_operator);
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 5 && strcmp(arguments[1], "--flood") == 0)
        run_flood(arguments[2], arguments[3], arguments[4]);
    front_take_role(argument_count, arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_bytes_on_the_tls_port),
        cmocka_unit_test(test_plain_nng_on_the_tls_port),
        cmocka_unit_test(test_garbage_is_answered),
        cmocka_unit_test(test_100_mb_are_dropped),
        cmocka_unit_test(test_client_that_never_reads),
        cmocka_unit_test(test_connections_that_say_nothing),
    };
    return cmocka_run_group_tests(tests, front_set_up, front_tear_down);
}
