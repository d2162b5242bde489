/* libraries: sq_kernel sq_common */
/* Guards end with the injector, or undo after it, at whatever step it is killed. */
#include "kernel/guard.h"

#include "common/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WITHIN_MS 10000

/* Between the test, a process that plays the injector, and its guard. */
static struct {
    _Atomic uint32_t setting_up;
    _Atomic uint32_t may_set_up;
    _Atomic uint32_t ready;
    _Atomic uint32_t undone;
    _Atomic int32_t guard_pid;
} * shared;

static int held[2]; /* a pipe whose writing end the guard holds */

static int set_up(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)munmap(shared, sizeof *shared);
    (void)close(held[0]);
    if (held[1] >= 0)
        (void)close(held[1]);
    return 0;
}

static int wait_in_set_up(void *cookie, struct sq_error *error)
{
    (void)cookie;
    (void)error;
    atomic_store(&shared->setting_up, 1);
    while (atomic_load(&shared->may_set_up) == 0)
        usleep(1000);
    return 0;
}

static int refuse_set_up(void *cookie, struct sq_error *error)
{
    (void)cookie;
    return sq_fail(error, SQ_UNABLE, "there is nothing to hold");
}

static void count_undo(void *cookie)
{
    (void)cookie;
    (void)atomic_fetch_add(&shared->undone, 1);
}

static struct sq_guard_job job_of(enum sq_guard_way way)
{
    return (struct sq_guard_job){.name = "test-guard",
                                 .way = way,
                                 .files = {held[1]},
                                 .file_count = 1,
                                 .set_up = wait_in_set_up,
                                 .undo = count_undo};
}

