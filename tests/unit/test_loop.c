/* libraries: sq_loop sq_common */
/* The controller's event loop: what is called when, what may be removed when, and a clock that is played. */
#include "common/clock.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define START_NS (1000 * SQ_NS_PER_SECOND)

struct seen {
    struct sq_loop *loop;
    struct sq_loop_source *source;
    struct sq_loop_source *other;
    int fd;
    unsigned calls;
    uint32_t events;
    int wait_status;
    uint64_t at_boot_ns;
};

static struct sq_loop *open_loop(bool played)
{
    struct sq_error error = {0};
    struct sq_loop *loop = NULL;
    int status = played ? sq_loop_open_played(START_NS, &loop, &error) : sq_loop_open(&loop, &error);
    if (status != 0)
        fail_msg("%s", error.text);
    return loop;
}

static void turn(struct sq_loop *loop, uint64_t until_boot_ns)
{
    struct sq_error error = {0};
    if (sq_loop_turn(loop, until_boot_ns, &error) != 0)
        fail_msg("%s", error.text);
}

static void on_fd(void *cookie, uint32_t events)
{
    struct seen *seen = cookie;
    char bytes[64];
    seen->calls++;
    seen->events = events;
    if ((events & EPOLLIN) != 0)
        (void)!read(seen->fd, bytes, sizeof(bytes));
}

static void on_timer(void *cookie)
{
    struct seen *seen = cookie;
    seen->calls++;
    seen->at_boot_ns = sq_loop_now_boot_ns(seen->loop);
}

static void on_child(void *cookie, int wait_status)
{
    struct seen *seen = cookie;
    seen->calls++;
    seen->wait_status = wait_status;
}

static void remove_both(void *cookie)
{
    struct seen *seen = cookie;
    seen->calls++;
    sq_loop_remove(seen->source);
    sq_loop_remove(seen->other);
    seen->source = seen->other = NULL;
}

static void remove_both_on_fd(void *cookie, uint32_t events)
{
    (void)events;
    remove_both(cookie);
}

