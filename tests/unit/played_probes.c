#include "played_probes.h"

#include "common/clock.h"
#include "played_agents.h"
#include "probes/http.h"
#include "probes/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct flight {
    struct flight *next;
    struct sq_loop_source *timer;
    struct sq_measurement measurement;
    sq_probe_done done;
    void *cookie;
};

struct sq_http {
    struct flight *flights;
};

struct page page;
static struct sq_http played_http;

static void land(void *cookie)
{
    struct flight *flight = cookie;
    struct sq_measurement measurement = flight->measurement;
    sq_probe_done done = flight->done;
    void *done_cookie = flight->cookie;
    for (struct flight **at = &played_http.flights; *at != NULL; at = &(*at)->next)
        if (*at == flight) {
            *at = flight->next;
            break;
        }
    sq_loop_remove(flight->timer);
    free(flight);
    measurement.ended_boot_ns = sq_loop_now_boot_ns(played_loop);
    measurement.took_ns = measurement.ended_boot_ns - measurement.started_boot_ns;
    done(done_cookie, &measurement);
}

void sq_probe_start(struct sq_http *http, const struct sq_probe *probe, uint32_t index,
                    const struct sq_prometheus *prometheus, sq_probe_done done, void *cookie)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    struct sq_error error;
    (void)probe;
    (void)prometheus;
    assert_non_null(flight);
    assert_ptr_equal(http, &played_http);
    flight->done = done;
    flight->cookie = cookie;
    flight->next = http->flights;
    http->flights = flight;
    struct sq_measurement *measurement = &flight->measurement;
    measurement->probe = index;
    measurement->started_boot_ns = sq_loop_now_boot_ns(played_loop);
    measurement->measured = page.status != 0;
    measurement->within = page.status == 200;
    measurement->has_value = page.status != 0;
    measurement->value = page.status;
    if (!measurement->within)
        (void)snprintf(measurement->reason, sizeof(measurement->reason), "status %u where 200 is tolerated",
                       page.status);
    assert_int_equal(sq_loop_add_timer(played_loop, land, flight, &flight->timer, &error), 0);
    sq_loop_arm(flight->timer, measurement->started_boot_ns + page.takes_ns);
}

int sq_http_open(struct sq_loop *loop, struct sq_names *names, struct sq_http **http, struct sq_error *error)
{
    (void)names;
    (void)error;
    assert_ptr_equal(loop, played_loop);
    *http = &played_http;
    return 0;
}

void sq_http_close(struct sq_http *http)
{
    if (http == NULL)
        return;
    while (http->flights != NULL) {
        struct flight *flight = http->flights;
        http->flights = flight->next;
        sq_loop_remove(flight->timer);
        free(flight);
    }
}
