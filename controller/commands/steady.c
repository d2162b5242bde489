#include "commands/steady.h"

#include "common/text.h"
#include "common/units.h"
#include "model/evidence.h"
#include "model/probe_form.h"
#include "model/url.h"
#include "probes/credentials.h"
#include "probes/prometheus.h"
#include "screen/style.h"
#include "json/json.h"

#include <string.h>

static int read_prometheus(struct sq_options *options, const char *value, struct sq_error *error)
{
    if (strlen(value) >= SQ_PATH_TEXT_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "'--prometheus': the URL is longer than %d bytes",
                       SQ_PATH_TEXT_MAX - 1);
    if (sq_http_url_check(value, error) != 0)
        return sq_fail_in(error, "'--prometheus'");
    options->prometheus_url = value;
    return 0;
}

const struct sq_option sq_option_prometheus = {
    .name = "prometheus",
    .value = "URL",
    .help = "ask this Prometheus instead of the one the inventory names",
    .read = read_prometheus,
};

static void warn(void *cookie, const char *text)
{
    (void)cookie;
    (void)fprintf(stderr, "squall: warning: %s\n", text);
}

int sq_steady_open(const struct sq_options *options, struct sq_experiment *experiment,
                   const struct sq_inventory *inventory, struct sq_steady *steady, struct sq_error *error)
{
    struct sq_hypothesis *hypothesis = &experiment->hypothesis;
    struct sq_prometheus *prometheus = &steady->prometheus;
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
                "URL%s%s",
                experiment->path, hypothesis->probes[i].line, hypothesis->probes[i].name,
                options->local ? "" : ", or `prometheus: {url: ...}` in ",
                options->local ? "" : inventory->path);
    return sq_credentials_load(hypothesis, given ? NULL : inventory->prometheus_access, warn, NULL, error);
}

void sq_steady_close(struct sq_steady *steady)
{
    sq_survey_close(&steady->survey);
}

int sq_steady_measure(struct sq_steady *steady, struct sq_experiment *experiment, int interrupt_fd,
                      struct sq_error *error)
{
    struct sq_hypothesis *hypothesis = &experiment->hypothesis;
    if (!experiment->has_hypothesis)
        return 0;
    if (sq_survey_take(hypothesis, &steady->prometheus, interrupt_fd, &steady->survey, error) != 0)
        return -1;
    steady->measured = true;
    for (uint32_t i = 0; i < hypothesis->probe_count; i++)
        if (!hypothesis->probes[i].has_lag)
            hypothesis->probes[i].lag_ns = steady->survey.lag_ns;
    if (sq_survey_judge(&steady->survey, hypothesis, error) != 0)
        return -1;
    return sq_evidence_check_first(experiment, true, error);
}

static void print_row(const struct sq_probe *probe, const struct sq_measurement *measurement, bool colored,
                      FILE *stream)
{
    char value[200];
    char tolerance[200];
    sq_probe_value_format(probe, measurement, value, sizeof(value));
    sq_probe_tolerance_format(probe, tolerance, sizeof(tolerance));
    (void)fprintf(stream, "  %s  ", probe->name);
    (void)fprintf(stream, "%s%s%s (%s)\n",
                  sq_style_begin(colored, measurement->within ? SQ_STYLE_GOOD : SQ_STYLE_BAD), value,
                  sq_style_end(colored), tolerance);
    if (!measurement->within)
        (void)fprintf(stream, "    %s\n", measurement->reason);
    if (measurement->note[0] != '\0')
        (void)fprintf(stream, "    note: %s\n", measurement->note);
}

void sq_steady_print(const struct sq_steady *steady, const struct sq_experiment *experiment, bool colored,
                     FILE *stream)
{
    char lag[SQ_UNIT_TEXT_MAX];
    if (!steady->measured)
        return;
    (void)fprintf(stream, "\nThe steady state now:\n");
    for (uint32_t i = 0; i < steady->survey.count; i++)
        print_row(&experiment->hypothesis.probes[i], &steady->survey.measurements[i], colored, stream);
    if (!steady->survey.asks_prometheus)
        return;
    sq_duration_format(steady->survey.lag_ns, lag);
    (void)fprintf(stream, "  Values of Prometheus are evidence from %s after an injection (%s).\n", lag,
                  steady->survey.lag_known ? "its longest scrape interval"
                                           : "it does not say how often it scrapes");
}

static json_t *measurement_json(const struct sq_probe *probe, const struct sq_measurement *measurement)
{
    char target[SQ_QUERY_MAX];
    char tolerance[200];
    json_t *object = json_object();
    sq_probe_target_format(probe, target, sizeof(target));
    sq_probe_tolerance_format(probe, tolerance, sizeof(tolerance));
    (void)json_object_set_new(object, "probe", sq_json_text(probe->name));
    (void)json_object_set_new(object, sq_probe_form_of(probe->kind)->name, sq_json_text(target));
    (void)json_object_set_new(object, "tolerance", sq_json_text(tolerance));
    (void)json_object_set_new(object, "measured", json_boolean(measurement->measured));
    (void)json_object_set_new(object, "within", json_boolean(measurement->within));
    (void)json_object_set_new(object, "value",
                              measurement->has_value ? sq_json_number(measurement->value) : json_null());
    (void)json_object_set_new(object, "took_s", sq_json_seconds(measurement->took_ns));
    if (measurement->reason[0] != '\0')
        (void)json_object_set_new(object, "reason", sq_json_text(measurement->reason));
    if (measurement->note[0] != '\0')
        (void)json_object_set_new(object, "note", sq_json_text(measurement->note));
    return object;
}

void sq_steady_json(const struct sq_steady *steady, const struct sq_experiment *experiment, json_t *document)
{
    if (!steady->measured)
        return;
    json_t *list = json_array();
    for (uint32_t i = 0; i < steady->survey.count; i++)
        (void)json_array_append_new(
            list, measurement_json(&experiment->hypothesis.probes[i], &steady->survey.measurements[i]));
    (void)json_object_set_new(document, "steady_state", list);
    if (steady->survey.asks_prometheus)
        (void)json_object_set_new(document, "lag_s", sq_json_seconds(steady->survey.lag_ns));
}
