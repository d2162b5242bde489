/* `http`: what a request to a web service may say. */
#include "model/probe_form.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/url.h"

#include <ctype.h>
#include <string.h>

#define STATUS_LEAST 100
#define STATUS_MOST  599

static const char expected_status[] = "expected a status from 100 to 599, a class such as 2xx, or a list";

static int read_url(const char *key, struct sq_node value, struct sq_probe *probe, struct sq_error *error)
{
    (void)key;
    if (sq_node_expect(value, SQ_NODE_SCALAR, "'http'", error) != 0)
        return -1;
    if (!sq_text_copy(probe->target, sizeof(probe->target), sq_node_text(value)))
        return sq_node_fail(value, error, SQ_BAD_INPUT, "'http' is longer than %d bytes", SQ_QUERY_MAX - 1);
    if (sq_http_url_check(probe->target, error) != 0)
        return sq_node_fail_at(value, error);
    return 0;
}

static int read_status(struct sq_node item, struct sq_status_range *range, struct sq_error *error)
{
    uint64_t number = 0;
    if (sq_node_expect(item, SQ_NODE_SCALAR, "a status", error) != 0)
        return -1;
    const char *text = sq_node_text(item);
    if (strlen(text) == 3 && strcasecmp(text + 1, "xx") == 0 && text[0] >= '1' && text[0] <= '5') {
        range->least = (uint32_t)(text[0] - '0') * 100;
        range->most = range->least + 99;
        return 0;
    }
    if (sq_count_parse(text, UINT32_MAX, &number, NULL) != 0 || number < STATUS_LEAST || number > STATUS_MOST)
        return sq_node_fail(item, error, SQ_BAD_INPUT, "'status' is '%.20s'; %s", text, expected_status);
    range->least = (uint32_t)number;
    range->most = (uint32_t)number;
    return 0;
}

static int read_statuses(struct sq_node status, struct sq_probe *probe, struct sq_error *error)
{
    size_t count = sq_one_or_list_count(status);
    if (!sq_node_is_there(status))
        return 0;
    if (count == 0 || count > SQ_STATUSES_MAX)
        return sq_node_fail(status, error, SQ_BAD_INPUT, "'status' has %zu entries; expected 1 to %d", count,
                            SQ_STATUSES_MAX);
    for (size_t i = 0; i < count; i++)
        if (read_status(sq_one_or_list_item(status, i), &probe->statuses[i], error) != 0)
            return -1;
    probe->status_count = (uint32_t)count;
    return 0;
}

static int read_tolerance(const char *key, struct sq_node value, struct sq_probe *probe,
                          struct sq_error *error)
{
    (void)key;
    static const char *const known[] = {"status", "within"};
    if (sq_node_type(value) != SQ_NODE_MAP)
        return sq_node_fail(value, error, SQ_BAD_INPUT,
                            "the tolerance of an http probe is a map; expected {status: 200, within: 500ms}");
    if (sq_node_check_keys(value, "the tolerance of an http probe", known, 2, error) != 0 ||
        read_statuses(sq_node_get(value, "status"), probe, error) != 0)
        return -1;
    return sq_read_bounded_duration(value, "within", SQ_PROBE_TIME_MIN_NS, SQ_PROBE_TIME_MAX_NS,
                                    &probe->within_ns, error);
}

static int read_access(const char *key, struct sq_node value, struct sq_probe *probe, struct sq_error *error)
{
    return sq_access_read(key, value, &probe->access, error);
}

/* An answer that is still in time is not cut off. */
static int check(struct sq_node node, const struct sq_probe *probe, struct sq_error *error)
{
    char timeout[SQ_UNIT_TEXT_MAX];
    if (sq_access_check(node, probe->access, error) != 0)
        return -1;
    if (probe->within_ns <= probe->timeout_ns)
        return 0;
    sq_duration_format(probe->timeout_ns, timeout);
    return sq_node_fail(sq_node_get(sq_node_get(node, "tolerance"), "within"), error, SQ_BAD_INPUT,
                        "'within' is longer than the probe's timeout of %s; set 'timeout' and 'every' higher",
                        timeout);
}

