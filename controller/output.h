/* What every verb prints with: colours, JSON, and the message of a failure (sq_command_fail is in command.h).
 */
#ifndef SQ_CONTROLLER_OUTPUT_H
#define SQ_CONTROLLER_OUTPUT_H

#include "controller/command.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum sq_style { SQ_STYLE_GOOD, SQ_STYLE_BAD, SQ_STYLE_WARNING, SQ_STYLE_STRONG, SQ_STYLE_FAINT };

/*
 * Whether to colour what goes to `stream`: as --color says; `auto` is a terminal other than TERM=dumb, and no
 * NO_COLOR (https://no-color.org) in the environment.
 */
bool sq_output_is_colored(enum sq_color color, FILE *stream);

/* The escape sequences around coloured text; empty when `colored` is false. */
const char *sq_style_begin(bool colored, enum sq_style style);
const char *sq_style_end(bool colored);

/*
 * Print one JSON value and a newline on standard output. Takes over `value`; NULL (out of memory while it was
 * made) and a write error give -1.
 */
int sq_output_json(json_t *value);

/* A JSON string of any bytes: what is not UTF-8 becomes '?'. NULL when out of memory. */
json_t *sq_output_json_text(const char *text);

#endif
