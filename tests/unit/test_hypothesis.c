/* libraries: sq_commands sq_table sq_common */
/* The hypothesis before and after, and how often a probe is measured. */
#include "played_services.h"

/* --- before --- */

static void test_before_needs_one_measurement_of_each(void **state)
{
    (void)state;
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    assert_int_equal(take(0, T0, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(1, T0, GOOD), SQ_VERDICT_HOLDS);
}

static uint32_t before(uint64_t hold_ns, uint64_t every_ns)
{
    set_up(1);
    play_anew();
    hypothesis.hold_before_ns = hold_ns;
    hypothesis.probes[0].every_ns = every_ns;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    uint64_t held_boot_ns = play(T0, T0 + 100 * S, always_good, SQ_HYPOTHESIS_BEFORE);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_BEFORE], SQ_VERDICT_HOLDS);
    assert_true(held_boot_ns == T0 + hold_ns + 10 * MS);
    assert_int_equal(watch.probes[0].before.evidence, measured[0]);
    return measured[0];
}

static void test_before_holds_for_its_time_and_is_measured_at_its_end(void **state)
{
    (void)state;
    assert_int_equal(before(2500 * MS, S), 4);
    assert_int_equal(before(5 * S, 60 * S), 2);
    assert_int_equal(before(0, S), 1);
}

/* Nobody looked (SIGSTOP): what was seen before that is not held on to. */
static void test_before_holds_anew_where_nobody_looked(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.hold_before_ns = 5 * S;
    play_anew();
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    (void)play(T0, T0 + 1500 * MS, always_good, SQ_HYPOTHESIS_BEFORE);
    assert_true(play(T0 + 9 * S, T0 + 30 * S, always_good, SQ_HYPOTHESIS_BEFORE) == T0 + 14010 * MS);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_BEFORE], SQ_VERDICT_HOLDS);
}

static void test_before_one_miss_ends_it(void **state)
{
    (void)state;
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0);
    (void)take(0, T0, GOOD);
    assert_int_equal(take(1, T0, BAD), SQ_VERDICT_BROKEN);
    expect_explained(SQ_HYPOTHESIS_BEFORE,
                     "\"second\" is out of tolerance before anything was injected: 0.5 where");
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0 + S);
    /* What began earlier is a value to show, and nothing else. */
    assert_int_equal(take(0, T0, NONE), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + S, NONE), SQ_VERDICT_UNMEASURABLE);
    expect_explained(SQ_HYPOTHESIS_BEFORE,
                     "\"first\" could not be measured before anything was injected: no data");
}

/* --- rhythm --- */

static void test_every_probe_has_its_own_clock(void **state)
{
    (void)state;
    uint32_t due;
    set_up(2);
    hypothesis.probes[0].every_ns = 200 * MS;
    hypothesis.probes[0].timeout_ns = 200 * MS;
    hypothesis.probes[1].every_ns = 700 * MS;
    hypothesis.probes[1].timeout_ns = 700 * MS;
    assert_int_equal(during(2100 * MS, always_good), SQ_VERDICT_HOLDS);
    assert_int_equal(measured[0], 11);
    assert_int_equal(measured[1], 3);
    /* One that hangs does not hold up the other. */
    begin_step(60 * S);
    assert_true(sq_watch_due(&watch, T0, &due));
    uint32_t hanging = due;
    assert_true(sq_watch_due(&watch, T0, &due));
    assert_true(due != hanging);
    (void)take(due, T0, GOOD);
    assert_true(sq_watch_due(&watch, T0 + S, &due));
    assert_true(due != hanging);
    assert_false(sq_watch_due(&watch, T0 + S, &due));
}

static void test_a_late_loop_starts_a_new_beat(void **state)
{
    (void)state;
    uint32_t due;
    set_up(1);
    begin_step(60 * S);
    assert_true(sq_watch_due(&watch, T0, &due));
    (void)take(0, T0, GOOD);
    assert_true(sq_watch_next_boot_ns(&watch) == T0 + S);
    assert_true(sq_watch_due(&watch, T0 + 5500 * MS, &due));
    (void)take(0, T0 + 5500 * MS, GOOD);
    assert_true(sq_watch_next_boot_ns(&watch) == T0 + 6500 * MS);
}

static void test_how_often_a_step_is_measured(void **state)
{
    (void)state;
    struct sq_probe probe = {.every_ns = S, .timeout_ns = S, .settle_ns = 2 * S, .lag_ns = 3 * S};
    assert_int_equal(sq_probe_beats(&probe, 3 * S), 3);
    assert_int_equal(sq_probe_beats(&probe, S), 1);
    assert_int_equal(sq_probe_beats(&probe, 2500 * MS), 3);
    assert_true(sq_probe_evidence_ns(&probe) == 6 * S);
    probe.every_ns = 30 * S;
    assert_int_equal(sq_probe_beats(&probe, 8 * S), 2);
}