static void tells_a_descriptor_what_it_is_ready_for(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct seen seen = {.loop = open_loop(false), .fd = ends[0]};
    assert_int_equal(sq_loop_add_fd(seen.loop, ends[0], EPOLLIN, on_fd, &seen, &seen.source, NULL), 0);
    turn(seen.loop, 0);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    turn(seen.loop, UINT64_MAX);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.events, EPOLLIN);
    assert_int_equal(sq_loop_set_events(seen.source, 0, NULL), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    turn(seen.loop, 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(close(ends[1]), 0); /* hang-ups are told unasked */
    turn(seen.loop, UINT64_MAX);
    assert_int_equal(seen.calls, 2);
    assert_true((seen.events & EPOLLHUP) != 0);
    sq_loop_close(seen.loop);
    (void)close(ends[0]);
}

static void watches_a_descriptor_twice(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct sq_loop *loop = open_loop(false);
    struct seen one = {.loop = loop, .fd = -1};
    struct seen two = {.loop = loop, .fd = -1};
    assert_int_equal(sq_loop_add_fd(loop, ends[1], EPOLLOUT, on_fd, &one, &one.source, NULL), 0);
    assert_int_equal(sq_loop_add_fd(loop, ends[1], EPOLLOUT, on_fd, &two, &two.source, NULL), 0);
    turn(loop, UINT64_MAX);
    assert_true(one.calls > 0 && two.calls > 0);
    sq_loop_remove(one.source);
    unsigned before = two.calls;
    turn(loop, UINT64_MAX);
    assert_true(two.calls > before);
    sq_loop_close(loop);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void takes_a_regular_file_for_always_ready(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    struct seen seen = {.loop = open_loop(false), .fd = -1};
    assert_int_equal(sq_loop_add_fd(seen.loop, fileno(file), EPOLLOUT, on_fd, &seen, &seen.source, NULL), 0);
    turn(seen.loop, UINT64_MAX);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(sq_loop_set_events(seen.source, 0, NULL), 0);
    turn(seen.loop, sq_boot_ns() + SQ_NS_PER_MILLISECOND);
    assert_int_equal(seen.calls, 1);
    sq_loop_close(seen.loop);
    (void)fclose(file);
}

static void calls_a_timer_once_and_not_early(void **state)
{
    (void)state;
    struct seen seen = {.loop = open_loop(false)};
    assert_int_equal(sq_loop_add_timer(seen.loop, on_timer, &seen, &seen.source, NULL), 0);
    uint64_t at_boot_ns = sq_boot_ns() + 3 * SQ_NS_PER_MILLISECOND;
    sq_loop_arm(seen.source, at_boot_ns);
    turn(seen.loop, 0);
    assert_int_equal(seen.calls, 0);
    turn(seen.loop, UINT64_MAX);
    assert_int_equal(seen.calls, 1);
    assert_true(seen.at_boot_ns >= at_boot_ns);
    turn(seen.loop, 0);
    assert_int_equal(seen.calls, 1);
    sq_loop_arm(seen.source, 1);
    sq_loop_arm(seen.source, 0);
    turn(seen.loop, 0);
    assert_int_equal(seen.calls, 1);
    sq_loop_close(seen.loop);
}

static pid_t start_child(int exit_status)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(exit_status);
    return pid;
}

static void reaps_a_child(void **state)
{
    (void)state;
    struct seen seen = {.loop = open_loop(false)};
    pid_t pid = start_child(7);
    assert_int_equal(sq_loop_add_child(seen.loop, pid, on_child, &seen, &seen.source, NULL), 0);
    turn(seen.loop, UINT64_MAX);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(WEXITSTATUS(seen.wait_status), 7);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    turn(seen.loop, 0);
    assert_int_equal(seen.calls, 1);
    sq_loop_close(seen.loop);
}

static void tells_of_a_child_that_somebody_else_reaped(void **state)
{
    (void)state;
    struct seen seen = {.loop = open_loop(false)};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit((int)!read(ends[0], ends, 1));
    assert_int_equal(sq_loop_add_child(seen.loop, pid, on_child, &seen, &seen.source, NULL), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    turn(seen.loop, UINT64_MAX);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.wait_status, -1);
    sq_loop_close(seen.loop);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void lets_a_call_remove_itself_and_others(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    struct sq_loop *loop = open_loop(false);
    struct seen timer = {.loop = loop};
    struct seen other = {.loop = loop};
    struct seen fd = {.loop = loop, .fd = ends[0]};
    assert_int_equal(sq_loop_add_timer(loop, on_timer, &other, &other.source, NULL), 0);
    assert_int_equal(sq_loop_add_timer(loop, remove_both, &timer, &timer.source, NULL), 0);
    timer.other = other.source;
    sq_loop_arm(other.source, 1);
    sq_loop_arm(timer.source, 1);
    turn(loop, 0); /* sources are walked from the last: `timer` first */
    assert_int_equal(timer.calls, 1);
    assert_int_equal(other.calls, 0);
    assert_int_equal(sq_loop_add_fd(loop, ends[0], EPOLLIN, remove_both_on_fd, &fd, &fd.source, NULL), 0);
    assert_int_equal(sq_loop_add_fd(loop, ends[1], EPOLLOUT, on_fd, &other, &fd.other, NULL), 0);
    turn(loop, 0);
    turn(loop, 0);
    assert_int_equal(fd.calls, 1);
    assert_true(other.calls <= 1); /* its turn may have come first */
    sq_loop_close(loop);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void plays_its_clock_from_timer_to_timer(void **state)
{
    (void)state;
    uint64_t began_boot_ns = sq_boot_ns();
    struct sq_loop *loop = open_loop(true);
    struct seen hour = {.loop = loop};
    struct seen day = {.loop = loop};
    assert_int_equal(sq_loop_now_boot_ns(loop), START_NS);
    assert_int_equal(sq_loop_add_timer(loop, on_timer, &hour, &hour.source, NULL), 0);
    assert_int_equal(sq_loop_add_timer(loop, on_timer, &day, &day.source, NULL), 0);
    sq_loop_arm(day.source, START_NS + 86400 * SQ_NS_PER_SECOND);
    sq_loop_arm(hour.source, START_NS + 3600 * SQ_NS_PER_SECOND);
    turn(loop, 0);
    assert_int_equal(sq_loop_now_boot_ns(loop), START_NS);
    turn(loop, START_NS + SQ_NS_PER_SECOND);
    assert_int_equal(sq_loop_now_boot_ns(loop), START_NS + SQ_NS_PER_SECOND);
    turn(loop, UINT64_MAX);
    assert_int_equal(hour.at_boot_ns, START_NS + 3600 * SQ_NS_PER_SECOND);
    assert_int_equal(day.calls, 0);
    turn(loop, UINT64_MAX);
    assert_int_equal(day.at_boot_ns, START_NS + 86400 * SQ_NS_PER_SECOND);
    assert_true(sq_boot_ns() - began_boot_ns < 60 * SQ_NS_PER_SECOND);
    sq_loop_close(loop);
}

/* What is always ready is ready now: however often it is called, no time passes. */
static void plays_no_time_while_something_is_ready(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct sq_loop *loop = open_loop(true);
    struct seen always = {.loop = loop, .fd = -1};
    struct seen once = {.loop = loop, .fd = ends[0]};
    struct seen timer = {.loop = loop};
    assert_int_equal(sq_loop_add_fd(loop, fileno(file), EPOLLOUT, on_fd, &always, &always.source, NULL), 0);
    turn(loop, UINT64_MAX);
    assert_int_equal(sq_loop_now_boot_ns(loop), START_NS);
    assert_int_equal(always.calls, 1);
    sq_loop_remove(always.source);
    assert_int_equal(sq_loop_add_timer(loop, on_timer, &timer, &timer.source, NULL), 0);
    sq_loop_arm(timer.source, START_NS + 1);
    assert_int_equal(sq_loop_add_fd(loop, ends[0], EPOLLIN, on_fd, &once, &once.source, NULL), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    turn(loop, UINT64_MAX);
    assert_int_equal(once.calls, 1);
    assert_int_equal(timer.calls, 0);
    turn(loop, UINT64_MAX);
    assert_int_equal(timer.calls, 1);
    sq_loop_close(loop);
    (void)fclose(file);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_a_descriptor_what_it_is_ready_for),
        cmocka_unit_test(watches_a_descriptor_twice),
        cmocka_unit_test(takes_a_regular_file_for_always_ready),
        cmocka_unit_test(calls_a_timer_once_and_not_early),
        cmocka_unit_test(reaps_a_child),
        cmocka_unit_test(tells_of_a_child_that_somebody_else_reaped),
        cmocka_unit_test(lets_a_call_remove_itself_and_others),
        cmocka_unit_test(plays_its_clock_from_timer_to_timer),
        cmocka_unit_test(plays_no_time_while_something_is_ready),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
