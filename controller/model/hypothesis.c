#include "model/hypothesis.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/evidence.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whoever measures answers within the timeout, or with a failure; this much later it is not waited for. */
#define GRACE_NS           (2 * SQ_NS_PER_SECOND)
#define AFTER_EVERY_MAX_NS (1 * SQ_NS_PER_SECOND)
#define STILL_NS           (1 * SQ_NS_PER_SECOND)
#define NOBODY_LOOKED      "nobody measured then, because squall itself stood still"

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

const char *sq_judged_name(enum sq_judged judged)
{
    static const char *const names[] = {"not judged", "evidence", "miss", "within lag", "within settle"};
    return names[judged];
}

/* --- beginnings --- */

int sq_watch_init(struct sq_watch *watch, const struct sq_hypothesis *hypothesis, struct sq_error *error)
{
    memset(watch, 0, sizeof(*watch));
    watch->hypothesis = hypothesis;
    watch->probes = calloc(hypothesis->probe_count + 1, sizeof(*watch->probes));
    return watch->probes != NULL ? 0 : sq_fail(error, SQ_SYSTEM, "out of memory for the probes");
}

void sq_watch_free(struct sq_watch *watch)
{
    free(watch->probes);
    free(watch->spans);
    free(watch->tallies);
    watch->probes = NULL;
    watch->spans = NULL;
    watch->tallies = NULL;
    watch->span_count = 0;
}

static uint64_t recover_until_boot_ns(const struct sq_watch *watch)
{
    return sq_ns_add(watch->began_boot_ns[SQ_HYPOTHESIS_AFTER], watch->hypothesis->recover_within_ns);
}

void sq_watch_begin(struct sq_watch *watch, enum sq_hypothesis_phase phase, uint64_t now_boot_ns)
{
    watch->phase = phase;
    watch->since_boot_ns = now_boot_ns;
    watch->began_boot_ns[phase] = now_boot_ns;
    watch->verdicts[phase] = SQ_VERDICT_OPEN;
    watch->explanations[phase][0] = '\0';
    watch->beats_until_boot_ns = phase == SQ_HYPOTHESIS_AFTER ? recover_until_boot_ns(watch) : UINT64_MAX;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        struct sq_probe_state *state = &watch->probes[i];
        state->rows[phase] = (struct sq_row){0};
        uint64_t every_ns = watch->hypothesis->probes[i].every_ns;
        if (phase == SQ_HYPOTHESIS_DURING && state->total > 0)
            state->next_boot_ns = sq_ns_add(state->last.started_boot_ns, every_ns);
        else
            state->next_boot_ns = now_boot_ns;
    }
}

