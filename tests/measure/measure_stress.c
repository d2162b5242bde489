/*
 * Asked against measured, for cpu.stress and memory.stress: prints Markdown, kept as docs/measured-stress.md.
 *
 * measure_stress [--seconds N] [--windows N] [--strict] [--only memory|alone|competing|quota]
 *
 * Each level is measured over --seconds (10), --windows times (3), of which the median counts. The yardsticks
 * are the processes' own CPU clocks as the kernel keeps them and the usage of a control group; for memory PSS
 * and page tables from /proc. --strict: exit with 1 if a row is further off than what was promised.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/units.h"
#include "stress_driver.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define WINDOWS_MAX   9
#define CORES_MAX     64
#define CPU_PROMISED  1.0 /* percentage points */
#define GIVEN_BACK_MS 100.0
#define MIB           (UINT64_C(1) << 20)

static uint64_t window_ns = 10 * SQ_NS_PER_SECOND;
static uint32_t windows = 3;
static uint32_t out_of_bounds;
static const char *only = ""; /* a part; empty: all */

static bool is_wanted(const char *part)
{
    return only[0] == '\0' || strcmp(only, part) == 0;
}

static const char *verdict(bool is_kept)
{
    out_of_bounds += !is_kept;
    return is_kept ? "yes" : "**no**";
}

struct level {
    double clock_percent; /* of each core's time */
    double group_percent;
};

static uint64_t total_cpu_ns(const struct driver *driver)
{
    uint64_t total_ns = 0;
    for (uint32_t i = 0; i < driver_count(driver); i++)
        total_ns += driver_cpu_ns(driver_pid(driver, i));
    return total_ns;
}

/* One median of windows of a fault that is in. */
static struct level look(const struct driver *driver, const struct driver_group *group)
{
    double clocks[WINDOWS_MAX];
    double groups[WINDOWS_MAX];
    driver_sleep_ns(SQ_NS_PER_SECOND);
    for (uint32_t i = 0; i < windows; i++) {
        uint64_t start_ns = sq_boot_ns();
        uint64_t clock_ns = total_cpu_ns(driver);
        uint64_t group_ns = driver_group_usage_ns(group);
        driver_sleep_ns(window_ns);
        double time_ns = (double)(sq_boot_ns() - start_ns) * driver_count(driver);
        clocks[i] = (double)(total_cpu_ns(driver) - clock_ns) / time_ns * 100;
        groups[i] = (double)(driver_group_usage_ns(group) - group_ns) / time_ns * 100;
    }
    return (struct level){driver_median(clocks, windows), driver_median(groups, windows)};
}

enum surroundings { ALONE, COMPETING, QUOTA_ABOVE, QUOTA_BELOW };

static void cpu_row(uint32_t percent, uint32_t cores, enum surroundings surroundings)
{
    static const char *const names[] = {"alone", "beside a busy process on each core", "in a quota",
                                        "in a quota"};
    struct driver driver;
    struct driver_group group;
    pid_t rivals[CORES_MAX];
    char settings[64];
    char where[64];
    double quota = 0;
    (void)snprintf(settings, sizeof settings, "percent=%u%% cores=%u", percent, cores);
    (void)snprintf(where, sizeof where, "%s", names[surroundings]);
    driver_group_make(&group, "squall-measure");
    driver_prepare(&driver, "cpu.stress", settings);
    if (surroundings == QUOTA_ABOVE)
        quota = (percent + 4) / 100.0 * cores;
    else if (surroundings == QUOTA_BELOW)
        quota = percent / 200.0 * cores;
    if (quota > 0) {
        (void)snprintf(where, sizeof where, "in a quota of %.2f cores", quota);
        if (driver_group_set_quota(&group, quota) != 0)
            (void)snprintf(where, sizeof where, "no quota can be set here");
    }
    for (uint32_t i = 0; i < driver_count(&driver); i++)
        driver_group_add(&group, driver_pid(&driver, i));
    if (surroundings == COMPETING)
        driver_compete(&group, cores, rivals);
    driver_inject(&driver, 3600 * SQ_NS_PER_SECOND);
    struct level level = look(&driver, &group);
    driver_end(&driver);
    if (surroundings == COMPETING)
        driver_stop_competing(cores, rivals);
    driver_group_remove(&group);
    double error = level.clock_percent - percent;
    /* Half of a core, and no more, is what the scheduler gives each of two. */
    bool can_be_had = surroundings != QUOTA_BELOW && !(surroundings == COMPETING && percent >= 50);
    (void)printf("| %u %% | %u | %s | %.2f %% | %.2f %% | %+.2f | %s |\n", percent, cores, where,
                 level.clock_percent, level.group_percent, error,
                 can_be_had ? verdict(fabs(error) <= CPU_PROMISED) : "all that was to be had");
    (void)fflush(stdout);
}

