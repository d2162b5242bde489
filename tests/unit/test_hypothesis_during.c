/* libraries: sq_commands sq_table sq_common */
/* The hypothesis while faults are in: rows, allowances, evidence. */
#include "played_services.h"

static const struct service always_bad[] = {{UINT64_MAX, BAD, 10 * MS}};
static const struct service never_there[] = {{UINT64_MAX, NONE, 10 * MS}};

/* --- during: rows --- */

static void test_during_counts_misses_in_a_row(void **state)
{
    (void)state;
    set_up(2);
    begin_step(60 * S);
    assert_int_equal(take(0, T0, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + S, BAD), SQ_VERDICT_OPEN);
    /* Another probe's misses are its own. */
    assert_int_equal(take(1, T0 + S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 2 * S, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 3 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 4 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(1, T0 + 4 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 5 * S, BAD), SQ_VERDICT_BROKEN);
    assert_int_equal(watch.deciding[SQ_HYPOTHESIS_DURING], 0);
    assert_true(watch.deciding_boot_ns[SQ_HYPOTHESIS_DURING] == T0 + 5 * S + 10 * MS);
    assert_true(watch.probes[0].rows[SQ_HYPOTHESIS_DURING].first_boot_ns == T0 + 3 * S);
    assert_true(watch.probes[0].rows[SQ_HYPOTHESIS_DURING].last.started_boot_ns == T0 + 5 * S);
    expect_explained(SQ_HYPOTHESIS_DURING, "\"first\" missed 3 times in a row");
    /* What was decided stays decided. */
    assert_int_equal(take(0, T0 + 6 * S, GOOD), SQ_VERDICT_BROKEN);
}

static enum sq_verdict three(enum sample a, enum sample b, enum sample c)
{
    set_up(1);
    begin_step(60 * S);
    (void)take(0, T0, a);
    (void)take(0, T0 + S, b);
    return take(0, T0 + 2 * S, c);
}

static void test_during_one_measured_miss_of_the_row_makes_it_a_deviation(void **state)
{
    (void)state;
    assert_int_equal(three(BAD, BAD, BAD), SQ_VERDICT_BROKEN);
    assert_int_equal(three(NONE, NONE, NONE), SQ_VERDICT_UNMEASURABLE);
    assert_int_equal(three(NONE, NONE, BAD), SQ_VERDICT_BROKEN);
    assert_int_equal(three(BAD, NONE, NONE), SQ_VERDICT_BROKEN);
    assert_int_equal(three(BAD, NONE, GOOD), SQ_VERDICT_OPEN);
}

static void test_during_one_miss_can_be_enough(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].abort_after_misses = 1;
    begin_step(60 * S);
    assert_int_equal(take(0, T0, BAD), SQ_VERDICT_BROKEN);
}

/* --- during: the allowance --- */

static void test_the_allowance(void **state)
{
    (void)state;
    struct sq_probe probe = {.abort_after_misses = 3};
    /* The larger of a tenth and two, and never more than a third. */
    assert_int_equal(sq_probe_allowed(&probe, 1), 0);
    assert_int_equal(sq_probe_allowed(&probe, 3), 1);
    assert_int_equal(sq_probe_allowed(&probe, 5), 1);
    assert_int_equal(sq_probe_allowed(&probe, 6), 2);
    assert_int_equal(sq_probe_allowed(&probe, 29), 2);
    assert_int_equal(sq_probe_allowed(&probe, 30), 3);
    assert_int_equal(sq_probe_allowed(&probe, 600), 60);
    probe.abort_after_misses = 100;
    assert_int_equal(sq_probe_allowed(&probe, 7), 2);
    assert_int_equal(sq_probe_allowed(&probe, 600), 99);
    probe.abort_after_misses = 1;
    assert_int_equal(sq_probe_allowed(&probe, 9), 0);
    probe.max_misses = (struct sq_allowance){.given = true, .count = 4};
    assert_int_equal(sq_probe_allowed(&probe, 5), 4);
    probe.max_misses = (struct sq_allowance){.given = true, .is_percent = true, .percent = 50};
    assert_int_equal(sq_probe_allowed(&probe, 7), 3);
    probe.max_misses.percent = 0;
    assert_int_equal(sq_probe_allowed(&probe, 1000), 0);
}

