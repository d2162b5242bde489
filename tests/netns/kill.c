#include "kill.h"

#include "descriptors.h"

#include "common/clock.h"
#include "kernel/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

#define PIDS_MAX 400

static pid_t pids[PIDS_MAX];
static size_t pid_count;

void kill_pause(long milliseconds)
{
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

void victim_adopt(pid_t pid)
{
    assert_true(pid_count < PIDS_MAX);
    pids[pid_count++] = pid;
}

/* In the child: become `path` with the arguments, and tell by the close of `ready` that exec has happened. */
pid_t victim_start(const char *path, const char *const arguments[])
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
    victim_adopt(pid);
    return pid;
}

pid_t victim_start_web(void)
{
    return victim_start(VICTIM_WEB, (const char *const[]){"web", "1000", NULL});
}

bool victim_is_alive(pid_t pid)
{
    struct sq_process process;
    return sq_process_read(pid, &process) == 0 && !process.is_dead;
}

size_t victim_count_alive(void)
{
    size_t alive = 0;
    for (size_t i = 0; i < pid_count; i++)
        alive += victim_is_alive(pids[i]);
    return alive;
}

int kill_setup(void **state)
{
    static struct kill_run run;
    memset(&run, 0, sizeof run);
    run.env.protection = &run.protection;
    sq_spec_init(&run.order.spec, &sq_process_kill_info);
    run.state = calloc(1, kill_ops->state_size);
    *state = &run;
    pid_count = 0;
    return run.state == NULL ? -1 : 0;
}

static bool is_left_over(const struct sq_process *process, void *cookie)
{
    bool *found = cookie;
    *found = process->id.pid != 1 && process->id.pid != getpid() && !process->is_dead;
    return !*found;
}

/* What a killed child leaves behind dies a moment later, and must not meet the next test. */
static void wait_until_alone(void)
{
    for (int i = 0; i < 500; i++) {
        bool found = false;
        assert_int_equal(sq_process_each(is_left_over, &found, NULL), 0);
        if (!found)
            return;
        kill_pause(10);
    }
    fail_msg("a process of the test is still there");
}