int sq_watch_begin_during(struct sq_watch *watch, const struct sq_span *spans, uint32_t count,
                          uint64_t slack_ns, uint64_t now_boot_ns, struct sq_error *error)
{
    uint32_t probe_count = watch->hypothesis->probe_count;
    free(watch->spans);
    free(watch->tallies);
    watch->span_count = 0;
    watch->spans = calloc(count + 1, sizeof(*watch->spans));
    watch->tallies = calloc((size_t)count * probe_count + 1, sizeof(*watch->tallies));
    if (watch->spans == NULL || watch->tallies == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the verdict");
    for (uint32_t i = 0; i < count; i++) {
        watch->spans[i] = spans[i];
        watch->spans[i].in_boot_ns = sq_ns_add(spans[i].begin_boot_ns, slack_ns);
    }
    watch->span_count = count;
    watch->slack_ns = slack_ns;
    sq_watch_begin(watch, SQ_HYPOTHESIS_DURING, now_boot_ns);
    watch->beats_until_boot_ns = 0;
    for (uint32_t i = 0; i < count; i++)
        watch->beats_until_boot_ns = most_of(watch->beats_until_boot_ns, spans[i].end_boot_ns);
    return 0;
}

enum sq_hypothesis_phase sq_watch_phase_at(const struct sq_watch *watch, uint64_t boot_ns)
{
    for (int phase = SQ_HYPOTHESIS_AFTER; phase > SQ_HYPOTHESIS_BEFORE; phase--)
        if (watch->began_boot_ns[phase] != 0 && boot_ns >= watch->began_boot_ns[phase])
            return (enum sq_hypothesis_phase)phase;
    return SQ_HYPOTHESIS_BEFORE;
}

static struct sq_tally *tally_of(const struct sq_watch *watch, uint32_t span, uint32_t probe)
{
    return &watch->tallies[(size_t)span * watch->hypothesis->probe_count + probe];
}

const struct sq_tally *sq_watch_tally(const struct sq_watch *watch, uint32_t span, uint32_t probe)
{
    return tally_of(watch, span, probe);
}

const char *sq_watch_explain(const struct sq_watch *watch, enum sq_hypothesis_phase phase)
{
    return watch->explanations[phase];
}

/* --- moments --- */

static uint64_t hold_until_boot_ns(const struct sq_watch *watch)
{
    return sq_ns_add(watch->began_boot_ns[SQ_HYPOTHESIS_BEFORE], watch->hypothesis->hold_before_ns);
}

/* From then to then a value in tolerance is evidence. */
static uint64_t evidence_from_boot_ns(const struct sq_span *span, const struct sq_probe *probe)
{
    return sq_ns_add(span->in_boot_ns, sq_ns_add(probe->settle_ns, probe->lag_ns));
}

static uint64_t evidence_until_boot_ns(const struct sq_watch *watch, const struct sq_span *span)
{
    return sq_ns_sub(span->end_boot_ns, watch->slack_ns);
}

/* The last measurement of a span begins in time to be answered in it, but not before it can be evidence. */
static uint64_t last_boot_ns(const struct sq_watch *watch, const struct sq_span *span,
                             const struct sq_probe *probe)
{
    return most_of(sq_ns_sub(evidence_until_boot_ns(watch, span), sq_probe_timeout_ns(probe)),
                   evidence_from_boot_ns(span, probe));
}

static bool is_in(const struct sq_span *span, uint64_t boot_ns)
{
    return boot_ns >= span->begin_boot_ns && boot_ns < span->end_boot_ns;
}

static uint64_t give_up_boot_ns(const struct sq_watch *watch, uint32_t probe, uint32_t flight)
{
    return sq_ns_add(watch->probes[probe].flights[flight],
                     sq_ns_add(sq_probe_timeout_ns(&watch->hypothesis->probes[probe]), GRACE_NS));
}

/* Measurements under way that began from `from` until before `until`. */
static uint32_t under_way(const struct sq_probe_state *state, uint64_t from_boot_ns, uint64_t until_boot_ns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < state->flight_count; i++)
        count += state->flights[i] >= from_boot_ns && state->flights[i] < until_boot_ns;
    return count;
}

void sq_watch_injected(struct sq_watch *watch, uint32_t span, uint64_t at_boot_ns)
{
    if (span >= watch->span_count || at_boot_ns <= watch->spans[span].in_boot_ns)
        return;
    watch->spans[span].in_boot_ns = at_boot_ns;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        struct sq_tally *tally = tally_of(watch, span, i);
        tally->asked_first = false;
        if (tally->last_evidence_boot_ns >=
            evidence_from_boot_ns(&watch->spans[span], &watch->hypothesis->probes[i]))
            continue;
        tally->too_soon += tally->evidence;
        tally->evidence = 0;
        tally->asked_last = false;
    }
}

/* --- what is due --- */

static bool is_forced(const struct sq_watch *watch, uint32_t probe, uint64_t now_boot_ns)
{
    for (uint32_t i = 0; watch->phase == SQ_HYPOTHESIS_DURING && i < watch->span_count; i++) {
        const struct sq_span *span = &watch->spans[i];
        const struct sq_tally *tally = tally_of(watch, i, probe);
        if (!is_in(span, now_boot_ns))
            continue;
        if (!tally->asked_first && now_boot_ns >= span->in_boot_ns)
            return true;
        if (!tally->asked_last && now_boot_ns >= last_boot_ns(watch, span, &watch->hypothesis->probes[probe]))
            return true;
    }
    return false;
}

