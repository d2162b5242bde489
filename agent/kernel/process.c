#include "kernel/process.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "kernel/process_walk.h"
#include "kernel/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define STAT_BYTES_MAX    2048
#define KERNEL_THREAD     0x00200000u /* PF_KTHREAD of <linux/sched.h>, in the flags of /proc/PID/stat */
#define EXITING           0x00000004u /* PF_EXITING */
#define STAT_FIELD_STATE  3
#define STAT_FIELD_PARENT 4
#define STAT_FIELD_FLAGS  9
#define STAT_FIELD_START  22

#define PATH_BYTES_MAX 64

/*
 * A file of a process: below the descriptor, or with SQ_PROC_PATH from the root. To the former the kernel
 * finds its way in two thirds of the time.
 */
static int proc_path(char path[PATH_BYTES_MAX], int proc_fd, pid_t pid, const char *name)
{
    (void)snprintf(path, PATH_BYTES_MAX, "%s%d/%s", proc_fd < 0 ? "/proc/" : "", (int)pid, name);
    return proc_fd < 0 ? AT_FDCWD : proc_fd;
}

/* A process that exits while its files are read gives ESRCH in some places and ENOENT in others. */
static int fail_read(int proc_fd, pid_t pid)
{
    char path[PATH_BYTES_MAX];
    int number = errno;
    if (number == ENOENT && faccessat(proc_path(path, proc_fd, pid, "stat"), path, F_OK, 0) != 0)
        number = ESRCH;
    errno = number;
    return -1;
}

/* Whole, terminated, cut at size - 1; the kernel gives what it has of these files at once. */
static ssize_t read_file(int proc_fd, pid_t pid, const char *name, char *content, size_t size)
{
    char path[PATH_BYTES_MAX];
    int directory = proc_path(path, proc_fd, pid, name);
    sq_autoclose int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_read(proc_fd, pid);
    ssize_t length;
    do
        length = read(fd, content, size - 1);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return fail_read(proc_fd, pid);
    content[length] = '\0';
    return length;
}

