#include "probes/table.h"

#include "common/clock.h"
#include "common/text.h"

#include <stdlib.h>

struct flight {
    const struct sq_probe_ops *ops;
    const struct sq_probe *probe;
    const struct sq_prometheus *prometheus;
    uint32_t index;
    sq_probe_done done;
    void *cookie;
};

static const struct sq_probe_ops *const table[] = {&sq_probe_promql_ops, &sq_probe_http_ops};

static const struct sq_probe_ops *ops_of(enum sq_probe_kind kind)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i]->kind == kind)
            return table[i];
    return NULL;
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
        .took_ns = result->took_ns,
    };
    flight->ops->judge(flight->probe, flight->prometheus, result, &measurement);
    sq_probe_done done = flight->done;
    void *done_cookie = flight->cookie;
    free(flight);
    done(done_cookie, &measurement);
}

void sq_probe_start(struct sq_http *http, const struct sq_probe *probe, uint32_t index,
                    const struct sq_prometheus *prometheus, sq_probe_done done, void *cookie)
{
    struct sq_error error = {0};
    const struct sq_probe_ops *ops = ops_of(probe->kind);
    struct flight *flight = malloc(sizeof(*flight));
    if (flight != NULL && ops != NULL) {
        *flight = (struct flight){.ops = ops,
                                  .probe = probe,
                                  .prometheus = prometheus,
                                  .index = index,
                                  .done = done,
                                  .cookie = cookie};
        if (ops->start(http, probe, prometheus, on_done, flight, &error) == 0)
            return;
    } else {
        (void)sq_fail(&error, SQ_SYSTEM, "out of memory for a measurement");
    }
    free(flight);
    struct sq_measurement measurement = {.probe = index, .started_boot_ns = sq_boot_ns()};
    measurement.ended_boot_ns = measurement.started_boot_ns;
    (void)sq_text_copy(measurement.reason, SQ_REASON_MAX, error.text);
    done(cookie, &measurement);
}