int kill_teardown(void **state)
{
    struct kill_run *run = *state;
    kill_ops->release(run->state);
    free(run->state);
    for (size_t i = 0; i < pid_count; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    wait_until_alone();
    return 0;
}

void kill_set(struct kill_run *run, const char *key, const char *text)
{
    const struct sq_param *param = sq_param_by_key(&sq_process_kill_info, key);
    assert_non_null(param);
    if (sq_spec_set(&run->order.spec, param, text, &run->error) != 0)
        fail_msg("%s: %s", key, run->error.text);
}

int kill_preview(struct kill_run *run)
{
    memset(&run->report, 0, sizeof run->report);
    memset(&run->undo, 0, sizeof run->undo);
    const char *culprit;
    if (sq_spec_check(&run->order.spec, &culprit, &run->error) != 0)
        fail_msg("the spec is wrong: %s", run->error.text);
    return kill_ops->preview(&run->order, &run->env, &run->undo, &run->report, &run->error);
}

void kill_must(struct kill_run *run, int result)
{
    if (result != 0)
        fail_msg("%s: %s", sq_code_name(run->error.code), run->error.text);
}

int kill_prepare(struct kill_run *run)
{
    unsigned before = descriptors_open();
    int result = kill_ops->prepare(run->state, &run->order, &run->env, &run->undo, &run->error);
    descriptors_assert_told(kill_ops, &run->undo, before);
    return result;
}

int kill_inject(struct kill_run *run)
{
    return kill_ops->inject(run->state, &run->undo, sq_boot_ns() + 10 * SQ_NS_PER_SECOND, &run->error);
}

void kill_look_on(struct kill_run *run)
{
    /* Long enough for those that were killed to end, and for a scan to have begun since. */
    uint64_t until_ns = sq_boot_ns() + 250 * SQ_NS_PER_MILLISECOND;
    for (uint64_t now_ns; (now_ns = sq_boot_ns()) < until_ns;) {
        uint64_t next_ns = kill_ops->attend(run->state, &run->undo, now_ns);
        if (next_ns == 0 || next_ns > until_ns)
            next_ns = until_ns;
        struct timespec pause = {.tv_nsec = (long)sq_ns_sub(next_ns, sq_boot_ns())};
        (void)nanosleep(&pause, NULL);
    }
}

void kill_status(struct kill_run *run)
{
    kill_look_on(run);
    memset(&run->report, 0, sizeof run->report);
    kill_ops->status(run->state, &run->undo, &run->report);
}

bool kill_has_line(const struct kill_run *run, enum sq_line_kind kind, const char *part)
{
    for (uint32_t i = 0; i < run->report.line_count; i++)
        if (run->report.lines[i].kind == kind && strstr(run->report.lines[i].text, part) != NULL)
            return true;
    return false;
}

void kill_assert_line(const struct kill_run *run, enum sq_line_kind kind, const char *part)
{
    if (kill_has_line(run, kind, part))
        return;
    for (uint32_t i = 0; i < run->report.line_count; i++)
        print_message("%s: %s\n", sq_line_kind_name(run->report.lines[i].kind), run->report.lines[i].text);
    fail_msg("no %s line with '%s'", sq_line_kind_name(kind), part);
}

size_t kill_line_count(const struct kill_run *run, enum sq_line_kind kind)
{
    size_t count = 0;
    for (uint32_t i = 0; i < run->report.line_count; i++)
        count += run->report.lines[i].kind == kind;
    return count;
}

uint64_t kill_counter(const struct kill_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->report.counter_count; i++)
        if (strcmp(run->report.counters[i].name, name) == 0)
            return run->report.counters[i].value;
    fail_msg("no counter '%s'", name);
    return 0;
}

const char *victim_name(pid_t pid)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "[%d]", (int)pid);
    return text;
}

void victim_start_many(size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)victim_start_web();
}

/* A /tmp of the test's own, in which the checkout stays where it is if it stands below the old one. */
static bool cover_tmp(void)
{
    char checkout[PATH_MAX] = "";
    char inside[64];
    ssize_t length = readlink("/proc/self/exe", checkout, sizeof checkout - 1);
    bool is_below = length > 0 && strncmp(checkout, "/tmp/", 5) == 0;
    int fd = -1;
    if (is_below) {
        checkout[5 + strcspn(checkout + 5, "/")] = '\0';
        fd = open(checkout, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    bool is_done = mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) == 0;
    if (is_done && is_below) {
        (void)snprintf(inside, sizeof inside, "/proc/self/fd/%d", fd);
        is_done = mkdir(checkout, 0755) == 0 && mount(inside, checkout, NULL, MS_BIND, NULL) == 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return is_done;
}

static bool make_place(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 && cover_tmp() &&
           mkdir(VICTIM_DIRECTORY, 0755) == 0 &&
           system("cp /bin/sleep " VICTIM_WEB " && cp /bin/sleep " VICTIM_OTHER) == 0;
}

/* pid 1 of the namespace: makes the place, starts the tests, reaps whatever is left over. */
static int be_init(int (*run_all)(void))
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

int kill_main(int (*run_all)(void))
{
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
        printf("skipped: no pid and mount namespace of its own (%s); it needs root\n", strerror(errno));
        return 77;
    }
    pid_t init = fork();
    if (init < 0)
        return 1;
    if (init == 0)
        exit(be_init(run_all));
    int ended = 0;
    bool done = waitpid(init, &ended, 0) == init && WIFEXITED(ended);
    /* Its pid namespace is gone, so it can start no thread any more: no exit handlers, LeakSanitizer has one.
     */
    (void)fflush(NULL);
    _exit(done ? WEXITSTATUS(ended) : 1);
}
