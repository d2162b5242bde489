#include "probes/survey.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "probes/http.h"
#include "probes/prometheus.h"
#include "probes/table.h"

#include <stdio.h>
#include <stdlib.h>

#define TARGETS_TIMEOUT_NS (10 * SQ_NS_PER_SECOND)
#define TARGETS_BYTES_MAX  ((size_t)64 << 20)

struct taking {
    struct sq_loop *loop;
    struct sq_names *names;
    struct sq_http *http;
    struct sq_survey *survey;
    uint32_t under_way;
    bool interrupted;
};

static void taking_close(struct taking *taking)
{
    sq_http_close(taking->http);
    sq_names_close(taking->names);
    sq_loop_close(taking->loop);
}

static void on_interrupt(void *cookie, uint32_t events)
{
    struct taking *taking = cookie;
    (void)events;
    taking->interrupted = true;
}

static void on_measured(void *cookie, const struct sq_measurement *measurement)
{
    struct taking *taking = cookie;
    taking->survey->measurements[measurement->probe] = *measurement;
    taking->under_way--;
}

static void on_targets(void *cookie, const struct sq_http_result *result)
{
    struct taking *taking = cookie;
    struct sq_survey *survey = taking->survey;
    if (result == NULL)
        return;
    taking->under_way--;
    survey->lag_known = result->failure == SQ_HTTP_ANSWERED &&
                        sq_prometheus_read_targets(result->status, result->body, result->body_bytes,
                                                   &survey->lag_ns, NULL) == 0;
    if (!survey->lag_known)
        survey->lag_ns = SQ_LAG_DEFAULT_NS;
}

/* What cannot be asked is no failure: the default is taken. */
static void ask_for_targets(struct taking *taking, const struct sq_prometheus *prometheus)
{
    sq_autofree char *url = NULL;
    taking->survey->lag_ns = SQ_LAG_DEFAULT_NS;
    if (sq_prometheus_targets_url(prometheus->url, &url, NULL) != 0)
        return;
    const struct sq_http_request request = {.url = url,
                                            .timeout_ns = TARGETS_TIMEOUT_NS,
                                            .access = prometheus->access,
                                            .body_max = TARGETS_BYTES_MAX,
                                            .whole = true};
    taking->under_way++;
    if (sq_http_get(taking->http, &request, on_targets, taking, NULL) != 0)
        taking->under_way--;
}

static int take(struct taking *taking, const struct sq_hypothesis *hypothesis,
                const struct sq_prometheus *prometheus, int interrupt_fd, struct sq_error *error)
{
    struct sq_loop_source *source;
    if (sq_loop_open(&taking->loop, error) != 0 || sq_names_open(taking->loop, &taking->names, error) != 0 ||
        sq_http_open(taking->loop, taking->names, &taking->http, error) != 0 ||
        (interrupt_fd >= 0 &&
         sq_loop_add_fd(taking->loop, interrupt_fd, EPOLLIN, on_interrupt, taking, &source, error) != 0))
        return -1;
    if (taking->survey->asks_prometheus && prometheus != NULL)
        ask_for_targets(taking, prometheus);
    for (uint32_t i = 0; i < hypothesis->probe_count; i++) {
        taking->under_way++;
        sq_probe_start(taking->http, &hypothesis->probes[i], i, prometheus, on_measured, taking);
    }
    while (taking->under_way > 0 && !taking->interrupted)
        if (sq_loop_turn(taking->loop, UINT64_MAX, error) != 0)
            return -1;
    if (taking->interrupted)
        return sq_fail(error, SQ_ABORTED, "stopped while the steady state was measured: nothing was done");
    return 0;
}

int sq_survey_take(const struct sq_hypothesis *hypothesis, const struct sq_prometheus *prometheus,
                   int interrupt_fd, struct sq_survey *survey, struct sq_error *error)
{
    *survey = (struct sq_survey){.count = hypothesis->probe_count};
    survey->measurements = calloc((size_t)survey->count + 1, sizeof(*survey->measurements));
    if (survey->measurements == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the steady state");
    for (uint32_t i = 0; i < survey->count; i++)
        survey->asks_prometheus = survey->asks_prometheus || hypothesis->probes[i].kind == SQ_PROBE_PROMQL;
    struct taking taking = {.survey = survey};
    int status = survey->count > 0 ? take(&taking, hypothesis, prometheus, interrupt_fd, error) : 0;
    taking_close(&taking);
    return status;
}

void sq_survey_close(struct sq_survey *survey)
{
    free(survey->measurements);
    survey->measurements = NULL;
}

int sq_survey_judge(const struct sq_survey *survey, const struct sq_hypothesis *hypothesis,
                    struct sq_error *error)
{
    uint32_t misses = 0;
    uint32_t worst = 0;
    for (uint32_t i = 0; i < survey->count; i++) {
        const struct sq_measurement *measurement = &survey->measurements[i];
        if (measurement->within)
            continue;
        if (misses++ == 0 || (measurement->measured && !survey->measurements[worst].measured))
            worst = i;
    }
    if (misses == 0)
        return 0;
    const struct sq_measurement *measurement = &survey->measurements[worst];
    char more[40] = "";
    if (misses > 1)
        (void)snprintf(more, sizeof(more), " (and %u more)", misses - 1);
    return sq_fail(error, measurement->measured ? SQ_NOT_STEADY : SQ_NO_DATA,
                   "probe \"%s\" %s before anything was injected: %s%s", hypothesis->probes[worst].name,
                   measurement->measured ? "is out of tolerance" : "could not be measured",
                   measurement->reason, more);
}
