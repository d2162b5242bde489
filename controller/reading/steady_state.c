/* `steady-state-hypothesis` of an experiment file. */
#include "reading/sections.h"
#include "reading/values.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/probe_form.h"
#include "reading/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_MIN_NS       (100 * SQ_NS_PER_MILLISECOND)
#define EVERY_MAX_NS       SQ_PROBE_TIME_MAX_NS
#define TIMEOUT_DEFAULT_NS (10 * SQ_NS_PER_SECOND)
#define RECOVER_MIN_NS     (1 * SQ_NS_PER_MILLISECOND) /* nothing recovers in no time */
#define WAIT_MAX_NS        (24 * 3600 * SQ_NS_PER_SECOND)
#define MISSES_MAX         10000

/* The keys that every probe has. */
static const char *const common_keys[] = {"name",       "every",  "timeout", "abort-after-misses",
                                          "max-misses", "settle", "lag"};

#define COMMON_KEYS    (sizeof common_keys / sizeof common_keys[0])
#define PROBE_KEYS_MAX 64

/* Which kind of probe it is, by the key under which its target stands. */
static int find_form(struct sq_node node, const struct sq_probe_form **form, struct sq_error *error)
{
    char names[200] = "";
    uint32_t given = 0;
    if (sq_node_expect(node, SQ_NODE_MAP, "a probe", error) != 0)
        return -1;
    for (size_t i = 0; i < sq_probe_form_count; i++) {
        given += sq_node_is_there(sq_node_get(node, sq_probe_forms[i]->name)) ? 1 : 0;
        sq_text_append(names, sizeof names, "%s'%s'",
                       i == 0                         ? ""
                       : i + 1 == sq_probe_form_count ? " and "
                                                      : ", ",
                       sq_probe_forms[i]->name);
    }
    *form = sq_probe_form_by_target(node);
    if (*form == NULL)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "a probe has %s; expected exactly one of %s",
                            given == 0 ? "no kind" : "several kinds", names);
    return 0;
}

/* Its own keys and everybody's; of a probe without a kind, the keys of all kinds, so that a misspelt kind is
 * told as that. */
static bool check_keys(struct sq_node node, struct sq_problems *problems)
{
    const char *keys[PROBE_KEYS_MAX];
    size_t count = 0;
    const struct sq_probe_form *form = sq_probe_form_by_target(node);
    for (size_t i = 0; i < COMMON_KEYS; i++)
        keys[count++] = common_keys[i];
    for (size_t i = 0; i < sq_probe_form_count; i++)
        for (size_t k = 0; k < sq_probe_forms[i]->key_count && count < PROBE_KEYS_MAX; k++)
            if (form == NULL || form == sq_probe_forms[i])
                keys[count++] = sq_probe_forms[i]->keys[k].key;
    char what[40] = "a probe";
    if (form != NULL)
        (void)snprintf(what, sizeof what, "%s %s probe", strchr("aeio", form->name[0]) ? "an" : "a",
                       form->name);
    return sq_problems_check_keys(problems, node, what, keys, count);
}

/* A measurement is over before the next one of its probe is due. */
static int check_times(struct sq_node node, const struct sq_probe *probe, struct sq_error *error)
{
    char timeout[SQ_UNIT_TEXT_MAX];
    if (probe->timeout_ns <= probe->every_ns)
        return 0;
    sq_duration_format(probe->timeout_ns, timeout);
    return sq_node_fail(sq_node_get(node, "timeout"), error, SQ_BAD_INPUT,
                        "the timeout of %s is longer than 'every': one measurement would run into the next",
                        timeout);
}

/* A count or a percentage. */
static int read_max_misses(struct sq_node node, struct sq_allowance *most, struct sq_error *error)
{
    uint64_t count = 0;
    struct sq_node value = sq_node_get(node, "max-misses");
    if (!sq_node_is_there(value))
        return 0;
    if (sq_node_expect(value, SQ_NODE_SCALAR, "'max-misses'", error) != 0)
        return -1;
    const char *text = sq_node_text(value);
    most->given = true;
    most->is_percent = strchr(text, '%') != NULL;
    if (most->is_percent && sq_percent_parse(text, &most->percent, error) != 0)
        return sq_node_fail_at(value, error);
    if (!most->is_percent && sq_count_parse(text, MISSES_MAX, &count, error) != 0)
        return sq_node_fail(value, error, SQ_BAD_INPUT,
                            "'max-misses' is '%.40s'; expected 0 to %d, or a percentage such as 10%%", text,
                            MISSES_MAX);
    most->count = (uint32_t)count;
    return 0;
}

/* What is judged, and from when. */
static void read_judgement(struct sq_node node, struct sq_probe *probe, struct sq_problems *problems)
{
    struct sq_error error;
    probe->abort_after_misses = 3;
    probe->has_lag = probe->kind != SQ_PROBE_PROMQL || sq_node_is_there(sq_node_get(node, "lag"));
    (void)sq_problems_note(
        problems,
        sq_read_positive(node, "abort-after-misses", MISSES_MAX, &probe->abort_after_misses, &error), &error);
    (void)sq_problems_note(problems, read_max_misses(node, &probe->max_misses, &error), &error);
    (void)sq_problems_note(
        problems, sq_read_bounded_duration(node, "settle", 0, WAIT_MAX_NS, &probe->settle_ns, &error),
        &error);
    (void)sq_problems_note(
        problems, sq_read_bounded_duration(node, "lag", 0, WAIT_MAX_NS, &probe->lag_ns, &error), &error);
}

