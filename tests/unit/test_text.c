/* libraries: sq_common */
#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_copy(void **state)
{
    (void)state;
    char text[8];
    assert_true(sq_text_copy(text, sizeof text, "1234567"));
    assert_string_equal(text, "1234567");
    assert_false(sq_text_copy(text, sizeof text, "12345678"));
    assert_string_equal(text, "1234567");
    assert_true(sq_text_copy(text, sizeof text, ""));
    assert_string_equal(text, "");
    assert_false(sq_text_copy(text, 1, "x"));
    assert_string_equal(text, "");
    text[0] = 'k';
    assert_false(sq_text_copy(text, 0, "x"));
    assert_int_equal(text[0], 'k');
}

static void test_append(void **state)
{
    (void)state;
    char text[8] = "ab";
    sq_text_append(text, sizeof text, "%d", 123);
    assert_string_equal(text, "ab123");
    sq_text_append(text, sizeof text, "%s", "4567");
    assert_string_equal(text, "ab12345");
    sq_text_append(text, sizeof text, "%s", "more");
    assert_string_equal(text, "ab12345");
    memset(text, 'x', sizeof text); /* not terminated at all: left alone */
    sq_text_append(text, sizeof text, "more");
    assert_memory_equal(text, "xxxxxxxx", 8);
}

static void expect_printable(const char *text, const char *expected)
{
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%s", text);
    sq_text_make_printable(copy);
    assert_string_equal(copy, expected);
}

static void test_printable(void **state)
{
    (void)state;
    expect_printable("", "");
    expect_printable("plain ~text", "plain ~text");
    expect_printable("a\nb\tc\x1b[31m\x7f\r", "a?b?c?[31m??");
    expect_printable("äöü €😀", "äöü €😀");
    expect_printable("\xc2\x9b"
                     "31m",
                     "??31m"); /* CSI of the C1 set */
    expect_printable("\xc2\xa0x", "\xc2\xa0x");
    expect_printable("\xff\xfe\x80", "???");
    expect_printable("\xc0\xaf", "??"); /* not the shortest form */
    expect_printable("\xe0\x80\xaf", "???");
    expect_printable("\xed\xa0\x80", "???");      /* a surrogate */
    expect_printable("\xf4\x90\x80\x80", "????"); /* beyond U+10FFFF */
    expect_printable("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf");
    expect_printable("cut \xe2\x82", "cut ??");
    expect_printable("cut \xf0\x9f\x98", "cut ???");
    expect_printable("\xe2\x82x", "??x");
}

static void test_terminated(void **state)
{
    (void)state;
    assert_true(sq_text_is_terminated("abc", 4));
    assert_false(sq_text_is_terminated("abc", 3));
    assert_false(sq_text_is_terminated("", 0));
    assert_true(sq_text_is_terminated("", 1));
}

static void test_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "x", true},
        {"network.*", "network.partition", true},
        {"network.*", "network.", true},
        {"network.*", "network", false},
        {"network.*", "networks.x", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"abcd", "abc", false},
        {"a*c", "abc", true},
        {"a*c", "ac", true},
        {"a*c", "abcd", false},
        {"*ab", "aab", true},
        {"*ab", "ababab", true},
        {"a*b*c", "a1b2b3c", true},
        {"a*b*c", "a1c2b", false},
        {"?", "a", false},
        {"?", "?", true},
        {"[a]", "a", false},
        {"a\\*", "a*", false},
        {"*=81*", "x --port=81\n1000", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (sq_text_matches(cases[i].pattern, cases[i].text) != cases[i].matches)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
}

/* A pattern of many stars against a long text must not take exponential time. */
static void test_matches_hostile(void **state)
{
    (void)state;
    char pattern[256];
    for (size_t i = 0; i + 2 < sizeof pattern; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[254] = 'b';
    pattern[255] = '\0';
    static char text[16384];
    memset(text, 'a', sizeof text - 1);
    assert_false(sq_text_matches(pattern, text));
}

static void test_paths(void **state)
{
    (void)state;
    char path[9];
    sq_text_copy_path(path, sizeof path, "12345678");
    assert_string_equal(path, "12345678");
    sq_text_copy_path(path, sizeof path, "123456789");
    assert_string_equal(path, "...56789");
    sq_text_copy_path(path, 4, "123456789");
    assert_string_equal(path, "...");
}

static void test_growing(void **state)
{
    (void)state;
    struct sq_string string = {0};
    assert_string_equal(sq_string_text(&string), "");
    for (int i = 0; i < 1000; i++)
        sq_string_add(&string, "%03d,", i);
    assert_false(string.failed);
    assert_int_equal(string.length, 4000);
    assert_int_equal(strlen(sq_string_text(&string)), 4000);
    assert_memory_equal(string.text + 3996, "999,", 5);
    sq_string_free(&string);
    assert_null(string.text);
    assert_int_equal(string.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growing),   cmocka_unit_test(test_paths),
        cmocka_unit_test(test_copy),      cmocka_unit_test(test_append),
        cmocka_unit_test(test_printable), cmocka_unit_test(test_terminated),
        cmocka_unit_test(test_matches),   cmocka_unit_test(test_matches_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
