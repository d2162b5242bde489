/* What a run writes into its record: docs/run-record.md has the format. */
#include "engine/run_state.h"

#include "common/clock.h"
#include "common/text.h"
#include "model/probe_form.h"
#include "table/params.h"
#include "json/json.h"

#include <math.h>

static void set(json_t *object, const char *key, json_t *value)
{
    /* Out of memory leaves a key out; the record is then told to be incomplete by its own calls. */
    (void)json_object_set_new(object, key, value);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    set(object, key, sq_json_text(text));
}

/* Times that never came have no key. */
static void set_time(json_t *object, const struct sq_run *run, const char *key, uint64_t boot_ns)
{
    if (boot_ns != 0)
        set(object, key, sq_record_time(run->options.record, boot_ns));
}

static json_t *id_json(const struct sq_id *id)
{
    char text[SQ_ID_TEXT_MAX];
    sq_id_format(id, text);
    return json_string(text);
}

static json_t *lines_json(const struct sq_fault_report *report)
{
    json_t *lines = json_array();
    for (uint32_t i = 0; i < report->line_count; i++) {
        json_t *line = json_object();
        set_text(line, "kind", sq_line_kind_name(report->lines[i].kind));
        set_text(line, "text", report->lines[i].text);
        (void)json_array_append_new(lines, line);
    }
    return lines;
}

static json_t *counters_json(const struct sq_fault_report *report)
{
    json_t *counters = json_object();
    for (uint32_t i = 0; i < report->counter_count; i++)
        set(counters, report->counters[i].name, json_integer((json_int_t)report->counters[i].value));
    return counters;
}

static void set_step(json_t *object, const struct sq_run *run, const struct sq_run_host *host, uint32_t fault)
{
    const struct sq_step *step = sq_run_step_of(run, host, fault);
    const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
    set_text(object, "step", step->name);
    set_text(object, "fault", info != NULL ? info->name : "unknown");
}

static json_t *spec_json(const struct sq_fault_spec *spec)
{
    json_t *with = json_object();
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    for (size_t i = 0; info != NULL && i < info->param_count; i++) {
        const struct sq_param *param = &info->params[i];
        char text[SQ_PARAM_TEXT_MAX];
        if (param->type != SQ_PARAM_CIDRS) {
            if (sq_param_format(spec, param, text, sizeof(text)))
                set_text(with, param->key, text);
            continue;
        }
        json_t *items = json_array();
        for (size_t item = 0; sq_param_format_item(spec, param, item, text, sizeof(text)); item++)
            (void)json_array_append_new(items, sq_json_text(text));
        set(with, param->key, items);
    }
    return with;
}

static json_t *method_json(const struct sq_run *run)
{
    json_t *method = json_array();
    for (uint32_t i = 0; i < run->experiment->step_count; i++) {
        const struct sq_step *step = &run->experiment->steps[i];
        const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
        json_t *object = json_object();
        set_text(object, "name", step->name);
        set_text(object, "fault", info != NULL ? info->name : "unknown");
        set(object, "with", spec_json(&step->spec));
        set(object, "starts_after_s", sq_json_seconds(sq_experiment_step_start_ns(run->experiment, i)));
        set(object, "duration_s", sq_json_seconds(step->duration_ns));
        (void)json_array_append_new(method, object);
    }
    return method;
}

static json_t *probes_json(const struct sq_hypothesis *hypothesis)
{
    json_t *probes = json_array();
    for (uint32_t i = 0; i < hypothesis->probe_count; i++) {
        const struct sq_probe *probe = &hypothesis->probes[i];
        json_t *object = json_object();
        const struct sq_probe_form *form = sq_probe_form_of(probe->kind);
        char text[SQ_QUERY_MAX];
        set_text(object, "name", probe->name);
        sq_probe_target_format(probe, text, sizeof(text));
        set_text(object, form->name, text);
        sq_probe_tolerance_format(probe, text, sizeof(text));
        set_text(object, "tolerance", text);
        set(object, "every_s", sq_json_seconds(probe->every_ns));
        set(object, "abort_after_misses", json_integer(probe->abort_after_misses));
        (void)json_array_append_new(probes, object);
    }
    return probes;
}

static json_t *hypothesis_json(const struct sq_hypothesis *hypothesis)
{
    if (hypothesis == NULL)
        return json_null();
    json_t *object = json_object();
    set_text(object, "title", hypothesis->title);
    set(object, "hold_before_s", sq_json_seconds(hypothesis->hold_before_ns));
    set(object, "recover_within_s", sq_json_seconds(hypothesis->recover_within_ns));
    set(object, "probes", probes_json(hypothesis));
    return object;
}

