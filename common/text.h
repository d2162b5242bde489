/* Small text helpers: bounded ones, and a string that grows. */
#ifndef SQ_COMMON_TEXT_H
#define SQ_COMMON_TEXT_H

#include "common/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Copy `source` into `target` of `size` bytes (1 at least), cut if need be, always terminated. Returns false
 * if it was cut. */
bool sq_text_copy(char *target, size_t size, const char *source);

/* The same for a path, of which the end tells more: what is cut is its beginning, and "..." stands for it.
 * `size` is 4 at least. */
void sq_text_copy_path(char *target, size_t size, const char *source);

/* Append printf-formatted text to a terminated string in `target` of `size` bytes; cuts at the end. */
void sq_text_append(char *target, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* printf-formatted text in memory of its own, which the caller frees; NULL: there is no memory. */
char *sq_text_print(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* Text that grows as it is printed to, so that nothing is cut silently. Empty: all zero. */
struct sq_string {
    char *text; /* NULL while it is empty, or when memory ran out */
    size_t length;
    size_t capacity;
    bool failed; /* memory ran out: nothing is added any more */
};

void sq_string_add(struct sq_string *string, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *sq_string_text(const struct sq_string *string); /* never NULL */
void sq_string_free(struct sq_string *string);

#define sq_autostring sq_auto(sq_string_free)

/*
 * Replace control characters, and bytes that are no UTF-8, by '?', in place: what comes out can neither steer
 * a terminal nor spoil a JSON file.
 */
void sq_text_make_printable(char *text);

/* True if sq_text_make_printable would leave it as it is. */
bool sq_text_is_printable(const char *text);

/* True if `text` is a terminated string within `size` bytes. For structures that came from another process.
 */
bool sq_text_is_terminated(const char *text, size_t size);

/* Shell-style pattern: only '*', for any run of characters ("network.*"). */
bool sq_text_matches(const char *pattern, const char *text);

#endif
