/* What every verb prints with beside plain text (sq_command_fail is in command.h). */
#ifndef SQ_COMMANDS_OUTPUT_H
#define SQ_COMMANDS_OUTPUT_H

#include "commands/command.h"

#include <jansson.h>

/*
 * Print one JSON value and a newline on standard output. Takes over `value`; NULL (out of memory while it was
 * made) and a write error give -1.
 */
int sq_output_json(json_t *value);

#endif
