/*
 * Using up a given part of one core's time, exactly: the work of a CPU stressor.
 *
 * Time is cut into periods of 20 to 40 ms. By the end of each, the process wants to have used its share of
 * all the time since it began; it compares its own CPU clock with that and works for the difference. What a
 * period could not give, because others competed or a quota held it back, is carried into the next ones (up
 * to DEBT_MOST_NS), so that the average is right whenever the scheduler allows it. The periods differ at
 * random, so that those who count by ticks, such as /proc/stat, do not see always the same phase of them.
 */
#ifndef SQ_KERNEL_CPU_LOAD_H
#define SQ_KERNEL_CPU_LOAD_H

#include "kernel/stressor.h"

struct sq_cpu_load {
    double fraction; /* above 0 to 1, of the core's time */
    int core;        /* the one that the process is bound to; -1: any */
};

/* A sq_stressor_job's `work`; the cookie is a struct sq_cpu_load. */
void sq_cpu_load_run(void *cookie, struct sq_stressor_self *self);

#endif
