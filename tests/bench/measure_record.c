/* libraries: sq_bench sq_record Threads::Threads */
/*
 * measure_record DIRECTORY ROUNDS: what the record of an hour with 100 measurements a second costs. Samples,
 * in turn: record.squall.percent and record.write.percent of one core over that hour, record.squall.mib (peak
 * of resident memory so far) and record.length.mib (the file).
 */
#include "bench.h"

#include "common/clock.h"
#include "record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECONDS     3600
#define A_SECOND    100
#define INTERVAL_NS (SQ_NS_PER_SECOND / A_SECOND)

static double cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void sample_peak(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    bench_sample("record.squall.mib", (double)usage.ru_maxrss / 1024);
}

static struct sq_probe probe = {.name = "success rate",
                                .kind = SQ_PROBE_PROMQL,
                                .target = "avg_over_time(probe_success{job=\"shop\"}[10s])",
                                .tolerance = {.kind = SQ_TOLERANCE_AT_LEAST, .low = 0.99},
                                .every_ns = INTERVAL_NS,
                                .abort_after_misses = 3};
static struct sq_experiment experiment = {
    .title = "An hour", .has_hypothesis = true, .hypothesis = {.probe_count = 1, .probes = &probe}};
static const struct sq_plan plan = {.experiment = &experiment};

/* One in ten misses, which takes more words. */
static void tell_measurement(struct sq_observer observer, uint64_t number, uint64_t began_boot_ns)
{
    bool within = number % 10 != 0;
    struct sq_measurement measurement = {
        .started_boot_ns = began_boot_ns + number * INTERVAL_NS,
        .ended_boot_ns = began_boot_ns + number * INTERVAL_NS + 3141592,
        .took_ns = 2718281,
        .measured = true,
        .within = within,
        .has_value = true,
        .value = within ? 0.9987654321 : 0.1 * 3,
    };
    if (!within)
        (void)strcpy(measurement.reason, "0.30000000000000004 where >= 0.99 was expected");
    struct sq_run_event event = {.kind = SQ_EVENT_MEASUREMENT, .boot_ns = measurement.ended_boot_ns};
    event.of.measurement = (struct sq_run_measured){.probe = &probe,
                                                    .measurement = &measurement,
                                                    .phase = SQ_PHASE_WATCH,
                                                    .judged = within ? "evidence" : "miss"};
    observer.see(observer.cookie, &event);
}

static void measure_squall(const char *path)
{
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    struct sq_record_head head = {.began_boot_ns = sq_boot_ns(),
                                  .began_real_ns = sq_real_ns(),
                                  .operator_name = "bench@here",
                                  .plan = &plan};
    double began_s = cpu_s();
    if (sq_record_open(&head, path, &record, &error) != 0)
        bench_die("%s", error.text);
    for (uint64_t i = 0; i < SECONDS * A_SECOND; i++) {
        tell_measurement(sq_record_observer(record), i, head.began_boot_ns);
        if (!sq_record_wait(record, 60 * SQ_NS_PER_SECOND))
            bench_die("%s: the disk hangs", path);
    }
    if (sq_record_finish(record, &error) != 0)
        bench_die("%s: %s", path, error.text);
    bench_sample("record.squall.percent", (cpu_s() - began_s) / SECONDS * 100);
    sq_record_close(record);
    sample_peak();
}

/* The same lines with nothing else done. */
static void measure_write(const char *path, const char *copy)
{
    char line[4096];
    struct stat status;
    FILE *file = fopen(path, "re");
    int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (file == NULL || fd < 0 || fstat(fileno(file), &status) != 0)
        bench_die("%s: %s", copy, strerror(errno));
    bench_sample("record.length.mib", (double)status.st_size / (1u << 20));
    double began_s = cpu_s();
    while (fgets(line, sizeof line, file) != NULL)
        if (write(fd, line, strlen(line)) < 0)
            bench_die("%s: %s", copy, strerror(errno));
    bench_sample("record.write.percent", (cpu_s() - began_s) / SECONDS * 100);
    (void)close(fd);
    (void)fclose(file);
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    char copy[PATH_MAX];
    if (argc != 3)
        bench_die("usage: measure_record DIRECTORY ROUNDS");
    (void)snprintf(path, sizeof path, "%s/run.jsonl", argv[1]);
    (void)snprintf(copy, sizeof copy, "%s/copy.jsonl", argv[1]);
    for (unsigned long rounds = strtoul(argv[2], NULL, 10); rounds > 0; rounds--) {
        measure_squall(path);
        measure_write(path, copy);
        (void)unlink(path);
        (void)unlink(copy);
    }
    return 0;
}
