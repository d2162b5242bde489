#include "model/host_list.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18 /* of a number that fits into 64 bits */
#define TAIL_BYTES 24 /* " and 4294967295 more" */
#define NO_PLACE   SIZE_MAX

static int compare(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t count_digits(const char *text)
{
    size_t count = 0;
    while (isdigit((unsigned char)text[count]))
        count++;
    return count;
}

/* Where the number begins by which `next` is one more than `name`, all else equal; NO_PLACE: it is not. */
static size_t number_that_grows(const char *name, const char *next)
{
    size_t place = 0;
    while (name[place] != '\0' && name[place] == next[place])
        place++;
    while (place > 0 && isdigit((unsigned char)name[place - 1]))
        place--;
    size_t digits = count_digits(name + place);
    size_t next_digits = count_digits(next + place);
    if (digits == 0 || next_digits == 0 || digits > DIGITS_MAX || next_digits > DIGITS_MAX)
        return NO_PLACE;
    /* "08" and "09" are neighbours, "9" and "010" are not. */
    if (digits != next_digits && (name[place] == '0' || next[place] == '0'))
        return NO_PLACE;
    if (strcmp(name + place + digits, next + place + next_digits) != 0)
        return NO_PLACE;
    bool grows = strtoull(next + place, NULL, 10) == strtoull(name + place, NULL, 10) + 1;
    return grows ? place : NO_PLACE;
}

/* How many names from the first on are one range: 1 if there is none worth it. */
static uint32_t range_length(const char *const *names, uint32_t count)
{
    size_t place = count > 1 ? number_that_grows(names[0], names[1]) : NO_PLACE;
    uint32_t length = 1;
    while (place != NO_PLACE && length < count &&
           number_that_grows(names[length - 1], names[length]) == place)
        length++;
    return length >= 3 ? length : 1;
}

static void format_sorted(const char *const *names, uint32_t count, char *text, size_t size)
{
    const char *separator = "";
    for (uint32_t i = 0; i < count;) {
        uint32_t length = range_length(names + i, count - i);
        const char *last = length > 1 ? names[i + length - 1] : "";
        const char *to = length > 1 ? "\xe2\x80\xa6" : "";
        size_t needed = strlen(separator) + strlen(names[i]) + strlen(to) + strlen(last);
        size_t reserved = i + length < count ? TAIL_BYTES : 0;
        if (strlen(text) + needed + reserved >= size) {
            sq_text_append(text, size, "%s%u more", i > 0 ? " and " : "", count - i);
            return;
        }
        sq_text_append(text, size, "%s%s%s%s", separator, names[i], to, last);
        separator = ", ";
        i += length;
    }
}

void sq_host_list_format(const char *const *names, uint32_t count, char *text, size_t size)
{
    text[0] = '\0';
    if (count <= 1) {
        (void)sq_text_copy(text, size, count == 1 ? names[0] : "no host");
        return;
    }
    sq_autofree const char **sorted = calloc(count, sizeof(*sorted));
    sq_text_append(text, size, "%u hosts: ", count);
    if (sorted == NULL) { /* the number is true without the names, too */
        text[strcspn(text, ":")] = '\0';
        return;
    }
    memcpy(sorted, names, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare);
    format_sorted(sorted, count, text, size);
}
