/* libraries: sq_commands */
#include "model/experiment.h"
#include "reading/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HYPOTHESIS                                                                                           \
    "steady-state-hypothesis:\n"                                                                             \
    "  probes:\n"                                                                                            \
    "  - {name: p, promql: \"%s\", tolerance: '> 0'}\n"

/* The promql query of an experiment whose query is `query`, after substitution. */
static int parse(const char *parameters, const char *query, const struct sq_setting *settings,
                 size_t setting_count, struct sq_experiment **experiment, struct sq_error *error)
{
    char text[4000];
    (void)snprintf(text, sizeof text, "title: t\nparameters: %s\n" HYPOTHESIS, parameters, query);
    return sq_experiment_parse("p.yaml", text, strlen(text), settings, setting_count, experiment, error);
}

static void test_substitution(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *result;
    } cases[] = {
        {"${a}", "one"},
        {"x${a}y", "xoney"},
        {"${a}${b-2}", "onetwo words"},
        {"$${a}", "${a}"},
        {"$$${a}", "$${a}"},
        {"$a {b} $", "$a {b} $"},
        {"up{job=~'x$'}", "up{job=~'x$'}"},
        {"${c}", "${a}"}, /* values are not substituted again */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sq_autoexperiment struct sq_experiment *experiment = NULL;
        struct sq_error error = {0};
        if (parse("{a: one, b-2: two words, c: '${a}'}", cases[i].query, NULL, 0, &experiment, &error) != 0)
            fail_msg("%s: %s", cases[i].query, error.text);
        assert_string_equal(experiment->hypothesis.probes[0].target, cases[i].result);
    }
}

static void test_alias_is_substituted_once(void **state)
{
    (void)state;
    static const char text[] = "title: &t 'cost $${a} and ${a}'\n"
                               "description: *t\n"
                               "parameters: {a: 5}\n"
                               "steady-state-hypothesis: {probes: [{name: p, http: 'http://a/'}]}\n";
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    assert_int_equal(sq_experiment_parse("p.yaml", text, strlen(text), NULL, 0, &experiment, NULL), 0);
    assert_string_equal(experiment->title, "cost ${a} and 5");
    assert_string_equal(experiment->description, "cost ${a} and 5");
}

static void test_settings(void **state)
{
    (void)state;
    const struct sq_setting settings[] = {{.name = "a", .value = "by hand"}};
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    assert_int_equal(parse("{a: one, b: two}", "${a} ${b}", settings, 1, &experiment, NULL), 0);
    assert_string_equal(experiment->hypothesis.probes[0].target, "by hand two");
    assert_int_equal(experiment->parameter_count, 2);
    assert_string_equal(experiment->parameters[0].value, "by hand");
}

static void expect_refused(const char *parameters, const char *query, const struct sq_setting *settings,
                           size_t count, const char *message)
{
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (parse(parameters, query, settings, count, &experiment, &error) == 0)
        fail_msg("'%s' with %s was accepted", query, parameters);
    assert_null(experiment);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, message) == NULL)
        fail_msg("expected '%s' in: %s", message, error.text);
}

static void test_refused(void **state)
{
    (void)state;
    const struct sq_setting victim = {.name = "victim", .value = "2"};
    expect_refused("{victims: 1}", "x", &victim, 1,
                   "p.yaml: --set names the unknown parameter 'victim'; did you mean "
                   "'victims'?");
    expect_refused("{}", "x", &victim, 1, "the file declares no 'parameters'");
    expect_refused("{victims: 1}", "${victim}", NULL, 0,
                   "p.yaml:5:23: unknown parameter '${victim}'; did you mean 'victims'?");
    expect_refused("{a: 1}", "${zebra}", NULL, 0, "unknown parameter '${zebra}'; the file declares a");
    expect_refused("{a: 1}", "${a", NULL, 0, "p.yaml:5:23: '${a' is no parameter; expected ${name}");
    expect_refused("{a: 1}", "${}", NULL, 0, "is no parameter");
    expect_refused("{a: 1}", "${a b}", NULL, 0, "is no parameter");
    expect_refused("{a b: 1}", "x", NULL, 0, "p.yaml:2:14: 'a b' is no name for a parameter");
    expect_refused("{a: [1]}", "x", NULL, 0,
                   "p.yaml:2:17: a parameter's value is a list; expected a single value");
    expect_refused("[1]", "x", NULL, 0, "p.yaml:2:13: 'parameters' is a list; expected a map");
}

static void test_bounds(void **state)
{
    (void)state;
    char parameters[600];
    char query[3000] = "";
    (void)snprintf(parameters, sizeof parameters, "{a: %0*d}", SQ_PATH_TEXT_MAX - 1, 1);
    for (int i = 0; i < 20; i++)
        strcat(query, "${a}");
    expect_refused(parameters, query, NULL, 0, "too long once its parameters are filled in");
    (void)snprintf(parameters, sizeof parameters, "{a: %0*d}", SQ_PATH_TEXT_MAX, 1);
    expect_refused(parameters, "x", NULL, 0, "a parameter's value is longer than 255 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_substitution), cmocka_unit_test(test_alias_is_substituted_once),
        cmocka_unit_test(test_settings),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
