#include "probes/prometheus.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/url.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SERIES_TEXT_MAX 120
#define DETAIL_MAX      300

static void json_cleanup(json_t **json)
{
    json_decref(*json);
}

int sq_prometheus_check_url(const char *base, struct sq_error *error)
{
    const char *host = NULL;
    if (strncasecmp(base, "http://", 7) == 0)
        host = base + 7;
    else if (strncasecmp(base, "https://", 8) == 0)
        host = base + 8;
    if (host != NULL && host[0] != '\0' && host[0] != '/' && strpbrk(host, " \t?#") == NULL)
        return 0;
    char shown[SQ_ERROR_TEXT_MAX];
    sq_url_show(base, shown, sizeof(shown));
    return sq_fail(error, SQ_BAD_INPUT,
                   "Prometheus' URL \"%.200s\" cannot be used: expected http://HOST:PORT or "
                   "https://HOST:PORT, with a path prefix at most",
                   shown);
}

int sq_prometheus_query_url(const char *base, const char *query, uint64_t timeout_ns, char **url,
                            struct sq_error *error)
{
    static const char path[] = "/api/v1/query?timeout=";
    static const char hex[] = "0123456789ABCDEF";
    if (sq_prometheus_check_url(base, error) != 0)
        return -1;
    size_t base_bytes = strlen(base);
    while (base_bytes > 0 && base[base_bytes - 1] == '/')
        base_bytes--;
    size_t size = base_bytes + sizeof(path) + 64 + 3 * strlen(query);
    char *text = malloc(size);
    if (text == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for a query");
    uint64_t timeout_ms = timeout_ns / SQ_NS_PER_MILLISECOND;
    int used = snprintf(text, size, "%.*s%s%llums&query=", (int)base_bytes, base, path,
                        (unsigned long long)(timeout_ms > 0 ? timeout_ms : 1));
    char *end = text + used;
    for (const char *c = query; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        /* The unreserved characters of RFC 3986, written out because isalnum(3) follows the locale. */
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
            byte == '-' || byte == '.' || byte == '_' || byte == '~') {
            *end++ = (char)byte;
        } else {
            *end++ = '%';
            *end++ = hex[byte >> 4];
            *end++ = hex[byte & 15];
        }
    }
    *end = '\0';
    *url = text;
    return 0;
}

int sq_prometheus_targets_url(const char *base, char **url, struct sq_error *error)
{
    if (sq_prometheus_check_url(base, error) != 0)
        return -1;
    size_t base_bytes = strlen(base);
    while (base_bytes > 0 && base[base_bytes - 1] == '/')
        base_bytes--;
    if (asprintf(url, "%.*s/api/v1/targets?state=active", (int)base_bytes, base) < 0)
        return sq_fail(error, SQ_SYSTEM, "out of memory for a query");
    return 0;
}

static void series_format(const json_t *element, char text[SERIES_TEXT_MAX])
{
    const char *key;
    json_t *value;
    json_t *metric = json_object_get(element, "metric");
    const char *name = json_string_value(json_object_get(metric, "__name__"));
    text[0] = '\0';
    sq_text_append(text, SERIES_TEXT_MAX, "%s{", name != NULL ? name : "");
    const char *separator = "";
    json_object_foreach(metric, key, value)
    {
        if (strcmp(key, "__name__") == 0)
            continue;
        const char *label = json_string_value(value);
        sq_text_append(text, SERIES_TEXT_MAX, "%s%s=\"%s\"", separator, key, label != NULL ? label : "");
        separator = ", ";
    }
    sq_text_append(text, SERIES_TEXT_MAX, "}");
    sq_text_make_printable(text);
}

/* A sample is [seconds, "value as text"]. */
static int read_sample(const json_t *sample, double *value, struct sq_error *error)
{
    const char *text = json_string_value(json_array_get(sample, 1));
    char *end = NULL;
    if (json_array_size(sample) != 2 || text == NULL || text[0] == '\0')
        return sq_fail(error, SQ_NO_DATA,
                       "Prometheus' answer holds a sample that is no [time, \"value\"] pair");
    double number = strtod(text, &end);
    if (*end != '\0')
        return sq_fail(error, SQ_NO_DATA, "Prometheus' answer holds \"%.40s\" where a number belongs", text);
    if (isnan(number))
        return sq_fail(
            error, SQ_NO_DATA,
            "the query gave NaN (a division of zero by zero, or a stale series): that is no number");
    *value = number;
    return 0;
}

static int read_vector(const json_t *result, double *value, struct sq_error *error)
{
    size_t count = json_array_size(result);
    if (count == 0)
        return sq_fail(error, SQ_NO_DATA, "the query gave no data: no series matches");
    if (count > 1) {
        char first[SERIES_TEXT_MAX];
        char second[SERIES_TEXT_MAX];
        series_format(json_array_get(result, 0), first);
        series_format(json_array_get(result, 1), second);
        return sq_fail(
            error, SQ_NO_DATA,
            "the query gave %zu series where one value is needed, among them %s and %s: aggregate them, "
            "with min() or sum()",
            count, first, second);
    }
    return read_sample(json_object_get(json_array_get(result, 0), "value"), value, error);
}

