#include "record/summary.h"

#include "common/clock.h"
#include "common/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *sq_moment_key(enum sq_moment moment)
{
    static const char *const keys[] = {"injected", "first_missed", "last_allowed_miss", "rollback",
                                       "clean",    "removed",      "recovered"};
    _Static_assert(sizeof(keys) / sizeof(keys[0]) == SQ_MOMENTS, "a key for every moment");
    return keys[moment];
}

struct sq_summary *sq_summary_new(void)
{
    struct sq_summary *summary = calloc(1, sizeof(*summary));
    if (summary == NULL)
        return NULL;
    summary->plan = json_object();
    summary->hosts = json_object();
    if (summary->plan == NULL || summary->hosts == NULL) {
        sq_summary_free(summary);
        return NULL;
    }
    return summary;
}

void sq_summary_free(struct sq_summary *summary)
{
    if (summary == NULL)
        return;
    free(summary->probes);
    json_decref(summary->head);
    json_decref(summary->plan);
    json_decref(summary->hosts);
    json_decref(summary->ending);
    free(summary);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

uint64_t sq_summary_time(const json_t *object, const char *key)
{
    uint64_t real_ns = 0;
    return sq_timestamp_parse(text_of(object, key), &real_ns) ? real_ns : 0;
}

static uint64_t duration_of(const json_t *object, const char *key)
{
    double seconds = json_number_value(json_object_get(object, key));
    return seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * 1e9 + 0.5) : 0;
}

/* By `t`, which is finer than `at`. */
static uint64_t line_time(const struct sq_summary *summary, const json_t *line)
{
    if (json_is_number(json_object_get(line, "t")) && summary->began_real_ns != 0)
        return summary->began_real_ns + duration_of(line, "t");
    return sq_summary_time(line, "at");
}

/* Is there room for so much more that is kept? */
static bool keep(struct sq_summary *summary, size_t length)
{
    if (length > SQ_SUMMARY_BYTES_MAX - summary->kept) {
        summary->cut = true;
        return false;
    }
    summary->kept += length;
    return true;
}

static void set(struct sq_summary *summary, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        summary->lost = true;
}

static void set_same(struct sq_summary *summary, json_t *object, const char *key, const json_t *from,
                     const char *from_key)
{
    json_t *value = json_object_get(from, from_key);
    if (value != NULL && json_object_set(object, key, value) != 0)
        summary->lost = true;
}

static void take_probe(struct sq_probe_summary *probe, const json_t *form)
{
    probe->form = form;
    probe->name = text_of(form, "name");
    probe->by_value = json_object_get(form, "http") == NULL &&
                      sq_tolerance_parse(text_of(form, "tolerance"), &probe->tolerance, NULL) == 0;
}

