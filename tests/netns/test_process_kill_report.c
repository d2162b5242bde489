/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* process.kill: what happens to the victims, and what the report says of it. */
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/units.h"
#include "faults/process_select.h"
#include "kernel/process.h"
#include "kill.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

static void test_gone_before_inject(void **state)
{
    struct kill_run *run = *state;
    pid_t one = victim_start_web();
    pid_t two = victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    (void)kill(one, SIGKILL);
    (void)waitpid(one, NULL, 0);
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_false(victim_is_alive(two));
    assert_int_equal(kill_counter(run, "signalled"), 1);
    kill_assert_line(run, SQ_LINE_NOTE, "was gone before the signal was sent");
}

static void test_all_gone_before_inject(void **state)
{
    struct kill_run *run = *state;
    pid_t one = victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    (void)kill(one, SIGKILL);
    (void)waitpid(one, NULL, 0);
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_false(run->report.touched);
    assert_int_equal(kill_counter(run, "killed"), 0);
    kill_assert_line(run, SQ_LINE_NOTE, "was gone before the signal was sent");
}

/* With so much memory that the kernel takes a while to give it back. */
static pid_t start_large(void)
{
    pid_t pid = victim_start("/bin/dd", (const char *const[]){"dd", "if=/dev/zero", "of=/dev/null", "bs=256M",
                                                              "status=none", NULL});
    char path[64];
    unsigned long pages = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    for (int i = 0; i < 1000 && pages < (256UL << 20) / (unsigned long)sysconf(_SC_PAGESIZE); i++) {
        sq_autofile FILE *file = fopen(path, "re");
        assert_non_null(file);
        assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
        kill_pause(5);
    }
    return pid;
}

/* Kills it, and returns while it is neither there nor gone: its files cannot be read. False: that was missed.
 */
static bool catch_on_its_way_out(pid_t pid)
{
    char path[64];
    char target[PATH_MAX];
    struct sq_process process;
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    (void)kill(pid, SIGKILL);
    while (readlink(path, target, sizeof target) >= 0)
        ;
    return sq_process_read(pid, &process) == 0 && !process.is_dead;
}

/* A process on its way out is gone, not one that must be left alone. */
static void test_on_its_way_out(void **state)
{
    struct kill_run *run = *state;
    int caught = 0;
    for (int i = 0; i < 20 && caught < 3; i++) {
        pid_t one = start_large();
        kill_set(run, "comm", "dd");
        kill_must(run, kill_preview(run));
        kill_must(run, kill_prepare(run));
        caught += catch_on_its_way_out(one);
        kill_must(run, i % 2 == 0 ? kill_inject(run)
                                  : kill_ops->allowed(run->state, &run->order, &run->env, &run->undo,
                                                      &run->protection, &run->error));
        assert_int_equal(kill_preview(run), -1);
        assert_int_equal(run->error.code, SQ_NOBODY);
        if (strstr(run->error.text, "left alone") != NULL)
            fail_msg("%s", run->error.text);
        (void)waitpid(one, NULL, 0);
        kill_ops->release(run->state);
        memset(run->state, 0, kill_ops->state_size);
    }
    assert_int_equal(caught, 3);
}

/* A process that becomes another program after prepare is not the one that was chosen. */
static void test_exec_between_prepare_and_inject(void **state)
{
    struct kill_run *run = *state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t shell = fork();
    assert_true(shell >= 0);
    if (shell == 0) {
        (void)dup2(gate[0], 0);
        (void)close(gate[1]);
        (void)execl("/bin/dash", "chameleon", "-c", "read line; exec " VICTIM_OTHER " 1000", NULL);
        _exit(127);
    }
    victim_adopt(shell);
    (void)close(gate[0]);
    kill_pause(100);
    kill_set(run, "command-line", "chameleon*");
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    assert_int_equal(write(gate[1], "\n", 1), 1);
    (void)close(gate[1]);
    kill_pause(100);
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_true(victim_is_alive(shell));
    assert_false(run->report.touched);
}

static void test_hostile_names(void **state)
{
    struct kill_run *run = *state;
    static const char comm[] = "a) R 1 (\n\\x";
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_NAME, comm);
        (void)!write(ready[1], "x", 1);
        for (;;)
            (void)pause();
    }
    victim_adopt(child);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    struct sq_process process;
    assert_int_equal(sq_process_read(child, &process), 0);
    assert_string_equal(process.comm, comm);
    assert_int_equal(process.parent_pid, getpid());
    assert_false(process.is_kernel_thread);
    /* It shares the test's executable, so it is squall's own, and spared; its name cannot forge a line. */
    kill_set(run, "comm", comm);
    assert_int_equal(kill_preview(run), -1);
    kill_assert_line(run, SQ_LINE_SPARES, "a) R 1 (?\\x[");
    assert_null(strchr(run->report.lines[0].text, '\n'));
}

