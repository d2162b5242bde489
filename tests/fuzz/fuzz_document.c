/* Files from nowhere: whatever the bytes, an error with a place, or a tree that keeps what document.h
 * promises. */
#include "common/document.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct sq_node node, int depth, int *budget);

static void walk_map(struct sq_node map, int depth, int *budget)
{
    for (size_t i = 0; i < sq_node_count(map) && *budget > 0; i++) {
        const char *key = sq_node_text(sq_node_key(map, i));
        if (key == NULL || sq_node_get(map, key).index != sq_node_value(map, i).index)
            abort(); /* a key that is no text, or stands twice */
        walk(sq_node_value(map, i), depth + 1, budget);
    }
}

static void walk(struct sq_node node, int depth, int *budget)
{
    if (depth > SQ_DOCUMENT_DEPTH_MAX)
        abort();
    if (--*budget <= 0)
        return;
    if (sq_node_line(node) == 0 || sq_node_column(node) == 0)
        abort();
    switch (sq_node_type(node)) {
    case SQ_NODE_SCALAR:
        if (sq_node_text(node) == NULL || sq_node_count(node) != 0)
            abort();
        break;
    case SQ_NODE_LIST:
        for (size_t i = 0; i < sq_node_count(node) && *budget > 0; i++)
            walk(sq_node_item(node, i), depth + 1, budget);
        break;
    case SQ_NODE_MAP:
        walk_map(node, depth, budget);
        break;
    default:
        if (depth > 0)
            abort();
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_autodocument struct sq_document *document = NULL;
    struct sq_error error = {0};
    if (sq_document_parse("fuzz", (const char *)data, size, &document, &error) != 0) {
        if (document != NULL || error.code != SQ_BAD_INPUT || strncmp(error.text, "fuzz:", 5) != 0)
            abort();
        return 0;
    }
    int budget = 100000;
    walk(sq_document_root(document), 0, &budget);
    return 0;
}
