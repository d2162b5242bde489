/* libraries: sq_bench */
/*
 * From start to exit, and the peak of resident memory, of several commands taken in turn.
 *
 *   measure_launch ROUNDS SERIES COMMAND [ARGUMENT...] [-- SERIES COMMAND [ARGUMENT...]]...
 *
 * Samples: SERIES.ms and SERIES.mib. Every command has to succeed; what it prints is thrown away.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMANDS_MAX 8
#define SERIES_MAX   64

struct command {
    const char *series;
    char **arguments; /* ends with NULL */
};

static unsigned read_commands(int argc, char **argv, struct command commands[COMMANDS_MAX])
{
    unsigned count = 0;
    for (int i = 2; i < argc; i++) {
        if (count == COMMANDS_MAX || argv[i + 1] == NULL)
            bench_die("a series has no command, or there are more than %d", COMMANDS_MAX);
        commands[count++] = (struct command){.series = argv[i], .arguments = &argv[i + 1]};
        while (i < argc && strcmp(argv[i], "--") != 0)
            i++;
        argv[i] = NULL;
    }
    return count;
}

static _Noreturn void become(const struct command *command)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    (void)execvp(command->arguments[0], command->arguments);
    _exit(127);
}

static void launch(const struct command *command)
{
    char series[SERIES_MAX];
    struct rusage usage;
    int status = 0;
    uint64_t began_ns = bench_now_ns();
    pid_t pid = vfork();
    if (pid < 0)
        bench_die("vfork: %s", strerror(errno));
    if (pid == 0)
        become(command);
    if (wait4(pid, &status, 0, &usage) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_die("%s ended with status %#x", command->arguments[0], (unsigned)status);
    double took_ms = (double)(bench_now_ns() - began_ns) / BENCH_NS_PER_MS;
    (void)snprintf(series, sizeof series, "%s.ms", command->series);
    bench_sample(series, took_ms);
    (void)snprintf(series, sizeof series, "%s.mib", command->series);
    bench_sample(series, (double)usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    struct command commands[COMMANDS_MAX];
    if (argc < 4)
        bench_die("usage: measure_launch ROUNDS SERIES COMMAND [ARGUMENT...] [-- SERIES COMMAND...]...");
    long rounds = strtol(argv[1], NULL, 10);
    unsigned count = read_commands(argc, argv, commands);
    for (long round = 0; round < rounds; round++)
        for (unsigned i = 0; i < count; i++)
            launch(&commands[i]);
    return 0;
}
