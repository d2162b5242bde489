/* `method` of an experiment file: the steps, each a fault with its parameters, targets and times. */
#include "reading/sections.h"
#include "reading/values.h"

#include "common/nearest.h"
#include "common/text.h"
#include "common/units.h"
#include "model/expectation.h"
#include "reading/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 32
#define COUNT_MAX  1000000

static int read_label(struct sq_node key, struct sq_node value, struct sq_targets *targets,
                      struct sq_error *error)
{
    struct sq_setting *label = &targets->labels[targets->label_count];
    const char *name = sq_node_text(key);
    if (targets->label_count == SQ_SELECT_MAX)
        return sq_node_fail(key, error, SQ_BAD_INPUT, "more than %d labels", SQ_SELECT_MAX);
    if (name[0] == '\0' || !sq_text_copy(label->name, sizeof label->name, name))
        return sq_node_fail(key, error, SQ_BAD_INPUT, "a label's name has 1 to %d bytes", SQ_NAME_MAX - 1);
    if (sq_node_expect(value, SQ_NODE_SCALAR, "a label's value", error) != 0)
        return -1;
    if (!sq_text_copy(label->value, sizeof label->value, sq_node_text(value)))
        return sq_node_fail(value, error, SQ_BAD_INPUT, "a label's value is longer than %d bytes",
                            SQ_PATH_TEXT_MAX - 1);
    targets->label_count++;
    return 0;
}

static void read_labels(struct sq_node labels, struct sq_targets *targets, struct sq_problems *problems)
{
    struct sq_error error;
    if (!sq_node_is_there(labels) ||
        !sq_problems_note(problems, sq_node_expect(labels, SQ_NODE_MAP, "'labels'", &error), &error))
        return;
    if (sq_node_count(labels) == 0)
        (void)sq_problems_note(
            problems, sq_node_fail(labels, &error, SQ_BAD_INPUT, "'labels' is empty; expected {name: value}"),
            &error);
    for (size_t i = 0; i < sq_node_count(labels); i++)
        (void)sq_problems_note(
            problems, read_label(sq_node_key(labels, i), sq_node_value(labels, i), targets, &error), &error);
}

static int read_host(struct sq_node host, struct sq_targets *targets, struct sq_error *error)
{
    if (sq_node_expect(host, SQ_NODE_SCALAR, "a host's name", error) != 0)
        return -1;
    const char *name = sq_node_text(host);
    if (name[0] == '\0' || !sq_text_copy(targets->hosts[targets->host_count], sizeof targets->hosts[0], name))
        return sq_node_fail(host, error, SQ_BAD_INPUT, "a host's name has 1 to %zu bytes",
                            sizeof targets->hosts[0] - 1);
    for (size_t j = 0; j < targets->host_count; j++)
        if (strcmp(targets->hosts[j], name) == 0)
            return sq_node_fail(host, error, SQ_BAD_INPUT, "the host '%s' stands here twice", name);
    targets->host_count++;
    return 0;
}

static void read_hosts(struct sq_node hosts, struct sq_targets *targets, struct sq_problems *problems)
{
    struct sq_error error;
    size_t count = sq_one_or_list_count(hosts);
    if (sq_node_is_there(hosts) && (count == 0 || count > SQ_SELECT_MAX))
        (void)sq_problems_note(problems,
                               sq_node_fail(hosts, &error, SQ_BAD_INPUT,
                                            "'hosts' has %zu entries; expected 1 to %d (use labels)", count,
                                            SQ_SELECT_MAX),
                               &error);
    for (size_t i = 0; i < count && i < SQ_SELECT_MAX; i++)
        (void)sq_problems_note(problems, read_host(sq_one_or_list_item(hosts, i), targets, &error), &error);
}