static void note_asked(struct sq_watch *watch, uint32_t probe, uint64_t now_boot_ns)
{
    for (uint32_t i = 0; watch->phase == SQ_HYPOTHESIS_DURING && i < watch->span_count; i++) {
        const struct sq_span *span = &watch->spans[i];
        struct sq_tally *tally = tally_of(watch, i, probe);
        if (!is_in(span, now_boot_ns))
            continue;
        tally->asked_first = tally->asked_first || now_boot_ns >= span->in_boot_ns;
        tally->asked_last =
            tally->asked_last || now_boot_ns >= last_boot_ns(watch, span, &watch->hypothesis->probes[probe]);
    }
}

static bool is_beat(const struct sq_watch *watch, const struct sq_probe_state *state, uint64_t now_boot_ns)
{
    if (now_boot_ns < state->next_boot_ns || now_boot_ns >= watch->beats_until_boot_ns)
        return false;
    /* A service that hangs must be seen to come back at once, whatever still waits for it. */
    return watch->phase == SQ_HYPOTHESIS_AFTER || state->flight_count == 0;
}

static uint64_t next_beat_boot_ns(const struct sq_watch *watch, uint32_t probe, bool forced,
                                  uint64_t now_boot_ns)
{
    uint64_t every_ns = watch->hypothesis->probes[probe].every_ns;
    if (watch->phase == SQ_HYPOTHESIS_AFTER && every_ns > AFTER_EVERY_MAX_NS)
        every_ns = AFTER_EVERY_MAX_NS;
    /* Keep the rhythm; where a beat was missed altogether, start a new one rather than catch up. */
    uint64_t next_boot_ns = sq_ns_add(watch->probes[probe].next_boot_ns, every_ns);
    if (forced || next_boot_ns <= now_boot_ns)
        next_boot_ns = sq_ns_add(now_boot_ns, every_ns);
    /* The state before must be measured at the end of hold-before too, however long `every` is. */
    if (watch->phase == SQ_HYPOTHESIS_BEFORE && now_boot_ns < hold_until_boot_ns(watch) &&
        next_boot_ns > hold_until_boot_ns(watch))
        next_boot_ns = hold_until_boot_ns(watch);
    return next_boot_ns;
}

static uint64_t next_of_span_boot_ns(const struct sq_watch *watch, uint32_t span, uint32_t probe)
{
    const struct sq_span *window = &watch->spans[span];
    const struct sq_tally *tally = tally_of(watch, span, probe);
    const struct sq_probe_state *state = &watch->probes[probe];
    uint64_t next_boot_ns = UINT64_MAX;
    if (tally->closed)
        return next_boot_ns;
    if (!tally->asked_first)
        next_boot_ns = least_of(next_boot_ns, window->in_boot_ns);
    uint64_t last = last_boot_ns(watch, window, &watch->hypothesis->probes[probe]);
    if (!tally->asked_last && last < window->end_boot_ns)
        next_boot_ns = least_of(next_boot_ns, last);
    /* An answer that is waited for closes it, or the end of the wait. */
    if (under_way(state, window->begin_boot_ns, window->end_boot_ns) == 0)
        next_boot_ns = least_of(next_boot_ns, window->end_boot_ns);
    return next_boot_ns;
}

uint64_t sq_watch_next_boot_ns(const struct sq_watch *watch)
{
    uint64_t next_boot_ns = UINT64_MAX;
    bool after = watch->phase == SQ_HYPOTHESIS_AFTER;
    bool spans_open = watch->verdicts[SQ_HYPOTHESIS_DURING] == SQ_VERDICT_OPEN;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        bool may_begin = state->flight_count < SQ_FLIGHTS_MAX && (after || state->flight_count == 0);
        if (may_begin && state->next_boot_ns < watch->beats_until_boot_ns)
            next_boot_ns = least_of(next_boot_ns, state->next_boot_ns);
        for (uint32_t flight = 0; flight < state->flight_count; flight++)
            next_boot_ns = least_of(next_boot_ns, give_up_boot_ns(watch, i, flight));
        if (after && under_way(state, watch->since_boot_ns, UINT64_MAX) == 0)
            next_boot_ns = least_of(next_boot_ns, recover_until_boot_ns(watch));
        for (uint32_t span = 0; spans_open && span < watch->span_count; span++)
            next_boot_ns = least_of(next_boot_ns, next_of_span_boot_ns(watch, span, i));
    }
    return next_boot_ns;
}