static json_t *plan_json(const struct sq_run *run)
{
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        json_t *object = json_object();
        json_t *faults = json_array();
        set_text(object, "name", host->name);
        set_text(object, "agent", host->plan->host->agent);
        for (uint32_t fault = 0; fault < host->plan->fault_count; fault++) {
            json_t *entry = json_object();
            set_step(entry, run, host, fault);
            for (uint32_t r = 0; r < host->plan->report_count; r++)
                if (host->plan->reports[r].index == fault)
                    set(entry, "preview", lines_json(&host->plan->reports[r]));
            (void)json_array_append_new(faults, entry);
        }
        set(object, "faults", faults);
        (void)json_array_append_new(hosts, object);
    }
    return hosts;
}

void sq_run_record_begin(struct sq_run *run)
{
    struct sq_record *record = run->options.record;
    sq_record_set(record, "id", id_json(&run->options.id));
    sq_record_set(record, "title", sq_json_text(run->experiment->title));
    sq_record_set(record, "operator", sq_json_text(run->options.operator_name));
    sq_record_set(record, "lease_s", sq_json_seconds(run->experiment->lease_ns));
    sq_record_set(record, "prometheus",
                  run->options.prometheus_url != NULL ? sq_json_text(run->options.prometheus_url)
                                                      : json_null());
    sq_record_set(record, "hypothesis", hypothesis_json(run->hypothesis));
    sq_record_set(record, "method", method_json(run));
    sq_record_set(record, "plan", plan_json(run));
    sq_record_set(record, "ending", json_null());
    sq_record_set(record, "exit_status", json_null());
}

void sq_run_record_phase(struct sq_run *run)
{
    static const char *const words[] = {"hello", "prepare", "steady", "watch", "revert", "recover", "done"};
    json_t *fields = json_object();
    set_text(fields, "phase", words[run->phase]);
    if (run->phase == SQ_PHASE_WATCH)
        set(fields, "inject_at", sq_record_time(run->options.record, run->inject_boot_ns));
    sq_record_event(run->options.record, run->phase_boot_ns, "phase", fields);
}

void sq_run_record_request(struct sq_run *run, const struct sq_run_host *host, enum sq_verb verb,
                           uint64_t tag, uint32_t fault_mask, uint64_t at_boot_ns)
{
    json_t *fields = json_object();
    set_text(fields, "host", host->name);
    set_text(fields, "verb", sq_verb_name(verb));
    set(fields, "request", json_integer((json_int_t)(tag >> 8)));
    if (verb == SQ_VERB_INJECT) {
        json_t *steps = json_array();
        for (uint32_t i = 0; i < host->plan->fault_count; i++)
            if (fault_mask & UINT32_C(1) << i)
                (void)json_array_append_new(steps, sq_json_text(sq_run_step_of(run, host, i)->name));
        set(fields, "steps", steps);
        set_time(fields, run, "for", at_boot_ns);
    }
    sq_record_event(run->options.record, sq_boot_ns(), "request", fields);
}

void sq_run_record_answer(struct sq_run *run, const struct sq_run_host *host, const struct sq_answer *answer)
{
    enum sq_verb verb = (enum sq_verb)(answer->tag & 0xff);
    json_t *fields = json_object();
    set_text(fields, "host", host->name);
    set_text(fields, "verb", sq_verb_name(verb));
    set(fields, "request", json_integer((json_int_t)(answer->tag >> 8)));
    set(fields, "took_s", sq_json_seconds(sq_ns_sub(answer->answered_boot_ns, answer->sent_boot_ns)));
    set_text(fields, "code", sq_code_name(answer->failed ? answer->error.code : answer->reply.code));
    const char *message = answer->failed ? answer->error.text : answer->reply.message;
    if (message[0] != '\0')
        set_text(fields, "message", message);
    if (!answer->failed && verb == SQ_VERB_HELLO) {
        set_text(fields, "version", answer->reply.hello.agent_version);
        set_text(fields, "kernel", answer->reply.hello.kernel);
        set(fields, "instance", id_json(&answer->reply.instance));
    }
    sq_record_event(run->options.record, answer->answered_boot_ns, "answer", fields);
}

static uint64_t state_boot_ns(const struct sq_run_host *host, const struct sq_fault_report *report)
{
    switch (report->state) {
    case SQ_STATE_PREPARED:
        return sq_agent_clock_to_ours(&host->clock, report->prepared_boot_ns);
    case SQ_STATE_INJECTED:
        return sq_agent_clock_to_ours(&host->clock, report->injected_boot_ns);
    case SQ_STATE_REVERTING:
        return sq_agent_clock_to_ours(&host->clock, report->clean_boot_ns);
    case SQ_STATE_REVERTED:
        return sq_agent_clock_to_ours(&host->clock, report->removed_boot_ns);
    default:
        return 0;
    }
}

