/* libraries: sq_table sq_common */
#include "table/params.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_names_and_numbers(void **state)
{
    (void)state;
    uint32_t number = 0;
    assert_int_equal(sq_signal_parse("KILL", &number, NULL), 0);
    assert_int_equal(number, SIGKILL);
    assert_int_equal(sq_signal_parse("SIGTERM", &number, NULL), 0);
    assert_int_equal(number, SIGTERM);
    assert_int_equal(sq_signal_parse("1", &number, NULL), 0);
    assert_int_equal(number, SIGHUP);
    size_t allowed = 0;
    for (uint32_t i = 0; i < 200; i++) {
        if (!sq_signal_is_allowed(i)) {
            assert_string_equal(sq_signal_name(i), "none");
            continue;
        }
        allowed++;
        char text[32];
        (void)snprintf(text, sizeof text, "SIG%s", sq_signal_name(i));
        assert_int_equal(sq_signal_parse(text, &number, NULL), 0);
        assert_int_equal(number, i);
        (void)snprintf(text, sizeof text, "%u", i);
        assert_int_equal(sq_signal_parse(text, &number, NULL), 0);
        assert_int_equal(number, i);
    }
    assert_int_equal(allowed, 14);
}

/* A stopped process has nobody who is sure to resume it. */
static void test_never_the_stopping_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t number;
    } stopping[] = {
        {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU}, {"CONT", SIGCONT}};
    for (size_t i = 0; i < sizeof stopping / sizeof stopping[0]; i++) {
        uint32_t number = 42;
        char text[32];
        assert_false(sq_signal_is_allowed(stopping[i].number));
        assert_int_equal(sq_signal_parse(stopping[i].name, &number, NULL), -1);
        (void)snprintf(text, sizeof text, "SIG%s", stopping[i].name);
        assert_int_equal(sq_signal_parse(text, &number, NULL), -1);
        (void)snprintf(text, sizeof text, "%u", stopping[i].number);
        assert_int_equal(sq_signal_parse(text, &number, NULL), -1);
        assert_int_equal(number, 42);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",    "0",    "-9",  "kill",  "SIG",  "SIGSIGKILL",           " KILL", "KILL ", "65",
        "128", "SIG9", "9.0", "RTMIN", "none", "99999999999999999999", "EXIT"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint32_t number = 42;
        struct sq_error error = {0};
        if (sq_signal_parse(wrong[i], &number, &error) != -1)
            fail_msg("'%s' was accepted", wrong[i]);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_non_null(strstr(error.text, "expected one of KILL, TERM, INT"));
        assert_int_equal(number, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_numbers),
        cmocka_unit_test(test_never_the_stopping_ones),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
