/* `promql`: what a query to Prometheus may say. */
#include "model/probe_form.h"

#include "common/text.h"

#include <string.h>

static int read_query(const char *key, struct sq_node value, struct sq_probe *probe, struct sq_error *error)
{
    (void)key;
    if (sq_node_expect(value, SQ_NODE_SCALAR, "'promql'", error) != 0)
        return -1;
    if (sq_node_text(value)[strspn(sq_node_text(value), " \t\n")] == '\0')
        return sq_node_fail(value, error, SQ_BAD_INPUT, "'promql' is empty; expected a query");
    if (!sq_text_copy(probe->target, sizeof(probe->target), sq_node_text(value)))
        return sq_node_fail(value, error, SQ_BAD_INPUT, "'promql' is longer than %d bytes", SQ_QUERY_MAX - 1);
    return 0;
}

static int read_tolerance(const char *key, struct sq_node value, struct sq_probe *probe,
                          struct sq_error *error)
{
    (void)key;
    if (sq_node_type(value) != SQ_NODE_SCALAR)
        return sq_node_fail(value, error, SQ_BAD_INPUT,
                            "the tolerance of a promql probe is a text; expected '>= 0.99' or '0.9..1'");
    if (sq_tolerance_parse(sq_node_text(value), &probe->tolerance, error) != 0)
        return sq_node_fail_at(value, error);
    return 0;
}

static void format_tolerance(const struct sq_probe *probe, char *text, size_t size)
{
    char tolerance[SQ_TOLERANCE_TEXT_MAX];
    sq_tolerance_format(&probe->tolerance, tolerance);
    sq_text_append(text, size, "%s", tolerance);
}

static void format_value(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                         size_t size)
{
    char number[SQ_NUMBER_TEXT_MAX];
    sq_tolerance_value_format(&probe->tolerance, measurement->value, number);
    sq_text_append(text, size, "%s", number);
}

static double margin(const struct sq_probe *probe, const struct sq_measurement *measurement)
{
    return sq_tolerance_margin(&probe->tolerance, measurement->value);
}

static const struct sq_probe_key keys[] = {
    {.key = "promql",
     .expected = "a text of at most 2047 bytes",
     .required = true,
     .help = "a query with one value as its answer, asked of the inventory's Prometheus",
     .read = read_query},
    {.key = "tolerance",
     .expected = "a comparison such as '>= 0.99' or a range",
     .required = true,
     .help = "what the value must be: >= 0.99, < 0.2, == 1, != 0, or both ends of a range, 0.9..1",
     .read = read_tolerance},
};

const struct sq_probe_form sq_probe_promql_form = {
    .kind = SQ_PROBE_PROMQL,
    .name = "promql",
    .help = "the value of a query to Prometheus",
    .keys = keys,
    .key_count = sizeof(keys) / sizeof(keys[0]),
    .tolerance_format = format_tolerance,
    .value_format = format_value,
    .margin = margin,
};
