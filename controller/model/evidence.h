/*
 * Can an experiment's steps show that its hypothesis held? Pure; for `validate`, and for `plan` and `run`
 * once Prometheus has said how far its values look back. And what is counted of one that was measured.
 */
#ifndef SQ_MODEL_EVIDENCE_H
#define SQ_MODEL_EVIDENCE_H

#include "common/error.h"
#include "model/experiment.h"
#include "model/hypothesis.h"

#include <stdbool.h>

uint64_t sq_probe_timeout_ns(const struct sq_probe *probe); /* of one measurement */

/* How often it is due from `from` on, at once and then by its rhythm, before `until`. */
uint64_t sq_probe_beats_between(const struct sq_probe *probe, uint64_t from_ns, uint64_t until_ns);

/* How often it is measured at most in a span of this length, from its beginning. */
uint64_t sq_probe_beats(const struct sq_probe *probe, uint64_t length_ns);

/* How long a span must be at least to hold a measurement that is evidence: settle, lag and timeout. */
uint64_t sq_probe_evidence_ns(const struct sq_probe *probe);

/* How many of `judged` measurements in a span may miss. */
uint64_t sq_probe_allowed(const struct sq_probe *probe, uint64_t judged);

/* Count a measurement that was judged, and keep it if it is the worst so far. */
void sq_tally_add(struct sq_tally *tally, const struct sq_probe *probe,
                  const struct sq_measurement *measurement, enum sq_judged judged);

/* Called with "file:line:column: ...", code SQ_BAD_INPUT. */
typedef void (*sq_evidence_tell)(void *cookie, bool is_warning, const struct sq_error *error);

/*
 * Tell every step that is too short for a probe to be evidence in it, and warn of every one that is shorter
 * than a row of misses that would end it. `lags_are_known`: a promql probe's lag_ns is Prometheus' own;
 * else one that the file does not give counts as nothing.
 */
void sq_evidence_check(const struct sq_experiment *experiment, bool lags_are_known, sq_evidence_tell tell,
                       void *cookie);

/* The same for whoever wants the first error alone: -1 with it, or 0. */
int sq_evidence_check_first(const struct sq_experiment *experiment, bool lags_are_known,
                            struct sq_error *error);

#endif
