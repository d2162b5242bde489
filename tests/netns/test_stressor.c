/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* Stressors by themselves: confined, limited, and heard when they cannot be set up. */
#include "common/clock.h"
#include "kernel/stressor.h"
#include "kill.h"
#include "stress.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FOR_NS (20 * SQ_NS_PER_SECOND)

struct started {
    struct sq_stressor_control *control;
    struct sq_process_id id;
    int pidfd;
    struct sq_error error;
};

static struct sq_stressor_job a_job(void (*work)(void *cookie, struct sq_stressor_self *self), void *cookie)
{
    return (struct sq_stressor_job){.name = "squall-test",
                                    .group_fd = -1,
                                    .uid = STRESS_UID,
                                    .gid = STRESS_UID,
                                    .core = -1,
                                    .duration_ns = FOR_NS,
                                    .cpu_seconds_max = 10,
                                    .work = work,
                                    .cookie = cookie};
}

static int start(const struct sq_stressor_job *job, struct started *started)
{
    int ready[2];
    started->control = sq_stressor_control_make();
    assert_non_null(started->control);
    assert_int_equal(pipe2(ready, O_CLOEXEC | O_NONBLOCK), 0);
    int result =
        sq_stressor_start(job, started->control, ready[1], &started->id, &started->pidfd, &started->error);
    assert_int_equal(close(ready[1]), 0);
    uint32_t count = 0;
    if (result == 0)
        while ((result = sq_stressor_take_ready(ready[0], 1, &count, &started->error)) == 0)
            stress_pause(1);
    assert_int_equal(close(ready[0]), 0);
    return result == 1 ? 0 : -1;
}

/* Release it and wait for its end; its wait status. */
static int run_to_end(const struct sq_stressor_job *job)
{
    struct started started;
    int status = 0;
    if (start(job, &started) != 0)
        fail_msg("%s", started.error.text);
    sq_stressor_set_deadline(started.control, sq_boot_ns() + FOR_NS / 2);
    assert_int_equal(waitpid(started.id.pid, &status, 0), started.id.pid);
    assert_int_equal(close(started.pidfd), 0);
    sq_stressor_control_free(started.control);
    return status;
}

enum deed {
    OPEN_FILE,
    MAKE_SOCKET,
    FORK,
    EXECUTE,
    MAP_MEMORY,
    KILL_SOMEBODY,
    TRACE,
    WRITE_TO_1,
    MOVE_CORE,
    MAKE_TIMER
};

/* What no stressor may do, by the bare system calls: libraries might refuse by themselves. */
static void misbehave(void *cookie, struct sq_stressor_self *self)
{
    const enum deed *deed = cookie;
    (void)self;
    switch (*deed) {
    case OPEN_FILE:
        (void)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
        break;
    case MAKE_SOCKET:
        (void)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
        break;
    case FORK:
        (void)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        break;
    case EXECUTE:
        (void)syscall(SYS_execve, "/bin/true", NULL, NULL);
        break;
    case MAP_MEMORY:
        (void)syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        break;
    case KILL_SOMEBODY:
        (void)syscall(SYS_kill, -1, SIGKILL);
        break;
    case TRACE:
        (void)syscall(SYS_ptrace, 16, getppid(), 0, 0);
        break;
    case WRITE_TO_1:
        (void)syscall(SYS_write, 1, "x", 1);
        break;
    case MOVE_CORE:
        (void)syscall(SYS_sched_setaffinity, 0, 8, "\377\377\377\377\377\377\377\377");
        break;
    case MAKE_TIMER:
        (void)syscall(SYS_timer_create, CLOCK_BOOTTIME, NULL, NULL);
        break;
    }
    _exit(7); /* it was allowed */
}

static void test_confined(void **state)
{
    (void)state;
    for (enum deed deed = OPEN_FILE; deed <= MAKE_TIMER; deed++) {
        struct sq_stressor_job job = a_job(misbehave, &deed);
        int status = run_to_end(&job);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("deed %d ended with status %#x", (int)deed, (unsigned)status);
    }
}

static void spin(void *cookie, struct sq_stressor_self *self)
{
    (void)cookie;
    (void)self;
    for (volatile uint64_t i = 0;; i++)
        ;
}

/* One that never looks at its lease, and whose timers were forgotten, as it were: the last resort. */
static void test_limited_cpu_time(void **state)
{
    (void)state;
    struct sq_stressor_job job = a_job(spin, NULL);
    job.cpu_seconds_max = 1;
    uint64_t start_ns = sq_boot_ns();
    int status = run_to_end(&job);
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGXCPU);
    assert_true(sq_boot_ns() - start_ns < FOR_NS / 2 - SQ_NS_PER_SECOND);
}