static int read_percent(struct sq_node node, struct sq_targets *targets, struct sq_error *error)
{
    struct sq_node percent = sq_node_get(node, "percent");
    if (!sq_node_is_there(percent))
        return 0;
    if (sq_node_is_there(sq_node_get(node, "count")))
        return sq_node_fail(percent, error, SQ_BAD_INPUT, "'count' and 'percent' exclude each other");
    if (sq_node_expect(percent, SQ_NODE_SCALAR, "'percent'", error) != 0)
        return -1;
    if (sq_percent_parse(sq_node_text(percent), &targets->percent, error) != 0)
        return sq_node_fail_at(percent, error);
    if (!(targets->percent > 0))
        return sq_node_fail(percent, error, SQ_BAD_INPUT,
                            "'percent' is 0%%, which hits nobody; expected more");
    return 0;
}

static int check_targets(struct sq_node step, struct sq_error *error)
{
    static const char explicit[] =
        "the blast radius must be explicit: expected at least one of 'labels', 'hosts', "
        "'count' and 'percent' (percent: 100% means every host)";
    struct sq_node node = sq_node_get(step, "targets");
    if (!sq_node_is_there(node))
        return sq_node_fail(step, error, SQ_BAD_INPUT, "'targets' is missing; %s", explicit);
    static const char *const choosing[] = {"labels", "hosts", "count", "percent"};
    for (size_t i = 0; i < sizeof choosing / sizeof choosing[0]; i++)
        if (sq_node_is_there(sq_node_get(node, choosing[i])))
            return 0;
    return sq_node_fail(node, error, SQ_BAD_INPUT, "'targets' names nobody; %s", explicit);
}

static void read_targets(struct sq_node step, struct sq_targets *targets, struct sq_problems *problems)
{
    static const char *const keys[] = {"labels", "hosts", "count", "percent", "seed"};
    struct sq_error error;
    struct sq_node node = sq_node_get(step, "targets");
    if (sq_node_is_there(node) &&
        !sq_problems_check_keys(problems, node, "'targets'", keys, sizeof keys / sizeof keys[0]) &&
        sq_node_type(node) != SQ_NODE_MAP)
        return;
    if (!sq_problems_note(problems, check_targets(step, &error), &error))
        return;
    targets->line = sq_node_line(node);
    targets->column = sq_node_column(node);
    read_labels(sq_node_get(node, "labels"), targets, problems);
    read_hosts(sq_node_get(node, "hosts"), targets, problems);
    (void)sq_problems_note(problems, sq_read_positive(node, "count", COUNT_MAX, &targets->count, &error),
                           &error);
    (void)sq_problems_note(problems, sq_map_count(node, "seed", false, UINT64_MAX, &targets->seed, &error),
                           &error);
    (void)sq_problems_note(problems, read_percent(node, targets, &error), &error);
}

static int fail_param_name(struct sq_node key, const struct sq_fault_info *info, struct sq_error *error)
{
    const char *keys[PARAMS_MAX];
    size_t count = info->param_count < PARAMS_MAX ? info->param_count : PARAMS_MAX;
    sq_autostring struct sq_string list = {0};
    for (size_t i = 0; i < count; i++) {
        keys[i] = info->params[i].key;
        sq_string_add(&list, "%s%s", i == 0 ? "" : ", ", keys[i]);
    }
    const char *nearest = sq_nearest(sq_node_text(key), keys, count);
    if (nearest != NULL)
        return sq_node_fail(key, error, SQ_BAD_INPUT, "%s has no parameter '%.60s'; did you mean '%s'?",
                            info->name, sq_node_text(key), nearest);
    return sq_node_fail(key, error, SQ_BAD_INPUT, "%s has no parameter '%.60s'; expected one of %s",
                        info->name, sq_node_text(key), sq_string_text(&list));
}

static int read_param(struct sq_node value, const struct sq_param *param, struct sq_fault_spec *spec,
                      struct sq_error *error)
{
    char what[80];
    (void)snprintf(what, sizeof what, "'%s'", param->key);
    bool is_list = sq_node_type(value) == SQ_NODE_LIST;
    if (!sq_param_takes_list(param) && sq_node_expect(value, SQ_NODE_SCALAR, what, error) != 0)
        return -1;
    /* Not so for ranges: an empty list of those is like none, and the table says which may be. */
    if (is_list && param->type == SQ_PARAM_CORES && sq_node_count(value) == 0)
        return sq_node_fail(value, error, SQ_BAD_INPUT, "%s is an empty list", what);
    for (size_t i = 0; i < sq_one_or_list_count(value); i++) {
        struct sq_node item = sq_one_or_list_item(value, i);
        if (sq_node_expect(item, SQ_NODE_SCALAR, what, error) != 0)
            return -1;
        int result = is_list ? sq_spec_set_item(spec, param, sq_node_text(item), error)
                             : sq_spec_set(spec, param, sq_node_text(item), error);
        if (result != 0)
            return sq_node_fail_at(item, error);
    }
    return 0;
}

