/* `steady-state-hypothesis` of an experiment file. */
#include "reading/sections.h"

#include "common/text.h"
#include "common/units.h"
#include "reading/experiment.h"
#include "reading/url.h"

#include <string.h>

#define EVERY_MIN_NS       (100 * SQ_NS_PER_MILLISECOND)
#define EVERY_MAX_NS       (3600 * SQ_NS_PER_SECOND)
#define TIMEOUT_MIN_NS     (1 * SQ_NS_PER_MILLISECOND)
#define TIMEOUT_DEFAULT_NS (10 * SQ_NS_PER_SECOND)
#define WAIT_MAX_NS        (24 * 3600 * SQ_NS_PER_SECOND)
#define MISSES_MAX         10000

static int read_http_tolerance(struct sq_node tolerance, struct sq_probe *probe, struct sq_error *error)
{
    static const char *const keys[] = {"status", "within"};
    if (!sq_node_is_there(tolerance))
        return 0;
    if (sq_node_type(tolerance) != SQ_NODE_MAP)
        return sq_node_fail(tolerance, error, SQ_BAD_INPUT,
                            "the tolerance of an http probe is a map; expected {status: 200, within: 500ms}");
    if (sq_node_check_keys(tolerance, "the tolerance of an http probe", keys, 2, error) != 0)
        return -1;
    uint64_t status = probe->http_status;
    if (sq_map_count(tolerance, "status", false, UINT64_MAX, &status, error) != 0)
        return -1;
    if (status < 100 || status > 599)
        return sq_node_fail(sq_node_get(tolerance, "status"), error, SQ_BAD_INPUT,
                            "'status' is out of range; expected an HTTP status from 100 to 599");
    probe->http_status = (uint32_t)status;
    return sq_read_bounded_duration(tolerance, "within", TIMEOUT_MIN_NS, EVERY_MAX_NS, &probe->within_ns,
                                    error);
}

static int read_promql_tolerance(struct sq_node node, struct sq_node tolerance, struct sq_probe *probe,
                                 struct sq_error *error)
{
    if (!sq_node_is_there(tolerance))
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "'tolerance' is missing; expected a comparison such as '>= 0.99' or a range");
    if (sq_node_type(tolerance) != SQ_NODE_SCALAR)
        return sq_node_fail(tolerance, error, SQ_BAD_INPUT,
                            "the tolerance of a promql probe is a text; expected '>= 0.99' or '0.9..1'");
    if (sq_tolerance_parse(sq_node_text(tolerance), &probe->tolerance, error) != 0)
        return sq_node_fail_at(tolerance, error);
    return 0;
}

static int read_target(struct sq_node node, struct sq_probe *probe, struct sq_error *error)
{
    bool is_promql = sq_node_is_there(sq_node_get(node, "promql"));
    bool is_http = sq_node_is_there(sq_node_get(node, "http"));
    if (is_promql == is_http)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "a probe has %s; expected exactly one of 'promql' and 'http'",
                            is_http ? "both 'promql' and 'http'" : "neither 'promql' nor 'http'");
    probe->kind = is_http ? SQ_PROBE_HTTP : SQ_PROBE_PROMQL;
    const char *key = is_http ? "http" : "promql";
    const char *target = "";
    if (sq_map_text(node, key, true, sizeof probe->target, &target, error) != 0)
        return -1;
    (void)sq_text_copy(probe->target, sizeof probe->target, target);
    struct sq_node tolerance = sq_node_get(node, "tolerance");
    if (!is_http)
        return read_promql_tolerance(node, tolerance, probe, error);
    if (sq_http_url_check(target, error) != 0)
        return sq_node_fail_at(sq_node_get(node, key), error);
    return read_http_tolerance(tolerance, probe, error);
}

/* A measurement is over before the next one of its probe is due, and an answer in time is not cut off. */
static int check_times(struct sq_node node, const struct sq_probe *probe, struct sq_error *error)
{
    char timeout[SQ_UNIT_TEXT_MAX];
    sq_duration_format(probe->timeout_ns, timeout);
    if (probe->timeout_ns > probe->every_ns)
        return sq_node_fail(
            sq_node_get(node, "timeout"), error, SQ_BAD_INPUT,
            "the timeout of %s is longer than 'every': one measurement would run into the next", timeout);
    if (probe->within_ns > probe->timeout_ns)
        return sq_node_fail(
            sq_node_get(sq_node_get(node, "tolerance"), "within"), error, SQ_BAD_INPUT,
            "'within' is longer than the probe's timeout of %s; set 'timeout' and 'every' higher", timeout);
    return 0;
}

