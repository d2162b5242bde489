/* libraries: sq_json sq_common */
#include "common/secret.h"

#include "common/error.h"
#include "json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_hidden(void **state)
{
    (void)state;
    char text[80] = "one hunter22, another hunter22!";
    struct sq_error error;
    assert_false(sq_secret_is_in(text));
    assert_int_equal(sq_secret_remember("hunter22 and what follows", 8, &error), 0);
    assert_int_equal(sq_secret_remember("hunter22", 8, &error), 0);
    assert_true(sq_secret_is_in(text));
    sq_secret_hide(text, sizeof text);
    assert_string_equal(text, "one ***, another ***!");
    /* Too short to be told from words. */
    assert_int_equal(sq_secret_remember("one", 3, &error), 0);
    sq_secret_hide(text, sizeof text);
    assert_string_equal(text, "one ***, another ***!");
}

static void test_errors_and_json(void **state)
{
    (void)state;
    struct sq_error error;
    assert_int_equal(sq_secret_remember("tell-nobody", 11, &error), 0);
    (void)sq_fail(&error, SQ_BAD_INPUT, "no such user: %s", "tell-nobody");
    assert_string_equal(error.text, "no such user: ***");
    (void)sq_fail_in(&error, "at %s", "tell-nobody");
    assert_string_equal(error.text, "at ***: no such user: ***");
    json_t *value = sq_json_text("it is tell-nobody, \xff");
    assert_string_equal(json_string_value(value), "it is ***, ?");
    json_decref(value);
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"http://user:pw@host:80/a?b=c", "http://user:***@host:80/a?b=c"},
        {"https://sk_live_1234@host/", "https://***@host/"},
        {"https://sk_live_1234:@host/", "https://***@host/"},
        {"http://user:p@ss@host/", "http://user:***@host/"},
        {"http://host/a@b", "http://host/a@b"},
        {"http://host/?token=abc&x=1&api_key=z#f", "http://host/?token=***&x=1&api_key=***#f"},
        {"http://host/?a=1&access_token=", "http://host/?a=1&access_token="},
        {"first http://a:b@c then 'https://d:e@f/?key=1' end",
         "first http://a:***@c then 'https://d:***@f/?key=***' end"},
        {"rate(http_requests_total{code=\"200\"}[1m]) > 0",
         "rate(http_requests_total{code=\"200\"}[1m]) > 0"},
        {"tls+tcp://host:7433 ipc:///run/x", "tls+tcp://host:7433 ipc:///run/x"},
        {"://", "://"},
        {"", ""},
        /* What was hidden before stays as it is, with the sentence that follows. */
        {"asked http://h/?token=***: refused", "asked http://h/?token=***: refused"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[120];
        (void)strcpy(text, cases[i][0]);
        sq_secret_hide(text, sizeof text);
        assert_string_equal(text, cases[i][1]);
    }
    /* In the smallest room it is cut, not overrun. */
    for (size_t size = 17; size < 24; size++) {
        char small[32] = "http://u:p@h/abc";
        memset(small + size, '!', sizeof small - size);
        sq_secret_hide(small, size);
        assert_true(strlen(small) < size);
        assert_int_equal(small[size], '!');
        assert_memory_equal(small, "http://u:***@h/a", 16);
    }
}

/* Whoever is asked may repeat what he was sent. */
static void test_basic(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"bob", "s3cr@t", "Ym9iOnMzY3JAdA=="},
                                           {"bo", "s3cr@t", "Ym86czNjckB0"},
                                           {"eve", "s3cr@", "ZXZlOnMzY3JA"},
                                           {"longtokenasuser", "", "bG9uZ3Rva2VuYXN1c2VyOg=="}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[120];
        assert_int_equal(sq_secret_remember_basic(cases[i][0], cases[i][1], NULL), 0);
        (void)snprintf(text, sizeof text, "not allowed: Basic %s, %s", cases[i][2], cases[i][1]);
        sq_secret_hide(text, sizeof text);
        assert_string_equal(text, cases[i][1][0] != '\0' ? "not allowed: Basic ***, ***"
                                                         : "not allowed: Basic ***, ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls), cmocka_unit_test(test_hidden),
                                       cmocka_unit_test(test_basic), cmocka_unit_test(test_errors_and_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