/* Point at the parameter at fault, else at all of them. */
static int fail_param(struct sq_node step, const char *culprit, const struct sq_fault_info *info,
                      struct sq_error *error)
{
    struct sq_node with = sq_node_get(step, "with");
    struct sq_node place = culprit == NULL ? with : sq_node_get(with, culprit);
    if (!sq_node_is_there(place))
        place = sq_node_is_there(with) ? with : step;
    (void)sq_fail_in(error, "%s", info->name);
    return sq_node_fail_at(place, error);
}

static int read_with_entry(struct sq_node with, size_t i, const struct sq_fault_info *info,
                           struct sq_fault_spec *spec, struct sq_error *error)
{
    struct sq_node key = sq_node_key(with, i);
    const struct sq_param *param = sq_param_by_key(info, sq_node_text(key));
    if (param == NULL)
        return fail_param_name(key, info, error);
    return read_param(sq_node_value(with, i), param, spec, error);
}

static void read_with(struct sq_node step, const struct sq_fault_info *info, struct sq_fault_spec *spec,
                      struct sq_problems *problems)
{
    struct sq_error error;
    struct sq_node with = sq_node_get(step, "with");
    uint32_t before = problems->error_count;
    sq_spec_init(spec, info);
    if (sq_node_is_there(with) &&
        !sq_problems_note(problems, sq_node_expect(with, SQ_NODE_MAP, "'with'", &error), &error))
        return;
    for (size_t i = 0; i < sq_node_count(with); i++)
        (void)sq_problems_note(problems, read_with_entry(with, i, info, spec, &error), &error);
    const char *culprit = NULL;
    if (problems->error_count == before && sq_spec_check(spec, &culprit, &error) != 0)
        (void)sq_problems_note(problems, fail_param(step, culprit, info, &error), &error);
}

/* `info` is NULL when nobody knows the fault: then it may be missing. */
static int read_duration(struct sq_node node, const struct sq_fault_info *info, struct sq_step *step,
                         struct sq_error *error)
{
    struct sq_node duration = sq_node_get(node, "duration");
    step->duration_line = sq_node_line(sq_node_is_there(duration) ? duration : node);
    step->duration_column = sq_node_column(sq_node_is_there(duration) ? duration : node);
    if (info != NULL && info->instant)
        step->duration_ns = SQ_KILL_WATCH_DEFAULT_NS;
    else if (info != NULL && !sq_node_is_there(duration))
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "'duration' is missing; expected how long %s lasts, such as 30s", info->name);
    return sq_read_bounded_duration(node, "duration", SQ_DURATION_MIN_NS, SQ_DURATION_MAX_NS,
                                    &step->duration_ns, error);
}

static int read_at(struct sq_node node, bool is_first, struct sq_step *step, struct sq_error *error)
{
    struct sq_node at = sq_node_get(node, "at");
    if (sq_read_bounded_duration(node, "at", 0, SQ_DURATION_MAX_NS, &step->at_ns, error) != 0)
        return -1;
    step->has_at = sq_node_is_there(at);
    if (is_first && step->at_ns > 0)
        return sq_node_fail(at, error, SQ_BAD_INPUT,
                            "the first step starts the experiment; 'at' is a time after it, for later steps");
    return 0;
}

static int read_name(struct sq_node node, struct sq_step *step, struct sq_error *error)
{
    const char *name = "";
    if (sq_map_line(node, "name", true, sizeof step->name, &name, error) != 0)
        return -1;
    (void)sq_text_copy(step->name, sizeof step->name, name);
    return 0;
}

