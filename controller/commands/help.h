/* What `squall help` prints, from the tables of verbs, options and fault kinds. */
#ifndef SQ_COMMANDS_HELP_H
#define SQ_COMMANDS_HELP_H

#include "commands/command.h"

#include <stddef.h>
#include <stdio.h>

void sq_help_print(FILE *stream, const struct sq_command *const *commands, size_t command_count);
void sq_help_print_command(FILE *stream, const struct sq_command *command);

/* A verb, a fault kind, or `faults`. -1 and the nearest topic for anything else. */
int sq_help_print_topic(FILE *stream, const char *topic, const struct sq_command *const *commands,
                        size_t command_count, struct sq_error *error);

#endif