static void take_head(struct sq_summary *summary, const json_t *line, size_t length)
{
    if (summary->head != NULL || !keep(summary, length))
        return;
    const json_t *probes = json_object_get(json_object_get(line, "hypothesis"), "probes");
    size_t count = json_array_size(probes);
    summary->head = json_incref((json_t *)line);
    summary->began_real_ns = sq_summary_time(line, "began");
    if (count > SQ_PROBES_MAX)
        count = SQ_PROBES_MAX;
    summary->probes = calloc(count + 1, sizeof(*summary->probes));
    if (summary->probes == NULL) {
        summary->lost = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        take_probe(&summary->probes[i], json_array_get(probes, i));
    summary->probe_count = (uint32_t)count;
}

/* {"step", "fault"} of each: what the faults of a host are until it says more. */
static json_t *bare_faults(const json_t *plan)
{
    json_t *faults = json_array();
    size_t i;
    const json_t *fault;
    json_array_foreach(json_object_get(plan, "faults"), i, fault)
    {
        json_t *bare =
            json_pack("{s:s, s:s}", "step", text_of(fault, "step"), "fault", text_of(fault, "fault"));
        (void)json_array_append_new(faults, bare);
    }
    return faults;
}

/* A copy without what every line begins with. */
static json_t *content_of(const json_t *line)
{
    json_t *content = json_copy((json_t *)line);
    (void)json_object_del(content, "at");
    (void)json_object_del(content, "t");
    (void)json_object_del(content, "type");
    return content;
}

static void take_plan(struct sq_summary *summary, const json_t *line, size_t length)
{
    const char *name = text_of(line, "name");
    if (!keep(summary, 2 * length))
        return;
    set(summary, summary->plan, name, content_of(line));
    json_t *host = json_object();
    set(summary, host, "name", json_string(name));
    set(summary, host, "faults", bare_faults(line));
    set(summary, summary->hosts, name, host);
}

static json_t *host_of(struct sq_summary *summary, const json_t *line, size_t length)
{
    const char *name = text_of(line, "host");
    json_t *host = json_object_get(summary->hosts, name);
    if (json_is_object(host) || !keep(summary, length))
        return host;
    host = json_object();
    set(summary, host, "name", json_string(name));
    set(summary, summary->hosts, name, host);
    return json_object_get(summary->hosts, name);
}

/* By its index, or, where a line has none, by its step's name. */
static json_t *fault_of(const json_t *host, const json_t *line)
{
    json_t *faults = json_object_get(host, "faults");
    const json_t *index = json_object_get(line, "index");
    if (json_is_integer(index) && json_integer_value(index) >= 0)
        return json_array_get(faults, (size_t)json_integer_value(index));
    size_t i;
    json_t *fault;
    json_array_foreach(faults, i, fault)
    {
        if (strcmp(text_of(fault, "step"), text_of(line, "step")) == 0)
            return fault;
    }
    return NULL;
}

static void take_state(struct sq_summary *summary, const json_t *line, size_t length)
{
    static const char *const keys[][2] = {
        {"PREPARED", "prepared"}, {"INJECTED", "injected"}, {"REVERTING", "clean"}, {"REVERTED", "removed"}};
    json_t *fault = fault_of(host_of(summary, line, length), line);
    if (!json_is_object(fault) || !keep(summary, json_object_get(fault, "state") == NULL ? length : 0))
        return;
    set_same(summary, fault, "state", line, "state");
    set_same(summary, fault, "ended_by", line, "reason");
    set_same(summary, fault, "message", line, "message");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(text_of(line, "state"), keys[i][0]) == 0)
            set_same(summary, fault, keys[i][1], line, "since");
}

static void take_request(struct sq_summary *summary, const json_t *line, size_t length)
{
    const char *verb = text_of(line, "verb");
    summary->injection_ordered = summary->injection_ordered || strcmp(verb, "inject") == 0;
    if (strcmp(verb, "prepare") == 0)
        set(summary, host_of(summary, line, length), "ordered", json_true());
}

static void take_host(struct sq_summary *summary, const json_t *line, size_t length)
{
    json_t *host = host_of(summary, line, length);
    const char *what = text_of(line, "what");
    if (!json_is_object(host))
        return;
    if (strcmp(what, "clean") == 0 || strcmp(what, "removed") == 0)
        set_same(summary, host, what, line, "since");
    set_same(summary, host, "problem", line, "problem");
}

static void take_result(struct sq_summary *summary, const json_t *line, size_t length)
{
    if (keep(summary, length))
        set(summary, summary->hosts, text_of(line, "name"), content_of(line));
}

/* The larger, the farther from what is tolerated, or the nearer to its bound. */
static double badness_of(const struct sq_tolerance *tolerance, double value)
{
    switch (tolerance->kind) {
    case SQ_TOLERANCE_LESS:
    case SQ_TOLERANCE_AT_MOST:
        return value;
    case SQ_TOLERANCE_MORE:
    case SQ_TOLERANCE_AT_LEAST:
        return -value;
    case SQ_TOLERANCE_EQUAL:
        return fabs(value - tolerance->low);
    case SQ_TOLERANCE_NOT_EQUAL:
        return -fabs(value - tolerance->low);
    case SQ_TOLERANCE_RANGE:
        return value < tolerance->low + (tolerance->high - tolerance->low) / 2 ? tolerance->low - value
                                                                               : value - tolerance->high;
    }
    return 0;
}

