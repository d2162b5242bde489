/*
 * What the measuring programs share. Each prints its samples, one a line, as "SERIES VALUE"; figures.json
 * says which series make a figure, and report.sh takes the medians.
 */
#ifndef SQ_TESTS_BENCH_BENCH_H
#define SQ_TESTS_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_NS_PER_MS 1000000.0

/* What cannot be measured ends the program with status 1: a figure is never made up. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t bench_now_ns(void); /* CLOCK_MONOTONIC */

void bench_sample(const char *series, double value);

/* Run a shell command, which has to succeed. */
void bench_shell(const char *command);

/* Its exit status, its complaints unheard: for what a kernel may lack. */
int bench_try_shell(const char *command);

void bench_sleep_ms(unsigned milliseconds);

/* Tie the calling thread to the last processor, or to all but the last; with a single one, nothing. */
void bench_use_last_processor(void);
void bench_leave_last_processor(void);

#endif
