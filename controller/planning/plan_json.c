#include "planning/plan_json.h"

#include "common/units.h"
#include "model/select.h"
#include "json/json.h"

static json_t *parameters_json(const struct sq_fault_spec *spec)
{
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    json_t *parameters = json_object();
    for (size_t i = 0; info != NULL && i < info->param_count; i++) {
        const struct sq_param *param = &info->params[i];
        char value[SQ_PARAM_TEXT_MAX];
        if (param->type == SQ_PARAM_CIDRS) {
            json_t *list = json_array();
            for (size_t j = 0; sq_param_format_item(spec, param, j, value, sizeof(value)); j++)
                (void)json_array_append_new(list, json_string(value));
            if (json_array_size(list) > 0)
                (void)json_object_set(parameters, param->key, list);
            json_decref(list);
        } else if (sq_param_format(spec, param, value, sizeof(value))) {
            (void)json_object_set_new(parameters, param->key, sq_json_text(value));
        }
    }
    return parameters;
}

static json_t *fault_json(const struct sq_plan *plan, const struct sq_plan_host *planned, uint32_t i)
{
    const struct sq_step *step = &plan->experiment->steps[planned->steps[i]];
    char duration[SQ_UNIT_TEXT_MAX];
    sq_duration_format(step->duration_ns, duration);
    json_t *fault = json_pack("{s:i, s:o, s:s, s:s, s:o}", "step", (int)planned->steps[i] + 1, "name",
                              sq_json_text(step->name), "fault", sq_fault_by_kind(step->spec.kind)->name,
                              "duration", duration, "with", parameters_json(&step->spec));
    if (fault == NULL || !planned->previewed)
        return fault;
    const struct sq_fault_report *report = &planned->reports[i];
    json_t *lines = json_array();
    for (uint32_t j = 0; j < report->line_count; j++)
        (void)json_array_append_new(lines,
                                    json_pack("{s:s, s:o}", "kind", sq_line_kind_name(report->lines[j].kind),
                                              "text", sq_json_text(report->lines[j].text)));
    (void)json_object_set_new(fault, "preview", lines);
    (void)json_object_set_new(fault, "lines-dropped", json_integer(report->lines_dropped));
    return fault;
}

static json_t *host_json(const struct sq_plan *plan, uint32_t i, const struct sq_error *problem)
{
    const struct sq_plan_host *planned = &plan->hosts[i];
    json_t *faults = json_array();
    for (uint32_t j = 0; j < planned->fault_count; j++)
        (void)json_array_append_new(faults, fault_json(plan, planned, j));
    json_t *host = json_pack("{s:o, s:o, s:o}", "name", sq_json_text(planned->host->name), "agent",
                             sq_json_text(planned->host->agent), "faults", faults);
    if (problem != NULL && problem->code != SQ_OK)
        (void)json_object_set_new(host, "problem",
                                  json_pack("{s:s, s:o}", "code", sq_code_name(problem->code), "message",
                                            sq_json_text(problem->text)));
    return host;
}

json_t *sq_plan_json(const struct sq_plan *plan, const struct sq_error *problems)
{
    const struct sq_experiment *experiment = plan->experiment;
    json_t *steps = json_array();
    for (uint32_t i = 0; i < experiment->step_count; i++) {
        const struct sq_step *step = &experiment->steps[i];
        const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
        char start[SQ_UNIT_TEXT_MAX];
        char duration[SQ_UNIT_TEXT_MAX];
        sq_duration_format(sq_experiment_step_start_ns(experiment, i), start);
        sq_duration_format(step->duration_ns, duration);
        (void)json_array_append_new(
            steps, json_pack("{s:i, s:o, s:s, s:s, s:s, s:b, s:i, s:o}", "step", (int)i + 1, "name",
                             sq_json_text(step->name), "fault", info->name, "start", start, "duration",
                             duration, "instant", (int)info->instant, "matching",
                             (int)sq_select_count(experiment, &step->targets, plan->inventory), "with",
                             parameters_json(&step->spec)));
    }
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < plan->host_count; i++)
        (void)json_array_append_new(hosts, host_json(plan, i, problems != NULL ? &problems[i] : NULL));
    char length[SQ_UNIT_TEXT_MAX];
    char lease[SQ_UNIT_TEXT_MAX];
    sq_duration_format(sq_experiment_length_ns(experiment), length);
    sq_duration_format(experiment->lease_ns, lease);
    return json_pack("{s:o, s:s, s:s, s:o, s:o}", "title", sq_json_text(experiment->title), "length", length,
                     "lease", lease, "steps", steps, "hosts", hosts);
}
