/* libraries: sq_commands */
#include "model/tolerance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_holds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
        bool holds;
    } cases[] = {
        {">= 0.99", 0.99, true},    {">= 0.99", 0.98999, false}, {">0", 0, false},
        {">0", 1e-300, true},       {"<= 3", 3, true},           {"<= 3", 3.01, false},
        {"< 0.2", 0.2, false},      {"<0.2", -5, true},          {"== 1", 1, true},
        {"== 1", 1.0000001, false}, {"!= 0", 0, false},          {"!= 0", -1, true},
        {"0.9..1", 0.9, true},      {"0.9..1", 1, true},         {"0.9..1", 1.1, false},
        {"0.9..1", 0.89, false},    {" -1 .. 1e3 ", 1000, true}, {"> -2.5e-1", -0.2, true},
        {"< 1", -INFINITY, true},   {"0..1", INFINITY, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sq_tolerance tolerance;
        assert_int_equal(sq_tolerance_parse(cases[i].text, &tolerance, NULL), 0);
        if (sq_tolerance_holds(&tolerance, cases[i].value) != cases[i].holds)
            fail_msg("'%s' with %g is not %d", cases[i].text, cases[i].value, cases[i].holds);
    }
}

static void test_nan_never_holds(void **state)
{
    (void)state;
    static const char *const texts[] = {">= 0", "> 0", "< 0", "<= 0", "== 0", "!= 0", "0..1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sq_tolerance tolerance;
        assert_int_equal(sq_tolerance_parse(texts[i], &tolerance, NULL), 0);
        assert_false(sq_tolerance_holds(&tolerance, NAN));
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",         ">=",      ">= nan", ">= inf",  ">= 0x10", ">= 1 2",  "=> 1",   "1",
        "= 1",      "1...2",   "..",     "1..",     "..1",     "2..1",    ">= 1.",  ">= .5",
        ">= 1e999", ">= 1..2", "== 99%", "about 1", ">= 1e",   "1..2..3", ">= --1", ">= 1-1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sq_tolerance tolerance;
        struct sq_error error = {0};
        if (sq_tolerance_parse(texts[i], &tolerance, &error) == 0)
            fail_msg("'%s' was accepted", texts[i]);
        assert_int_equal(error.code, SQ_BAD_INPUT);
    }
}

static void test_suggestion(void **state)
{
    (void)state;
    struct sq_tolerance tolerance;
    struct sq_error error;
    assert_int_equal(sq_tolerance_parse("200", &tolerance, &error), -1);
    assert_non_null(strstr(error.text, "did you mean '== 200'?"));
    assert_int_equal(sq_tolerance_parse("= 1", &tolerance, &error), -1);
    assert_non_null(strstr(error.text, "did you mean '== 1'?"));
}

static void test_format_reads_back(void **state)
{
    (void)state;
    static const char *const texts[] = {">= 0.99", "< 0.2", "== 1", "!= 0", "0.9..1", "> -1e-07", "<= 0.1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sq_tolerance tolerance;
        char text[SQ_TOLERANCE_TEXT_MAX];
        assert_int_equal(sq_tolerance_parse(texts[i], &tolerance, NULL), 0);
        sq_tolerance_format(&tolerance, text);
        assert_string_equal(text, texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_nan_never_holds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_suggestion),
        cmocka_unit_test(test_format_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
