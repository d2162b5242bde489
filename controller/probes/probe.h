/* One measurement of one probe: asks Prometheus or the URL, and judges the answer by the probe's tolerance.
 */
#ifndef SQ_PROBES_PROBE_H
#define SQ_PROBES_PROBE_H

#include "common/error.h"
#include "model/experiment.h"
#include "model/hypothesis.h"
#include "probes/http.h"

typedef void (*sq_probe_done)(void *cookie, const struct sq_measurement *measurement);

/*
 * Start measuring `probe` (borrowed until done), index `index` of its hypothesis. `done` is called once,
 * from sq_http_step, or at once when it could not even be started; never after sq_http_close.
 * `prometheus_url` (borrowed likewise) is used by promql probes alone.
 */
void sq_probe_start(struct sq_http *http, const struct sq_probe *probe, uint32_t index,
                    const char *prometheus_url, sq_probe_done done, void *cookie);

/* What an answer means for a probe. Pure. Fills all of `measurement` but the index and the times. */
void sq_probe_judge(const struct sq_probe *probe, const char *prometheus_url,
                    const struct sq_http_result *result, struct sq_measurement *measurement);

/* The probe's tolerance ("status 200, within 500ms") and a measured value ("0.98", "status 200 in 12ms"), as
 * text. */
void sq_probe_tolerance_format(const struct sq_probe *probe, char *text, size_t size);
void sq_probe_value_format(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                           size_t size);

#endif
