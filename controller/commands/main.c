/* squall: the controller's command line. */
#include "commands/command.h"
#include "commands/help.h"
#include "commands/options.h"

#include "common/file.h"
#include "common/log.h"
#include "model/ending.h"

#include <stdio.h>

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
        sq_help_print(stdout, sq_commands, sq_command_count);
    for (uint32_t i = 0; line->command == NULL && i < line->options.operand_count && result == 0; i++)
        result =
            sq_help_print_topic(stdout, line->options.operands[i], sq_commands, sq_command_count, &error);
    return finish_help(&line->options, result, &error);
}

int main(int argc, char **argv)
{
    struct sq_error error;
    if (sq_standard_files_open(&error) != 0)
        return SQ_EXIT_FAILED;
    sq_log_open("squall", SQ_LOG_WARNING);
    if (argc < 2) {
        sq_help_print(stderr, sq_commands, sq_command_count);
        return SQ_EXIT_WRONG;
    }
    struct sq_command_line line;
    if (sq_command_line_parse(argc, argv, sq_commands, sq_command_count, &line, &error) != 0)
        return sq_command_fail(&line.options, &error);
    if (line.version)
        return sq_command_version.run(&line.options);
    if (line.help)
        return print_help(&line);
    return line.command->run(&line.options);
}