static int read_data(const json_t *data, double *value, struct sq_error *error)
{
    const char *type = json_string_value(json_object_get(data, "resultType"));
    const json_t *result = json_object_get(data, "result");
    if (type == NULL || !json_is_array(result))
        return sq_fail(error, SQ_NO_DATA, "the answer has no result: is this a Prometheus?");
    if (strcmp(type, "vector") == 0)
        return read_vector(result, value, error);
    if (strcmp(type, "scalar") == 0)
        return read_sample(result, value, error);
    if (strcmp(type, "matrix") == 0)
        return sq_fail(
            error, SQ_NO_DATA,
            "the query gave a range of values where one is needed: leave out the [range], or apply a "
            "function such as avg_over_time() to it");
    return sq_fail(error, SQ_NO_DATA, "the query gave a %.20s where one number is needed", type);
}

static int read_outcome(const json_t *root, uint32_t status, struct sq_error *error)
{
    const char *outcome = json_string_value(json_object_get(root, "status"));
    if (outcome == NULL) {
        if (status != 200)
            return sq_fail(error, SQ_NO_DATA, "Prometheus answered HTTP status %u%s", status,
                           status == 401 || status == 403  ? ": it wants another password or token"
                           : status >= 300 && status < 400 ? ": its URL is another one"
                                                           : "");
        return sq_fail(error, SQ_NO_DATA, "the answer is not Prometheus' JSON: is this a Prometheus?");
    }
    if (strcmp(outcome, "success") != 0) {
        char detail[DETAIL_MAX];
        const char *text = json_string_value(json_object_get(root, "error"));
        const char *type = json_string_value(json_object_get(root, "errorType"));
        (void)sq_text_copy(detail, sizeof(detail), text != NULL ? text : "no reason given");
        sq_text_make_printable(detail);
        return sq_fail(error, SQ_NO_DATA, "Prometheus refused the query (HTTP status %u, %.30s): %s", status,
                       type != NULL ? type : "unknown", detail);
    }
    if (status != 200)
        return sq_fail(error, SQ_NO_DATA, "Prometheus answered HTTP status %u", status);
    return 0;
}

static void add_note(char note[SQ_NOTE_MAX], const char *text)
{
    sq_text_append(note, SQ_NOTE_MAX, "%s%s", note[0] == '\0' ? "" : "; ", text);
    sq_text_make_printable(note);
}

/*
 * Remarks on the query are no flaw of the answer; every other warning is taken for one. VictoriaMetrics warns
 * in a word of its own when not all of its stores have answered.
 */
static int read_warnings(const json_t *root, char note[SQ_NOTE_MAX], struct sq_error *error)
{
    static const char remark[] = "PromQL info:";
    size_t index;
    json_t *item;
    note[0] = '\0';
    if (json_is_true(json_object_get(root, "isPartial")))
        return sq_fail(error, SQ_NO_DATA, "the answer is incomplete, as it says itself (\"isPartial\")");
    json_array_foreach(json_object_get(root, "warnings"), index, item)
    {
        const char *text = json_string_value(item);
        if (text != NULL && strncmp(text, remark, sizeof(remark) - 1) == 0) {
            add_note(note, text);
            continue;
        }
        char detail[DETAIL_MAX];
        (void)sq_text_copy(detail, sizeof(detail), text != NULL ? text : "without saying why");
        sq_text_make_printable(detail);
        return sq_fail(error, SQ_NO_DATA, "Prometheus warns that its answer may be incomplete: %s", detail);
    }
    json_array_foreach(json_object_get(root, "infos"), index, item)
    {
        if (json_string_value(item) != NULL)
            add_note(note, json_string_value(item));
    }
    return 0;
}

int sq_prometheus_read(uint32_t status, const char *body, size_t body_bytes, double *value,
                       char note[SQ_NOTE_MAX], struct sq_error *error)
{
    json_error_t problem;
    sq_auto(json_cleanup) json_t *root = json_loadb(body, body_bytes, JSON_REJECT_DUPLICATES, &problem);
    if (read_outcome(root, status, error) != 0 || read_warnings(root, note, error) != 0)
        return -1;
    return read_data(json_object_get(root, "data"), value, error);
}

int sq_prometheus_read_targets(uint32_t status, const char *body, size_t body_bytes, uint64_t *longest_ns,
                               struct sq_error *error)
{
    json_error_t problem;
    size_t index;
    json_t *target;
    sq_auto(json_cleanup) json_t *root = json_loadb(body, body_bytes, 0, &problem);
    if (read_outcome(root, status, error) != 0)
        return -1;
    *longest_ns = 0;
    json_array_foreach(json_object_get(json_object_get(root, "data"), "activeTargets"), index, target)
    {
        const char *text = json_string_value(json_object_get(target, "scrapeInterval"));
        uint64_t interval_ns = 0;
        if (text != NULL && sq_duration_parse(text, &interval_ns, NULL) == 0 && interval_ns > *longest_ns)
            *longest_ns = interval_ns;
    }
    if (*longest_ns == 0)
        return sq_fail(error, SQ_NO_DATA, "Prometheus names no scrape interval of any active target");
    return 0;
}
