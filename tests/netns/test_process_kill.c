/* libraries: sq_faults sq_kernel sq_table sq_common */
/*
 * process.kill against real processes, in a pid and mount namespace of its own with its own /proc, so that
 * counts are exact. The namespace's pid 1 reaps; the tests run as another process of it.
 */
#include "common/clock.h"
#include "common/file.h"
#include "common/units.h"
#include "faults/fault.h"
#include "faults/process_select.h"

#include <errno.h>
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DIRECTORY "/tmp/sq-kill"
#define WEB       DIRECTORY "/web"
#define OTHER     DIRECTORY "/other"
#define PIDS_MAX  400

static pid_t pids[PIDS_MAX];
static size_t pid_count;

static const struct sq_fault_ops *const ops = &sq_process_kill_ops;

/* One fault from preview to release, as the injector drives it. */
struct run {
    struct sq_fault_order order;
    struct sq_protection protection;
    struct sq_fault_env env;
    struct sq_undo undo;
    struct sq_fault_report report;
    struct sq_error error;
    void *state;
};

static void pause_ms(long milliseconds)
{
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

/* In the child: become `path` with the arguments, and tell by the close of `ready` that exec has happened. */
static pid_t start(const char *path, const char *const arguments[])
{
    int ready[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* execv(3) takes them without const for history's sake, and leaves them alone. */
        union {
            const char *const *given;
            char *const *taken;
        } vector = {.given = arguments};
        (void)execv(path, vector.taken);
        _exit(127);
    }
    (void)close(ready[1]);
    char byte;
    (void)!read(ready[0], &byte, 1);
    (void)close(ready[0]);
    assert_true(pid_count < PIDS_MAX);
    pids[pid_count++] = pid;
    return pid;
}

static pid_t start_web(void)
{
    return start(WEB, (const char *const[]){"web", "1000", NULL});
}

static bool is_alive(pid_t pid)
{
    struct sq_process process;
    return sq_process_read(pid, &process) == 0 && !process.is_dead;
}

static size_t alive_count(void)
{
    size_t alive = 0;
    for (size_t i = 0; i < pid_count; i++)
        alive += is_alive(pids[i]);
    return alive;
}

static int setup(void **state)
{
    static struct run run;
    memset(&run, 0, sizeof run);
    run.env.protection = &run.protection;
    sq_spec_init(&run.order.spec, &sq_process_kill_info);
    run.state = calloc(1, ops->state_size);
    *state = &run;
    pid_count = 0;
    return run.state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct run *run = *state;
    ops->release(run->state);
    free(run->state);
    for (size_t i = 0; i < pid_count; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    return 0;
}

static void set(struct run *run, const char *key, const char *text)
{
    const struct sq_param *param = sq_param_by_key(&sq_process_kill_info, key);
    assert_non_null(param);
    if (sq_spec_set(&run->order.spec, param, text, &run->error) != 0)
        fail_msg("%s: %s", key, run->error.text);
}

static int preview(struct run *run)
{
    memset(&run->report, 0, sizeof run->report);
    memset(&run->undo, 0, sizeof run->undo);
    const char *culprit;
    if (sq_spec_check(&run->order.spec, &culprit, &run->error) != 0)
        fail_msg("the spec is wrong: %s", run->error.text);
    return ops->preview(&run->order, &run->env, &run->undo, &run->report, &run->error);
}

static void must(struct run *run, int result)
{
    if (result != 0)
        fail_msg("%s: %s", sq_code_name(run->error.code), run->error.text);
}

static int prepare(struct run *run)
{
    return ops->prepare(run->state, &run->order, &run->env, &run->undo, &run->error);
}

static int inject(struct run *run)
{
    return ops->inject(run->state, &run->undo, sq_boot_ns() + 10 * SQ_NS_PER_SECOND, &run->error);
}

static void status(struct run *run)
{
    /* Behind the pause that keeps status cheap. */
    pause_ms(150);
    memset(&run->report, 0, sizeof run->report);
    ops->status(run->state, &run->undo, &run->report);
}

static bool has_line(const struct run *run, enum sq_line_kind kind, const char *part)
{
    for (uint32_t i = 0; i < run->report.line_count; i++)
        if (run->report.lines[i].kind == kind && strstr(run->report.lines[i].text, part) != NULL)
            return true;
    return false;
}

static void assert_line(const struct run *run, enum sq_line_kind kind, const char *part)
{
    if (has_line(run, kind, part))
        return;
    for (uint32_t i = 0; i < run->report.line_count; i++)
        print_message("%s: %s\n", sq_line_kind_name(run->report.lines[i].kind), run->report.lines[i].text);
    fail_msg("no %s line with '%s'", sq_line_kind_name(kind), part);
}

static size_t line_count(const struct run *run, enum sq_line_kind kind)
{
    size_t count = 0;
    for (uint32_t i = 0; i < run->report.line_count; i++)
        count += run->report.lines[i].kind == kind;
    return count;
}

static uint64_t counter(const struct run *run, const char *name)
{
    for (uint32_t i = 0; i < run->report.counter_count; i++)
        if (strcmp(run->report.counters[i].name, name) == 0)
            return run->report.counters[i].value;
    fail_msg("no counter '%s'", name);
    return 0;
}

static const char *line_of(pid_t pid)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "[%d]", (int)pid);
    return text;
}