void sq_run_record_state(struct sq_run *run, const struct sq_run_host *host,
                         const struct sq_fault_report *report)
{
    json_t *fields = json_object();
    uint64_t since_boot_ns = state_boot_ns(host, report);
    set_text(fields, "host", host->name);
    set_step(fields, run, host, report->index);
    set_text(fields, "state", sq_state_name(report->state));
    set_time(fields, run, "since", since_boot_ns);
    if (report->end_reason != SQ_END_NONE)
        set_text(fields, "reason", sq_end_reason_name(report->end_reason));
    if (report->message[0] != '\0')
        set_text(fields, "message", report->message);
    sq_record_event(run->options.record, sq_boot_ns(), "state", fields);
    sq_run_say(run, "%s: \"%s\" is %s%s%s%s", host->name, sq_run_step_of(run, host, report->index)->name,
               sq_state_name(report->state), report->end_reason != SQ_END_NONE ? " (" : "",
               report->end_reason != SQ_END_NONE ? sq_end_reason_name(report->end_reason) : "",
               report->end_reason != SQ_END_NONE ? ")" : "");
}

void sq_run_record_measurement(struct sq_run *run, const struct sq_measurement *measurement)
{
    const struct sq_probe *probe = &run->hypothesis->probes[measurement->probe];
    json_t *fields = json_object();
    set_text(fields, "probe", probe->name);
    set(fields, "took_s", sq_json_seconds(measurement->took_ns));
    set(fields, "measured", json_boolean(measurement->measured));
    set(fields, "within", json_boolean(measurement->within));
    set(fields, "value", measurement->has_value ? sq_json_number(measurement->value) : json_null());
    if (measurement->reason[0] != '\0')
        set_text(fields, "reason", measurement->reason);
    else if (measurement->has_value && !isfinite(measurement->value))
        set_text(fields, "reason", measurement->value > 0 ? "+Inf" : "-Inf");
    if (measurement->note[0] != '\0')
        set_text(fields, "note", measurement->note);
    sq_record_event(run->options.record, measurement->started_boot_ns, "measurement", fields);
}

void sq_run_record_decision(struct sq_run *run, const char *what, const char *text)
{
    json_t *fields = json_object();
    set_text(fields, "what", what);
    set_text(fields, "text", text);
    sq_record_event(run->options.record, sq_boot_ns(), "decision", fields);
}

void sq_run_record_host(struct sq_run *run, const struct sq_run_host *host, const char *what,
                        uint64_t since_boot_ns)
{
    json_t *fields = json_object();
    set_text(fields, "host", host->name);
    set_text(fields, "what", what);
    set_time(fields, run, "since", since_boot_ns);
    if (host->problem.text[0] != '\0')
        set_text(fields, "problem", host->problem.text);
    sq_record_event(run->options.record, sq_boot_ns(), "host", fields);
}

static json_t *fault_json(const struct sq_run *run, const struct sq_run_host *host, uint32_t fault)
{
    const struct sq_fault_report *report = sq_run_report_of(host, fault);
    json_t *object = json_object();
    set_step(object, run, host, fault);
    if (report == NULL)
        return object;
    set_text(object, "state", sq_state_name(report->state));
    set_text(object, "ended_by", sq_end_reason_name(report->end_reason));
    if (report->message[0] != '\0')
        set_text(object, "message", report->message);
    set_time(object, run, "prepared", sq_agent_clock_to_ours(&host->clock, report->prepared_boot_ns));
    set_time(object, run, "injected", sq_agent_clock_to_ours(&host->clock, report->injected_boot_ns));
    set_time(object, run, "clean", sq_agent_clock_to_ours(&host->clock, report->clean_boot_ns));
    set_time(object, run, "removed", sq_agent_clock_to_ours(&host->clock, report->removed_boot_ns));
    set_time(object, run, "seen", sq_agent_clock_to_ours(&host->clock, report->seen_boot_ns));
    set_text(object, "proof", sq_proof_name(report->proof));
    set(object, "proved", json_boolean(report->proof == SQ_PROOF_PROVED));
    set(object, "touched", json_boolean(report->touched));
    set(object, "counters", counters_json(report));
    set(object, "lines", lines_json(report));
    return object;
}

void sq_run_record_hosts(struct sq_run *run)
{
    struct sq_record *record = run->options.record;
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        json_t *object = json_object();
        json_t *faults = json_array();
        set_text(object, "name", host->name);
        set(object, "round_trip_s", sq_json_seconds(2 * host->clock.uncertainty_ns));
        set(object, "wall_clock_offset_s", json_real((double)host->wall_offset_ns / 1e9));
        set(object, "ordered", json_boolean(host->ordered));
        set_time(object, run, "clean", host->clean ? host->clean_boot_ns : 0);
        set_time(object, run, "removed", host->removed ? host->removed_boot_ns : 0);
        set(object, "unclean", json_boolean(sq_run_host_is_unclean(host)));
        if (host->problem.text[0] != '\0')
            set_text(object, "problem", host->problem.text);
        for (uint32_t fault = 0; fault < host->plan->fault_count; fault++)
            (void)json_array_append_new(faults, fault_json(run, host, fault));
        set(object, "faults", faults);
        (void)json_array_append_new(hosts, object);
    }
    sq_record_set(record, "hosts", hosts);
}
