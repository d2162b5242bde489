#include "record/runs.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "record/reader.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STAMP_LENGTH  16 /* 20261120T023107Z */
#define DIGITS        8  /* of the id, in a folder's name */
#define FOLDER_LENGTH (STAMP_LENGTH + 1 + DIGITS)
#define FOLDER_MODE   0700

static int fail_folder(struct sq_error *error, const char *path)
{
    int number = errno;
    (void)sq_fail_errno(error, number, "cannot make the folder %s for the run record (--runs names another)",
                        path);
    if (error != NULL && number != ENOSPC && number != EDQUOT && number != EIO)
        error->code = SQ_BAD_INPUT;
    return -1;
}

int sq_runs_make(const char *runs, uint64_t real_ns, const struct sq_id *id, char *path, size_t size,
                 struct sq_error *error)
{
    time_t seconds = (time_t)(real_ns / SQ_NS_PER_SECOND);
    struct tm utc;
    char stamp[32] = "";
    char id_text[SQ_ID_TEXT_MAX];
    char folder[PATH_MAX];
    sq_id_format(id, id_text);
    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    int length = snprintf(folder, sizeof(folder), "%s/%s-%.*s", runs, stamp, DIGITS, id_text);
    if (length >= (int)sizeof(folder) || (size_t)length + sizeof("/run.jsonl") > size)
        return sq_fail(error, SQ_BAD_INPUT, "the path of the folder for run records is too long");
    if (mkdir(runs, FOLDER_MODE) != 0 && errno != EEXIST)
        return fail_folder(error, runs);
    if (mkdir(folder, FOLDER_MODE) != 0)
        return fail_folder(error, folder);
    (void)snprintf(path, size, "%s/run.jsonl", folder);
    return 0;
}

void sq_runs_unmake(const char *path)
{
    char folder[PATH_MAX];
    (void)sq_text_copy(folder, sizeof(folder), path);
    char *slash = strrchr(folder, '/');
    (void)unlink(path);
    if (slash == NULL)
        return;
    *slash = '\0';
    (void)rmdir(folder);
}

/* The record in a folder, of this version or the one before. */
static bool record_in(const char *folder, char *path, size_t size)
{
    static const char *const names[] = {"run.jsonl", "run.json"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (snprintf(path, size, "%s/%s", folder, names[i]) < (int)size && access(path, F_OK) == 0)
            return true;
    return false;
}

static bool is_run_folder(const char *name)
{
    return strlen(name) == FOLDER_LENGTH && name[STAMP_LENGTH - 1] == 'Z' && name[STAMP_LENGTH] == '-';
}

/* The id of a record is that of the folder's name, as far as it goes, and then its head's. */
static bool has_id(const char *path, const char *name, const char *digits)
{
    size_t length = strlen(digits);
    size_t first = length < DIGITS ? length : DIGITS;
    if (strncasecmp(name + STAMP_LENGTH + 1, digits, first) != 0)
        return false;
    if (length <= DIGITS)
        return true;
    struct sq_record_reader *reader = NULL;
    json_t *head = NULL;
    bool same = false;
    if (sq_record_reader_open(path, &reader, NULL) == 0 &&
        sq_record_reader_next(reader, &head, &first, NULL) == 1) {
        const char *id = json_string_value(json_object_get(head, "id"));
        same = id != NULL && strncasecmp(id, digits, length) == 0;
    }
    json_decref(head);
    sq_record_reader_close(reader);
    return same;
}

/* What was found in the folder of runs so far. */
struct found {
    uint32_t count;
    char path[PATH_MAX];
    char name[FOLDER_LENGTH + 1];
    int64_t changed_ns; /* of its file: decides between two of one second */
};

static int64_t changed_ns_of(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return 0;
    return (int64_t)status.st_mtim.tv_sec * (int64_t)SQ_NS_PER_SECOND + status.st_mtim.tv_nsec;
}

/* The newest of those whose id begins with `digits` ("": all). */
static int search_runs(const char *runs, const char *digits, struct found *found, struct sq_error *error)
{
    DIR *folder = opendir(runs);
    if (folder == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "cannot look for runs in %s: %s", runs, strerrordesc_np(errno));
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char path[PATH_MAX];
        char inside[PATH_MAX];
        if (!is_run_folder(entry->d_name) ||
            snprintf(inside, sizeof(inside), "%s/%s", runs, entry->d_name) >= (int)sizeof(inside) ||
            !record_in(inside, path, sizeof(path)) || !has_id(path, entry->d_name, digits))
            continue;
        found->count++;
        int order = strncmp(entry->d_name, found->name, STAMP_LENGTH);
        int64_t changed_ns = changed_ns_of(path);
        if (order < 0 || (order == 0 && changed_ns < found->changed_ns))
            continue;
        (void)sq_text_copy(found->path, sizeof(found->path), path);
        (void)sq_text_copy(found->name, sizeof(found->name), entry->d_name);
        found->changed_ns = changed_ns;
    }
    (void)closedir(folder);
    return 0;
}

static bool is_beginning_of_id(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return length > 0 && length < SQ_ID_TEXT_MAX;
}

static int find_path(const char *run, char *path, size_t size, struct sq_error *error)
{
    struct stat status;
    if (strcmp(run, "-") != 0 && stat(run, &status) == 0 && S_ISDIR(status.st_mode)) {
        if (!record_in(run, path, size))
            return sq_fail(error, SQ_BAD_INPUT, "the folder %s has no run.jsonl", run);
        return 0;
    }
    if (!sq_text_copy(path, size, run))
        return sq_fail(error, SQ_BAD_INPUT, "the path of the run record is too long");
    return 0;
}

int sq_runs_find(const char *runs, const char *run, char *path, size_t size, struct sq_error *error)
{
    struct found found = {0};
    bool last = strcmp(run, "last") == 0;
    if (!last && (strcmp(run, "-") == 0 || access(run, F_OK) == 0))
        return find_path(run, path, size, error);
    if (!last && !is_beginning_of_id(run))
        return sq_fail(
            error, SQ_BAD_INPUT,
            "there is no run record '%s'; expected a path, the beginning of an id (of those in %s), "
            "or `last`",
            run, runs);
    if (search_runs(runs, last ? "" : run, &found, error) != 0)
        return -1;
    if (found.count == 0 && last)
        return sq_fail(error, SQ_BAD_INPUT, "there is no run record in %s", runs);
    if (found.count == 0)
        return sq_fail(error, SQ_BAD_INPUT,
                       "no run in %s has an id that begins with %s, and no file is named so", runs, run);
    if (found.count > 1 && !last)
        return sq_fail(error, SQ_BAD_INPUT, "%u runs in %s have an id that begins with %s, the newest is %s",
                       found.count, runs, run, found.name);
    return sq_text_copy(path, size, found.path)
               ? 0
               : sq_fail(error, SQ_BAD_INPUT, "the path of the run record is too long");
}