static void test_check_says_yes_here(void **state)
{
    struct run *run = *state;
    must(run, ops->check(&run->error));
}

static void test_by_executable(void **state)
{
    struct run *run = *state;
    pid_t victim = start_web();
    pid_t bystander = start(OTHER, (const char *const[]){"web", "1000", NULL});
    set(run, "executable", WEB);
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 1);
    assert_line(run, SQ_LINE_TOUCHES, line_of(victim));
    assert_line(run, SQ_LINE_TOUCHES, WEB ", since 20");
    assert_true(is_alive(victim));
    must(run, prepare(run));
    assert_true(is_alive(victim));
    must(run, inject(run));
    status(run);
    assert_false(is_alive(victim));
    assert_true(is_alive(bystander));
    assert_true(run->report.touched);
    assert_int_equal(counter(run, "killed"), 1);
    assert_int_equal(counter(run, "signalled"), 1);
    assert_int_equal(counter(run, "matched-before"), 1);
    assert_int_equal(counter(run, "matching-now"), 0);
    assert_line(run, SQ_LINE_NOTE, "killed; has not come back yet");
    must(run, ops->clean(run->state, &run->undo, &run->error));
    must(run, ops->clean(run->state, &run->undo, &run->error));
    must(run, ops->remove(run->state, &run->undo, &run->report, &run->error));
    assert_true(run->report.proved);
    assert_int_equal(line_count(run, SQ_LINE_NOTE), 2);
    assert_line(run, SQ_LINE_NOTE, "nothing can undo a signal");
}

static void test_by_comm_and_command_line(void **state)
{
    struct run *run = *state;
    pid_t one = start(OTHER, (const char *const[]){"shop --port=81\nforged", "1000", NULL});
    pid_t two = start(OTHER, (const char *const[]){"shop --port=82", "1000", NULL});
    set(run, "comm", "other");
    set(run, "command-line", "*--port=81*1000");
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 1);
    must(run, prepare(run));
    must(run, inject(run));
    status(run);
    assert_false(is_alive(one));
    assert_true(is_alive(two));
}

static void test_the_file_may_be_deleted(void **state)
{
    struct run *run = *state;
    assert_int_equal(system("cp /bin/sleep " DIRECTORY "/gone"), 0);
    pid_t victim = start(DIRECTORY "/gone", (const char *const[]){"gone", "1000", NULL});
    assert_int_equal(unlink(DIRECTORY "/gone"), 0);
    set(run, "executable", DIRECTORY "/gone");
    must(run, preview(run));
    assert_line(run, SQ_LINE_TOUCHES, line_of(victim));
    assert_line(run, SQ_LINE_TOUCHES, "(deleted)");
}

static void test_the_path_may_be_a_link(void **state)
{
    struct run *run = *state;
    pid_t victim = start_web();
    (void)unlink(DIRECTORY "/link");
    assert_int_equal(symlink(WEB, DIRECTORY "/link"), 0);
    set(run, "executable", DIRECTORY "/link");
    must(run, preview(run));
    assert_line(run, SQ_LINE_TOUCHES, line_of(victim));
    /* And what the policy protects by a link is protected. */
    run->protection.process_count = 1;
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", DIRECTORY "/link");
    assert_int_equal(preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_non_null(strstr(run->error.text, "protected by the policy"));
}

static void start_many(size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)start_web();
}

