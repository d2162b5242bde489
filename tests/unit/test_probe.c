/* libraries: sq_commands sq_table sq_common */
/* Probes and the HTTP client below them, against a server of this test on the loopback address. */
#include "probes/table.h"

#include "common/clock.h"
#include "model/probe_form.h"
#include "model/tolerance.h"
#include "played_names.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS SQ_NS_PER_MILLISECOND

/* --- the server: what it does is asked for in the path --- */

static int server_fd;
static int port;
static pthread_t server;
static char last_request[8192];

#define ANSWER "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define JSON   ANSWER "Content-Type: application/json\r\n\r\n"

static void send_huge(int fd)
{
    static char block[65536];
    static const char head[] = ANSWER "\r\n";
    memset(block, 'x', sizeof(block));
    (void)!send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL);
    for (int i = 0; i < 64; i++)
        if (send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
            return;
}

static void *handle(void *cookie)
{
    int fd = (int)(intptr_t)cookie;
    char request[8192] = "";
    const char *answer = ANSWER "\r\nhello";
    (void)!read(fd, request, sizeof(request) - 1);
    if (strstr(request, " /hang") != NULL) {
        (void)!read(fd, request, sizeof(request) - 1);
        (void)close(fd);
        return NULL;
    }
    if (strstr(request, " /late") != NULL)
        (void)usleep(300000);
    if (strstr(request, " /missing") != NULL)
        answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    if (strstr(request, " /moved") != NULL)
        answer = "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n";
    if (strstr(request, " /noise") != NULL)
        answer = "\x01\x02 what?";
    if (strstr(request, " /api/v1/query") != NULL) {
        (void)strcpy(last_request, request);
        answer = JSON "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"0.5\"]}}";
    }
    if (strstr(request, " /empty/api") != NULL)
        answer = JSON "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}";
    if (strstr(request, " /huge") != NULL)
        send_huge(fd);
    else if (strstr(request, " /close") == NULL)
        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    (void)close(fd);
    return NULL;
}

static void *serve(void *cookie)
{
    (void)cookie;
    for (;;) {
        pthread_t thread;
        int fd = accept(server_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (pthread_create(&thread, NULL, handle, (void *)(intptr_t)fd) == 0)
            (void)pthread_detach(thread);
    }
}

static int start_server(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    (void)state;
    server_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server_fd, (struct sockaddr *)&address, size) != 0 || listen(server_fd, 64) != 0 ||
        getsockname(server_fd, (struct sockaddr *)&address, &size) != 0)
        return -1;
    port = ntohs(address.sin_port);
    return pthread_create(&server, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    (void)shutdown(server_fd, SHUT_RDWR);
    (void)pthread_join(server, NULL);
    return close(server_fd);
}

/* --- measuring --- */

static struct sq_loop *loop;
static struct sq_names *names;
static struct sq_measurement measured[16];
static uint32_t measured_count;

static void on_measured(void *cookie, const struct sq_measurement *measurement)
{
    (void)cookie;
    measured[measured_count++] = *measurement;
}

static void wait_for(uint32_t count)
{
    uint64_t until_boot_ns = sq_boot_ns() + 20 * SQ_NS_PER_SECOND;
    while (measured_count < count) {
        if (sq_loop_turn(loop, sq_boot_ns() + SQ_NS_PER_SECOND, NULL) != 0)
            fail_msg("the loop cannot wait");
        if (sq_boot_ns() > until_boot_ns)
            fail_msg("no measurement in time");
    }
}

static struct sq_http *open_http(void)
{
    struct sq_http *http = NULL;
    struct sq_error error = {0};
    measured_count = 0;
    if (sq_loop_open(&loop, &error) != 0 || sq_names_open(loop, &names, &error) != 0 ||
        sq_http_open(loop, names, &http, &error) != 0)
        fail_msg("%s", error.text);
    return http;
}

static void close_http(struct sq_http *http)
{
    sq_http_close(http);
    sq_names_close(names);
    sq_loop_close(loop);
}

static struct sq_probe http_probe(const char *path)
{
    struct sq_probe probe = {.kind = SQ_PROBE_HTTP, .every_ns = 200 * MS, .timeout_ns = 200 * MS};
    (void)snprintf(probe.target, sizeof(probe.target), "http://127.0.0.1:%d%s", port, path);
    return probe;
}

static struct sq_measurement measure(const struct sq_probe *probe, const char *prometheus)
{
    struct sq_http *http = open_http();
    uint64_t before_boot_ns = sq_boot_ns();
    sq_probe_start(http, probe, 3, prometheus, on_measured, NULL);
    wait_for(1);
    close_http(http);
    assert_int_equal(measured[0].probe, 3);
    assert_true(measured[0].started_boot_ns >= before_boot_ns);
    assert_true(measured[0].ended_boot_ns >= measured[0].started_boot_ns);
    assert_true(measured[0].within == (measured[0].reason[0] == '\0'));
    return measured[0];
}

