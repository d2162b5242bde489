#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool sq_text_copy(char *target, size_t size, const char *source)
{
    size_t length = strnlen(source, size);
    bool whole = length < size;
    if (!whole)
        length = size - 1;
    memcpy(target, source, length);
    target[length] = '\0';
    return whole;
}

void sq_text_append(char *target, size_t size, const char *format, ...)
{
    size_t used = strnlen(target, size);
    if (used + 1 >= size)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(target + used, size - used, format, arguments);
    va_end(arguments);
}

void sq_text_make_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
}

bool sq_text_is_terminated(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

bool sq_text_matches(const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *resume = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