/* The issue's: 7 misses of 7 under `abort-after-misses: 100`. */
static void test_a_row_that_never_comes_saves_nobody(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].abort_after_misses = 100;
    assert_int_equal(during(7 * S, always_bad), SQ_VERDICT_BROKEN);
    /* Two of seven may miss: the third ends it. */
    assert_int_equal(measured[0], 3);
    expect_explained(SQ_HYPOTHESIS_DURING,
                     "\"first\" missed 3 times in \"cut\", where 2 of 7 may miss, the last because it is out "
                     "of tolerance: 0.5 where");
    assert_int_equal(during(7 * S, never_there), SQ_VERDICT_UNMEASURABLE);
}

/* Good and bad in turn: no row ever comes, and yet it did not hold. */
static void test_every_other_one_is_too_many(void **state)
{
    (void)state;
    set_up(1);
    struct service turns[31];
    for (uint32_t i = 0; i < 30; i++)
        turns[i] = (struct service){T0 + i * S + 500 * MS, i % 2 == 0 ? GOOD : BAD, 10 * MS};
    turns[30] = always_good[0];
    assert_int_equal(during(30 * S, turns), SQ_VERDICT_BROKEN);
    assert_int_equal(watch.tallies[0].misses, 4);
    set_up(1);
    hypothesis.probes[0].max_misses = (struct sq_allowance){.given = true, .is_percent = true, .percent = 50};
    assert_int_equal(during(30 * S, turns), SQ_VERDICT_HOLDS);
    assert_int_equal(watch.tallies[0].misses, 15);
    assert_int_equal(watch.tallies[0].measured, 30);
}

/* Nobody began the measurements that were due (SIGSTOP): they miss, at the end of the step and within it. */
static void test_what_nobody_measured_is_a_miss(void **state)
{
    (void)state;
    set_up(1);
    play_anew();
    begin_step(8 * S);
    (void)play(T0, T0 + 1500 * MS, always_good, SQ_HYPOTHESIS_DURING);
    (void)play(T0 + 9 * S, T0 + 10 * S, always_good, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_UNMEASURABLE);
    expect_explained(SQ_HYPOTHESIS_DURING, "it could not be measured: nobody measured then");
    play_anew();
    begin_step(20 * S);
    (void)play(T0, T0 + 5500 * MS, always_good, SQ_HYPOTHESIS_DURING);
    (void)play(T0 + 12 * S, T0 + 30 * S, always_good, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_UNMEASURABLE);
    /* Little enough, and what is behind time by less than a beat, may be missed. */
    play_anew();
    begin_step(20 * S);
    (void)play(T0, T0 + 5500 * MS, always_good, SQ_HYPOTHESIS_DURING);
    (void)play(T0 + 7900 * MS, T0 + 30 * S, always_good, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_HOLDS);
    assert_int_equal(watch.tallies[0].misses, 1);
    /* After a rollback began nothing is due. */
    play_anew();
    begin_step(20 * S);
    (void)play(T0, T0 + 5500 * MS, always_good, SQ_HYPOTHESIS_DURING);
    sq_watch_stop(&watch, T0 + 5500 * MS);
    (void)sq_watch_check(&watch, T0 + 15 * S);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_OPEN);
    assert_int_equal(watch.tallies[0].misses, 0);
}

/* A miss that took all of its time-out is answered just when the next beat is due: that one comes, and
 * counts. */
static void test_what_is_due_now_is_still_to_come(void **state)
{
    (void)state;
    const enum sample what[] = {GOOD, BAD, GOOD, BAD, GOOD};
    struct sq_measurement under_way = {0};
    uint32_t due;
    set_up(1);
    begin_step(6 * S);
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t now_boot_ns = T0 + i * S + (i == 0 ? 0 : MS);
        under_way.ended_boot_ns = now_boot_ns;
        if (i > 0)
            (void)sq_watch_take(&watch, &under_way);
        /* Of six, two may miss. */
        assert_int_equal(sq_watch_check(&watch, now_boot_ns), SQ_VERDICT_OPEN);
        while (sq_watch_due(&watch, now_boot_ns, &due))
            under_way = sample(due, now_boot_ns, what[i < 5 ? i : 0]);
    }
    (void)sq_watch_take(&watch, &under_way);
    (void)sq_watch_check(&watch, T0 + 7 * S);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_HOLDS);
    assert_int_equal(watch.tallies[0].measured, 6);
    assert_int_equal(watch.tallies[0].misses, 2);
}

