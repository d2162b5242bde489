#include "screen/style.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool sq_style_terminal_is_capable(void)
{
    const char *terminal = getenv("TERM");
    return terminal != NULL && terminal[0] != '\0' && strcmp(terminal, "dumb") != 0;
}

bool sq_style_is_wanted(enum sq_color color, FILE *stream)
{
    if (color != SQ_COLOR_AUTO)
        return color == SQ_COLOR_ALWAYS;
    const char *no_color = getenv("NO_COLOR");
    return (no_color == NULL || no_color[0] == '\0') && sq_style_terminal_is_capable() &&
           isatty(fileno(stream)) == 1;
}

const char *sq_style_begin(bool colored, enum sq_style style)
{
    /* Select Graphic Rendition, ECMA-48 section 8.3.117. */
    static const char *const sequences[] = {"\033[32m", "\033[31m", "\033[33m", "\033[1m", "\033[2m"};
    return colored ? sequences[style] : "";
}

const char *sq_style_end(bool colored)
{
    return colored ? "\033[0m" : "";
}
