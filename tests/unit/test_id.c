/* libraries: sq_common */
#include "common/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_make_format_parse(void **state)
{
    (void)state;
    struct sq_id a;
    struct sq_id b;
    struct sq_id again;
    char text[SQ_ID_TEXT_MAX];
    assert_int_equal(sq_id_make(&a, NULL), 0);
    assert_int_equal(sq_id_make(&b, NULL), 0);
    assert_false(sq_id_equal(&a, &b));
    assert_false(sq_id_is_zero(&a));
    sq_id_format(&a, text);
    assert_int_equal(strlen(text), 32);
    assert_int_equal(sq_id_parse(text, &again, NULL), 0);
    assert_true(sq_id_equal(&a, &again));
}

static void test_known(void **state)
{
    (void)state;
    struct sq_id id;
    assert_int_equal(sq_id_parse("000102030405060708090a0b0c0d0eff", &id, NULL), 0);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(id.bytes[i], i);
    assert_int_equal(id.bytes[15], 0xff);
    assert_int_equal(sq_id_parse("00000000000000000000000000000000", &id, NULL), 0);
    assert_true(sq_id_is_zero(&id));
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "0",
                                        "000102030405060708090a0b0c0d0ef",
                                        "000102030405060708090a0b0c0d0eff0",
                                        "000102030405060708090A0B0C0D0EFF",
                                        "000102030405060708090a0b0c0d0efg",
                                        " 00102030405060708090a0b0c0d0eff",
                                        "00010203-0405-0607-0809-0a0b0c0d0eff"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sq_id id = {.bytes = {7}};
        struct sq_error error = {0};
        assert_int_equal(sq_id_parse(wrong[i], &id, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_int_equal(id.bytes[0], 7);
    }
}

static void test_boot(void **state)
{
    (void)state;
    struct sq_id a;
    struct sq_id b;
    assert_int_equal(sq_id_of_boot(&a, NULL), 0);
    assert_int_equal(sq_id_of_boot(&b, NULL), 0);
    assert_true(sq_id_equal(&a, &b));
    assert_false(sq_id_is_zero(&a));
}

static void test_hex(void **state)
{
    (void)state;
    char text[7];
    sq_hex_format((const uint8_t[]){0x00, 0x9f, 0xff}, 3, text);
    assert_string_equal(text, "009fff");
    sq_hex_format(NULL, 0, text);
    assert_string_equal(text, "");
}

static void test_secrets(void **state)
{
    (void)state;
    struct sq_id a = {{1, 2, [15] = 3}};
    struct sq_id b = a;
    assert_true(sq_id_equal_secret(&a, &b));
    for (size_t i = 0; i < sizeof a.bytes; i++) {
        b = a;
        b.bytes[i] ^= 0x80;
        assert_false(sq_id_equal_secret(&a, &b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets), cmocka_unit_test(test_make_format_parse),
        cmocka_unit_test(test_known),   cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_boot),    cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
