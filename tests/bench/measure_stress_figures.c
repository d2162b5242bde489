/* libraries: sq_bench sq_stress_driver sq_common m */
/*
 * cpu.stress and memory.stress beside stress-ng(1), by one and the same yardstick: the usage of a control
 * group, and the resident memory of its processes.
 *
 *   measure_stress_figures ROUNDS SECONDS [cpu|memory]
 *
 * Samples: cpu.{squall,stress-ng}.{idle,competing}.LEVEL, the absolute error in percentage points of one core
 * over SECONDS, half of them beside a competing process;
 * memory.{squall,stress-ng,stress-ng-populate}.4GiB.ms, until 4 GiB are resident. Taken in turn, squall and
 * the other.
 */
#include "bench.h"
#include "common/clock.h"
#include "common/file.h"
#include "kernel/host_memory.h"
#include "stress_driver.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE_BYTES (UINT64_C(4) << 30)
#define MAPPED_PART 0.999 /* resident memory is counted in batches by the kernel */
#define SETTLE_MS   500

/* stress-ng in the group, by a shell that joins it first. */
static pid_t start_stress_ng(const struct driver_group *group, const char *arguments)
{
    char command[256];
    (void)snprintf(command, sizeof command, "exec %s --timeout 600 >/dev/null 2>&1", arguments);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("cannot fork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)setsid();
        driver_group_add(group, getpid());
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* Its workers end when it is asked to; what is left after that is killed. */
static void stop_stress_ng(pid_t pid)
{
    (void)kill(pid, SIGTERM);
    for (int i = 0; i < 3000; i++) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return;
        bench_sleep_ms(1);
    }
    (void)kill(-pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* The error of what the group uses, once it has begun. */
static double level_error(const struct driver_group *group, unsigned percent, uint64_t window_ns)
{
    bench_sleep_ms(SETTLE_MS);
    uint64_t start_ns = sq_boot_ns();
    uint64_t before_ns = driver_group_usage_ns(group);
    driver_sleep_ns(window_ns);
    double used_ns = (double)(driver_group_usage_ns(group) - before_ns);
    return fabs(used_ns / (double)(sq_boot_ns() - start_ns) * 100 - percent);
}

static void level_of_squall(const struct driver_group *group, unsigned percent, uint64_t window_ns,
                            const char *series)
{
    struct driver driver;
    char settings[64];
    (void)snprintf(settings, sizeof settings, "percent=%u%% cores=0-0", percent);
    driver_prepare(&driver, "cpu.stress", settings);
    driver_group_add(group, driver_pid(&driver, 0));
    driver_inject(&driver, 3600 * SQ_NS_PER_SECOND);
    bench_sample(series, level_error(group, percent, window_ns));
    driver_end(&driver);
}

static void level_of_stress_ng(const struct driver_group *group, unsigned percent, uint64_t window_ns,
                               const char *series)
{
    char arguments[64];
    (void)snprintf(arguments, sizeof arguments, "taskset -c 0 stress-ng --cpu 1 --cpu-load %u", percent);
    pid_t pid = start_stress_ng(group, arguments);
    bench_sample(series, level_error(group, percent, window_ns));
    stop_stress_ng(pid);
}

static void measure_levels(struct driver_group *group, bool competing, uint64_t window_ns)
{
    static const unsigned levels[] = {10, 25, 50, 75, 95};
    pid_t rival;
    if (competing)
        driver_compete(group, 1, &rival);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        char series[64];
        const char *where = competing ? "competing" : "idle";
        (void)snprintf(series, sizeof series, "cpu.squall.%s.%u", where, levels[i]);
        level_of_squall(group, levels[i], window_ns, series);
        (void)snprintf(series, sizeof series, "cpu.stress-ng.%s.%u", where, levels[i]);
        level_of_stress_ng(group, levels[i], window_ns, series);
    }
    if (competing)
        driver_stop_competing(1, &rival);
}

static uint64_t resident_bytes(const struct driver_group *group)
{
    char content[4096];
    uint64_t total = 0;
    if (sq_file_read_into(group->members[0], content, sizeof content) < 0)
        return 0;
    char *rest = content;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        if (line[0] != '\0')
            total += sq_process_resident_bytes(atoi(line));
    return total;
}

static double until_resident_ms(const struct driver_group *group, uint64_t start_ns)
{
    while ((double)resident_bytes(group) < MAPPED_PART * (double)LARGE_BYTES) {
        if (sq_boot_ns() - start_ns > 120 * SQ_NS_PER_SECOND)
            bench_die("4 GiB were not resident within two minutes");
        driver_sleep_ns(SQ_NS_PER_MILLISECOND);
    }
    return (double)(sq_boot_ns() - start_ns) / BENCH_NS_PER_MS;
}

static double memory_of_squall(const struct driver_group *group)
{
    struct driver driver;
    uint64_t start_ns = sq_boot_ns();
    driver_prepare(&driver, "memory.stress", "bytes=4GiB");
    for (uint32_t i = 0; i < driver_count(&driver); i++)
        driver_group_add(group, driver_pid(&driver, i));
    driver_inject(&driver, 600 * SQ_NS_PER_SECOND);
    double took_ms = until_resident_ms(group, start_ns);
    driver_end(&driver);
    return took_ms;
}

static double memory_of_stress_ng(const struct driver_group *group, const char *arguments)
{
    uint64_t start_ns = sq_boot_ns();
    pid_t pid = start_stress_ng(group, arguments);
    double took_ms = until_resident_ms(group, start_ns);
    stop_stress_ng(pid);
    return took_ms;
}

/*
 * On a virtual machine the first to touch a page pays for the host's part, and free pages go back to the host
 * after a while: each finds the pages that were held just before it.
 */
static void measure_memory(const struct driver_group *group)
{
    (void)memory_of_squall(group);
    bench_sample("memory.squall.4GiB.ms", memory_of_squall(group));
    (void)memory_of_squall(group);
    bench_sample("memory.stress-ng.4GiB.ms",
                 memory_of_stress_ng(group, "stress-ng --vm 1 --vm-bytes 4g --vm-keep"));
    (void)memory_of_squall(group);
    bench_sample("memory.stress-ng-populate.4GiB.ms",
                 memory_of_stress_ng(group, "stress-ng --vm 1 --vm-bytes 4g --vm-keep --vm-populate"));
}

int main(int argc, char **argv)
{
    struct driver_group group;
    if (argc < 3 || argc > 4)
        bench_die("usage: measure_stress_figures ROUNDS SECONDS [cpu|memory]");
    bool wants_cpu = argc == 3 || strcmp(argv[3], "cpu") == 0;
    bool wants_memory = argc == 3 || strcmp(argv[3], "memory") == 0;
    long rounds = strtol(argv[1], NULL, 10);
    uint64_t window_ns = strtoull(argv[2], NULL, 10) * SQ_NS_PER_SECOND;
    driver_group_make(&group, "squall-bench");
    if (group.usage[0] == '\0')
        bench_die("this machine has no control groups that count CPU time");
    for (long round = 0; round < rounds; round++) {
        if (wants_memory)
            measure_memory(&group);
        if (wants_cpu) {
            measure_levels(&group, false, window_ns);
            measure_levels(&group, true, window_ns / 2);
        }
    }
    driver_group_remove(&group);
    return 0;
}
