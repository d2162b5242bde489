#include "record/run_record.h"

#include "events/moments.h"
#include "model/probe_form.h"
#include "table/params.h"
#include "json/json.h"

#include <math.h>
#include <stdlib.h>

struct sq_run_record {
    struct sq_record *record;
    const struct sq_plan *plan;
    struct sq_run_moments moments;
    bool saves; /* now and then */
};

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
static void set_time(json_t *object, const struct sq_run_record *own, const char *key, uint64_t boot_ns)
{
    if (boot_ns != 0)
        set(object, key, sq_record_time(own->record, boot_ns));
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

static void set_step(json_t *object, const struct sq_step *step)
{
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

static json_t *method_json(const struct sq_experiment *experiment)
{
    json_t *method = json_array();
    for (uint32_t i = 0; i < experiment->step_count; i++) {
        const struct sq_step *step = &experiment->steps[i];
        const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
        json_t *object = json_object();
        set_text(object, "name", step->name);
        set_text(object, "fault", info != NULL ? info->name : "unknown");
        set(object, "with", spec_json(&step->spec));
        set(object, "starts_after_s", sq_json_seconds(sq_experiment_step_start_ns(experiment, i)));
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

static const struct sq_step *step_of(const struct sq_plan *plan, uint32_t host, uint32_t fault)
{
    return &plan->experiment->steps[plan->hosts[host].steps[fault]];
}

static json_t *plan_json(const struct sq_plan *plan)
{
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < plan->host_count; i++) {
        const struct sq_plan_host *host = &plan->hosts[i];
        json_t *object = json_object();
        json_t *faults = json_array();
        set_text(object, "name", host->host->name);
        set_text(object, "agent", host->host->agent);
        for (uint32_t fault = 0; fault < host->fault_count; fault++) {
            json_t *entry = json_object();
            set_step(entry, step_of(plan, i, fault));
            for (uint32_t r = 0; r < host->report_count; r++)
                if (host->reports[r].index == fault)
                    set(entry, "preview", lines_json(&host->reports[r]));
            (void)json_array_append_new(faults, entry);
        }
        set(object, "faults", faults);
        (void)json_array_append_new(hosts, object);
    }
    return hosts;
}

static void see_begin(struct sq_run_record *own, const struct sq_run_begin *begin)
{
    struct sq_record *record = own->record;
    const struct sq_experiment *experiment = begin->plan->experiment;
    own->plan = begin->plan;
    sq_record_set(record, "id", id_json(&begin->id));
    sq_record_set(record, "title", sq_json_text(experiment->title));
    sq_record_set(record, "operator", sq_json_text(begin->operator_name));
    sq_record_set(record, "lease_s", sq_json_seconds(experiment->lease_ns));
    sq_record_set(record, "prometheus",
                  begin->prometheus_url != NULL ? sq_json_text(begin->prometheus_url) : json_null());
    sq_record_set(record, "hypothesis",
                  hypothesis_json(experiment->has_hypothesis ? &experiment->hypothesis : NULL));
    sq_record_set(record, "method", method_json(experiment));
    sq_record_set(record, "plan", plan_json(begin->plan));
    sq_record_set(record, "ending", json_null());
    sq_record_set(record, "exit_status", json_null());
}

static const char *name_of(const struct sq_run_record *own, uint32_t host)
{
    return own->plan->hosts[host].host->name;
}

static json_t *phase_json(struct sq_run_record *own, const struct sq_run_event *event)
{
    json_t *fields = json_object();
    enum sq_run_phase phase = event->of.phase.phase;
    own->saves = phase == SQ_PHASE_WATCH || phase == SQ_PHASE_STEADY;
    set_text(fields, "phase", sq_run_phase_word(phase));
    if (phase == SQ_PHASE_WATCH)
        set(fields, "inject_at", sq_record_time(own->record, event->of.phase.inject_boot_ns));
    return fields;
}

static json_t *request_json(const struct sq_run_record *own, const struct sq_run_request_sent *request)
{
    json_t *fields = json_object();
    set_text(fields, "host", name_of(own, request->host));
    set_text(fields, "verb", sq_verb_name(request->verb));
    set(fields, "request", json_integer((json_int_t)request->number));
    if (request->verb != SQ_VERB_INJECT)
        return fields;
    json_t *steps = json_array();
    for (uint32_t i = 0; i < own->plan->hosts[request->host].fault_count; i++)
        if (request->fault_mask & UINT32_C(1) << i)
            (void)json_array_append_new(steps, sq_json_text(step_of(own->plan, request->host, i)->name));
    set(fields, "steps", steps);
    set_time(fields, own, "for", request->for_boot_ns);
    return fields;
}

static json_t *answer_json(const struct sq_run_record *own, const struct sq_run_answered *answer)
{
    json_t *fields = json_object();
    set_text(fields, "host", name_of(own, answer->host));
    set_text(fields, "verb", sq_verb_name(answer->verb));
    set(fields, "request", json_integer((json_int_t)answer->number));
    set(fields, "took_s", sq_json_seconds(answer->took_ns));
    set_text(fields, "code", sq_code_name(answer->code));
    if (answer->message[0] != '\0')
        set_text(fields, "message", answer->message);
    if (answer->instance != NULL) {
        set_text(fields, "version", answer->agent_version);
        set_text(fields, "kernel", answer->kernel);
        set(fields, "instance", id_json(answer->instance));
    }
    return fields;
}

static json_t *state_json(const struct sq_run_record *own, const struct sq_run_fault *fault)
{
    json_t *fields = json_object();
    set_text(fields, "host", name_of(own, fault->host));
    set_step(fields, fault->step);
    set_text(fields, "state", sq_state_name(fault->state));
    set_time(fields, own, "since", fault->since_boot_ns);
    if (fault->reason != SQ_END_NONE)
        set_text(fields, "reason", sq_end_reason_name(fault->reason));
    if (fault->message[0] != '\0')
        set_text(fields, "message", fault->message);
    return fields;
}

static json_t *measurement_json(const struct sq_run_measured *measured)
{
    const struct sq_measurement *measurement = measured->measurement;
    json_t *fields = json_object();
    set_text(fields, "probe", measured->probe->name);
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
    return fields;
}

static json_t *decision_json(const struct sq_run_event *event)
{
    json_t *fields = json_object();
    set_text(fields, "what", event->of.decision.what);
    set_text(fields, "text", event->of.decision.text);
    return fields;
}

static json_t *host_json(const struct sq_run_record *own, const struct sq_run_event *event)
{
    json_t *fields = json_object();
    set_text(fields, "host", name_of(own, event->of.host.host));
    set_text(fields, "what", event->of.host.what);
    set_time(fields, own, "since", event->of.host.since_boot_ns);
    if (event->of.host.problem[0] != '\0')
        set_text(fields, "problem", event->of.host.problem);
    return fields;
}

static json_t *last_fault_json(const struct sq_run_record *own, const struct sq_run_last_fault *fault)
{
    const struct sq_fault_report *report = fault->report;
    json_t *object = json_object();
    set_step(object, fault->step);
    if (report == NULL)
        return object;
    set_text(object, "state", sq_state_name(report->state));
    set_text(object, "ended_by", sq_end_reason_name(report->end_reason));
    if (report->message[0] != '\0')
        set_text(object, "message", report->message);
    set_time(object, own, "prepared", fault->prepared_boot_ns);
    set_time(object, own, "injected", fault->injected_boot_ns);
    set_time(object, own, "clean", fault->clean_boot_ns);
    set_time(object, own, "removed", fault->removed_boot_ns);
    set_time(object, own, "seen", fault->seen_boot_ns);
    set_text(object, "proof", sq_proof_name(report->proof));
    set(object, "proved", json_boolean(report->proof == SQ_PROOF_PROVED));
    set(object, "touched", json_boolean(report->touched));
    set(object, "counters", counters_json(report));
    set(object, "lines", lines_json(report));
    return object;
}

static json_t *last_host_json(const struct sq_run_record *own, const struct sq_run_last_host *host)
{
    json_t *object = json_object();
    json_t *faults = json_array();
    set_text(object, "name", name_of(own, host->host));
    set(object, "round_trip_s", sq_json_seconds(host->round_trip_ns));
    set(object, "wall_clock_offset_s", json_real((double)host->wall_offset_ns / 1e9));
    set(object, "ordered", json_boolean(host->ordered));
    set_time(object, own, "clean", host->clean_boot_ns);
    set_time(object, own, "removed", host->removed_boot_ns);
    set(object, "unclean", json_boolean(host->unclean));
    if (host->problem[0] != '\0')
        set_text(object, "problem", host->problem);
    for (uint32_t i = 0; i < host->fault_count; i++)
        (void)json_array_append_new(faults, last_fault_json(own, &host->faults[i]));
    set(object, "faults", faults);
    return object;
}

static json_t *moments_json(const struct sq_run_record *own)
{
    struct sq_run_moment list[SQ_MOMENTS_MAX];
    uint32_t count = sq_run_moments_list(&own->moments, list);
    json_t *object = json_object();
    for (uint32_t i = 0; i < count; i++)
        set(object, list[i].key, sq_record_time(own->record, list[i].boot_ns));
    return object;
}

static void see_ending(const struct sq_run_record *own, const struct sq_run_event *event)
{
    struct sq_record *record = own->record;
    const struct sq_run_ended *ended = &event->of.ending;
    json_t *hosts = json_array();
    for (uint32_t i = 0; i < ended->host_count; i++)
        (void)json_array_append_new(hosts, last_host_json(own, &ended->hosts[i]));
    sq_record_set(record, "hosts", hosts);
    sq_record_set(record, "ended", sq_record_time(record, event->boot_ns));
    sq_record_set(record, "ending", json_string(sq_ending_name(ended->ending)));
    sq_record_set(record, "exit_status", json_integer(ended->ending));
    sq_record_set(record, "why", sq_json_text(ended->why));
    if (ended->ending == SQ_EXIT_UNCLEAN)
        sq_record_set(record, "had_ended_because", sq_json_text(ended->had_ended_because));
    sq_record_set(record, "moments", moments_json(own));
    sq_record_set(record, "recovered",
                  ended->recovery_checked ? json_boolean(ended->recovered) : json_null());
    if (ended->not_recovered_because[0] != '\0')
        sq_record_set(record, "not_recovered_because", sq_json_text(ended->not_recovered_because));
}

/* The type of an event in the record, and what follows it; NULL: it is not of the events. */
static const char *describe(struct sq_run_record *own, const struct sq_run_event *event, json_t **fields)
{
    switch (event->kind) {
    case SQ_EVENT_PHASE:
        *fields = phase_json(own, event);
        return "phase";
    case SQ_EVENT_REQUEST:
        *fields = request_json(own, &event->of.request);
        return "request";
    case SQ_EVENT_ANSWER:
        *fields = answer_json(own, &event->of.answer);
        return "answer";
    case SQ_EVENT_FAULT:
        *fields = state_json(own, &event->of.fault);
        return "state";
    case SQ_EVENT_MEASUREMENT:
        *fields = measurement_json(&event->of.measurement);
        return "measurement";
    case SQ_EVENT_DECISION:
        *fields = decision_json(event);
        return "decision";
    case SQ_EVENT_HOST:
        *fields = host_json(own, event);
        return "host";
    default:
        return NULL;
    }
}

static void see(void *cookie, const struct sq_run_event *event)
{
    struct sq_run_record *own = cookie;
    json_t *fields = NULL;
    sq_run_moments_see(&own->moments, event);
    if (event->kind == SQ_EVENT_BEGIN)
        see_begin(own, &event->of.begin);
    else if (event->kind == SQ_EVENT_ENDING)
        see_ending(own, event);
    const char *type = describe(own, event, &fields);
    if (type != NULL)
        sq_record_event(own->record, event->boot_ns, type, fields);
    if (event->kind == SQ_EVENT_PHASE)
        sq_record_save(own->record);
    else if (own->saves)
        sq_record_save_sometimes(own->record, event->boot_ns);
}

int sq_run_record_open(struct sq_record *record, struct sq_run_record **run_record, struct sq_error *error)
{
    struct sq_run_record *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run record");
    own->record = record;
    *run_record = own;
    return 0;
}

void sq_run_record_close(struct sq_run_record *run_record)
{
    free(run_record);
}

struct sq_observer sq_run_record_observer(struct sq_run_record *run_record)
{
    return (struct sq_observer){.see = see, .cookie = run_record};
}
