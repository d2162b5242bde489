/* libraries: sq_commands sq_table sq_common */
/* Whole runs of the machine against played services, second by second of a clock that is a number. */
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
    sq_watch_free(&watch);
    memset(&hypothesis, 0, sizeof(hypothesis));
    memset(room, 0, sizeof(room));
    hypothesis.probes = room;
    hypothesis.probe_count = probes;
    for (uint32_t i = 0; i < probes; i++) {
        (void)strcpy(hypothesis.probes[i].name, i == 0 ? "first" : "second");
        hypothesis.probes[i].kind = SQ_PROBE_HTTP;
        hypothesis.probes[i].every_ns = S;
        hypothesis.probes[i].timeout_ns = S;
        hypothesis.probes[i].abort_after_misses = 3;
    }
    hypothesis.recover_within_ns = 30 * S;
    assert_int_equal(sq_watch_init(&watch, &hypothesis, NULL), 0);
}

static void begin_steps(const struct sq_span *spans, uint32_t count)
{
    if (watch.phase == SQ_HYPOTHESIS_DURING) {
        sq_watch_free(&watch);
        assert_int_equal(sq_watch_init(&watch, &hypothesis, NULL), 0);
    }
    assert_int_equal(sq_watch_begin_during(&watch, spans, count, 0, T0, NULL), 0);
}

