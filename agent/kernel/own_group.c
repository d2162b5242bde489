#include "own_group.h"

#include "common/cleanup.h"
#include "common/file.h"
#include "common/text.h"
#include "kernel/process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HANDLE_KERNFS 0xfe /* FILEID_KERNFS: the handle is the number of the group */
#define WALK_OPEN_MAX 16
/* Protected from the reclaim that a limit of the whole group causes; what the agent does not use is not held.
 */
#define AGENT_MEMORY_MIN "67108864"
#define AGENT_CPU_WEIGHT "10000" /* the most there is; others have 100 */

static const char *const controllers[] = {"cpu", "memory"};
#define CONTROLLER_COUNT (sizeof controllers / sizeof controllers[0])

/* Where version 2 is mounted, with or without version 1 beside it. NULL: nowhere. */
static const char *find_mount(void)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        struct statfs status;
        if (statfs(mounts[i], &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC)
            return mounts[i];
    }
    return NULL;
}

static ssize_t read_at(int directory, const char *file, char *text, size_t size)
{
    sq_autoclose int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    text[length < 0 ? 0 : length] = '\0';
    return length;
}

int sq_group_write(int fd, const char *file, const char *text)
{
    sq_autoclose int file_fd = openat(fd, file, O_WRONLY | O_CLOEXEC);
    if (file_fd < 0)
        return -1;
    return write(file_fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static int open_directory(int at, const char *path)
{
    return openat(at, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static uint64_t id_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* A word of a list such as "cpu io memory". */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == '\0' || at[length] == ' ' || at[length] == '\n'))
            return true;
    return false;
}

/* ---- taking ---- */

static int find_own_path(const char *mount, char path[SQ_GROUP_PATH_MAX], struct sq_error *error)
{
    char cgroup[4096];
    if (sq_process_cgroup(SQ_PROC_PATH, getpid(), cgroup, sizeof cgroup) != 0)
        return sq_fail(error, SQ_UNABLE, "its name cannot be read");
    const char *line = strncmp(cgroup, "0::", 3) == 0 ? cgroup : strstr(cgroup, "\n0::");
    if (line == NULL)
        return sq_fail(error, SQ_UNABLE, "it is not of version 2");
    line += *line == '\n' ? 4 : 3;
    int length = (int)strcspn(line, "\n");
    if (strncmp(line, "/..", 3) == 0 ||
        snprintf(path, SQ_GROUP_PATH_MAX, "%s%.*s", mount, length, line) >= SQ_GROUP_PATH_MAX)
        return sq_fail(error, SQ_UNABLE, "it is not to be seen from here, or its name is too long");
    return 0;
}

static bool is_marked(const char *path, const char *mark)
{
    char name[64];
    char value[8] = "";
    static const char *const spaces[] = {"trusted", "user"};
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", spaces[i], mark);
        ssize_t length = getxattr(path, name, value, sizeof value);
        if (strcmp(mark, "delegate") == 0 ? length == 1 && value[0] == '1' : length > 0 || errno == ERANGE)
            return true;
        errno = 0;
    }
    return false;
}

/* Is there this one process, and nobody's right to the group but its own? */
static int check_owner(const char *path, int fd, struct sq_error *error)
{
    char text[256];
    errno = 0;
    if (read_at(fd, "cgroup.type", text, sizeof text) < 0)
        return sq_fail(error, SQ_UNABLE, "it is the root of all");
    if (strcmp(text, "domain\n") != 0)
        return sq_fail(error, SQ_UNABLE, "it is of the type %.*s", (int)strcspn(text, "\n"), text);
    if (is_marked(path, "invocation_id") && !is_marked(path, "delegate"))
        return sq_fail(error, SQ_UNABLE, "systemd has not delegated it; Delegate=yes does");
    if (read_at(fd, "cgroup.procs", text, sizeof text) < 0)
        return sq_fail(error, SQ_UNABLE, "who is in it cannot be read");
    char *end = NULL;
    if (strtol(text, &end, 10) != (long)getpid() || strcmp(end, "\n") != 0)
        return sq_fail(error, SQ_UNABLE, "other processes are in it");
    if (read_at(fd, "cgroup.controllers", text, sizeof text) < 0 ||
        (!has_word(text, "cpu") && !has_word(text, "memory")))
        return sq_fail(error, SQ_UNABLE, "it has no controllers for cpu and memory");
    return 0;
}

