/*
 * The events of a turn: queued while orders leave, then handed to the observers, one after the other. What
 * is short is copied, what is large is the run's own state, by reference.
 */
#include "engine/run_state.h"

#include "common/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_LEAST 64

bool sq_run_events_open(struct sq_run *run)
{
    /* Enough for a turn in which everybody is told to revert: nothing is allocated for that. */
    run->queue.size = QUEUE_LEAST + 4 * (size_t)run->host_count;
    run->queue.entries = calloc(run->queue.size, sizeof(*run->queue.entries));
    run->last_hosts = calloc(run->host_count + 1, sizeof(*run->last_hosts));
    run->last_faults = calloc((size_t)run->host_count * SQ_FAULTS_MAX + 1, sizeof(*run->last_faults));
    return run->queue.entries != NULL && run->last_hosts != NULL && run->last_faults != NULL;
}

void sq_run_events_close(struct sq_run *run)
{
    for (size_t i = 0; i < run->queue.count; i++)
        free(run->queue.entries[i].owned);
    free(run->last_faults);
    free(run->last_hosts);
    free(run->queue.entries);
}

/* Room for one more event, zeroed but for its kind and time; NULL: there is no memory for it. */
static struct sq_run_queued *push(struct sq_run *run, enum sq_run_event_kind kind)
{
    struct sq_run_queue *queue = &run->queue;
    if (queue->count == queue->size) {
        struct sq_run_queued *grown = realloc(queue->entries, 2 * queue->size * sizeof(*grown));
        if (grown == NULL) {
            queue->lost++;
            return NULL;
        }
        queue->entries = grown;
        queue->size *= 2;
    }
    struct sq_run_queued *queued = &queue->entries[queue->count++];
    memset(queued, 0, sizeof(*queued));
    queued->event.kind = kind;
    queued->event.boot_ns = sq_run_now(run);
    return queued;
}

/* A copy of `text` that lives as long as the event. */
static const char *keep(struct sq_run_queued *queued, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return "";
    queued->owned = strdup(text);
    return queued->owned != NULL ? queued->owned : "";
}

void sq_run_hand_over(struct sq_run *run)
{
    for (size_t i = 0; i < run->queue.count; i++) {
        /* A copy, and the array read anew each time: should an observer stop the run after all, it may grow.
         */
        struct sq_run_queued queued = run->queue.entries[i];
        for (uint32_t o = 0; o < run->options.observer_count; o++)
            run->options.observers[o].see(run->options.observers[o].cookie, &queued.event);
        free(queued.owned);
    }
    run->queue.count = 0;
    if (run->queue.lost > 0) {
        uint32_t lost = run->queue.lost;
        run->queue.lost = 0;
        sq_run_tell_note(run, "out of memory: %u events were not told", lost);
    }
}

void sq_run_tell_begin(struct sq_run *run)
{
    struct sq_run_queued *queued = push(run, SQ_EVENT_BEGIN);
    if (queued == NULL)
        return;
    queued->event.boot_ns = run->began_boot_ns;
    queued->event.of.begin = (struct sq_run_begin){
        .plan = run->options.plan,
        .id = run->options.id,
        .operator_name = run->options.operator_name,
        .prometheus_url = run->options.prometheus.url,
        .real_ns = run->began_boot_ns + run->real_minus_boot_ns,
    };
}

static uint64_t until_boot_ns(const struct sq_run *run)
{
    switch (run->phase) {
    case SQ_PHASE_WATCH:
        return sq_ns_add(run->inject_boot_ns, sq_experiment_length_ns(run->experiment));
    case SQ_PHASE_STEADY:
        return run->hypothesis != NULL ? sq_ns_add(run->phase_boot_ns, run->hypothesis->hold_before_ns) : 0;
    case SQ_PHASE_RECOVER:
        return sq_ns_add(run->phase_boot_ns, run->hypothesis->recover_within_ns);
    default:
        return 0;
    }
}

