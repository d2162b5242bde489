/* libraries: sq_commands sq_table sq_common */
#include "model/hypothesis.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S  SQ_NS_PER_SECOND
#define MS SQ_NS_PER_MILLISECOND
#define T0 (1000 * S)

enum sample { GOOD, BAD, NONE };

static struct sq_hypothesis hypothesis;
static struct sq_watch watch;

static void set_up(uint32_t probes)
{
    static struct sq_probe room[2];
    memset(&hypothesis, 0, sizeof(hypothesis));
    memset(room, 0, sizeof(room));
    hypothesis.probes = room;
    hypothesis.probe_count = probes;
    for (uint32_t i = 0; i < probes; i++) {
        (void)strcpy(hypothesis.probes[i].name, i == 0 ? "first" : "second");
        hypothesis.probes[i].every_ns = S;
        hypothesis.probes[i].abort_after_misses = 3;
    }
    hypothesis.recover_within_ns = 30 * S;
    sq_watch_free(&watch);
    assert_int_equal(sq_watch_init(&watch, &hypothesis, NULL), 0);
}

static struct sq_measurement sample(uint32_t probe, uint64_t at_boot_ns, enum sample what)
{
    struct sq_measurement measurement = {
        .probe = probe,
        .started_boot_ns = at_boot_ns,
        .ended_boot_ns = at_boot_ns + 10 * MS,
        .measured = what != NONE,
        .within = what == GOOD,
        .has_value = what != NONE,
    };
    (void)strcpy(measurement.reason, what == GOOD  ? ""
                                     : what == BAD ? "0.5 where >= 1 is tolerated"
                                                   : "no data");
    return measurement;
}

static enum sq_verdict take(uint32_t probe, uint64_t at_boot_ns, enum sample what)
{
    struct sq_measurement measurement = sample(probe, at_boot_ns, what);
    return sq_watch_take(&watch, &measurement);
}

/* Everything that is due up to `until` is measured at once; returns how many of `probe`. */
static uint32_t measure_until(uint64_t from_boot_ns, uint64_t until_boot_ns, uint32_t probe,
                              enum sq_verdict *verdict)
{
    uint32_t count = 0;
    uint32_t due;
    for (uint64_t now_boot_ns = from_boot_ns; now_boot_ns <= until_boot_ns; now_boot_ns += 10 * MS)
        while (sq_watch_due(&watch, now_boot_ns, &due)) {
            count += due == probe;
            *verdict = take(due, now_boot_ns, GOOD);
        }
    return count;
}

static void test_before_needs_one_measurement_of_each(void **state)
{
    (void)state;
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    assert_int_equal(take(0, T0, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(1, T0, GOOD), SQ_VERDICT_HOLDS);
}

static void test_before_holds_for_its_time(void **state)
{
    (void)state;
    enum sq_verdict verdict = SQ_VERDICT_OPEN;
    set_up(1);
    hypothesis.hold_before_ns = 2500 * MS;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    assert_int_equal(measure_until(T0, T0 + 2490 * MS, 0, &verdict), 3);
    assert_int_equal(verdict, SQ_VERDICT_OPEN);
    assert_int_equal(measure_until(T0 + 2500 * MS, T0 + 2500 * MS, 0, &verdict), 1);
    assert_int_equal(verdict, SQ_VERDICT_HOLDS);
}

static void test_before_measures_the_end_of_a_slow_probe(void **state)
{
    (void)state;
    enum sq_verdict verdict = SQ_VERDICT_OPEN;
    set_up(1);
    hypothesis.hold_before_ns = 5 * S;
    hypothesis.probes[0].every_ns = 60 * S;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    assert_int_equal(measure_until(T0, T0 + 5 * S, 0, &verdict), 2);
    assert_int_equal(verdict, SQ_VERDICT_HOLDS);
}

static void test_before_one_miss_ends_it(void **state)
{
    (void)state;
    char text[300];
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    (void)take(0, T0, GOOD);
    assert_int_equal(take(1, T0, BAD), SQ_VERDICT_BROKEN);
    sq_watch_explain(&watch, text, sizeof(text));
    assert_non_null(strstr(text, "\"second\" is out of tolerance before anything was injected: 0.5 where"));
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0 + S);
    assert_int_equal(take(0, T0 + S, NONE), SQ_VERDICT_UNMEASURABLE);
    sq_watch_explain(&watch, text, sizeof(text));
    assert_non_null(strstr(text, "\"first\" could not be measured before anything was injected: no data"));
}

static void test_during_counts_misses_in_a_row(void **state)
{
    (void)state;
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0);
    assert_int_equal(take(0, T0, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + S, BAD), SQ_VERDICT_OPEN);
    /* Another probe's misses are its own. */
    assert_int_equal(take(1, T0 + S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 2 * S, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 3 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 4 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(1, T0 + 4 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 5 * S, BAD), SQ_VERDICT_BROKEN);
    assert_int_equal(watch.deciding, 0);
    assert_true(watch.probes[0].first_missed_boot_ns == T0 + 3 * S);
    assert_true(watch.probes[0].last_missed_boot_ns == T0 + 5 * S);
    /* What was decided stays decided. */
    assert_int_equal(take(0, T0 + 6 * S, GOOD), SQ_VERDICT_BROKEN);
}

