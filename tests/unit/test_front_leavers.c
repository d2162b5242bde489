/* libraries: sq_front nng::nng */
/*
 * Whoever connects to a Unix socket and leaves at once must not make the listener deaf to everybody else:
 * what front/listen.c puts in the place of sendmsg for nng.
 */
#include "front/listen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#define LEAVERS 3000

static void leave_at_once(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd);
}

static void test_listener_outlives_those_who_leave(void **state)
{
    (void)state;
    struct sq_front_options none = {.listen_count = 0};
    assert_false(sq_front_needs_tls(&none)); /* links listen.c */
    char directory[] = "/tmp/squall-leavers.XXXXXX";
    assert_non_null(mkdtemp(directory));
    char path[64];
    char url[80];
    (void)snprintf(path, sizeof path, "%s/socket", directory);
    (void)snprintf(url, sizeof url, "ipc://%s", path);
    nng_socket agent;
    nng_socket controller;
    assert_int_equal(nng_rep0_open(&agent), 0);
    assert_int_equal(nng_listen(agent, url, NULL, 0), 0);
    for (int i = 0; i < LEAVERS; i++)
        leave_at_once(path);
    assert_int_equal(nng_req0_open(&controller), 0);
    assert_int_equal(nng_socket_set_ms(controller, NNG_OPT_RECVTIMEO, 10000), 0);
    assert_int_equal(nng_socket_set_ms(agent, NNG_OPT_RECVTIMEO, 10000), 0);
    assert_int_equal(nng_dial(controller, url, NULL, NNG_FLAG_NONBLOCK), 0);
    char buffer[8] = "";
    size_t size = sizeof buffer;
    char ping[] = "ping";
    assert_int_equal(nng_send(controller, ping, sizeof ping, 0), 0);
    assert_int_equal(nng_recv(agent, buffer, &size, 0), 0);
    assert_string_equal(buffer, "ping");
    (void)nng_close(controller);
    (void)nng_close(agent);
    (void)unlink(path);
    (void)rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_listener_outlives_those_who_leave)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
