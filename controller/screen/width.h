/*
 * How wide a text is on a terminal, and where it may be cut or broken. The text is UTF-8; the widths are
 * Unicode's as libunistring has them, character by character as a person sees them: CJK and emoji take two
 * columns, a combining mark none. Where terminals disagree (emoji that are joined from several) it is the
 * widest that one makes of it, so that no line becomes longer than its room. Colours (ESC [ ... m) take no
 * column; bytes that are no UTF-8 take one each.
 */
#ifndef SQ_SCREEN_WIDTH_H
#define SQ_SCREEN_WIDTH_H

#include <stddef.h>
#include <stdint.h>

uint32_t sq_width(const char *text);

/* Bytes of the longest beginning of `text` that takes at most `columns`, in whole characters with their
 * marks. */
size_t sq_width_fit(const char *text, uint32_t columns);

/*
 * The first line of `text` in `columns`, broken where Unicode allows (UAX 14: at words, not inside a number),
 * and inside a word only if that alone is wider. Returns its bytes without the spaces at its end; at least
 * one character, so that there is an end to it. `*next` is where the next line begins; the text's length:
 * there is none.
 */
size_t sq_width_line(const char *text, uint32_t columns, size_t *next);

#endif
