#include "planning/plan_json.h"

#include "common/clock.h"
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
    json_t *fault =
        json_pack("{s:i, s:o, s:s, s:o, s:o}", "step", (int)planned->steps[i] + 1, "name",
                  sq_json_text(step->name), "fault", sq_fault_by_kind(step->spec.kind)->name, "duration_s",
                  sq_json_seconds(step->duration_ns), "with", parameters_json(&step->spec));
    if (fault == NULL || !planned->previewed)
        return fault;
    const struct sq_fault_report *report = &planned->reports[i];
    json_t *lines = json_array();
    for (uint32_t j = 0; j < report->line_count; j++)
        (void)json_array_append_new(lines,
                                    json_pack("{s:s, s:o}", "kind", sq_line_kind_name(report->lines[j].kind),
                                              "text", sq_json_text(report->lines[j].text)));
    (void)json_object_set_new(fault, "preview", lines);
    (void)json_object_set_new(fault, "lines_dropped", json_integer(report->lines_dropped));
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
        (void)json_array_append_new(
            steps, json_pack("{s:i, s:o, s:s, s:o, s:o, s:b, s:i, s:o}", "step", (int)i + 1, "name",
                             sq_json_text(step->name), "fault", info->name, "start_s",
                             sq_json_seconds(sq_experiment_step_start_ns(experiment, i)), "duration_s",
                             sq_json_seconds(step->duration_ns), "instant", (int)info->instant, "matching",
                             (int)sq_select_count(experiment, &step->targets, plan->inventory), "with",
                             parameters_json(&step->spec)));
    }
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < plan->host_count; i++)
        (void)json_array_append_new(hosts, host_json(plan, i, problems != NULL ? &problems[i] : NULL));
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "title", sq_json_text(experiment->title), "length_s",
                     sq_json_seconds(sq_experiment_length_ns(experiment)), "lease_s",
                     sq_json_seconds(experiment->lease_ns), "steps", steps, "hosts", hosts);
}

/* When a moment of our boot-time clock is or was by the wall clock. */
static json_t *time_json(uint64_t boot_ns)
{
    char text[SQ_TIMESTAMP_MAX];
    uint64_t now_boot_ns = sq_boot_ns();
    uint64_t now_real_ns = sq_real_ns();
    sq_timestamp_format(boot_ns < now_boot_ns ? sq_ns_sub(now_real_ns, now_boot_ns - boot_ns)
                                              : sq_ns_add(now_real_ns, boot_ns - now_boot_ns),
                        text);
    return json_string(text);
}

static json_t *company_host_json(const struct sq_host *host, const struct sq_company_host *company)
{
    char id[SQ_ID_TEXT_MAX];
    json_t *object = json_pack("{s:o, s:s}", "host", sq_json_text(host->name), "state",
                               sq_company_state_name(company->state));
    if (company->problem[0] != '\0')
        (void)json_object_set_new(object, "problem", sq_json_text(company->problem));
    if (company->state == SQ_COMPANY_SILENT)
        return object;
    sq_id_format(&company->experiment, id);
    (void)json_object_set_new(object, "id", json_string(id));
    (void)json_object_set_new(object, "title", sq_json_text(company->title));
    (void)json_object_set_new(object, "operator", sq_json_text(company->operator_name));
    if (company->since_boot_ns != 0)
        (void)json_object_set_new(object, "since", time_json(company->since_boot_ns));
    if (company->until_boot_ns != 0) {
        (void)json_object_set_new(object, "until", time_json(company->until_boot_ns));
        (void)json_object_set_new(object, "renewable", json_boolean(company->renewable));
    }
    return object;
}

json_t *sq_company_json(const struct sq_company *company)
{
    json_t *list = json_array();
    for (uint32_t i = 0; company->hosts != NULL && i < company->inventory->host_count; i++)
        if (company->hosts[i].state != SQ_COMPANY_NONE)
            (void)json_array_append_new(list,
                                        company_host_json(&company->inventory->hosts[i], &company->hosts[i]));
    return list;
}