/* A long quiet step does not thin out a short bad one. */
static void test_steps_are_judged_one_by_one(void **state)
{
    (void)state;
    const struct sq_span spans[] = {{"quiet", T0, T0 + 100 * S, 0}, {"bad", T0 + 100 * S, T0 + 106 * S, 0}};
    const struct service service[] = {{T0 + 101500 * MS, GOOD, 10 * MS},
                                      {T0 + 102500 * MS, BAD, 10 * MS},
                                      {T0 + 103500 * MS, GOOD, 10 * MS},
                                      {T0 + 105500 * MS, BAD, 10 * MS},
                                      {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    play_anew();
    begin_steps(spans, 2);
    (void)play(T0, T0 + 200 * S, service, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_BROKEN);
    expect_explained(SQ_HYPOTHESIS_DURING, "missed 3 times in \"bad\"");
    assert_true(sq_watch_tally(&watch, 0, 0)->closed);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->misses, 0);
}

/* --- during: moments --- */

/* The issue's: a 30 s probe, and an 8 s partition of the very host that it probes. */
static void test_a_slow_probe_is_measured_at_both_ends_of_a_step(void **state)
{
    (void)state;
    const struct service cut_off[] = {{T0 + 8 * S, BAD, 2 * S}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    hypothesis.probes[0].every_ns = 30 * S;
    hypothesis.probes[0].timeout_ns = 2 * S;
    assert_int_equal(during(8 * S, cut_off), SQ_VERDICT_BROKEN);
    assert_int_equal(measured[0], 1); /* of two none may miss */
    set_up(1);
    hypothesis.probes[0].every_ns = 30 * S;
    hypothesis.probes[0].timeout_ns = 2 * S;
    assert_int_equal(during(8 * S, always_good), SQ_VERDICT_HOLDS);
    assert_int_equal(measured[0], 2);
    assert_true(watch.probes[0].last.started_boot_ns == T0 + 6 * S);
}

/* Each step's injection and end, too, and whatever is under way just then. */
static void test_every_injection_is_measured_at_once(void **state)
{
    (void)state;
    const struct sq_span spans[] = {{"one", T0 + 50 * MS, T0 + 20 * S, 0},
                                    {"two", T0 + 21 * S, T0 + 40 * S, 0}};
    set_up(1);
    play_anew();
    hypothesis.probes[0].every_ns = 60 * S;
    hypothesis.probes[0].timeout_ns = 5 * S;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0 - 70 * S);
    const struct service slow[] = {{UINT64_MAX, GOOD, 4 * S}};
    (void)play(T0 - 70 * S, T0 - 60 * S, slow, SQ_HYPOTHESIS_AFTER);
    begin_steps(spans, 2);
    (void)play(T0, T0 + 100 * S, slow, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_HOLDS);
    /* Before; by its own clock at T0; at 50 ms, 15 s, 21 s and 35 s. */
    assert_int_equal(measured[0], 6);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->evidence, 2);
    assert_int_equal(sq_watch_tally(&watch, 1, 0)->evidence, 2);
}

/* What begins in the fault and is answered after it counts: as a miss, and as evidence. */
static void test_what_begins_in_a_step_counts_when_it_is_answered(void **state)
{
    (void)state;
    const struct service hangs[] = {{T0 + 3 * S, BAD, 10 * S}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    hypothesis.probes[0].every_ns = 10 * S;
    hypothesis.probes[0].timeout_ns = 10 * S;
    play_anew();
    begin_step(3 * S);
    (void)play(T0, T0 + 4 * S, hangs, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_OPEN);
    /* The rollback is through, and everything recovered long before the answer comes. */
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0 + 4 * S);
    (void)play(T0 + 4 * S, T0 + 60 * S, hangs, SQ_HYPOTHESIS_AFTER);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_AFTER], SQ_VERDICT_HOLDS);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_OPEN);
    uint64_t known_boot_ns = play(T0 + 5 * S, T0 + 60 * S, hangs, SQ_HYPOTHESIS_DURING);
    assert_true(known_boot_ns == T0 + 10 * S);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_BROKEN);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_AFTER], SQ_VERDICT_HOLDS);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_MISS);
    const struct service slow[] = {{T0 + 3 * S, GOOD, 9 * S}, {UINT64_MAX, GOOD, 10 * MS}};
    assert_int_equal(during(3 * S, slow), SQ_VERDICT_HOLDS);
    assert_int_equal(watch.tallies[0].evidence, 1);
}

