#include "kernel/process.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "kernel/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#define STAT_BYTES_MAX    2048
#define KERNEL_THREAD     0x00200000u /* PF_KTHREAD of <linux/sched.h>, in the flags of /proc/PID/stat */
#define STAT_FIELD_STATE  3
#define STAT_FIELD_PARENT 4
#define STAT_FIELD_FLAGS  9
#define STAT_FIELD_START  22

static int proc_path(char *path, size_t size, pid_t pid, const char *name)
{
    int length = snprintf(path, size, "/proc/%d/%s", (int)pid, name);
    return length > 0 && (size_t)length < size ? 0 : -1;
}

/* A process that exits while its files are read gives ESRCH in some places and ENOENT in others. */
static int fail_read(pid_t pid)
{
    char path[64];
    int number = errno;
    if (number == ENOENT && proc_path(path, sizeof path, pid, "stat") == 0 && access(path, F_OK) != 0)
        number = ESRCH;
    errno = number;
    return -1;
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

int sq_process_read(pid_t pid, struct sq_process *process)
{
    char path[64];
    char stat[STAT_BYTES_MAX];
    if (pid <= 0 || proc_path(path, sizeof path, pid, "stat") != 0) {
        errno = ESRCH;
        return -1;
    }
    ssize_t length = sq_file_read_into(path, stat, sizeof stat);
    if (length < 0)
        return fail_read(pid);
    if (!sq_process_parse_stat(stat, (size_t)length, process) || process->id.pid != pid) {
        errno = EPROTO;
        return -1;
    }
    return 0;
}

/* A directory entry of /proc that is a process, or 0. */
static pid_t entry_pid(const char *name)
{
    uint64_t number;
    if (!take_number(&name, &number) || *name != '\0' || number > INT_MAX)
        return 0;
    return (pid_t)number;
}

int sq_process_each(bool (*visit)(const struct sq_process *process, void *cookie), void *cookie,
                    struct sq_error *error)
{
    sq_autoclose int directory = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return sq_fail_errno(error, errno, "cannot open /proc");
    _Alignas(struct dirent64) char entries[8192];
    for (;;) {
        /* Not readdir(3), which allocates. */
        ssize_t length = getdents64(directory, entries, sizeof entries);
        if (length < 0)
            return sq_fail_errno(error, errno, "cannot list /proc");
        if (length == 0)
            return 0;
        for (ssize_t i = 0; i < length;) {
            const struct dirent64 *entry = (const void *)(entries + i);
            i += entry->d_reclen;
            struct sq_process process;
            pid_t pid = entry_pid(entry->d_name);
            if (pid == 0)
                continue;
            if (sq_process_read(pid, &process) != 0) {
                if (errno == ESRCH)
                    continue;
                return sq_fail_errno(error, errno, "cannot read /proc/%d/stat", (int)pid);
            }
            if (!visit(&process, cookie))
                return 0;
        }
    }
}

int sq_process_executable(pid_t pid, char *path, size_t size)
{
    char link[64];
    if (proc_path(link, sizeof link, pid, "exe") != 0) {
        errno = ESRCH;
        return -1;
    }
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0)
        return fail_read(pid);
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

int sq_process_file(pid_t pid, struct sq_process_file *file)
{
    char link[64];
    struct stat status;
    if (proc_path(link, sizeof link, pid, "exe") != 0) {
        errno = ESRCH;
        return -1;
    }
    if (stat(link, &status) != 0)
        return fail_read(pid);
    *file = (struct sq_process_file){.device = status.st_dev, .inode = status.st_ino};
    return 0;
}

int sq_process_command(pid_t pid, char *command, size_t size, bool *cut)
{
    char path[64];
    if (proc_path(path, sizeof path, pid, "cmdline") != 0) {
        errno = ESRCH;
        return -1;
    }
    ssize_t length = sq_file_read_into(path, command, size);
    if (length < 0)
        return fail_read(pid);
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

int sq_process_cgroup(pid_t pid, char *cgroup, size_t size)
{
    char path[64];
    if (proc_path(path, sizeof path, pid, "cgroup") != 0) {
        errno = ESRCH;
        return -1;
    }
    ssize_t length = sq_file_read_into(path, cgroup, size);
    if (length < 0)
        return fail_read(pid);
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
    if (entry_pid(link) != getpid())
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
