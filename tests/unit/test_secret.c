/* libraries: sq_json sq_common */
#include "common/secret.h"

#include "common/error.h"
#include "json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_hidden(void **state)
{
    (void)state;
    char text[80] = "one hunter22, another hunter22!";
    struct sq_error error;
    assert_false(sq_secret_is_in(text));
    assert_int_equal(sq_secret_remember("hunter22 and what follows", 8, &error), 0);
    assert_int_equal(sq_secret_remember("hunter22", 8, &error), 0);
    assert_true(sq_secret_is_in(text));
    sq_secret_hide(text);
    assert_string_equal(text, "one ***, another ***!");
    /* Too short to be told from words. */
    assert_int_equal(sq_secret_remember("one", 3, &error), 0);
    sq_secret_hide(text);
    assert_string_equal(text, "one ***, another ***!");
}

static void test_errors_and_json(void **state)
{
    (void)state;
    struct sq_error error;
    assert_int_equal(sq_secret_remember("tell-nobody", 11, &error), 0);
    (void)sq_fail(&error, SQ_BAD_INPUT, "no such user: %s", "tell-nobody");
    assert_string_equal(error.text, "no such user: ***");
    (void)sq_fail_in(&error, "at %s", "tell-nobody");
    assert_string_equal(error.text, "at ***: no such user: ***");
    json_t *value = sq_json_text("it is tell-nobody, \xff");
    assert_string_equal(json_string_value(value), "it is ***, ?");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hidden), cmocka_unit_test(test_errors_and_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
