#include "record/line.h"

#include "record/line_json.h"

#include "common/clock.h"
#include "json/json.h"

#include <math.h>
#include <string.h>

void sq_record_time_format(const struct sq_record_head *head, uint64_t boot_ns, char text[SQ_TIMESTAMP_MAX])
{
    /* Whole milliseconds at the beginning, so that all times of a record round alike. */
    uint64_t began_real_ns = head->began_real_ns / SQ_NS_PER_MILLISECOND * SQ_NS_PER_MILLISECOND;
    sq_timestamp_format(began_real_ns + boot_ns - head->began_boot_ns, text);
}

void sq_line_set(struct sq_line_maker *maker, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        maker->lost = true;
}

void sq_line_append(struct sq_line_maker *maker, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        maker->lost = true;
}

void sq_line_set_text(struct sq_line_maker *maker, json_t *object, const char *key, const char *text)
{
    sq_line_set(maker, object, key, sq_json_text(text));
}

void sq_line_set_some(struct sq_line_maker *maker, json_t *object, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        sq_line_set_text(maker, object, key, text);
}

void sq_line_set_time(struct sq_line_maker *maker, json_t *object, const char *key, uint64_t boot_ns)
{
    char text[SQ_TIMESTAMP_MAX];
    if (boot_ns == 0)
        return;
    sq_record_time_format(maker->head, boot_ns, text);
    sq_line_set(maker, object, key, json_string(text));
}

void sq_line_set_id(struct sq_line_maker *maker, json_t *object, const char *key, const struct sq_id *id)
{
    char text[SQ_ID_TEXT_MAX];
    sq_id_format(id, text);
    sq_line_set(maker, object, key, json_string(text));
}

void sq_line_set_step(struct sq_line_maker *maker, json_t *object, const struct sq_step *step)
{
    const struct sq_fault_info *info = sq_fault_by_kind(step->spec.kind);
    sq_line_set_text(maker, object, "step", step->name);
    sq_line_set_text(maker, object, "fault", info != NULL ? info->name : "unknown");
}

static const struct sq_plan_host *plan_host(const struct sq_line_maker *maker, uint32_t host)
{
    return &maker->head->plan->hosts[host];
}

static void set_host(struct sq_line_maker *maker, json_t *object, uint32_t host)
{
    sq_line_set_text(maker, object, "host", plan_host(maker, host)->host->name);
}

/* {"at", "t", "type"}: what every line but the first begins with. */
static json_t *begin(struct sq_line_maker *maker, uint64_t boot_ns, const char *type)
{
    json_t *line = json_object();
    sq_line_set_time(maker, line, "at", boot_ns);
    sq_line_set(maker, line, "t", sq_json_seconds(sq_ns_sub(boot_ns, maker->head->began_boot_ns)));
    sq_line_set(maker, line, "type", json_string(type));
    return line;
}

static void finish(struct sq_line_maker *maker, json_t *line)
{
    if (line != NULL)
        maker->take(maker->cookie, line);
    json_decref(line);
}

void sq_line_head(struct sq_line_maker *maker)
{
    finish(maker, sq_line_head_json(maker));
}

static void phase(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    json_t *line = begin(maker, event->boot_ns, "phase");
    sq_line_set_text(maker, line, "phase", sq_run_phase_word(event->of.phase.phase));
    sq_line_set_time(maker, line, "inject_at", event->of.phase.inject_boot_ns);
    finish(maker, line);
}

static void request(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    const struct sq_run_request_sent *sent = &event->of.request;
    const struct sq_plan_host *host = plan_host(maker, sent->host);
    json_t *line = begin(maker, event->boot_ns, "request");
    set_host(maker, line, sent->host);
    sq_line_set_text(maker, line, "verb", sq_verb_name(sent->verb));
    sq_line_set(maker, line, "request", json_integer(sent->number));
    if (sent->verb == SQ_VERB_INJECT) {
        const struct sq_step *steps = maker->head->plan->experiment->steps;
        json_t *names = json_array();
        for (uint32_t i = 0; i < host->fault_count; i++)
            if ((sent->fault_mask & UINT32_C(1) << i) != 0)
                sq_line_append(maker, names, sq_json_text(steps[host->steps[i]].name));
        sq_line_set(maker, line, "steps", names);
        sq_line_set_time(maker, line, "for", sent->for_boot_ns);
    }
    finish(maker, line);
}