static void test_count_and_seed_are_deterministic(void **state)
{
    struct run *run = *state;
    start_many(12);
    set(run, "executable", WEB);
    set(run, "count", "4");
    set(run, "seed", "7");
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 4);
    struct sq_undo first = run->undo;
    must(run, preview(run));
    assert_memory_equal(&first, &run->undo, sizeof first);
    bool differs = false;
    for (int seed = 0; seed < 5; seed++) {
        char text[8];
        (void)snprintf(text, sizeof text, "%d", seed);
        set(run, "seed", text);
        must(run, preview(run));
        assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 4);
        differs = differs || memcmp(&first, &run->undo, sizeof first) != 0;
    }
    assert_true(differs);
    must(run, prepare(run));
    must(run, inject(run));
    status(run);
    assert_int_equal(counter(run, "killed"), 4);
    assert_int_equal(counter(run, "matched-before"), 12);
    assert_int_equal(counter(run, "matching-now"), 8);
    assert_int_equal(alive_count(), 8);
}

static void test_percent(void **state)
{
    struct run *run = *state;
    start_many(5);
    set(run, "executable", WEB);
    set(run, "percent", "50%");
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 2);
    set(run, "percent", "1%");
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 1);
    set(run, "percent", "100%");
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 5);
}

static void test_fewer_than_asked_for(void **state)
{
    struct run *run = *state;
    start_many(2);
    set(run, "executable", WEB);
    set(run, "count", "3");
    must(run, preview(run));
    assert_line(run, SQ_LINE_WARNING, "3 asked for, but only 2");
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 2);
}

static void test_nobody(void **state)
{
    struct run *run = *state;
    start_many(2);
    set(run, "executable", DIRECTORY "/missing");
    set(run, "comm", "web");
    assert_int_equal(preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_non_null(strstr(run->error.text, "0 run " DIRECTORY "/missing (no such file here)"));
    assert_non_null(strstr(run->error.text, "2 have the comm 'web'"));
}

static void test_protected_are_spared(void **state)
{
    struct run *run = *state;
    pid_t web = start_web();
    pid_t plain = start(OTHER, (const char *const[]){"other", "1000", NULL});
    run->protection.process_count = 1;
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", WEB);
    set(run, "command-line", "*1000");
    must(run, preview(run));
    assert_line(run, SQ_LINE_SPARES, line_of(web));
    assert_line(run, SQ_LINE_SPARES, "protected by the policy (" WEB ")");
    assert_line(run, SQ_LINE_TOUCHES, line_of(plain));
    must(run, prepare(run));
    must(run, inject(run));
    status(run);
    assert_true(is_alive(web));
    assert_false(is_alive(plain));

    set(run, "executable", WEB);
    assert_int_equal(preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_non_null(strstr(run->error.text, "1 processes match, and all of them are spared"));
}

/* A cgroup v2 directory with a unit's name, as systemd makes them. */
#define UNIT_DIRECTORY DIRECTORY "/cgroup/sq-test.slice/sq-test@1.service"

static bool enter_unit(pid_t pid)
{
    (void)mkdir(DIRECTORY "/cgroup", 0755);
    if (mount("cgroup2", DIRECTORY "/cgroup", "cgroup2", 0, NULL) != 0)
        return false;
    (void)mkdir(DIRECTORY "/cgroup/sq-test.slice", 0755);
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
        pause_ms(10);
    assert_int_equal(rmdir(DIRECTORY "/cgroup/sq-test.slice"), 0);
    assert_int_equal(umount(DIRECTORY "/cgroup"), 0);
}

static void test_protected_units(void **state)
{
    struct run *run = *state;
    pid_t web = start_web();
    pid_t free_web = start_web();
    bool entered = enter_unit(web);
    run->protection.process_count = 1;
    set(run, "executable", WEB);
    static const char *const protecting[] = {"unit:sq-test@1.service", "unit:sq-test@1",
                                             "unit:sq-test@*.service", "unit:sq-test.slice"};
    for (size_t i = 0; entered && i < sizeof protecting / sizeof protecting[0]; i++) {
        (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "%s", protecting[i]);
        must(run, preview(run));
        assert_line(run, SQ_LINE_SPARES, line_of(web));
        assert_line(run, SQ_LINE_SPARES, protecting[i]);
        assert_line(run, SQ_LINE_TOUCHES, line_of(free_web));
        assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 1);
    }
    (void)snprintf(run->protection.processes[0], SQ_PATH_TEXT_MAX, "unit:sq-test@2.service");
    must(run, preview(run));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 2);
    if (!entered) {
        print_message("skipped: no cgroup v2 tree to put a process into here\n");
        skip();
    }
    leave_unit(web);
}