static int read_fault(struct sq_node node, const struct sq_fault_info **info, struct sq_error *error)
{
    const char *fault = "";
    if (sq_map_text(node, "fault", true, SQ_NAME_MAX, &fault, error) != 0)
        return -1;
    *info = sq_fault_by_name(fault);
    if (*info != NULL)
        return 0;
    (void)sq_fault_name_fail(fault, error);
    return sq_node_fail_at(sq_node_get(node, "fault"), error);
}

static int read_expectation(struct sq_node node, const struct sq_fault_info *info, struct sq_step *step,
                            struct sq_error *error)
{
    static const char *const keys[] = {"came-back-within"};
    if (sq_node_check_keys(node, "an entry of 'expect'", keys, sizeof keys / sizeof keys[0], error) != 0)
        return -1;
    if (!info->instant)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "%s ends no process; 'came-back-within' is for process.kill", info->name);
    if (step->came_back_within_ns != 0)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'came-back-within' stands here twice");
    if (!sq_node_is_there(sq_node_get(node, "came-back-within")))
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "an entry of 'expect' is empty; expected {came-back-within: 10s}");
    return sq_read_bounded_duration(node, "came-back-within", SQ_DURATION_MIN_NS,
                                    SQ_DURATION_MAX_NS - SQ_EXPECT_LOOK_NS, &step->came_back_within_ns,
                                    error);
}

/* What is expected must be watched for long enough to be seen. */
static int read_expect(struct sq_node step_node, const struct sq_fault_info *info, struct sq_step *step,
                       struct sq_error *error)
{
    struct sq_node node = sq_node_get(step_node, "expect");
    if (!sq_node_is_there(node))
        return 0;
    if (sq_node_expect(node, SQ_NODE_LIST, "'expect'", error) != 0)
        return -1;
    for (size_t i = 0; i < sq_node_count(node); i++)
        if (read_expectation(sq_node_item(node, i), info, step, error) != 0)
            return -1;
    if (step->came_back_within_ns == 0)
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "'expect' is empty; expected [{came-back-within: 10s}]");
    if (step->duration_ns < step->came_back_within_ns + SQ_EXPECT_LOOK_NS)
        step->duration_ns = step->came_back_within_ns + SQ_EXPECT_LOOK_NS;
    return 0;
}

/* True if nothing was wrong with it. */
static bool read_step(struct sq_node node, bool is_first, struct sq_step *step, struct sq_problems *problems)
{
    static const char *const keys[] = {"name", "fault", "targets", "with", "duration", "at", "expect"};
    struct sq_error error;
    const struct sq_fault_info *info = NULL;
    uint32_t before = problems->error_count;
    if (!sq_problems_check_keys(problems, node, "a step", keys, sizeof keys / sizeof keys[0]) &&
        sq_node_type(node) != SQ_NODE_MAP)
        return false;
    step->line = sq_node_line(node);
    step->column = sq_node_column(node);
    (void)sq_problems_note(problems, read_name(node, step, &error), &error);
    bool is_known = sq_problems_note(problems, read_fault(node, &info, &error), &error);
    read_targets(node, &step->targets, problems);
    if (is_known)
        read_with(node, info, &step->spec, problems);
    (void)sq_problems_note(problems, read_duration(node, info, step, &error), &error);
    if (is_known)
        (void)sq_problems_note(problems, read_expect(node, info, step, &error), &error);
    (void)sq_problems_note(problems, read_at(node, is_first, step, &error), &error);
    if (problems->error_count != before)
        return false;
    const char *culprit = NULL;
    if (sq_spec_check_duration(&step->spec, step->duration_ns, &culprit, &error) == 0)
        return true;
    return sq_problems_note(problems, fail_param(node, culprit, info, &error), &error);
}

static int check_name_is_new(struct sq_node node, const struct sq_experiment *experiment,
                             const struct sq_step *step, struct sq_error *error)
{
    for (uint32_t i = 0; i < experiment->step_count; i++)
        if (strcmp(experiment->steps[i].name, step->name) == 0)
            return sq_node_fail(sq_node_get(node, "name"), error, SQ_BAD_INPUT,
                                "a second step '%.60s'; the first stands on line %zu", step->name,
                                experiment->steps[i].line);
    return 0;
}