/* --- what it means --- */

__attribute__((format(printf, 5, 6))) static void decide(struct sq_watch *watch,
                                                         enum sq_hypothesis_phase phase, uint32_t probe,
                                                         bool measured, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(watch->explanations[phase], SQ_EXPLANATION_MAX, format, arguments);
    va_end(arguments);
    watch->deciding[phase] = probe;
    watch->deciding_boot_ns[phase] = watch->probes[probe].rows[phase].last.ended_boot_ns;
    watch->verdicts[phase] = measured ? SQ_VERDICT_BROKEN : SQ_VERDICT_UNMEASURABLE;
}

static const char *because(bool measured)
{
    return measured ? "it is out of tolerance" : "it could not be measured";
}

static const char *name_of(const struct sq_watch *watch, uint32_t probe)
{
    return watch->hypothesis->probes[probe].name;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* Measurements that can still begin in a span where they count, at most; what is due now is among them. */
static uint64_t still_to_come(const struct sq_watch *watch, uint32_t span, uint32_t probe,
                              uint64_t now_boot_ns)
{
    const struct sq_span *window = &watch->spans[span];
    const struct sq_tally *tally = tally_of(watch, span, probe);
    const struct sq_probe *form = &watch->hypothesis->probes[probe];
    uint64_t from = evidence_from_boot_ns(window, form);
    uint64_t until = evidence_until_boot_ns(watch, window);
    if (now_boot_ns >= until)
        return 0;
    uint64_t next = tally->asked_first ? watch->probes[probe].next_boot_ns : window->in_boot_ns;
    if (next < from)
        next += sq_probe_beats_between(form, next, from) * form->every_ns;
    uint64_t last = tally->asked_last ? next : most_of(now_boot_ns, last_boot_ns(watch, window, form));
    return sq_probe_beats_between(form, next, last) + sq_probe_beats_between(form, last, until);
}

/* Can the allowance of a span still be kept? `judged`: the measurements that it has at most in the end. */
static bool is_too_many(const struct sq_watch *watch, uint32_t probe, const struct sq_tally *tally,
                        uint64_t judged)
{
    return tally->misses > sq_probe_allowed(&watch->hypothesis->probes[probe], judged);
}

static void decide_too_many(struct sq_watch *watch, uint32_t span, uint32_t probe, uint64_t judged)
{
    const struct sq_tally *tally = tally_of(watch, span, probe);
    const struct sq_measurement *last = &watch->probes[probe].rows[SQ_HYPOTHESIS_DURING].last;
    decide(watch, SQ_HYPOTHESIS_DURING, probe, tally->misses_measured > 0,
           "probe \"%s\" missed %u time%s in \"%s\", where %llu of %llu may miss, the last because %s: %s",
           name_of(watch, probe), tally->misses, plural(tally->misses), watch->spans[span].name,
           (unsigned long long)sq_probe_allowed(&watch->hypothesis->probes[probe], judged),
           (unsigned long long)judged, because(last->measured), last->reason);
}

static void judge_span(struct sq_watch *watch, uint32_t span, uint32_t probe, uint64_t now_boot_ns)
{
    const struct sq_span *window = &watch->spans[span];
    const struct sq_probe_state *state = &watch->probes[probe];
    struct sq_tally *tally = tally_of(watch, span, probe);
    if (tally->closed || watch->verdicts[SQ_HYPOTHESIS_DURING] != SQ_VERDICT_OPEN)
        return;
    uint32_t waited_for = under_way(state, window->begin_boot_ns, window->end_boot_ns);
    uint64_t judged = (uint64_t)tally->misses + tally->evidence + waited_for;
    if (now_boot_ns < window->end_boot_ns)
        judged += still_to_come(watch, span, probe, now_boot_ns);
    if (is_too_many(watch, probe, tally, judged)) {
        decide_too_many(watch, span, probe, judged);
        return;
    }
    if (now_boot_ns < window->end_boot_ns || waited_for > 0)
        return;
    tally->closed = true;
    if (tally->evidence > 0)
        return;
    decide(watch, SQ_HYPOTHESIS_DURING, probe, false,
           "nobody saw that probe \"%s\" held in \"%s\": measured %u time%s, in tolerance too soon after the "
           "injection %u, missed %u",
           name_of(watch, probe), window->name, tally->measured, plural(tally->measured), tally->too_soon,
           tally->misses + tally->settling);
}

static void judge_spans(struct sq_watch *watch, uint64_t now_boot_ns)
{
    bool all_closed = true;
    for (uint32_t span = 0; span < watch->span_count; span++)
        for (uint32_t probe = 0; probe < watch->hypothesis->probe_count; probe++) {
            if (now_boot_ns >= watch->spans[span].end_boot_ns)
                judge_span(watch, span, probe, now_boot_ns);
            all_closed = all_closed && tally_of(watch, span, probe)->closed;
        }
    if (all_closed && watch->span_count > 0 && watch->verdicts[SQ_HYPOTHESIS_DURING] == SQ_VERDICT_OPEN)
        watch->verdicts[SQ_HYPOTHESIS_DURING] = SQ_VERDICT_HOLDS;
}

/* Before and after: the latest is in tolerance, and began from `since` on. */
static bool all_hold_since(const struct sq_watch *watch, uint64_t since_boot_ns)
{
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        if (state->total == 0 || !state->last.within || state->last.started_boot_ns < since_boot_ns)
            return false;
    }
    return true;
}