static void start(enum sq_guard_way way, struct sq_guard *guard)
{
    struct sq_error error;
    struct sq_guard_job job = job_of(way);
    if (sq_guard_start(&job, guard, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(sq_guard_go(guard), 0);
}

static void await(_Atomic uint32_t *flag)
{
    for (int i = 0; i < WITHIN_MS && atomic_load(flag) == 0; i++)
        usleep(1000);
    assert_int_not_equal(atomic_load(flag), 0);
}

static void await_ready(struct sq_guard *guard)
{
    struct sq_error error;
    int result = 0;
    for (int i = 0; i < WITHIN_MS && result == 0; i++) {
        usleep(1000);
        result = sq_guard_ready(guard, &error);
    }
    if (result != 1)
        fail_msg("%s", result == 0 ? "not ready in time" : error.text);
}

static void await_gone(struct sq_guard *guard)
{
    for (int i = 0; i < WITHIN_MS && !sq_guard_is_gone(guard); i++)
        usleep(1000);
    assert_true(sq_guard_is_gone(guard));
}

/* What the guard held is closed. */
static void assert_released(void)
{
    char byte;
    (void)close(held[1]);
    held[1] = -1;
    struct pollfd polled = {.fd = held[0], .events = POLLIN};
    assert_int_equal(poll(&polled, 1, WITHIN_MS), 1);
    assert_int_equal(read(held[0], &byte, 1), 0);
}

static void test_its_life(void **state)
{
    (void)state;
    struct sq_guard guard;
    struct sq_error error;
    start(SQ_GUARD_WITH_INJECTOR, &guard);
    await(&shared->setting_up);
    assert_int_equal(sq_guard_ready(&guard, &error), 0);
    atomic_store(&shared->may_set_up, 1);
    await_ready(&guard);
    assert_int_equal(sq_guard_ready(&guard, &error), 1);
    assert_false(sq_guard_is_gone(&guard));
    struct sq_process process;
    assert_int_equal(sq_process_read(guard.id.pid, &process), 0);
    assert_string_equal(process.comm, "test-guard");
    assert_int_equal(process.id.start_ticks, guard.id.start_ticks);
    sq_guard_end(&guard);
    await_gone(&guard);
    sq_guard_end(&guard);
    assert_released();
    assert_int_equal(atomic_load(&shared->undone), 0);
    sq_guard_release(&guard);
    assert_true(sq_guard_is_gone(&guard));
}

/* None but its own two ways to the injector, the injector's pidfd, its timer, and what it was given. */
static void test_it_keeps_no_other_descriptor(void **state)
{
    (void)state;
    struct sq_guard guard;
    char path[64];
    atomic_store(&shared->may_set_up, 1);
    start(SQ_GUARD_AFTER_INJECTOR, &guard);
    await_ready(&guard);
    (void)snprintf(path, sizeof path, "/proc/%d/fd", guard.id.pid);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    unsigned count = 0;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    assert_in_range(count, 3, 5); /* the way that told "ready" may not be closed yet */
    sq_guard_release(&guard);
}

static void test_set_up_is_told(void **state)
{
    (void)state;
    struct sq_guard guard;
    struct sq_error error;
    struct sq_guard_job job = job_of(SQ_GUARD_WITH_INJECTOR);
    job.set_up = refuse_set_up;
    assert_int_equal(sq_guard_start(&job, &guard, &error), 0);
    assert_int_equal(sq_guard_go(&guard), 0);
    int result = 0;
    for (int i = 0; i < WITHIN_MS && result == 0; i++) {
        usleep(1000);
        result = sq_guard_ready(&guard, &error);
    }
    assert_int_equal(result, -1);
    assert_int_equal(error.code, SQ_UNABLE);
    assert_string_equal(error.text, "there is nothing to hold");
    await_gone(&guard);
    sq_guard_release(&guard);
}

/* One that is killed while it sets itself up says nothing, and that is told as well. */
static void test_an_early_end_is_told(void **state)
{
    (void)state;
    struct sq_guard guard;
    struct sq_error error;
    start(SQ_GUARD_WITH_INJECTOR, &guard);
    await(&shared->setting_up);
    sq_guard_end(&guard);
    await_gone(&guard);
    assert_int_equal(sq_guard_ready(&guard, &error), -1);
    assert_non_null(strstr(error.text, "ended before it was ready"));
    sq_guard_release(&guard);
}

enum step { BLOCKED, AT_ONCE, IN_SET_UP, WHEN_READY, STEPS };

/* A process that plays the injector: goes so far with a guard, and is killed. Returns the guard's pid. */
static pid_t kill_injector(enum sq_guard_way way, enum step step)
{
    memset(shared, 0, sizeof *shared);
    pid_t injector = fork();
    assert_true(injector >= 0);
    if (injector == 0) {
        struct sq_guard guard;
        struct sq_guard_job job = job_of(way);
        if (sq_guard_start(&job, &guard, NULL) != 0)
            _exit(1);
        atomic_store(&shared->guard_pid, guard.id.pid);
        if (step != BLOCKED)
            (void)sq_guard_go(&guard);
        if (step == WHEN_READY) {
            atomic_store(&shared->may_set_up, 1);
            while (sq_guard_ready(&guard, NULL) == 0)
                usleep(1000);
        } else if (step == IN_SET_UP) {
            await(&shared->setting_up);
        }
        atomic_store(&shared->ready, 1);
        for (;;)
            (void)pause();
    }
    await(&shared->ready);
    pid_t guard_pid = atomic_load(&shared->guard_pid);
    /* What ends a service is for the injector to decide about. */
    if (step == WHEN_READY)
        assert_int_equal(kill(guard_pid, SIGTERM), 0);
    assert_int_equal(kill(injector, SIGKILL), 0);
    assert_int_equal(waitpid(injector, NULL, 0), injector);
    return guard_pid;
}

/* This process is its new parent. */
static void await_end_of(pid_t pid)
{
    pid_t got = 0;
    for (int i = 0; i < WITHIN_MS && got == 0; i++) {
        usleep(1000);
        got = waitpid(pid, NULL, WNOHANG);
    }
    assert_int_equal(got, pid);
}

static void test_it_ends_with_the_injector(void **state)
{
    (void)state;
    for (enum step step = BLOCKED; step < STEPS; step++) {
        await_end_of(kill_injector(SQ_GUARD_WITH_INJECTOR, step));
        assert_int_equal(atomic_load(&shared->undone), 0);
    }
    assert_released();
}

static void test_it_undoes_after_the_injector(void **state)
{
    (void)state;
    for (enum step step = BLOCKED; step < STEPS; step++) {
        pid_t guard_pid = kill_injector(SQ_GUARD_AFTER_INJECTOR, step);
        if (step == IN_SET_UP) {
            usleep(20000);
            assert_int_equal(atomic_load(&shared->undone), 0); /* first all, then nothing of it */
            atomic_store(&shared->may_set_up, 1);
        }
        /* One that was let go but had not yet begun when the injector died may do either. */
        atomic_store(&shared->may_set_up, 1);
        await_end_of(guard_pid);
        if (step == BLOCKED)
            assert_int_equal(atomic_load(&shared->undone), 0);
        else
            assert_int_equal(atomic_load(&shared->undone), atomic_load(&shared->setting_up));
    }
    assert_released();
}

static uint64_t in_ms(uint64_t ms)
{
    return sq_boot_ns() + ms * SQ_NS_PER_MILLISECOND;
}

/* A guard's end, moved from 100 ms to 1 s from now; then until the first is over. False: the machine was busy
 * for so long that nothing can be said of it, neither of the moving nor of what the guard is to be until its
 * end. */
static bool move_deadline(struct sq_guard *guard)
{
    uint64_t first_ns = in_ms(100);
    uint64_t second_ns = in_ms(1000);
    int first = sq_guard_set_deadline(guard, first_ns);
    int second = sq_guard_set_deadline(guard, second_ns);
    if (sq_boot_ns() >= first_ns)
        return false;
    assert_int_equal(first, 0);
    assert_int_equal(second, 0);
    usleep(150000);
    bool is_gone = sq_guard_is_gone(guard);
    uint32_t undone = atomic_load(&shared->undone);
    if (sq_boot_ns() >= second_ns)
        return false;
    assert_false(is_gone);
    assert_int_equal(undone, 0);
    return true;
}

static void start_with_moved_deadline(enum sq_guard_way way, struct sq_guard *guard)
{
    for (int i = 0; i < 5; i++) {
        start(way, guard);
        await_ready(guard);
        if (move_deadline(guard))
            return;
        print_message("once more: the machine was busy\n");
        await_gone(guard);
        sq_guard_release(guard);
        atomic_store(&shared->undone, 0);
    }
    fail_msg("the machine is too busy for this test");
}

/* The kernel ends it, even one that cannot run; a renewal moves the end. */
static void test_deadline_kills(void **state)
{
    (void)state;
    struct sq_guard guard;
    atomic_store(&shared->may_set_up, 1);
    for (int stopped = 0; stopped < 2; stopped++) {
        start_with_moved_deadline(SQ_GUARD_WITH_INJECTOR, &guard);
        if (stopped != 0)
            assert_int_equal(kill(guard.id.pid, SIGSTOP), 0);
        await_gone(&guard);
        sq_guard_release(&guard);
    }
    assert_int_equal(atomic_load(&shared->undone), 0);
}

static void test_deadline_undoes(void **state)
{
    (void)state;
    struct sq_guard guard;
    atomic_store(&shared->may_set_up, 1);
    start_with_moved_deadline(SQ_GUARD_AFTER_INJECTOR, &guard);
    await_gone(&guard);
    assert_int_equal(atomic_load(&shared->undone), 1);
    sq_guard_release(&guard);
}

int main(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_its_life, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_keeps_no_other_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_set_up_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_early_end_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_ends_with_the_injector, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_undoes_after_the_injector, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_kills, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline_undoes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
