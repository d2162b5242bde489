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

static void expect_written(const char *tolerance_text, double value, const char *expected)
{
    struct sq_tolerance tolerance;
    char text[SQ_NUMBER_TEXT_MAX];
    assert_int_equal(sq_tolerance_parse(tolerance_text, &tolerance, NULL), 0);
    sq_tolerance_value_format(&tolerance, value, text);
    assert_string_equal(text, expected);
}

/* "0.9 where >= 0.9 is tolerated" would help nobody. */
static void test_a_value_is_written_so_that_the_verdict_is_seen(void **state)
{
    (void)state;
    expect_written(">= 0.9", 0.9, "0.9");
    expect_written(">= 0.9", 0.9 - 1e-16, "0.8999999999999999");
    expect_written(">= 0.9", 0.89999999, "0.89999999");
    expect_written(">= 0.9", 2.0 / 3, "0.666667");
    expect_written("<= 0.3", 0.1 + 0.2, "0.30000000000000004");
    expect_written("== 1", 0.9999999, "0.9999999");
    expect_written("!= 0", 0, "0");
    expect_written("0.9..1", 1.00000001, "1.00000001");
    expect_written(">= 1", -INFINITY, "-inf");
    expect_written(">= 1", NAN, "nan");
    expect_written("< 2000000", 1999999.5, "1999999.5");
}

static void test_margin(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double worse;
        double better;
    } cases[] = {{">= 0.9", 0.91, 0.95}, {"> 0.9", 0.8, 0.85}, {"< 5", 4.9, 1},
                 {"<= 5", 7, 6},         {"== 3", 3.5, 3.2},   {"!= 0", 0, 0.1},
                 {"1..5", 4.9, 3},       {"1..5", 0, 0.5},     {"1..5", 9, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sq_tolerance tolerance;
        assert_int_equal(sq_tolerance_parse(cases[i].text, &tolerance, NULL), 0);
        if (sq_tolerance_margin(&tolerance, cases[i].worse) >=
            sq_tolerance_margin(&tolerance, cases[i].better))
            fail_msg("'%s': %g is not worse than %g", cases[i].text, cases[i].worse, cases[i].better);
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
        cmocka_unit_test(test_a_value_is_written_so_that_the_verdict_is_seen),
        cmocka_unit_test(test_margin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