/* Digits at *text, which moves behind them. False if there are none or too many. */
static bool take_number(const char **text, uint64_t *number)
{
    const char *c = *text;
    uint64_t value = 0;
    if (*c < '0' || *c > '9')
        return false;
    for (; *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            return false;
    *text = c;
    *number = value;
    return true;
}

/* The kernel writes a newline and a backslash of comm as "\n" and "\\" (do_task_stat, seq_escape_str). */
static bool copy_comm(const char *from, size_t length, char comm[SQ_PROCESS_COMM_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = from[i];
        if (c == '\\' && i + 1 < length && (from[i + 1] == 'n' || from[i + 1] == '\\'))
            c = from[++i] == 'n' ? '\n' : '\\';
        if (used + 1 >= SQ_PROCESS_COMM_MAX)
            return false;
        comm[used++] = c;
    }
    comm[used] = '\0';
    return true;
}

/* The fields behind comm, separated by single spaces; `rest` stands on the third. */
static bool parse_fields(const char *rest, struct sq_process *process)
{
    uint64_t number;
    for (int field = STAT_FIELD_STATE; field <= STAT_FIELD_START; field++) {
        const char *value = rest;
        switch (field) {
        case STAT_FIELD_STATE:
            process->is_dead = strchr("ZXx", *value) != NULL;
            break;
        case STAT_FIELD_PARENT:
            if (!take_number(&value, &number) || number > INT_MAX)
                return false;
            process->parent_pid = (pid_t)number;
            break;
        case STAT_FIELD_FLAGS:
            if (!take_number(&value, &number))
                return false;
            process->is_kernel_thread = (number & KERNEL_THREAD) != 0;
            process->is_exiting = process->is_dead || (number & EXITING) != 0;
            break;
        case STAT_FIELD_START:
            if (!take_number(&value, &process->id.start_ticks))
                return false;
            return *value == ' ' || *value == '\n' || *value == '\0';
        default:
            break;
        }
        rest = strchr(rest, ' ');
        if (rest == NULL || rest[1] == '\0')
            return false;
        rest++;
    }
    return false;
}

bool sq_process_parse_stat(const char *stat, size_t length, struct sq_process *process)
{
    if (length >= STAT_BYTES_MAX || memchr(stat, '\0', length) != NULL)
        return false;
    char copy[STAT_BYTES_MAX];
    memcpy(copy, stat, length);
    copy[length] = '\0';

    struct sq_process parsed = {0};
    const char *rest = copy;
    uint64_t pid;
    if (!take_number(&rest, &pid) || pid == 0 || pid > INT_MAX || strncmp(rest, " (", 2) != 0)
        return false;
    parsed.id.pid = (pid_t)pid;
    const char *open = rest + 2;
    /* No field behind comm has a parenthesis, so the last one ends it, whatever comm holds. */
    const char *close = strrchr(open, ')');
    if (close == NULL || close[1] != ' ' || !copy_comm(open, (size_t)(close - open), parsed.comm))
        return false;
    if (!parse_fields(close + 2, &parsed))
        return false;
    *process = parsed;
    return true;
}

int sq_process_read_at(int proc_fd, pid_t pid, struct sq_process *process)
{
    char stat[STAT_BYTES_MAX];
    if (pid <= 0) {
        errno = ESRCH;
        return -1;
    }
    ssize_t length = read_file(proc_fd, pid, "stat", stat, sizeof stat);
    if (length < 0)
        return -1;
    if (!sq_process_parse_stat(stat, (size_t)length, process) || process->id.pid != pid) {
        errno = EPROTO;
        return -1;
    }
    return 0;
}

int sq_process_read(pid_t pid, struct sq_process *process)
{
    return sq_process_read_at(SQ_PROC_PATH, pid, process);
}

bool sq_process_is_there(const struct sq_process_id *id)
{
    struct sq_process process;
    return sq_process_read(id->pid, &process) == 0 && !process.is_dead &&
           process.id.start_ticks == id->start_ticks;
}

pid_t sq_process_pid_of_name(const char *name)
{
    uint64_t number;
    if (!take_number(&name, &number) || *name != '\0' || number > INT_MAX)
        return 0;
    return (pid_t)number;
}

int sq_process_each(bool (*visit)(const struct sq_process *process, void *cookie), void *cookie,
                    struct sq_error *error)
{
    struct sq_process_walk walk = {0};
    int result = sq_process_walk_start(&walk, error);
    for (bool go_on = result == 0; go_on;) {
        struct sq_process process;
        pid_t pid = sq_process_walk_next(&walk, error);
        if (pid <= 0) {
            result = pid;
            break;
        }
        if (sq_process_read_at(walk.proc_fd, pid, &process) == 0) {
            go_on = visit(&process, cookie);
        } else if (errno != ESRCH) {
            result = sq_fail_errno(error, errno, "cannot read /proc/%d/stat", (int)pid);
            break;
        }
    }
    sq_process_walk_end(&walk);
    return result;
}

int sq_process_comm(int proc_fd, pid_t pid, char comm[SQ_PROCESS_COMM_MAX])
{
    ssize_t length = read_file(proc_fd, pid, "comm", comm, SQ_PROCESS_COMM_MAX);
    if (length < 0)
        return -1;
    if (length > 0 && comm[length - 1] == '\n')
        comm[length - 1] = '\0';
    return 0;
}

int sq_process_executable(int proc_fd, pid_t pid, char *path, size_t size)
{
    char link[PATH_BYTES_MAX];
    int directory = proc_path(link, proc_fd, pid, "exe");
    ssize_t length = readlinkat(directory, link, path, size - 1);
    if (length < 0)
        return fail_read(proc_fd, pid);
    path[length] = '\0';
    return 0;
}

bool sq_process_executable_is(const char *executable, const char *path)
{
    size_t length = strlen(path);
    if (strncmp(executable, path, length) != 0)
        return false;
    return executable[length] == '\0' || strcmp(executable + length, " (deleted)") == 0;
}

static int identify(int directory, const char *path, struct sq_process_file *file)
{
    struct statx status;
    /* As the kernel knows it: the server of a network's file system may be the one that is cut off. */
    if (statx(directory, path, AT_STATX_DONT_SYNC, STATX_INO | STATX_BTIME, &status) != 0)
        return -1;
    *file = (struct sq_process_file){.device = makedev(status.stx_dev_major, status.stx_dev_minor),
                                     .inode = status.stx_ino};
    if ((status.stx_mask & STATX_BTIME) != 0)
        file->born_ns = (uint64_t)status.stx_btime.tv_sec * SQ_NS_PER_SECOND + status.stx_btime.tv_nsec;
    return 0;
}

int sq_process_file(int proc_fd, pid_t pid, struct sq_process_file *file)
{
    char link[PATH_BYTES_MAX];
    int directory = proc_path(link, proc_fd, pid, "exe");
    return identify(directory, link, file) == 0 ? 0 : fail_read(proc_fd, pid);
}

int sq_process_file_at_path(const char *path, struct sq_process_file *file)
{
    return identify(AT_FDCWD, path, file);
}

bool sq_process_file_is(const struct sq_process_file *a, const struct sq_process_file *b)
{
    bool is_known = a->born_ns != 0 && b->born_ns != 0; /* it is not always asked for */
    return a->device == b->device && a->inode == b->inode && (!is_known || a->born_ns == b->born_ns);
}

int sq_process_command(int proc_fd, pid_t pid, char *command, size_t size, bool *cut)
{
    ssize_t length = read_file(proc_fd, pid, "cmdline", command, size);
    if (length < 0)
        return -1;
    *cut = (size_t)length + 1 >= size;
    while (length > 0 && command[length - 1] == '\0')
        length--;
    for (ssize_t i = 0; i < length; i++)
        if (command[i] == '\0')
            command[i] = ' ';
    command[length] = '\0';
    return 0;
}

/* One directory of a cgroup's path. systemd puts '_' in front of names that the kernel uses itself. */
static bool is_unit(const char *directory, size_t length, const char *unit)
{
    char name[NAME_MAX + 1];
    if (length == 0 || length >= sizeof name)
        return false;
    memcpy(name, directory, length);
    name[length] = '\0';
    return sq_unit_matches(unit, name) || (name[0] == '_' && sq_unit_matches(unit, name + 1));
}

/* A line "0::/path" (v2) or "1:name=systemd:/path" (v1); other controllers' trees are not systemd's word. */
static const char *unit_path(const char *line)
{
    const char *controllers = strchr(line, ':');
    if (controllers == NULL)
        return NULL;
    controllers++;
    if (strncmp(controllers, ":", 1) == 0)
        return controllers + 1;
    return strncmp(controllers, "name=systemd:", 13) == 0 ? controllers + 13 : NULL;
}

bool sq_cgroup_is_in_unit(const char *cgroup, const char *unit)
{
    for (const char *line = cgroup; *line != '\0';) {
        size_t line_length = strcspn(line, "\n");
        const char *end = line + line_length;
        const char *path = unit_path(line);
        while (path != NULL && path < end) {
            size_t length = strcspn(path, "/\n");
            if (is_unit(path, length, unit))
                return true;
            path += length + 1;
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return false;
}

int sq_process_cgroup(int proc_fd, pid_t pid, char *cgroup, size_t size)
{
    ssize_t length = read_file(proc_fd, pid, "cgroup", cgroup, size);
    if (length < 0)
        return -1;
    if ((size_t)length + 1 >= size) {
        errno = EMSGSIZE;
        return -1;
    }
    return 0;
}

int sq_process_open(const struct sq_process_id *id)
{
    sq_autoclose int pidfd = pidfd_open(id->pid, 0);
    if (pidfd < 0)
        return -1;
    /*
     * The descriptor now stands for one process for good. If that one is another than was meant, /proc shows
     * another start time; if it went away since, /proc shows nothing or a third one. All of these are
     * refused.
     */
    struct sq_process process;
    if (sq_process_read(id->pid, &process) != 0)
        return -1;
    if (process.id.start_ticks != id->start_ticks || process.is_dead) {
        errno = ESRCH;
        return -1;
    }
    return sq_take_fd(&pidfd);
}

int sq_process_signal(int pidfd, int signal_number)
{
    return pidfd_send_signal(pidfd, signal_number, NULL, 0);
}

uint64_t sq_process_tick_ns(void)
{
    long per_second = sysconf(_SC_CLK_TCK);
    return SQ_NS_PER_SECOND / (per_second > 0 ? (uint64_t)per_second : 100);
}

uint64_t sq_process_start_boot_ns(const struct sq_process_id *id)
{
    uint64_t start_ns;
    return __builtin_mul_overflow(id->start_ticks, sq_process_tick_ns(), &start_ns) ? UINT64_MAX : start_ns;
}

int sq_process_check_host(struct sq_error *error)
{
    char link[32] = "";
    ssize_t length = readlink("/proc/self", link, sizeof link - 1);
    if (length < 0)
        return sq_fail(error, SQ_UNABLE, "/proc is not mounted; mount it with: mount -t proc proc /proc");
    link[length] = '\0';
    if (sq_process_pid_of_name(link) != getpid())
        return sq_fail(
            error, SQ_UNABLE,
            "/proc shows another pid namespace than the agent's own; mount one for this namespace with: "
            "mount -t proc proc /proc");
    sq_autoclose int pidfd = pidfd_open(getpid(), 0);
    if (pidfd < 0)
        return sq_fail(error, SQ_UNABLE, "the kernel does not open pidfds (%s); Linux 5.3 or later is needed",
                       strerrordesc_np(errno));
    if (sq_process_signal(pidfd, 0) != 0)
        return sq_fail(error, SQ_UNABLE,
                       "the kernel does not send signals by pidfd (%s); Linux 5.1 or later is needed",
                       strerrordesc_np(errno));
    return 0;
}
