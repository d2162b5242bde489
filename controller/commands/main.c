/* squall: the controller's command line. */
#include "commands/command.h"
#include "commands/help.h"
#include "commands/options.h"

#include "common/file.h"
#include "common/log.h"
#include "model/ending.h"

#include <stdio.h>

static const struct sq_command *const commands[] = {
    &sq_command_validate, &sq_command_hosts, &sq_command_plan,
    &sq_command_run,      &sq_command_halt,  &sq_command_status,
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static int finish_help(const struct sq_options *options, int result, const struct sq_error *error)
{
    if (result != 0)
        return sq_command_fail(options, error);
    return fflush(stdout) == 0 ? SQ_EXIT_COMPLETED : SQ_EXIT_FAILED;
}

static int print_help(const struct sq_command_line *line)
{
    struct sq_error error;
    int result = 0;
    if (line->command != NULL)
        sq_help_print_command(stdout, line->command);
    else if (line->options.operand_count == 0)
        sq_help_print(stdout, commands, COMMANDS);
    for (uint32_t i = 0; line->command == NULL && i < line->options.operand_count && result == 0; i++)
        result = sq_help_print_topic(stdout, line->options.operands[i], commands, COMMANDS, &error);
    return finish_help(&line->options, result, &error);
}

int main(int argc, char **argv)
{
    struct sq_error error;
    if (sq_standard_files_open(&error) != 0)
        return SQ_EXIT_FAILED;
    sq_log_open("squall", SQ_LOG_WARNING);
    if (argc < 2) {
        sq_help_print(stderr, commands, COMMANDS);
        return SQ_EXIT_WRONG;
    }
    struct sq_command_line line;
    if (sq_command_line_parse(argc, argv, commands, COMMANDS, &line, &error) != 0)
        return sq_command_fail(&line.options, &error);
    if (line.version) {
        (void)printf("squall %s\n", SQ_VERSION);
        return fflush(stdout) == 0 ? SQ_EXIT_COMPLETED : SQ_EXIT_FAILED;
    }
    if (line.help)
        return print_help(&line);
    return line.command->run(&line.options);
}
