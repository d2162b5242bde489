/* libraries: sq_screen sq_common */
#include "screen/curve.h"
#include "screen/local_time.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define POINT SQ_CURVE_POINT_NS
#define NOW   (1000 * POINT)

static struct sq_curve curve;
static struct sq_curve_cell cells[SQ_CURVE_COLUMNS];

/* The last `count` characters. */
static const char *drawn(bool utf8, size_t count)
{
    static char text[SQ_CURVE_COLUMNS * 4 + 1];
    text[0] = '\0';
    sq_curve_draw(&curve, NOW, utf8, cells);
    for (size_t i = SQ_CURVE_COLUMNS - count; i < SQ_CURVE_COLUMNS; i++)
        (void)strcat(text, cells[i].text);
    return text;
}

static int set_up(void **state)
{
    (void)state;
    memset(&curve, 0, sizeof(curve));
    return 0;
}

static void test_empty(void **state)
{
    (void)state;
    assert_string_equal(drawn(false, SQ_CURVE_COLUMNS), "               ");
    assert_string_equal(drawn(true, 2), "\xe2\xa0\x80\xe2\xa0\x80");
}

/* In tolerance is above, out of it below; the farthest fills its half. */
static void test_levels(void **state)
{
    (void)state;
    sq_curve_add(&curve, NOW - 3 * POINT, 0.01, false);
    sq_curve_add(&curve, NOW - 2 * POINT, -0.59, true);
    sq_curve_add(&curve, NOW - POINT, -0.1, true);
    sq_curve_add(&curve, NOW, 0.5, false);
    assert_string_equal(drawn(false, 2), "_.");
    assert_true(cells[SQ_CURVE_COLUMNS - 2].missed && cells[SQ_CURVE_COLUMNS - 1].missed);
    assert_false(cells[SQ_CURVE_COLUMNS - 3].missed);
    /* Three dots and one; two dots and four. */
    assert_string_equal(drawn(true, 2), "\xe2\xa3\x86\xe2\xa3\xbc");
}

static void test_gaps_and_misses_without_a_number(void **state)
{
    (void)state;
    sq_curve_add(&curve, NOW - 3 * POINT, NAN, true);
    sq_curve_add(&curve, NOW - 2 * POINT, NAN, true);
    /* A wrong status, though fast. */
    sq_curve_add(&curve, NOW - POINT, 0.4, true);
    sq_curve_add(&curve, NOW, 0.4, false);
    assert_string_equal(drawn(false, 2), " _");
    assert_true(cells[SQ_CURVE_COLUMNS - 2].missed);
    sq_curve_add(&curve, NOW, INFINITY, false);
    assert_string_equal(drawn(false, 1), "_");
}

static void test_the_worst_of_a_point_and_only_a_minute(void **state)
{
    (void)state;
    sq_curve_add(&curve, NOW, 1, false);
    sq_curve_add(&curve, NOW + 1, -1, true);
    sq_curve_add(&curve, NOW + 2, 1, false);
    assert_string_equal(drawn(false, 1), "_");
    sq_curve_add(&curve, NOW - SQ_CURVE_POINTS * POINT, 1, false); /* too old: changes nothing */
    assert_string_equal(drawn(false, 1), "_");
    sq_curve_draw(&curve, NOW + SQ_CURVE_POINTS * POINT, false, cells);
    for (size_t i = 0; i < SQ_CURVE_COLUMNS; i++)
        assert_string_equal(cells[i].text, " ");
}

static void test_local_time(void **state)
{
    char text[2 * SQ_LOCAL_TIME_MAX];
    uint64_t real_ns = 1795748625123000000; /* 2026-11-27T03:03:45.123Z */
    (void)state;
    assert_int_equal(setenv("TZ", "CET-1CEST", 1), 0);
    sq_local_time_format(real_ns, text);
    assert_string_equal(text, "04:03:45.123");
    sq_local_time_format_short(real_ns, text);
    assert_string_equal(text, "04:03:45");
    sq_local_zone_format(real_ns, text);
    assert_string_equal(text, "2026-11-27, CET (UTC+01:00)");
    assert_int_equal(setenv("TZ", "NST3:30", 1), 0);
    sq_local_zone_format(real_ns, text);
    assert_string_equal(text, "2026-11-26, NST (UTC-03:30)");
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    sq_local_zone_format(real_ns, text);
    assert_string_equal(text, "2026-11-27, UTC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, set_up),
        cmocka_unit_test_setup(test_levels, set_up),
        cmocka_unit_test_setup(test_gaps_and_misses_without_a_number, set_up),
        cmocka_unit_test_setup(test_the_worst_of_a_point_and_only_a_minute, set_up),
        cmocka_unit_test(test_local_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