/* recover_within is over: the first probe with a measured miss decides, else the first that does not hold. */
static void decide_not_recovered(struct sq_watch *watch)
{
    uint64_t since_boot_ns = watch->began_boot_ns[SQ_HYPOTHESIS_AFTER];
    char within[SQ_UNIT_TEXT_MAX];
    bool found = false;
    bool measured = false;
    uint32_t probe = 0;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count && !measured; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        bool is_fresh = state->total > 0 && state->last.started_boot_ns >= since_boot_ns;
        if (is_fresh && state->last.within)
            continue;
        measured = is_fresh && state->last.measured;
        if (measured || !found)
            probe = i;
        found = true;
    }
    const struct sq_measurement *last = &watch->probes[probe].last;
    bool is_fresh = watch->probes[probe].total > 0 && last->started_boot_ns >= since_boot_ns;
    sq_duration_format(watch->hypothesis->recover_within_ns, within);
    decide(watch, SQ_HYPOTHESIS_AFTER, probe, measured,
           "probe \"%s\" did not hold again within %s after the rollback: %s", name_of(watch, probe), within,
           is_fresh ? last->reason : "no measurement was finished");
}

static void judge_after(struct sq_watch *watch, uint64_t now_boot_ns)
{
    if (watch->verdicts[SQ_HYPOTHESIS_AFTER] != SQ_VERDICT_OPEN)
        return;
    if (all_hold_since(watch, watch->began_boot_ns[SQ_HYPOTHESIS_AFTER])) {
        watch->verdicts[SQ_HYPOTHESIS_AFTER] = SQ_VERDICT_HOLDS;
        return;
    }
    bool waits = false;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++)
        waits = waits || under_way(&watch->probes[i], watch->since_boot_ns, UINT64_MAX) > 0;
    if (now_boot_ns >= recover_until_boot_ns(watch) && !waits)
        decide_not_recovered(watch);
}

static void judge_before(struct sq_watch *watch)
{
    if (watch->verdicts[SQ_HYPOTHESIS_BEFORE] == SQ_VERDICT_OPEN &&
        all_hold_since(watch, hold_until_boot_ns(watch)))
        watch->verdicts[SQ_HYPOTHESIS_BEFORE] = SQ_VERDICT_HOLDS;
}

/* --- taking --- */

