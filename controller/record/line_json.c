#include "record/line_json.h"

#include "common/clock.h"
#include "common/text.h"
#include "model/probe_form.h"
#include "table/params.h"
#include "json/json.h"

#include <string.h>

/* Of a larger file the record keeps no text: a line must stay one that is read at once. */
#define EXPERIMENT_TEXT_MAX (1u << 20)

static json_t *lines_json(struct sq_line_maker *maker, const struct sq_fault_report *report)
{
    json_t *lines = json_array();
    for (uint32_t i = 0; i < report->line_count; i++) {
        json_t *line = json_object();
        sq_line_set_text(maker, line, "kind", sq_line_kind_name(report->lines[i].kind));
        sq_line_set_text(maker, line, "text", report->lines[i].text);
        sq_line_append(maker, lines, line);
    }
    return lines;
}

static json_t *spec_json(struct sq_line_maker *maker, const struct sq_fault_spec *spec)
{
    json_t *with = json_object();
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    for (size_t i = 0; info != NULL && i < info->param_count; i++) {
        const struct sq_param *param = &info->params[i];
        char text[SQ_PARAM_TEXT_MAX];
        if (param->type != SQ_PARAM_CIDRS) {
            if (sq_param_format(spec, param, text, sizeof(text)))
                sq_line_set_text(maker, with, param->key, text);
            continue;
        }
        json_t *items = json_array();
        for (size_t item = 0; sq_param_format_item(spec, param, item, text, sizeof(text)); item++)
            sq_line_append(maker, items, sq_json_text(text));
        sq_line_set(maker, with, param->key, items);
    }
    return with;
}

static json_t *method_json(struct sq_line_maker *maker, const struct sq_experiment *experiment)
{
    json_t *method = json_array();
    for (uint32_t i = 0; i < experiment->step_count; i++) {
        const struct sq_step *step = &experiment->steps[i];
        json_t *object = json_object();
        const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
        sq_line_set_text(maker, object, "name", step->name);
        sq_line_set_text(maker, object, "fault", info != NULL ? info->name : "unknown");
        sq_line_set(maker, object, "with", spec_json(maker, &step->spec));
        sq_line_set(maker, object, "starts_after_s",
                    sq_json_seconds(sq_experiment_step_start_ns(experiment, i)));
        sq_line_set(maker, object, "duration_s", sq_json_seconds(step->duration_ns));
        if (step->came_back_within_ns != 0)
            sq_line_set(maker, object, "came_back_within_s", sq_json_seconds(step->came_back_within_ns));
        sq_line_append(maker, method, object);
    }
    return method;
}

/* What decides how its misses are judged. */
static void set_judging(struct sq_line_maker *maker, json_t *object, const struct sq_probe *probe)
{
    const struct sq_allowance *allowed = &probe->max_misses;
    char percent[32];
    sq_line_set(maker, object, "every_s", sq_json_seconds(probe->every_ns));
    sq_line_set(maker, object, "timeout_s", sq_json_seconds(probe->timeout_ns));
    sq_line_set(maker, object, "abort_after_misses", json_integer(probe->abort_after_misses));
    (void)snprintf(percent, sizeof(percent), "%g%%", allowed->percent);
    if (allowed->given)
        sq_line_set(maker, object, "max_misses",
                    allowed->is_percent ? json_string(percent) : json_integer(allowed->count));
    sq_line_set(maker, object, "settle_s", sq_json_seconds(probe->settle_ns));
    sq_line_set(maker, object, "lag_s", probe->has_lag ? sq_json_seconds(probe->lag_ns) : json_null());
}

static json_t *probes_json(struct sq_line_maker *maker, const struct sq_hypothesis *hypothesis)
{
    json_t *probes = json_array();
    for (uint32_t i = 0; i < hypothesis->probe_count; i++) {
        const struct sq_probe *probe = &hypothesis->probes[i];
        json_t *object = json_object();
        char text[SQ_QUERY_MAX];
        sq_line_set_text(maker, object, "name", probe->name);
        sq_probe_target_format(probe, text, sizeof(text));
        sq_line_set_text(maker, object, sq_probe_form_of(probe->kind)->name, text);
        sq_probe_tolerance_format(probe, text, sizeof(text));
        sq_line_set_text(maker, object, "tolerance", text);
        set_judging(maker, object, probe);
        sq_line_append(maker, probes, object);
    }
    return probes;
}

static json_t *hypothesis_json(struct sq_line_maker *maker, const struct sq_experiment *experiment)
{
    if (!experiment->has_hypothesis)
        return json_null();
    const struct sq_hypothesis *hypothesis = &experiment->hypothesis;
    json_t *object = json_object();
    sq_line_set_text(maker, object, "title", hypothesis->title);
    sq_line_set(maker, object, "hold_before_s", sq_json_seconds(hypothesis->hold_before_ns));
    sq_line_set(maker, object, "recover_within_s", sq_json_seconds(hypothesis->recover_within_ns));
    sq_line_set(maker, object, "probes", probes_json(maker, hypothesis));
    return object;
}

static json_t *experiment_json(struct sq_line_maker *maker)
{
    const struct sq_record_head *head = maker->head;
    const struct sq_experiment *experiment = head->plan->experiment;
    json_t *object = json_object();
    json_t *parameters = json_object();
    for (uint32_t i = 0; i < experiment->parameter_count; i++)
        sq_line_set_text(maker, parameters, experiment->parameters[i].name, experiment->parameters[i].value);
    sq_line_set_some(maker, object, "path", head->experiment_path);
    sq_line_set(maker, object, "parameters", parameters);
    sq_line_set_some(maker, object, "plan_sha256", head->plan_sha256);
    /* The file as it was, but for its secrets: like every JSON text. */
    if (head->experiment_text != NULL &&
        strnlen(head->experiment_text, EXPERIMENT_TEXT_MAX) < EXPERIMENT_TEXT_MAX)
        sq_line_set_text(maker, object, "text", head->experiment_text);
    return object;
}