/* Runs the program again each time it ends, after a pause. Its own name and command line match nothing. */
static pid_t start_supervisor(long pause)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) {
        victim_adopt(pid);
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t supervisor = getpid();
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != supervisor)
                _exit(1); /* it was killed before the line above */
            (void)execl(VICTIM_WEB, "web", "1000", NULL);
            _exit(127);
        }
        (void)waitpid(child, NULL, 0);
        kill_pause(pause);
    }
}

/* The time in "back as pid 12 after 1.2s", in nanoseconds. */
static uint64_t return_time_ns(const struct kill_run *run)
{
    for (uint32_t i = 0; i < run->report.line_count; i++) {
        const char *after = strstr(run->report.lines[i].text, "killed; back as pid ");
        after = after != NULL ? strstr(after, " after ") : NULL;
        if (after == NULL)
            continue;
        uint64_t time_ns;
        if (strcmp(after, " after less than 10ms") == 0)
            return 0;
        assert_int_equal(sq_duration_parse(after + strlen(" after "), &time_ns, NULL), 0);
        return time_ns;
    }
    fail_msg("no note says that it came back");
    return 0;
}

/* Preview until so many match: a supervisor's first child takes its time on a busy machine. 10 s at most. */
static void preview_when_there(struct kill_run *run, uint32_t count)
{
    for (int i = 0; i < 1000; i++) {
        if (kill_preview(run) == 0 && kill_line_count(run, SQ_LINE_TOUCHES) == count)
            return;
        kill_pause(10);
    }
    fail_msg("%u processes do not run " VICTIM_WEB " after 10 s: %s", count, run->error.text);
}

/* Ask until so many have come back, 10 s at most. */
static void wait_for_return(struct kill_run *run, uint64_t count)
{
    for (int i = 0; i < 100; i++) {
        kill_status(run);
        if (kill_counter(run, "came-back") == count)
            return;
        kill_pause(100);
    }
    fail_msg("%llu did not come back within 10 s", (unsigned long long)count);
}

static void check_return(struct kill_run *run, long pause, uint64_t least_ms, uint64_t most_ms)
{
    (void)start_supervisor(pause);
    kill_set(run, "executable", VICTIM_WEB);
    preview_when_there(run, 1);
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    if (pause >= 1000) {
        kill_status(run);
        kill_assert_line(run, SQ_LINE_NOTE, "killed; has not come back yet");
        assert_int_equal(kill_counter(run, "came-back"), 0);
    }
    wait_for_return(run, 1);
    uint64_t time_ns = return_time_ns(run);
    assert_in_range(time_ns / SQ_NS_PER_MILLISECOND, least_ms, most_ms);
    assert_false(kill_has_line(run, SQ_LINE_NOTE, "not come back"));
    assert_int_equal(kill_counter(run, "came-back"), 1);
    assert_int_equal(kill_counter(run, "killed"), 1);
    assert_in_range(kill_counter(run, "back-after-ms"), least_ms, most_ms);
    assert_int_equal(kill_counter(run, "matching-now"), 1);
    kill_must(run, kill_ops->remove(run->state, &run->undo, &run->report, &run->error));
    assert_int_equal(return_time_ns(run), time_ns);
}

static void test_comes_back_later(void **state)
{
    check_return(*state, 1200, 1190, 5000);
}

static void test_comes_back_at_once(void **state)
{
    check_return(*state, 0, 0, 3000);
}

static void test_one_worker_of_several(void **state)
{
    struct kill_run *run = *state;
    victim_start_many(3);
    (void)start_supervisor(200);
    kill_set(run, "executable", VICTIM_WEB);
    preview_when_there(run, 4);
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    wait_for_return(run, 1);
    assert_int_equal(kill_counter(run, "matched-before"), 4);
    assert_int_equal(kill_counter(run, "killed"), 4);
    assert_int_equal(kill_counter(run, "matching-now"), 1);
    assert_int_equal(kill_counter(run, "came-back"), 1);
    kill_assert_line(run, SQ_LINE_NOTE, "1 of 4 came back, the last: back as pid");
}

