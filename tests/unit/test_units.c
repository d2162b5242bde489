/* libraries: sq_common */
#include "common/units.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static void expect_duration(const char *text, uint64_t expected_ns)
{
    uint64_t duration_ns = 42;
    struct sq_error error;
    if (sq_duration_parse(text, &duration_ns, &error) != 0)
        fail_msg("'%s': %s", text, error.text);
    assert_int_equal(duration_ns, expected_ns);
}

static void refuse_duration(const char *text, const char *part)
{
    uint64_t duration_ns = 42;
    struct sq_error error = {0};
    if (sq_duration_parse(text, &duration_ns, &error) != -1)
        fail_msg("'%s' was read as %" PRIu64 " ns", text, duration_ns);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    assert_int_equal(duration_ns, 42);
}

static void test_duration_parse(void **state)
{
    (void)state;
    expect_duration("0s", 0);
    expect_duration("1ns", 1);
    expect_duration("1us", 1000);
    expect_duration("500ms", 500000000);
    expect_duration("30s", 30 * SECOND);
    expect_duration("1m30s", 90 * SECOND);
    expect_duration("1h", 3600 * SECOND);
    expect_duration("1d2h3m4s5ms6us7ns", ((86400 + 7200 + 180 + 4) * SECOND) + 5006007);
    expect_duration("1.5s", 1500000000);
    expect_duration("0.1m", 6 * SECOND);
    expect_duration("0.001us", 1);
    expect_duration("1.000000001s", SECOND + 1);
    expect_duration("1.50000000000000000000000000s", 1500000000);
    expect_duration("0.3d", 25920 * SECOND);
    expect_duration("007s", 7 * SECOND);
    expect_duration("18446744073709551615ns", UINT64_MAX);
    expect_duration("18446744073.709551615s", UINT64_MAX);
}

