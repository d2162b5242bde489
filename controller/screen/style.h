/* Colours. */
#ifndef SQ_SCREEN_STYLE_H
#define SQ_SCREEN_STYLE_H

#include <stdbool.h>
#include <stdio.h>

enum sq_color { SQ_COLOR_AUTO, SQ_COLOR_ALWAYS, SQ_COLOR_NEVER };

enum sq_style { SQ_STYLE_GOOD, SQ_STYLE_BAD, SQ_STYLE_WARNING, SQ_STYLE_STRONG, SQ_STYLE_FAINT };

/* Does the terminal, by TERM, know escape sequences at all? No TERM says no, an empty one too. */
bool sq_style_terminal_is_capable(void);

/*
 * Whether to colour what goes to `stream`: as --color says; `auto` is a terminal that is capable, and no
 * NO_COLOR (https://no-color.org) in the environment.
 */
bool sq_style_is_wanted(enum sq_color color, FILE *stream);

/* The escape sequences around coloured text; empty when `colored` is false. */
const char *sq_style_begin(bool colored, enum sq_style style);
const char *sq_style_end(bool colored);

#endif
