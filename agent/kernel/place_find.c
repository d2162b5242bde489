/* Who holds a network namespace: a walk over /proc that allocates nothing. */
#include "kernel/place.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK_MAX_BYTES 64
#define MOUNTS_SEEN    256
#define LINE_BYTES     4096

/* The inode of the pid namespace that has every process in it (PROC_PID_INIT_INO of the kernel). */
#define FIRST_PIDNS_INODE 0xeffffffcu

/*
 * Whoever moves on while being looked at may be missed once: who forks and ends, or passes a descriptor. What
 * is not seen twice is not there.
 */
#define ROUNDS 2

struct search {
    char target[LINK_MAX_BYTES]; /* "net:[4026532008]", as the links in /proc say it */
    bool found;
    bool unseen; /* something could not be looked at */
    char path[SQ_PLACE_PATH_MAX];
    uint32_t mounts_seen_count;
    uint64_t mounts_seen[MOUNTS_SEEN]; /* mount namespaces whose mounts were read */
};

/* One process, or one of its threads, that is being looked at. */
struct visit {
    struct search *search;
    int fd;                    /* its folder */
    char name[LINK_MAX_BYTES]; /* "/proc/812", "/proc/812/task/813" */
};

typedef void visit_entry(const struct visit *visit, const char *name);

/* What is gone by now holds nothing; EINVAL: it has ended, and only its parent does not know. */
static void note_unseen(struct search *search)
{
    if (errno != ENOENT && errno != ESRCH && errno != EINVAL)
        search->unseen = true;
}

/*
 * Some processes show nobody their namespaces, but everybody their network statistics, a file that each
 * network namespace has its own of.
 */
static bool is_here(const struct visit *visit, const char *folder)
{
    char path[LINK_MAX_BYTES];
    struct stat own;
    struct stat theirs;
    return snprintf(path, sizeof path, "%snet/dev", folder) < (int)sizeof path &&
           stat("/proc/self/net/dev", &own) == 0 && fstatat(visit->fd, path, &theirs, 0) == 0 &&
           own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino;
}

static void for_each_entry(const struct visit *visit, visit_entry *call)
{
    _Alignas(struct dirent64) char buffer[2048];
    for (;;) {
        long size = syscall(SYS_getdents64, visit->fd, buffer, sizeof buffer);
        if (size < 0)
            note_unseen(visit->search);
        if (size <= 0)
            return;
        for (long at = 0; at < size && !visit->search->found;) {
            const struct dirent64 *entry = (const void *)(buffer + at);
            if (isdigit((unsigned char)entry->d_name[0]))
                call(visit, entry->d_name);
            at += entry->d_reclen;
        }
        if (visit->search->found)
            return;
    }
}

/* Where the link `name` points to; false if it cannot be read. */
static bool read_link(const struct visit *visit, const char *name, char text[LINK_MAX_BYTES])
{
    ssize_t length = readlinkat(visit->fd, name, text, LINK_MAX_BYTES - 1);
    text[length < 0 ? 0 : length] = '\0';
    return length >= 0;
}

static void compare(const struct visit *visit, const char *name, const char *text)
{
    struct search *search = visit->search;
    if (strcmp(text, search->target) != 0)
        return;
    search->found = true;
    (void)snprintf(search->path, sizeof search->path, "%s/%s", visit->name, name);
}

static void look_at_descriptor(const struct visit *visit, const char *name)
{
    char text[LINK_MAX_BYTES];
    if (read_link(visit, name, text))
        compare(visit, name, text);
    else
        note_unseen(visit->search);
}

/* `folder` is "" for the process itself, or "TID/". */
static void look_at_namespace(const struct visit *visit, const char *folder)
{
    char name[LINK_MAX_BYTES];
    char text[LINK_MAX_BYTES];
    if (snprintf(name, sizeof name, "%sns/net", folder) >= (int)sizeof name)
        return;
    if (read_link(visit, name, text))
        compare(visit, name, text);
    else if (errno != EACCES || !is_here(visit, folder))
        note_unseen(visit->search);
}

/* Open the folder `name` of what is visited and look at each entry that is a number. */
static void enter(const struct visit *visit, const char *name, visit_entry *call)
{
    struct visit inner = {.search = visit->search};
    sq_autoclose int fd = openat(visit->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        note_unseen(visit->search);
        return;
    }
    inner.fd = fd;
    if (snprintf(inner.name, sizeof inner.name, "%s/%s", visit->name, name) < (int)sizeof inner.name)
        for_each_entry(&inner, call);
}

/*
 * 36 35 0:4 net:[4026532008] /run/netns/web rw shared:9 - nsfs nsfs rw: the fourth field is the namespace,
 * the fifth where it can be entered.
 */