/* --- after --- */

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
    set_up(2);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    (void)take(0, T0, NONE);
    (void)take(1, T0, BAD);
    assert_int_equal(sq_watch_check(&watch, T0 + 30 * S - 1), SQ_VERDICT_OPEN);
    assert_int_equal(sq_watch_check(&watch, T0 + 30 * S), SQ_VERDICT_BROKEN);
    assert_int_equal(watch.deciding[SQ_HYPOTHESIS_AFTER], 1);
    expect_explained(SQ_HYPOTHESIS_AFTER,
                     "\"second\" did not hold again within 30s after the rollback: 0.5 where");
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    (void)take(1, T0, GOOD);
    assert_true(sq_watch_next_boot_ns(&watch) <= T0 + 30 * S);
    assert_int_equal(sq_watch_check(&watch, T0 + 30 * S), SQ_VERDICT_UNMEASURABLE);
    assert_int_equal(watch.deciding[SQ_HYPOTHESIS_AFTER], 0);
}

/* The issue's: a 30 s probe with the default of 30 s, of a service that needs 3 s to come back. */
static void test_after_is_measured_every_second(void **state)
{
    (void)state;
    const struct service comes_back[] = {{T0 + 3 * S, BAD, 10 * MS}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    play_anew();
    hypothesis.probes[0].every_ns = 30 * S;
    hypothesis.probes[0].timeout_ns = 10 * S;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    assert_true(play(T0, T0 + 60 * S, comes_back, SQ_HYPOTHESIS_AFTER) == T0 + 3 * S + 10 * MS);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_AFTER], SQ_VERDICT_HOLDS);
    assert_int_equal(measured[0], 4);
    /* One that hangs does not keep it from being seen. */
    const struct service hangs[] = {{T0 + 3 * S, BAD, 10 * S}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    play_anew();
    hypothesis.probes[0].every_ns = 30 * S;
    hypothesis.probes[0].timeout_ns = 10 * S;
    hypothesis.recover_within_ns = 5 * S;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    assert_true(play(T0, T0 + 60 * S, hangs, SQ_HYPOTHESIS_AFTER) == T0 + 3 * S + 10 * MS);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_AFTER], SQ_VERDICT_HOLDS);
}

/* What begins within recover-within is waited for, and nothing begins after it. */
static void test_after_waits_for_what_began_in_time(void **state)
{
    (void)state;
    const struct service slow[] = {{T0 + 1500 * MS, BAD, 10 * MS}, {UINT64_MAX, GOOD, 800 * MS}};
    const struct service too_late[] = {{T0 + 4 * S, BAD, S}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    play_anew();
    hypothesis.recover_within_ns = 2100 * MS;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    assert_true(play(T0, T0 + 60 * S, slow, SQ_HYPOTHESIS_AFTER) == T0 + 2800 * MS);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_AFTER], SQ_VERDICT_HOLDS);
    set_up(1);
    play_anew();
    hypothesis.recover_within_ns = 3500 * MS;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0);
    assert_true(play(T0, T0 + 60 * S, too_late, SQ_HYPOTHESIS_AFTER) == T0 + 4 * S);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_AFTER], SQ_VERDICT_BROKEN);
    assert_int_equal(measured[0], 4);
}

static void test_a_measurement_knows_its_phase(void **state)
{
    (void)state;
    set_up(1);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0 - S);
    begin_step(S);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0 + 2 * S);
    assert_int_equal(sq_watch_phase_at(&watch, T0 - 2 * S), SQ_HYPOTHESIS_BEFORE);
    assert_int_equal(sq_watch_phase_at(&watch, T0 - 1), SQ_HYPOTHESIS_BEFORE);
    assert_int_equal(sq_watch_phase_at(&watch, T0), SQ_HYPOTHESIS_DURING);
    assert_int_equal(sq_watch_phase_at(&watch, T0 + 2 * S), SQ_HYPOTHESIS_AFTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_needs_one_measurement_of_each),
        cmocka_unit_test(test_before_holds_for_its_time_and_is_measured_at_its_end),
        cmocka_unit_test(test_before_holds_anew_where_nobody_looked),
        cmocka_unit_test(test_before_one_miss_ends_it),
        cmocka_unit_test(test_every_probe_has_its_own_clock),
        cmocka_unit_test(test_a_late_loop_starts_a_new_beat),
        cmocka_unit_test(test_how_often_a_step_is_measured),
        cmocka_unit_test(test_after_needs_all_at_once),
        cmocka_unit_test(test_after_has_a_deadline),
        cmocka_unit_test(test_after_is_measured_every_second),
        cmocka_unit_test(test_after_waits_for_what_began_in_time),
        cmocka_unit_test(test_a_measurement_knows_its_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
