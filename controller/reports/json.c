#include "reports/report.h"

#include "common/clock.h"
#include "json/json.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define DUMP_FLAGS (JSON_PRESERVE_ORDER | JSON_ENCODE_ANY)

/* Keys one after the other, as they are made: the events never are in memory together. */
struct document {
    const struct sq_summary *summary;
    FILE *stream;
    bool first;
    bool lost; /* out of memory */
};

static void put_key(struct document *document, const char *key)
{
    (void)fprintf(document->stream, "%s\n  \"%s\": ", document->first ? "" : ",", key);
    document->first = false;
}

/* Takes over `value`; NULL is memory that ran out. */
static void put(struct document *document, const char *key, json_t *value)
{
    if (value == NULL) {
        document->lost = true;
        return;
    }
    put_key(document, key);
    (void)json_dumpf(value, document->stream, DUMP_FLAGS | sq_json_digits(value));
    json_decref(value);
}

static void put_time(struct document *document, const char *key, uint64_t real_ns)
{
    char text[SQ_TIMESTAMP_MAX];
    if (real_ns == 0)
        return;
    sq_timestamp_format(real_ns, text);
    put(document, key, json_string(text));
}

static void put_head(struct document *document)
{
    const char *key;
    json_t *value;
    put(document, "format", json_string("squall-run-record"));
    put(document, "version", json_integer(1));
    json_object_foreach(document->summary->head, key, value)
    {
        if (strcmp(key, "format") != 0 && strcmp(key, "version") != 0)
            put(document, key, json_incref(value));
    }
}

/* The values of an object, one a line. */
static void put_values(struct document *document, const char *name, json_t *object)
{
    const char *key;
    json_t *value;
    bool first = true;
    put_key(document, name);
    (void)fprintf(document->stream, "[");
    json_object_foreach(object, key, value)
    {
        (void)fprintf(document->stream, "%s\n    ", first ? "" : ",");
        (void)json_dumpf(value, document->stream, DUMP_FLAGS | sq_json_digits(value));
        first = false;
    }
    (void)fprintf(document->stream, "%s]", first ? "" : "\n  ");
}

static void put_ending(struct document *document, const struct sq_report *report)
{
    static const char *const keys[] = {
        "ending",    "exit_status",          "why", "had_ended_because", "verified",
        "recovered", "not_recovered_because"};
    const json_t *ending = document->summary->ending;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        json_t *value = json_object_get(ending, keys[i]);
        /* What is not recorded is no success, whatever the run came to. */
        bool failed = report->not_whole != NULL && i == 1 && json_integer_value(value) == SQ_EXIT_COMPLETED;
        if (failed)
            put(document, keys[i], json_integer(SQ_EXIT_FAILED));
        else if (value != NULL)
            put(document, keys[i], json_incref(value));
        else if (i < 2)
            put(document, keys[i], json_null());
    }
    if (ending != NULL)
        put_time(document, "ended", document->summary->last_real_ns);
}

static void put_moments(struct document *document)
{
    json_t *moments = json_object();
    for (enum sq_moment i = 0; i < SQ_MOMENTS; i++) {
        char text[SQ_TIMESTAMP_MAX];
        uint64_t real_ns = sq_summary_moment(document->summary, i);
        if (real_ns == 0)
            continue;
        sq_timestamp_format(real_ns, text);
        if (json_object_set_new(moments, sq_moment_key(i), json_string(text)) != 0)
            document->lost = true;
    }
    put(document, "moments", moments);
}

static json_t *count_json(const struct sq_probe_count *count)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "samples", (json_int_t)count->samples, "misses",
                     (json_int_t)count->misses, "not_measured", (json_int_t)count->unmeasured, "not_judged",
                     (json_int_t)count->unjudged);
}

static json_t *worst_json(const struct sq_probe_worst *worst)
{
    char text[SQ_TIMESTAMP_MAX];
    if (!worst->known)
        return json_null();
    sq_timestamp_format(worst->real_ns, text);
    json_t *object =
        json_pack("{s:s, s:b, s:o, s:f}", "at", text, "within", worst->within, "value",
                  worst->has_value ? sq_json_number(worst->value) : json_null(), "took_s", worst->took_s);
    if (worst->reason[0] != '\0')
        (void)json_object_set_new(object, "reason", sq_json_text(worst->reason));
    return object;
}

static void put_probes(struct document *document)
{
    json_t *probes = json_array();
    for (uint32_t i = 0; i < document->summary->probe_count; i++) {
        const struct sq_probe_summary *probe = &document->summary->probes[i];
        json_t *object =
            json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", sq_json_text(probe->name), "before",
                      count_json(&probe->counts[SQ_PROBE_BEFORE]), "during",
                      count_json(&probe->counts[SQ_PROBE_DURING]), "after",
                      count_json(&probe->counts[SQ_PROBE_AFTER]), "worst", worst_json(&probe->worst));
        if (object == NULL || json_array_append_new(probes, object) != 0)
            document->lost = true;
    }
    put(document, "probes", probes);
}

static bool is_event(const json_t *line)
{
    static const char *const types[] = {"phase",       "request",  "answer", "state",
                                        "measurement", "decision", "host",   "note"};
    const char *type = json_string_value(json_object_get(line, "type"));
    for (size_t i = 0; type != NULL && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static int put_events(struct document *document, struct sq_record_reader *reader, struct sq_error *error)
{
    json_t *line = NULL;
    size_t length = 0;
    bool first = true;
    int got;
    put_key(document, "events");
    (void)fprintf(document->stream, "[");
    sq_record_reader_rewind(reader);
    while (!ferror(document->stream) && (got = sq_record_reader_next(reader, &line, &length, error)) != 0) {
        if (got < 0)
            return -1;
        if (is_event(line)) {
            (void)fprintf(document->stream, "%s\n    ", first ? "" : ",");
            (void)json_dumpf(line, document->stream, DUMP_FLAGS | sq_json_digits(line));
            first = false;
        }
        json_decref(line);
    }
    (void)fprintf(document->stream, "%s]", first ? "" : "\n  ");
    return 0;
}

/* Is there anything that a reader should not rest on? */
static void put_record(struct document *document, const struct sq_report *report)
{
    const struct sq_record_state *state = &document->summary->state;
    put(document, "record", sq_json_text(report->record_path));
    if (report->not_whole != NULL)
        put(document, "record_problem", sq_json_text(report->not_whole));
    if (state->damaged > 0)
        put(document, "damaged_lines", json_integer((json_int_t)state->damaged));
    if (state->being_written)
        put(document, "being_written", json_true());
    if (document->summary->cut || document->summary->lost)
        put(document, "out_of_memory", json_true());
}

int sq_report_json(const struct sq_report *report, struct sq_record_reader *reader, FILE *stream,
                   struct sq_error *error)
{
    struct document document = {.summary = report->summary, .stream = stream, .first = true};
    (void)fprintf(stream, "{");
    put_head(&document);
    put_ending(&document, report);
    put_moments(&document);
    put_probes(&document);
    put_record(&document, report);
    put_values(&document, "plan", report->summary->plan);
    put_values(&document, "hosts", report->summary->hosts);
    if (reader != NULL && put_events(&document, reader, error) != 0)
        return -1;
    (void)fprintf(stream, "\n}\n");
    return document.lost ? sq_fail(error, SQ_SYSTEM, "out of memory for the report") : 0;
}
