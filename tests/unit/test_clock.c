/* libraries: sq_common */
#include "common/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_timestamp(uint64_t real_ns, const char *expected)
{
    char text[SQ_TIMESTAMP_MAX];
    sq_timestamp_format(real_ns, text);
    assert_string_equal(text, expected);
}

static void test_timestamps(void **state)
{
    (void)state;
    assert_int_equal(setenv("TZ", "Asia/Kolkata", 1), 0);
    tzset();
    expect_timestamp(0, "1970-01-01T00:00:00.000Z");
    expect_timestamp(UINT64_C(1795142867123999999), "2026-11-20T02:47:47.123Z");
    expect_timestamp(UINT64_C(951782399999999999), "2000-02-28T23:59:59.999Z");
    expect_timestamp(UINT64_C(951782400000000000), "2000-02-29T00:00:00.000Z");
    expect_timestamp(UINT64_MAX, "2554-07-21T23:34:33.709Z");
}

static void test_timestamps_back(void **state)
{
    (void)state;
    uint64_t real_ns = 0;
    char text[SQ_TIMESTAMP_MAX];
    assert_true(sq_timestamp_parse("2026-11-20T02:31:07.123Z", &real_ns));
    sq_timestamp_format(real_ns, text);
    assert_string_equal(text, "2026-11-20T02:31:07.123Z");
    assert_true(sq_timestamp_parse("1970-01-01T00:00:01Z", &real_ns));
    assert_int_equal(real_ns, SQ_NS_PER_SECOND);
    assert_true(sq_timestamp_parse("1970-01-01T00:00:00.0000000019Z", &real_ns));
    assert_int_equal(real_ns, 1);
    static const char *const wrong[] = {"",
                                        "2026-11-20",
                                        "2026-11-20T02:31:07",
                                        "2026-11-20T02:31:07+01:00",
                                        "9999-11-20T02:31:07Z",
                                        "1969-12-31T23:59:59Z",
                                        "2026-11-20T02:31:07ZZ"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(sq_timestamp_parse(wrong[i], &real_ns));
}

static void test_saturating(void **state)
{
    (void)state;
    assert_true(sq_ns_add(1, 2) == 3);
    assert_true(sq_ns_add(UINT64_MAX, 1) == UINT64_MAX);
    assert_true(sq_ns_add(UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    assert_true(sq_ns_add(UINT64_MAX - 1, 1) == UINT64_MAX);
    assert_true(sq_ns_sub(3, 2) == 1);
    assert_true(sq_ns_sub(2, 3) == 0);
    assert_true(sq_ns_sub(0, UINT64_MAX) == 0);
}

static void test_clocks_go_on(void **state)
{
    (void)state;
    uint64_t boot = sq_boot_ns();
    uint64_t real = sq_real_ns();
    struct timespec pause = {.tv_nsec = 2000000};
    (void)nanosleep(&pause, NULL);
    assert_true(sq_boot_ns() >= boot + 2000000);
    assert_true(real > UINT64_C(1600000000) * SQ_NS_PER_SECOND);
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &now), 0);
    uint64_t expected = (uint64_t)now.tv_sec * SQ_NS_PER_SECOND + (uint64_t)now.tv_nsec;
    assert_true(sq_boot_ns() - expected < 10 * SQ_NS_PER_SECOND);
}

static void test_timer(void **state)
{
    (void)state;
    int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    assert_true(timer >= 0);
    struct pollfd polled = {.fd = timer, .events = POLLIN};
    uint64_t at_ns = sq_boot_ns() + 20 * SQ_NS_PER_MILLISECOND;
    assert_int_equal(sq_timer_arm(timer, at_ns), 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
    assert_int_equal(poll(&polled, 1, 5000), 1);
    assert_true(sq_boot_ns() >= at_ns);
    assert_int_equal(sq_timer_arm(timer, sq_boot_ns() + 5 * SQ_NS_PER_MILLISECOND), 0);
    assert_int_equal(sq_timer_arm(timer, 0), 0);
    assert_int_equal(poll(&polled, 1, 30), 0);
    assert_int_equal(sq_timer_arm(timer, UINT64_MAX), 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
    assert_int_equal(sq_timer_arm(timer, 1), 0);
    assert_int_equal(poll(&polled, 1, 1000), 1);
    (void)close(timer);
    assert_int_equal(sq_timer_arm(-1, 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_timestamps_back),
        cmocka_unit_test(test_saturating), cmocka_unit_test(test_clocks_go_on),
        cmocka_unit_test(test_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