json_t *sq_line_head_json(struct sq_line_maker *maker)
{
    const struct sq_record_head *head = maker->head;
    const struct sq_experiment *experiment = head->plan->experiment;
    bool asked = head->prometheus_url != NULL && head->prometheus_url[0] != '\0';
    json_t *line = json_object();
    sq_line_set(maker, line, "format", json_string(SQ_RECORD_FORMAT));
    sq_line_set(maker, line, "version", json_integer(SQ_RECORD_VERSION));
    sq_line_set(maker, line, "squall", json_string(SQ_VERSION));
    sq_line_set_time(maker, line, "began", head->began_boot_ns);
    sq_line_set_id(maker, line, "id", &head->id);
    sq_line_set_text(maker, line, "title", experiment->title);
    sq_line_set_text(maker, line, "operator", head->operator_name);
    sq_line_set(maker, line, "lease_s", sq_json_seconds(experiment->lease_ns));
    sq_line_set(maker, line, "prometheus", asked ? sq_json_text(head->prometheus_url) : json_null());
    sq_line_set(maker, line, "experiment", experiment_json(maker));
    sq_line_set(maker, line, "hypothesis", hypothesis_json(maker, experiment));
    sq_line_set(maker, line, "method", method_json(maker, experiment));
    return line;
}

void sq_line_set_plan(struct sq_line_maker *maker, json_t *line, uint32_t index)
{
    const struct sq_plan_host *host = &maker->head->plan->hosts[index];
    const struct sq_step *steps = maker->head->plan->experiment->steps;
    json_t *faults = json_array();
    for (uint32_t fault = 0; fault < host->fault_count; fault++) {
        json_t *entry = json_object();
        sq_line_set_step(maker, entry, &steps[host->steps[fault]]);
        for (uint32_t i = 0; i < host->report_count; i++)
            if (host->reports[i].index == fault)
                sq_line_set(maker, entry, "preview", lines_json(maker, &host->reports[i]));
        sq_line_append(maker, faults, entry);
    }
    sq_line_set_text(maker, line, "name", host->host->name);
    sq_line_set_text(maker, line, "agent", host->host->agent);
    sq_line_set(maker, line, "faults", faults);
}

static json_t *fault_json(struct sq_line_maker *maker, const struct sq_run_last_fault *fault)
{
    const struct sq_fault_report *report = fault->report;
    json_t *object = json_object();
    sq_line_set_step(maker, object, fault->step);
    if (report == NULL)
        return object;
    sq_line_set_text(maker, object, "state", sq_state_name(report->state));
    sq_line_set_text(maker, object, "ended_by", sq_end_reason_name(report->end_reason));
    if (report->code != SQ_OK)
        sq_line_set_text(maker, object, "code", sq_code_name(report->code));
    sq_line_set_some(maker, object, "message", report->message);
    sq_line_set_time(maker, object, "prepared", fault->prepared_boot_ns);
    sq_line_set_time(maker, object, "injected", fault->injected_boot_ns);
    sq_line_set_time(maker, object, "clean", fault->clean_boot_ns);
    sq_line_set_time(maker, object, "removed", fault->removed_boot_ns);
    sq_line_set_time(maker, object, "seen", fault->seen_boot_ns);
    sq_line_set_text(maker, object, "proof", sq_proof_name(report->proof));
    sq_line_set(maker, object, "proved", json_boolean(report->proof == SQ_PROOF_PROVED));
    sq_line_set(maker, object, "touched", json_boolean(report->touched));
    json_t *counters = json_object();
    for (uint32_t i = 0; i < report->counter_count; i++)
        sq_line_set(maker, counters, report->counters[i].name,
                    json_integer((json_int_t)report->counters[i].value));
    sq_line_set(maker, object, "counters", counters);
    sq_line_set(maker, object, "lines", lines_json(maker, report));
    if (report->lines_dropped > 0)
        sq_line_set(maker, object, "lines_dropped", json_integer(report->lines_dropped));
    return object;
}

void sq_line_set_result(struct sq_line_maker *maker, json_t *line, const struct sq_run_last_host *host)
{
    json_t *faults = json_array();
    for (uint32_t fault = 0; fault < host->fault_count; fault++)
        sq_line_append(maker, faults, fault_json(maker, &host->faults[fault]));
    sq_line_set_text(maker, line, "name", maker->head->plan->hosts[host->host].host->name);
    sq_line_set(maker, line, "round_trip_s", sq_json_seconds(host->round_trip_ns));
    sq_line_set(maker, line, "wall_clock_offset_s", json_real((double)host->wall_offset_ns / 1e9));
    sq_line_set(maker, line, "ordered", json_boolean(host->ordered));
    sq_line_set_time(maker, line, "clean", host->clean_boot_ns);
    sq_line_set_time(maker, line, "removed", host->removed_boot_ns);
    sq_line_set(maker, line, "unclean", json_boolean(host->unclean));
    if (host->forgotten)
        sq_line_set(maker, line, "forgotten", json_true());
    if (host->unconfirmed)
        sq_line_set(maker, line, "unconfirmed", json_true());
    sq_line_set_some(maker, line, "problem", host->problem);
    sq_line_set(maker, line, "faults", faults);
}