static void test_never_pid_1_nor_itself(void **state)
{
    struct run *run = *state;
    pid_t front = start_web();
    run->env.front_pid = front;
    set(run, "command-line", "*");
    assert_int_equal(preview(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    assert_line(run, SQ_LINE_SPARES, "[1]: pid 1");
    assert_line(run, SQ_LINE_SPARES, line_of(getpid()));
    assert_line(run, SQ_LINE_SPARES, "squall itself");
    assert_line(run, SQ_LINE_SPARES, line_of(front));
    assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 0);

    /* Another squalld, wherever it is installed. */
    assert_int_equal(system("cp /bin/sleep " DIRECTORY "/squalld"), 0);
    pid_t agent = start(DIRECTORY "/squalld", (const char *const[]){"x", "1000", NULL});
    assert_int_equal(preview(run), -1);
    assert_line(run, SQ_LINE_SPARES, line_of(agent));
}

/* A guard alone: this namespace has no kernel threads to offer. */
static void test_kernel_threads_are_spared(void **state)
{
    struct run *run = *state;
    struct sq_process_guard guard;
    sq_process_guard_init(&guard, &run->env);
    pid_t web = start_web();
    struct sq_process process;
    char why[100];
    assert_int_equal(sq_process_read(web, &process), 0);
    assert_false(process.is_kernel_thread);
    assert_false(sq_process_is_spared(&guard, &process, why, sizeof why));
    process.is_kernel_thread = true;
    assert_true(sq_process_is_spared(&guard, &process, why, sizeof why));
    assert_string_equal(why, "a kernel thread");
}

static void test_a_reused_pid_is_refused(void **state)
{
    struct run *run = *state;
    pid_t web = start_web();
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
    set(run, "executable", WEB);
    must(run, preview(run));
    (void)kill(web, SIGKILL);
    (void)waitpid(web, NULL, 0);
    pause_ms(20);
    char next[16];
    int length = snprintf(next, sizeof next, "%d", (int)web - 1);
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(sq_write_all(fd, next, (size_t)length), 0);
    (void)close(fd);
    pid_t heir = start_web();
    assert_int_equal(heir, web);
    assert_int_equal(prepare(run), -1);
    assert_int_equal(run->error.code, SQ_NOBODY);
    must(run, ops->clean(run->state, &run->undo, &run->error));
    must(run, ops->remove(run->state, &run->undo, &run->report, &run->error));
    assert_true(is_alive(heir));
}

static void test_gone_before_inject(void **state)
{
    struct run *run = *state;
    pid_t one = start_web();
    pid_t two = start_web();
    set(run, "executable", WEB);
    must(run, preview(run));
    must(run, prepare(run));
    (void)kill(one, SIGKILL);
    (void)waitpid(one, NULL, 0);
    must(run, inject(run));
    status(run);
    assert_false(is_alive(two));
    assert_int_equal(counter(run, "signalled"), 1);
    assert_line(run, SQ_LINE_NOTE, "was gone before the signal was sent");
}

static void test_all_gone_before_inject(void **state)
{
    struct run *run = *state;
    pid_t one = start_web();
    set(run, "executable", WEB);
    must(run, preview(run));
    must(run, prepare(run));
    (void)kill(one, SIGKILL);
    (void)waitpid(one, NULL, 0);
    must(run, inject(run));
    status(run);
    assert_false(run->report.touched);
    assert_int_equal(counter(run, "killed"), 0);
    assert_line(run, SQ_LINE_NOTE, "was gone before the signal was sent");
}

/* A process that becomes another program after prepare is not the one that was chosen. */
static void test_exec_between_prepare_and_inject(void **state)
{
    struct run *run = *state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t shell = fork();
    assert_true(shell >= 0);
    if (shell == 0) {
        (void)dup2(gate[0], 0);
        (void)close(gate[1]);
        (void)execl("/bin/dash", "chameleon", "-c", "read line; exec " OTHER " 1000", NULL);
        _exit(127);
    }
    pids[pid_count++] = shell;
    (void)close(gate[0]);
    pause_ms(100);
    set(run, "command-line", "chameleon*");
    must(run, preview(run));
    must(run, prepare(run));
    assert_int_equal(write(gate[1], "\n", 1), 1);
    (void)close(gate[1]);
    pause_ms(100);
    must(run, inject(run));
    status(run);
    assert_true(is_alive(shell));
    assert_false(run->report.touched);
}

static void test_hostile_names(void **state)
{
    struct run *run = *state;
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
    pids[pid_count++] = child;
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
    set(run, "comm", comm);
    assert_int_equal(preview(run), -1);
    assert_line(run, SQ_LINE_SPARES, "a) R 1 (?\\x[");
    assert_null(strchr(run->report.lines[0].text, '\n'));
}

/* Runs the program again each time it ends, after a pause. Its own name and command line match nothing. */
static pid_t start_supervisor(long pause)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) {
        pids[pid_count++] = pid;
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)execl(WEB, "web", "1000", NULL);
            _exit(127);
        }
        (void)waitpid(child, NULL, 0);
        pause_ms(pause);
    }
}