bool sq_probe_tolerates_status(const struct sq_probe *probe, uint32_t status)
{
    for (uint32_t i = 0; i < probe->status_count; i++)
        if (status >= probe->statuses[i].least && status <= probe->statuses[i].most)
            return true;
    return probe->status_count == 0 && status == 200;
}

void sq_probe_statuses_format(const struct sq_probe *probe, char *text, size_t size)
{
    sq_text_append(text, size, "status ");
    if (probe->status_count == 0)
        sq_text_append(text, size, "200");
    for (uint32_t i = 0; i < probe->status_count; i++) {
        const struct sq_status_range *range = &probe->statuses[i];
        sq_text_append(text, size, "%s", i == 0 ? "" : i + 1 == probe->status_count ? " or " : ", ");
        if (range->least == range->most)
            sq_text_append(text, size, "%u", range->least);
        else
            sq_text_append(text, size, "%uxx", range->least / 100);
    }
}

static void format_tolerance(const struct sq_probe *probe, char *text, size_t size)
{
    char limit[SQ_UNIT_TEXT_MAX];
    sq_probe_statuses_format(probe, text, size);
    if (probe->within_ns == 0)
        return;
    sq_duration_format(probe->within_ns, limit);
    sq_text_append(text, size, " within %s", limit);
}

static void format_value(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                         size_t size)
{
    char took[SQ_UNIT_TEXT_MAX];
    (void)probe;
    sq_duration_format_rounded(measurement->took_ns, took);
    sq_text_append(text, size, "status %.0f in %s", measurement->value, took);
}

static double margin(const struct sq_probe *probe, const struct sq_measurement *measurement)
{
    uint64_t limit_ns = probe->within_ns != 0 ? probe->within_ns : probe->timeout_ns;
    return ((double)limit_ns - (double)measurement->took_ns) / SQ_NS_PER_SECOND;
}

static const struct sq_probe_key keys[] = {
    {.key = "http",
     .expected = "an http:// or https:// URL of at most 2047 bytes",
     .required = true,
     .help = "what is fetched with GET from the controller",
     .read = read_url},
    {.key = "tolerance",
     .expected = "a map {status: 200, within: 500ms}",
     .standard = "{status: 200}",
     .help = "status: a number, a class (2xx) or a list of them; within: the slowest answer that will do",
     .read = read_tolerance},
    {.key = "headers",
     .expected = "a map of up to 32",
     .help = "headers that are sent with the request",
     .read = read_access},
    {.key = "bearer",
     .expected = "{file: PATH} or {env: NAME}",
     .help = "a token that is sent as Authorization: Bearer",
     .read = read_access},
    {.key = "basic",
     .expected = "{user: NAME, password: {file: PATH}} or {env: NAME}",
     .help = "basic authentication",
     .read = read_access},
    {.key = "ca",
     .expected = "the path of a PEM file",
     .standard = "the system's",
     .help = "the authorities whose certificates are trusted",
     .read = read_access},
    {.key = "certificate",
     .expected = "the path of a PEM file",
     .help = "the client certificate",
     .read = read_access},
    {.key = "key", .expected = "the path of a PEM file", .help = "its private key", .read = read_access},
    {.key = "redirects",
     .expected = "a whole number, 0 to 20",
     .standard = "0",
     .help = "how many redirects are followed; none: a 302 is an answer as any other",
     .read = read_access},
};

const struct sq_probe_form sq_probe_http_form = {
    .kind = SQ_PROBE_HTTP,
    .name = "http",
    .help = "the status of a web service's answer, and how long it took",
    .keys = keys,
    .key_count = sizeof(keys) / sizeof(keys[0]),
    .check = check,
    .tolerance_format = format_tolerance,
    .value_format = format_value,
    .margin = margin,
};
