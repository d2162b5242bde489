#include "model/evidence.h"

#include "common/clock.h"
#include "common/units.h"
#include "model/probe_form.h"

#define DEFAULT_PERCENT    10
#define DEFAULT_LEAST_PART 3 /* never more than a third */

uint64_t sq_probe_timeout_ns(const struct sq_probe *probe)
{
    return probe->timeout_ns != 0 ? probe->timeout_ns : probe->every_ns;
}

uint64_t sq_probe_beats_between(const struct sq_probe *probe, uint64_t from_ns, uint64_t until_ns)
{
    uint64_t every_ns = probe->every_ns > 0 ? probe->every_ns : 1;
    return from_ns < until_ns ? (until_ns - from_ns + every_ns - 1) / every_ns : 0;
}

uint64_t sq_probe_beats(const struct sq_probe *probe, uint64_t length_ns)
{
    /* The one before the end begins a new rhythm. */
    uint64_t last_ns = sq_ns_sub(length_ns, sq_probe_timeout_ns(probe));
    return sq_probe_beats_between(probe, 0, last_ns) + sq_probe_beats_between(probe, last_ns, length_ns);
}

uint64_t sq_probe_evidence_ns(const struct sq_probe *probe)
{
    return sq_ns_add(sq_ns_add(probe->settle_ns, probe->lag_ns), sq_probe_timeout_ns(probe));
}

static uint64_t percent_of(double percent, uint64_t whole)
{
    /* Percentages round down; 10 % of 30 is 3 in binary too. */
    return (uint64_t)(percent * (double)whole / 100 + 1e-9);
}

uint64_t sq_probe_allowed(const struct sq_probe *probe, uint64_t judged)
{
    const struct sq_allowance *most = &probe->max_misses;
    if (most->given)
        return most->is_percent ? percent_of(most->percent, judged) : most->count;
    uint64_t allowed = percent_of(DEFAULT_PERCENT, judged);
    if (probe->abort_after_misses > allowed + 1)
        allowed = probe->abort_after_misses - 1;
    return allowed < judged / DEFAULT_LEAST_PART ? allowed : judged / DEFAULT_LEAST_PART;
}

static bool is_worse(const struct sq_probe *probe, const struct sq_measurement *a,
                     const struct sq_measurement *b)
{
    if (a->within != b->within)
        return b->within;
    if (a->has_value != b->has_value)
        return b->has_value;
    const struct sq_probe_form *form = sq_probe_form_of(probe->kind);
    return form->margin(probe, a) < form->margin(probe, b);
}

void sq_tally_add(struct sq_tally *tally, const struct sq_probe *probe,
                  const struct sq_measurement *measurement, enum sq_judged judged)
{
    tally->measured++;
    tally->evidence += judged == SQ_JUDGED_EVIDENCE;
    if (judged == SQ_JUDGED_EVIDENCE && measurement->started_boot_ns > tally->last_evidence_boot_ns)
        tally->last_evidence_boot_ns = measurement->started_boot_ns;
    tally->misses += judged == SQ_JUDGED_MISS;
    tally->misses_measured += judged == SQ_JUDGED_MISS && measurement->measured;
    tally->too_soon += judged == SQ_JUDGED_LAG;
    tally->settling += judged == SQ_JUDGED_SETTLE;
    if (measurement->measured && (!tally->has_worst || is_worse(probe, measurement, &tally->worst))) {
        tally->has_worst = true;
        tally->worst = *measurement;
    }
}

/* False: it is too short. */
static bool check_evidence(const struct sq_experiment *experiment, const struct sq_step *step,
                           struct sq_probe probe, bool lags_are_known, sq_evidence_tell tell, void *cookie)
{
    char duration[SQ_UNIT_TEXT_MAX];
    char needed[SQ_UNIT_TEXT_MAX];
    char settle[SQ_UNIT_TEXT_MAX];
    char lag[SQ_UNIT_TEXT_MAX];
    char timeout[SQ_UNIT_TEXT_MAX];
    struct sq_error error;
    if (!probe.has_lag && !lags_are_known)
        probe.lag_ns = 0;
    if (step->duration_ns >= sq_probe_evidence_ns(&probe))
        return true;
    sq_duration_format(step->duration_ns, duration);
    sq_duration_format(sq_probe_evidence_ns(&probe), needed);
    sq_duration_format(probe.settle_ns, settle);
    sq_duration_format(probe.lag_ns, lag);
    sq_duration_format(sq_probe_timeout_ns(&probe), timeout);
    (void)sq_fail(&error, SQ_BAD_INPUT,
                  "%s:%zu:%zu: \"%.60s\" is too short to show that probe \"%.60s\" holds: it lasts %s, where "
                  "%s are needed, the probe's settle (%s), lag (%s%s) and timeout (%s)",
                  experiment->path, step->duration_line, step->duration_column, step->name, probe.name,
                  duration, needed, settle, lag,
                  probe.has_lag || !lags_are_known ? ""
                                                   : ", as Prometheus says or by default; 'lag' overrides it",
                  timeout);
    tell(cookie, false, &error);
    return false;
}

static void check_row(const struct sq_experiment *experiment, const struct sq_step *step,
                      const struct sq_probe *probe, sq_evidence_tell tell, void *cookie)
{
    char duration[SQ_UNIT_TEXT_MAX];
    struct sq_error error;
    uint64_t beats = sq_probe_beats(probe, sq_ns_sub(step->duration_ns, probe->settle_ns));
    if (beats >= probe->abort_after_misses)
        return;
    sq_duration_format(step->duration_ns, duration);
    (void)sq_fail(&error, SQ_BAD_INPUT,
                  "%s:%zu:%zu: \"%.60s\" lasts %s, in which probe \"%.60s\" is judged %llu time%s: no row of "
                  "%u misses comes together that would end it ('abort-after-misses'), only 'max-misses' can",
                  experiment->path, step->duration_line, step->duration_column, step->name, duration,
                  probe->name, (unsigned long long)beats, beats == 1 ? "" : "s", probe->abort_after_misses);
    tell(cookie, true, &error);
}

void sq_evidence_check(const struct sq_experiment *experiment, bool lags_are_known, sq_evidence_tell tell,
                       void *cookie)
{
    const struct sq_hypothesis *hypothesis = &experiment->hypothesis;
    for (uint32_t i = 0; experiment->has_hypothesis && i < experiment->step_count; i++)
        for (uint32_t probe = 0; probe < hypothesis->probe_count; probe++) {
            if (check_evidence(experiment, &experiment->steps[i], hypothesis->probes[probe], lags_are_known,
                               tell, cookie))
                check_row(experiment, &experiment->steps[i], &hypothesis->probes[probe], tell, cookie);
        }
}

static void keep_first(void *cookie, bool is_warning, const struct sq_error *error)
{
    struct sq_error *first = cookie;
    if (!is_warning && first->code == SQ_OK)
        *first = *error;
}

int sq_evidence_check_first(const struct sq_experiment *experiment, bool lags_are_known,
                            struct sq_error *error)
{
    struct sq_error first = {0};
    sq_evidence_check(experiment, lags_are_known, keep_first, &first);
    return first.code == SQ_OK ? 0 : sq_fail(error, first.code, "%s", first.text);
}
