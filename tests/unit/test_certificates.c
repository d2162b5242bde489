/* libraries: sq_certificates sq_common */
/* The agent's TLS files, made by the lab's script, and everything that may be wrong with them. */
#include "certificates/certificates.h"
#include "common/clock.h"
#include "made_certificates.h"

#include <sys/stat.h>
#include <unistd.h>

static char paths[3][128];
static struct sq_certificate_facts facts;
static struct sq_error error;

static int make_all(void **state)
{
    (void)state;
    if (make_directory() != 0)
        return -1;
    make_certificates("agent web1 127.0.0.1");
    make_certificates("agent web2 127.0.0.1");
    make_certificates("expired-agent old 127.0.0.1");
    make_certificates("controller operator");
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    return remove_directory();
}

static struct sq_certificate_files files_of(const char *certificate, const char *key, const char *controllers)
{
    const char *const names[3] = {certificate, key, controllers};
    for (int i = 0; i < 3; i++)
        (void)snprintf(paths[i], sizeof paths[i], "%s/%s", directory, names[i]);
    return (struct sq_certificate_files){.certificate = paths[0], .key = paths[1], .controllers = paths[2]};
}

static void expect_wrong(struct sq_certificate_files files, const char *part)
{
    assert_int_equal(sq_certificates_check(&files, &facts, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
}

static void test_good(void **state)
{
    (void)state;
    struct sq_certificate_files files = files_of("web1.pem", "web1.key", "controllers-ca.pem");
    if (sq_certificates_check(&files, &facts, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(facts.ends_real_ns > sq_real_ns());
    assert_true(facts.ends_real_ns < sq_real_ns() + 40 * 24 * 3600 * SQ_NS_PER_SECOND);
    assert_int_equal(sq_certificates_check_time(&files, sq_real_ns(), &error), 0);
}

static void test_times(void **state)
{
    (void)state;
    struct sq_certificate_files files = files_of("web1.pem", "web1.key", "controllers-ca.pem");
    assert_int_equal(sq_certificates_check_time(&files, facts.ends_real_ns + SQ_NS_PER_SECOND, &error), -1);
    assert_non_null(strstr(error.text, "ended at"));
    assert_int_equal(sq_certificates_check_time(&files, SQ_NS_PER_SECOND, &error), -1);
    assert_non_null(strstr(error.text, "clock"));
    files = files_of("old.pem", "old.key", "controllers-ca.pem");
    assert_int_equal(sq_certificates_check(&files, &facts, &error), 0);
    assert_int_equal(sq_certificates_check_time(&files, sq_real_ns(), &error), -1);
    assert_non_null(strstr(error.text, "old.pem ended at"));
}

static void test_wrong(void **state)
{
    char path[256];
    (void)state;
    expect_wrong(files_of("web1.pem", "web2.key", "controllers-ca.pem"), "does not fit");
    expect_wrong(files_of("web1.pem", "web1.pem", "controllers-ca.pem"), "expected a private key");
    expect_wrong(files_of("web1.key", "web1.key", "controllers-ca.pem"), "expected this host's certificate");
    expect_wrong(files_of("web1.pem", "web1.key", "web1.key"), "authorities that sign controllers");
    expect_wrong(files_of("web1.pem", "web1.key", "operator.pem"), "is no authority");
    expect_wrong(files_of("web1.pem", "web1.key", "none.pem"), "No such file");
    expect_wrong(files_of("web1.pem", "web1.key", "agents-ca.pem"), "both roles");
    struct sq_certificate_files files = files_of("web1.pem", "web1.key", "controllers-ca.pem");
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%.120s", paths[i]);
        assert_int_equal(chmod(path, 0602), 0);
        expect_wrong(files, "written by everybody");
        assert_int_equal(chmod(path, 0600), 0);
    }
    /* Two authorities, one of which signed the host. */
    (void)snprintf(path, sizeof path, "cat %s/*s-ca.pem >%s/two.pem", directory, directory);
    assert_int_equal(system(path), 0); /* NOLINT(cert-env33-c): paths of our own */
    expect_wrong(files_of("web1.pem", "web1.key", "two.pem"), "both roles");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