static void tell_phase(struct sq_run *run)
{
    struct sq_run_queued *queued = push(run, SQ_EVENT_PHASE);
    if (queued == NULL)
        return;
    queued->event.of.phase.phase = run->phase;
    queued->event.of.phase.until_boot_ns = until_boot_ns(run);
    if (run->phase == SQ_PHASE_WATCH)
        queued->event.of.phase.inject_boot_ns = run->inject_boot_ns;
}

void sq_run_enter(struct sq_run *run, enum sq_run_phase phase)
{
    run->phase = phase;
    run->phase_boot_ns = sq_run_now(run);
    tell_phase(run);
}

static uint32_t index_of(const struct sq_run *run, const struct sq_run_host *host)
{
    return (uint32_t)(host - run->hosts);
}

void sq_run_tell_request(struct sq_run *run, const struct sq_run_host *host, uint32_t number)
{
    const struct sq_request *request = &run->request;
    struct sq_run_queued *queued = push(run, SQ_EVENT_REQUEST);
    if (queued == NULL)
        return;
    queued->event.of.request = (struct sq_run_request_sent){
        .host = index_of(run, host),
        .verb = request->verb,
        .number = number,
        .fault_mask = request->fault_mask,
        .for_boot_ns = sq_agent_clock_to_ours(&host->clock, request->at_boot_ns),
    };
}

void sq_run_tell_answer(struct sq_run *run, const struct sq_run_host *host, const struct sq_answer *answer)
{
    struct sq_run_queued *queued = push(run, SQ_EVENT_ANSWER);
    if (queued == NULL)
        return;
    queued->event.boot_ns = answer->answered_boot_ns;
    struct sq_run_answered *told = &queued->event.of.answer;
    told->host = index_of(run, host);
    told->verb = sq_run_tag_verb(answer->tag);
    told->number = sq_run_tag_number(answer->tag);
    told->took_ns = sq_ns_sub(answer->answered_boot_ns, answer->sent_boot_ns);
    told->code = answer->failed ? answer->error.code : answer->reply.code;
    told->message = keep(queued, answer->failed ? answer->error.text : answer->reply.message);
    if (!answer->failed && told->verb == SQ_VERB_HELLO) {
        told->instance = &host->instance;
        told->agent_version = host->agent_version;
        told->kernel = host->kernel;
    }
}

static uint64_t since_boot_ns(const struct sq_run_host *host, const struct sq_fault_report *report)
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

void sq_run_tell_fault(struct sq_run *run, const struct sq_run_host *host,
                       const struct sq_fault_report *report, bool changed)
{
    struct sq_run_queued *queued = push(run, changed ? SQ_EVENT_FAULT : SQ_EVENT_COUNTERS);
    if (queued == NULL)
        return;
    queued->event.of.fault = (struct sq_run_fault){
        .host = index_of(run, host),
        .fault = report->index,
        .step = sq_run_step_of(run, host, report->index),
        .state = report->state,
        .reason = report->end_reason,
        .message = keep(queued, report->message),
        .report = report,
        .since_boot_ns = since_boot_ns(host, report),
        .injected_boot_ns = sq_agent_clock_to_ours(&host->clock, report->injected_boot_ns),
    };
}

void sq_run_tell_measurement(struct sq_run *run, const struct sq_run_measured *told)
{
    struct sq_measurement *copy = malloc(sizeof(*copy));
    struct sq_run_queued *queued = copy != NULL ? push(run, SQ_EVENT_MEASUREMENT) : NULL;
    if (queued == NULL) {
        free(copy);
        return;
    }
    *copy = *told->measurement;
    queued->owned = copy;
    queued->event.boot_ns = copy->started_boot_ns;
    queued->event.of.measurement = *told;
    queued->event.of.measurement.measurement = copy;
}

