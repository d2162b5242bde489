#include "faults/protection.h"

#include "common/text.h"
#include "kernel/link_name.h"
#include "kernel/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define UNIT_PREFIX    "unit:"
#define WARN_LINES_MAX 4 /* a report has room for more than warnings */

static bool is_unit(const char *entry)
{
    return strncmp(entry, UNIT_PREFIX, strlen(UNIT_PREFIX)) == 0;
}

static void look_for_units(const struct sq_protection *protection,
                           struct sq_unit_query queries[SQ_PROTECTED_MAX])
{
    size_t count = 0;
    for (uint32_t i = 0; i < protection->process_count; i++)
        if (is_unit(protection->processes[i]))
            queries[count++].unit = protection->processes[i] + strlen(UNIT_PREFIX);
    sq_units_look("", queries, count);
}

/* What is wrong with a path; NULL: nothing. */
static const char *file_problem(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return "does not exist here: it protects nobody outside containers";
    return S_ISREG(status.st_mode) ? NULL : "is no file: it protects nobody";
}

void sq_protection_each_unmatched(const struct sq_protection *protection,
                                  void (*visit)(const char *sentence, void *cookie), void *cookie)
{
    char sentence[SQ_LINE_MAX];
    struct sq_unit_query queries[SQ_PROTECTED_MAX];
    const struct sq_unit_query *query = queries;
    look_for_units(protection, queries);
    for (uint32_t i = 0; i < protection->process_count; i++) {
        const char *entry = protection->processes[i];
        const char *problem = NULL;
        if (!is_unit(entry))
            problem = file_problem(entry);
        else if (!(query++)->is_known)
            problem = "has neither a unit file nor a cgroup here: it protects nobody";
        if (problem == NULL)
            continue;
        (void)snprintf(sentence, sizeof sentence, "the policy protects %.100s, which %s", entry, problem);
        visit(sentence, cookie);
    }
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    bool can_ask = sq_netlink_open(&netlink, NULL) == 0;
    for (uint32_t i = 0; i < protection->interface_count; i++) {
        if (!can_ask || sq_link_is_named(&netlink, protection->interfaces[i]) != 0)
            continue;
        (void)snprintf(sentence, sizeof sentence,
                       "the policy protects the interface %.100s, which is not there",
                       protection->interfaces[i]);
        visit(sentence, cookie);
    }
}

#define KNOWN_FILES_MAX (SQ_PROTECTED_FILES_MAX / SQ_PROTECTED_MAX)

/* What a protected path was in this life of the agent; `count` goes on beyond what fits. */
struct known_path {
    char path[SQ_PATH_TEXT_MAX];
    uint32_t count;
    struct sq_process_file files[KNOWN_FILES_MAX]; /* the latest ones */
};

static struct known_path known_paths[SQ_PROTECTED_MAX];

static bool is_protected_path(const struct sq_protection *protection, const char *path)
{
    for (uint32_t i = 0; i < protection->process_count; i++)
        if (strcmp(protection->processes[i], path) == 0)
            return true;
    return false;
}

/* The place of a path. There is always one: what an earlier policy protected gives way. */
static struct known_path *find_known(const struct sq_protection *protection, const char *path)
{
    struct known_path *vacant = NULL;
    for (size_t i = 0; i < SQ_PROTECTED_MAX; i++) {
        struct known_path *known = &known_paths[i];
        if (strcmp(known->path, path) == 0)
            return known;
        if (vacant == NULL && !is_protected_path(protection, known->path))
            vacant = known;
    }
    if (vacant != NULL) {
        memset(vacant, 0, sizeof *vacant);
        (void)sq_text_copy(vacant->path, sizeof vacant->path, path);
    }
    return vacant;
}

static uint32_t kept_count(const struct known_path *known)
{
    return known->count < KNOWN_FILES_MAX ? known->count : KNOWN_FILES_MAX;
}

static void learn(struct known_path *known)
{
    struct sq_process_file file;
    if (sq_process_file_at_path(known->path, &file) != 0)
        return;
    for (uint32_t i = 0; i < kept_count(known); i++)
        if (sq_process_file_is(&known->files[i], &file))
            return;
    known->files[known->count++ % KNOWN_FILES_MAX] = file;
}

void sq_protection_files(const struct sq_protection *protection, struct sq_protected_files *files)
{
    if (files != NULL)
        files->count = 0;
    for (uint32_t i = 0; i < protection->process_count; i++) {
        const char *path = protection->processes[i];
        struct known_path *known = is_unit(path) ? NULL : find_known(protection, path);
        if (known == NULL)
            continue;
        learn(known);
        for (uint32_t k = 0; files != NULL && k < kept_count(known); k++) {
            files->entries[files->count].path = path;
            files->entries[files->count++].file = known->files[k];
        }
    }
}

const char *sq_protected_files_find(const struct sq_protected_files *files,
                                    const struct sq_process_file *file)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (sq_process_file_is(&files->entries[i].file, file))
            return files->entries[i].path;
    return NULL;
}

struct warnings {
    struct sq_fault_report *report;
    uint32_t count;
};

static void warn(const char *sentence, void *cookie)
{
    struct warnings *warnings = cookie;
    if (++warnings->count <= WARN_LINES_MAX)
        sq_report_line(warnings->report, SQ_LINE_WARNING, "%s", sentence);
}

void sq_protection_warn(const struct sq_protection *protection, struct sq_fault_report *report)
{
    struct warnings warnings = {.report = report};
    sq_protection_each_unmatched(protection, warn, &warnings);
    if (warnings.count > WARN_LINES_MAX)
        sq_report_line(report, SQ_LINE_WARNING, "%u more such entries; `squalld --check` names them",
                       warnings.count - WARN_LINES_MAX);
}
