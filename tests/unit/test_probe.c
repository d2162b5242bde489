/* libraries: sq_commands sq_table sq_common */
/* Probes and the HTTP client below them, against a server of this test on the loopback address. */
#include "probes/table.h"

#include "common/clock.h"
#include "common/document.h"
#include "common/text.h"
#include "model/probe_form.h"
#include "model/tolerance.h"
#include "played_names.h"
#include "probes/credentials.h"
#include "probes/survey.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MS SQ_NS_PER_MILLISECOND

/* --- the server: what it does is asked for in the path --- */

static int server_fd;
static int port;
static pthread_t server;
static char last_request[8192];
static char away[200]; /* a redirect to the same server by another name */

#define ANSWER "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define JSON   ANSWER "Content-Type: application/json\r\n\r\n"

/* {"status":"success","infos":["PromQL info: metric might not be a
 * counter"],"data":{...,"result":[1,"0.75"]}} */
static const unsigned char gzipped[] = {
    72,  84,  84,  80,  47,  49,  46,  49,  32,  50,  48,  48,  32,  79,  75,  13,  10,  67,  111, 110,
    116, 101, 110, 116, 45,  69,  110, 99,  111, 100, 105, 110, 103, 58,  32,  103, 122, 105, 112, 13,
    10,  67,  111, 110, 116, 101, 110, 116, 45,  76,  101, 110, 103, 116, 104, 58,  32,  49,  50,  57,
    13,  10,  13,  10,  31,  139, 8,   0,   0,   0,   0,   0,   2,   3,   37,  204, 177, 10,  194, 48,
    16,  135, 241, 87,  57,  254, 115, 40,  58,  136, 144, 103, 112, 80,  112, 147, 14,  215, 244, 212,
    64,  147, 72,  238, 50,  72,  233, 187, 155, 226, 248, 125, 195, 111, 133, 26,  91,  83,  120, 104,
    11,  65,  84,  225, 16,  243, 179, 244, 243, 192, 181, 150, 116, 187, 208, 222, 158, 146, 88,  141,
    129, 82,  124, 189, 141, 114, 49,  154, 132, 152, 66,  105, 217, 164, 98,  116, 152, 217, 24,  126,
    69,  21,  109, 139, 221, 191, 31,  217, 213, 192, 11,  215, 142, 254, 111, 87,  143, 14,  135, 225,
    124, 194, 184, 109, 63,  107, 22,  101, 114, 126, 0,   0,   0};

