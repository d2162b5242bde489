/* libraries: sq_reading sq_table sq_common */
/* The keys with which a service is reached, as an experiment spells them. */
#include "model/access.h"

#include "reading/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_bad_access(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{name: p, http: 'http://a/', bearer: abcdefgh}",
         "e.yaml:4:42: a secret does not stand in this file"},
        {"{name: p, http: 'http://a/', bearer: {file: a, env: B}}",
         "e.yaml:4:42: bearer needs one of 'file'"},
        {"{name: p, http: 'http://a/', bearer: {env: B}, basic: {user: u, password: {env: B}}}",
         "e.yaml:4:5: who asks is said twice"},
        {"{name: p, http: 'http://a/', basic: {user: u}}",
         "e.yaml:4:41: 'password' is missing; expected basic"},
        {"{name: p, http: 'http://a/', basic: {user: 'u:v', password: {env: B}}}",
         "e.yaml:4:48: a user has no ':'"},
        {"{name: p, http: 'http://a/', certificate: a.pem}", "e.yaml:4:5: 'key' is missing"},
        {"{name: p, http: 'http://a/', headers: {'a b': c}}", "e.yaml:4:51: 'a b' is no header"},
        {"{name: p, http: 'http://a/', headers: {a: \"b\\nc\"}}", "e.yaml:4:47: 'a' is no header"},
        {"{name: p, http: 'http://a/', headers: {Connection: close}}",
         "e.yaml:4:56: the header 'Connection' is squall's own"},
        {"{name: p, http: 'http://a/', redirects: 21}", "e.yaml:4:45: 'redirects' is '21'; expected 0 to 20"},
        {"{name: p, promql: up, tolerance: '> 0', redirects: 1}",
         "e.yaml:4:45: unknown key 'redirects' in a promql probe"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        sq_autoexperiment struct sq_experiment *experiment = NULL;
        struct sq_error error = {0};
        (void)snprintf(text, sizeof text, "title: t\nsteady-state-hypothesis:\n  probes:\n  - %s\n",
                       cases[i][0]);
        assert_int_equal(sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        if (strncmp(error.text, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("expected '%s'; got: %s", cases[i][1], error.text);
    }
}

static void test_whole(void **state)
{
    (void)state;
    static const char text[] = "title: t\n"
                               "steady-state-hypothesis:\n"
                               "  probes:\n"
                               "  - name: p\n"
                               "    http: http://a/\n"
                               "    headers: {X-One: 1, Cookie: 'chocolate chips'}\n"
                               "    basic: {user: ali, password: {file: secrets/pw}}\n"
                               "    ca: /etc/ca.pem\n"
                               "    certificate: me.pem\n"
                               "    key: me.key\n"
                               "    redirects: 3\n";
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (sq_experiment_parse("some/where/e.yaml", text, strlen(text), NULL, 0, &experiment, &error) != 0)
        fail_msg("%s", error.text);
    const struct sq_access *access = experiment->hypothesis.probes[0].access;
    assert_int_equal(access->header_count, 2);
    assert_string_equal(access->headers[0], "X-One: 1");
    assert_string_equal(access->user, "ali");
    assert_string_equal(access->password.file, "some/where/secrets/pw");
    assert_string_equal(access->ca, "/etc/ca.pem");
    assert_string_equal(access->certificate, "some/where/me.pem");
    assert_int_equal(access->redirects, 3);
    /* What such a header says is hidden from now on. */
    (void)sq_fail(&error, SQ_SYSTEM, "the server said: no chocolate chips here");
    assert_string_equal(error.text, "the server said: no *** here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_bad_access)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