static void answer(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    const struct sq_run_answered *answered = &event->of.answer;
    json_t *line = begin(maker, event->boot_ns, "answer");
    set_host(maker, line, answered->host);
    sq_line_set_text(maker, line, "verb", sq_verb_name(answered->verb));
    sq_line_set(maker, line, "request", json_integer(answered->number));
    sq_line_set(maker, line, "took_s", sq_json_seconds(answered->took_ns));
    sq_line_set_text(maker, line, "code", sq_code_name(answered->code));
    sq_line_set_some(maker, line, "message", answered->message);
    if (answered->instance != NULL) {
        sq_line_set_some(maker, line, "version", answered->agent_version);
        sq_line_set_some(maker, line, "kernel", answered->kernel);
        sq_line_set_id(maker, line, "instance", answered->instance);
    }
    finish(maker, line);
}

static void state(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    const struct sq_run_fault *fault = &event->of.fault;
    json_t *line = begin(maker, event->boot_ns, "state");
    set_host(maker, line, fault->host);
    sq_line_set(maker, line, "index", json_integer(fault->fault));
    sq_line_set_step(maker, line, fault->step);
    sq_line_set_text(maker, line, "state", sq_state_name(fault->state));
    sq_line_set_time(maker, line, "since", fault->since_boot_ns);
    if (fault->reason != SQ_END_NONE)
        sq_line_set_text(maker, line, "reason", sq_end_reason_name(fault->reason));
    sq_line_set_some(maker, line, "message", fault->message);
    finish(maker, line);
}

static void measurement(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    const struct sq_run_measured *measured = &event->of.measurement;
    const struct sq_measurement *got = measured->measurement;
    json_t *line = begin(maker, got->started_boot_ns, "measurement");
    sq_line_set_text(maker, line, "probe", measured->probe->name);
    sq_line_set(maker, line, "took_s", sq_json_seconds(got->took_ns));
    if (!got->within)
        sq_line_set(maker, line, "known_after_s",
                    sq_json_seconds(sq_ns_sub(got->ended_boot_ns, got->started_boot_ns)));
    sq_line_set_text(maker, line, "phase", sq_run_phase_word(measured->phase));
    sq_line_set(maker, line, "measured", json_boolean(got->measured));
    sq_line_set(maker, line, "within", json_boolean(got->within));
    sq_line_set(maker, line, "value", got->has_value ? sq_json_number(got->value) : json_null());
    if (got->reason[0] != '\0')
        sq_line_set_text(maker, line, "reason", got->reason);
    else if (got->has_value && !isfinite(got->value))
        sq_line_set_text(maker, line, "reason", got->value > 0 ? "+Inf" : "-Inf");
    sq_line_set_some(maker, line, "note", got->note);
    sq_line_set_some(maker, line, "judged", measured->judged);
    if (measured->misses_in_a_row > 0)
        sq_line_set(maker, line, "misses_in_a_row", json_integer(measured->misses_in_a_row));
    if (measured->deciding)
        sq_line_set(maker, line, "deciding", json_true());
    finish(maker, line);
}

static void host(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    json_t *line = begin(maker, event->boot_ns, "host");
    set_host(maker, line, event->of.host.host);
    sq_line_set_text(maker, line, "what", event->of.host.what);
    sq_line_set_time(maker, line, "since", event->of.host.since_boot_ns);
    sq_line_set_some(maker, line, "problem", event->of.host.problem);
    finish(maker, line);
}

static void words(struct sq_line_maker *maker, uint64_t boot_ns, const char *type, const char *what,
                  const char *text)
{
    json_t *line = begin(maker, boot_ns, type);
    sq_line_set_some(maker, line, "what", what);
    sq_line_set_text(maker, line, "text", text);
    finish(maker, line);
}

