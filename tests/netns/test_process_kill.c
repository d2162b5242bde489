/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* process.kill: whom it means, and whom it leaves alone. */
#include "common/clock.h"
#include "common/file.h"
#include "common/units.h"
#include "faults/process_select.h"
#include "kill.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_check_says_yes_here(void **state)
{
    struct kill_run *run = *state;
    kill_must(run, kill_ops->able(&run->order, &run->error));
}

static void test_by_executable(void **state)
{
    struct kill_run *run = *state;
    pid_t victim = victim_start_web();
    pid_t bystander = victim_start(VICTIM_OTHER, (const char *const[]){"web", "1000", NULL});
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 1);
    kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(victim));
    kill_assert_line(run, SQ_LINE_TOUCHES, VICTIM_WEB ", since 20");
    assert_true(victim_is_alive(victim));
    kill_must(run, kill_prepare(run));
    assert_true(victim_is_alive(victim));
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_false(victim_is_alive(victim));
    assert_true(victim_is_alive(bystander));
    assert_true(run->report.touched);
    assert_int_equal(kill_counter(run, "killed"), 1);
    assert_int_equal(kill_counter(run, "signalled"), 1);
    assert_int_equal(kill_counter(run, "matched-before"), 1);
    assert_int_equal(kill_counter(run, "matching-now"), 0);
    kill_assert_line(run, SQ_LINE_NOTE, "killed; has not come back yet");
    kill_must(run, kill_ops->clean(run->state, &run->undo, &run->error));
    kill_must(run, kill_ops->clean(run->state, &run->undo, &run->error));
    kill_must(run, kill_ops->remove(run->state, &run->undo, &run->report, &run->error));
    assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
    assert_int_equal(kill_line_count(run, SQ_LINE_NOTE), 2);
    kill_assert_line(run, SQ_LINE_NOTE, "nothing can undo a signal");
}

static void test_by_comm_and_command_line(void **state)
{
    struct kill_run *run = *state;
    pid_t one = victim_start(VICTIM_OTHER, (const char *const[]){"shop --port=81\nforged", "1000", NULL});
    pid_t two = victim_start(VICTIM_OTHER, (const char *const[]){"shop --port=82", "1000", NULL});
    kill_set(run, "comm", "other");
    kill_set(run, "command-line", "*--port=81*1000");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 1);
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_false(victim_is_alive(one));
    assert_true(victim_is_alive(two));
}

static void test_the_file_may_be_deleted(void **state)
{
    struct kill_run *run = *state;
    assert_int_equal(system("cp /bin/sleep " VICTIM_DIRECTORY "/gone"), 0);
    pid_t victim = victim_start(VICTIM_DIRECTORY "/gone", (const char *const[]){"gone", "1000", NULL});
    assert_int_equal(unlink(VICTIM_DIRECTORY "/gone"), 0);
    kill_set(run, "executable", VICTIM_DIRECTORY "/gone");
    kill_must(run, kill_preview(run));
    kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(victim));
    kill_assert_line(run, SQ_LINE_TOUCHES, "(deleted)");
}

static void test_the_path_may_be_a_link(void **state)
{
    struct kill_run *run = *state;
    pid_t victim = victim_start_web();
    (void)unlink(VICTIM_DIRECTORY "/link");
    assert_int_equal(symlink(VICTIM_WEB, VICTIM_DIRECTORY "/link"), 0);
    kill_set(run, "executable", VICTIM_DIRECTORY "/link");
    kill_must(run, kill_preview(run));
    kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(victim));
    /* And what the policy protects by a link is protected. */
    run->protection.process_count = 1;
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", VICTIM_DIRECTORY "/link");
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_non_null(strstr(run->error.text, "protected by the policy"));
}

static void test_count_and_seed_are_deterministic(void **state)
{
    struct kill_run *run = *state;
    victim_start_many(12);
    kill_set(run, "executable", VICTIM_WEB);
    kill_set(run, "count", "4");
    kill_set(run, "seed", "7");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 4);
    struct sq_undo first = run->undo;
    kill_must(run, kill_preview(run));
    assert_memory_equal(&first, &run->undo, sizeof first);
    bool differs = false;
    for (int seed = 0; seed < 5; seed++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%d", seed);
        kill_set(run, "seed", text);
        kill_must(run, kill_preview(run));
        assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 4);
        differs = differs || memcmp(&first, &run->undo, sizeof first) != 0;
    }
    assert_true(differs);
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_int_equal(kill_counter(run, "killed"), 4);
    assert_int_equal(kill_counter(run, "matched-before"), 12);
    assert_int_equal(kill_counter(run, "matching-now"), 8);
    assert_int_equal(victim_count_alive(), 8);
}

