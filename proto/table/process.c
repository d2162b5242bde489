/* The parameter tables of the process fault kinds. */
#include "table/params.h"

#include <string.h>

#define KILL(member) offsetof(struct sq_fault_spec, kill.member)

static const struct sq_param kill_params[] = {
    {.key = "executable",
     .type = SQ_PARAM_TEXT,
     .offset = KILL(selector.executable),
     .size = SQ_PATH_TEXT_MAX,
     .help = "processes that run this file, by its absolute path"},
    {.key = "comm",
     .type = SQ_PARAM_TEXT,
     .offset = KILL(selector.comm),
     .size = SQ_COMM_MAX,
     .help = "processes of this name, as `ps -o comm` shows it (15 bytes at most)"},
    {.key = "command-line",
     .type = SQ_PARAM_TEXT,
     .offset = KILL(selector.command_line),
     .size = SQ_PATH_TEXT_MAX,
     .help = "processes whose whole command line matches this pattern; * stands for anything"},
    {.key = "signal",
     .type = SQ_PARAM_SIGNAL,
     .offset = KILL(signal),
     .standard = "KILL",
     .help = "the signal to send, by name; the stopping signals are not allowed"},
    {.key = "count",
     .type = SQ_PARAM_COUNT,
     .offset = KILL(count),
     .least = 1,
     .most = 10000,
     .help = "how many of the matching processes; without count and percent, all of them"},
    {.key = "percent",
     .type = SQ_PARAM_PERCENT,
     .offset = KILL(percent),
     .least = 0.01, /* 0 would read as "not given", which means all of them */
     .most = 100,
     .help = "how many of the matching processes, in per cent; rounded down, and at least one"},
    {.key = "seed",
     .type = SQ_PARAM_SEED,
     .offset = KILL(seed),
     .standard = "0",
     .help = "which of the matching processes: the same seed picks the same ones"},
};

static int check_kill(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error)
{
    const struct sq_process_selector *selector = &spec->kill.selector;
    if (selector->executable[0] == '\0' && selector->comm[0] == '\0' && selector->command_line[0] == '\0')
        return sq_fail(error, SQ_BAD_INPUT,
                       "no process is named; expected 'executable', 'comm' or 'command-line'");
    if (selector->executable[0] != '\0' && selector->executable[0] != '/') {
        *culprit = "executable";
        return sq_fail(error, SQ_BAD_INPUT, "'%.100s' is not an absolute path", selector->executable);
    }
    if (spec->kill.count != 0 && spec->kill.percent > 0) {
        *culprit = "percent";
        return sq_fail(error, SQ_BAD_INPUT, "'count' and 'percent' exclude each other");
    }
    return 0;
}

/* Two kills may meet the same process; which of them hit it would be a matter of luck. */
static bool kills_collide(const struct sq_fault_spec *a, const struct sq_fault_spec *b)
{
    const struct sq_process_selector *x = &a->kill.selector;
    const struct sq_process_selector *y = &b->kill.selector;
    return strcmp(x->executable, y->executable) == 0 && strcmp(x->comm, y->comm) == 0 &&
           strcmp(x->command_line, y->command_line) == 0;
}

const struct sq_fault_info sq_process_kill_info = {
    .kind = SQ_PROCESS_KILL,
    .name = "process.kill",
    .help = "send a signal to processes, and report whether their service comes back",
    .instant = true,
    .resource = SQ_RESOURCE_PROCESSES,
    .params = kill_params,
    .param_count = sizeof kill_params / sizeof kill_params[0],
    .check = check_kill,
    .collides = kills_collide,
};
