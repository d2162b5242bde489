/* libraries: sq_common */
#include "common/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_fail(void **state)
{
    (void)state;
    struct sq_error error = {0};
    assert_int_equal(sq_fail(&error, SQ_POLICY, "%s of %d", "part", 3), -1);
    assert_int_equal(error.code, SQ_POLICY);
    assert_string_equal(error.text, "part of 3");
    assert_int_equal(sq_fail(NULL, SQ_POLICY, "%d", 1), -1);
    assert_int_equal(sq_fail_errno(NULL, ENOENT, "%d", 1), -1);
    assert_int_equal(sq_fail_in(NULL, "%d", 1), -1);
}

static void test_errno(void **state)
{
    (void)state;
    struct sq_error error = {0};
    assert_int_equal(sq_fail_errno(&error, ENOENT, "cannot open %s", "/x"), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
    assert_string_equal(error.text, "cannot open /x: No such file or directory");
    (void)sq_fail_errno(&error, 99999, "x");
    assert_string_equal(error.text, "x: Unknown error 99999");
}

static void test_in(void **state)
{
    (void)state;
    struct sq_error error = {0};
    (void)sq_fail(&error, SQ_LIMIT, "what");
    assert_int_equal(sq_fail_in(&error, "%s:%d", "file", 3), -1);
    assert_int_equal(error.code, SQ_LIMIT);
    assert_string_equal(error.text, "file:3: what");
    /* An argument may point into the error itself. */
    (void)sq_fail(&error, SQ_CONFLICT, "again: %s", error.text);
    assert_string_equal(error.text, "again: file:3: what");
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char monster[2000];
    memset(monster, 'x', sizeof monster - 1);
    monster[sizeof monster - 1] = '\0';
    struct sq_error error = {0};
    (void)sq_fail(&error, SQ_LIMIT, "%s", monster);
    assert_int_equal(strlen(error.text), SQ_ERROR_TEXT_MAX - 1);
    (void)sq_fail_in(&error, "here");
    assert_int_equal(strlen(error.text), SQ_ERROR_TEXT_MAX - 1);
    assert_memory_equal(error.text, "here: xxx", 9);
    (void)sq_fail(&error, SQ_LIMIT, "what");
    (void)sq_fail_in(&error, "%s", monster);
    assert_string_equal(error.text + strlen(error.text) - 6, ": what");
    /* The reason stays, whatever comes before it. */
    (void)sq_fail_errno(&error, ENOENT, "%s", monster);
    assert_string_equal(error.text + strlen(error.text) - 27, ": No such file or directory");
}

static void test_code_names(void **state)
{
    (void)state;
    assert_string_equal(sq_code_name(SQ_OK), "ok");
    assert_string_equal(sq_code_name(SQ_NOBODY), "nobody");
    assert_string_equal(sq_code_name(SQ_INTERNAL), "internal");
    assert_string_equal(sq_code_name((enum sq_code)99), "unknown-code");
    for (int a = 0; a <= SQ_CODE_MAX; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(sq_code_name((enum sq_code)a), sq_code_name((enum sq_code)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail),       cmocka_unit_test(test_errno),
        cmocka_unit_test(test_in),         cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_code_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