static bool is_settling(const struct sq_watch *watch, const struct sq_probe *probe, uint64_t boot_ns)
{
    for (uint32_t i = 0; i < watch->span_count; i++)
        if (boot_ns >= watch->spans[i].begin_boot_ns &&
            boot_ns < sq_ns_add(watch->spans[i].in_boot_ns, probe->settle_ns) && probe->settle_ns > 0)
            return true;
    return false;
}

static enum sq_judged judge_in(const struct sq_watch *watch, const struct sq_span *span,
                               const struct sq_measurement *measurement)
{
    const struct sq_probe *probe = &watch->hypothesis->probes[measurement->probe];
    uint64_t began = measurement->started_boot_ns;
    if (!measurement->within)
        return is_settling(watch, probe, began) ? SQ_JUDGED_SETTLE : SQ_JUDGED_MISS;
    if (began >= evidence_until_boot_ns(watch, span))
        return SQ_JUDGED_NOT;
    return began >= evidence_from_boot_ns(span, probe) ? SQ_JUDGED_EVIDENCE : SQ_JUDGED_LAG;
}

/* In spans that overlap, what counts in one of them counts. */
static enum sq_judged weightier(enum sq_judged a, enum sq_judged b)
{
    static const int weights[] = {[SQ_JUDGED_NOT] = 0,
                                  [SQ_JUDGED_LAG] = 1,
                                  [SQ_JUDGED_SETTLE] = 1,
                                  [SQ_JUDGED_EVIDENCE] = 2,
                                  [SQ_JUDGED_MISS] = 3};
    return weights[b] > weights[a] ? b : a;
}

static void note_row(struct sq_row *row, enum sq_judged judged, const struct sq_measurement *measurement)
{
    if (measurement->within) {
        row->misses = 0;
        row->misses_measured = 0;
    } else if (judged == SQ_JUDGED_MISS) {
        if (row->misses++ == 0)
            row->first_boot_ns = measurement->started_boot_ns;
        row->misses_measured += measurement->measured;
        row->last = *measurement;
    }
}

static void take_during(struct sq_watch *watch, const struct sq_measurement *measurement)
{
    uint32_t i = measurement->probe;
    const struct sq_probe *probe = &watch->hypothesis->probes[i];
    struct sq_probe_state *state = &watch->probes[i];
    for (uint32_t span = 0; span < watch->span_count; span++) {
        if (!is_in(&watch->spans[span], measurement->started_boot_ns) || tally_of(watch, span, i)->closed)
            continue;
        enum sq_judged judged = judge_in(watch, &watch->spans[span], measurement);
        sq_tally_add(tally_of(watch, span, i), probe, measurement, judged);
        state->judged = weightier(state->judged, judged);
    }
    struct sq_row *row = &state->rows[SQ_HYPOTHESIS_DURING];
    note_row(row, state->judged, measurement);
    if (watch->verdicts[SQ_HYPOTHESIS_DURING] != SQ_VERDICT_OPEN)
        return;
    if (!measurement->within && row->misses >= probe->abort_after_misses) {
        decide(watch, SQ_HYPOTHESIS_DURING, i, row->misses_measured > 0,
               "probe \"%s\" missed %u time%s in a row, the last because %s: %s", probe->name, row->misses,
               plural(row->misses), because(measurement->measured), measurement->reason);
        return;
    }
    for (uint32_t span = 0; span < watch->span_count; span++)
        if (is_in(&watch->spans[span], measurement->started_boot_ns))
            judge_span(watch, span, i, measurement->ended_boot_ns);
}

static void take_before(struct sq_watch *watch, const struct sq_measurement *measurement)
{
    struct sq_probe_state *state = &watch->probes[measurement->probe];
    state->judged = measurement->within ? SQ_JUDGED_EVIDENCE : SQ_JUDGED_MISS;
    note_row(&state->rows[SQ_HYPOTHESIS_BEFORE], state->judged, measurement);
    sq_tally_add(&state->before, &watch->hypothesis->probes[measurement->probe], measurement, state->judged);
    enum sq_verdict verdict = watch->verdicts[SQ_HYPOTHESIS_BEFORE];
    /* Also when it held, as long as nothing is injected: something else may be waited for. */
    if (!measurement->within && (verdict == SQ_VERDICT_OPEN || verdict == SQ_VERDICT_HOLDS))
        decide(watch, SQ_HYPOTHESIS_BEFORE, measurement->probe, measurement->measured,
               "probe \"%s\" %s before anything was injected: %s", name_of(watch, measurement->probe),
               measurement->measured ? "is out of tolerance" : "could not be measured", measurement->reason);
}

