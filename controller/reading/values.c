#include "reading/values.h"

#include <string.h>

int sq_read_positive(struct sq_node map, const char *key, uint32_t most, uint32_t *value,
                     struct sq_error *error)
{
    uint64_t number = *value;
    struct sq_node node = sq_node_get(map, key);
    if (sq_map_count(map, key, false, UINT64_MAX, &number, error) != 0)
        return -1;
    if (sq_node_is_there(node) && (number < 1 || number > most))
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' is out of range; expected 1 to %u", key, most);
    *value = (uint32_t)number;
    return 0;
}

int sq_read_yes_or_no(struct sq_node map, const char *key, bool *value, struct sq_error *error)
{
    struct sq_node node = sq_node_get(map, key);
    if (!sq_node_is_there(node))
        return 0;
    const char *text = sq_node_text(node);
    bool yes = text != NULL && (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0);
    bool no = text != NULL && (strcmp(text, "no") == 0 || strcmp(text, "false") == 0);
    if (!yes && !no)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' is '%.40s'; expected yes or no", key,
                            text != NULL ? text : "no word");
    *value = yes;
    return 0;
}
