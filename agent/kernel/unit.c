#include "unit.h"

#include "common/text.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CGROUPS_MAX 1024 /* looked at; some 30 ms */
#define DEPTH_MAX   16

bool sq_unit_matches(const char *unit, const char *name)
{
    char with_suffix[NAME_MAX + 1] = "";
    if (sq_text_matches(unit, name))
        return true;
    if (strchr(unit, '.') != NULL)
        return false;
    sq_text_append(with_suffix, sizeof with_suffix, "%s.service", unit);
    return sq_text_matches(with_suffix, name);
}

/* "getty@tty1.service" comes from "getty@.service". */
static bool is_template_of(const char *name, const char *unit)
{
    char template[NAME_MAX + 1];
    const char *at = strchr(unit, '@');
    if (at == NULL)
        return false;
    const char *dot = strrchr(at, '.');
    (void)snprintf(template, sizeof template, "%.*s@%s", (int)(at - unit), unit,
                   dot != NULL ? dot : ".service");
    return strcmp(template, name) == 0;
}

static void note_file(struct sq_unit_query *queries, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!queries[i].is_known)
            queries[i].is_known =
                sq_unit_matches(queries[i].unit, name) || is_template_of(name, queries[i].unit);
}

/* systemd puts '_' in front of names that the kernel uses itself. */
static void note_cgroup(struct sq_unit_query *queries, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!queries[i].is_known)
            queries[i].is_known = sq_unit_matches(queries[i].unit, name) ||
                                  (name[0] == '_' && sq_unit_matches(queries[i].unit, name + 1));
}

static bool all_known(const struct sq_unit_query *queries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!queries[i].is_known)
            return false;
    return true;
}

static void look_at_files(const char *root, struct sq_unit_query *queries, size_t count)
{
    static const char *const directories[] = {
        "/etc/systemd/system",           "/run/systemd/system", "/run/systemd/transient",
        "/run/systemd/generator",        "/lib/systemd/system", "/usr/lib/systemd/system",
        "/usr/local/lib/systemd/system",
    };
    for (size_t i = 0; i < sizeof directories / sizeof directories[0] && !all_known(queries, count); i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s%s", root, directories[i]);
        DIR *directory = opendir(path);
        if (directory == NULL)
            continue;
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
            note_file(queries, count, entry->d_name);
        (void)closedir(directory);
    }
}

struct tree {
    uint32_t seen;
    DIR *open[DEPTH_MAX];
    size_t ends[DEPTH_MAX]; /* of the path of each */
    size_t depth;
    char path[PATH_MAX];
};

/* Go down into the directory that tree->path names; without a word if it cannot be read. */
static void enter(struct tree *tree)
{
    DIR *directory = tree->depth < DEPTH_MAX ? opendir(tree->path) : NULL;
    if (directory == NULL)
        return;
    tree->open[tree->depth] = directory;
    tree->ends[tree->depth] = strlen(tree->path);
    tree->depth++;
}

/* The next directory of the tree, entered; NULL: there is none. */
static const char *next_directory(struct tree *tree)
{
    while (tree->depth > 0) {
        const struct dirent *entry = readdir(tree->open[tree->depth - 1]);
        if (entry == NULL) {
            (void)closedir(tree->open[--tree->depth]);
            continue;
        }
        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        size_t end = tree->ends[tree->depth - 1];
        tree->path[end] = '\0';
        sq_text_append(tree->path, sizeof tree->path, "/%s", entry->d_name);
        enter(tree);
        tree->seen++;
        return tree->path + end + 1;
    }
    return NULL;
}

/* cgroup v2, or where v1 is in use, the tree of systemd's own. */
static void find_tree(const char *root, struct tree *tree)
{
    static const char *const trees[] = {"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++) {
        (void)snprintf(tree->path, sizeof tree->path, "%s%s", root, trees[i]);
        if (access(tree->path, F_OK) == 0)
            break;
    }
    enter(tree);
}

static void look_at_cgroups(const char *root, struct sq_unit_query *queries, size_t count)
{
    struct tree tree = {0};
    const char *name = NULL;
    find_tree(root, &tree);
    while (tree.seen < CGROUPS_MAX && !all_known(queries, count) && (name = next_directory(&tree)) != NULL)
        note_cgroup(queries, count, name);
    while (tree.depth > 0)
        (void)closedir(tree.open[--tree.depth]);
    for (size_t i = 0; i < count && tree.seen >= CGROUPS_MAX; i++)
        queries[i].is_known = true;
}

void sq_units_look(const char *root, struct sq_unit_query *queries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        queries[i].is_known = false;
    look_at_files(root, queries, count);
    if (!all_known(queries, count))
        look_at_cgroups(root, queries, count);
}