static void plans(struct sq_line_maker *maker, uint64_t boot_ns)
{
    for (uint32_t i = 0; i < maker->head->plan->host_count; i++) {
        json_t *line = begin(maker, boot_ns, "plan");
        sq_line_set_plan(maker, line, i);
        finish(maker, line);
    }
}

static json_t *begin_ending(struct sq_line_maker *maker, uint64_t boot_ns, enum sq_exit ending,
                            const char *why)
{
    json_t *line = begin(maker, boot_ns, "ending");
    sq_line_set_text(maker, line, "ending", sq_ending_name(ending));
    sq_line_set(maker, line, "exit_status", json_integer(ending));
    sq_line_set_text(maker, line, "why", why);
    return line;
}

/* What the verdict on each step rests on. */
static void judged(struct sq_line_maker *maker, uint64_t boot_ns, const struct sq_watch *watch)
{
    for (uint32_t span = 0; watch != NULL && span < watch->span_count; span++)
        for (uint32_t probe = 0; probe < watch->hypothesis->probe_count; probe++) {
            const struct sq_tally *tally = sq_watch_tally(watch, span, probe);
            json_t *line = begin(maker, boot_ns, "judged");
            sq_line_set_text(maker, line, "step", watch->spans[span].name);
            sq_line_set_text(maker, line, "probe", watch->hypothesis->probes[probe].name);
            sq_line_set(maker, line, "samples", json_integer(tally->measured));
            sq_line_set(maker, line, "evidence", json_integer(tally->evidence));
            sq_line_set(maker, line, "misses", json_integer(tally->misses));
            sq_line_set(maker, line, "not_measured", json_integer(tally->misses - tally->misses_measured));
            sq_line_set(maker, line, "within_lag", json_integer(tally->too_soon));
            sq_line_set(maker, line, "within_settle", json_integer(tally->settling));
            finish(maker, line);
        }
}

static void ending(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    const struct sq_run_ended *ended = &event->of.ending;
    judged(maker, event->boot_ns, ended->watch);
    for (uint32_t i = 0; i < ended->host_count; i++) {
        json_t *line = begin(maker, event->boot_ns, "result");
        sq_line_set_result(maker, line, &ended->hosts[i]);
        finish(maker, line);
    }
    json_t *line = begin_ending(maker, event->boot_ns, ended->ending, ended->why);
    sq_line_set_some(maker, line, "had_ended_because", ended->had_ended_because);
    sq_line_set(maker, line, "verified", json_boolean(ended->verified));
    sq_line_set(maker, line, "recovered",
                ended->recovery_checked ? json_boolean(ended->recovered) : json_null());
    sq_line_set_some(maker, line, "not_recovered_because", ended->not_recovered_because);
    finish(maker, line);
}

void sq_line_ended_early(struct sq_line_maker *maker, uint64_t boot_ns, enum sq_exit ending, const char *why)
{
    json_t *line = begin_ending(maker, boot_ns, ending, why);
    sq_line_set(maker, line, "verified", json_false());
    finish(maker, line);
}

void sq_line_event(struct sq_line_maker *maker, const struct sq_run_event *event)
{
    switch (event->kind) {
    case SQ_EVENT_BEGIN:
        plans(maker, event->boot_ns);
        break;
    case SQ_EVENT_PHASE:
        phase(maker, event);
        break;
    case SQ_EVENT_REQUEST:
        request(maker, event);
        break;
    case SQ_EVENT_ANSWER:
        answer(maker, event);
        break;
    case SQ_EVENT_FAULT:
        state(maker, event);
        break;
    case SQ_EVENT_COUNTERS: /* as often as a renewal, and the last of them stand in the result */
        break;
    case SQ_EVENT_MEASUREMENT:
        measurement(maker, event);
        break;
    case SQ_EVENT_DECISION:
        words(maker, event->boot_ns, "decision", event->of.decision.what, event->of.decision.text);
        break;
    case SQ_EVENT_HOST:
        host(maker, event);
        break;
    case SQ_EVENT_NOTE:
        words(maker, event->boot_ns, "note", NULL, event->of.note);
        break;
    case SQ_EVENT_ENDING:
        ending(maker, event);
        break;
    }
}