static void test_percent(void **state)
{
    struct kill_run *run = *state;
    victim_start_many(5);
    kill_set(run, "executable", VICTIM_WEB);
    kill_set(run, "percent", "50%");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 2);
    kill_set(run, "percent", "1%");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 1);
    kill_set(run, "percent", "100%");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 5);
}

static void test_fewer_than_asked_for(void **state)
{
    struct kill_run *run = *state;
    victim_start_many(2);
    kill_set(run, "executable", VICTIM_WEB);
    kill_set(run, "count", "3");
    kill_must(run, kill_preview(run));
    kill_assert_line(run, SQ_LINE_WARNING, "3 asked for, but only 2");
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 2);
}

static void test_nobody(void **state)
{
    struct kill_run *run = *state;
    victim_start_many(2);
    kill_set(run, "executable", VICTIM_DIRECTORY "/missing");
    kill_set(run, "comm", "web");
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_non_null(strstr(run->error.text, "0 run " VICTIM_DIRECTORY "/missing (no such file here)"));
    assert_non_null(strstr(run->error.text, "2 have the comm 'web'"));
}

static void test_protected_are_spared(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    pid_t plain = victim_start(VICTIM_OTHER, (const char *const[]){"other", "1000", NULL});
    run->protection.process_count = 1;
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", VICTIM_WEB);
    kill_set(run, "command-line", "*1000");
    kill_must(run, kill_preview(run));
    kill_assert_line(run, SQ_LINE_SPARES, victim_name(web));
    kill_assert_line(run, SQ_LINE_SPARES, "protected by the policy (" VICTIM_WEB ")");
    kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(plain));
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_true(victim_is_alive(web));
    assert_false(victim_is_alive(plain));

    kill_set(run, "executable", VICTIM_WEB);
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_non_null(strstr(run->error.text, "one process matches, and it is spared (web["));
}

/* A cgroup v2 directory with a unit's name, as systemd makes them. */
#define UNIT_DIRECTORY VICTIM_DIRECTORY "/cgroup/sq-test.slice/sq-test@1.service"

static bool enter_unit(pid_t pid)
{
    (void)mkdir(VICTIM_DIRECTORY "/cgroup", 0755);
    if (mount("cgroup2", VICTIM_DIRECTORY "/cgroup", "cgroup2", 0, NULL) != 0)
        return false;
    (void)mkdir(VICTIM_DIRECTORY "/cgroup/sq-test.slice", 0755);
    (void)mkdir(UNIT_DIRECTORY, 0755);
    char text[16];
    int length = snprintf(text, sizeof text, "%d", (int)pid);
    int fd = open(UNIT_DIRECTORY "/cgroup.procs", O_WRONLY | O_CLOEXEC);
    bool entered = fd >= 0 && sq_write_all(fd, text, (size_t)length) == 0;
    if (fd >= 0)
        (void)close(fd);
    return entered;
}

static void leave_unit(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    /* A cgroup is busy for a moment after its last process has gone. */
    for (int i = 0; i < 100 && rmdir(UNIT_DIRECTORY) != 0 && errno == EBUSY; i++)
        kill_pause(10);
    assert_int_equal(rmdir(VICTIM_DIRECTORY "/cgroup/sq-test.slice"), 0);
    assert_int_equal(umount(VICTIM_DIRECTORY "/cgroup"), 0);
}

/* The policy is read again: what was chosen and is protected by now makes the whole kill forbidden. */
static void test_protected_after_prepare(void **state)
{
    struct kill_run *run = *state;
    (void)victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    struct sq_protection before = run->protection;
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_ops->allowed(run->state, &run->order, &run->env, &run->undo, &before, &run->error));
    run->protection.process_count = 1;
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", VICTIM_OTHER);
    kill_must(run, kill_ops->allowed(run->state, &run->order, &run->env, &run->undo, &before, &run->error));
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", VICTIM_WEB);
    assert_int_equal(kill_ops->allowed(run->state, &run->order, &run->env, &run->undo, &before, &run->error),
                     -1);
    assert_int_equal(run->error.code, SQ_POLICY);
    assert_non_null(strstr(run->error.text, "must be left alone now: protected by the policy"));
}

