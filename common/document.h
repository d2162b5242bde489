/*
 * YAML (and JSON, as YAML's flow style) read into a tree that remembers where everything stood, so that every
 * complaint about a file can say file:line:column. Built on libyaml.
 *
 * Loading refuses what no reader of ours could use: several documents, duplicate keys, keys that are not
 * scalars, zero bytes, aliases that form a cycle or a bomb, nesting beyond SQ_DOCUMENT_DEPTH_MAX.
 *
 * Scalars are text; what they mean is decided by who reads them, so that `count: 3` and `count: "3"` are the
 * same.
 */
#ifndef SQ_COMMON_DOCUMENT_H
#define SQ_COMMON_DOCUMENT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_DOCUMENT_DEPTH_MAX 32
#define SQ_DOCUMENT_BYTES_MAX (16u << 20)

struct sq_document;

/* A place in a document; a plain value that is valid as long as the document. `index` 0 is "not there". */
struct sq_node {
    struct sq_document *document;
    int index;
};

enum sq_node_type { SQ_NODE_NONE, SQ_NODE_SCALAR, SQ_NODE_LIST, SQ_NODE_MAP };

/* Read a file. The caller frees with sq_document_free. An empty file has a root of type SQ_NODE_NONE. */
int sq_document_load(const char *path, struct sq_document **document, struct sq_error *error);

/* The same from memory; `name` stands for the file in messages. */
int sq_document_parse(const char *name, const char *content, size_t length, struct sq_document **document,
                      struct sq_error *error);
void sq_document_free(struct sq_document *document); /* NULL is fine */
void sq_document_cleanup(struct sq_document **document);
#define sq_autodocument __attribute__((cleanup(sq_document_cleanup)))

struct sq_node sq_document_root(struct sq_document *document);
const char *sq_document_name(const struct sq_document *document);

enum sq_node_type sq_node_type(struct sq_node node);
bool sq_node_is_there(struct sq_node node);
size_t sq_node_line(struct sq_node node);   /* from 1 */
size_t sq_node_column(struct sq_node node); /* from 1 */

/* The text of a scalar, owned by the document; NULL for anything else. A plain `null` or `~` is the text
 * itself. */
const char *sq_node_text(struct sq_node node);

/* Put another text (copied) in place of a scalar's: parameters are substituted so. */
int sq_node_replace_text(struct sq_node node, const char *text, struct sq_error *error);

size_t sq_node_count(struct sq_node node);                  /* items of a list, entries of a map, else 0 */
struct sq_node sq_node_item(struct sq_node node, size_t i); /* of a list */
struct sq_node sq_node_key(struct sq_node node, size_t i);  /* of a map, in the order of the file */
struct sq_node sq_node_value(struct sq_node node, size_t i);
struct sq_node sq_node_get(struct sq_node node, const char *key); /* of a map; not there if it is no map */

/* Fill error with "file:line:column: text"; returns -1. A node that is not there gives the file alone. */
int sq_node_fail(struct sq_node node, struct sq_error *error, enum sq_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "file:line:column: " in front of what error holds; returns -1. */
int sq_node_fail_at(struct sq_node node, struct sq_error *error);

/* That `node` is of the type; `what` names it in the message ("the method", "'hosts'"). */
int sq_node_expect(struct sq_node node, enum sq_node_type type, const char *what, struct sq_error *error);

/* That the i-th key of a map is one of these; the message for another one names the nearest. */
int sq_node_check_key(struct sq_node map, size_t i, const char *what, const char *const *keys,
                      size_t key_count, struct sq_error *error);

/* That `map` is a map and has no keys but these; the message for another one names the nearest known key. */
int sq_node_check_keys(struct sq_node map, const char *what, const char *const *keys, size_t key_count,
                       struct sq_error *error);

/*
 * The usual scalars of a map. Each returns 0 and leaves *value alone when the key is absent and not required.
 * Text is owned by the document and refused when it is longer than most_bytes - 1.
 */
int sq_map_text(struct sq_node map, const char *key, bool required, size_t most_bytes, const char **value,
                struct sq_error *error);
/* The same of a title or a name, which stands on the terminal and in reports: without line breaks and control
 * characters. */
int sq_map_line(struct sq_node map, const char *key, bool required, size_t most_bytes, const char **value,
                struct sq_error *error);
int sq_map_duration(struct sq_node map, const char *key, bool required, uint64_t *duration_ns,
                    struct sq_error *error);
int sq_map_count(struct sq_node map, const char *key, bool required, uint64_t most, uint64_t *value,
                 struct sq_error *error);

/* A duration between two bounds; absent: *value stays. */
int sq_read_bounded_duration(struct sq_node map, const char *key, uint64_t least_ns, uint64_t most_ns,
                             uint64_t *value_ns, struct sq_error *error);

/* A list of texts or a single one: how many, and the i-th. */
size_t sq_one_or_list_count(struct sq_node node);
struct sq_node sq_one_or_list_item(struct sq_node node, size_t i);

#endif
