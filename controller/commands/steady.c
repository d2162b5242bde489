#include "commands/steady.h"

#include "probes/credentials.h"
#include "probes/prometheus.h"

#include <stdio.h>

static void warn(void *cookie, const char *text)
{
    (void)cookie;
    (void)fprintf(stderr, "squall: warning: %s\n", text);
}

int sq_steady_open(const struct sq_options *options, struct sq_experiment *experiment,
                   const struct sq_inventory *inventory, struct sq_prometheus *prometheus,
                   struct sq_error *error)
{
    struct sq_hypothesis *hypothesis = &experiment->hypothesis;
    bool given = options->prometheus_url != NULL;
    *prometheus = (struct sq_prometheus){
        .url = given ? options->prometheus_url : inventory->prometheus_url,
        .access = given ? NULL : inventory->prometheus_access,
    };
    if (prometheus->url[0] != '\0' && sq_prometheus_check_url(prometheus->url, error) != 0)
        return -1;
    if (!experiment->has_hypothesis)
        return 0;
    for (uint32_t i = 0; i < hypothesis->probe_count; i++)
        if (hypothesis->probes[i].kind == SQ_PROBE_PROMQL && prometheus->url[0] == '\0')
            return sq_fail(
                error, SQ_BAD_INPUT,
                "%s:%zu: probe \"%s\" asks Prometheus, but nobody says where it is: give --prometheus "
                "URL, or `prometheus: {url: ...}` in %s",
                experiment->path, hypothesis->probes[i].line, hypothesis->probes[i].name, inventory->path);
    return sq_credentials_load(hypothesis, given ? NULL : inventory->prometheus_access, warn, NULL, error);
}