/* Rows do not mix: what misses after the rollback ends no step, and a late miss ends its row. */
static void test_a_late_answer_is_of_its_own_row(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].max_misses = (struct sq_allowance){.given = true, .count = 100};
    begin_step(10 * S);
    (void)take(0, T0, GOOD);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0 + 11 * S);
    (void)take(0, T0 + 11 * S, BAD);
    (void)take(0, T0 + 12 * S, BAD);
    (void)take(0, T0 + 9 * S, BAD);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_HOLDS);
    set_up(1);
    hypothesis.probes[0].max_misses = (struct sq_allowance){.given = true, .count = 100};
    begin_step(10 * S);
    uint32_t due;
    watch.probes[0].next_boot_ns = T0 + 9 * S;
    assert_true(sq_watch_due(&watch, T0 + 9 * S, &due)); /* it is under way */
    (void)take(0, T0, GOOD);
    (void)take(0, T0 + 7 * S, BAD);
    (void)take(0, T0 + 8 * S, BAD);
    sq_watch_begin(&watch, SQ_HYPOTHESIS_AFTER, T0 + 11 * S);
    assert_true(sq_watch_due(&watch, T0 + 11 * S, &due));
    (void)take(0, T0 + 11 * S, GOOD);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_OPEN);
    (void)take(0, T0 + 9 * S, BAD);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_BROKEN);
    expect_explained(SQ_HYPOTHESIS_DURING, "missed 3 times in a row");
}

static void test_a_measurement_that_is_never_answered_is_waited_for_so_long(void **state)
{
    (void)state;
    uint32_t due;
    set_up(1);
    begin_step(3 * S);
    assert_true(sq_watch_due(&watch, T0, &due));
    assert_false(sq_watch_due(&watch, T0 + S, &due));    /* one at a time */
    assert_true(sq_watch_due(&watch, T0 + 2 * S, &due)); /* but for the one before the end */
    assert_int_equal(sq_watch_check(&watch, T0 + 3 * S - 1), SQ_VERDICT_OPEN);
    assert_true(sq_watch_next_boot_ns(&watch) == T0 + 3 * S);
    assert_int_equal(sq_watch_check(&watch, T0 + 3 * S), SQ_VERDICT_UNMEASURABLE);
    /* Late, it changes nothing. */
    (void)take(0, T0, BAD);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_UNMEASURABLE);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_NOT);
}

static void test_what_begins_between_steps_is_not_judged(void **state)
{
    (void)state;
    const struct sq_span spans[] = {{"one", T0 + S, T0 + 10 * S, 0}, {"two", T0 + 20 * S, T0 + 30 * S, 0}};
    set_up(1);
    hypothesis.probes[0].abort_after_misses = 1;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0 - S);
    begin_steps(spans, 2);
    assert_int_equal(take(0, T0 - 1, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + S - 1, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 9 * S, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 15 * S, NONE), SQ_VERDICT_OPEN);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_NOT);
    assert_int_equal(watch.probes[0].rows[SQ_HYPOTHESIS_DURING].misses, 0);
    assert_int_equal(take(0, T0 + 20 * S, BAD), SQ_VERDICT_BROKEN);
    /* An older one that is answered late does not hide the newer value. */
    (void)take(0, T0 + 16 * S, GOOD);
    assert_false(watch.probes[0].last.within);
}

/* --- during: evidence --- */

