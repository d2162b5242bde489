/* libraries: sq_common */
#include "common/cidr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sq_cidr cidr(const char *text)
{
    struct sq_cidr parsed = {0};
    struct sq_error error;
    if (sq_cidr_parse(text, &parsed, &error) != 0)
        fail_msg("'%s': %s", text, error.text);
    assert_true(sq_cidr_is_valid(&parsed));
    return parsed;
}

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *canonical;
    } right[] = {
        {"10.0.0.0/24", "10.0.0.0/24"},
        {"10.0.0.53", "10.0.0.53/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"255.255.255.255/32", "255.255.255.255/32"},
        {"128.0.0.0/1", "128.0.0.0/1"},
        {"10.0.0.2/31", "10.0.0.2/31"},
        {"::/0", "::/0"},
        {"::1", "::1/128"},
        {"2001:db8::/32", "2001:db8::/32"},
        {"2001:DB8:0:0::/64", "2001:db8::/64"},
        {"fe80::/10", "fe80::/10"},
        {"2001:db8::8000:0/97", "2001:db8::8000:0/97"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"},
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        char text[SQ_CIDR_TEXT_MAX];
        struct sq_cidr parsed = cidr(right[i].text);
        sq_cidr_format(&parsed, text);
        assert_string_equal(text, right[i].canonical);
        struct sq_cidr again = cidr(text);
        assert_memory_equal(&parsed, &again, sizeof parsed);
    }
}

static void refuse(const char *text, const char *part)
{
    struct sq_cidr parsed = {.family = 9};
    struct sq_error error = {0};
    if (sq_cidr_parse(text, &parsed, &error) != -1)
        fail_msg("'%s' was accepted", text);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    assert_int_equal(parsed.family, 9);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "",         "/",           "/24", "10.0.0",  "10.0.0.256/8", "web1",  "10.0.0.1.", " 10.0.0.1",
        "1.2.3.4 ", "010.0.0.0/8", ":::", "1::2::3", "fe80::1%eth0", "[::1]", "0x7f.1",    "12345::"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        refuse(malformed[i], "is not an address; expected");
    static const char *const prefixes[] = {
        "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8",
        "10.0.0.0/ 8", "::/129",    "::/x",        "10.0.0.0/99999999999999999999"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        refuse(prefixes[i], "has no valid prefix length");
    refuse("10.0.0.0/33", "/0 to /32");
    refuse("::/129", "/0 to /128");
    refuse("10.0.0.1/8", "did you mean 10.0.0.0/8?");
    refuse("10.0.0.1/31", "did you mean 10.0.0.0/31?");
    refuse("2001:db8::1/64", "did you mean 2001:db8::/64?");
    refuse("255.255.255.255/0", "did you mean 0.0.0.0/0?");
    refuse("::ffff:10.0.0.1", "did you mean 10.0.0.1/32?");
    refuse("::ffff:10.0.0.0/104", "did you mean 10.0.0.0/8?");
    char monster[5000];
    memset(monster, '1', sizeof monster - 1);
    monster[sizeof monster - 1] = '\0';
    refuse(monster, "is not an address");
}

static void test_contains(void **state)
{
    (void)state;
    static const struct {
        const char *outer;
        const char *inner;
        bool contains;
        bool overlaps;
    } cases[] = {
        {"0.0.0.0/0", "10.0.0.1", true, true},
        {"10.0.0.0/8", "10.0.0.0/8", true, true},
        {"10.0.0.0/24", "10.0.0.0/16", false, true},
        {"10.0.0.0/24", "10.0.1.0/24", false, false},
        {"10.0.0.0/25", "10.0.0.128/25", false, false},
        {"10.0.0.0/9", "10.127.255.255", true, true},
        {"10.0.0.0/9", "10.128.0.0", false, false},
        {"::/0", "10.0.0.1", false, false},
        {"0.0.0.0/0", "::1", false, false},
        {"::/0", "ffff::", true, true},
        {"2001:db8::/33", "2001:db8:8000::", false, false},
        {"2001:db8::/33", "2001:db8:7fff::", true, true},
        {"::1", "::1", true, true},
        {"::1", "::2", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sq_cidr outer = cidr(cases[i].outer);
        struct sq_cidr inner = cidr(cases[i].inner);
        assert_int_equal(sq_cidr_contains(&outer, &inner), cases[i].contains);
        assert_int_equal(sq_cidr_overlaps(&outer, &inner), cases[i].overlaps);
        assert_int_equal(sq_cidr_overlaps(&inner, &outer), cases[i].overlaps);
    }
}

static void test_what_came_from_afar(void **state)
{
    (void)state;
    assert_true(sq_cidr_is_valid(&(struct sq_cidr){.family = 4, .prefix = 0}));
    assert_true(sq_cidr_is_valid(&(struct sq_cidr){.family = 6, .prefix = 128, .address = {[15] = 1}}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 0}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 5}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 4, .prefix = 33}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 6, .prefix = 129}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 6, .prefix = 255}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 4, .prefix = 32, .address = {[4] = 1}}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 4, .prefix = 8, .address = {10, 0, 0, 1}}));
    assert_false(sq_cidr_is_valid(&(struct sq_cidr){.family = 6, .prefix = 1, .address = {0x40}}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_contains),
        cmocka_unit_test(test_what_came_from_afar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