static void test_a_survivor_is_reported(void **state)
{
    struct kill_run *run = *state;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    assert_int_equal(sigaction(SIGTERM, &ignore, &before), 0);
    pid_t stubborn = victim_start_web(); /* an ignored signal stays ignored over exec */
    assert_int_equal(sigaction(SIGTERM, &before, NULL), 0);
    kill_set(run, "executable", VICTIM_WEB);
    kill_set(run, "signal", "TERM");
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    kill_status(run);
    assert_true(victim_is_alive(stubborn));
    assert_true(run->report.touched);
    assert_int_equal(kill_counter(run, "killed"), 0);
    kill_assert_line(run, SQ_LINE_NOTE, "got SIGTERM and is still running");
}

static void test_too_many(void **state)
{
    struct kill_run *run = *state;
    victim_start_many(257);
    kill_set(run, "executable", VICTIM_WEB);
    assert_int_equal(kill_preview(run), -1);
    assert_int_equal(run->error.code, SQ_LIMIT);
    kill_set(run, "count", "256");
    kill_must(run, kill_preview(run));
    assert_int_equal(run->report.line_count, SQ_LINES_MAX);
    assert_int_equal(run->report.lines_dropped, 256 - SQ_LINES_MAX);
    kill_must(run, kill_prepare(run));
    kill_must(run, kill_inject(run));
    /* The injector gives the same report again and again, the preview's lines in it. */
    for (int i = 0; i < 3; i++) {
        kill_ops->status(run->state, &run->undo, &run->report);
        assert_int_equal(kill_line_count(run, SQ_LINE_TOUCHES), 8);
        assert_true(kill_has_line(run, SQ_LINE_NOTE, "248 more processes"));
        assert_int_equal(kill_line_count(run, SQ_LINE_NOTE), 9);
        assert_int_equal(run->report.lines_dropped, 248);
    }
    kill_status(run);
    assert_int_equal(kill_counter(run, "killed"), 256);
    assert_int_equal(victim_count_alive(), 1);
    kill_assert_line(run, SQ_LINE_NOTE, "248 more processes");
}

static void test_nothing_is_sent_too_late(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    kill_must(run, kill_prepare(run));
    assert_int_equal(kill_ops->inject(run->state, &run->undo, 1, &run->error), -1);
    assert_int_equal(run->error.code, SQ_STALE);
    kill_must(run, kill_ops->clean(run->state, &run->undo, &run->error));
    assert_int_equal(kill_inject(run), -1);
    assert_int_equal(run->error.code, SQ_STALE);
    kill_status(run);
    assert_false(run->report.touched);
    assert_true(victim_is_alive(web));
}

/* After a crash of the agent nothing but the record is left: it reports, and touches nothing. */
static void test_recovery_from_the_record(void **state)
{
    struct kill_run *run = *state;
    pid_t web = victim_start_web();
    kill_set(run, "executable", VICTIM_WEB);
    kill_must(run, kill_preview(run));
    memset(&run->report, 0, sizeof run->report);
    kill_must(run, kill_ops->clean(NULL, &run->undo, &run->error));
    kill_must(run, kill_ops->remove(NULL, &run->undo, &run->report, &run->error));
    kill_must(run, kill_ops->remove(NULL, &run->undo, &run->report, &run->error));
    kill_ops->status(NULL, &run->undo, &run->report);
    assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
    assert_true(victim_is_alive(web));
    kill_assert_line(run, SQ_LINE_NOTE, "is still running");
    assert_int_equal(kill_line_count(run, SQ_LINE_NOTE), 1);

    run->undo.layout = 99;
    kill_must(run, kill_ops->remove(NULL, &run->undo, &run->report, &run->error));
    assert_int_equal(kill_prepare(run), -1);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        KILL_TEST(test_gone_before_inject),
        KILL_TEST(test_all_gone_before_inject),
        KILL_TEST(test_on_its_way_out),
        KILL_TEST(test_exec_between_prepare_and_inject),
        KILL_TEST(test_hostile_names),
        KILL_TEST(test_comes_back_later),
        KILL_TEST(test_comes_back_at_once),
        KILL_TEST(test_one_worker_of_several),
        KILL_TEST(test_a_survivor_is_reported),
        KILL_TEST(test_too_many),
        KILL_TEST(test_nothing_is_sent_too_late),
        KILL_TEST(test_recovery_from_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