static void test_protected_units(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    pid_t free_web = victim_start_web();
    bool entered = enter_unit(web);
    run->protection.process_count = 1;
    kill_set(run, "executable", VICTIM_WEB);
    static const char *const protecting[] = {"unit:sq-test@1.service", "unit:sq-test@1",
                                             "unit:sq-test@*.service", "unit:sq-test.slice"};
    for (size_t i = 0; entered && i < sizeof protecting / sizeof protecting[0]; i++) {
        (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", protecting[i]);
        kill_must(run, kill_preview(run));
        kill_assert_line(run, SQ_LINE_SPARES, victim_name(web));
        kill_assert_line(run, SQ_LINE_SPARES, protecting[i]);
        kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(free_web));
        assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 1);
    }
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "unit:sq-test@2.service");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 2);
    if (!entered) {
        print_message("skipped: no cgroup v2 tree to put a process into here\n");
        skip();
    }
    leave_unit(web);
}

static void test_never_pid_1_nor_itself(void **state)
{
    struct kill_run *run = *state;
    pid_t front = victim_start_web();
    run->env.front_pid = front;
    kill_set(run, "command-line", "*");
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    kill_assert_line(run, SQ_LINE_SPARES, "[1]: pid 1");
    kill_assert_line(run, SQ_LINE_SPARES, victim_name(getpid()));
    kill_assert_line(run, SQ_LINE_SPARES, "squall itself");
    kill_assert_line(run, SQ_LINE_SPARES, victim_name(front));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 0);

    /* Another squalld, wherever it is installed. */
    assert_int_equal(system("cp /bin/sleep " VICTIM_DIRECTORY "/squalld"), 0);
    pid_t agent = victim_start(VICTIM_DIRECTORY "/squalld", (const char *const[]){"x", "1000", NULL});
    assert_int_equal(kill_preview(run), -1);
    kill_assert_line(run, SQ_LINE_SPARES, victim_name(agent));
}

/* A guard alone: this namespace has no kernel threads to offer. */
static void test_kernel_threads_are_spared(void **state)
{
    struct kill_run *run = *state;
    struct sq_process_guard guard;
    sq_process_guard_init(&guard, &run->env);
    pid_t web = victim_start_web();
    static struct sq_process_view view;
    char why[100];
    sq_process_view_begin(&view, SQ_PROC_PATH, web);
    assert_true(sq_process_view_has(&view, SQ_PART_PROCESS));
    assert_false(view.process.is_kernel_thread);
    assert_false(sq_process_is_spared(&guard, &view, why, sizeof why));
    view.process.is_kernel_thread = true;
    view.result[SQ_PART_EXECUTABLE] = ENOENT; /* it has none */
    assert_true(sq_process_is_spared(&guard, &view, why, sizeof why));
    assert_string_equal(why, "a kernel thread");
}

static void test_a_reused_pid_is_refused(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    struct sq_process process;
    assert_int_equal(sq_process_read(web, &process), 0);
    int pidfd = sq_process_open(&process.id);
    assert_true(pidfd >= 0);
    (void)close(pidfd);
    process.id.start_ticks--;
    assert_int_equal(sq_process_open(&process.id), -1);
    assert_int_equal(errno, ESRCH);

    /* The same through the whole fault: the pid is taken again between preview and prepare. */
    if (access("/proc/sys/kernel/ns_last_pid", W_OK) != 0) {
        print_message(
            "not checked: a pid taken again, since this kernel does not let a test choose the next pid\n");
        return;
    }
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    (void)kill(web, SIGKILL);
    (void)waitpid(web, NULL, 0);
    kill_pause(20);
    char next[16];
    int length = snprintf(next, sizeof next, "%d", (int)web - 1);
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(sq_write_all(fd, next, (size_t)length), 0);
    (void)close(fd);
    pid_t heir = victim_start_web();
    assert_int_equal(heir, web);
    assert_int_equal(kill_prepare(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    kill_must(run, kill_ops->clean(run->state, &run->undo, &run->error));
    kill_must(run, kill_ops->remove(run->state, &run->undo, &run->report, &run->error));
    assert_true(victim_is_alive(heir));
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        KILL_TEST(test_check_says_yes_here),
        KILL_TEST(test_by_executable),
        KILL_TEST(test_by_comm_and_command_line),
        KILL_TEST(test_the_file_may_be_deleted),
        KILL_TEST(test_the_path_may_be_a_link),
        KILL_TEST(test_count_and_seed_are_deterministic),
        KILL_TEST(test_percent),
        KILL_TEST(test_fewer_than_asked_for),
        KILL_TEST(test_nobody),
        KILL_TEST(test_protected_are_spared),
        KILL_TEST(test_protected_after_prepare),
        KILL_TEST(test_protected_units),
        KILL_TEST(test_never_pid_1_nor_itself),
        KILL_TEST(test_kernel_threads_are_spared),
        KILL_TEST(test_a_reused_pid_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