static void test_settle_gives_the_system_time(void **state)
{
    (void)state;
    const struct service settles[] = {{T0 + 4500 * MS, BAD, 10 * MS}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    assert_int_equal(during(20 * S, settles), SQ_VERDICT_BROKEN);
    set_up(1);
    hypothesis.probes[0].settle_ns = 5 * S;
    assert_int_equal(during(20 * S, settles), SQ_VERDICT_HOLDS);
    assert_int_equal(watch.tallies[0].settling, 5);
    assert_int_equal(watch.tallies[0].misses, 0);
    assert_int_equal(watch.tallies[0].evidence, 15);
    assert_int_equal(during(20 * S, always_bad), SQ_VERDICT_BROKEN);
    /* Of another step's injection as well, while this one is in. */
    const struct sq_span spans[] = {{"a", T0, T0 + 30 * S, 0}, {"b", T0 + 10 * S, T0 + 25 * S, 0}};
    set_up(1);
    hypothesis.probes[0].settle_ns = 5 * S;
    hypothesis.probes[0].abort_after_misses = 1;
    begin_steps(spans, 2);
    assert_int_equal(take(0, T0 + 12 * S, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_SETTLE);
    assert_int_equal(take(0, T0 + 15 * S, BAD), SQ_VERDICT_BROKEN);
}

static void test_a_value_that_looks_back_is_no_evidence_too_soon(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].lag_ns = 15 * S;
    assert_int_equal(during(15 * S, always_good), SQ_VERDICT_UNMEASURABLE);
    expect_explained(SQ_HYPOTHESIS_DURING, "nobody saw that probe \"first\" held in \"cut\": measured 15 "
                                           "times, in tolerance too soon after the injection 15");
    assert_int_equal(during(16 * S, always_good), SQ_VERDICT_HOLDS);
    assert_int_equal(watch.tallies[0].evidence, 1);
    assert_int_equal(watch.tallies[0].too_soon, 15);
    /* A miss counts at once. */
    begin_step(60 * S);
    (void)take(0, T0, BAD);
    (void)take(0, T0 + S, BAD);
    assert_int_equal(take(0, T0 + 2 * S, BAD), SQ_VERDICT_BROKEN);
    /* And what is no evidence thins out no misses: two of three are too many. */
    const struct service late[] = {{T0 + 15500 * MS, GOOD, 10 * MS}, {UINT64_MAX, BAD, 10 * MS}};
    assert_int_equal(during(18 * S, late), SQ_VERDICT_BROKEN);
}

/* The issue's: Prometheus is gone during nearly all of a fault of 3 s. */
static void test_nobody_looked_during_most_of_it(void **state)
{
    (void)state;
    const struct service stopped[] = {
        {T0 + 500 * MS, GOOD, 10 * MS}, {T0 + 10 * S, NONE, S}, {UINT64_MAX, GOOD, 10 * MS}};
    set_up(1);
    assert_int_equal(during(3 * S, stopped), SQ_VERDICT_UNMEASURABLE);
    set_up(1);
    hypothesis.probes[0].max_misses = (struct sq_allowance){.given = true, .count = 100};
    assert_int_equal(during(3 * S, never_there), SQ_VERDICT_UNMEASURABLE);
}

/* Agents' clocks are known to within so much: there nothing shows that it held. */
static void test_evidence_begins_while_the_fault_is_certainly_in(void **state)
{
    (void)state;
    const struct sq_span span = {"cut", T0, T0 + 3 * S, 0};
    set_up(1);
    assert_int_equal(sq_watch_begin_during(&watch, &span, 1, 100 * MS, T0, NULL), 0);
    (void)take(0, T0 + 50 * MS, GOOD);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_LAG);
    (void)take(0, T0 + 2950 * MS, GOOD);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_NOT);
    (void)take(0, T0 + 2960 * MS, BAD);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_MISS);
    set_up(1);
    play_anew();
    assert_int_equal(sq_watch_begin_during(&watch, &span, 1, 100 * MS, T0, NULL), 0);
    (void)play(T0, T0 + 10 * S, always_good, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_HOLDS);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->evidence, 3); /* at 0.1 s, 1.1 s, 1.9 s */
    assert_true(watch.probes[0].last.started_boot_ns == T0 + 2900 * MS);
}

