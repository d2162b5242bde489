/* What every verb prints with beside plain text (sq_command_fail is in command.h). */
#ifndef SQ_COMMANDS_OUTPUT_H
#define SQ_COMMANDS_OUTPUT_H

#include "commands/command.h"
#include "common/problems.h"
#include "reading/input.h"

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

/*
 * Everything that a reader found, on standard error, one a line with nothing in front of the place, so that
 * editors and CI find it: "file:line:column: what", warnings as "file:line:column: warning: what".
 */
void sq_output_problems(const struct sq_options *options, const struct sq_problems *problems);

/* Read the experiment that a verb was given; what it only warns of is printed. */
int sq_command_read_experiment(const struct sq_options *options, const struct sq_input *input,
                               struct sq_experiment **experiment, struct sq_error *error);

/*
 * The last thing that a verb does: what it printed must have arrived. Returns `status`, or 4 instead of 0,
 * with a message on standard error, when standard output could not be written, or was closed from the start.
 */
int sq_output_finish(int status, bool was_closed);

#endif
