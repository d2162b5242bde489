#include "cpu_load.h"

#include "common/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_LEAST_NS (20 * (int64_t)SQ_NS_PER_MILLISECOND)
#define PERIOD_MOST_NS  (50 * (int64_t)SQ_NS_PER_MILLISECOND) /* twice that must not miss a renewal */
#define BUSY_LEAST_NS   (500 * INT64_C(1000))                 /* shorter turns would be all waking up */
#define CLOSE_ENOUGH_NS (10 * INT64_C(1000))                  /* less is left to the next period */
#define DEBT_MOST_NS    (250 * (int64_t)SQ_NS_PER_MILLISECOND)

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * (int64_t)SQ_NS_PER_SECOND + now.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    /* Marsaglia, "Xorshift RNGs", 2003. */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Reading the time needs no system call; the arithmetic in between keeps the core's units busy. */
static void spin_until(int64_t until_ns, uint64_t *state)
{
    while (clock_ns(CLOCK_MONOTONIC) < until_ns)
        for (int i = 0; i < 200; i++)
            (void)next_random(state);
}

/* Use CPU time until the process's clock shows `target_ns` or the period is over. */
static void use_up(int64_t target_ns, int64_t period_end_ns, uint64_t *state)
{
    for (;;) {
        int64_t left_ns = target_ns - clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        if (left_ns < CLOSE_ENOUGH_NS || now_ns >= period_end_ns)
            return;
        spin_until(now_ns + left_ns < period_end_ns ? now_ns + left_ns : period_end_ns, state);
    }
}

static void sleep_until(int64_t until_ns)
{
    struct timespec time = {.tv_sec = (time_t)(until_ns / (int64_t)SQ_NS_PER_SECOND),
                            .tv_nsec = (long)(until_ns % (int64_t)SQ_NS_PER_SECOND)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static int64_t base_period_ns(double fraction)
{
    double period_ns = (double)BUSY_LEAST_NS / fraction;
    if (period_ns > (double)PERIOD_MOST_NS)
        return PERIOD_MOST_NS;
    return period_ns < (double)PERIOD_LEAST_NS ? PERIOD_LEAST_NS : (int64_t)period_ns;
}

/* When the kernel takes a core away it moves what was bound to it somewhere else, where nobody asked for it.
 */
static void check_core(int core)
{
    if (core >= 0 && sched_getcpu() != core)
        _exit(SQ_STRESSOR_NO_CORE);
}

void sq_cpu_load_run(void *cookie, struct sq_stressor_self *self)
{
    const struct sq_cpu_load *load = cookie;
    int64_t base_ns = base_period_ns(load->fraction);
    uint64_t random = (uint64_t)clock_ns(CLOCK_BOOTTIME) | 1;
    int64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    int64_t used_before_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    int64_t end_ns = start_ns;
    for (;;) {
        sq_stressor_tick(self);
        check_core(load->core);
        end_ns += base_ns + (int64_t)(next_random(&random) % (uint64_t)base_ns);
        int64_t target_ns = used_before_ns + (int64_t)(load->fraction * (double)(end_ns - start_ns));
        use_up(target_ns, end_ns, &random);
        int64_t debt_ns = target_ns - clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        if (debt_ns > DEBT_MOST_NS)
            used_before_ns -= debt_ns - DEBT_MOST_NS;
        if (clock_ns(CLOCK_MONOTONIC) >= end_ns + DEBT_MOST_NS) {
            /* Held back for long, by a quota or a stop: periods that are over cannot be worked off one by
             * one. */
            int64_t behind_ns = clock_ns(CLOCK_MONOTONIC) - end_ns;
            start_ns += behind_ns;
            end_ns += behind_ns;
            continue;
        }
        sleep_until(end_ns);
    }
}