static void measure_cpu(void)
{
    static const uint32_t levels[] = {10, 25, 50, 75, 95};
    static const char *const parts[] = {"alone", "competing", "quota", "quota"};
    uint32_t all = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (all > CORES_MAX)
        all = CORES_MAX;
    (void)printf(
        "\n## cpu.stress\n\nOver %llu s each, the median of %u. The stressors' CPU clocks, and the usage of "
        "a "
        "control group, in per cent of each core's time; the promise is 1 percentage point. The control "
        "group "
        "has the highest weight there is, so that the machine's other work does not show; the busy processes "
        "compete on equal terms.\n\n| asked | cores | surroundings | CPU clock | control group | error | "
        "kept |\n"
        "|---|---|---|---|---|---|---|\n",
        (unsigned long long)(window_ns / SQ_NS_PER_SECOND), windows);
    for (int surroundings = ALONE; surroundings <= QUOTA_ABOVE; surroundings++) {
        if (!is_wanted(parts[surroundings]))
            continue;
        for (uint32_t cores = 1;; cores = all) {
            for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
                cpu_row(levels[i], cores, (enum surroundings)surroundings);
            if (cores == all)
                break;
        }
    }
    if (is_wanted(parts[QUOTA_BELOW]))
        cpu_row(80, 1, QUOTA_BELOW);
}

/* "Pss:  123 kB" of smaps_rollup, "VmPTE:" of status. */
static uint64_t read_field(pid_t pid, const char *file, const char *field)
{
    char path[64];
    char content[8192];
    char key[32];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    (void)snprintf(key, sizeof key, "\n%s:", field);
    if (sq_file_read_into(path, content, sizeof content) < 0)
        return 0;
    const char *found = strstr(content, key);
    return found == NULL ? 0 : (uint64_t)strtoull(found + strlen(key), NULL, 10) * 1024;
}

struct held {
    uint64_t pss_bytes;
    uint64_t tables_bytes;
    double taken_ms;
    double given_back_ms;
};

static struct held hold(const char *size, uint64_t bytes)
{
    struct driver driver;
    struct held held;
    char settings[64];
    struct sq_error error;
    (void)snprintf(settings, sizeof settings, "bytes=%s", size);
    driver_prepare(&driver, "memory.stress", settings);
    uint64_t start_ns = sq_boot_ns();
    driver_inject(&driver, 600 * SQ_NS_PER_SECOND);
    while (driver_counter(&driver, "held-bytes") < bytes)
        driver_sleep_ns(SQ_NS_PER_MILLISECOND / 4);
    held.taken_ms = (double)(sq_boot_ns() - start_ns) / (double)SQ_NS_PER_MILLISECOND;
    held.pss_bytes = 0;
    held.tables_bytes = 0;
    for (uint32_t i = 0; i < driver_count(&driver); i++) {
        held.pss_bytes += read_field(driver_pid(&driver, i), "smaps_rollup", "Pss");
        held.tables_bytes += read_field(driver_pid(&driver, i), "status", "VmPTE");
    }
    start_ns = sq_boot_ns();
    if (driver.ops->clean(driver.state, &driver.undo, &error) != 0)
        driver_die("%s", error.text);
    while (driver.ops->settle(driver.state, &driver.undo) > sq_boot_ns())
        driver_sleep_ns(SQ_NS_PER_MILLISECOND / 4);
    if (driver.ops->remove(driver.state, &driver.undo, &driver.report, &error) != 0)
        driver_die("%s", error.text);
    held.given_back_ms = (double)(sq_boot_ns() - start_ns) / (double)SQ_NS_PER_MILLISECOND;
    driver.ops->release(driver.state);
    free(driver.state);
    return held;
}

