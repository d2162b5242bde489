#include "reading/parameters.h"

#include "common/cleanup.h"
#include "common/nearest.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

#define SUBSTITUTED_MAX (SQ_QUERY_MAX + SQ_PATH_TEXT_MAX)

static const char name_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static struct sq_setting *find(const struct sq_experiment *experiment, const char *name, size_t length)
{
    for (uint32_t i = 0; i < experiment->parameter_count; i++) {
        const struct sq_setting *parameter = &experiment->parameters[i];
        if (strlen(parameter->name) == length && memcmp(parameter->name, name, length) == 0)
            return (struct sq_setting *)parameter;
    }
    return NULL;
}

/* The end of a message about an unknown parameter: the nearest one, or all that there are. */
static void describe_known(const struct sq_experiment *experiment, const char *name, struct sq_string *text)
{
    const char *names[SQ_PARAMETERS_MAX];
    for (uint32_t i = 0; i < experiment->parameter_count; i++)
        names[i] = experiment->parameters[i].name;
    const char *nearest = sq_nearest(name, names, experiment->parameter_count);
    if (nearest != NULL) {
        sq_string_add(text, "did you mean '%s'?", nearest);
        return;
    }
    if (experiment->parameter_count == 0) {
        sq_string_add(text, "the file declares no 'parameters'");
        return;
    }
    sq_string_add(text, "the file declares ");
    for (uint32_t i = 0; i < experiment->parameter_count; i++)
        sq_string_add(text, "%s%s", i == 0 ? "" : ", ", names[i]);
}

static int read_one(struct sq_node key, struct sq_node value, struct sq_experiment *experiment,
                    struct sq_error *error)
{
    const char *name = sq_node_text(key);
    if (experiment->parameter_count == SQ_PARAMETERS_MAX)
        return sq_node_fail(key, error, SQ_BAD_INPUT, "more than %d parameters", SQ_PARAMETERS_MAX);
    if (name[0] == '\0' || strlen(name) >= SQ_NAME_MAX || name[strspn(name, name_characters)] != '\0')
        return sq_node_fail(
            key, error, SQ_BAD_INPUT,
            "'%.70s' is no name for a parameter; expected at most %d letters, digits, '-' and '_'", name,
            SQ_NAME_MAX - 1);
    if (sq_node_expect(value, SQ_NODE_SCALAR, "a parameter's value", error) != 0)
        return -1;
    struct sq_setting *parameter = &experiment->parameters[experiment->parameter_count];
    (void)sq_text_copy(parameter->name, sizeof parameter->name, name);
    if (!sq_text_copy(parameter->value, sizeof parameter->value, sq_node_text(value)))
        return sq_node_fail(value, error, SQ_BAD_INPUT, "a parameter's value is longer than %d bytes",
                            SQ_PATH_TEXT_MAX - 1);
    experiment->parameter_count++;
    return 0;
}

static int apply_setting(const struct sq_setting *setting, struct sq_experiment *experiment,
                         struct sq_error *error)
{
    struct sq_setting *parameter = find(experiment, setting->name, strlen(setting->name));
    if (parameter != NULL) {
        (void)sq_text_copy(parameter->value, sizeof parameter->value, setting->value);
        return 0;
    }
    sq_autostring struct sq_string known = {0};
    describe_known(experiment, setting->name, &known);
    return sq_fail(error, SQ_BAD_INPUT, "%s: --set names the unknown parameter '%s'; %s", experiment->path,
                   setting->name, sq_string_text(&known));
}

bool sq_parameters_read(struct sq_node parameters, const struct sq_setting *settings, size_t setting_count,
                        struct sq_experiment *experiment, struct sq_problems *problems)
{
    struct sq_error error;
    uint32_t before = problems->error_count;
    if (sq_node_is_there(parameters) &&
        !sq_problems_note(problems, sq_node_expect(parameters, SQ_NODE_MAP, "'parameters'", &error), &error))
        return false;
    for (size_t i = 0; i < sq_node_count(parameters); i++)
        (void)sq_problems_note(
            problems, read_one(sq_node_key(parameters, i), sq_node_value(parameters, i), experiment, &error),
            &error);
    for (size_t i = 0; i < setting_count; i++)
        (void)sq_problems_note(problems, apply_setting(&settings[i], experiment, &error), &error);
    return problems->error_count == before;
}

