#include "commands/walk.h"

#include "common/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 64

static int append(struct sq_walk *walk, char *path, const char *skipped, bool was_found)
{
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity * 2 + 16;
        struct sq_walked *files = realloc(walk->files, capacity * sizeof(*files));
        if (files == NULL) {
            free(path);
            return -1;
        }
        walk->files = files;
        walk->capacity = capacity;
    }
    walk->files[walk->count++] = (struct sq_walked){.path = path, .skipped = skipped, .was_found = was_found};
    return 0;
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static int is_no_dot(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static bool is_of_ours(const char *name)
{
    static const char *const ends[] = {".yaml", ".yml", ".json", ".plan"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (length > strlen(ends[i]) && strcmp(name + length - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static int search(struct sq_walk *walk, const char *folder, int depth, struct sq_error *error);

/* Takes over `path`. */
static int look_at(struct sq_walk *walk, char *path, const char *name, int depth, struct sq_error *error)
{
    struct stat own;
    struct stat target;
    if (lstat(path, &own) != 0 || stat(path, &target) != 0)
        return append(walk, path, "it leads nowhere, or may not be looked at", true);
    if (name[0] == '.')
        return append(walk, path, "its name begins with a dot", true);
    if (S_ISDIR(target.st_mode)) {
        if (S_ISLNK(own.st_mode) || depth == DEPTH_MAX)
            return append(walk, path, depth == DEPTH_MAX ? "it is too deep" : "it is a link to a folder",
                          true);
        int result = search(walk, path, depth + 1, error);
        free(path);
        return result;
    }
    if (!S_ISREG(target.st_mode))
        return append(walk, path, "it is no plain file", true);
    return append(walk, path, is_of_ours(name) ? NULL : "it is no .yaml, .yml, .json or .plan", true);
}

static int search(struct sq_walk *walk, const char *folder, int depth, struct sq_error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_no_dot, by_name);
    if (count < 0) {
        (void)sq_fail_errno(error, errno, "cannot look into the folder %s", folder);
        error->code = SQ_BAD_INPUT;
        return -1;
    }
    int result = 0;
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
        if (result == 0)
            result = asprintf(&path, "%s%s%s", folder, slash, entries[i]->d_name) < 0
                         ? -1
                         : look_at(walk, path, entries[i]->d_name, depth, error);
        free(entries[i]);
    }
    free(entries);
    return result;
}

int sq_walk_add(struct sq_walk *walk, const char *path, struct sq_error *error)
{
    struct stat status;
    *error = (struct sq_error){.code = SQ_SYSTEM, .text = "out of memory"};
    if (strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return search(walk, path, 0, error);
    char *copy = strdup(path);
    return copy == NULL ? -1 : append(walk, copy, NULL, false);
}

void sq_walk_free(struct sq_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        free(walk->files[i].path);
    free(walk->files);
    *walk = (struct sq_walk){0};
}