static void memory_row(const char *size)
{
    struct held runs[WINDOWS_MAX];
    double values[WINDOWS_MAX];
    struct held median;
    uint64_t bytes = 0;
    (void)sq_size_parse(size, &bytes, NULL);
    for (uint32_t i = 0; i < windows; i++)
        runs[i] = hold(size, bytes);
    for (uint32_t i = 0; i < windows; i++)
        values[i] = (double)runs[i].pss_bytes;
    median.pss_bytes = (uint64_t)driver_median(values, windows);
    for (uint32_t i = 0; i < windows; i++)
        values[i] = runs[i].taken_ms;
    median.taken_ms = driver_median(values, windows);
    for (uint32_t i = 0; i < windows; i++)
        values[i] = runs[i].given_back_ms;
    median.given_back_ms = driver_median(values, windows);
    double off = (double)median.pss_bytes - (double)bytes;
    double tolerated = (double)bytes / 200 > (double)MIB ? (double)bytes / 200 : (double)MIB;
    (void)printf("| %s | %.3f MiB | %+.3f MiB | %.0f KiB | %.0f ms | %.1f ms | %s |\n", size,
                 (double)median.pss_bytes / (double)MIB, off / (double)MIB,
                 (double)runs[0].tables_bytes / 1024, median.taken_ms, median.given_back_ms,
                 verdict(fabs(off) <= tolerated && median.given_back_ms <= GIVEN_BACK_MS));
    (void)fflush(stdout);
}

static void measure_memory(void)
{
    static const char *const sizes[] = {"16MiB", "256MiB", "1GiB", "4GiB"};
    (void)printf(
        "\n## memory.stress\n\nThe proportional set size of the stressors, their page tables apart; the time "
        "from "
        "the request to inject until all is resident, and from the request to revert until the process is "
        "gone; the median of %u. The promises are 1 MiB or 0.5 %%, and 100 ms.\n\n| asked | PSS | error | "
        "page tables | taken in | given back in | kept |\n|---|---|---|---|---|---|---|\n",
        windows);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        memory_row(sizes[i]);
}

int main(int argc, char **argv)
{
    bool is_strict = false;
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--strict") == 0)
            is_strict = true;
        else if (strcmp(argv[i], "--seconds") == 0 && has_value)
            window_ns = strtoull(argv[++i], NULL, 10) * SQ_NS_PER_SECOND;
        else if (strcmp(argv[i], "--windows") == 0 && has_value)
            windows = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0 && has_value)
            only = argv[++i];
        else
            driver_die("usage: measure_stress [--seconds N] [--windows N] [--strict] [--only PART]");
    }
    if (geteuid() != 0 || window_ns == 0 || windows == 0 || windows > WINDOWS_MAX)
        driver_die("measure_stress needs root, windows of at least a second, and 1 to %d of them",
                   WINDOWS_MAX);
    (void)printf(
        "# Stress: asked against measured\n\nMade by tests/measure/measure_stress. Measured from outside the "
        "agent, on ");
    driver_describe_machine(stdout);
    if (is_wanted("memory"))
        measure_memory();
    if (strcmp(only, "memory") != 0)
        measure_cpu();
    return is_strict && out_of_bounds > 0 ? 1 : 0;
}