static void take_after(struct sq_watch *watch, const struct sq_measurement *measurement)
{
    struct sq_probe_state *state = &watch->probes[measurement->probe];
    state->judged = measurement->within ? SQ_JUDGED_EVIDENCE : SQ_JUDGED_MISS;
    note_row(&state->rows[SQ_HYPOTHESIS_AFTER], state->judged, measurement);
    sq_tally_add(&state->after, &watch->hypothesis->probes[measurement->probe], measurement, state->judged);
}

/* False: it was given up, and counted as a miss then. */
static bool land(struct sq_probe_state *state, uint64_t started_boot_ns, uint64_t free_boot_ns)
{
    uint32_t found = state->flight_count;
    state->free_boot_ns = most_of(state->free_boot_ns, free_boot_ns);
    for (uint32_t i = 0; i < state->flight_count; i++)
        if (state->flights[i] <= started_boot_ns)
            found = i;
    if (found == state->flight_count && state->given_up > 0) {
        state->given_up--;
        return false;
    }
    if (found < state->flight_count) {
        state->flight_count--;
        memmove(&state->flights[found], &state->flights[found + 1],
                (state->flight_count - found) * sizeof(state->flights[0]));
    }
    return true;
}

static void take(struct sq_watch *watch, const struct sq_measurement *measurement)
{
    struct sq_probe_state *state = &watch->probes[measurement->probe];
    /* An older one that is answered late must not hide a newer value. */
    if (state->total == 0 || measurement->started_boot_ns >= state->last.started_boot_ns)
        state->last = *measurement;
    state->total++;
    state->total_misses += !measurement->within;
    enum sq_hypothesis_phase phase = sq_watch_phase_at(watch, measurement->started_boot_ns);
    if (phase == SQ_HYPOTHESIS_DURING)
        take_during(watch, measurement);
    else if (phase == SQ_HYPOTHESIS_AFTER)
        take_after(watch, measurement);
    else if (watch->phase == SQ_HYPOTHESIS_BEFORE && measurement->started_boot_ns >= watch->since_boot_ns)
        take_before(watch, measurement);
}

static void give_up_hanging(struct sq_watch *watch, uint64_t now_boot_ns)
{
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        struct sq_probe_state *state = &watch->probes[i];
        while (state->flight_count > 0 && now_boot_ns >= give_up_boot_ns(watch, i, 0)) {
            struct sq_measurement lost = {.probe = i,
                                          .started_boot_ns = state->flights[0],
                                          .ended_boot_ns = now_boot_ns,
                                          .reason = "the measurement itself was never finished"};
            (void)land(state, lost.started_boot_ns, give_up_boot_ns(watch, i, 0) - GRACE_NS);
            state->given_up++;
            state->judged = SQ_JUDGED_NOT;
            take(watch, &lost);
        }
    }
}

static void miss(struct sq_watch *watch, uint32_t probe, uint64_t at_boot_ns)
{
    struct sq_measurement missed = {.probe = probe, .started_boot_ns = at_boot_ns, .reason = NOBODY_LOOKED};
    missed.ended_boot_ns = at_boot_ns;
    watch->probes[probe].judged = SQ_JUDGED_NOT;
    take(watch, &missed);
    if (watch->missed != NULL)
        watch->missed(watch->missed_cookie, &missed);
}

/*
 * What was not measured, though nothing was under way: whoever should have done it stood still (SIGSTOP, a
 * machine that was suspended). It is a miss, or a step in which nobody looked would hold.
 */
