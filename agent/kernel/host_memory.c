#include "host_memory.h"

#include "common/file.h"
#include "common/text.h"
#include "kernel/process.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CGROUP_TEXT_MAX 4096
#define CGROUP_ROOT     "/sys/fs/cgroup"
#define NO_LIMIT_LEAST                                                                                       \
    (UINT64_C(1) << 60) /* cgroup v1 writes "none" as the largest number of whole pages                      \
                         */

/* "MemTotal:       24684092 kB" */
static bool find_kib(const char *text, const char *key, uint64_t *bytes)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) != 0 || line[length] != ':')
            continue;
        char *end = NULL;
        errno = 0;
        unsigned long long kib = strtoull(line + length + 1, &end, 10);
        if (errno != 0 || end == line + length + 1 || strncmp(end, " kB", 3) != 0 || kib > UINT64_MAX / 1024)
            return false;
        *bytes = (uint64_t)kib * 1024;
        return true;
    }
    return false;
}

bool sq_host_memory_parse(const char *meminfo, struct sq_host_memory *memory)
{
    memory->swap_total_bytes = 0;
    (void)find_kib(meminfo, "SwapTotal", &memory->swap_total_bytes);
    return find_kib(meminfo, "MemTotal", &memory->total_bytes) &&
           find_kib(meminfo, "MemAvailable", &memory->available_bytes);
}

int sq_host_memory_read(struct sq_host_memory *memory, struct sq_error *error)
{
    char content[8192];
    if (sq_file_read_into("/proc/meminfo", content, sizeof content) < 0)
        return sq_fail(error, SQ_UNABLE, "cannot read /proc/meminfo: %s", strerrordesc_np(errno));
    if (!sq_host_memory_parse(content, memory))
        return sq_fail(error, SQ_UNABLE, "/proc/meminfo tells no MemTotal and MemAvailable");
    return 0;
}

uint64_t sq_host_oom_kills(void)
{
    char content[16384];
    if (sq_file_read_into("/proc/vmstat", content, sizeof content) < 0)
        return 0;
    const char *line = strstr(content, "\noom_kill ");
    return line == NULL ? 0 : strtoull(line + 10, NULL, 10);
}

uint64_t sq_process_resident_bytes(int pid)
{
    char path[64];
    char content[128];
    unsigned long long pages = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", pid);
    if (sq_file_read_into(path, content, sizeof content) < 0)
        return 0;
    const char *second = strchr(content, ' ');
    if (second != NULL)
        pages = strtoull(second, NULL, 10);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- control groups ---- */

/* The path of this process in a v1 hierarchy (controller), or in v2 ("": the line that begins with "0::"). */
static bool own_path(const char *cgroup, const char *controller, char *path, size_t size)
{
    for (const char *line = cgroup; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        const char *list = memchr(line, ':', length);
        const char *end = list == NULL ? NULL : memchr(list + 1, ':', (size_t)(line + length - list - 1));
        if (end != NULL) {
            char names[256] = ",";
            sq_text_append(names, sizeof names, "%.*s,", (int)(end - list - 1), list + 1);
            char wanted[64];
            (void)snprintf(wanted, sizeof wanted, ",%s,", controller);
            bool is_it = controller[0] == '\0' ? strcmp(names, ",,") == 0 : strstr(names, wanted) != NULL;
            if (is_it && (size_t)(line + length - end) <= size) {
                (void)snprintf(path, size, "%.*s", (int)(line + length - end - 1), end + 1);
                return true;
            }
        }
        line += length + (line[length] == '\n');
    }
    return false;
}

static bool read_number(const char *directory, const char *file, uint64_t *first, uint64_t *second)
{
    char path[PATH_MAX];
    char content[128];
    if (snprintf(path, sizeof path, "%s/%s", directory, file) >= (int)sizeof path ||
        sq_file_read_into(path, content, sizeof content) < 0)
        return false;
    char *end = NULL;
    errno = 0;
    /* "max" and "-1": no limit */
    if (content[0] < '0' || content[0] > '9')
        return false;
    *first = strtoull(content, &end, 10);
    if (second != NULL)
        *second = strtoull(end, NULL, 10);
    return errno == 0;
}

/* Call `look` for the control group at `path` and each one above it. */
static void each_above(const char *mount, const char *path, void (*look)(const char *directory, void *cookie),
                       void *cookie)
{
    char directory[PATH_MAX];
    if (snprintf(directory, sizeof directory, "%s%s", mount, path) >= (int)sizeof directory)
        return;
    size_t root = strlen(mount);
    for (;;) {
        size_t length = strlen(directory);
        while (length > root && directory[length - 1] == '/')
            directory[--length] = '\0';
        look(directory, cookie);
        if (length <= root)
            return;
        char *slash = strrchr(directory, '/');
        *slash = '\0';
    }
}

/* File pages that nobody has used for a while are given up before a limit is felt. */
static uint64_t reclaimable_bytes(const char *directory)
{
    static const char *const keys[] = {"\ntotal_inactive_file ",
                                       "\ninactive_file "}; /* v1 sums up below it, v2 does always */
    char path[PATH_MAX];
    char content[8192];
    if (snprintf(path, sizeof path, "%s/memory.stat", directory) >= (int)sizeof path ||
        sq_file_read_into(path, content, sizeof content) < 0)
        return 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *found = strstr(content, keys[i]);
        if (found != NULL)
            return strtoull(found + strlen(keys[i]), NULL, 10);
    }
    return 0;
}

