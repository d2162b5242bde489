#include "stress_driver.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/units.h"
#include "kernel/host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNPRIVILEGED 65534

_Noreturn void driver_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void must(int result, const struct sq_error *error)
{
    if (result != 0)
        driver_die("%s", error->text);
}

static void apply(struct driver *driver, const char *settings)
{
    const struct sq_fault_info *info = sq_fault_by_kind(driver->order.spec.kind);
    char copy[256];
    struct sq_error error;
    (void)snprintf(copy, sizeof copy, "%s", settings);
    char *rest = copy;
    for (char *item; (item = strsep(&rest, " ")) != NULL;) {
        char *value = item;
        const char *key = strsep(&value, "=");
        const struct sq_param *param = sq_param_by_key(info, key);
        if (param == NULL || value == NULL)
            driver_die("no parameter '%s'", key);
        must(sq_spec_set(&driver->order.spec, param, value, &error), &error);
    }
}

void driver_prepare(struct driver *driver, const char *kind, const char *settings)
{
    struct sq_error error;
    memset(driver, 0, sizeof *driver);
    driver->ops = sq_fault_ops_by_kind(sq_fault_by_name(kind)->kind);
    driver->order.duration_ns = 3600 * SQ_NS_PER_SECOND;
    driver->env.protection = &driver->protection;
    driver->env.stressor_uid = UNPRIVILEGED;
    driver->env.stressor_gid = UNPRIVILEGED;
    sq_spec_init(&driver->order.spec, sq_fault_by_name(kind));
    apply(driver, settings);
    driver->state = calloc(1, driver->ops->state_size);
    if (driver->state == NULL)
        driver_die("out of memory");
    must(driver->ops->preview(&driver->order, &driver->env, &driver->undo, &driver->report, &error), &error);
    must(driver->ops->prepare(driver->state, &driver->order, &driver->env, &driver->undo, &error), &error);
    int result;
    while ((result = driver->ops->prepared(driver->state, &driver->undo, &error)) == 0)
        driver_sleep_ns(SQ_NS_PER_MILLISECOND);
    must(result == 1 ? 0 : -1, &error);
}

void driver_inject(struct driver *driver, uint64_t for_ns)
{
    struct sq_error error;
    must(driver->ops->inject(driver->state, &driver->undo, sq_boot_ns() + for_ns, &error), &error);
}

void driver_end(struct driver *driver)
{
    struct sq_error error;
    must(driver->ops->clean(driver->state, &driver->undo, &error), &error);
    while (driver->ops->settle(driver->state, &driver->undo) > sq_boot_ns())
        driver_sleep_ns(SQ_NS_PER_MILLISECOND);
    must(driver->ops->remove(driver->state, &driver->undo, &driver->report, &error), &error);
    driver->ops->release(driver->state);
    free(driver->state);
    driver->state = NULL;
}

uint32_t driver_count(const struct driver *driver)
{
    return sq_stress_record_read(&driver->undo)->count;
}

pid_t driver_pid(const struct driver *driver, uint32_t i)
{
    return (pid_t)sq_stress_record_read(&driver->undo)->entries[i].pid;
}

uint64_t driver_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        driver_die("no CPU clock of process %d", (int)pid);
    return (uint64_t)time.tv_sec * SQ_NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

void driver_sleep_ns(uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / SQ_NS_PER_SECOND),
                            .tv_nsec = (long)(ns % SQ_NS_PER_SECOND)};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

uint64_t driver_counter(struct driver *driver, const char *name)
{
    driver->ops->status(driver->state, &driver->undo, &driver->report);
    for (uint32_t i = 0; i < driver->report.counter_count; i++)
        if (strcmp(driver->report.counters[i].name, name) == 0)
            return driver->report.counters[i].value;
    return 0;
}

/* ---- control groups ---- */

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = sq_write_all(fd, text, strlen(text));
    (void)close(fd);
    return result;
}

/* Without it the figures hold on an idle machine only. */
static void take_precedence(const char *directory, const char *file, const char *weight)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    if (write_text(path, weight) != 0)
        (void)fprintf(stderr, "%s cannot be set: what else runs on this machine shows in the figures\n",
                      path);
}

