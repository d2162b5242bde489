/*
 * What the measurements and the figures of the stress kinds have in common: a fault taken through its life as
 * the injector does it, a yardstick that knows nothing of it (a control group's CPU usage), a load to compete
 * with, and a CPU quota. Whatever fails ends the program with a message.
 */
#ifndef SQ_TESTS_MEASURE_STRESS_DRIVER_H
#define SQ_TESTS_MEASURE_STRESS_DRIVER_H

#include "faults/fault.h"
#include "faults/stress.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct driver {
    const struct sq_fault_ops *ops;
    struct sq_fault_order order;
    struct sq_fault_env env;
    struct sq_protection protection;
    struct sq_undo undo;
    struct sq_fault_report report;
    void *state;
};

_Noreturn void driver_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Preview and prepare. `settings` is "key=value key=value". */
void driver_prepare(struct driver *driver, const char *kind, const char *settings);
void driver_inject(struct driver *driver, uint64_t for_ns);
void driver_end(struct driver *driver); /* clean, remove, release */
uint32_t driver_count(const struct driver *driver);
pid_t driver_pid(const struct driver *driver, uint32_t i);

uint64_t driver_cpu_ns(pid_t pid); /* its CPU clock */
void driver_sleep_ns(uint64_t ns);
uint64_t driver_counter(struct driver *driver, const char *name);

/*
 * A control group of its own, v1 or v2; empty members: this machine has none. It has the highest weight there
 * is, so that the machine's other work does not blur what is measured: a test machine is seldom idle.
 */
struct driver_group {
    char usage[128]; /* the file that tells the CPU usage */
    char members[2][128];
    char quota[128];
    char directories[2][128];
    int is_v2;
};
void driver_group_make(struct driver_group *group, const char *name);
void driver_group_add(const struct driver_group *group, pid_t pid);
uint64_t driver_group_usage_ns(const struct driver_group *group);
int driver_group_set_quota(const struct driver_group *group,
                           double cores); /* 0: none. -1: not possible here */
void driver_group_remove(struct driver_group *group);

/*
 * Processes that do nothing but compute, one bound to each of the first `cores` cores. With v1 they have the
 * weight of the group's members, and are not counted in its usage; with v2 they stay outside, with less
 * weight.
 */
void driver_compete(const struct driver_group *group, uint32_t cores, pid_t *pids);
void driver_stop_competing(uint32_t cores, const pid_t *pids);

/* "Intel ..., 2 cores, 23.5GiB, Linux 6.18, load 1.2" as a Markdown paragraph. */
void driver_describe_machine(FILE *stream);

double driver_median(double *values, uint32_t count);

#endif
