#include "reading/experiment.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "common/units.h"
#include "model/evidence.h"
#include "reading/parameters.h"
#include "reading/sections.h"
#include "reading/values.h"

#include <stdlib.h>
#include <string.h>

static int read_title(struct sq_node root, struct sq_experiment *experiment, struct sq_error *error)
{
    const char *title = "";
    if (sq_map_line(root, "title", true, sizeof experiment->title, &title, error) != 0)
        return -1;
    (void)sq_text_copy(experiment->title, sizeof experiment->title, title);
    return 0;
}

static int read_description(struct sq_node root, struct sq_experiment *experiment, struct sq_error *error)
{
    const char *description = "";
    if (sq_map_text(root, "description", false, sizeof experiment->description, &description, error) != 0)
        return -1;
    (void)sq_text_copy(experiment->description, sizeof experiment->description, description);
    return 0;
}

static int read_tag(struct sq_node tag, struct sq_experiment *experiment, struct sq_error *error)
{
    if (sq_node_expect(tag, SQ_NODE_SCALAR, "a tag", error) != 0)
        return -1;
    const char *text = sq_node_text(tag);
    if (text[0] == '\0' || strlen(text) >= SQ_NAME_MAX)
        return sq_node_fail(tag, error, SQ_BAD_INPUT, "a tag has 1 to %d bytes", SQ_NAME_MAX - 1);
    (void)sq_text_copy(experiment->tags[experiment->tag_count++], SQ_NAME_MAX, text);
    return 0;
}

static void read_tags(struct sq_node tags, struct sq_experiment *experiment, struct sq_problems *problems)
{
    struct sq_error error;
    size_t count = sq_one_or_list_count(tags);
    if (count > SQ_TAGS_MAX)
        (void)sq_problems_note(
            problems, sq_node_fail(tags, &error, SQ_BAD_INPUT, "more than %d tags", SQ_TAGS_MAX), &error);
    for (size_t i = 0; i < count && i < SQ_TAGS_MAX; i++)
        (void)sq_problems_note(problems, read_tag(sq_one_or_list_item(tags, i), experiment, &error), &error);
}

static int read_max_hosts(struct sq_node most, struct sq_limits *result, struct sq_error *error)
{
    if (!sq_node_is_there(most))
        return 0;
    if (sq_node_expect(most, SQ_NODE_SCALAR, "'max-hosts'", error) != 0)
        return -1;
    const char *text = sq_node_text(most);
    uint64_t count = 0;
    if (strchr(text, '%') != NULL) {
        if (sq_percent_parse(text, &result->max_hosts_percent, error) != 0)
            return sq_node_fail_at(most, error);
    } else if (sq_count_parse(text, UINT32_MAX, &count, error) != 0) {
        return sq_node_fail(most, error, SQ_BAD_INPUT,
                            "'max-hosts' is '%.40s'; expected a number of hosts or a percentage such as 50%%",
                            text);
    }
    result->max_hosts = (uint32_t)count;
    if (count == 0 && !(result->max_hosts_percent > 0))
        return sq_node_fail(most, error, SQ_BAD_INPUT, "'max-hosts' allows nobody; expected at least 1");
    return 0;
}

static void read_limits(struct sq_node limits, struct sq_limits *result, struct sq_problems *problems)
{
    static const char *const keys[] = {"max-hosts", "alone"};
    struct sq_error error;
    if (!sq_node_is_there(limits))
        return;
    (void)sq_problems_check_keys(problems, limits, "'limits'", keys, sizeof keys / sizeof keys[0]);
    (void)sq_problems_note(problems, read_max_hosts(sq_node_get(limits, "max-hosts"), result, &error),
                           &error);
    (void)sq_problems_note(problems, sq_read_yes_or_no(limits, "alone", &result->alone, &error), &error);
}

const char *const sq_experiment_keys[] = {
    "title",  "description", "tags",  "parameters", "steady-state-hypothesis",
    "method", "limits",      "lease", NULL};

static void read_header(struct sq_node root, struct sq_experiment *experiment, struct sq_problems *problems)
{
    struct sq_error error;
    (void)sq_problems_check_keys(problems, root, "the experiment", sq_experiment_keys,
                                 sizeof sq_experiment_keys / sizeof sq_experiment_keys[0] - 1);
    (void)sq_problems_note(problems, read_title(root, experiment, &error), &error);
    (void)sq_problems_note(problems, read_description(root, experiment, &error), &error);
    read_tags(sq_node_get(root, "tags"), experiment, problems);
    read_limits(sq_node_get(root, "limits"), &experiment->limits, problems);
    (void)sq_problems_note(problems,
                           sq_read_bounded_duration(root, "lease", SQ_LEASE_MIN_NS, SQ_LEASE_MAX_NS,
                                                    &experiment->lease_ns, &error),
                           &error);
}

static int check_is_something(struct sq_node root, struct sq_error *error)
{
    struct sq_node method = sq_node_get(root, "method");
    if (sq_node_is_there(sq_node_get(root, "steady-state-hypothesis")))
        return 0;
    if (sq_node_type(method) == SQ_NODE_LIST && sq_node_count(method) == 0)
        return sq_node_fail(method, error, SQ_BAD_INPUT,
                            "'method' is empty, and there is no 'steady-state-hypothesis': nothing to do");
    if (sq_node_is_there(method))
        return 0;
    return sq_node_fail(root, error, SQ_BAD_INPUT,
                        "there is neither a 'method' nor a 'steady-state-hypothesis': nothing to do");
}

