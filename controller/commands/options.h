/*
 * The command line of squall: each verb has a table of the options that it takes, in its own file; those that
 * several verbs share stand here. Read with getopt_long. Pure but for the environment.
 */
#ifndef SQ_COMMANDS_OPTIONS_H
#define SQ_COMMANDS_OPTIONS_H

#include "commands/command.h"

#include <stdbool.h>
#include <stddef.h>

#define SQ_HOSTS_DEFAULT "/etc/squall/hosts.yaml"

/* In two verbs' tables one name has one letter, and takes a value in both or in neither. */
struct sq_option {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* "FILE"; NULL: takes none */
    const char *help;
    size_t place; /* offsetof in struct sq_options: of a bool, or of a const char * where it takes a value */
    /* Instead of `place`, where a value has a form. `value` is borrowed from argv. */
    int (*read)(struct sq_options *options, const char *value, struct sq_error *error);
};

extern const struct sq_option sq_option_hosts;
extern const struct sq_option sq_option_hosts_alone; /* the same, of which SQUALL_HOSTS takes no place */
extern const struct sq_option sq_option_local;
extern const struct sq_option sq_option_set;
extern const struct sq_option sq_option_json;
extern const struct sq_option sq_option_runs;

/* What every verb takes: --color, --help, --version. Ends with NULL. */
extern const struct sq_option *const sq_common_options[];

/* Every option of every verb once, then the common ones: allocated, ends with NULL; NULL when out of memory.
 */
const struct sq_option **sq_option_list(const struct sq_command *const *commands, size_t command_count);

struct sq_command_line {
    const struct sq_command *command; /* NULL: none was named, or the verb is `help` */
    bool help;                        /* --help, or `help` (its operands are the topics) */
    bool version;
    struct sq_options options; /* operands are borrowed from argv */
};

/*
 * Refuses unknown verbs and options with the nearest known one, options that the verb does not take,
 * abbreviations, values that are wrong and too few or too many operands. argv is reordered: operands move to
 * the front.
 */
int sq_command_line_parse(int argc, char **argv, const struct sq_command *const *commands,
                          size_t command_count, struct sq_command_line *line, struct sq_error *error);

#endif
