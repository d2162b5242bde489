/* The table of verbs, in the order in which the help lists them. */
#include "commands/command.h"

const struct sq_command *const sq_commands[] = {
    &sq_command_validate, &sq_command_hosts, &sq_command_plan,   &sq_command_run,
    &sq_command_report,   &sq_command_halt,  &sq_command_status, &sq_command_version,
};
const size_t sq_command_count = sizeof sq_commands / sizeof sq_commands[0];