/* An order that arrived only at the second try: what was seen before the fault was in shows nothing. */
static void test_a_fault_that_comes_in_late(void **state)
{
    (void)state;
    uint32_t due;
    set_up(1);
    play_anew();
    hypothesis.probes[0].every_ns = 30 * S;
    begin_step(4 * S);
    assert_true(sq_watch_due(&watch, T0, &due));
    (void)take(0, T0, GOOD);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->evidence, 1);
    sq_watch_injected(&watch, 0, T0); /* in time: nothing new */
    assert_false(sq_watch_due(&watch, T0 + S, &due));
    sq_watch_injected(&watch, 0, T0 + 900 * MS);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->evidence, 0);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->too_soon, 1);
    assert_true(sq_watch_due(&watch, T0 + S, &due)); /* measured right after it */
    (void)take(0, T0 + S, GOOD);
    (void)play(T0 + S, T0 + 10 * S, always_good, SQ_HYPOTHESIS_DURING);
    assert_int_equal(watch.verdicts[SQ_HYPOTHESIS_DURING], SQ_VERDICT_HOLDS);
    assert_int_equal(sq_watch_tally(&watch, 0, 0)->evidence, 2);
    /* One that was never in while anybody looked. */
    set_up(1);
    begin_step(S);
    (void)take(0, T0, GOOD);
    sq_watch_injected(&watch, 0, T0 + S);
    assert_int_equal(sq_watch_check(&watch, T0 + S), SQ_VERDICT_UNMEASURABLE);
}

static void test_the_worst_value_is_kept(void **state)
{
    (void)state;
    set_up(1);
    hypothesis.probes[0].kind = SQ_PROBE_PROMQL;
    assert_int_equal(sq_tolerance_parse(">= 0.9", &hypothesis.probes[0].tolerance, NULL), 0);
    begin_step(60 * S);
    const double values[] = {0.99, 0.91, 0.95};
    for (uint32_t i = 0; i < 3; i++) {
        struct sq_measurement measurement = sample(0, T0 + i * S, GOOD);
        measurement.value = values[i];
        (void)sq_watch_take(&watch, &measurement);
    }
    (void)take(0, T0 + 3 * S, NONE); /* no value */
    const struct sq_tally *tally = sq_watch_tally(&watch, 0, 0);
    assert_true(tally->has_worst);
    assert_true(tally->worst.started_boot_ns == T0 + S);
    assert_int_equal(tally->measured, 4);
    set_up(1);
    begin_step(60 * S);
    struct sq_measurement slow = sample(0, T0, GOOD);
    slow.took_ns = 900 * MS;
    (void)sq_watch_take(&watch, &slow);
    (void)take(0, T0 + S, GOOD);
    assert_true(sq_watch_tally(&watch, 0, 0)->worst.started_boot_ns == T0);
    (void)take(0, T0 + 2 * S, BAD);
    assert_true(sq_watch_tally(&watch, 0, 0)->worst.started_boot_ns == T0 + 2 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_during_counts_misses_in_a_row),
        cmocka_unit_test(test_during_one_measured_miss_of_the_row_makes_it_a_deviation),
        cmocka_unit_test(test_during_one_miss_can_be_enough),
        cmocka_unit_test(test_the_allowance),
        cmocka_unit_test(test_a_row_that_never_comes_saves_nobody),
        cmocka_unit_test(test_every_other_one_is_too_many),
        cmocka_unit_test(test_what_nobody_measured_is_a_miss),
        cmocka_unit_test(test_what_is_due_now_is_still_to_come),
        cmocka_unit_test(test_steps_are_judged_one_by_one),
        cmocka_unit_test(test_a_slow_probe_is_measured_at_both_ends_of_a_step),
        cmocka_unit_test(test_every_injection_is_measured_at_once),
        cmocka_unit_test(test_what_begins_in_a_step_counts_when_it_is_answered),
        cmocka_unit_test(test_a_late_answer_is_of_its_own_row),
        cmocka_unit_test(test_a_measurement_that_is_never_answered_is_waited_for_so_long),
        cmocka_unit_test(test_what_begins_between_steps_is_not_judged),
        cmocka_unit_test(test_settle_gives_the_system_time),
        cmocka_unit_test(test_a_value_that_looks_back_is_no_evidence_too_soon),
        cmocka_unit_test(test_nobody_looked_during_most_of_it),
        cmocka_unit_test(test_evidence_begins_while_the_fault_is_certainly_in),
        cmocka_unit_test(test_a_fault_that_comes_in_late),
        cmocka_unit_test(test_the_worst_value_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
