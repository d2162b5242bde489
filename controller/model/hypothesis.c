#include "model/hypothesis.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

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
    watch->probes = NULL;
}

void sq_watch_begin(struct sq_watch *watch, enum sq_hypothesis_phase phase, uint64_t now_boot_ns)
{
    watch->phase = phase;
    watch->since_boot_ns = now_boot_ns;
    watch->verdict = SQ_VERDICT_OPEN;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        struct sq_probe_state *state = &watch->probes[i];
        state->misses = 0;
        state->measured_once = false;
        state->under_way = false;
        uint64_t every_ns = watch->hypothesis->probes[i].every_ns;
        if (phase == SQ_HYPOTHESIS_DURING && state->last.started_boot_ns != 0)
            state->next_boot_ns = sq_ns_add(state->last.started_boot_ns, every_ns);
        else
            state->next_boot_ns = now_boot_ns;
    }
}

static uint64_t hold_until_boot_ns(const struct sq_watch *watch)
{
    return sq_ns_add(watch->since_boot_ns, watch->hypothesis->hold_before_ns);
}

bool sq_watch_due(struct sq_watch *watch, uint64_t now_boot_ns, uint32_t *probe)
{
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        struct sq_probe_state *state = &watch->probes[i];
        if (state->under_way || now_boot_ns < state->next_boot_ns)
            continue;
        uint64_t every_ns = watch->hypothesis->probes[i].every_ns;
        /* Keep the rhythm; where a beat was missed altogether, start a new one rather than catch up. */
        uint64_t next_boot_ns = sq_ns_add(state->next_boot_ns, every_ns);
        if (next_boot_ns <= now_boot_ns)
            next_boot_ns = sq_ns_add(now_boot_ns, every_ns);
        /* The state before must be measured at the end of hold-before too, however long `every` is. */
        if (watch->phase == SQ_HYPOTHESIS_BEFORE && now_boot_ns < hold_until_boot_ns(watch) &&
            next_boot_ns > hold_until_boot_ns(watch))
            next_boot_ns = hold_until_boot_ns(watch);
        state->next_boot_ns = next_boot_ns;
        state->under_way = true;
        *probe = i;
        return true;
    }
    return false;
}

static uint64_t recover_until_boot_ns(const struct sq_watch *watch)
{
    return sq_ns_add(watch->since_boot_ns, watch->hypothesis->recover_within_ns);
}

uint64_t sq_watch_next_boot_ns(const struct sq_watch *watch)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        if (!state->under_way && state->next_boot_ns < next_boot_ns)
            next_boot_ns = state->next_boot_ns;
    }
    if (watch->phase == SQ_HYPOTHESIS_AFTER && recover_until_boot_ns(watch) < next_boot_ns)
        next_boot_ns = recover_until_boot_ns(watch);
    return next_boot_ns;
}

static enum sq_verdict decide(struct sq_watch *watch, uint32_t probe, bool measured)
{
    watch->deciding = probe;
    watch->verdict = measured ? SQ_VERDICT_BROKEN : SQ_VERDICT_UNMEASURABLE;
    return watch->verdict;
}

static bool held_before(const struct sq_watch *watch)
{
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        if (!state->measured_once || !state->last.within ||
            state->last.started_boot_ns < hold_until_boot_ns(watch))
            return false;
    }
    return true;
}

static bool holds_after(const struct sq_watch *watch)
{
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        if (!state->measured_once || !state->last.within)
            return false;
    }
    return true;
}

static void note(struct sq_probe_state *state, const struct sq_measurement *measurement)
{
    state->under_way = false;
    state->last = *measurement;
    state->total++;
    if (!measurement->within)
        state->total_misses++;
}