/* Every agent prepares everything beforehand, and none holds what is prepared for ever. */
static int check_wait(struct sq_node root, const struct sq_experiment *experiment, struct sq_error *error)
{
    uint64_t most_ns = SQ_PREPARED_MAX_NS - 2 * SQ_EXPERIMENT_SLACK_NS;
    uint64_t wait_ns = sq_experiment_wait_ns(experiment);
    if (wait_ns <= most_ns)
        return 0;
    char wait[SQ_UNIT_TEXT_MAX];
    char most[SQ_UNIT_TEXT_MAX];
    sq_duration_format(wait_ns, wait);
    sq_duration_format(most_ns, most);
    return sq_node_fail(sq_node_get(root, "method"), error, SQ_BAD_INPUT,
                        "the last step begins %s after the hosts were prepared ('hold-before' and the steps "
                        "before it); they wait %s at most: make several experiments of it",
                        wait, most);
}

static void tell_evidence(void *cookie, bool is_warning, const struct sq_error *error)
{
    if (is_warning)
        sq_problems_warn(cookie, error);
    else
        sq_problems_add(cookie, error);
}

static void read_sections(struct sq_node root, struct sq_experiment *experiment, struct sq_problems *problems)
{
    struct sq_error error;
    read_header(root, experiment, problems);
    (void)sq_problems_note(problems, check_is_something(root, &error), &error);
    struct sq_node hypothesis = sq_node_get(root, "steady-state-hypothesis");
    experiment->has_hypothesis = sq_node_is_there(hypothesis);
    if (experiment->has_hypothesis)
        sq_read_hypothesis(hypothesis, &experiment->hypothesis, problems);
    struct sq_node method = sq_node_get(root, "method");
    if (sq_node_is_there(method))
        sq_read_method(method, experiment, problems);
    if (problems->error_count == 0)
        (void)sq_problems_note(problems, check_wait(root, experiment, &error), &error);
    if (problems->error_count == 0)
        sq_evidence_check(experiment, false, tell_evidence, problems);
}

/* What has to be right before anything else can be read: the document and its parameters. */
static bool open_sections(struct sq_document *document, const struct sq_setting *settings,
                          size_t setting_count, struct sq_experiment *experiment,
                          struct sq_problems *problems)
{
    struct sq_error error;
    struct sq_node root = sq_document_root(document);
    if (!sq_node_is_there(root))
        return sq_problems_note(
            problems,
            sq_fail(&error, SQ_BAD_INPUT, "%s: the file is empty; expected an experiment", experiment->path),
            &error);
    return sq_problems_note(problems, sq_node_expect(root, SQ_NODE_MAP, "the experiment", &error), &error) &&
           sq_parameters_read(sq_node_get(root, "parameters"), settings, setting_count, experiment,
                              problems) &&
           sq_parameters_substitute(root, experiment, problems);
}

static int read_document(struct sq_document *document, const struct sq_setting *settings,
                         size_t setting_count, struct sq_experiment **experiment,
                         struct sq_problems *problems)
{
    struct sq_error error;
    sq_autoexperiment struct sq_experiment *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        (void)sq_fail(&error, SQ_SYSTEM, "out of memory");
        sq_problems_add(problems, &error);
        return -1;
    }
    sq_text_copy_path(fresh->path, sizeof fresh->path, sq_document_name(document));
    fresh->lease_ns = SQ_LEASE_DEFAULT_NS;
    if (open_sections(document, settings, setting_count, fresh, problems))
        read_sections(sq_document_root(document), fresh, problems);
    if (problems->error_count > 0)
        return -1;
    *experiment = sq_take(fresh);
    return 0;
}

int sq_experiment_examine(const struct sq_input *input, const struct sq_setting *settings,
                          size_t setting_count, struct sq_experiment **experiment,
                          struct sq_problems *problems)
{
    sq_autodocument struct sq_document *document = NULL;
    struct sq_error error;
    if (sq_input_document(input, &document, &error) != 0) {
        sq_problems_add(problems, &error);
        return -1;
    }
    return read_document(document, settings, setting_count, experiment, problems);
}

int sq_experiment_read(const struct sq_input *input, const struct sq_setting *settings, size_t setting_count,
                       struct sq_experiment **experiment, struct sq_error *error)
{
    sq_autoproblems struct sq_problems problems = {0};
    if (sq_experiment_examine(input, settings, setting_count, experiment, &problems) == 0)
        return 0;
    return sq_problems_first(&problems, error);
}

int sq_experiment_parse(const char *name, const char *content, size_t length,
                        const struct sq_setting *settings, size_t setting_count,
                        struct sq_experiment **experiment, struct sq_error *error)
{
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_parse(name, content, length, &document, error) != 0)
        return -1;
    sq_autoproblems struct sq_problems problems = {0};
    if (read_document(document, settings, setting_count, experiment, &problems) == 0)
        return 0;
    return sq_problems_first(&problems, error);
}
