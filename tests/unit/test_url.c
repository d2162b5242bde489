/* libraries: sq_commands */
#include "model/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_agent_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *url;
    } cases[] = {
        {"tls+tcp://10.77.0.11:7433", "tls+tcp://10.77.0.11:7433"},
        {"tls+tcp://10.77.0.11", "tls+tcp://10.77.0.11:7433"},
        {"TLS+TCP://Web1.Example", "tls+tcp://web1.example:7433"},
        {"tls+tcp://web1:07433/", "tls+tcp://web1:7433"},
        {"tls+tcp://[2001:db8::1]:7433", "tls+tcp://[2001:db8::1]:7433"},
        {"tls+tcp://[2001:0DB8:0:0::0001]", "tls+tcp://[2001:db8::1]:7433"},
        {"ipc:///run/squall/agent.sock", "ipc:///run/squall/agent.sock"},
        {"ipc:////run//squall/agent.sock", "ipc:///run/squall/agent.sock"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[SQ_AGENT_URL_MAX] = "";
        struct sq_error error = {0};
        if (sq_agent_url_parse(cases[i].text, url, &error) != 0)
            fail_msg("%s: %s", cases[i].text, error.text);
        assert_string_equal(url, cases[i].url);
    }
}

static void test_agent_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"tcp://10.0.0.1:7433", "by mutual TLS or a Unix socket only"},
        {"tcp://127.0.0.1:7433", "by mutual TLS or a Unix socket only"},
        {"ws://10.0.0.1/", "by mutual TLS or a Unix socket only"},
        {"http://10.0.0.1/", "is not an agent's URL"},
        {"10.0.0.1:7433", "is not an agent's URL"},
        {"", "is not an agent's URL"},
        {"tls+tcp://", "no valid host"},
        {"tls+tcp://:7433", "no valid host"},
        {"tls+tcp://10.0.0.256:7433", "no valid host"},
        {"tls+tcp://[2001:db8::1", "no valid host"},
        {"tls+tcp://[10.0.0.1]:7433", "no valid host"},
        {"tls+tcp://2001:db8::1", "no valid host"},
        {"tls+tcp://fe80::1", "an IPv6 address in []"},
        {"tls+tcp://a/b:7433", "no valid host"},
        {"tls+tcp://*:7433", "no valid host"},
        {"tls+tcp://web1:0", "no valid port"},
        {"tls+tcp://web1:65536", "no valid port"},
        {"tls+tcp://web1:", "no valid port"},
        {"tls+tcp://web1:74x", "no valid port"},
        {"tls+tcp://web 1", "a space or a control character"},
        {"ipc://relative.sock", "no absolute path"},
        {"ipc:///", "no absolute path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[SQ_AGENT_URL_MAX];
        struct sq_error error = {0};
        if (sq_agent_url_parse(cases[i].text, url, &error) == 0)
            fail_msg("'%s' was accepted as %s", cases[i].text, url);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        if (strstr(error.text, cases[i].message) == NULL)
            fail_msg("'%s': %s", cases[i].text, error.text);
    }
}

static void test_agent_lengths(void **state)
{
    (void)state;
    char text[400] = "tls+tcp://";
    memset(text + strlen(text), 'a', 300);
    char url[SQ_AGENT_URL_MAX];
    assert_int_equal(sq_agent_url_parse(text, url, NULL), -1);
    strcpy(text, "ipc:///");
    memset(text + strlen(text), 'a', 106);
    text[6 + 107] = '\0';
    assert_int_equal(sq_agent_url_parse(text, url, NULL), 0);
    strcat(text, "a");
    assert_int_equal(sq_agent_url_parse(text, url, NULL), -1);
}

static void test_http(void **state)
{
    (void)state;
    static const char *const good[] = {"http://127.0.0.1:9090", "https://shop.example/a?b=c#d",
                                       "http://[::1]:80/",      "http://user:pw@host/",
                                       "HTTP://host",           "http://host?q=1"};
    static const char *const bad[] = {"",
                                      "host",
                                      "ftp://host",
                                      "http://",
                                      "http:///path",
                                      "http://ho st/",
                                      "http://host:0/",
                                      "http://host:65536/",
                                      "http://host:80x/",
                                      "http://[::1",
                                      "http://10.0.0.999/",
                                      "file:///etc/passwd",
                                      "http://host/\n"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(sq_http_url_check(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (sq_http_url_check(bad[i], NULL) == 0)
            fail_msg("'%s' was accepted", bad[i]);
}

static void test_refusals_tell_no_secret(void **state)
{
    (void)state;
    struct sq_error error;
    assert_int_equal(sq_http_url_check("htp://user:hidden@host", &error), -1);
    assert_null(strstr(error.text, "hidden"));
    assert_int_equal(sq_http_url_check("http://user:hid/den@host", &error), -1);
    assert_null(strstr(error.text, "den"));
}

static void test_shown(void **state)
{
    (void)state;
    char text[25];
    sq_url_show("http://shop.example/page", text, sizeof(text));
    assert_string_equal(text, "http://shop.example/page");
    sq_url_show("http://shop.example/pages", text, 24);
    assert_string_equal(text, "http://shop.example/...");
    /* No part of a password is left where a cut takes the '@' away. */
    sq_url_show("http://ann:a-password-of-some-length@shop.example/", text, 24);
    assert_string_equal(text, "http://ann:***@shop....");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agent_canonical),         cmocka_unit_test(test_agent_refused),
        cmocka_unit_test(test_agent_lengths),           cmocka_unit_test(test_http),
        cmocka_unit_test(test_refusals_tell_no_secret), cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