/* The same without that limit: the kernel's timer needs no cooperation. */
static void test_ends_without_cooperation(void **state)
{
    (void)state;
    struct sq_stressor_job job = a_job(spin, NULL);
    struct started started;
    int status = 0;
    assert_int_equal(start(&job, &started), 0);
    uint64_t deadline_ns = sq_boot_ns() + SQ_NS_PER_SECOND / 2;
    sq_stressor_set_deadline(started.control, deadline_ns);
    assert_int_equal(waitpid(started.id.pid, &status, 0), started.id.pid);
    uint64_t now_ns = sq_boot_ns();
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(now_ns >= deadline_ns && now_ns < deadline_ns + SQ_NS_PER_SECOND / 4);
    (void)close(started.pidfd);
    sq_stressor_control_free(started.control);
}

/* A deadline that is over already, and a page that was spoilt. */
static void follow(void *cookie, struct sq_stressor_self *self)
{
    (void)cookie;
    for (;;) {
        sq_stressor_wait(self, SQ_NS_PER_MILLISECOND);
        sq_stressor_tick(self);
    }
}

static void test_deadlines_that_make_no_sense(void **state)
{
    (void)state;
    struct sq_stressor_job job = a_job(follow, NULL);
    struct started started;
    int status = 0;
    assert_int_equal(start(&job, &started), 0);
    sq_stressor_set_deadline(started.control, 1);
    assert_int_equal(waitpid(started.id.pid, &status, 0), started.id.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)close(started.pidfd);
    sq_stressor_control_free(started.control);
    assert_int_equal(start(&job, &started), 0);
    sq_stressor_set_deadline(started.control, sq_boot_ns() + FOR_NS / 2);
    stress_pause(50);
    sq_stressor_set_deadline(started.control, 0);
    assert_int_equal(waitpid(started.id.pid, &status, 0), started.id.pid);
#ifdef __SANITIZE_ADDRESS__
    assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGSYS); /* looking for leaks on the way out */
#else
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == SQ_STRESSOR_NO_TIMER);
#endif
    (void)close(started.pidfd);
    sq_stressor_control_free(started.control);
}

static int fail_to_set_up(void *cookie, int files[SQ_STRESSOR_FILES_MAX], struct sq_error *error)
{
    (void)cookie;
    (void)files;
    return sq_fail(error, SQ_UNABLE, "there is a hole in the bucket");
}

static void test_cannot_be_set_up(void **state)
{
    (void)state;
    struct sq_stressor_job job = a_job(spin, NULL);
    struct started started;
    job.set_up = fail_to_set_up;
    assert_int_equal(start(&job, &started), -1);
    assert_string_equal(started.error.text, "a stressor could not be set up: there is a hole in the bucket");
    assert_int_equal(waitpid(started.id.pid, NULL, 0), started.id.pid);
    job = a_job(spin, NULL);
    job.core = CPU_SETSIZE - 1;
    assert_int_equal(start(&job, &started), -1);
    assert_non_null(strstr(started.error.text, "cannot run on core 1023"));
    assert_int_equal(waitpid(started.id.pid, NULL, 0), started.id.pid);
}

static int die_in_set_up(void *cookie, int files[SQ_STRESSOR_FILES_MAX], struct sq_error *error)
{
    (void)cookie;
    (void)files;
    (void)error;
    _exit(9);
}

static void test_dies_in_its_set_up(void **state)
{
    (void)state;
    struct sq_stressor_job job = a_job(spin, NULL);
    struct started started;
    job.set_up = die_in_set_up;
    uint64_t start_ns = sq_boot_ns();
    assert_int_equal(start(&job, &started), -1);
    assert_string_equal(started.error.text, "a stressor ended before it was ready");
    assert_true(sq_boot_ns() - start_ns < SQ_NS_PER_SECOND);
    assert_int_equal(waitpid(started.id.pid, NULL, 0), started.id.pid);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        STRESS_TEST(test_confined),
        STRESS_TEST(test_limited_cpu_time),
        STRESS_TEST(test_ends_without_cooperation),
        STRESS_TEST(test_deadlines_that_make_no_sense),
        STRESS_TEST(test_cannot_be_set_up),
        STRESS_TEST(test_dies_in_its_set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
