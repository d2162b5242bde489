/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* process.kill: what is protected is a thing, whatever it is called; and who ordered it is left alone. */
#include "common/clock.h"
#include "faults/process_select.h"
#include "kill.h"

#include <fcntl.h>
#include <sched.h>
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

#define KEPT   VICTIM_DIRECTORY "/kept"
#define OTHER  VICTIM_DIRECTORY "/by-another-name"
#define PLACE  VICTIM_DIRECTORY "/place"
#define PLACED PLACE "/kept"

static const char *const arguments[] = {"sq-mark", "1000", NULL};

static void protect(struct kill_run *run, const char *path)
{
    run->protection.process_count = 1;
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", path);
    /* As when the policy is read. */
    sq_protection_files(&run->protection, NULL);
}

static void make_kept(void)
{
    (void)unlink(KEPT);
    (void)unlink(OTHER);
    assert_int_equal(system("cp /bin/sleep " KEPT), 0);
}

static void expect_spared(struct kill_run *run, pid_t pid, const char *why)
{
    kill_set(run, "command-line", "sq-mark *");
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    kill_assert_line(run, SQ_LINE_SPARES, victim_name(pid));
    kill_assert_line(run, SQ_LINE_SPARES, why);
}

static void test_a_hard_link(void **state)
{
    struct kill_run *run = *state;
    make_kept();
    assert_int_equal(link(KEPT, OTHER), 0);
    protect(run, KEPT);
    expect_spared(run, victim_start(OTHER, arguments), "it runs the file " KEPT);
}

static void test_renamed_since(void **state)
{
    struct kill_run *run = *state;
    make_kept();
    protect(run, KEPT);
    pid_t pid = victim_start(KEPT, arguments);
    assert_int_equal(rename(KEPT, OTHER), 0);
    expect_spared(run, pid, "it runs the file " KEPT);
    /* And with another file in its place, which is protected too. */
    assert_int_equal(system("cp /bin/sleep " KEPT), 0);
    expect_spared(run, pid, "it runs the file " KEPT);
    expect_spared(run, victim_start(KEPT, arguments), "protected by the policy (" KEPT ")");
    /* The policy is read again: what it was before is not forgotten. */
    sq_protection_files(&run->protection, NULL);
    expect_spared(run, pid, "it runs the file " KEPT);
}

static void test_deleted_since(void **state)
{
    struct kill_run *run = *state;
    make_kept();
    protect(run, KEPT);
    pid_t pid = victim_start(KEPT, arguments);
    assert_int_equal(unlink(KEPT), 0);
    expect_spared(run, pid, "protected by the policy (" KEPT ")");
}

static void test_mounted_elsewhere(void **state)
{
    struct kill_run *run = *state;
    make_kept();
    protect(run, KEPT);
    int fd = open(OTHER, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(mount(KEPT, OTHER, NULL, MS_BIND, NULL), 0);
    pid_t pid = victim_start(OTHER, arguments);
    expect_spared(run, pid, "it runs the file " KEPT);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    assert_int_equal(umount2(OTHER, MNT_DETACH), 0);
}

/* In a mount namespace and root of its own, where the same file has another path. */
static void test_in_another_root(void **state)
{
    struct kill_run *run = *state;
    make_kept();
    protect(run, KEPT);
    (void)mkdir(PLACE, 0755);
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = -1;
        if (unshare(CLONE_NEWNS) != 0 || mount("/", PLACE, NULL, MS_BIND | MS_REC, NULL) != 0 ||
            (fd = open(PLACE VICTIM_DIRECTORY "/odd", O_WRONLY | O_CREAT | O_CLOEXEC, 0755)) < 0 ||
            mount(KEPT, PLACE VICTIM_DIRECTORY "/odd", NULL, MS_BIND, NULL) != 0 || close(fd) != 0 ||
            chroot(PLACE) != 0)
            _exit(126);
        (void)execl(VICTIM_DIRECTORY "/odd", "sq-mark", "1000", (char *)NULL);
        _exit(127);
    }
    (void)close(ready[1]);
    char byte;
    (void)!read(ready[0], &byte, 1);
    (void)close(ready[0]);
    victim_adopt(pid);
    expect_spared(run, pid, "it runs the file " KEPT);
}

/* The same program by another file is another thing. */
static void test_a_copy_is_none(void **state)
{
    struct kill_run *run = *state;
    make_kept();
    protect(run, KEPT);
    pid_t pid = victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(pid));
}

/* The policy is read again after the fault was prepared. */
static void test_protected_in_the_end(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    pid_t other = victim_start(VICTIM_OTHER, arguments);
    kill_set(run, "command-line", "* 1000");
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    protect(run, VICTIM_WEB);
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_true(victim_is_alive(web));
    assert_false(victim_is_alive(other));
    kill_assert_line(run, SQ_LINE_NOTE, "had to be left alone when the signal was sent");
    assert_int_equal(kill_counter(run, "signalled"), 1);
}

static void test_all_protected_in_the_end(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    protect(run, VICTIM_WEB);
    assert_int_equal(kill_inject(run), -1);
    assert_int_equal(run->error.code, SQ_POLICY);
    assert_true(victim_is_alive(web));
}

/* A shell that waits for its child, both by a command line that matches. Returns the child. */
static pid_t start_family(pid_t *shell)
{
    *shell = victim_start(
        "/bin/sh", (const char *const[]){
                       "sh", "-c", VICTIM_WEB " 1000 & echo $! >" VICTIM_DIRECTORY "/child; wait", NULL});
    for (int i = 0; i < 500; i++) {
        char text[16] = "";
        int fd = open(VICTIM_DIRECTORY "/child", O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        if (fd >= 0)
            (void)close(fd);
        pid_t child = length > 1 ? (pid_t)atoi(text) : 0;
        char executable[64] = "";
        if (child > 0 && sq_process_executable(SQ_PROC_PATH, child, executable, sizeof executable) == 0 &&
            strcmp(executable, VICTIM_WEB) == 0)
            return child;
        kill_pause(10);
    }
    fail_msg("the shell has no child");
    return 0;
}

static void test_who_ordered_it(void **state)
{
    struct kill_run *run = *state;
    pid_t shell = 0;
    pid_t child = start_family(&shell);
    kill_set(run, "command-line", "*" VICTIM_WEB " 1000*");
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 2);
    run->env.requester_pid = child;
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_int_equal(kill_line_count(run, SQ_LINE_SPARES), 2);
    char line[64];
    (void)snprintf(line, sizeof line, "sh[%d]: it ordered this", (int)shell);
    kill_assert_line(run, SQ_LINE_SPARES, line);
    (void)snprintf(line, sizeof line, "web[%d]: it ordered this", (int)child);
    kill_assert_line(run, SQ_LINE_SPARES, line);
    /* The shell itself: its child is none of its ancestors. */
    run->env.requester_pid = shell;
    kill_must(run, kill_preview(run));
    kill_assert_line(run, SQ_LINE_TOUCHES, victim_name(child));
    /* Nobody that is known here. */
    run->env.requester_pid = 4000000;
    kill_must(run, kill_preview(run));
    assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 2);
    (void)kill(child, SIGKILL);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        KILL_TEST(test_a_hard_link),          KILL_TEST(test_renamed_since),
        KILL_TEST(test_deleted_since),        KILL_TEST(test_mounted_elsewhere),
        KILL_TEST(test_in_another_root),      KILL_TEST(test_a_copy_is_none),
        KILL_TEST(test_protected_in_the_end), KILL_TEST(test_all_protected_in_the_end),
        KILL_TEST(test_who_ordered_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
