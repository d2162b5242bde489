/* libraries: sq_kernel sq_common */
/* systemd's units by their files and cgroups, under a root of the test's own. */
#include "kernel/unit.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static void make(const char *directory, const char *file)
{
    struct sq_error error;
    char path[256];
    (void)snprintf(path, sizeof path, "%s%s", root, directory);
    assert_int_equal(sq_directory_make(path, 0755, &error), 0);
    if (file == NULL)
        return;
    (void)snprintf(path, sizeof path, "%s%s/%s", root, directory, file);
    assert_int_equal(sq_file_write(path, "", 0, 0644, &error), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/squall-unit-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    char command[96];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void test_by_file(void **state)
{
    (void)state;
    make("/lib/systemd/system", "postgresql@.service");
    make("/lib/systemd/system", "ssh.service");
    make("/run/systemd/transient", "run-r1.scope");
    struct sq_unit_query queries[] = {
        {"ssh", false},          {"ssh.service", false},    {"postgresql@15-main.service", false},
        {"postgresql@1", false}, {"postgresql@*", false},   {"run-*.scope", false},
        {"sshd", false},         {"postgresql", false},     {"run-r1", false},
        {"ssh.socket", false},   {"mysql@1.service", true},
    };
    sq_units_look(root, queries, sizeof queries / sizeof queries[0]);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        if (queries[i].is_known != (i < 6))
            fail_msg("%s", queries[i].unit);
}

static void test_by_cgroup(void **state)
{
    (void)state;
    make("/sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope", NULL);
    make("/sys/fs/cgroup/system.slice/_odd.service/below", "cgroup.procs");
    struct sq_unit_query queries[] = {
        {"user.slice", false},      {"session-1.scope", false}, {"odd", false},
        {"session-2.scope", false}, {"cgroup.procs", true},
    };
    sq_units_look(root, queries, sizeof queries / sizeof queries[0]);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        if (queries[i].is_known != (i < 3))
            fail_msg("%s", queries[i].unit);
}

static void test_nothing_there(void **state)
{
    (void)state;
    struct sq_unit_query query = {"ssh", true};
    sq_units_look(root, &query, 1);
    assert_false(query.is_known);
    sq_units_look(root, &query, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(test_by_file), TEST(test_by_cgroup), TEST(test_nothing_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