/* One step, "cut", from T0 on. */
static void begin_step(uint64_t length_ns)
{
    const struct sq_span span = {.name = "cut", .begin_boot_ns = T0, .end_boot_ns = T0 + length_ns};
    begin_steps(&span, 1);
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

/* What the service of a probe does, until when. */
struct service {
    uint64_t until_boot_ns;
    enum sample what;
    uint64_t takes_ns;
};

/* One that is under way. */
struct flight {
    bool is_used;
    struct sq_measurement measurement;
};
static struct flight flights[64];
static uint32_t measured[8];

static void fly(uint32_t probe, uint64_t now_boot_ns, const struct service *service)
{
    while (service->until_boot_ns <= now_boot_ns)
        service++;
    for (size_t i = 0; i < 64; i++)
        if (!flights[i].is_used) {
            flights[i].is_used = true;
            flights[i].measurement = sample(probe, now_boot_ns, service->what);
            flights[i].measurement.ended_boot_ns = now_boot_ns + service->takes_ns;
            measured[probe]++;
            return;
        }
    fail_msg("too many are under way");
}

/* The loop that the engine is: what is due is begun, what is answered is taken, until the verdict or `until`.
 * Returns when that was. Every probe has the same service. */
static uint64_t play(uint64_t from_boot_ns, uint64_t until_boot_ns, const struct service *service,
                     enum sq_hypothesis_phase phase)
{
    uint64_t now_boot_ns = from_boot_ns;
    uint32_t due;
    for (uint32_t turns = 0; now_boot_ns < until_boot_ns; turns++) {
        assert_true(turns < 100000); /* it never spins */
        uint64_t next_boot_ns = until_boot_ns;
        for (size_t i = 0; i < 64; i++)
            if (flights[i].is_used && flights[i].measurement.ended_boot_ns <= now_boot_ns) {
                flights[i].is_used = false;
                (void)sq_watch_take(&watch, &flights[i].measurement);
            }
        while (sq_watch_due(&watch, now_boot_ns, &due))
            fly(due, now_boot_ns, service);
        (void)sq_watch_check(&watch, now_boot_ns);
        if (watch.verdicts[phase] != SQ_VERDICT_OPEN)
            return now_boot_ns;
        for (size_t i = 0; i < 64; i++)
            if (flights[i].is_used && flights[i].measurement.ended_boot_ns < next_boot_ns)
                next_boot_ns = flights[i].measurement.ended_boot_ns;
        uint64_t due_boot_ns = sq_watch_next_boot_ns(&watch);
        next_boot_ns = due_boot_ns < next_boot_ns ? due_boot_ns : next_boot_ns;
        now_boot_ns = next_boot_ns > now_boot_ns ? next_boot_ns : now_boot_ns + MS;
    }
    return now_boot_ns;
}

static void play_anew(void)
{
    memset(flights, 0, sizeof(flights));
    memset(measured, 0, sizeof(measured));
}

static enum sq_verdict during(uint64_t length_ns, const struct service *service)
{
    play_anew();
    begin_step(length_ns);
    (void)play(T0, T0 + length_ns + 100 * S, service, SQ_HYPOTHESIS_DURING);
    return watch.verdicts[SQ_HYPOTHESIS_DURING];
}

static void expect_explained(enum sq_hypothesis_phase phase, const char *text)
{
    if (strstr(sq_watch_explain(&watch, phase), text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, sq_watch_explain(&watch, phase));
}

static const struct service always_good[] = {{UINT64_MAX, GOOD, 10 * MS}};
static const struct service always_bad[] = {{UINT64_MAX, BAD, 10 * MS}};
static const struct service never_there[] = {{UINT64_MAX, NONE, 10 * MS}};

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
    assert_true(watch.probes[0].first_missed_boot_ns == T0 + 3 * S);
    assert_true(watch.probes[0].last_missed_boot_ns == T0 + 5 * S);
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

/* A long quiet step does not thin out a short bad one. */
static void test_steps_are_judged_one_by_one(void **state)
{
    (void)state;
    const struct sq_span spans[] = {{"quiet", T0, T0 + 100 * S}, {"bad", T0 + 100 * S, T0 + 106 * S}};
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
    const struct sq_span spans[] = {{"one", T0 + 50 * MS, T0 + 20 * S}, {"two", T0 + 21 * S, T0 + 40 * S}};
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
    const struct sq_span spans[] = {{"one", T0 + S, T0 + 10 * S}, {"two", T0 + 20 * S, T0 + 30 * S}};
    set_up(1);
    hypothesis.probes[0].abort_after_misses = 1;
    sq_watch_begin(&watch, SQ_HYPOTHESIS_BEFORE, T0 - S);
    begin_steps(spans, 2);
    assert_int_equal(take(0, T0 - 1, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + S - 1, BAD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 9 * S, GOOD), SQ_VERDICT_OPEN);
    assert_int_equal(take(0, T0 + 15 * S, NONE), SQ_VERDICT_OPEN);
    assert_int_equal(watch.probes[0].judged, SQ_JUDGED_NOT);
    assert_int_equal(watch.probes[0].misses, 0);
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
    const struct sq_span spans[] = {{"a", T0, T0 + 30 * S}, {"b", T0 + 10 * S, T0 + 25 * S}};
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
    const struct sq_span span = {"cut", T0, T0 + 3 * S};
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
        cmocka_unit_test(test_before_one_miss_ends_it),
        cmocka_unit_test(test_during_counts_misses_in_a_row),
        cmocka_unit_test(test_during_one_measured_miss_of_the_row_makes_it_a_deviation),
        cmocka_unit_test(test_during_one_miss_can_be_enough),
        cmocka_unit_test(test_the_allowance),
        cmocka_unit_test(test_a_row_that_never_comes_saves_nobody),
        cmocka_unit_test(test_every_other_one_is_too_many),
        cmocka_unit_test(test_steps_are_judged_one_by_one),
        cmocka_unit_test(test_a_slow_probe_is_measured_at_both_ends_of_a_step),
        cmocka_unit_test(test_every_injection_is_measured_at_once),
        cmocka_unit_test(test_what_begins_in_a_step_counts_when_it_is_answered),
        cmocka_unit_test(test_a_measurement_that_is_never_answered_is_waited_for_so_long),
        cmocka_unit_test(test_what_begins_between_steps_is_not_judged),
        cmocka_unit_test(test_settle_gives_the_system_time),
        cmocka_unit_test(test_a_value_that_looks_back_is_no_evidence_too_soon),
        cmocka_unit_test(test_nobody_looked_during_most_of_it),
        cmocka_unit_test(test_evidence_begins_while_the_fault_is_certainly_in),
        cmocka_unit_test(test_the_worst_value_is_kept),
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
