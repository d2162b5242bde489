#include "kernel/tcx_others.h"

#include "kernel/process_walk.h"

#include "common/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KNOWN_MAX       32
#define FDINFO_TEXT_MAX 1024
#define LISTING_BYTES   2048

static struct sq_classifier_tag tags[SQ_CLASSIFIER_PROGRAMS];
static bool has_learned;

/* What was found out about a program, whose number the kernel does not give again. The oldest make way. */
struct known {
    uint32_t id;
    bool is_other;
    bool loses;
};
static struct known known[KNOWN_MAX];
static uint32_t known_next;

void sq_tcx_others_learn(const struct sq_classifier_tag learned[SQ_CLASSIFIER_PROGRAMS])
{
    memcpy(tags, learned, sizeof tags);
    memset(known, 0, sizeof known);
    has_learned = true;
}

static const struct sq_classifier_tag *find_tag(const char *hex)
{
    for (int i = 0; i < SQ_CLASSIFIER_PROGRAMS; i++) {
        char text[2 * sizeof tags[i].bytes + 1];
        for (size_t j = 0; j < sizeof tags[i].bytes; j++)
            (void)snprintf(text + 2 * j, 3, "%02x", tags[i].bytes[j]);
        if (strncmp(hex, text, sizeof text - 1) == 0)
            return &tags[i];
    }
    return NULL;
}

/* The value of a line "NAME:\tVALUE"; NULL: there is none. */
static const char *find_value(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? NULL : at + strlen(name);
}

/* Does this descriptor hold the program? The kernel wrote the text, so nobody can pretend. */
static bool judge(const char *text, struct known *found)
{
    const char *id = find_value(text, "prog_id:\t");
    const char *hex = find_value(text, "prog_tag:\t");
    if (id == NULL || hex == NULL || strtoul(id, NULL, 10) != found->id)
        return false;
    const struct sq_classifier_tag *tag = find_tag(hex);
    found->is_other = tag != NULL;
    found->loses = tag != NULL && tag->loses;
    return true;
}

static bool look_at_descriptor(int directory, const char *name, struct known *found)
{
    char text[FDINFO_TEXT_MAX];
    sq_autoclose int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0)
        return false;
    text[length] = '\0';
    return judge(text, found);
}

/* True: this process holds the program, and *found tells what it is. */
static bool look_at_process(int proc_fd, pid_t pid, struct known *found)
{
    char path[32];
    _Alignas(8) char entries[LISTING_BYTES];
    (void)snprintf(path, sizeof path, "%d/fdinfo", (int)pid);
    sq_autoclose int directory = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return false;
    for (;;) {
        /* Not readdir(3), which allocates. */
        ssize_t length = getdents64(directory, entries, sizeof entries);
        if (length <= 0)
            return false;
        for (ssize_t at = 0; at < length;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            at += entry->d_reclen;
            if (entry->d_name[0] != '.' && look_at_descriptor(directory, entry->d_name, found))
                return true;
        }
    }
}

static void find_out(struct known *found)
{
    struct sq_process_walk walk = {0};
    char comm[SQ_PROCESS_COMM_MAX];
    if (sq_process_walk_start(&walk, NULL) != 0)
        return;
    for (pid_t pid; (pid = sq_process_walk_next(&walk, NULL)) > 0;)
        if (sq_process_comm(walk.proc_fd, pid, comm) == 0 && strcmp(comm, SQ_TCX_GUARD_NAME) == 0 &&
            look_at_process(walk.proc_fd, pid, found))
            break;
    sq_process_walk_end(&walk);
}

bool sq_tcx_is_others(uint32_t id, bool *loses)
{
    *loses = false;
    if (!has_learned || id == 0)
        return false;
    uint32_t i = 0;
    while (i < KNOWN_MAX && known[i].id != id)
        i++;
    if (i == KNOWN_MAX) {
        i = known_next++ % KNOWN_MAX;
        known[i] = (struct known){.id = id};
        find_out(&known[i]);
    }
    *loses = known[i].loses;
    return known[i].is_other;
}
