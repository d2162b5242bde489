/* libraries: sq_reading */
/* All that is wrong with a file is told, each at its place. */
#include "reading/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* `text` has exactly these, in the order of its lines. */
static void expect_problems(char *text, const char *const *messages, uint32_t count)
{
    static char name[] = "e.yaml";
    struct sq_input input = {.path = name, .text = text, .length = strlen(text)};
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    sq_autoproblems struct sq_problems problems = {0};
    assert_int_equal(sq_experiment_examine(&input, NULL, 0, &experiment, &problems), -1);
    sq_problems_sort(&problems);
    for (uint32_t i = 0; i < problems.count && i < count; i++)
        if (strstr(problems.list[i]->error.text, messages[i]) == NULL)
            fail_msg("expected '%s' in: %s", messages[i], problems.list[i]->error.text);
    assert_int_equal(problems.count, count);
}

/* All of one step, not its first alone. */
static void test_all_problems_of_a_step(void **state)
{
    (void)state;
    static char text[] = "title: t\n"
                         "method:\n"
                         "- name: a\n"
                         "  fault: network.latency\n"
                         "  targets: {labels: {role: [web]}, cuont: 2, percent: 0%}\n"
                         "  with: {dealy: 3s, jitter: soon}\n"
                         "  duration: 10 minutes\n"
                         "  at: never\n"
                         "  then: stop\n"
                         "limits: {max-hosts: none, alone: perhaps}\n";
    static const char *const messages[] = {":5:28: a label's value is a list",
                                           ":5:36: unknown key 'cuont' in 'targets'",
                                           ":5:55: 'percent' is 0%",
                                           ":6:10: network.latency has no parameter 'dealy'",
                                           ":6:29: ",
                                           ":7:13: ",
                                           ":8:7: ",
                                           ":9:3: unknown key 'then' in a step",
                                           ":10:21: 'max-hosts' is 'none'",
                                           ":10:34: 'alone' is 'perhaps'"};
    expect_problems(text, messages, sizeof messages / sizeof messages[0]);
}

static void test_all_problems_of_a_probe(void **state)
{
    (void)state;
    static char text[] = "title: t\n"
                         "steady-state-hypothesis:\n"
                         "  hold-before: long\n"
                         "  recover: 3s\n"
                         "  probes:\n"
                         "  - http: ftp://a/\n"
                         "    every: 1 s\n"
                         "    tolerance: {status: 2000}\n"
                         "    max-misses: many\n"
                         "    settle: later\n"
                         "  - {name: \"a\\nb\", promql: up, tolerance: about one, evry: 1s}\n";
    static const char *const messages[] = {":3:16: ",
                                           ":4:3: unknown key 'recover'",
                                           ":6:5: 'name' is missing",
                                           ":6:11: 'ftp://a/'",
                                           ":7:12: ",
                                           ":8:25: ",
                                           ":9:17: 'max-misses' is 'many'",
                                           ":10:13: ",
                                           ":11:12: 'name' has a line break",
                                           ":11:43: 'about one' is not a tolerance",
                                           ":11:54: unknown key 'evry'"};
    expect_problems(text, messages, sizeof messages / sizeof messages[0]);
}

/* Found anyhow, told by their places; what has none comes first, and a warning is no error. */
static void test_order(void **state)
{
    (void)state;
    static const char *const texts[] = {"f.yaml:10:1: d", "f.yaml:2:30: c", "f.yaml:2:4: b", "f.yaml: a"};
    sq_autoproblems struct sq_problems problems = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sq_error error;
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s", texts[i]);
        if (i == 3)
            sq_problems_warn(&problems, &error);
        else
            sq_problems_add(&problems, &error);
    }
    sq_problems_sort(&problems);
    assert_int_equal(problems.count, 4);
    assert_int_equal(problems.error_count, 3);
    for (uint32_t i = 0; i < 4; i++)
        assert_string_equal(problems.list[i]->error.text, texts[3 - i]);
    assert_string_equal(problems.list[1]->message, "b");
    assert_int_equal(problems.list[1]->file_length, 6);
    struct sq_error first;
    assert_int_equal(sq_problems_first(&problems, &first), -1);
    assert_string_equal(first.text, "f.yaml:2:4: b");
}

static void test_a_thousand(void **state)
{
    (void)state;
    sq_autoproblems struct sq_problems problems = {0};
    struct sq_error error;
    (void)sq_fail(&error, SQ_BAD_INPUT, "f.yaml:1:1: \033[31mred");
    for (int i = 0; i < SQ_PROBLEMS_MAX + 5; i++)
        sq_problems_add(&problems, &error);
    assert_int_equal(problems.count, SQ_PROBLEMS_MAX);
    assert_int_equal(problems.dropped, 5);
    assert_int_equal(problems.error_count, SQ_PROBLEMS_MAX + 5);
    assert_string_equal(problems.list[0]->message, "?[31mred");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_problems_of_a_step),
        cmocka_unit_test(test_all_problems_of_a_probe),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_a_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
