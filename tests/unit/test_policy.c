/* libraries: sq_injector sq_faults sq_table sq_common */
#include "common/clock.h"
#include "injector/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct sq_policy policy;

static int read_text(const char *text, struct sq_error *error)
{
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_parse("policy.yaml", text, strlen(text), &document, error) != 0)
        return -1;
    return sq_policy_read(&policy, document, error);
}

static void expect_error(const char *text, const char *part)
{
    struct sq_error error = {.text = ""};
    if (read_text(text, &error) == 0)
        fail_msg("accepted: %s", text);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, part);
    assert_int_equal(strncmp(error.text, "policy.yaml", 11), 0);
}

static void test_allow(void **state)
{
    struct sq_error error;
    (void)state;
    assert_int_equal(read_text("allow: [network.*]\nmax-duration: 30s\n", &error), 0);
    assert_int_equal(sq_policy_permits_kind(&policy, SQ_NETWORK_PARTITION, &error), 0);
    assert_int_equal(sq_policy_permits_kind(&policy, SQ_PROCESS_KILL, &error), -1);
    assert_int_equal(error.code, SQ_POLICY);
    assert_non_null(strstr(error.text, "process.kill"));

    static struct sq_fault_order order = {.spec.kind = SQ_NETWORK_PARTITION};
    order.duration_ns = 30 * SQ_NS_PER_SECOND;
    assert_int_equal(sq_policy_permits(&policy, &order, &error), 0);
    order.duration_ns++;
    assert_int_equal(sq_policy_permits(&policy, &order, &error), -1);
    assert_int_equal(error.code, SQ_POLICY);
    assert_non_null(strstr(error.text, "30s"));

    assert_int_equal(read_text("allow: ['*']", &error), 0);
    assert_int_equal(sq_policy_permits_kind(&policy, SQ_PROCESS_KILL, &error), 0);
    assert_int_equal(policy.max_duration_ns, SQ_POLICY_MAX_DURATION_DEFAULT_NS);
    assert_int_equal(read_text("allow: []", &error), 0);
    assert_int_equal(sq_policy_permits_kind(&policy, SQ_PROCESS_KILL, &error), -1);
    assert_int_equal(sq_policy_permits_kind(&policy, (enum sq_fault_kind)99, &error), -1);
}

static void test_protect(void **state)
{
    struct sq_error error;
    (void)state;
    assert_int_equal(
        read_text("allow: [process.kill]\n"
                  "protect: {processes: [/usr/sbin/sshd, 'unit:db.service'], interfaces: [bond0],\n"
                  "  peers: [10.0.0.53/32, '2001:db8::/32'], ports: [22, 65535]}\n",
                  &error),
        0);
    const struct sq_protection *protection = &policy.protection;
    assert_int_equal(protection->process_count, 2);
    assert_string_equal(protection->processes[1], "unit:db.service");
    assert_int_equal(protection->interface_count, 1);
    assert_string_equal(protection->interfaces[0], "bond0");
    assert_int_equal(protection->peer_count, 2);
    assert_int_equal(protection->peers[1].family, 6);
    assert_int_equal(protection->port_count, 2);
    assert_int_equal(protection->ports[1], 65535);
}

static void test_memory_floor(void **state)
{
    struct sq_error error;
    (void)state;
    assert_int_equal(read_text("allow: [memory.stress]\n", &error), 0);
    assert_int_equal(policy.protection.memory_floor_bytes, 0);
    assert_int_equal(read_text("allow: [memory.*]\nmemory-floor: 512MiB\nprotect: {ports: [22]}\n", &error),
                     0);
    assert_int_equal(policy.protection.memory_floor_bytes, 512u << 20);
    assert_int_equal(policy.protection.port_count, 1);
    expect_error("allow: []\nmemory-floor: 512", ":2:15: '512' is not a size");
    expect_error("allow: []\nmemory-floor: -1GiB", ":2:15: '-1GiB' is not a size");
    expect_error("allow: []\nmemory-floor: 5%", ":2:15: '5%' is not a size");
    expect_error("allow: []\nmemory-floor: 0B",
                 ":2:15: 'memory-floor' is out of range; expected 1MiB or more");
    expect_error("allow: []\nmemory-floor: [1GiB]", "'memory-floor'");
    expect_error("allow: []\nmemory-flor: 1GiB", "memory-floor");
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("allow: [network.partitoin]", "network.partition");
    expect_error("allow: [disk.*]", "matches no fault");
    expect_error("allow: network.*", "'allow'");
    expect_error("allow: [[a]]", "allow");
    expect_error("max-duration: 5m", "'allow'");
    expect_error("allow: []\nmax-duration: 5", ":2:15: '5' is not a duration");
    expect_error("allow: []\nmax-duration: 48h", "out of range");
    expect_error("allow: []\nmax-durations: 5m", "max-duration");
    expect_error("allow: []\nprotect: {port: [22]}", "ports");
    expect_error("allow: []\nprotect: {ports: [0]}", "no port");
    expect_error("allow: []\nprotect: {ports: [65536]}", "no port");
    expect_error("allow: []\nprotect: {processes: [sshd]}", "absolute path");
    expect_error("allow: []\nprotect: {processes: ['unit:']}", "unit:NAME");
    expect_error("allow: []\nprotect: {interfaces: ["
                 "averyveryverylongnameaveryveryverylongnameaveryveryverylongnameaveryveryverylongname"
                 "averyveryverylongnameaveryveryverylongname12]}",
                 "1 to 127 characters");
    expect_error("allow: []\nprotect: {peers: [10.0.0.1/8]}", "10.0.0.0/8");
    expect_error("allow: []\nprotect: [22]", "protect");
    expect_error("", "empty");
    expect_error("- a", "map");
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Missing and broken files allow nothing, whatever stood in them, and say why. */
static void test_load(void **state)
{
    struct sq_error error;
    char path[64];
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/squall-policy-%d.yaml", (int)getpid());
    sq_policy_load(&policy, path);
    assert_non_null(strstr(policy.problem, "there is no policy file"));
    assert_non_null(strstr(policy.problem, "/usr/share/doc/squall/examples/policy.yaml"));
    for (int kind = 0; kind <= SQ_FAULT_KIND_MAX; kind++)
        assert_int_equal(sq_policy_permits_kind(&policy, (enum sq_fault_kind)kind, &error), -1);

    write_file(path, "allow: ['*']\nmax-duration: forever\n");
    sq_policy_load(&policy, path);
    assert_non_null(strstr(policy.problem, ":2:"));
    for (int kind = 0; kind <= SQ_FAULT_KIND_MAX; kind++)
        assert_int_equal(sq_policy_permits_kind(&policy, (enum sq_fault_kind)kind, &error), -1);
    assert_non_null(strstr(error.text, ":2:"));

    write_file(path, "allow: ['*']\n");
    sq_policy_load(&policy, path);
    assert_string_equal(policy.problem, "");
    assert_int_equal(sq_policy_permits_kind(&policy, SQ_PROCESS_KILL, &error), 0);
    assert_int_equal(unlink(path), 0);
}

/* The file that the messages name must be one that works. */
static void test_packaged_example(void **state)
{
    (void)state;
    sq_policy_load(&policy, SQ_SOURCE_DIR "/packaging/examples/policy.yaml");
    assert_string_equal(policy.problem, "");
    assert_true(policy.allowed[SQ_NETWORK_PARTITION]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allow),        cmocka_unit_test(test_protect),
        cmocka_unit_test(test_memory_floor), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_load),         cmocka_unit_test(test_packaged_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