/* What JSON cannot say stands in the reason. */
static bool value_of(const json_t *line, double *value)
{
    const json_t *number = json_object_get(line, "value");
    const char *reason = text_of(line, "reason");
    bool infinite = json_is_null(number) && strcmp(reason + (reason[0] == '-'), "Inf") == 0;
    *value = json_is_number(number) ? json_number_value(number) : INFINITY;
    if (json_is_null(number) && strcmp(reason, "-Inf") == 0)
        *value = -INFINITY;
    return json_is_number(number) || infinite || strcmp(reason, "+Inf") == 0;
}

static void take_worst(struct sq_probe_summary *probe, const json_t *line, uint64_t real_ns)
{
    struct sq_probe_worst seen = {
        .known = true,
        .within = json_is_true(json_object_get(line, "within")),
        .took_s = json_number_value(json_object_get(line, "took_s")),
        .real_ns = real_ns,
    };
    seen.has_value = value_of(line, &seen.value);
    if (!json_is_true(json_object_get(line, "measured")) || (probe->by_value && !seen.has_value))
        return;
    seen.badness = probe->by_value ? badness_of(&probe->tolerance, seen.value) : seen.took_s;
    const struct sq_probe_worst *worst = &probe->worst;
    /* A miss is worse than what was tolerated, whatever it took. */
    bool worse = !worst->known || (worst->within && !seen.within) ||
                 (worst->within == seen.within && seen.badness > worst->badness);
    if (!worse)
        return;
    (void)sq_text_copy(seen.reason, sizeof(seen.reason), text_of(line, "reason"));
    probe->worst = seen;
}

static int time_of_phase(const char *phase)
{
    static const char *const phases[] = {"steady", "watch", "recover"};
    for (int i = 0; i < SQ_PROBE_TIMES; i++)
        if (strcmp(phase, phases[i]) == 0)
            return i;
    return -1;
}

static struct sq_probe_summary *probe_of(const struct sq_summary *summary, const char *name)
{
    for (uint32_t i = 0; i < summary->probe_count; i++)
        if (strcmp(summary->probes[i].name, name) == 0)
            return &summary->probes[i];
    return NULL;
}

static void note_moment(struct sq_summary *summary, enum sq_moment moment, uint64_t real_ns)
{
    if (summary->moments[moment] == 0)
        summary->moments[moment] = real_ns;
}

static void take_measurement(struct sq_summary *summary, const json_t *line)
{
    const char *phase = text_of(line, "phase");
    const char *judged = text_of(line, "judged");
    struct sq_probe_summary *probe = probe_of(summary, text_of(line, "probe"));
    int time = time_of_phase(phase[0] != '\0' ? phase : summary->phase);
    uint64_t began_real_ns = line_time(summary, line);
    const char *until = json_object_get(line, "known_after_s") != NULL ? "known_after_s" : "took_s";
    uint64_t known_real_ns = began_real_ns + duration_of(line, until);
    bool missed = !json_is_true(json_object_get(line, "within"));
    bool counts = missed && (judged[0] == '\0' || strcmp(judged, "miss") == 0);
    if (json_is_true(json_object_get(line, "deciding")))
        note_moment(summary, SQ_MOMENT_LAST_ALLOWED_MISS, known_real_ns);
    if (probe == NULL || time < 0)
        return;
    struct sq_probe_count *count = &probe->counts[time];
    count->samples++;
    count->misses += missed;
    count->unjudged += missed && !counts;
    count->unmeasured += missed && !json_is_true(json_object_get(line, "measured"));
    if (time != SQ_PROBE_DURING)
        return;
    take_worst(probe, line, began_real_ns);
    if (counts && summary->moments[SQ_MOMENT_FIRST_MISSED] == 0) {
        note_moment(summary, SQ_MOMENT_FIRST_MISSED, known_real_ns);
        (void)sq_text_copy(summary->first_missed, sizeof(summary->first_missed), probe->name);
    }
}

static void take_phase(struct sq_summary *summary, const json_t *line)
{
    (void)sq_text_copy(summary->phase, sizeof(summary->phase), text_of(line, "phase"));
    if (strcmp(summary->phase, "revert") == 0)
        note_moment(summary, SQ_MOMENT_ROLLBACK, line_time(summary, line));
}