static void compare_mount(const struct visit *visit, char *line)
{
    struct search *search = visit->search;
    char *root = strstr(line, search->target);
    if (root == NULL || root == line || root[-1] != ' ')
        return;
    char *point = root + strlen(search->target);
    if (*point != ' ')
        return;
    point++;
    point[strcspn(point, " ")] = '\0';
    search->found = true;
    bool own = strcmp(visit->name, "/proc/self") == 0;
    (void)snprintf(search->path, sizeof search->path, "%s%s%s", own ? "" : visit->name, own ? "" : "/root",
                   point);
}

static void read_mounts(const struct visit *visit)
{
    char buffer[LINE_BYTES];
    size_t used = 0;
    sq_autoclose int fd = openat(visit->fd, "mountinfo", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && !visit->search->found) {
        got = read(fd, buffer + used, sizeof buffer - 1 - used);
        used += got > 0 ? (size_t)got : 0;
        buffer[used] = '\0';
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')) != NULL && !visit->search->found; line = end + 1) {
            *end = '\0';
            compare_mount(visit, line);
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
        if (used == sizeof buffer - 1)
            used = 0; /* no namespace stands in a line that long: an overlay's folders do */
    }
    if (got < 0)
        note_unseen(visit->search);
}

/* Processes share mount namespaces: each is read once. */
static void look_at_mounts(const struct visit *visit)
{
    struct search *search = visit->search;
    struct stat status;
    bool known = fstatat(visit->fd, "ns/mnt", &status, 0) == 0;
    for (uint32_t i = 0; known && i < search->mounts_seen_count; i++)
        if (search->mounts_seen[i] == status.st_ino)
            return;
    if (known && search->mounts_seen_count < MOUNTS_SEEN)
        search->mounts_seen[search->mounts_seen_count++] = status.st_ino;
    read_mounts(visit);
}

static void look_at_thread(const struct visit *visit, const char *name)
{
    char folder[LINK_MAX_BYTES];
    if (snprintf(folder, sizeof folder, "%s/", name) < (int)sizeof folder)
        look_at_namespace(visit, folder);
}

static void look_at_process(const struct visit *visit, const char *name)
{
    struct visit process = {.search = visit->search};
    sq_autoclose int fd = openat(visit->fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        note_unseen(visit->search);
        return;
    }
    process.fd = fd;
    (void)snprintf(process.name, sizeof process.name, "/proc/%.48s", name);
    look_at_namespace(&process, "");
    if (!visit->search->found)
        look_at_mounts(&process);
    if (!visit->search->found)
        enter(&process, "task", look_at_thread);
    if (!visit->search->found)
        enter(&process, "fd", look_at_descriptor);
}

/* This process first: its mounts are those that a person finds again. */
static void look_everywhere(struct search *search)
{
    search->mounts_seen_count = 0;
    struct visit self = {.search = search, .name = "/proc/self"};
    sq_autoclose int self_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    sq_autoclose int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self_fd < 0 || proc_fd < 0) {
        search->unseen = true;
        return;
    }
    self.fd = self_fd;
    look_at_mounts(&self);
    struct visit all = {.search = search, .fd = proc_fd, .name = "/proc"};
    if (!search->found)
        for_each_entry(&all, look_at_process);
}

enum sq_place_state sq_place_find(const struct sq_place *place, char path[SQ_PLACE_PATH_MAX])
{
    struct search search = {.found = false};
    struct stat own_net;
    struct stat own_pid;
    path[0] = '\0';
    if (place->netns_inode == 0 || stat("/proc/self/ns/net", &own_net) != 0 ||
        stat("/proc/self/ns/pid", &own_pid) != 0)
        return SQ_PLACE_UNSEEN;
    /* No two have the same inode at the same time, and this process is elsewhere: that one is no more. */
    if (own_net.st_ino == place->netns_inode)
        return SQ_PLACE_GONE;
    int namespace_fd = sq_place_open(place);
    bool there = namespace_fd >= 0;
    if (there)
        (void)close(namespace_fd); /* or it would be found */
    if (namespace_fd == -ESTALE)
        return SQ_PLACE_GONE;
    (void)snprintf(search.target, sizeof search.target, "net:[%llu]", (unsigned long long)place->netns_inode);
    for (int i = 0; i < ROUNDS && !search.found; i++)
        look_everywhere(&search);
    if (search.found)
        (void)sq_text_copy(path, SQ_PLACE_PATH_MAX, search.path);
    if (search.found || there)
        return SQ_PLACE_THERE;
    return search.unseen || own_pid.st_ino != FIRST_PIDNS_INODE ? SQ_PLACE_UNSEEN : SQ_PLACE_GONE;
}