static void miss_beats(struct sq_watch *watch, uint32_t probe, uint64_t now_boot_ns)
{
    struct sq_probe_state *state = &watch->probes[probe];
    const struct sq_probe *form = &watch->hypothesis->probes[probe];
    uint64_t until_boot_ns = least_of(now_boot_ns, watch->beats_until_boot_ns);
    const enum sq_verdict *verdict = &watch->verdicts[SQ_HYPOTHESIS_DURING];
    uint64_t beat_boot_ns = most_of(state->next_boot_ns, state->free_boot_ns);
    if (!watch->asked || state->flight_count > 0)
        return;
    bool still = now_boot_ns >= sq_ns_add(beat_boot_ns, most_of(form->every_ns, STILL_NS));
    if (watch->phase == SQ_HYPOTHESIS_BEFORE && still)
        watch->began_boot_ns[SQ_HYPOTHESIS_BEFORE] = now_boot_ns; /* it has to hold anew */
    if (watch->phase != SQ_HYPOTHESIS_DURING)
        return;
    while (*verdict == SQ_VERDICT_OPEN) {
        beat_boot_ns = most_of(state->next_boot_ns, state->free_boot_ns);
        uint64_t next_boot_ns = sq_ns_add(beat_boot_ns, most_of(form->every_ns, 1));
        if (next_boot_ns > until_boot_ns)
            break;
        state->next_boot_ns = next_boot_ns;
        miss(watch, probe, beat_boot_ns);
    }
    for (uint32_t i = 0; i < watch->span_count && *verdict == SQ_VERDICT_OPEN; i++) {
        const struct sq_span *span = &watch->spans[i];
        struct sq_tally *tally = tally_of(watch, i, probe);
        uint64_t at_boot_ns = last_boot_ns(watch, span, form);
        if (tally->asked_last || tally->closed || at_boot_ns >= span->end_boot_ns ||
            until_boot_ns < span->end_boot_ns)
            continue;
        tally->asked_last = true;
        miss(watch, probe, at_boot_ns);
    }
}

bool sq_watch_due(struct sq_watch *watch, uint64_t now_boot_ns, uint32_t *probe)
{
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        struct sq_probe_state *state = &watch->probes[i];
        watch->asked = true;
        miss_beats(watch, i, now_boot_ns);
        if (state->flight_count == SQ_FLIGHTS_MAX)
            continue;
        bool forced = is_forced(watch, i, now_boot_ns);
        if (!forced && !is_beat(watch, state, now_boot_ns))
            continue;
        state->next_boot_ns = next_beat_boot_ns(watch, i, forced, now_boot_ns);
        state->flights[state->flight_count++] = now_boot_ns;
        note_asked(watch, i, now_boot_ns);
        *probe = i;
        return true;
    }
    return false;
}

void sq_watch_stop(struct sq_watch *watch, uint64_t now_boot_ns)
{
    watch->beats_until_boot_ns = least_of(watch->beats_until_boot_ns, now_boot_ns);
}

enum sq_verdict sq_watch_take(struct sq_watch *watch, const struct sq_measurement *measurement)
{
    struct sq_probe_state *state = &watch->probes[measurement->probe];
    uint64_t timeout_ns = sq_probe_timeout_ns(&watch->hypothesis->probes[measurement->probe]);
    bool is_awaited =
        land(state, measurement->started_boot_ns,
             least_of(measurement->ended_boot_ns, sq_ns_add(measurement->started_boot_ns, timeout_ns)));
    miss_beats(watch, measurement->probe, measurement->ended_boot_ns);
    state->judged = SQ_JUDGED_NOT;
    if (is_awaited)
        take(watch, measurement);
    return sq_watch_check(watch, measurement->ended_boot_ns);
}

enum sq_verdict sq_watch_check(struct sq_watch *watch, uint64_t now_boot_ns)
{
    if (watch->hypothesis->probe_count == 0)
        return watch->verdicts[watch->phase];
    give_up_hanging(watch, now_boot_ns);
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++)
        miss_beats(watch, i, now_boot_ns);
    judge_spans(watch, now_boot_ns);
    if (watch->phase == SQ_HYPOTHESIS_BEFORE)
        judge_before(watch);
    if (watch->phase == SQ_HYPOTHESIS_AFTER)
        judge_after(watch, now_boot_ns);
    return watch->verdicts[watch->phase];
}
