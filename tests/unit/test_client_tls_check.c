/* libraries: sq_agents */
/* The controller's TLS files, made by the lab's script, as `squall validate` judges them. */
#include "agents/client_tls_check.h"
#include "common/clock.h"
#include "made_certificates.h"

#include <unistd.h>

#define DAY_NS (86400 * SQ_NS_PER_SECOND)

static struct sq_problems problems;

static int make_all(void **state)
{
    (void)state;
    if (make_directory() != 0)
        return -1;
    make_certificates("controller operator");
    make_certificates("controller other");
    make_certificates("expired-controller old");
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    sq_problems_free(&problems);
    return remove_directory();
}

/* As an inventory names them, `days` from now. */
static void look(const char *certificate, const char *key, const char *agents, unsigned days)
{
    static const char text[] = "tls:\n  certificate: x\n  key: y\n  agents: z\n";
    static struct sq_inventory inventory;
    sq_autodocument struct sq_document *document = NULL;
    assert_int_equal(sq_document_parse("hosts.yaml", text, strlen(text), &document, NULL), 0);
    (void)snprintf(inventory.tls_certificate, sizeof inventory.tls_certificate, "%s/%s", directory,
                   certificate);
    (void)snprintf(inventory.tls_key, sizeof inventory.tls_key, "%s/%s", directory, key);
    (void)snprintf(inventory.tls_agents, sizeof inventory.tls_agents, "%s/%s", directory, agents);
    sq_problems_free(&problems);
    sq_client_tls_check(&inventory, sq_node_get(sq_document_root(document), "tls"),
                        sq_real_ns() + days * DAY_NS, &problems);
}

static void expect(uint32_t i, bool is_warning, const char *place, const char *part)
{
    if (i >= problems.count)
        fail_msg("only %u problems; expected '%s'", problems.count, part);
    const struct sq_problem *problem = problems.list[i];
    if (problem->is_warning != is_warning || strncmp(problem->error.text, place, strlen(place)) != 0 ||
        strstr(problem->message, part) == NULL)
        fail_msg("expected the %s '%s: ... %s'; got: %s", is_warning ? "warning" : "error", place, part,
                 problem->error.text);
}

static void test_good(void **state)
{
    (void)state;
    look("operator.pem", "operator.key", "agents-ca.pem", 1);
    if (problems.count > 0)
        fail_msg("%s", problems.list[0]->error.text);
}

static void test_they_fit(void **state)
{
    (void)state;
    look("operator.pem", "other.key", "agents-ca.pem", 1);
    assert_int_equal(problems.error_count, 1);
    expect(0, false, "hosts.yaml:2:3: ", "does not belong to the certificate");
    look("operator.key", "operator.key", "agents-ca.pem", 1);
    assert_int_equal(problems.error_count, 1);
    expect(0, false, "hosts.yaml:2:3: ", "operator.key: not a certificate in PEM form");
    look("operator.pem", "operator.pem", "agents-ca.pem", 1);
    expect(0, false, "hosts.yaml:2:3: ", "operator.pem: not a private key");
}

static void test_time(void **state)
{
    (void)state;
    look("old.pem", "old.key", "agents-ca.pem", 1);
    assert_int_equal(problems.error_count, 1);
    expect(0, false, "hosts.yaml:2:16: ", "old.pem ended at 20");
    /* The lab's certificates last 30 days. */
    look("operator.pem", "operator.key", "agents-ca.pem", 20);
    assert_int_equal(problems.error_count, 0);
    assert_int_equal(problems.count, 2);
    expect(0, true, "hosts.yaml:2:16: ", "operator.pem ends at 20");
    expect(1, true, "hosts.yaml:4:11: ", "agents-ca.pem ends at 20");
    look("operator.pem", "operator.key", "agents-ca.pem", 40);
    assert_int_equal(problems.error_count, 2);
    expect(0, false, "hosts.yaml:2:16: ", "operator.pem ended at 20");
    expect(1, false, "hosts.yaml:4:11: ", "agents-ca.pem ended at 20");
}

static void test_no_tls(void **state)
{
    (void)state;
    static struct sq_inventory inventory;
    struct sq_node none = {0};
    sq_problems_free(&problems);
    sq_client_tls_check(&inventory, none, sq_real_ns(), &problems);
    assert_int_equal(problems.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_they_fit),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_no_tls),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
