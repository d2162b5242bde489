#include "screen/width.h"

#include "common/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <unigbrk.h>
#include <unilbrk.h>
#include <unistr.h>
#include <uniwidth.h>

#define EMOJI_STYLE                                                                                          \
    0xFE0F /* variation selector 16: the character before is drawn as an emoji, two columns wide */

/* The columns of one character as a person sees it: a base with its marks, or a joined emoji. */
static uint32_t character_columns(const uint8_t *character, size_t length)
{
    uint32_t columns = 0;
    for (size_t i = 0; i < length;) {
        ucs4_t code;
        int bytes = u8_mbtouc(&code, character + i, length - i);
        int width = uc_width(code, "UTF-8");
        if (code == 0xFFFD)
            width = 1;
        if (code == EMOJI_STYLE && columns < 2)
            columns = 2;
        columns += width > 0 ? (uint32_t)width : 0;
        i += bytes > 0 ? (size_t)bytes : 1;
    }
    return columns;
}

/* The next character or colour of a text of `length` bytes: how many bytes, how many columns. */
static size_t next_character(const char *text, size_t length, uint32_t *columns)
{
    const uint8_t *begin = (const uint8_t *)text;
    *columns = 0;
    if (text[0] == '\033') {
        size_t end = strcspn(text, "m");
        return end < length ? end + 1 : length;
    }
    const uint8_t *end = u8_grapheme_next(begin, begin + length);
    size_t bytes = end != NULL && end > begin ? (size_t)(end - begin) : 1;
    *columns = character_columns(begin, bytes);
    return bytes;
}

uint32_t sq_width(const char *text)
{
    uint32_t sum = 0;
    uint32_t columns;
    for (size_t left = strlen(text); left > 0;) {
        size_t bytes = next_character(text, left, &columns);
        sum += columns;
        text += bytes;
        left -= bytes;
    }
    return sum;
}

size_t sq_width_fit(const char *text, uint32_t columns)
{
    size_t length = strlen(text);
    size_t used = 0;
    uint32_t own;
    while (used < length) {
        size_t bytes = next_character(text + used, length - used, &own);
        if (own > columns)
            break;
        columns -= own;
        used += bytes;
    }
    return used;
}

/* The last place up to `end` where a line may end; 0: none. */
static size_t last_break(const char *text, size_t length, size_t end)
{
    sq_autofree char *breaks = malloc(length);
    if (breaks == NULL)
        return 0;
    u8_possible_linebreaks((const uint8_t *)text, length, "UTF-8", breaks);
    for (size_t i = end; i > 0; i--)
        if (breaks[i] == UC_BREAK_POSSIBLE || breaks[i] == UC_BREAK_MANDATORY)
            return i;
    return 0;
}

size_t sq_width_line(const char *text, uint32_t columns, size_t *next)
{
    size_t length = strlen(text);
    size_t fit = sq_width_fit(text, columns);
    size_t spaces = strspn(text + fit, " ");
    *next = fit + spaces;
    if (*next < length && spaces == 0) {
        size_t at = last_break(text, length, fit);
        uint32_t own;
        *next = at > 0 ? at : fit;
        if (*next == 0)
            *next = next_character(text, length, &own);
    }
    size_t end = *next;
    while (end > 0 && text[end - 1] == ' ')
        end--;
    return end;
}