static void test_duration_refuses(void **state)
{
    (void)state;
    static const char *const malformed[] = {"",      " ",     "30",   "s",      "-1s",  "+1s",   "1 s",
                                            " 1s",   "1s ",   "1S",   "1sec",   "1s1s", "1s1m",  "1.s",
                                            ".5s",   "1..5s", "1e3s", "1.5.5s", "inf",  "0x10s", "1,5s",
                                            "30s\n", "1h 5m", "1ss",  "∞s",     "1µs",  "0"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        refuse_duration(malformed[i], "is not a duration; expected a number with a unit");
    refuse_duration("18446744073709551616ns", "too long");
    refuse_duration("99999999999999999999s", "too long");
    refuse_duration("18446744073.709551616s", "too long");
    refuse_duration("18446744074s", "too long");
    refuse_duration("213504d", "too long");
    refuse_duration("213503d23h34m33s709ms551us616ns", "too long");
    refuse_duration("0.5ns", "not a whole number of nanoseconds");
    refuse_duration("1.0000000001s", "not a whole number of nanoseconds");
    refuse_duration("1.0000000000000000001s", "not a whole number of nanoseconds");
}

static void check_round_trip(uint64_t duration_ns)
{
    char text[SQ_UNIT_TEXT_MAX];
    uint64_t again;
    sq_duration_format(duration_ns, text);
    if (sq_duration_parse(text, &again, NULL) != 0 || again != duration_ns)
        fail_msg("%" PRIu64 " ns is written as '%s'", duration_ns, text);
}

static void test_duration_format(void **state)
{
    (void)state;
    char text[SQ_UNIT_TEXT_MAX];
    sq_duration_format(0, text);
    assert_string_equal(text, "0s");
    sq_duration_format(90 * SECOND, text);
    assert_string_equal(text, "1m30s");
    sq_duration_format(86400 * SECOND, text);
    assert_string_equal(text, "1d");
    sq_duration_format(1500000000, text);
    assert_string_equal(text, "1s500ms");
    sq_duration_format(UINT64_MAX, text);
    assert_string_equal(text, "213503d23h34m33s709ms551us615ns");

    for (unsigned bit = 0; bit < 64; bit++)
        for (int offset = -2; offset <= 2; offset++)
            check_round_trip((UINT64_C(1) << bit) + (uint64_t)offset);
    uint64_t random = 88172645463325252;
    for (int i = 0; i < 200000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        check_round_trip(random >> (random & 63));
    }
}

static void expect_rounded(uint64_t duration_ns, const char *expected)
{
    char text[SQ_UNIT_TEXT_MAX];
    sq_duration_format_rounded(duration_ns, text);
    assert_string_equal(text, expected);
}

static void test_duration_rounded(void **state)
{
    (void)state;
    expect_rounded(0, "0ns");
    expect_rounded(999, "999ns");
    expect_rounded(1000, "1.00us");
    expect_rounded(9870000000, "9.87s");
    expect_rounded(143000000, "143ms");
    expect_rounded(9999000000, "10.0s");
    expect_rounded(99990000000, "100s");
    expect_rounded(999900000, "1.00s");
    expect_rounded(999400000, "999ms");
    expect_rounded(999400000000, "999s");
    expect_rounded(999600000000, "16m40s");
    expect_rounded(1000 * SECOND, "16m40s");
    expect_rounded(UINT64_MAX, "307445734m34s");
}

static void expect_size(const char *text, uint64_t expected)
{
    uint64_t size;
    struct sq_error error;
    if (sq_size_parse(text, &size, &error) != 0)
        fail_msg("'%s': %s", text, error.text);
    assert_int_equal(size, expected);
}

static void test_size(void **state)
{
    (void)state;
    expect_size("0B", 0);
    expect_size("1kB", 1000);
    expect_size("64MiB", UINT64_C(64) << 20);
    expect_size("1.5KiB", 1536);
    expect_size("0.5GB", 500000000);
    expect_size("16777215TiB", UINT64_C(16777215) << 40);
    expect_size("18446744073709551615B", UINT64_MAX);
    static const char *const wrong[] = {"",
                                        "1",
                                        "B",
                                        "1KB",
                                        "1kb",
                                        "1 kB",
                                        "-1B",
                                        "1.3KiB",
                                        "0.5B",
                                        "16777216TiB",
                                        "18446744073709551616B",
                                        "1PiB",
                                        "1B1B",
                                        "1e3B"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t size = 42;
        struct sq_error error = {0};
        assert_int_equal(sq_size_parse(wrong[i], &size, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_int_equal(size, 42);
    }
    char text[SQ_UNIT_TEXT_MAX];
    sq_size_format(0, text);
    assert_string_equal(text, "0B");
    sq_size_format(UINT64_C(3) << 30, text);
    assert_string_equal(text, "3GiB");
    sq_size_format(1000, text);
    assert_string_equal(text, "1000B");
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int offset = -1; offset <= 1; offset++) {
            uint64_t size = (UINT64_C(1) << bit) + (uint64_t)offset;
            sq_size_format(size, text);
            expect_size(text, size);
        }
    }
}

static void test_percent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } right[] = {{"0%", 0},     {"50%", 50},         {"100%", 100},
                 {"0.1%", 0.1}, {"99.999%", 99.999}, {"100.000%", 100}};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        double percent = -1;
        assert_int_equal(sq_percent_parse(right[i].text, &percent, NULL), 0);
        assert_true(percent == right[i].value);
    }
    static const char *const wrong[] = {"",
                                        "50",
                                        "%",
                                        "-1%",
                                        "101%",
                                        "100.1%",
                                        "nan%",
                                        "inf%",
                                        "1e1%",
                                        "50 %",
                                        "50%%",
                                        "+5%",
                                        ".5%",
                                        "5.%",
                                        "0x5%",
                                        "1,5%",
                                        "0000000000000000000000000000001%"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        double percent = -1;
        struct sq_error error = {0};
        assert_int_equal(sq_percent_parse(wrong[i], &percent, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_true(percent == -1);
    }
}

static void test_percent_format(void **state)
{
    (void)state;
    static const double values[] = {
        0, 50, 100, 0.1, 12.5, 33.333333333333336, 66.66666666666667, 1e-7, 1e-4, 0.01, 99.99999999999999};
    char text[SQ_UNIT_TEXT_MAX];
    sq_percent_format(50, text);
    assert_string_equal(text, "50%");
    sq_percent_format(0.1, text);
    assert_string_equal(text, "0.1%");
    sq_percent_format(1e-7, text);
    assert_string_equal(text, "0.0000001%");
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double again = -1;
        sq_percent_format(values[i], text);
        assert_int_equal(sq_percent_parse(text, &again, NULL), 0);
        assert_true(again == values[i]);
    }
    sq_percent_format(NAN, text);
    sq_percent_format(1e300, text);
    assert_true(strlen(text) < sizeof text);
}

static void test_count(void **state)
{
    (void)state;
    uint64_t count = 42;
    assert_int_equal(sq_count_parse("0", 10, &count, NULL), 0);
    assert_int_equal(count, 0);
    assert_int_equal(sq_count_parse("10", 10, &count, NULL), 0);
    assert_int_equal(count, 10);
    assert_int_equal(sq_count_parse("18446744073709551615", UINT64_MAX, &count, NULL), 0);
    assert_true(count == UINT64_MAX);
    static const char *const wrong[] = {
        "", "-1", "+1", " 1", "1 ", "1.0", "0x1", "one", "18446744073709551616", "11"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sq_error error = {0};
        count = 42;
        assert_int_equal(sq_count_parse(wrong[i], 10, &count, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_int_equal(count, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_parse),
        cmocka_unit_test(test_duration_refuses),
        cmocka_unit_test(test_duration_format),
        cmocka_unit_test(test_duration_rounded),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_percent_format),
        cmocka_unit_test(test_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
