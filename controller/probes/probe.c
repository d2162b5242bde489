#include "probes/probe.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/tolerance.h"
#include "probes/prometheus.h"

#include <stdlib.h>
#include <string.h>

struct flight {
    const struct sq_probe *probe;
    const char *prometheus_url;
    uint32_t index;
    sq_probe_done done;
    void *cookie;
};

static uint64_t timeout_of_ns(const struct sq_probe *probe)
{
    return probe->timeout_ns != 0 ? probe->timeout_ns : probe->every_ns;
}

static void judge_http(const struct sq_probe *probe, const struct sq_http_result *result,
                       struct sq_measurement *measurement)
{
    char limit[SQ_UNIT_TEXT_MAX];
    char took[SQ_UNIT_TEXT_MAX];
    uint64_t took_ns = sq_ns_sub(result->ended_boot_ns, result->started_boot_ns);
    sq_duration_format_rounded(took_ns, took);
    measurement->reason[0] = '\0';
    if (result->failure == SQ_HTTP_NOT_ASKED) {
        sq_text_append(measurement->reason, SQ_REASON_MAX, "%.200s cannot be asked: %s", probe->target,
                       result->reason);
        return;
    }
    /* A service that refuses, hangs or hangs up was measured: it does not serve. */
    measurement->measured = true;
    if (result->failure == SQ_HTTP_TIMED_OUT) {
        sq_duration_format(timeout_of_ns(probe), limit);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "no answer from %.200s within %s", probe->target,
                       limit);
        return;
    }
    if (result->failure == SQ_HTTP_NO_ANSWER) {
        sq_text_append(measurement->reason, SQ_REASON_MAX, "no answer from %.200s: %s", probe->target,
                       result->reason);
        return;
    }
    uint32_t expected = probe->http_status != 0 ? probe->http_status : 200;
    measurement->has_value = true;
    measurement->value = result->status;
    if (result->status != expected) {
        sq_text_append(measurement->reason, SQ_REASON_MAX, "status %u where %u is tolerated", result->status,
                       expected);
        return;
    }
    if (probe->within_ns != 0 && took_ns > probe->within_ns) {
        sq_duration_format(probe->within_ns, limit);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "status %u after %s where %s are tolerated",
                       result->status, took, limit);
        return;
    }
    measurement->within = true;
}

static void judge_promql(const struct sq_probe *probe, const char *prometheus_url,
                         const struct sq_http_result *result, struct sq_measurement *measurement)
{
    struct sq_error error = {0};
    char limit[SQ_UNIT_TEXT_MAX];
    measurement->reason[0] = '\0';
    if (result->failure == SQ_HTTP_TIMED_OUT) {
        sq_duration_format(timeout_of_ns(probe), limit);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "Prometheus at %.200s did not answer within %s",
                       prometheus_url, limit);
        return;
    }
    if (result->failure != SQ_HTTP_ANSWERED) {
        sq_text_append(measurement->reason, SQ_REASON_MAX, "Prometheus at %.200s cannot be asked: %s",
                       prometheus_url, result->reason);
        return;
    }
    if (sq_prometheus_read(result->status, result->body, result->body_bytes, &measurement->value, &error) !=
        0) {
        (void)sq_text_copy(measurement->reason, SQ_REASON_MAX, error.text);
        return;
    }
    measurement->measured = true;
    measurement->has_value = true;
    measurement->within = sq_tolerance_holds(&probe->tolerance, measurement->value);
    if (!measurement->within) {
        char tolerance[SQ_TOLERANCE_TEXT_MAX];
        sq_tolerance_format(&probe->tolerance, tolerance);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "%g where %s is tolerated", measurement->value,
                       tolerance);
    }
}

void sq_probe_judge(const struct sq_probe *probe, const char *prometheus_url,
                    const struct sq_http_result *result, struct sq_measurement *measurement)
{
    measurement->measured = false;
    measurement->within = false;
    measurement->has_value = false;
    measurement->value = 0;
    if (probe->kind == SQ_PROBE_HTTP)
        judge_http(probe, result, measurement);
    else
        judge_promql(probe, prometheus_url, result, measurement);
}

static void on_done(void *cookie, const struct sq_http_result *result)
{
    struct flight *flight = cookie;
    if (result == NULL) {
        free(flight);
        return;
    }
    struct sq_measurement measurement = {
        .probe = flight->index,
        .started_boot_ns = result->started_boot_ns,
        .ended_boot_ns = result->ended_boot_ns,
    };
    sq_probe_judge(flight->probe, flight->prometheus_url, result, &measurement);
    sq_probe_done done = flight->done;
    void *done_cookie = flight->cookie;
    free(flight);
    done(done_cookie, &measurement);
}

static int start(struct sq_http *http, struct flight *flight, struct sq_error *error)
{
    const struct sq_probe *probe = flight->probe;
    if (probe->kind == SQ_PROBE_HTTP)
        return sq_http_get(http, probe->target, timeout_of_ns(probe), on_done, flight, error);
    sq_autofree char *url = NULL;
    if (sq_prometheus_query_url(flight->prometheus_url, probe->target, timeout_of_ns(probe), &url, error) !=
        0)
        return -1;
    return sq_http_get(http, url, timeout_of_ns(probe), on_done, flight, error);
}

void sq_probe_start(struct sq_http *http, const struct sq_probe *probe, uint32_t index,
                    const char *prometheus_url, sq_probe_done done, void *cookie)
{
    struct sq_error error = {0};
    struct flight *flight = malloc(sizeof(*flight));
    if (flight != NULL) {
        *flight = (struct flight){
            .probe = probe, .prometheus_url = prometheus_url, .index = index, .done = done, .cookie = cookie};
        if (start(http, flight, &error) == 0)
            return;
        free(flight);
    } else {
        (void)sq_fail(&error, SQ_SYSTEM, "out of memory for a measurement");
    }
    struct sq_measurement measurement = {.probe = index, .started_boot_ns = sq_boot_ns()};
    measurement.ended_boot_ns = measurement.started_boot_ns;
    (void)sq_text_copy(measurement.reason, SQ_REASON_MAX, error.text);
    done(cookie, &measurement);
}

void sq_probe_tolerance_format(const struct sq_probe *probe, char *text, size_t size)
{
    text[0] = '\0';
    if (probe->kind == SQ_PROBE_HTTP) {
        char limit[SQ_UNIT_TEXT_MAX];
        sq_text_append(text, size, "status %u", probe->http_status != 0 ? probe->http_status : 200);
        if (probe->within_ns != 0) {
            sq_duration_format(probe->within_ns, limit);
            sq_text_append(text, size, " within %s", limit);
        }
        return;
    }
    char tolerance[SQ_TOLERANCE_TEXT_MAX];
    sq_tolerance_format(&probe->tolerance, tolerance);
    sq_text_append(text, size, "%s", tolerance);
}

void sq_probe_value_format(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                           size_t size)
{
    text[0] = '\0';
    if (!measurement->has_value) {
        sq_text_append(text, size, "%s", measurement->measured ? "no answer" : "not measurable");
        return;
    }
    if (probe->kind == SQ_PROBE_HTTP) {
        char took[SQ_UNIT_TEXT_MAX];
        sq_duration_format_rounded(sq_ns_sub(measurement->ended_boot_ns, measurement->started_boot_ns), took);
        sq_text_append(text, size, "status %.0f in %s", measurement->value, took);
        return;
    }
    sq_text_append(text, size, "%.6g", measurement->value);
}
