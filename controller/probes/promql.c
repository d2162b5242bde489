/* `promql`: asks Prometheus for one number. */
#include "probes/table.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "common/units.h"
#include "model/probe_form.h"
#include "model/url.h"
#include "probes/prometheus.h"

#define URL_TEXT_MAX 200
#define BODY_MAX     (1u << 20) /* one number is asked for */

static int start(struct sq_http *http, const struct sq_probe *probe, const struct sq_prometheus *prometheus,
                 sq_http_done done, void *cookie, struct sq_error *error)
{
    sq_autofree char *url = NULL;
    uint64_t timeout_ns = sq_probe_timeout_ns(probe);
    if (sq_prometheus_query_url(prometheus != NULL ? prometheus->url : "", probe->target, timeout_ns, &url,
                                error) != 0)
        return -1;
    const struct sq_http_request request = {.url = url,
                                            .timeout_ns = timeout_ns,
                                            .access = prometheus->access,
                                            .body_max = BODY_MAX,
                                            .whole = true,
                                            .fresh = true};
    return sq_http_get(http, &request, done, cookie, error);
}

static void judge(const struct sq_probe *probe, const struct sq_prometheus *prometheus,
                  const struct sq_http_result *result, struct sq_measurement *measurement)
{
    struct sq_error error = {0};
    char limit[SQ_UNIT_TEXT_MAX];
    char shown[URL_TEXT_MAX];
    sq_url_show(prometheus->url, shown, sizeof(shown));
    if (result->failure == SQ_HTTP_TIMED_OUT) {
        sq_duration_format(sq_probe_timeout_ns(probe), limit);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "Prometheus at %s did not answer within %s", shown,
                       limit);
        return;
    }
    if (result->failure != SQ_HTTP_ANSWERED) {
        sq_text_append(measurement->reason, SQ_REASON_MAX, "Prometheus at %s cannot be asked: %s", shown,
                       result->reason);
        return;
    }
    if (sq_prometheus_read(result->status, result->body, result->body_bytes, &measurement->value,
                           measurement->note, &error) != 0) {
        (void)sq_text_copy(measurement->reason, SQ_REASON_MAX, error.text);
        return;
    }
    measurement->measured = true;
    measurement->has_value = true;
    measurement->within = sq_tolerance_holds(&probe->tolerance, measurement->value);
    if (!measurement->within) {
        char tolerance[SQ_TOLERANCE_TEXT_MAX];
        char value[SQ_NUMBER_TEXT_MAX];
        sq_tolerance_format(&probe->tolerance, tolerance);
        sq_tolerance_value_format(&probe->tolerance, measurement->value, value);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "%s where %s is tolerated", value, tolerance);
    }
}

const struct sq_probe_ops sq_probe_promql_ops = {.kind = SQ_PROBE_PROMQL, .start = start, .judge = judge};