struct substitution {
    const struct sq_experiment *experiment;
    struct sq_node parameters; /* left alone */
    unsigned char *done;       /* by node index: an aliased value is substituted once, not once per use */
    size_t done_size;
    struct sq_problems *problems;
};

static int mark_done(struct substitution *substitution, int index, bool *was_done, struct sq_error *error)
{
    size_t wanted = (size_t)index;
    if (wanted >= substitution->done_size) {
        size_t size = 2 * wanted + 64;
        unsigned char *grown = realloc(substitution->done, size);
        if (grown == NULL)
            return sq_fail(error, SQ_SYSTEM, "out of memory");
        memset(grown + substitution->done_size, 0, size - substitution->done_size);
        substitution->done = grown;
        substitution->done_size = size;
    }
    *was_done = substitution->done[wanted] != 0;
    substitution->done[wanted] = 1;
    return 0;
}

/* One "${name}" at the start of `text`: its value, and in *length how much of `text` it took. */
static int expand(struct sq_node node, const struct sq_experiment *experiment, const char *text,
                  const char **value, size_t *length, struct sq_error *error)
{
    const char *name = text + 2;
    size_t name_length = strspn(name, name_characters);
    if (name_length == 0 || name[name_length] != '}')
        return sq_node_fail(node, error, SQ_BAD_INPUT,
                            "'%.40s' is no parameter; expected ${name}, or $${ for a plain ${", text);
    const struct sq_setting *parameter = find(experiment, name, name_length);
    if (parameter == NULL) {
        char unknown[SQ_NAME_MAX];
        sq_autostring struct sq_string known = {0};
        (void)sq_text_copy(unknown, name_length < sizeof unknown ? name_length + 1 : sizeof unknown, name);
        describe_known(experiment, unknown, &known);
        return sq_node_fail(node, error, SQ_BAD_INPUT, "unknown parameter '${%s}'; %s", unknown,
                            sq_string_text(&known));
    }
    *value = parameter->value;
    *length = name_length + 3;
    return 0;
}

static int substitute_text(struct sq_node node, const struct sq_experiment *experiment,
                           struct sq_error *error)
{
    const char *text = sq_node_text(node);
    if (strstr(text, "${") == NULL)
        return 0;
    sq_autofree char *result = calloc(1, SUBSTITUTED_MAX);
    if (result == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    size_t used = 0;
    while (*text != '\0') {
        const char *piece = text;
        size_t piece_length = 1;
        size_t taken = 1;
        if (strncmp(text, "$${", 3) == 0) {
            piece = "${";
            piece_length = 2;
            taken = 3;
        } else if (strncmp(text, "${", 2) == 0) {
            if (expand(node, experiment, text, &piece, &taken, error) != 0)
                return -1;
            piece_length = strlen(piece);
        }
        if (used + piece_length >= SUBSTITUTED_MAX)
            return sq_node_fail(node, error, SQ_BAD_INPUT,
                                "the value is too long once its parameters are filled in");
        memcpy(result + used, piece, piece_length);
        used += piece_length;
        text += taken;
    }
    return sq_node_replace_text(node, result, error);
}

static void substitute_tree(struct substitution *substitution, struct sq_node node)
{
    struct sq_error error;
    bool was_done = false;
    if (!sq_node_is_there(node) || node.index == substitution->parameters.index)
        return;
    if (!sq_problems_note(substitution->problems, mark_done(substitution, node.index, &was_done, &error),
                          &error) ||
        was_done)
        return;
    bool is_map = sq_node_type(node) == SQ_NODE_MAP;
    if (sq_node_type(node) == SQ_NODE_SCALAR)
        (void)sq_problems_note(substitution->problems,
                               substitute_text(node, substitution->experiment, &error), &error);
    for (size_t i = 0; i < sq_node_count(node); i++)
        substitute_tree(substitution, is_map ? sq_node_value(node, i) : sq_node_item(node, i));
}

bool sq_parameters_substitute(struct sq_node root, const struct sq_experiment *experiment,
                              struct sq_problems *problems)
{
    uint32_t before = problems->error_count;
    struct substitution substitution = {
        .experiment = experiment, .parameters = sq_node_get(root, "parameters"), .problems = problems};
    substitute_tree(&substitution, root);
    free(substitution.done);
    return problems->error_count == before;
}