static void expect_miss(const struct sq_measurement *measurement, bool is_measured, const char *reason)
{
    assert_false(measurement->within);
    assert_int_equal(measurement->measured, is_measured);
    if (strstr(measurement->reason, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", measurement->reason, reason);
}

static void expect_http_miss(const char *path, bool is_measured, const char *reason)
{
    struct sq_probe probe = http_probe(path);
    struct sq_measurement measurement = measure(&probe, NULL);
    expect_miss(&measurement, is_measured, reason);
}

static void test_http(void **state)
{
    (void)state;
    struct sq_probe probe = http_probe("/ok");
    struct sq_measurement measurement = measure(&probe, NULL);
    assert_true(measurement.within);
    assert_true(measurement.value == 200);
    probe = http_probe("/missing");
    probe.status_count = 2;
    probe.statuses[0] = (struct sq_status_range){200, 299};
    probe.statuses[1] = (struct sq_status_range){404, 404};
    assert_true(measure(&probe, NULL).within);
}

static void test_http_misses(void **state)
{
    (void)state;
    expect_http_miss("/missing", true, "status 404 where 200 is tolerated");
    expect_http_miss("/moved", true, "status 302 where 200 is tolerated");
    expect_http_miss("/hang", true, "/hang within 200ms");
    expect_http_miss("/close", true, "no answer from http://127.0.0.1:");
    expect_http_miss("/noise", true, "no answer from http://127.0.0.1:");
    expect_http_miss("/huge", false, "larger than 1 MiB");
}

static void test_http_too_slow(void **state)
{
    (void)state;
    struct sq_probe probe = http_probe("/late");
    probe.timeout_ns = 2 * SQ_NS_PER_SECOND;
    probe.within_ns = 100 * MS;
    struct sq_measurement measurement = measure(&probe, NULL);
    expect_miss(&measurement, true, "where 100ms are tolerated");
    assert_true(measurement.ended_boot_ns - measurement.started_boot_ns >= 300 * MS);
    probe.within_ns = 0;
    assert_true(measure(&probe, NULL).within);
}

static void test_http_nobody_listens(void **state)
{
    (void)state;
    struct sq_probe probe = http_probe("/");
    (void)strcpy(probe.target, "http://127.0.0.1:1/");
    struct sq_measurement measurement = measure(&probe, NULL);
    expect_miss(&measurement, true, "no answer from http://127.0.0.1:");
    (void)strcpy(probe.target, "http://no-such-host.invalid/");
    probe.timeout_ns = 10 * SQ_NS_PER_SECOND;
    measurement = measure(&probe, NULL);
    expect_miss(&measurement, false, "no-such-host.invalid");
}

static void test_other_protocols_are_not_spoken(void **state)
{
    (void)state;
    struct sq_probe probe = http_probe("/");
    (void)strcpy(probe.target, "file:///etc/hostname");
    struct sq_measurement measurement = measure(&probe, NULL);
    assert_false(measurement.within);
    assert_false(measurement.has_value);
}

static void test_no_proxy_of_the_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    struct sq_probe probe = http_probe("/ok");
    assert_true(measure(&probe, NULL).within);
    assert_int_equal(unsetenv("http_proxy"), 0);
}

static struct sq_measurement measure_query(const char *tolerance, const char *base)
{
    struct sq_error error = {0};
    struct sq_probe probe = {.kind = SQ_PROBE_PROMQL, .target = "a{b=\"c\"} > 1", .every_ns = 500 * MS};
    assert_int_equal(sq_tolerance_parse(tolerance, &probe.tolerance, &error), 0);
    return measure(&probe, base);
}

static void test_promql(void **state)
{
    char base[64];
    (void)state;
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/", port);
    struct sq_measurement measurement = measure_query(">= 0.5", base);
    assert_true(measurement.within);
    assert_true(measurement.value == 0.5);
    assert_non_null(strstr(last_request, "query=a%7Bb%3D%22c%22%7D%20%3E%201 HTTP/1"));
    measurement = measure_query("> 0.5", base);
    expect_miss(&measurement, true, "0.5 where > 0.5 is tolerated");
}

static void test_promql_not_measurable(void **state)
{
    char base[64];
    struct sq_measurement measurement = measure_query("> 0", "http://127.0.0.1:1");
    (void)state;
    expect_miss(&measurement, false, "Prometheus at http://127.0.0.1:1 cannot be asked: ");
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/hang", port);
    measurement = measure_query("> 0", base);
    expect_miss(&measurement, false, "/hang did not answer within 500ms");
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/empty", port);
    measurement = measure_query("> 0", base);
    expect_miss(&measurement, false, "no data");
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/missing", port);
    measurement = measure_query("> 0", base);
    expect_miss(&measurement, false, "HTTP status 404");
    measurement = measure_query("> 0", "nonsense");
    expect_miss(&measurement, false, "cannot be used");
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct sq_http *http = open_http();
    struct sq_probe late = http_probe("/late");
    struct sq_probe quick = http_probe("/ok");
    late.timeout_ns = 5 * SQ_NS_PER_SECOND;
    uint64_t before_boot_ns = sq_boot_ns();
    for (uint32_t i = 0; i < 8; i++)
        sq_probe_start(http, i < 6 ? &late : &quick, i, NULL, on_measured, NULL);
    wait_for(8);
    assert_true(sq_boot_ns() - before_boot_ns < 1200 * MS); /* one after the other would be 1.8 s */
    assert_true(measured[0].probe >= 6 && measured[1].probe >= 6);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(measured[i].within);
    /* Closing with something under way calls nobody back. */
    measured_count = 0;
    sq_probe_start(http, &late, 0, NULL, on_measured, NULL);
    (void)sq_loop_turn(loop, 0, NULL);
    close_http(http);
    assert_int_equal(measured_count, 0);
}

/* A name of the played server, with the port of ours. */
static struct sq_measurement measure_name(const char *name, struct played_names *played)
{
    struct sq_http *http = open_http();
    struct sq_probe probe = http_probe("/");
    assert_int_equal(played_names_start(played, loop), 0);
    assert_int_equal(sq_names_set_servers(names, played->servers, NULL), 0);
    (void)snprintf(probe.target, sizeof(probe.target), "http://%s:%d/", name, port);
    sq_probe_start(http, &probe, 0, NULL, on_measured, NULL);
    assert_int_equal(measured_count, 0);
    wait_for(1);
    sq_http_close(http);
    played_names_stop(played);
    sq_names_close(names);
    sq_loop_close(loop);
    return measured[0];
}

static void test_names(void **state)
{
    (void)state;
    struct played_names played;
    struct sq_measurement measurement = measure_name("here.example", &played);
    assert_true(measurement.within);
    assert_true(played.asked > 0);
    measurement = measure_name("here.example", &played); /* nobody remembers it */
    assert_true(measurement.within);
    assert_true(played.asked > 0);
    measurement = measure_name("slow.example", &played); /* its time is the customer's, too */
    assert_true(measurement.within);
    assert_true(measurement.ended_boot_ns - measurement.started_boot_ns >= PLAYED_SLOW_NS);
}

static void test_names_that_do_not_resolve_are_not_measurable(void **state)
{
    (void)state;
    struct played_names played;
    struct sq_measurement measurement = measure_name("nowhere.example", &played);
    expect_miss(&measurement, false, "cannot be asked: no such name: nowhere.example");
    measurement = measure_name("silent.example", &played);
    expect_miss(&measurement, false, "the name silent.example was not resolved in time");
    uint64_t took_ns = measurement.ended_boot_ns - measurement.started_boot_ns;
    assert_true(took_ns >= 200 * MS && took_ns < 2000 * MS);
}

static void test_texts(void **state)
{
    char text[80];
    (void)state;
    struct sq_probe probe = http_probe("/");
    struct sq_measurement measurement = {
        .measured = true, .has_value = true, .value = 503, .took_ns = 12 * MS};
    sq_probe_tolerance_format(&probe, text, sizeof(text));
    assert_string_equal(text, "status 200");
    probe.within_ns = 500 * MS;
    sq_probe_tolerance_format(&probe, text, sizeof(text));
    assert_string_equal(text, "status 200 within 500ms");
    sq_probe_value_format(&probe, &measurement, text, sizeof(text));
    assert_non_null(strstr(text, "status 503 in 12"));
    measurement.has_value = false;
    sq_probe_value_format(&probe, &measurement, text, sizeof(text));
    assert_string_equal(text, "no answer");
    measurement.measured = false;
    sq_probe_value_format(&probe, &measurement, text, sizeof(text));
    assert_string_equal(text, "not measurable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_http_misses),
        cmocka_unit_test(test_http_too_slow),
        cmocka_unit_test(test_http_nobody_listens),
        cmocka_unit_test(test_other_protocols_are_not_spoken),
        cmocka_unit_test(test_no_proxy_of_the_environment),
        cmocka_unit_test(test_promql),
        cmocka_unit_test(test_promql_not_measurable),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_that_do_not_resolve_are_not_measurable),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
