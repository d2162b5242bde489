/* libraries: sq_model sq_common */
#include "model/expectation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S  SQ_NS_PER_SECOND
#define NO UINT64_MAX /* the agent does not tell */

static char why[300];

struct seen {
    enum sq_fault_state state;
    uint64_t signalled;
    uint64_t killed;
    uint64_t came_back;
    uint64_t after_ms;
    const uint64_t *running; /* NULL: the agent does not tell */
};

static enum sq_expectation judge(struct seen seen, uint64_t known_for_ns)
{
    static const char *const names[] = {"signalled", "killed", "came-back", "back-after-ms"};
    const uint64_t values[] = {seen.signalled, seen.killed, seen.came_back, seen.after_ms};
    struct sq_step step = {.came_back_within_ns = 10 * S};
    struct sq_fault_report report = {.state = seen.state};
    for (size_t i = 0; i < 4; i++) {
        if (values[i] == NO)
            continue;
        (void)snprintf(report.counters[report.counter_count].name, sizeof(report.counters[0].name), "%s",
                       names[i]);
        report.counters[report.counter_count++].value = values[i];
    }
    if (seen.running != NULL) {
        (void)strcpy(report.counters[report.counter_count].name, "matching-now");
        report.counters[report.counter_count++].value = *seen.running;
    }
    return sq_expect_judge(&step, &report, known_for_ns, why, sizeof(why));
}

static void test_nothing_expected(void **state)
{
    struct sq_step step = {0};
    struct sq_fault_report report = {0};
    (void)state;
    assert_int_equal(sq_expect_judge(&step, &report, 0, why, sizeof(why)), SQ_EXPECT_NOTHING);
}

static void test_comes_back(void **state)
{
    (void)state;
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 0, NO, NULL}, 3 * S), SQ_EXPECT_OPEN);
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 2, 2, 1, 500, NULL}, 3 * S), SQ_EXPECT_OPEN);
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 2, 2, 2, 3100, NULL}, 4 * S), SQ_EXPECT_MET);
    /* In time, though it was seen late. */
    assert_int_equal(judge((struct seen){SQ_STATE_REVERTED, 2, 2, 2, 10000, NULL}, 60 * S), SQ_EXPECT_MET);
    assert_string_equal(why, "");
}

static void test_does_not_come_back(void **state)
{
    (void)state;
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 0, NO, NULL}, 10 * S), SQ_EXPECT_OPEN);
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 0, NO, NULL}, 11 * S), SQ_EXPECT_MISSED);
    assert_string_equal(why, "did not come back within 10s: 0 of 1 that were killed did");
    assert_int_equal(judge((struct seen){SQ_STATE_REVERTED, 3, 3, 2, 100, NULL}, 10 * S), SQ_EXPECT_MISSED);
    assert_string_equal(why, "did not come back within 10s: 2 of 3 that were killed did");
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 1, 10500, NULL}, 10 * S), SQ_EXPECT_MISSED);
    assert_string_equal(why, "came back after 10.5s only, where 10s was expected");
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 2, 1, 1, 100, NULL}, 11 * S), SQ_EXPECT_MISSED);
    assert_string_equal(why, "did not come back within 10s: 1 of 2 still run in spite of the signal");
}

/* It starts, dies, is started again: each time it has come back. */
static void test_does_not_stay(void **state)
{
    static const uint64_t none = 0;
    static const uint64_t one = 1;
    static const uint64_t two = 2;
    (void)state;
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 1, 500, &none}, 5 * S), SQ_EXPECT_MET);
    assert_int_equal(judge((struct seen){SQ_STATE_REVERTED, 1, 1, 1, 500, &none}, 11 * S), SQ_EXPECT_MISSED);
    assert_string_equal(why, "came back within 10s and did not stay: 0 of 1 ran when last looked at");
    assert_int_equal(judge((struct seen){SQ_STATE_REVERTED, 2, 2, 2, 500, &one}, 11 * S), SQ_EXPECT_MISSED);
    assert_int_equal(judge((struct seen){SQ_STATE_REVERTED, 2, 2, 2, 500, &two}, 11 * S), SQ_EXPECT_MET);
    assert_string_equal(why, "");
}

static void test_nobody_knows(void **state)
{
    (void)state;
    /* Every victim was gone before. */
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 0, 0, 0, NO, NULL}, 11 * S), SQ_EXPECT_UNKNOWN);
    /* Ended from outside before its time. */
    assert_int_equal(judge((struct seen){SQ_STATE_REVERTED, 1, 1, 0, NO, NULL}, 4 * S), SQ_EXPECT_UNKNOWN);
    assert_non_null(strstr(why, "it was not watched that long"));
    /* An agent of before, which does not tell when: what was seen in time came in time. */
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 1, NO, NULL}, 9 * S), SQ_EXPECT_MET);
    assert_int_equal(judge((struct seen){SQ_STATE_INJECTED, 1, 1, 1, NO, NULL}, 11 * S), SQ_EXPECT_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_expected),   cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_does_not_come_back), cmocka_unit_test(test_does_not_stay),
        cmocka_unit_test(test_nobody_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