void sq_run_tell_decision(struct sq_run *run, const char *what, const char *text)
{
    struct sq_run_queued *queued = push(run, SQ_EVENT_DECISION);
    if (queued == NULL)
        return;
    queued->event.of.decision.what = what;
    queued->event.of.decision.text = keep(queued, text);
}

void sq_run_tell_host(struct sq_run *run, const struct sq_run_host *host, const char *what, uint64_t since_ns,
                      const char *problem)
{
    struct sq_run_queued *queued = push(run, SQ_EVENT_HOST);
    if (queued == NULL)
        return;
    queued->event.of.host.host = index_of(run, host);
    queued->event.of.host.what = what;
    queued->event.of.host.since_boot_ns = since_ns;
    queued->event.of.host.problem = keep(queued, problem);
}

void sq_run_tell_note(struct sq_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = sq_text_print(format, arguments);
    va_end(arguments);
    struct sq_run_queued *queued = text != NULL ? push(run, SQ_EVENT_NOTE) : NULL;
    if (queued == NULL) {
        free(text);
        return;
    }
    queued->owned = text;
    queued->event.of.note = text;
}

static void fill_fault(const struct sq_run *run, const struct sq_run_host *host, uint32_t fault,
                       struct sq_run_last_fault *last)
{
    const struct sq_fault_report *report = sq_run_report_of(host, fault);
    *last = (struct sq_run_last_fault){.step = sq_run_step_of(run, host, fault), .report = report};
    if (report == NULL)
        return;
    last->prepared_boot_ns = sq_agent_clock_to_ours(&host->clock, report->prepared_boot_ns);
    last->injected_boot_ns = sq_agent_clock_to_ours(&host->clock, report->injected_boot_ns);
    last->clean_boot_ns = sq_agent_clock_to_ours(&host->clock, report->clean_boot_ns);
    last->removed_boot_ns = sq_agent_clock_to_ours(&host->clock, report->removed_boot_ns);
    last->seen_boot_ns = sq_agent_clock_to_ours(&host->clock, report->seen_boot_ns);
}

static void fill_host(const struct sq_run *run, const struct sq_run_host *host,
                      struct sq_run_last_fault *faults, struct sq_run_last_host *last)
{
    *last = (struct sq_run_last_host){
        .host = index_of(run, host),
        .round_trip_ns = 2 * host->clock.uncertainty_ns,
        .wall_offset_ns = host->wall_offset_ns,
        .ordered = host->ordered,
        .unclean = sq_run_host_is_unclean(run, host),
        .forgotten = host->forgotten,
        .unconfirmed = host->unconfirmed,
        .clean_boot_ns = host->clean ? host->clean_boot_ns : 0,
        .removed_boot_ns = host->removed ? host->removed_boot_ns : 0,
        .problem = host->problem.text,
        .fault_count = host->plan->fault_count,
        .faults = faults,
    };
    for (uint32_t i = 0; i < last->fault_count; i++)
        fill_fault(run, host, i, &faults[i]);
}

void sq_run_tell_ending(struct sq_run *run, const char *why)
{
    struct sq_run_queued *queued = push(run, SQ_EVENT_ENDING);
    if (queued == NULL)
        return;
    for (uint32_t i = 0; i < run->host_count; i++)
        fill_host(run, &run->hosts[i], &run->last_faults[(size_t)i * SQ_FAULTS_MAX], &run->last_hosts[i]);
    queued->event.of.ending = (struct sq_run_ended){
        .ending = run->ending,
        .why = why,
        .had_ended_because = run->ending == SQ_EXIT_UNCLEAN ? sq_run_why(run) : "",
        .verified = sq_run_watch_verified(run),
        .watch = run->hypothesis != NULL ? &run->watch : NULL,
        .recovery_checked = run->after_checked,
        .recovered = run->after_held,
        .not_recovered_because = run->after_why,
        .host_count = run->host_count,
        .hosts = run->last_hosts,
    };
}
