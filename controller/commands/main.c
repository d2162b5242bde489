/* squall: the controller's command line. */
#include "commands/command.h"
#include "commands/help.h"
#include "commands/options.h"

#include "commands/output.h"
#include "common/file.h"
#include "common/log.h"
#include "model/ending.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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
    return result != 0 ? sq_command_fail(&line->options, &error) : SQ_EXIT_COMPLETED;
}

/* The command line, done: an exit status. */
static int do_command(int argc, char **argv)
{
    struct sq_error error;
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

int main(int argc, char **argv)
{
    struct sq_error error;
    /* A reader that goes away is a failure to write, told by the exit status. */
    (void)signal(SIGPIPE, SIG_IGN);
    bool was_closed = fcntl(STDOUT_FILENO, F_GETFD) < 0;
    if (sq_standard_files_open(&error) != 0)
        return SQ_EXIT_FAILED;
    return sq_output_finish(do_command(argc, argv), was_closed);
}