/* Does the kernel start processes in a group (Linux 5.7)? Then it misses the descriptor, and starts none. */
static int check_kernel(struct sq_error *error)
{
    if (sq_group_fork(INT_MAX) < 0 && errno == EBADF)
        return 0;
    return sq_fail(error, SQ_UNABLE, "no process can be started in another one here (Linux 5.7)");
}

/* Each by itself: what one needs may be there and the other not. Returns how many are on. */
static uint32_t switch_controllers(int fd, char sign)
{
    uint32_t count = 0;
    for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
        char order[16];
        (void)snprintf(order, sizeof order, "%c%s", sign, controllers[i]);
        count += sq_group_write(fd, "cgroup.subtree_control", order) == 0;
    }
    return count;
}

static int divide(int fd, struct sq_error *error)
{
    if (mkdirat(fd, SQ_GROUP_AGENT, 0755) != 0 && errno != EEXIST)
        return sq_fail(error, SQ_UNABLE, "no subgroup can be made: %s", strerrordesc_np(errno));
    sq_autoclose int agent_fd = open_directory(fd, SQ_GROUP_AGENT);
    if (agent_fd < 0 || sq_group_write(agent_fd, "cgroup.procs", "0") != 0) {
        int reason = errno;
        (void)unlinkat(fd, SQ_GROUP_AGENT, AT_REMOVEDIR);
        return sq_fail(error, SQ_UNABLE, "the agent cannot be moved: %s", strerrordesc_np(reason));
    }
    if (switch_controllers(fd, '+') == 0) {
        int reason = errno;
        (void)sq_group_write(fd, "cgroup.procs", "0");
        (void)unlinkat(fd, SQ_GROUP_AGENT, AT_REMOVEDIR);
        return sq_fail(error, SQ_UNABLE, "its controllers cannot be divided: %s", strerrordesc_np(reason));
    }
    (void)sq_group_write(agent_fd, "cpu.weight", AGENT_CPU_WEIGHT);
    (void)sq_group_write(agent_fd, "memory.min", AGENT_MEMORY_MIN);
    return 0;
}

int sq_own_group_take(struct sq_own_group *group, struct sq_error *error)
{
    const char *mount = find_mount();
    *group = (struct sq_own_group){0};
    if (mount == NULL)
        return sq_fail(error, SQ_UNABLE, "there are no control groups of version 2");
    if (find_own_path(mount, group->path, error) != 0)
        return -1;
    sq_autoclose int fd = open_directory(AT_FDCWD, group->path);
    if (fd < 0)
        return sq_fail(error, SQ_UNABLE, "it is not to be seen from here");
    if (check_owner(group->path, fd, error) != 0 || check_kernel(error) != 0 || divide(fd, error) != 0)
        return -1;
    group->id = id_of(fd);
    return 0;
}

static int open_group(const struct sq_own_group *group);

void sq_own_group_leave(struct sq_own_group *group)
{
    sq_autoclose int fd = group->id == 0 ? -1 : open_group(group);
    group->id = 0;
    if (fd < 0)
        return;
    (void)switch_controllers(fd, '-');
    if (sq_group_write(fd, "cgroup.procs", "0") == 0)
        (void)unlinkat(fd, SQ_GROUP_AGENT, AT_REMOVEDIR);
}

/* ---- groups beside the agent's ---- */