void driver_group_make(struct driver_group *group, const char *name)
{
    static const char *const v1[] = {"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu"};
    memset(group, 0, sizeof *group);
    if (access("/sys/fs/cgroup/cpuacct/cpuacct.usage", R_OK) == 0) {
        for (size_t i = 0; i < 2; i++) {
            (void)snprintf(group->directories[i], sizeof group->directories[i], "%s/%s", v1[i], name);
            if (mkdir(group->directories[i], 0755) != 0 && errno != EEXIST)
                driver_die("cannot make %s: %s", group->directories[i], strerror(errno));
            (void)snprintf(group->members[i], sizeof group->members[i], "%s/%s/cgroup.procs", v1[i], name);
        }
        (void)snprintf(group->usage, sizeof group->usage, "%s/%s/cpuacct.usage", v1[0], name);
        (void)snprintf(group->quota, sizeof group->quota, "%s/%s/cpu.cfs_quota_us", v1[1], name);
        take_precedence(group->directories[1], "cpu.shares", "262144");
        return;
    }
    if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) != 0)
        return;
    group->is_v2 = 1;
    (void)snprintf(group->directories[0], sizeof group->directories[0], "/sys/fs/cgroup/%s", name);
    if (mkdir(group->directories[0], 0755) != 0 && errno != EEXIST)
        driver_die("cannot make %s: %s", group->directories[0], strerror(errno));
    (void)snprintf(group->members[0], sizeof group->members[0], "/sys/fs/cgroup/%s/cgroup.procs", name);
    (void)snprintf(group->usage, sizeof group->usage, "/sys/fs/cgroup/%s/cpu.stat", name);
    (void)snprintf(group->quota, sizeof group->quota, "/sys/fs/cgroup/%s/cpu.max", name);
    take_precedence(group->directories[0], "cpu.weight", "10000");
}

void driver_group_add(const struct driver_group *group, pid_t pid)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = 0; i < 2; i++)
        if (group->members[i][0] != '\0' && write_text(group->members[i], text) != 0)
            driver_die("cannot add a process to %s: %s", group->members[i], strerror(errno));
}

uint64_t driver_group_usage_ns(const struct driver_group *group)
{
    char content[1024];
    if (group->usage[0] == '\0' || sq_file_read_into(group->usage, content, sizeof content) < 0)
        return 0;
    const char *number = group->is_v2 ? strstr(content, "usage_usec ") : content;
    if (number == NULL)
        return 0;
    return group->is_v2 ? strtoull(number + 11, NULL, 10) * 1000 : strtoull(number, NULL, 10);
}

int driver_group_set_quota(const struct driver_group *group, double cores)
{
    char text[64];
    long quota_us = cores > 0 ? (long)(cores * 100000) : -1;
    if (group->quota[0] == '\0')
        return -1;
    if (group->is_v2 && quota_us < 0)
        return write_text(group->quota, "max 100000");
    (void)snprintf(text, sizeof text, group->is_v2 ? "%ld 100000" : "%ld", quota_us);
    return write_text(group->quota, text);
}

void driver_group_remove(struct driver_group *group)
{
    for (size_t i = 0; i < 2; i++)
        for (int tries = 0; group->directories[i][0] != '\0' && tries < 200; tries++) {
            if (rmdir(group->directories[i]) == 0 || errno != EBUSY)
                break;
            driver_sleep_ns(5 * SQ_NS_PER_MILLISECOND);
        }
}

/* ---- competition ---- */

static _Noreturn void compute(uint32_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setsid();
    (void)sched_setaffinity(0, sizeof set, &set);
    for (volatile uint64_t i = 0;; i++)
        ;
}

void driver_compete(const struct driver_group *group, uint32_t cores, pid_t *pids)
{
    char text[16];
    for (uint32_t i = 0; i < cores; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            driver_die("cannot fork");
        if (pids[i] == 0)
            compute(i);
        (void)snprintf(text, sizeof text, "%d", (int)pids[i]);
        if (!group->is_v2 && group->members[1][0] != '\0' && write_text(group->members[1], text) != 0)
            driver_die("cannot add a process to %s: %s", group->members[1], strerror(errno));
    }
}

void driver_stop_competing(uint32_t cores, const pid_t *pids)
{
    for (uint32_t i = 0; i < cores; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
}

/* ---- the machine ---- */

void driver_describe_machine(FILE *stream)
{
    char content[8192];
    char model[128] = "unknown processor";
    char memory_text[SQ_UNIT_TEXT_MAX] = "?";
    char load[64] = "?";
    struct sq_host_memory memory;
    struct utsname names;
    if (sq_file_read_into("/proc/cpuinfo", content, sizeof content) > 0) {
        const char *found = strstr(content, "model name\t: ");
        if (found != NULL)
            (void)snprintf(model, sizeof model, "%.*s", (int)strcspn(found + 13, "\n"), found + 13);
    }
    if (sq_host_memory_read(&memory, NULL) == 0)
        sq_size_format_rounded(memory.total_bytes, memory_text);
    if (sq_file_read_into("/proc/loadavg", content, sizeof content) > 0)
        (void)snprintf(load, sizeof load, "%.*s", (int)strcspn(content, " "), content);
    if (uname(&names) != 0)
        driver_die("uname: %s", strerror(errno));
    (void)fprintf(stream, "%s, %ld cores, %s of memory, Linux %s; load average %s when it began.\n", model,
                  sysconf(_SC_NPROCESSORS_ONLN), memory_text, names.release, load);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double driver_median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}
