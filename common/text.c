#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool sq_text_copy(char *target, size_t size, const char *source)
{
    if (size == 0)
        return false;
    size_t length = strnlen(source, size);
    bool whole = length < size;
    if (!whole)
        length = size - 1;
    memcpy(target, source, length);
    target[length] = '\0';
    return whole;
}

void sq_text_copy_path(char *target, size_t size, const char *source)
{
    size_t length = strlen(source);
    if (length < size || size < 4) {
        (void)sq_text_copy(target, size, source);
        return;
    }
    memcpy(target, "...", 3);
    memcpy(target + 3, source + length - (size - 4), size - 3);
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

static bool reserve(struct sq_string *string, size_t more)
{
    if (string->length + more < string->capacity)
        return true;
    size_t capacity = (string->length + more + 1) * 2;
    char *text = realloc(string->text, capacity);
    if (text == NULL)
        return false;
    string->text = text;
    string->capacity = capacity;
    return true;
}

char *sq_text_print(const char *format, va_list arguments)
{
    char *text = NULL;
    return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

void sq_string_add(struct sq_string *string, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (string->failed || length < 0 || !reserve(string, (size_t)length)) {
        string->failed = true;
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(string->text + string->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    string->length += (size_t)length;
}

const char *sq_string_text(const struct sq_string *string)
{
    return string->text == NULL ? "" : string->text;
}

void sq_string_free(struct sq_string *string)
{
    free(string->text);
    *string = (struct sq_string){0};
}

/*
 * The length of the UTF-8 character at `text` (RFC 3629: the shortest form, no surrogates, up to U+10FFFF),
 * or 0 if it is none or a control character, those of the C1 set included.
 */
static size_t printable_length(const unsigned char *text)
{
    if (text[0] < 0x80)
        return text[0] >= 0x20 && text[0] != 0x7f ? 1 : 0;
    size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* The second byte decides what the first leaves open. */
    if ((text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0) ||
        (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90) ||
        (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

void sq_text_make_printable(char *text)
{
    unsigned char *c = (unsigned char *)text;
    while (*c != '\0') {
        size_t length = printable_length(c);
        if (length == 0)
            *c = '?';
        c += length == 0 ? 1 : length;
    }
}

bool sq_text_is_printable(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c != '\0') {
        size_t length = printable_length(c);
        if (length == 0)
            return false;
        c += length;
    }
    return true;
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