/* By its number, wherever it is: in another control group namespace its path is another one. */
static int open_by_id(uint64_t id)
{
    union {
        struct file_handle handle;
        unsigned char bytes[sizeof(struct file_handle) + sizeof id];
    } wanted = {.handle = {.handle_bytes = sizeof id, .handle_type = HANDLE_KERNFS}};
    const char *mount = find_mount();
    if (mount == NULL) {
        errno = ESTALE;
        return -1;
    }
    memcpy(wanted.bytes + offsetof(struct file_handle, f_handle), &id, sizeof id);
    sq_autoclose int mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return mount_fd < 0 ? -1 : open_by_handle_at(mount_fd, &wanted.handle, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* ESTALE, ENOENT: it is gone, and all that was in it. */
static int open_group(const struct sq_own_group *group)
{
    int fd = open_directory(AT_FDCWD, group->path);
    if (fd >= 0 && id_of(fd) == group->id)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return open_by_id(group->id);
}

int sq_group_make(const struct sq_own_group *parent, const char *name, uint64_t *id, int *fd,
                  struct sq_error *error)
{
    sq_autoclose int parent_fd = open_group(parent);
    if (parent_fd < 0 || mkdirat(parent_fd, name, 0755) != 0)
        return sq_fail_errno(error, errno, "cannot make the control group %s/%s", parent->path, name);
    *fd = open_directory(parent_fd, name);
    if (*fd < 0)
        return sq_fail_errno(error, errno, "cannot open the control group %s/%s", parent->path, name);
    *id = id_of(*fd);
    return 0;
}

int sq_group_remove(const struct sq_own_group *parent, const char *name, uint64_t id)
{
    sq_autoclose int parent_fd = open_group(parent);
    if (parent_fd < 0)
        return errno == ESTALE || errno == ENOENT ? 0 : -1;
    struct stat status;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -1;
    if (id != 0 && (uint64_t)status.st_ino != id) {
        errno = EEXIST;
        return -1;
    }
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return -1;
    if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
        errno = EBUSY;
        return -1;
    }
    return 0;
}

pid_t sq_group_fork(int fd)
{
    if (fd < 0)
        return fork();
    struct clone_args arguments = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)fd};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* ---- finding them by name ---- */

/* nftw(3) gives no cookie. */
static struct {
    void (*told)(const char *path, int reason, void *cookie);
    void *cookie;
} sweeping;

static bool agent_is_alive(int parent_fd)
{
    char events[128];
    return read_at(parent_fd, SQ_GROUP_AGENT "/cgroup.events", events, sizeof events) > 0 &&
           strstr(events, "populated 1") != NULL;
}

static int visit(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    const char *name = path + place->base;
    bool is_agent = strcmp(name, SQ_GROUP_AGENT) == 0;
    if (type != FTW_DP || (!is_agent && strncmp(name, SQ_GROUP_STRESS, strlen(SQ_GROUP_STRESS)) != 0))
        return 0;
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%.*s", place->base > 0 ? place->base - 1 : 0, path);
    sq_autoclose int parent_fd = open_directory(AT_FDCWD, parent);
    if (parent_fd < 0 || agent_is_alive(parent_fd))
        return 0;
    int reason = unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
    if (reason == 0 && is_agent)
        (void)switch_controllers(parent_fd, '-');
    sweeping.told(path, reason, sweeping.cookie);
    return 0;
}

int sq_group_sweep(void (*told)(const char *path, int reason, void *cookie), void *cookie,
                   struct sq_error *error)
{
    const char *mount = find_mount();
    if (mount == NULL)
        return 0;
    sweeping.told = told;
    sweeping.cookie = cookie;
    if (nftw(mount, visit, WALK_OPEN_MAX, FTW_PHYS | FTW_MOUNT | FTW_DEPTH) != 0)
        return sq_fail_errno(error, errno, "cannot look through the control groups of %s", mount);
    return 0;
}
