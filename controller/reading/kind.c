#include "reading/kind.h"

#include "common/nearest.h"
#include "forms/agent_config.h"
#include "forms/policy.h"
#include "reading/experiment.h"
#include "reading/inventory.h"

#include <string.h>

static const struct {
    enum sq_file_kind kind;
    const char *const *keys;
    const char *name;
    const char *phrase;
} kinds[] = {
    {SQ_FILE_EXPERIMENT, sq_experiment_keys, "experiment", "an experiment"},
    {SQ_FILE_INVENTORY, sq_inventory_keys, "inventory", "an inventory"},
    {SQ_FILE_POLICY, sq_policy_keys, "policy", "a host's policy"},
    {SQ_FILE_AGENT, sq_agent_config_keys, "agent-configuration", "an agent's configuration"},
    {SQ_FILE_CONTROLLER, sq_controller_keys, "controller-settings", "the controller's settings"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* A key that is one counts more than one that is only near to one. */
static unsigned worth(const char *key, const char *const *keys)
{
    size_t count = 0;
    for (; keys[count] != NULL; count++)
        if (strcmp(keys[count], key) == 0)
            return 3;
    return sq_nearest(key, keys, count) != NULL ? 1 : 0;
}

enum sq_file_kind sq_file_kind_of(struct sq_document *document)
{
    struct sq_node root = sq_document_root(document);
    enum sq_file_kind best = SQ_FILE_UNKNOWN;
    unsigned most = 0;
    if (sq_node_type(root) == SQ_NODE_LIST)
        return SQ_FILE_INVENTORY;
    for (size_t k = 0; k < KINDS; k++) {
        unsigned sum = 0;
        for (size_t i = 0; i < sq_node_count(root); i++)
            sum += worth(sq_node_text(sq_node_key(root, i)), kinds[k].keys);
        if (sum > most)
            best = kinds[k].kind;
        most = sum > most ? sum : most;
    }
    /* The controller's settings are part of an inventory; what has no hosts is meant as them. */
    if (best == SQ_FILE_INVENTORY && !sq_node_is_there(sq_node_get(root, "hosts")) &&
        !sq_node_is_there(sq_node_get(root, "file_sd")) && most == 3 * sq_node_count(root))
        return SQ_FILE_CONTROLLER;
    return best;
}

const char *sq_file_kind_name(enum sq_file_kind kind)
{
    for (size_t k = 0; k < KINDS; k++)
        if (kinds[k].kind == kind)
            return kinds[k].name;
    return "unknown";
}

static const char *phrase_of(enum sq_file_kind kind)
{
    for (size_t k = 0; k < KINDS; k++)
        if (kinds[k].kind == kind)
            return kinds[k].phrase;
    return "a file";
}

void sq_file_kind_explain(const struct sq_input *input, enum sq_file_kind expected, struct sq_error *error)
{
    sq_autodocument struct sq_document *document = NULL;
    if (error == NULL || error->code != SQ_BAD_INPUT || sq_input_document(input, &document, NULL) != 0)
        return;
    enum sq_file_kind kind = sq_file_kind_of(document);
    /* An inventory that lacks its hosts looks like the controller's settings; its reader says what it lacks.
     */
    if (kind == expected || kind == SQ_FILE_UNKNOWN ||
        (kind == SQ_FILE_CONTROLLER && expected == SQ_FILE_INVENTORY))
        return;
    (void)sq_fail(error, SQ_BAD_INPUT, "%s is %s, where %s is expected", input->path, phrase_of(kind),
                  phrase_of(expected));
}