/* What one limit of a control group leaves of it. At memory.high nobody is killed, but all are held back. */
static void look_at_limit(const char *directory, const char *limit_file, const char *used_file,
                          uint64_t *left)
{
    uint64_t limit;
    uint64_t used;
    if (!read_number(directory, limit_file, &limit, NULL) || limit >= NO_LIMIT_LEAST ||
        !read_number(directory, used_file, &used, NULL))
        return;
    uint64_t reclaimable = reclaimable_bytes(directory);
    used = used > reclaimable ? used - reclaimable : 0;
    uint64_t here = limit > used ? limit - used : 0;
    if (here < *left)
        *left = here;
}

static void look_at_memory(const char *directory, void *cookie)
{
    uint64_t *left = cookie;
    look_at_limit(directory, "memory.max", "memory.current", left);
    look_at_limit(directory, "memory.high", "memory.current", left);
    look_at_limit(directory, "memory.limit_in_bytes", "memory.usage_in_bytes", left);
}

static void look_at_quota(const char *directory, void *cookie)
{
    double *cores = cookie;
    uint64_t quota;
    uint64_t period = 0;
    bool known = read_number(directory, "cpu.max", &quota, &period) ||
                 (read_number(directory, "cpu.cfs_quota_us", &quota, NULL) &&
                  read_number(directory, "cpu.cfs_period_us", &period, NULL));
    if (!known || period == 0)
        return;
    double here = (double)quota / (double)period;
    if (!(*cores > 0) || here < *cores)
        *cores = here;
}

static void each_own(const char *controller, void (*look)(const char *directory, void *cookie), void *cookie)
{
    static const char *const mounts_v2[] = {CGROUP_ROOT, CGROUP_ROOT "/unified"};
    char cgroup[CGROUP_TEXT_MAX];
    char path[PATH_MAX];
    char mount[64];
    if (sq_process_cgroup(SQ_PROC_PATH, getpid(), cgroup, sizeof cgroup) != 0)
        return;
    if (own_path(cgroup, "", path, sizeof path))
        for (size_t i = 0; i < sizeof mounts_v2 / sizeof mounts_v2[0]; i++)
            each_above(mounts_v2[i], path, look, cookie);
    if (!own_path(cgroup, controller, path, sizeof path))
        return;
    (void)snprintf(mount, sizeof mount, CGROUP_ROOT "/%s", controller);
    each_above(mount, path, look, cookie);
    if (strcmp(controller, "cpu") == 0)
        each_above(CGROUP_ROOT "/cpu,cpuacct", path, look, cookie);
}

uint64_t sq_cgroup_memory_left_bytes(void)
{
    uint64_t left = UINT64_MAX;
    each_own("memory", look_at_memory, &left);
    return left;
}

double sq_cgroup_cpu_quota(void)
{
    double cores = 0;
    each_own("cpu", look_at_quota, &cores);
    return cores;
}
