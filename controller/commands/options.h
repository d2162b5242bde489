/* The command line of squall, read against the table of verbs. Pure but for the environment. */
#ifndef SQ_COMMANDS_OPTIONS_H
#define SQ_COMMANDS_OPTIONS_H

#include "commands/command.h"

#include <stdbool.h>
#include <stddef.h>

#define SQ_HOSTS_DEFAULT "/etc/squall/hosts.yaml"

struct sq_option_info {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* "FILE"; NULL: takes none */
    const char *help;
    bool everywhere; /* every verb takes it */
};

extern const struct sq_option_info sq_option_table[];
extern const size_t sq_option_table_count;

/* Does the verb take it? By long name or letter in command->options. */
bool sq_command_takes(const struct sq_command *command, const struct sq_option_info *option);

struct sq_command_line {
    const struct sq_command *command; /* NULL: none was named, or the verb is `help` */
    bool help;                        /* --help, or `help` (its operands are the topics) */
    bool version;
    struct sq_options options; /* operands are borrowed from argv */
};

/*
 * Refuses unknown verbs and options with the nearest known one, options that the verb does not take, values
 * that are wrong and too few or too many operands. argv is reordered: operands move to the front.
 */
int sq_command_line_parse(int argc, char **argv, const struct sq_command *const *commands,
                          size_t command_count, struct sq_command_line *line, struct sq_error *error);

#endif