/* The time in "back as pid 12 after 1.2s", in nanoseconds. */
static uint64_t return_time_ns(const struct run *run)
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

static void check_return(struct run *run, long pause, uint64_t least_ms, uint64_t most_ms)
{
    (void)start_supervisor(pause);
    pause_ms(100);
    set(run, "executable", WEB);
    must(run, preview(run));
    must(run, prepare(run));
    must(run, inject(run));
    if (pause >= 1000) {
        status(run);
        assert_line(run, SQ_LINE_NOTE, "killed; has not come back yet");
        assert_int_equal(counter(run, "came-back"), 0);
    }
    pause_ms(pause + 100);
    status(run);
    uint64_t time_ns = return_time_ns(run);
    assert_in_range(time_ns / SQ_NS_PER_MILLISECOND, least_ms, most_ms);
    assert_false(has_line(run, SQ_LINE_NOTE, "not come back"));
    assert_int_equal(counter(run, "came-back"), 1);
    assert_int_equal(counter(run, "killed"), 1);
    assert_int_equal(counter(run, "matching-now"), 1);
    must(run, ops->remove(run->state, &run->undo, &run->report, &run->error));
    assert_int_equal(return_time_ns(run), time_ns);
}

static void test_comes_back_later(void **state)
{
    check_return(*state, 1200, 1190, 1700);
}

static void test_comes_back_at_once(void **state)
{
    check_return(*state, 0, 0, 400);
}

static void test_one_worker_of_several(void **state)
{
    struct run *run = *state;
    start_many(3);
    (void)start_supervisor(200);
    pause_ms(100);
    set(run, "executable", WEB);
    must(run, preview(run));
    must(run, prepare(run));
    must(run, inject(run));
    pause_ms(300);
    status(run);
    assert_int_equal(counter(run, "matched-before"), 4);
    assert_int_equal(counter(run, "killed"), 4);
    assert_int_equal(counter(run, "matching-now"), 1);
    assert_int_equal(counter(run, "came-back"), 1);
    assert_line(run, SQ_LINE_NOTE, "1 of 4 came back, the last: back as pid");
}

static void test_a_survivor_is_reported(void **state)
{
    struct run *run = *state;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    assert_int_equal(sigaction(SIGTERM, &ignore, &before), 0);
    pid_t stubborn = start_web(); /* an ignored signal stays ignored over exec */
    assert_int_equal(sigaction(SIGTERM, &before, NULL), 0);
    set(run, "executable", WEB);
    set(run, "signal", "TERM");
    must(run, preview(run));
    must(run, prepare(run));
    must(run, inject(run));
    status(run);
    assert_true(is_alive(stubborn));
    assert_true(run->report.touched);
    assert_int_equal(counter(run, "killed"), 0);
    assert_line(run, SQ_LINE_NOTE, "got SIGTERM and is still running");
}

