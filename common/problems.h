/*
 * Everything that is wrong with a file, not only the first: what `squall validate` and `squalld --check`
 * tell. A reader that goes on after a problem takes `struct sq_problems *problems` instead of an error.
 */
#ifndef SQ_COMMON_PROBLEMS_H
#define SQ_COMMON_PROBLEMS_H

#include "document.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_PROBLEMS_MAX 1000

struct sq_problem {
    struct sq_error error; /* "file:line:column: message", printable */
    size_t file_length;    /* of the file's name at the beginning of the text */
    size_t line;           /* 0: the file as a whole */
    size_t column;
    const char *message; /* within error.text */
    bool is_warning;
};

/* In the order in which they were found. Empty: all zero. */
struct sq_problems {
    uint32_t count;
    uint32_t error_count; /* of those that are not only warnings, the dropped ones included */
    uint32_t dropped;     /* how many more there were */
    uint32_t capacity;
    struct sq_problem **list; /* owned */
};

void sq_problems_add(struct sq_problems *problems, const struct sq_error *error);
void sq_problems_warn(struct sq_problems *problems, const struct sq_error *error);

/* Add `error` if `result`, of what filled it, is not 0. Returns whether it was. */
bool sq_problems_note(struct sq_problems *problems, int result, const struct sq_error *error);

/* As sq_node_check_keys, but tells every unknown key. False if `map` is no map, or there were some. */
bool sq_problems_check_keys(struct sq_problems *problems, struct sq_node map, const char *what,
                            const char *const *keys, size_t key_count);

/* By file, line and column; what has no place comes first. */
void sq_problems_sort(struct sq_problems *problems);

/* The first that is no warning; -1 with it in `error`, or 0 if there is none. */
int sq_problems_first(const struct sq_problems *problems, struct sq_error *error);

void sq_problems_free(struct sq_problems *problems);
#define sq_autoproblems __attribute__((cleanup(sq_problems_free)))

#endif
