#include "output.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool sq_output_is_colored(enum sq_color color, FILE *stream)
{
    if (color != SQ_COLOR_AUTO)
        return color == SQ_COLOR_ALWAYS;
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return (no_color == NULL || no_color[0] == '\0') && terminal != NULL && strcmp(terminal, "dumb") != 0 &&
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

json_t *sq_output_json_text(const char *text)
{
    json_t *value = json_string(text);
    if (value != NULL)
        return value;
    sq_autofree char *plain = strdup(text);
    if (plain == NULL)
        return NULL;
    for (char *c = plain; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return json_string(plain);
}

int sq_output_json(json_t *value)
{
    if (value == NULL)
        return -1;
    int result = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(value);
    if (result != 0 || putchar('\n') == EOF || fflush(stdout) != 0)
        return -1;
    return 0;
}

enum sq_exit sq_exit_of(enum sq_code code)
{
    switch (code) {
    case SQ_OK:
        return SQ_EXIT_COMPLETED;
    case SQ_DEVIATED:
        return SQ_EXIT_DEVIATED;
    case SQ_BAD_INPUT:
        return SQ_EXIT_WRONG;
    case SQ_POLICY:
    case SQ_CONFLICT:
    case SQ_UNABLE:
    case SQ_NOBODY:
    case SQ_LIMIT:
    case SQ_NOT_STEADY:
        return SQ_EXIT_REFUSED;
    case SQ_UNKNOWN:
    case SQ_STALE:
    case SQ_VERSION_GAP:
    case SQ_UNREACHABLE:
    case SQ_TIMEOUT:
    case SQ_NO_DATA:
    case SQ_SYSTEM:
    case SQ_INTERNAL:
    case SQ_VANISHED:
        return SQ_EXIT_FAILED;
    case SQ_ABORTED:
        return SQ_EXIT_ABORTED;
    case SQ_UNCLEAN:
        return SQ_EXIT_UNCLEAN;
    }
    return SQ_EXIT_FAILED;
}

int sq_command_fail(const struct sq_options *options, const struct sq_error *error)
{
    int status = (int)sq_exit_of(error->code);
    /* Messages quote files, agents and arguments, which may hold escape sequences. */
    char text[SQ_ERROR_TEXT_MAX];
    (void)sq_text_copy(text, sizeof text, error->text);
    sq_text_make_printable(text);
    if (options->json) {
        (void)sq_output_json(json_pack("{s:{s:s, s:o}, s:i}", "error", "code", sq_code_name(error->code),
                                       "message", sq_output_json_text(text), "exit", status));
        return status;
    }
    bool colored = sq_output_is_colored(options->color, stderr);
    (void)fprintf(stderr, "%ssquall:%s %s\n", sq_style_begin(colored, SQ_STYLE_BAD), sq_style_end(colored),
                  text);
    return status;
}