static void test_too_many(void **state)
{
    struct run *run = *state;
    start_many(257);
    set(run, "executable", WEB);
    assert_int_equal(preview(run), -1);
    assert_int_equal(run->error.code, SQ_LIMIT);
    set(run, "count", "256");
    must(run, preview(run));
    assert_int_equal(run->report.line_count, SQ_LINES_MAX);
    assert_int_equal(run->report.lines_dropped, 256 - SQ_LINES_MAX);
    must(run, prepare(run));
    must(run, inject(run));
    /* The injector gives the same report again and again, the preview's lines in it. */
    for (int i = 0; i < 3; i++) {
        ops->status(run->state, &run->undo, &run->report);
        assert_int_equal(line_count(run, SQ_LINE_TOUCHES), 8);
        assert_true(has_line(run, SQ_LINE_NOTE, "248 more processes"));
        assert_int_equal(line_count(run, SQ_LINE_NOTE), 9);
        assert_int_equal(run->report.lines_dropped, 248);
    }
    status(run);
    assert_int_equal(counter(run, "killed"), 256);
    assert_int_equal(alive_count(), 1);
    assert_line(run, SQ_LINE_NOTE, "248 more processes");
}

static void test_nothing_is_sent_too_late(void **state)
{
    struct run *run = *state;
    pid_t web = start_web();
    set(run, "executable", WEB);
    must(run, preview(run));
    must(run, prepare(run));
    assert_int_equal(ops->inject(run->state, &run->undo, 1, &run->error), -1);
    assert_int_equal(run->error.code, SQ_STALE);
    must(run, ops->clean(run->state, &run->undo, &run->error));
    assert_int_equal(inject(run), -1);
    assert_int_equal(run->error.code, SQ_STALE);
    status(run);
    assert_false(run->report.touched);
    assert_true(is_alive(web));
}

/* After a crash of the agent nothing but the record is left: it reports, and touches nothing. */
static void test_recovery_from_the_record(void **state)
{
    struct run *run = *state;
    pid_t web = start_web();
    set(run, "executable", WEB);
    must(run, preview(run));
    memset(&run->report, 0, sizeof run->report);
    must(run, ops->clean(NULL, &run->undo, &run->error));
    must(run, ops->remove(NULL, &run->undo, &run->report, &run->error));
    must(run, ops->remove(NULL, &run->undo, &run->report, &run->error));
    ops->status(NULL, &run->undo, &run->report);
    assert_true(run->report.proved);
    assert_true(is_alive(web));
    assert_line(run, SQ_LINE_NOTE, "is still running");
    assert_int_equal(line_count(run, SQ_LINE_NOTE), 1);

    run->undo.layout = 99;
    must(run, ops->remove(NULL, &run->undo, &run->report, &run->error));
    assert_int_equal(prepare(run), -1);
}

#define KILL_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

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
        KILL_TEST(test_protected_units),
        KILL_TEST(test_never_pid_1_nor_itself),
        KILL_TEST(test_kernel_threads_are_spared),
        KILL_TEST(test_a_reused_pid_is_refused),
        KILL_TEST(test_gone_before_inject),
        KILL_TEST(test_all_gone_before_inject),
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

static bool make_place(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 &&
           mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0 && mkdir(DIRECTORY, 0755) == 0 &&
           system("cp /bin/sleep " WEB " && cp /bin/sleep " OTHER) == 0;
}

/* pid 1 of the namespace: makes the place, starts the tests, reaps whatever is left over. */
static int be_init(void)
{
    if (!make_place()) {
        perror("cannot make the test's own /proc and /tmp");
        return 1;
    }
    pid_t tests = fork();
    if (tests < 0)
        return 1;
    if (tests == 0)
        exit(run_all());
    int ended = 0;
    for (pid_t pid; (pid = wait(&ended)) > 0;)
        if (pid == tests)
            return WIFEXITED(ended) ? WEXITSTATUS(ended) : 1;
    return 1;
}

int main(void)
{
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
        printf("skipped: no pid and mount namespace of its own (%s); it needs root\n", strerror(errno));
        return 77;
    }
    pid_t init = fork();
    if (init < 0)
        return 1;
    if (init == 0)
        exit(be_init());
    int ended = 0;
    bool done = waitpid(init, &ended, 0) == init && WIFEXITED(ended);
    /* Its pid namespace is gone, so it can start no thread any more: no exit handlers, LeakSanitizer has one.
     */
    (void)fflush(NULL);
    _exit(done ? WEXITSTATUS(ended) : 1);
}