static int read_name(struct sq_node node, struct sq_probe *probe, struct sq_error *error)
{
    const char *name = "";
    if (sq_map_line(node, "name", true, sizeof probe->name, &name, error) != 0)
        return -1;
    (void)sq_text_copy(probe->name, sizeof probe->name, name);
    return 0;
}

static void read_times(struct sq_node node, struct sq_probe *probe, struct sq_problems *problems)
{
    struct sq_error error;
    probe->every_ns = SQ_NS_PER_SECOND;
    bool is_read = sq_problems_note(
        problems,
        sq_read_bounded_duration(node, "every", EVERY_MIN_NS, EVERY_MAX_NS, &probe->every_ns, &error),
        &error);
    probe->timeout_ns = probe->every_ns < TIMEOUT_DEFAULT_NS ? probe->every_ns : TIMEOUT_DEFAULT_NS;
    is_read = sq_problems_note(problems,
                               sq_read_bounded_duration(node, "timeout", SQ_PROBE_TIME_MIN_NS, EVERY_MAX_NS,
                                                        &probe->timeout_ns, &error),
                               &error) &&
              is_read;
    if (is_read)
        (void)sq_problems_note(problems, check_times(node, probe, &error), &error);
}

/* True if nothing was wrong with it. */
static bool read_probe(struct sq_node node, struct sq_probe *probe, struct sq_problems *problems)
{
    struct sq_error error;
    const struct sq_probe_form *form = NULL;
    uint32_t before = problems->error_count;
    if (!check_keys(node, problems) && sq_node_type(node) != SQ_NODE_MAP)
        return false;
    probe->line = sq_node_line(node);
    (void)sq_problems_note(problems, read_name(node, probe, &error), &error);
    read_times(node, probe, problems);
    if (sq_problems_note(problems, find_form(node, &form, &error), &error))
        sq_probe_form_read(form, node, probe, problems);
    read_judgement(node, probe, problems);
    return problems->error_count == before;
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

static int read_title(struct sq_node node, struct sq_hypothesis *hypothesis, struct sq_error *error)
{
    const char *title = "";
    if (sq_map_line(node, "title", false, sizeof hypothesis->title, &title, error) != 0)
        return -1;
    (void)sq_text_copy(hypothesis->title, sizeof hypothesis->title, title);
    return 0;
}

static int check_probes(struct sq_node node, struct sq_node probes, struct sq_error *error)
{
    if (!sq_node_is_there(probes))
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'probes' is missing in the steady-state hypothesis");
    if (sq_node_expect(probes, SQ_NODE_LIST, "'probes'", error) != 0)
        return -1;
    if (sq_node_count(probes) == 0 || sq_node_count(probes) > SQ_PROBES_MAX)
        return sq_node_fail(probes, error, SQ_BAD_INPUT, "'probes' has %zu entries; expected 1 to %d",
                            sq_node_count(probes), SQ_PROBES_MAX);
    return 0;
}

static void read_header(struct sq_node node, struct sq_hypothesis *hypothesis, struct sq_problems *problems)
{
    static const char *const keys[] = {"title", "probes", "hold-before", "recover-within"};
    struct sq_error error;
    hypothesis->recover_within_ns = 30 * SQ_NS_PER_SECOND;
    if (!sq_problems_check_keys(problems, node, "the steady-state hypothesis", keys,
                                sizeof keys / sizeof keys[0]) &&
        sq_node_type(node) != SQ_NODE_MAP)
        return;
    (void)sq_problems_note(problems, read_title(node, hypothesis, &error), &error);
    (void)sq_problems_note(
        problems,
        sq_read_bounded_duration(node, "hold-before", 0, WAIT_MAX_NS, &hypothesis->hold_before_ns, &error),
        &error);
    (void)sq_problems_note(problems,
                           sq_read_bounded_duration(node, "recover-within", RECOVER_MIN_NS, WAIT_MAX_NS,
                                                    &hypothesis->recover_within_ns, &error),
                           &error);
    (void)sq_problems_note(problems, check_probes(node, sq_node_get(node, "probes"), &error), &error);
}

void sq_read_hypothesis(struct sq_node node, struct sq_hypothesis *hypothesis, struct sq_problems *problems)
{
    struct sq_error error;
    read_header(node, hypothesis, problems);
    struct sq_node probes = sq_node_get(node, "probes");
    size_t count = sq_node_type(probes) == SQ_NODE_LIST ? sq_node_count(probes) : 0;
    count = count < SQ_PROBES_MAX ? count : SQ_PROBES_MAX;
    hypothesis->probes = calloc(count + 1, sizeof *hypothesis->probes);
    if (hypothesis->probes == NULL) {
        (void)sq_fail(&error, SQ_SYSTEM, "out of memory");
        sq_problems_add(problems, &error);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct sq_probe *probe = &hypothesis->probes[hypothesis->probe_count];
        struct sq_node item = sq_node_item(probes, i);
        memset(probe, 0, sizeof *probe);
        if (read_probe(item, probe, problems) &&
            sq_problems_note(problems, check_name_is_new(item, hypothesis, probe, &error), &error))
            hypothesis->probe_count++;
        else
            sq_access_free(probe->access);
    }
}