enum sq_verdict sq_watch_take(struct sq_watch *watch, const struct sq_measurement *measurement)
{
    struct sq_probe_state *state = &watch->probes[measurement->probe];
    bool counts = measurement->started_boot_ns >= watch->since_boot_ns;
    /* A straggler of the phase before must not hide a newer value, nor end the wait for one under way. */
    if (!counts) {
        if (measurement->started_boot_ns >= state->last.started_boot_ns) {
            bool under_way = state->under_way;
            note(state, measurement);
            state->under_way = under_way;
        }
        return watch->verdict;
    }
    note(state, measurement);
    state->measured_once = true;
    if (watch->verdict != SQ_VERDICT_OPEN)
        return watch->verdict;
    if (measurement->within) {
        state->misses = 0;
    } else {
        if (state->misses++ == 0)
            state->first_missed_boot_ns = measurement->started_boot_ns;
        state->last_missed_boot_ns = measurement->started_boot_ns;
        if (watch->phase == SQ_HYPOTHESIS_BEFORE)
            return decide(watch, measurement->probe, measurement->measured);
        if (watch->phase == SQ_HYPOTHESIS_DURING &&
            state->misses >= watch->hypothesis->probes[measurement->probe].abort_after_misses)
            return decide(watch, measurement->probe, measurement->measured);
    }
    return sq_watch_check(watch, measurement->ended_boot_ns);
}

/* recover_within is over: the first probe with a measured miss decides, else the first that does not hold. */
static enum sq_verdict not_recovered(struct sq_watch *watch)
{
    bool found = false;
    uint32_t unmeasured = 0;
    for (uint32_t i = 0; i < watch->hypothesis->probe_count; i++) {
        const struct sq_probe_state *state = &watch->probes[i];
        if (state->measured_once && state->last.within)
            continue;
        if (state->measured_once && state->last.measured)
            return decide(watch, i, true);
        if (!found)
            unmeasured = i;
        found = true;
    }
    return decide(watch, unmeasured, false);
}

enum sq_verdict sq_watch_check(struct sq_watch *watch, uint64_t now_boot_ns)
{
    if (watch->verdict != SQ_VERDICT_OPEN || watch->hypothesis->probe_count == 0)
        return watch->verdict;
    if (watch->phase == SQ_HYPOTHESIS_BEFORE && held_before(watch))
        watch->verdict = SQ_VERDICT_HOLDS;
    if (watch->phase == SQ_HYPOTHESIS_AFTER) {
        if (holds_after(watch))
            watch->verdict = SQ_VERDICT_HOLDS;
        else if (now_boot_ns >= recover_until_boot_ns(watch))
            return not_recovered(watch);
    }
    return watch->verdict;
}

void sq_watch_explain(const struct sq_watch *watch, char *text, size_t size)
{
    const struct sq_probe *probe = &watch->hypothesis->probes[watch->deciding];
    const struct sq_probe_state *state = &watch->probes[watch->deciding];
    char within[SQ_UNIT_TEXT_MAX];
    const char *reason = state->measured_once ? state->last.reason : "no measurement was finished";
    text[0] = '\0';
    switch (watch->phase) {
    case SQ_HYPOTHESIS_BEFORE:
        sq_text_append(text, size, "probe \"%s\" %s before anything was injected: %s", probe->name,
                       watch->verdict == SQ_VERDICT_BROKEN ? "is out of tolerance" : "could not be measured",
                       reason);
        break;
    case SQ_HYPOTHESIS_DURING:
        sq_text_append(text, size, "probe \"%s\" missed %u time%s in a row, the last because %s: %s",
                       probe->name, state->misses, state->misses == 1 ? "" : "s",
                       watch->verdict == SQ_VERDICT_BROKEN ? "it is out of tolerance"
                                                           : "it could not be measured",
                       reason);
        break;
    case SQ_HYPOTHESIS_AFTER:
        sq_duration_format(watch->hypothesis->recover_within_ns, within);
        sq_text_append(text, size, "probe \"%s\" did not hold again within %s after the rollback: %s",
                       probe->name, within, reason);
        break;
    }
}
