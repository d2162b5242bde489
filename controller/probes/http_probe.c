/* `http`: asks a web service, as its customers do. */
#include "probes/table.h"

#include "common/text.h"
#include "common/units.h"
#include "model/probe_form.h"

#include <string.h>

#define URL_TEXT_MAX 200

static int start(struct sq_http *http, const struct sq_probe *probe, const struct sq_prometheus *prometheus,
                 sq_http_done done, void *cookie, struct sq_error *error)
{
    (void)prometheus;
    const struct sq_http_request request = {
        .url = probe->target, .timeout_ns = sq_probe_timeout_ns(probe), .access = probe->access};
    return sq_http_get(http, &request, done, cookie, error);
}

/* Of a status that came: is it the right one, and soon enough? */
static void judge_answer(const struct sq_probe *probe, const struct sq_http_result *result,
                         struct sq_measurement *measurement)
{
    char limit[SQ_UNIT_TEXT_MAX];
    char took[SQ_UNIT_TEXT_MAX];
    char tolerated[200] = "";
    measurement->has_value = true;
    measurement->value = result->status;
    if (!sq_probe_tolerates_status(probe, result->status)) {
        sq_probe_statuses_format(probe, tolerated, sizeof(tolerated));
        sq_text_append(measurement->reason, SQ_REASON_MAX, "status %u where %s is tolerated", result->status,
                       tolerated + strlen("status "));
        return;
    }
    if (probe->within_ns != 0 && measurement->took_ns > probe->within_ns) {
        sq_duration_format_rounded(measurement->took_ns, took);
        sq_duration_format(probe->within_ns, limit);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "status %u after %s where %s are tolerated",
                       result->status, took, limit);
        return;
    }
    measurement->within = true;
}

static void judge(const struct sq_probe *probe, const struct sq_prometheus *prometheus,
                  const struct sq_http_result *result, struct sq_measurement *measurement)
{
    char limit[SQ_UNIT_TEXT_MAX];
    char url[URL_TEXT_MAX];
    (void)prometheus;
    sq_probe_target_format(probe, url, sizeof(url));
    /* A service that refuses, hangs or hangs up was measured: it does not serve. */
    measurement->measured = result->failure != SQ_HTTP_NOT_ASKED;
    switch (result->failure) {
    case SQ_HTTP_NOT_ASKED:
        sq_text_append(measurement->reason, SQ_REASON_MAX, "%s cannot be asked: %s", url, result->reason);
        break;
    case SQ_HTTP_TIMED_OUT:
        sq_duration_format(sq_probe_timeout_ns(probe), limit);
        sq_text_append(measurement->reason, SQ_REASON_MAX, "no answer from %s within %s", url, limit);
        break;
    case SQ_HTTP_NO_ANSWER:
        sq_text_append(measurement->reason, SQ_REASON_MAX, "no answer from %s: %s", url, result->reason);
        break;
    case SQ_HTTP_ANSWERED:
        judge_answer(probe, result, measurement);
        break;
    }
}

const struct sq_probe_ops sq_probe_http_ops = {.kind = SQ_PROBE_HTTP, .start = start, .judge = judge};
