/* What every verb prints with beside plain text (sq_command_fail is in command.h). */
#ifndef SQ_COMMANDS_OUTPUT_H
#define SQ_COMMANDS_OUTPUT_H

#include "commands/command.h"

#include <jansson.h>

/*
 * The end of a verb with --json: one object (docs/json.md) and a newline on standard output. Takes over
 * `value` and puts "exit_status" into it, and "error" where there is one (NULL: none). Returns the exit
 * status: `status`, but SQ_EXIT_FAILED in the place of 0 where the object could not be made (`value` is NULL)
 * or not be written.
 */
int sq_output_json(json_t *value, int status, const struct sq_error *error);

/* The same for a verb that printed text: all of it has to be out. */
int sq_output_text(int status);

/* {"code", "message"}, and "file", "line", "column" as far as the message begins with a place. */
json_t *sq_output_problem(enum sq_code code, const char *message);

#endif
