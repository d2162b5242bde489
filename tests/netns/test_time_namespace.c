/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/*
 * In a time namespace the processes' clock is not the kernel's, by which a fault ends. Everybody is killed;
 * the peer is back within the lease, whichever way the clock is shifted.
 */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "kernel/boot_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define LEASE_MS       1000
#define EXIT_NO_TIMENS 77

static struct impairment *shared;

/* Inside: the offset that was asked for is what is measured, within what measuring takes. */
static void check_clock(int64_t offset_ns)
{
    int64_t ahead_ns;
    struct sq_error error;
    if (sq_boot_clock_measure(&ahead_ns, &error) != 0) {
        print_message("%s\n", error.text);
        _exit(10);
    }
    int64_t off_ns = -offset_ns - ahead_ns;
    print_message("the kernel is %lld ns ahead, %lld ns too little\n", (long long)ahead_ns,
                  (long long)off_ns);
    if (off_ns < 0 || off_ns > (int64_t)SQ_NS_PER_MILLISECOND)
        _exit(11);
}

static void cut_and_hang(int done)
{
    char byte = 1;
    if (impairment_preview(shared) != 0 || impairment_prepare(shared) != 0)
        _exit(12);
    impairment_inject(shared, LEASE_MS);
    if (write(done, &byte, 1) != 1)
        _exit(13);
    for (;;)
        pause();
}

static bool set_offset(long long seconds, long long nanoseconds)
{
    char text[80];
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    int length = snprintf(text, sizeof text, "boottime %lld %lld\n", seconds, nanoseconds);
    bool set = fd >= 0 && write(fd, text, (size_t)length) == length;
    if (fd >= 0)
        close(fd);
    return set;
}

/* A process of its own makes the time namespace, its child lives in it; both are gone before this returns. */
static void cut_inside(long long seconds, long long nanoseconds, bool kill_it)
{
    int done[2];
    assert_int_equal(pipe(done), 0);
    pid_t outer = fork();
    assert_true(outer >= 0);
    if (outer == 0) {
        if (unshare(CLONE_NEWTIME) != 0 || !set_offset(seconds, nanoseconds))
            _exit(EXIT_NO_TIMENS);
        pid_t inner = fork();
        if (inner == 0) {
            check_clock(seconds * (int64_t)SQ_NS_PER_SECOND + nanoseconds);
            cut_and_hang(done[1]);
        }
        close(done[1]);
        char byte;
        bool is_cut = read(done[0], &byte, 1) == 1;
        if (kill_it || !is_cut)
            (void)kill(inner, SIGKILL);
        int status;
        (void)waitpid(inner, &status, 0);
        _exit(is_cut ? 0 : WEXITSTATUS(status));
    }
    close(done[0]);
    close(done[1]);
    int status;
    assert_int_equal(waitpid(outer, &status, 0), outer);
    if (WEXITSTATUS(status) == EXIT_NO_TIMENS) {
        print_message("not checked: this kernel has no time namespaces\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_killed_in_a_time_namespace(void **state)
{
    (void)state;
    /* The clock must not become negative: back by no more than the machine has been up. */
    long long up_s = (long long)(sq_boot_ns() / SQ_NS_PER_SECOND);
    const struct {
        long long seconds;
        long long nanoseconds;
    } offsets[] = {{60, 0}, {up_s > 90 ? -60 : -up_s / 2, 0}, {3600, 123456789}, {0, 0}};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        fixture_open(&lab);
        impairment_init(shared, SQ_DIRECTION_BOTH, "eth0");
        impairment_to(shared, "10.9.0.2");
        cut_inside(offsets[i].seconds, offsets[i].nanoseconds, true);
        uint64_t injected_ns = sq_boot_ns();
        assert_int_equal(fixture_out4(&lab, "2"), 0);
        uint64_t lost_ns = fixture_last_lost_ns(&lab, "10.9.0.1", "10.9.0.2", 5 * SQ_NS_PER_SECOND);
        uint64_t cut_ms = (lost_ns - injected_ns) / SQ_NS_PER_MILLISECOND;
        print_message("offset %lld s: cut for %llu ms at least, the lease was %d ms\n", offsets[i].seconds,
                      (unsigned long long)cut_ms, LEASE_MS);
        assert_true(cut_ms <= LEASE_MS);
        assert_int_equal(impairment_recover(shared), 0);
        fixture_close(&lab);
    }
}

int main(void)
{
    fixture_require_root();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_in_a_time_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
