#include "bench.h"

#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_MAX 4096

void bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "bench: ");
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_sample(const char *series, double value)
{
    (void)printf("%s %.6f\n", series, value);
    (void)fflush(stdout);
}

void bench_shell(const char *command)
{
    int status = system(command);
    if (status != 0)
        bench_die("exit status %d: %s", WEXITSTATUS(status), command);
}

int bench_try_shell(const char *command)
{
    char quiet[COMMAND_MAX];
    int length = snprintf(quiet, sizeof quiet, "{ %s; } >/dev/null 2>&1", command);
    if (length < 0 || (size_t)length >= sizeof quiet)
        bench_die("too long: %s", command);
    int status = system(quiet);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void bench_sleep_ms(unsigned milliseconds)
{
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

static void use_processors(bool last)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 2)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (long i = last ? count - 1 : 0; i < (last ? count : count - 1); i++)
        CPU_SET((size_t)i, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

void bench_use_last_processor(void)
{
    use_processors(true);
}

void bench_leave_last_processor(void)
{
    use_processors(false);
}
