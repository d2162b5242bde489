/* libraries: sq_commands sq_table sq_common */
#include "probes/prometheus.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VECTOR(values) "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" values "]}}"

static char note[SQ_NOTE_MAX];

static double value_of(const char *body)
{
    struct sq_error error = {0};
    double value = -1;
    if (sq_prometheus_read(200, body, strlen(body), &value, note, &error) != 0)
        fail_msg("%s: %s", body, error.text);
    return value;
}

static void expect_no_data(uint32_t status, const char *body, const char *reason)
{
    struct sq_error error = {0};
    double value = 42;
    assert_int_equal(sq_prometheus_read(status, body, strlen(body), &value, note, &error), -1);
    assert_int_equal(error.code, SQ_NO_DATA);
    assert_true(value == 42);
    if (strstr(error.text, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, reason);
}

static void test_one_value(void **state)
{
    (void)state;
    assert_true(value_of(VECTOR("{\"metric\":{},\"value\":[1700000000.1,\"0.995\"]}")) == 0.995);
    assert_true(
        value_of("{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"-3e2\"]}}") ==
        -300);
    assert_true(isinf(value_of(VECTOR("{\"metric\":{},\"value\":[1,\"+Inf\"]}"))));
    assert_true(value_of(VECTOR("{\"metric\":{},\"value\":[1,\"-Inf\"]}")) < 0);
}

static void test_not_one_value(void **state)
{
    (void)state;
    expect_no_data(200, VECTOR(""), "no data");
    expect_no_data(200, VECTOR("{\"metric\":{},\"value\":[1,\"NaN\"]}"), "NaN");
    expect_no_data(200,
                   VECTOR("{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},\"value\":[1,\"1\"]},"
                          "{\"metric\":{\"__name__\":\"up\",\"job\":\"b\"},\"value\":[1,\"1\"]},"
                          "{\"metric\":{\"__name__\":\"up\",\"job\":\"c\"},\"value\":[1,\"1\"]}"),
                   "3 series where one value is needed, among them up{job=\"a\"} and up{job=\"b\"}");
    expect_no_data(200, "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}",
                   "range");
    expect_no_data(200, "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1,\"x\"]}}",
                   "string");
    expect_no_data(200, VECTOR("{\"metric\":{},\"value\":[1,\"many\"]}"), "\"many\"");
    expect_no_data(200, VECTOR("{\"metric\":{},\"value\":[1,\"\"]}"), "pair");
    expect_no_data(200, VECTOR("{\"metric\":{},\"value\":[1]}"), "pair");
    expect_no_data(200, VECTOR("{\"metric\":{},\"histogram\":[1,{}]}"), "pair");
    expect_no_data(200, VECTOR("7"), "pair");
}

static void test_errors(void **state)
{
    (void)state;
    expect_no_data(
        400,
        "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": parse "
        "error\"}",
        "HTTP status 400, bad_data): invalid parameter \"query\": parse error");
    expect_no_data(503, "{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"query timed out\"}",
                   "timed out");
    expect_no_data(502, "<html>Bad Gateway</html>", "HTTP status 502");
    expect_no_data(200, "<html>nginx</html>", "is this a Prometheus");
    expect_no_data(200, "", "is this a Prometheus");
    expect_no_data(200, "{\"status\":\"success\"}", "no result");
    expect_no_data(200, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":{}}}",
                   "no result");
    expect_no_data(200, "[1,2]", "is this a Prometheus");
    expect_no_data(200, "{\"status\":7}", "is this a Prometheus");
    expect_no_data(
        200,
        "{\"status\":\"success\",\"warnings\":[\"one store is down\"],\"data\":{\"resultType\":\"scalar\","
        "\"result\":[1,\"1\"]}}",
        "incomplete: one store is down");
}

#define SCALAR "\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"1\"]}}"

/* Remarks on the query stand beside its value; what may be incomplete is no value. */
static void test_notes(void **state)
{
    (void)state;
    assert_true(value_of("{\"status\":\"success\",\"warnings\":[\"PromQL info: metric might not be a "
                         "counter\"],\"infos\":[\"PromQL info: input to histogram_quantile\\n\"]," SCALAR) ==
                1);
    assert_string_equal(note, "PromQL info: metric might not be a counter; PromQL info: input to "
                              "histogram_quantile?");
    expect_no_data(200,
                   "{\"status\":\"success\",\"warnings\":[\"PromQL info: x\",\"PromQL warning: encountered a "
                   "mix of histograms and floats\"]," SCALAR,
                   "incomplete: PromQL warning: encountered a mix");
    expect_no_data(200, "{\"status\":\"success\",\"warnings\":[7]," SCALAR, "incomplete");
    /* VictoriaMetrics */
    expect_no_data(200, "{\"status\":\"success\",\"isPartial\":true," SCALAR, "incomplete");
    assert_true(value_of("{\"status\":\"success\",\"isPartial\":false," SCALAR) == 1);
    assert_true(value_of("{\"status\":\"success\"," SCALAR) == 1);
    assert_string_equal(note, "");
}

static void test_targets(void **state)
{
    (void)state;
    static const char body[] =
        "{\"status\":\"success\",\"data\":{\"activeTargets\":[{\"scrapeInterval\":\"5s\"},"
        "{\"scrapeInterval\":\"1m30s\"},{\"scrapeInterval\":\"often\"},{},{\"scrapeInterval\":\"15s\"}]}}";
    static const char none[] = "{\"status\":\"success\",\"data\":{\"activeTargets\":[]}}";
    struct sq_error error = {0};
    uint64_t longest_ns = 0;
    char *url = NULL;
    assert_int_equal(sq_prometheus_read_targets(200, body, strlen(body), &longest_ns, &error), 0);
    assert_true(longest_ns == 90000000000);
    assert_int_equal(sq_prometheus_read_targets(200, none, strlen(none), &longest_ns, &error), -1);
    assert_int_equal(sq_prometheus_read_targets(404, "", 0, &longest_ns, &error), -1);
    assert_int_equal(error.code, SQ_NO_DATA);
    assert_int_equal(sq_prometheus_targets_url("http://m/prom/", &url, &error), 0);
    assert_string_equal(url, "http://m/prom/api/v1/targets?state=active");
    free(url);
}

static void test_hostile_answers(void **state)
{
    (void)state;
    char deep[20000];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    expect_no_data(200, deep, "is this a Prometheus");
    expect_no_data(400, "{\"status\":\"error\",\"error\":\"a\\u001b[2Jb\\nc\"}", "a?[2Jb?c");
}

static void expect_url(const char *base, const char *query, const char *expected)
{
    struct sq_error error = {0};
    char *url = NULL;
    if (sq_prometheus_query_url(base, query, 1500000000, &url, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(url, expected);
    free(url);
}

static void test_urls(void **state)
{
    (void)state;
    expect_url("http://127.0.0.1:9090", "up", "http://127.0.0.1:9090/api/v1/query?timeout=1500ms&query=up");
    expect_url("https://m.example/prom//", "a{b=\"c d\"}+1&x=%#\xc3\xa9",
               "https://m.example/prom/api/v1/"
               "query?timeout=1500ms&query=a%7Bb%3D%22c%20d%22%7D%2B1%26x%3D%25%23%C3%A9");
    const char *const bad[] = {"",           "127.0.0.1:9090", "ftp://x",
                               "http://",    "http:///x",      "file:///etc/passwd",
                               "http://a b", "http://a?x=1",   "http://a#f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sq_error error = {0};
        char *url = NULL;
        assert_int_equal(sq_prometheus_query_url(bad[i], "up", 1, &url, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_null(url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_value), cmocka_unit_test(test_not_one_value),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_urls),      cmocka_unit_test(test_notes),
        cmocka_unit_test(test_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