static bool have_same_labels(const struct sq_targets *a, const struct sq_targets *b)
{
    if (a->label_count != b->label_count)
        return false;
    for (uint32_t i = 0; i < a->label_count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < b->label_count && !found; j++)
            found = strcmp(a->labels[i].name, b->labels[j].name) == 0 &&
                    strcmp(a->labels[i].value, b->labels[j].value) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool have_same_hosts(const struct sq_targets *a, const struct sq_targets *b)
{
    if (a->host_count != b->host_count)
        return false;
    for (uint32_t i = 0; i < a->host_count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < b->host_count && !found; j++)
            found = strcmp(a->hosts[i], b->hosts[j]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool takes_all(const struct sq_targets *targets)
{
    return targets->count == 0 && (!(targets->percent > 0) || targets->percent >= 100);
}

/* Whatever the inventory: these two hit a common host. What only the inventory tells is left to sq_plan_make.
 */
static bool surely_meet(const struct sq_targets *a, const struct sq_targets *b)
{
    if (have_same_labels(a, b) && have_same_hosts(a, b))
        /* From the same candidates: all of them against any, or by the same seed, where the smaller share is
         * part of the larger one. */
        return takes_all(a) || takes_all(b) || a->seed == b->seed;
    if (a->label_count != 0 || b->label_count != 0 || !takes_all(a) || !takes_all(b))
        return false;
    for (uint32_t i = 0; i < a->host_count; i++)
        for (uint32_t j = 0; j < b->host_count; j++)
            if (strcmp(a->hosts[i], b->hosts[j]) == 0)
                return true;
    return false;
}

static void check_collisions(struct sq_node method, const struct sq_experiment *experiment,
                             struct sq_problems *problems)
{
    for (uint32_t i = 0; i < experiment->step_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            const struct sq_step *step = &experiment->steps[i];
            const struct sq_step *other = &experiment->steps[j];
            if (!sq_experiment_steps_overlap(experiment, i, j) ||
                !sq_spec_collides(&step->spec, &other->spec) || !surely_meet(&step->targets, &other->targets))
                continue;
            struct sq_error error;
            const char *kind = sq_fault_by_kind(step->spec.kind)->name;
            bool is_same_kind = step->spec.kind == other->spec.kind;
            (void)sq_node_fail(
                sq_node_item(method, i), &error, SQ_BAD_INPUT,
                "the step '%.60s' collides with '%.60s' on line %zu: the same hosts, the same targets of "
                "%s%s%s, and overlapping times; let one end before the other starts ('at'), or choose other "
                "hosts or other targets in 'with'",
                step->name, other->name, other->line,
                is_same_kind ? "" : sq_fault_by_kind(other->spec.kind)->name, is_same_kind ? "" : " and ",
                kind);
            sq_problems_add(problems, &error);
        }
    }
}

void sq_read_method(struct sq_node node, struct sq_experiment *experiment, struct sq_problems *problems)
{
    struct sq_error error;
    size_t count = sq_node_count(node);
    if (sq_node_expect(node, SQ_NODE_LIST, "'method'", &error) != 0) {
        sq_problems_add(problems, &error);
        return;
    }
    if (count > SQ_STEPS_MAX) {
        (void)sq_node_fail(node, &error, SQ_BAD_INPUT, "more than %d steps", SQ_STEPS_MAX);
        sq_problems_add(problems, &error);
        return;
    }
    experiment->steps = calloc(count == 0 ? 1 : count, sizeof *experiment->steps);
    if (experiment->steps == NULL) {
        (void)sq_fail(&error, SQ_SYSTEM, "out of memory");
        sq_problems_add(problems, &error);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct sq_step *step = &experiment->steps[experiment->step_count];
        struct sq_node item = sq_node_item(node, i);
        memset(step, 0, sizeof *step);
        if (read_step(item, i == 0, step, problems) &&
            sq_problems_note(problems, check_name_is_new(item, experiment, step, &error), &error))
            experiment->step_count++;
    }
    /* With a step missing the times of the others mean nothing. */
    if (experiment->step_count == count)
        check_collisions(node, experiment, problems);
}
