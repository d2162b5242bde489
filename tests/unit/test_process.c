/* libraries: sq_kernel sq_common */
/* What process.c parses: /proc/PID/stat and /proc/PID/cgroup, with whatever a process may put into them. */
#include "kernel/process.h"

#include "common/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define REST " S 7 812 812 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 99124 5000 10 18446744073709551615 1\n"

static bool parse(const char *stat, struct sq_process *process)
{
    return sq_process_parse_stat(stat, strlen(stat), process);
}

static void test_stat(void **state)
{
    (void)state;
    static const struct {
        const char *stat;
        const char *comm;
    } right[] = {
        {"812 (nginx)" REST, "nginx"},
        {"812 ()" REST, ""},
        {"812 (a) R 1 ()" REST, "a) R 1 ("},
        {"812 ())))" REST, ")))"},
        {"812 ( (x) )" REST, " (x) "},
        {"812 (a\\nb\\\\c\\x)" REST, "a\nb\\c\\x"},
        {"812 (ends in \\)" REST, "ends in \\"},
        {"812 (\xff\xfe)" REST, "\xff\xfe"},
        {"812 (kworker/u8:3-events_unbound)" REST, "kworker/u8:3-events_unbound"},
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct sq_process process;
        if (!parse(right[i].stat, &process))
            fail_msg("%s", right[i].stat);
        assert_string_equal(process.comm, right[i].comm);
        assert_int_equal(process.id.pid, 812);
        assert_int_equal(process.parent_pid, 7);
        assert_int_equal(process.id.start_ticks, 99124);
        assert_false(process.is_kernel_thread);
        assert_false(process.is_dead);
        assert_false(process.is_exiting);
    }
}

