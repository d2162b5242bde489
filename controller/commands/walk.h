/* The files that FILE operands name, folders being searched: for `squall validate`. */
#ifndef SQ_COMMANDS_WALK_H
#define SQ_COMMANDS_WALK_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct sq_walked {
    char *path;
    const char *skipped; /* NULL: to be read; else why it is not: static text */
    bool was_found;      /* below a folder, not named itself: may be somebody else's file */
};

struct sq_walk {
    size_t count;
    size_t capacity;
    struct sq_walked *files;
};

/*
 * Append what `path` names: itself, or, if it is a folder, every .yaml, .yml, .json and .plan below, sorted
 * by name; the rest as skipped. Links to folders are not followed, so that the search ends.
 */
int sq_walk_add(struct sq_walk *walk, const char *path, struct sq_error *error);
void sq_walk_free(struct sq_walk *walk);

#endif
