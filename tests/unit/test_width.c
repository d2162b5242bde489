/* libraries: sq_screen sq_common */
#include "screen/width.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KANJI     "\xe6\x97\xa5\xe6\x9c\xac"                     /* two characters, four columns */
#define MARKED_E  "e\xcc\x81"                                    /* e and a combining acute */
#define FACE      "\xf0\x9f\x98\x80"                             /* U+1F600 */
#define HEART     "\xe2\x9d\xa4\xef\xb8\x8f"                     /* U+2764, emoji style */
#define ASTRONAUT "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80" /* joined from two */

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(sq_width(""), 0);
    assert_int_equal(sq_width("web1"), 4);
    assert_int_equal(sq_width("f\xc3\xbcr"), 3);
    assert_int_equal(sq_width(KANJI), 4);
    assert_int_equal(sq_width(MARKED_E), 1);
    assert_int_equal(sq_width(FACE), 2);
    assert_int_equal(sq_width(HEART), 2);
    assert_int_equal(sq_width(ASTRONAUT), 4);
    assert_int_equal(sq_width("\033[31mred\033[0m"), 3);
    assert_int_equal(sq_width("\xff"
                              "a\xc3"),
                     3);
}

static void test_fit(void **state)
{
    (void)state;
    assert_int_equal(sq_width_fit("web1", 10), 4);
    assert_int_equal(sq_width_fit("web1", 2), 2);
    assert_int_equal(sq_width_fit("", 2), 0);
    /* Half a wide character is none. */
    assert_int_equal(sq_width_fit(KANJI, 3), 3);
    assert_int_equal(sq_width_fit(KANJI, 1), 0);
    /* A mark goes with its letter. */
    assert_int_equal(sq_width_fit("a" MARKED_E "b", 2), 4);
    assert_int_equal(sq_width_fit("\033[1mab\033[0m", 1), 5);
}

/* Broken into lines of `columns`, joined by '|'. */
static const char *broken(const char *words, uint32_t columns)
{
    static char lines[1000];
    size_t used = 0;
    for (size_t next = 0; *words != '\0'; words += next) {
        size_t length = sq_width_line(words, columns, &next);
        used += (size_t)snprintf(lines + used, sizeof(lines) - used, "%s%.*s", used > 0 ? "|" : "",
                                 (int)length, words);
    }
    return lines;
}

static void test_lines_break_at_words(void **state)
{
    (void)state;
    assert_string_equal(broken("short", 80), "short");
    assert_string_equal(broken("the agent of web2 is asked again", 12), "the agent of|web2 is|asked again");
    assert_string_equal(broken("the agent", 3), "the|age|nt");
    assert_string_equal(broken("a   b", 1), "a|b");
    assert_string_equal(broken(KANJI KANJI, 5), KANJI "|" KANJI);
    /* Narrower than one character: there is an end all the same. */
    assert_string_equal(broken("\xe6\x97\xa5", 1), "\xe6\x97\xa5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_lines_break_at_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
