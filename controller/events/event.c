#include "events/event.h"

const char *sq_run_phase_name(enum sq_run_phase phase)
{
    static const char *const names[] = {
        "asking the agents",      "preparing", "verifying the steady state", "faults are in", "rolling back",
        "verifying the recovery", "done"};
    return names[phase];
}

const char *sq_run_phase_word(enum sq_run_phase phase)
{
    static const char *const words[] = {"hello", "prepare", "steady", "watch", "revert", "recover", "done"};
    return words[phase];
}