static void take_ending(struct sq_summary *summary, const json_t *line, size_t length)
{
    if (summary->ending != NULL || !keep(summary, length))
        return;
    summary->ending = json_incref((json_t *)line);
    /* A document of version 1 says them itself; its lines lack what they would be told by. */
    for (enum sq_moment i = 0; i < SQ_MOMENTS; i++) {
        uint64_t real_ns = sq_summary_time(json_object_get(line, "moments"), sq_moment_key(i));
        if (real_ns != 0)
            summary->moments[i] = real_ns;
    }
}

void sq_summary_take(struct sq_summary *summary, const json_t *line, size_t length)
{
    const char *type = text_of(line, "type");
    uint64_t real_ns = line_time(summary, line);
    if (real_ns > summary->last_real_ns)
        summary->last_real_ns = real_ns;
    if (json_object_get(line, "format") != NULL)
        take_head(summary, line, length);
    else if (strcmp(type, "measurement") == 0)
        take_measurement(summary, line);
    else if (strcmp(type, "state") == 0)
        take_state(summary, line, length);
    else if (strcmp(type, "phase") == 0)
        take_phase(summary, line);
    else if (strcmp(type, "request") == 0)
        take_request(summary, line, length);
    else if (strcmp(type, "host") == 0)
        take_host(summary, line, length);
    else if (strcmp(type, "decision") == 0 && strcmp(text_of(line, "what"), "recovered") == 0)
        note_moment(summary, SQ_MOMENT_RECOVERED, real_ns);
    else if (strcmp(type, "plan") == 0)
        take_plan(summary, line, length);
    else if (strcmp(type, "result") == 0)
        take_result(summary, line, length);
    else if (strcmp(type, "ending") == 0)
        take_ending(summary, line, length);
}

int sq_summary_read(struct sq_record_reader *reader, struct sq_summary **summary_out, struct sq_error *error)
{
    struct sq_summary *summary = sq_summary_new();
    if (summary == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run record");
    json_t *line = NULL;
    size_t length = 0;
    int got;
    while ((got = sq_record_reader_next(reader, &line, &length, error)) == 1) {
        sq_summary_take(summary, line, length);
        json_decref(line);
    }
    if (got != 0) {
        sq_summary_free(summary);
        return -1;
    }
    summary->state = *sq_record_reader_state(reader);
    *summary_out = summary;
    return 0;
}

/* When the last host came to it; 0 if one of those that were ordered did not. */
static uint64_t everywhere(const struct sq_summary *summary, const char *key)
{
    uint64_t last_real_ns = 0;
    const char *name;
    json_t *host;
    json_object_foreach(summary->hosts, name, host)
    {
        if (!json_is_true(json_object_get(host, "ordered")))
            continue;
        uint64_t real_ns = sq_summary_time(host, key);
        if (real_ns == 0)
            return 0;
        if (real_ns > last_real_ns)
            last_real_ns = real_ns;
    }
    return last_real_ns;
}

static uint64_t first_injected(const struct sq_summary *summary)
{
    uint64_t first_real_ns = 0;
    const char *name;
    json_t *host;
    json_object_foreach(summary->hosts, name, host)
    {
        size_t i;
        const json_t *fault;
        json_array_foreach(json_object_get(host, "faults"), i, fault)
        {
            uint64_t real_ns = sq_summary_time(fault, "injected");
            if (real_ns != 0 && (first_real_ns == 0 || real_ns < first_real_ns))
                first_real_ns = real_ns;
        }
    }
    return first_real_ns;
}

uint64_t sq_summary_moment(const struct sq_summary *summary, enum sq_moment moment)
{
    if (summary->moments[moment] != 0)
        return summary->moments[moment];
    if (moment == SQ_MOMENT_INJECTED)
        return first_injected(summary);
    if (moment == SQ_MOMENT_CLEAN || moment == SQ_MOMENT_REMOVED)
        return everywhere(summary, sq_moment_key(moment));
    return 0;
}

int sq_summary_exit_status(const struct sq_summary *summary)
{
    const json_t *status = json_object_get(summary->ending, "exit_status");
    json_int_t value = json_integer_value(status);
    return json_is_integer(status) && value >= 0 && value <= SQ_EXIT_UNCLEAN ? (int)value : -1;
}
