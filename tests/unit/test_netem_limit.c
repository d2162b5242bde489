/* libraries: sq_kernel */
/* How many packets a delaying queue may hold: enough for the delay, never more than the memory bears. */
#include "kernel/netem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS  UINT64_C(1000000)
#define GIB (UINT64_C(1) << 30)

static void test_enough_for_the_delay(void **state)
{
    (void)state;
    assert_int_equal(sq_netem_limit(0, 64 * GIB), 1000);
    assert_int_equal(sq_netem_limit(1 * MS, 64 * GIB), 2000);
    assert_int_equal(sq_netem_limit(10 * MS, 64 * GIB), 11000);
    assert_int_equal(sq_netem_limit(73 * MS, 64 * GIB), 74000);
}

static void test_bounded_by_memory(void **state)
{
    (void)state;
    assert_int_equal(sq_netem_limit(250 * MS, 64 * GIB), 131072);
    assert_int_equal(sq_netem_limit(250 * MS, 8 * GIB), 16384);
    assert_int_equal(sq_netem_limit(250 * MS, 1 * GIB), 2048);
    assert_int_equal(sq_netem_limit(10000 * MS, 1 * GIB), 2048);
}

static void test_extremes(void **state)
{
    (void)state;
    assert_int_equal(sq_netem_limit(250 * MS, 0), 1000); /* the memory cannot be told */
    assert_int_equal(sq_netem_limit(UINT64_MAX, 64 * GIB), 131072);
    assert_int_equal(sq_netem_limit(UINT64_MAX, UINT64_MAX), 120001000);
    assert_true(sq_netem_memory_bytes() > 16 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enough_for_the_delay),
        cmocka_unit_test(test_bounded_by_memory),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
