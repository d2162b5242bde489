/* libraries: sq_common */
#include "common/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const words[] = {"title", "method", "duration", "targets", "to", "network.partition"};

static const char *nearest(const char *word)
{
    return sq_nearest(word, words, sizeof words / sizeof words[0]);
}

static void test_near(void **state)
{
    (void)state;
    assert_string_equal(nearest("metod"), "method");
    assert_string_equal(nearest("mehtod"), "method");
    assert_string_equal(nearest("methodd"), "method");
    assert_string_equal(nearest("method"), "method");
    assert_string_equal(nearest("duratoin"), "duration");
    assert_string_equal(nearest("tragets"), "targets");
    assert_string_equal(nearest("target"), "targets");
    assert_string_equal(nearest("ot"), "to");
    assert_string_equal(nearest("network.partiton"), "network.partition");
    assert_string_equal(nearest("netwrok-partition"), "network.partition");
}

static void test_far(void **state)
{
    (void)state;
    assert_null(nearest("zebra"));
    assert_null(nearest(""));
    assert_null(nearest("xyz"));
    assert_null(nearest("duty"));
    assert_null(sq_nearest("x", NULL, 0));
    char monster[5000];
    memset(monster, 'm', sizeof monster - 1);
    monster[sizeof monster - 1] = '\0';
    assert_null(nearest(monster));
    const char *const monsters[] = {monster};
    assert_null(sq_nearest("m", monsters, 1));
    assert_null(sq_nearest(monster, monsters, 1));
}

static void test_the_first_of_equals(void **state)
{
    (void)state;
    static const char *const equals[] = {"probe1", "probe2"};
    assert_string_equal(sq_nearest("probe", equals, 2), "probe1");
    assert_string_equal(sq_nearest("probe2", equals, 2), "probe2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near),
        cmocka_unit_test(test_far),
        cmocka_unit_test(test_the_first_of_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