static enum sq_verdict three(enum sample a, enum sample b, enum sample c)
{
    set_up(1);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0);
    (void)take(0, T0, a);
    (void)take(0, T0 + S, b);
    return take(0, T0 + 2 * S, c);
}

static void test_during_the_last_miss_decides(void **state)
{
    (void)state;
    assert_int_equal(three(BAD, BAD, BAD), SQ_VERDICT_BROKEN);
    assert_int_equal(three(NONE, NONE, NONE), SQ_VERDICT_UNMEASURABLE);
    assert_int_equal(three(NONE, NONE, BAD), SQ_VERDICT_BROKEN);
    assert_int_equal(three(BAD, BAD, NONE), SQ_VERDICT_UNMEASURABLE);
    assert_int_equal(three(BAD, NONE, GOOD), SQ_VERDICT_OPEN);
}

static void test_during_one_miss_can_be_enough(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].abort_after_misses = 1;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0);
    assert_int_equal(take(0, T0, BAD), SQ_VERDICT_BROKEN);
}

static void test_stragglers_do_not_count(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].abort_after_misses = 1;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0);
    assert_int_equal(take(0, T0 - 1, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(watch.probes[0].misses, 0);
    /* A straggler that comes after a newer value does not hide it. */
    assert_int_equal(take(0, T0 + 1, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 - 1, BAD), SQ_VERDICT_OPEN);
    assert_true(watch.probes[0].last.within);
}

static void test_every_probe_has_its_own_clock(void **state)
{
    (void)state;
    enum sq_verdict verdict = SQ_VERDICT_OPEN;
    uint32_t due;
    set_up(2);
    hypothesis.probes[0].every_ns = 200 * MS;
    hypothesis.probes[1].every_ns = 700 * MS;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0);
    assert_int_equal(measure_until(T0, T0 + 2 * S, 0, &verdict), 11);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0 + 10 * S);
    hypothesis.recover_within_ns = 100 * S;
    assert_int_equal(measure_until(T0 + 10 * S, T0 + 12 * S, 1, &verdict), 3);
    /* One that hangs does not hold up the other. */
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0 + 20 * S);
    assert_true(sq_watch_due(&watch, T0 + 20 * S, &due));
    uint32_t hanging = due;
    assert_true(sq_watch_due(&watch, T0 + 20 * S, &due));
    assert_true(due != hanging);
    (void)take(due, T0 + 20 * S, GOOD);
    assert_true(sq_watch_due(&watch, T0 + 21 * S, &due));
    assert_true(due != hanging);
    assert_false(sq_watch_due(&watch, T0 + 21 * S, &due));
}

static void test_a_late_loop_starts_a_new_beat(void **state)
{
    (void)state;
    uint32_t due;
    set_up(1);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_DURING, T0);
    assert_true(sq_watch_due(&watch, T0, &due));
    (void)take(0, T0, GOOD);
    assert_true(sq_watch_next_boot_ns(&watch) == T0 + S);
    assert_true(sq_watch_due(&watch, T0 + 5500 * MS, &due));
    (void)take(0, T0 + 5500 * MS, GOOD);
    assert_true(sq_watch_next_boot_ns(&watch) == T0 + 6500 * MS);
}

static void test_after_needs_all_at_once(void **state)
{
    (void)state;
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    assert_int_equal(take(0, T0, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(1, T0, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(1, T0 + S, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 2 * S, GOOD), SQ_VERDICT_HOLDS);
}

static void test_after_has_a_deadline(void **state)
{
    (void)state;
    char text[300];
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    (void)take(0, T0, NONE);
    (void)take(1, T0, BAD);
    assert_int_equal(sq_watch_check(&watch, T0 + 30 * S - 1), SQ_VERDICT_OPEN);
    assert_int_equal(sq_watch_check(&watch, T0 + 30 * S), SQ_VERDICT_BROKEN);
    assert_int_equal(watch.deciding, 1);
    sq_watch_explain(&watch, text, sizeof(text));
    assert_non_null(strstr(text, "\"second\" did not hold again within 30s after the rollback: 0.5 where"));
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    (void)take(1, T0, GOOD);
    assert_true(sq_watch_next_boot_ns(&watch) <= T0 + 30 * S);
    assert_int_equal(sq_watch_check(&watch, T0 + 30 * S), SQ_VERDICT_UNMEASURABLE);
    assert_int_equal(watch.deciding, 0);
    sq_watch_explain(&watch, text, sizeof(text));
    assert_non_null(strstr(text, "no measurement was finished"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_needs_one_measurement_of_each),
        cmocka_unit_test(test_before_holds_for_its_time),
        cmocka_unit_test(test_before_measures_the_end_of_a_slow_probe),
        cmocka_unit_test(test_before_one_miss_ends_it),
        cmocka_unit_test(test_during_counts_misses_in_a_row),
        cmocka_unit_test(test_during_the_last_miss_decides),
        cmocka_unit_test(test_during_one_miss_can_be_enough),
        cmocka_unit_test(test_stragglers_do_not_count),
        cmocka_unit_test(test_every_probe_has_its_own_clock),
        cmocka_unit_test(test_a_late_loop_starts_a_new_beat),
        cmocka_unit_test(test_after_needs_all_at_once),
        cmocka_unit_test(test_after_has_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
