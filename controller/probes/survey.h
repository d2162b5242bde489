/*
 * Every probe measured once, before anything happens: what would be known too late otherwise (a query that
 * does not parse, a wrong URL or token, a query of no series or of several) is known now. Of Prometheus it
 * also asks how old its values may be: the longest scrape interval of its active targets.
 */
#ifndef SQ_PROBES_SURVEY_H
#define SQ_PROBES_SURVEY_H

#include "common/error.h"
#include "loop/loop.h"
#include "model/access.h"
#include "model/experiment.h"
#include "model/hypothesis.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_LAG_DEFAULT_NS (15 * SQ_NS_PER_SECOND)

struct sq_survey {
    uint32_t count;                      /* one per probe of the hypothesis, in its order */
    struct sq_measurement *measurements; /* owned */
    bool asks_prometheus;                /* there is a promql probe */
    bool lag_known;                      /* by Prometheus; else the default was taken */
    uint64_t lag_ns;
};

/*
 * Measure, all at once, each within its own timeout. `hypothesis` is borrowed for the call; access is loaded
 * (credentials.h). 0: all is measured, good or bad (sq_survey_judge says which). -1: SQ_ABORTED when
 * `interrupt_fd` (or -1) became readable, or our own resources failed.
 */
int sq_survey_take(const struct sq_hypothesis *hypothesis, const struct sq_prometheus *prometheus,
                   int interrupt_fd, struct sq_survey *survey, struct sq_error *error);
void sq_survey_close(struct sq_survey *survey); /* one that was zeroed is fine */

/*
 * 0: every probe is in tolerance. Else -1: SQ_NOT_STEADY if one was measured and is not, else SQ_NO_DATA; the
 * text names the first of these.
 */
int sq_survey_judge(const struct sq_survey *survey, const struct sq_hypothesis *hypothesis,
                    struct sq_error *error);

#endif