static void send_huge(int fd)
{
    static const char block[65536] = "a page that goes on for long";
    static const char head[] = ANSWER "\r\n";
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
    if (strstr(request, " /seen/") != NULL)
        (void)strcpy(last_request, request);
    if (strstr(request, " /seen/moved") != NULL)
        answer = "HTTP/1.1 302 Found\r\nLocation: /seen/ok\r\nContent-Length: 0\r\n\r\n";
    if (strstr(request, " /seen/round") != NULL)
        answer = "HTTP/1.1 302 Found\r\nLocation: /seen/round\r\nContent-Length: 0\r\n\r\n";
    if (strstr(request, " /seen/away") != NULL)
        answer = away;
    if (strstr(request, " /seen/file") != NULL)
        answer = "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n";
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
    if (strstr(request, " /api/v1/targets?state=active") != NULL)
        answer = JSON "{\"status\":\"success\",\"data\":{\"activeTargets\":[{\"scrapeInterval\":\"20s\"}]}}";
    if (strstr(request, " /gzip/api") != NULL) {
        (void)strcpy(last_request, request);
        (void)send(fd, gzipped, sizeof(gzipped), MSG_NOSIGNAL);
        answer = "";
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
    /* Long where an answer comes, so that a busy machine is no miss. */
    uint64_t timeout_ns = strstr(path, "/hang") != NULL ? 200 * MS : 10 * SQ_NS_PER_SECOND;
    struct sq_probe probe = {.kind = SQ_PROBE_HTTP, .every_ns = timeout_ns, .timeout_ns = timeout_ns};
    (void)snprintf(probe.target, sizeof(probe.target), "http://127.0.0.1:%d%s", port, path);
    return probe;
}

static struct sq_measurement measure_by(const struct sq_probe *probe, const struct sq_prometheus *prometheus)
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

static struct sq_measurement measure(const struct sq_probe *probe, const char *prometheus_url)
{
    const struct sq_prometheus prometheus = {.url = prometheus_url};
    return measure_by(probe, prometheus_url != NULL ? &prometheus : NULL);
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
    /* Of a page of any length nothing is kept. */
    probe = http_probe("/huge");
    probe.timeout_ns = 5 * SQ_NS_PER_SECOND;
    assert_true(measure(&probe, NULL).within);
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
    struct sq_probe probe = {.kind = SQ_PROBE_PROMQL, .target = "a{b=\"c\"} > 1"};
    probe.every_ns = base != NULL && strstr(base, "/hang") != NULL ? 500 * MS : 10 * SQ_NS_PER_SECOND;
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
    /* An answer out of a cache would be of a time before. */
    assert_non_null(strstr(last_request, "Cache-Control: no-cache, no-store\r\n"));
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
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/huge", port);
    measurement = measure_query("> 0", base);
    expect_miss(&measurement, false, "larger than 1 MiB");
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
    struct sq_probe probe = http_probe(strcmp(name, "silent.example") == 0 ? "/hang" : "/");
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

static struct sq_access *access_of(const char *const lines[][2])
{
    struct sq_access *access = NULL;
    for (size_t i = 0; lines[i][0] != NULL; i++) {
        struct sq_document *document = NULL;
        struct sq_error error;
        if (sq_document_parse("here", lines[i][1], strlen(lines[i][1]), &document, &error) != 0 ||
            sq_access_read(lines[i][0], sq_document_root(document), &access, &error) != 0)
            fail_msg("%s", error.text);
        sq_document_free(document);
    }
    return access;
}

static void on_warning(void *cookie, const char *text)
{
    (void)sq_text_copy(cookie, 600, text);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_headers_and_basic(void **state)
{
    (void)state;
    char path[] = "/tmp/test_probe-XXXXXX";
    char yaml[120];
    char warning[600] = "";
    struct sq_error error;
    assert_true(close(mkstemp(path)) == 0);
    write_file(path, "open sesame\n", 0644);
    (void)snprintf(yaml, sizeof(yaml), "{user: ali, password: {file: %s}}", path);
    const char *const lines[][2] = {
        {"headers", "{X-Scope-OrgID: shop, X-Empty: ''}"}, {"basic", yaml}, {NULL, NULL}};
    struct sq_access *access = access_of(lines);
    assert_int_equal(sq_access_load(access, "probe \"p\"", on_warning, warning, &error), 0);
    assert_non_null(strstr(warning, "probe \"p\": everybody on this machine may read"));
    /* It was read once. */
    write_file(path, "changed\n", 0600);
    struct sq_probe probe = http_probe("/seen/ok");
    probe.access = access;
    assert_true(measure(&probe, NULL).within);
    assert_non_null(strstr(last_request, "X-Scope-OrgID: shop\r\n"));
    assert_non_null(strstr(last_request, "X-Empty:\r\n"));
    assert_non_null(strstr(last_request, "Authorization: Basic YWxpOm9wZW4gc2VzYW1l\r\n"));
    sq_access_free(access);
    (void)unlink(path);
}

static void test_bearer(void **state)
{
    (void)state;
    struct sq_error error;
    const char *const lines[][2] = {{"bearer", "{env: TEST_PROBE_TOKEN}"}, {NULL, NULL}};
    struct sq_access *access = access_of(lines);
    (void)unsetenv("TEST_PROBE_TOKEN");
    assert_int_equal(sq_access_load(access, "Prometheus", NULL, NULL, &error), -1);
    assert_string_equal(error.text, "Prometheus: the environment has no TEST_PROBE_TOKEN");
    assert_int_equal(error.code, SQ_BAD_INPUT);
    (void)setenv("TEST_PROBE_TOKEN", "two\nlines", 1);
    assert_int_equal(sq_access_load(access, "Prometheus", NULL, NULL, &error), -1);
    (void)setenv("TEST_PROBE_TOKEN", "t0ken-of-mine", 1);
    assert_int_equal(sq_access_load(access, "Prometheus", NULL, NULL, &error), 0);
    char base[64];
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d", port);
    const struct sq_prometheus prometheus = {.url = base, .access = access};
    struct sq_probe probe = {.kind = SQ_PROBE_PROMQL, .target = "up", .every_ns = 10 * SQ_NS_PER_SECOND};
    assert_int_equal(sq_tolerance_parse(">= 0.5", &probe.tolerance, &error), 0);
    assert_true(measure_by(&probe, &prometheus).within);
    assert_non_null(strstr(last_request, "Authorization: Bearer t0ken-of-mine\r\n"));
    sq_access_free(access);
}

/* A password in the URL is sent, and never told: not in a reason, whatever went wrong. */
static void test_password_in_the_url(void **state)
{
    (void)state;
    static const char *const paths[] = {"/missing", "/hang", "/close", "/noise", "/?token=hush-hush"};
    struct sq_probe probe = http_probe("/");
    (void)snprintf(probe.target, sizeof(probe.target), "http://ali:s3same-oil@127.0.0.1:%d/seen/ok", port);
    assert_true(measure(&probe, NULL).within);
    assert_non_null(strstr(last_request, "Authorization: Basic YWxpOnMzc2FtZS1vaWw=\r\n"));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        (void)snprintf(probe.target, sizeof(probe.target), "http://ali:s3same-oil@127.0.0.1:%d%s",
                       i < 4 ? port : 1, paths[i]);
        struct sq_measurement measurement = measure(&probe, NULL);
        assert_false(measurement.within);
        assert_null(strstr(measurement.reason, "s3same"));
        assert_null(strstr(measurement.reason, "hush"));
    }
    (void)snprintf(probe.target, sizeof(probe.target), "http://ali:s3same-oil@no-such-host.invalid/");
    assert_null(strstr(measure(&probe, NULL).reason, "s3same"));
}

static void test_redirects(void **state)
{
    (void)state;
    const char *const lines[][2] = {
        {"redirects", "3"}, {"headers", "{Authorization: Bearer abcdefgh}"}, {NULL, NULL}};
    struct sq_access *access = access_of(lines);
    struct sq_probe probe = http_probe("/seen/moved");
    struct sq_measurement measurement = measure(&probe, NULL);
    expect_miss(&measurement, true, "status 302 where 200 is tolerated");
    probe.access = access;
    measurement = measure(&probe, NULL);
    assert_true(measurement.within);
    assert_true(measurement.value == 200);
    assert_non_null(strstr(last_request, "GET /seen/ok "));
    assert_non_null(strstr(last_request, "Authorization: Bearer abcdefgh\r\n"));
    probe = http_probe("/seen/round");
    probe.access = access;
    measurement = measure(&probe, NULL);
    expect_miss(&measurement, true, "status 302 where 200 is tolerated");
    /* Another origin is not told who asks. */
    (void)snprintf(away, sizeof(away),
                   "HTTP/1.1 302 Found\r\nLocation: http://localhost:%d/seen/ok\r\nContent-Length: 0\r\n\r\n",
                   port);
    probe = http_probe("/seen/away");
    probe.access = access;
    probe.timeout_ns = 5 * SQ_NS_PER_SECOND;
    measurement = measure(&probe, NULL);
    assert_true(measurement.within);
    assert_non_null(strstr(last_request, "GET /seen/ok "));
    assert_non_null(strstr(last_request, "Host: localhost:"));
    assert_null(strstr(last_request, "Authorization"));
    probe = http_probe("/seen/file");
    probe.access = access;
    assert_false(measure(&probe, NULL).within);
    sq_access_free(access);
}

static void test_gzip_and_notes(void **state)
{
    (void)state;
    char base[64];
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/gzip", port);
    struct sq_measurement measurement = measure_query("== 0.75", base);
    assert_true(measurement.within);
    assert_string_equal(measurement.note, "PromQL info: metric might not be a counter");
    assert_non_null(strstr(last_request, "gzip"));
}

static void test_survey(void **state)
{
    (void)state;
    char base[64];
    struct sq_error error;
    struct sq_probe probes[3] = {http_probe("/ok"), http_probe("/missing"), http_probe("/")};
    struct sq_hypothesis hypothesis = {.probe_count = 3, .probes = probes};
    struct sq_survey survey = {0};
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d", port);
    const struct sq_prometheus prometheus = {.url = base};
    probes[2] = (struct sq_probe){.kind = SQ_PROBE_PROMQL, .target = "up", .every_ns = 10 * SQ_NS_PER_SECOND};
    (void)strcpy(probes[1].name, "page");
    (void)strcpy(probes[2].name, "rate");
    assert_int_equal(sq_tolerance_parse("== 0.5", &probes[2].tolerance, &error), 0);
    assert_int_equal(sq_survey_take(&hypothesis, &prometheus, -1, &survey, &error), 0);
    assert_int_equal(survey.count, 3);
    assert_true(survey.measurements[0].within && survey.measurements[2].within);
    assert_true(survey.lag_known && survey.lag_ns == 20 * SQ_NS_PER_SECOND);
    assert_int_equal(sq_survey_judge(&survey, &hypothesis, &error), -1);
    assert_int_equal(error.code, SQ_NOT_STEADY);
    assert_non_null(
        strstr(error.text, "probe \"page\" is out of tolerance before anything was injected: status 404"));
    sq_survey_close(&survey);
    /* What was measured as bad says more than what could not be. */
    (void)strcpy(probes[0].target, "http://no-such-host.invalid/");
    assert_int_equal(sq_survey_take(&hypothesis, &prometheus, -1, &survey, &error), 0);
    assert_int_equal(sq_survey_judge(&survey, &hypothesis, &error), -1);
    assert_int_equal(error.code, SQ_NOT_STEADY);
    assert_non_null(strstr(error.text, "(and 1 more)"));
    sq_survey_close(&survey);
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%d/empty", port);
    probes[0] = probes[2];
    hypothesis.probe_count = 1;
    assert_int_equal(sq_survey_take(&hypothesis, &prometheus, -1, &survey, &error), 0);
    assert_int_equal(sq_survey_judge(&survey, &hypothesis, &error), -1);
    assert_int_equal(error.code, SQ_NO_DATA);
    assert_true(!survey.lag_known && survey.lag_ns == SQ_LAG_DEFAULT_NS);
    sq_survey_close(&survey);
    /* An interruption ends it at once. */
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    probes[0] = http_probe("/hang");
    probes[0].timeout_ns = 60 * SQ_NS_PER_SECOND;
    assert_int_equal(sq_survey_take(&hypothesis, &prometheus, pipes[0], &survey, &error), -1);
    assert_int_equal(error.code, SQ_ABORTED);
    sq_survey_close(&survey);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
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
        cmocka_unit_test(test_headers_and_basic),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_password_in_the_url),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_gzip_and_notes),
        cmocka_unit_test(test_survey),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
