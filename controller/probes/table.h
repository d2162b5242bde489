/*
 * How each kind of probe is measured: started, and its answer judged by the probe's tolerance. What its keys
 * are and how it is written stands in model/probe_form.h; a new kind is an entry in both.
 */
#ifndef SQ_PROBES_TABLE_H
#define SQ_PROBES_TABLE_H

#include "common/error.h"
#include "model/evidence.h"
#include "model/experiment.h"
#include "model/hypothesis.h"
#include "probes/http.h"

typedef void (*sq_probe_done)(void *cookie, const struct sq_measurement *measurement);

struct sq_probe_ops {
    enum sq_probe_kind kind;
    /* Ask. `done` is called once unless this fails. */
    int (*start)(struct sq_http *http, const struct sq_probe *probe, const struct sq_prometheus *prometheus,
                 sq_http_done done, void *cookie, struct sq_error *error);
    /* What an answer means. Pure. `measurement` comes with its index and times, and nothing else. */
    void (*judge)(const struct sq_probe *probe, const struct sq_prometheus *prometheus,
                  const struct sq_http_result *result, struct sq_measurement *measurement);
};

extern const struct sq_probe_ops sq_probe_promql_ops;
extern const struct sq_probe_ops sq_probe_http_ops;

/*
 * Start measuring `probe` (borrowed until done), index `index` of its hypothesis. `done` is called once,
 * in a turn of the loop, or at once when it could not even be started; never after sq_http_close.
 * `prometheus` (borrowed likewise; NULL: there is none) is used by promql probes alone. What the accesses of
 * the probe and of Prometheus name is loaded (credentials.h).
 */
void sq_probe_start(struct sq_http *http, const struct sq_probe *probe, uint32_t index,
                    const struct sq_prometheus *prometheus, sq_probe_done done, void *cookie);

#endif
