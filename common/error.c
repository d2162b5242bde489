#include "error.h"

#include "secret.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

int sq_fail(struct sq_error *error, enum sq_code code, const char *format, ...)
{
    if (error == NULL)
        return -1;
    /* By way of a buffer, so that an argument may point into error->text; a large one, because a secret that
     * is cut is not recognised. */
    char text[4 * SQ_ERROR_TEXT_MAX] = "";
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sq_secret_hide(text, sizeof text);
    (void)sq_text_copy(error->text, sizeof error->text, text);
    error->code = code;
    return -1;
}

int sq_fail_errno(struct sq_error *error, int number, const char *format, ...)
{
    if (error == NULL)
        return -1;
    char what[SQ_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    char reason[128];
    return sq_fail(error, SQ_SYSTEM, "%.*s: %s", SQ_ERROR_TEXT_MAX - 130, what,
                   strerror_r(number, reason, sizeof reason));
}

int sq_fail_in(struct sq_error *error, const char *format, ...)
{
    if (error == NULL)
        return -1;
    char where[SQ_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(where, sizeof where, format, arguments);
    va_end(arguments);
    /* A place is a file's name, up to 255 bytes, with line and column: it is kept whole. */
    return sq_fail(error, error->code, "%.*s: %s", 320, where, error->text);
}

const char *sq_code_name(enum sq_code code)
{
    static const char *const names[] = {
        "ok",       "bad-input", "policy",      "conflict",    "unable",   "nobody",   "limit",
        "unknown",  "stale",     "version-gap", "unreachable", "timeout",  "no-data",  "not-steady",
        "deviated", "aborted",   "unclean",     "system",      "internal", "vanished",
    };
    _Static_assert(sizeof names / sizeof names[0] == SQ_CODE_MAX + 1, "a name for every code");
    if ((unsigned)code > SQ_CODE_MAX)
        return "unknown-code";
    return names[code];
}