static void test_states_and_flags(void **state)
{
    (void)state;
    struct sq_process process;
    assert_true(parse("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &process));
    assert_true(process.is_kernel_thread);
    assert_true(parse("9 (x) Z 1 9 9 0 -1 4227084 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &process));
    assert_true(process.is_dead);
    assert_false(process.is_kernel_thread);
    assert_true(process.is_exiting);
    assert_true(parse("9 (x) R 1 9 9 0 -1 4195340 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &process));
    assert_false(process.is_dead);
    assert_true(process.is_exiting);
    assert_true(parse("9 (x) X 1 9 9 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", &process));
    assert_true(process.is_dead);
}

static void test_not_a_stat(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "812",
        "812 (nginx",
        "812 nginx" REST,
        "0 (x)" REST,
        "-5 (x)" REST,
        "99999999999 (x)" REST,
        "x (x)" REST,
        "812 (x)S 7" REST,
        "812 (x) S 7 812\n",
        "812 (x) S x 812 812 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 99124 5000\n",
        "812 (x) S 7 812 812 0 -1 y 100 0 0 0 1 2 0 0 20 0 1 0 99124 5000\n",
        "812 (x) S 7 812 812 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 -1 5000\n",
        "812 (x) S 7 812 812 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 12x 5000\n",
        "812 (x) S 7 812 812 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 99999999999999999999 5000\n",
        "812 (0123456789012345678901234567890123456789012345678901234567890123)" REST,
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sq_process process = {.id = {.pid = 42}};
        if (parse(wrong[i], &process))
            fail_msg("accepted: %s", wrong[i]);
        assert_int_equal(process.id.pid, 42);
    }
    struct sq_process process;
    assert_false(sq_process_parse_stat("812 (x\0)" REST, sizeof("812 (x\0)" REST) - 1, &process));
    static char monster[5000];
    memset(monster, '1', sizeof monster - 1);
    assert_false(parse(monster, &process));
}

static void test_units(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup;
        const char *unit;
        bool is_in;
    } cases[] = {
        {"0::/system.slice/postgresql.service\n", "postgresql.service", true},
        {"0::/system.slice/postgresql.service\n", "postgresql", true},
        {"0::/system.slice/postgresql.service", "postgresql.service", true},
        {"0::/system.slice/postgresql.service/sub/group\n", "postgresql.service", true},
        {"0::/system.slice/postgresql.service\n", "system.slice", true},
        {"0::/system.slice/postgresql.service\n", "postgres.service", false},
        {"0::/system.slice/my-postgresql.service\n", "postgresql.service", false},
        {"0::/system.slice/postgresql.services\n", "postgresql.service", false},
        {"0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql@*.service",
         true},
        {"0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql@15-main", true},
        {"0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql.service",
         false},
        {"0::/system.slice/_cgroup.service\n", "cgroup.service", true},
        {"0::/\n", "postgresql.service", false},
        {"0::/\n", "*", false},
        {"", "x", false},
        {"\n", "x", false},
        {"garbage\nmore:garbage\n::::\n", "x", false},
        {"12:pids:/system.slice/x.service\n1:name=systemd:/system.slice/y.service\n0::/\n", "x.service",
         false},
        {"12:pids:/system.slice/x.service\n1:name=systemd:/system.slice/y.service\n0::/\n", "y.service",
         true},
        {"4:memory:/x.service\n", "x.service", false},
        {"1:name=other:/x.service\n", "x.service", false},
        {"0::/a:b/x.service\n", "x.service", true},
        {"0::/y\n1:cpu:/x.service\n", "x.service", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (sq_cgroup_is_in_unit(cases[i].cgroup, cases[i].unit) != cases[i].is_in)
            fail_msg("%s in %s", cases[i].unit, cases[i].cgroup);
}

static void test_executables(void **state)
{
    (void)state;
    assert_true(sq_process_executable_is("/usr/sbin/sshd", "/usr/sbin/sshd"));
    assert_true(sq_process_executable_is("/usr/sbin/sshd (deleted)", "/usr/sbin/sshd"));
    assert_false(sq_process_executable_is("/usr/sbin/sshd2", "/usr/sbin/sshd"));
    assert_false(sq_process_executable_is("/usr/sbin/ssh", "/usr/sbin/sshd"));
    assert_false(sq_process_executable_is("/usr/sbin/sshd (deleted) x", "/usr/sbin/sshd"));
    assert_false(sq_process_executable_is("", "/x"));
}

static bool find_self(const struct sq_process *process, void *cookie)
{
    bool *found = cookie;
    *found = process->id.pid == getpid();
    return !*found;
}

static void test_this_process(void **state)
{
    (void)state;
    struct sq_process self;
    assert_int_equal(sq_process_read(getpid(), &self), 0);
    assert_int_equal(self.parent_pid, getppid());
    uint64_t start_ns = sq_process_start_boot_ns(&self.id);
    assert_true(start_ns < sq_boot_ns() && sq_boot_ns() - start_ns < 600 * SQ_NS_PER_SECOND);
    bool found = false;
    assert_int_equal(sq_process_each(find_self, &found, NULL), 0);
    assert_true(found);
    int pidfd = sq_process_open(&self.id);
    assert_true(pidfd >= 0);
    assert_int_equal(sq_process_signal(pidfd, 0), 0);
    (void)close(pidfd);
    self.id.start_ticks++;
    assert_int_equal(sq_process_open(&self.id), -1);
    assert_int_equal(errno, ESRCH);
    char command[4096];
    bool cut = true;
    assert_int_equal(sq_process_command(SQ_PROC_PATH, getpid(), command, sizeof command, &cut), 0);
    assert_false(cut);
    assert_non_null(strstr(command, program_invocation_short_name));
    char small[5];
    assert_int_equal(sq_process_command(SQ_PROC_PATH, getpid(), small, sizeof small, &cut), 0);
    assert_true(cut);
    assert_int_equal(strlen(small), 4);
}

static void test_nobody(void **state)
{
    (void)state;
    struct sq_process process;
    struct sq_process_file file;
    char text[64];
    bool cut;
    static const pid_t nobodies[] = {0, -1, 0x7fffffff};
    for (size_t i = 0; i < sizeof nobodies / sizeof nobodies[0]; i++) {
        errno = 0;
        assert_int_equal(sq_process_read(nobodies[i], &process), -1);
        assert_int_equal(errno, ESRCH);
        assert_int_equal(sq_process_executable(SQ_PROC_PATH, nobodies[i], text, sizeof text), -1);
        assert_int_equal(errno, ESRCH);
        assert_int_equal(sq_process_command(SQ_PROC_PATH, nobodies[i], text, sizeof text, &cut), -1);
        assert_int_equal(sq_process_cgroup(SQ_PROC_PATH, nobodies[i], text, sizeof text), -1);
        assert_int_equal(sq_process_file(SQ_PROC_PATH, nobodies[i], &file), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat),        cmocka_unit_test(test_states_and_flags),
        cmocka_unit_test(test_not_a_stat),  cmocka_unit_test(test_units),
        cmocka_unit_test(test_executables), cmocka_unit_test(test_this_process),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
