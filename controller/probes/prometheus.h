/*
 * Prometheus' instant queries (prometheus.io/docs/prometheus/latest/querying/api): the URL to ask, and what
 * the answer says. Only one number is a measurement; whatever else comes is SQ_NO_DATA with the reason,
 * because no data is not good news.
 */
#ifndef SQ_PROBES_PROMETHEUS_H
#define SQ_PROBES_PROMETHEUS_H

#include "common/error.h"
#include "model/hypothesis.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A new URL for an instant query, to be freed by the caller. `base` is what people write ("http://host:9090",
 * a path prefix and a '/' at the end are fine). SQ_BAD_INPUT if `base` is no http or https URL.
 */
int sq_prometheus_query_url(const char *base, const char *query, uint64_t timeout_ns, char **url,
                            struct sq_error *error);

/* That `base` is a URL that can be asked. SQ_BAD_INPUT if not. */
int sq_prometheus_check_url(const char *base, struct sq_error *error);

/* A new URL that lists the active targets; as above. */
int sq_prometheus_targets_url(const char *base, char **url, struct sq_error *error);

/*
 * Read an answer: a scalar, or a vector of one element, gives the value (infinities included). SQ_NO_DATA
 * with the reason: an HTTP or query error (in Prometheus' own words), no data, NaN, several elements (two of
 * them are named), a matrix or string, warnings (a partial answer), or no answer of Prometheus at all.
 * `note`: its remarks on the query ("PromQL info: ..."), which spoil nothing; "" if there are none.
 */
int sq_prometheus_read(uint32_t status, const char *body, size_t body_bytes, double *value,
                       char note[SQ_NOTE_MAX], struct sq_error *error);

/* The longest scrape interval of the active targets. SQ_NO_DATA: it is not to be known. */
int sq_prometheus_read_targets(uint32_t status, const char *body, size_t body_bytes, uint64_t *longest_ns,
                               struct sq_error *error);

#endif