static int read_probe(struct sq_node node, struct sq_probe *probe, struct sq_error *error)
{
    static const char *const keys[] = {
        "name", "promql", "http", "tolerance", "every", "timeout", "abort-after-misses"};
    if (sq_node_check_keys(node, "a probe", keys, sizeof keys / sizeof keys[0], error) != 0)
        return -1;
    probe->line = sq_node_line(node);
    probe->http_status = 200;
    probe->every_ns = SQ_NS_PER_SECOND;
    probe->abort_after_misses = 3;
    const char *name = "";
    if (sq_map_text(node, "name", true, sizeof probe->name, &name, error) != 0 ||
        sq_read_bounded_duration(node, "every", EVERY_MIN_NS, EVERY_MAX_NS, &probe->every_ns, error) != 0 ||
        sq_read_positive(node, "abort-after-misses", MISSES_MAX, &probe->abort_after_misses, error) != 0)
        return -1;
    probe->timeout_ns = probe->every_ns < TIMEOUT_DEFAULT_NS ? probe->every_ns : TIMEOUT_DEFAULT_NS;
    (void)sq_text_copy(probe->name, sizeof probe->name, name);
    sq_text_make_printable(probe->name);
    if (sq_read_bounded_duration(node, "timeout", TIMEOUT_MIN_NS, EVERY_MAX_NS, &probe->timeout_ns, error) !=
            0 ||
        read_target(node, probe, error) != 0)
        return -1;
    return check_times(node, probe, error);
}

static int check_name_is_new(struct sq_node node, const struct sq_hypothesis *hypothesis,
                             const struct sq_probe *probe, struct sq_error *error)
{
    for (uint32_t i = 0; i < hypothesis->probe_count; i++)
        if (strcmp(hypothesis->probes[i].name, probe->name) == 0)
            return sq_node_fail(sq_node_get(node, "name"), error, SQ_BAD_INPUT,
                                "a second probe '%.60s'; the first stands on line %zu", probe->name,
                                hypothesis->probes[i].line);
    return 0;
}

static int read_header(struct sq_node node, struct sq_hypothesis *hypothesis, struct sq_error *error)
{
    static const char *const keys[] = {"title", "probes", "hold-before", "recover-within"};
    if (sq_node_check_keys(node, "the steady-state hypothesis", keys, sizeof keys / sizeof keys[0], error) !=
        0)
        return -1;
    const char *title = "";
    hypothesis->recover_within_ns = 30 * SQ_NS_PER_SECOND;
    if (sq_map_text(node, "title", false, sizeof hypothesis->title, &title, error) != 0 ||
        sq_read_bounded_duration(node, "hold-before", 0, WAIT_MAX_NS, &hypothesis->hold_before_ns, error) !=
            0 ||
        sq_read_bounded_duration(node, "recover-within", 0, WAIT_MAX_NS, &hypothesis->recover_within_ns,
                                 error) != 0)
        return -1;
    (void)sq_text_copy(hypothesis->title, sizeof hypothesis->title, title);
    sq_text_make_printable(hypothesis->title);
    struct sq_node probes = sq_node_get(node, "probes");
    if (!sq_node_is_there(probes))
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'probes' is missing in the steady-state hypothesis");
    if (sq_node_expect(probes, SQ_NODE_LIST, "'probes'", error) != 0)
        return -1;
    if (sq_node_count(probes) == 0 || sq_node_count(probes) > SQ_PROBES_MAX)
        return sq_node_fail(probes, error, SQ_BAD_INPUT, "'probes' has %zu entries; expected 1 to %d",
                            sq_node_count(probes), SQ_PROBES_MAX);
    return 0;
}

void sq_read_hypothesis(struct sq_node node, struct sq_hypothesis *hypothesis, struct sq_problems *problems)
{
    struct sq_error error;
    if (read_header(node, hypothesis, &error) != 0)
        sq_problems_add(problems, &error);
    struct sq_node probes = sq_node_get(node, "probes");
    for (size_t i = 0; sq_node_type(probes) == SQ_NODE_LIST && i < sq_node_count(probes) && i < SQ_PROBES_MAX;
         i++) {
        struct sq_probe *probe = &hypothesis->probes[hypothesis->probe_count];
        struct sq_node item = sq_node_item(probes, i);
        memset(probe, 0, sizeof *probe);
        if (read_probe(item, probe, &error) != 0 || check_name_is_new(item, hypothesis, probe, &error) != 0)
            sq_problems_add(problems, &error);
        else
            hypothesis->probe_count++;
    }
}
