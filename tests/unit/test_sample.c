/* libraries: sq_common */
#include "common/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Fixed for good: a plan of today must pick the same hosts with the squall of tomorrow. */
static void test_ranks_never_change(void **state)
{
    (void)state;
    assert_int_equal(sq_sample_rank(0, ""), sq_sample_rank(0, ""));
    assert_true(sq_sample_rank(7, "web1") == UINT64_C(13076831429779716228));
    assert_true(sq_sample_rank(0, "") == UINT64_C(12591593934349417548));
    assert_true(sq_sample_rank(UINT64_MAX, "812:99124") == UINT64_C(15590521321437684344));
}

static void test_ranks_depend_on_both(void **state)
{
    (void)state;
    assert_true(sq_sample_rank(1, "web1") != sq_sample_rank(2, "web1"));
    assert_true(sq_sample_rank(1, "web1") != sq_sample_rank(1, "web2"));
    assert_true(sq_sample_rank(1, "web1") != sq_sample_rank(1, "web11"));
}

/* Each of ten names is the smallest about as often as the others, and each position of the pair is
 * independent. */
static void test_fair(void **state)
{
    (void)state;
    size_t wins[10] = {0};
    for (uint64_t seed = 0; seed < 20000; seed++) {
        size_t best = 0;
        uint64_t best_rank = UINT64_MAX;
        for (size_t i = 0; i < 10; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "web%zu", i);
            uint64_t rank = sq_sample_rank(seed, name);
            if (rank < best_rank) {
                best = i;
                best_rank = rank;
            }
        }
        wins[best]++;
    }
    for (size_t i = 0; i < 10; i++)
        assert_in_range(wins[i], 1800, 2200); /* 2000 expected, standard deviation 42 */
}

/* Hundredths of per cent against exact integer arithmetic. */
static void test_share(void **state)
{
    (void)state;
    for (size_t candidates = 0; candidates <= 1200; candidates++) {
        for (size_t hundredths = 0; hundredths <= 10000; hundredths += candidates % 7 + 1) {
            size_t expected = hundredths * candidates / 10000;
            if (expected == 0 && hundredths > 0 && candidates > 0)
                expected = 1;
            size_t share = sq_sample_share((double)hundredths / 100, candidates);
            if (share != expected)
                fail_msg("%zu/100 %% of %zu: %zu, not %zu", hundredths, candidates, share, expected);
        }
    }
    for (size_t percent = 1; percent <= 100; percent++)
        for (size_t candidates = 100; candidates <= 10000000; candidates *= 10)
            assert_int_equal(sq_sample_share((double)percent, candidates), percent * candidates / 100);
}

static void test_share_at_the_edges(void **state)
{
    (void)state;
    assert_int_equal(sq_sample_share(50, 0), 0);
    assert_int_equal(sq_sample_share(0, 100), 0);
    assert_int_equal(sq_sample_share(-1, 100), 0);
    assert_int_equal(sq_sample_share(NAN, 100), 0);
    assert_int_equal(sq_sample_share(0.001, 3), 1);
    assert_int_equal(sq_sample_share(99.999, 3), 2);
    assert_int_equal(sq_sample_share(100, 3), 3);
    assert_int_equal(sq_sample_share(250, 3), 3);
    assert_int_equal(sq_sample_share(INFINITY, 3), 3);
    assert_int_equal(sq_sample_share(99.99999999999999, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_never_change),
        cmocka_unit_test(test_ranks_depend_on_both),
        cmocka_unit_test(test_fair),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_share_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
