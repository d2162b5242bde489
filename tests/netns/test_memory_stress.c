/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* memory.stress: how much it holds, what it refuses, and that it ends whoever dies. */
#include "common/clock.h"
#include "common/file.h"
#include "kernel/host_memory.h"
#include "kill.h"
#include "stress.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS   (500 * SQ_NS_PER_MILLISECOND)
#define LONG_NS    (30 * SQ_NS_PER_SECOND)
#define AT_ONCE_NS (250 * SQ_NS_PER_MILLISECOND) /* on a busy machine */
#define MIB        (UINT64_C(1) << 20)
#define MEMINFO    "/proc/meminfo"

static void begin(struct stress_run *run)
{
    stress_begin(run, "memory.stress");
}

/* The proportional set size, without page tables. */
static uint64_t pss_bytes(pid_t pid)
{
    char path[64];
    static char content[8192];
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    assert_true(sq_file_read_into(path, content, sizeof content) > 0);
    const char *line = strstr(content, "\nPss:");
    assert_non_null(line);
    return (uint64_t)strtoull(line + 5, NULL, 10) * 1024;
}

static void wait_until_held(struct stress_run *run, uint64_t bytes)
{
    for (int i = 0; i < 12000; i++) {
        stress_status(run);
        if (stress_counter(run, "held-bytes") >= bytes)
            return;
        stress_pause(5);
    }
    fail_msg("only %llu bytes are held", (unsigned long long)stress_counter(run, "held-bytes"));
}

static void test_whole_life(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_must(run, run->ops->able(&run->order, &run->error));
    stress_set(run, "bytes", "300MiB");
    stress_must(run, stress_preview(run));
    stress_assert_line(run, SQ_LINE_TOUCHES, "300MiB of ");
    assert_int_equal(stress_count_alive(), 0);
    stress_must(run, stress_prepare(run));
    assert_int_equal(run->record_count, 1);
    pid_t pid = stress_pid(run, 0);
    stress_pause(50);
    assert_true(pss_bytes(pid) < 4 * MIB);
    stress_must(run, stress_inject(run, LONG_NS));
    wait_until_held(run, 300 * MIB);
    assert_true(run->report.touched);
    assert_true(stress_counter(run, "resident-bytes") >= 300 * MIB);
    stress_assert_line(run, SQ_LINE_NOTE, "all of 300MiB was taken");
    stress_clean(run);
    stress_clean(run);
    stress_remove(run);
    assert_false(stress_is_alive(pid));
    stress_status(run);
    assert_int_equal(stress_counter(run, "resident-bytes"), 0);
    stress_remove(run);
}

static void expect_held(struct stress_run *run, const char *text, uint64_t bytes)
{
    begin(run);
    stress_set(run, "bytes", text);
    stress_must(run, stress_preview(run));
    stress_must(run, stress_prepare(run));
    uint64_t runtime = 0;
#ifdef __SANITIZE_ADDRESS__
    runtime = pss_bytes(stress_pid(run, 0)); /* the sanitizer's own, which no user has */
#endif
    stress_must(run, stress_inject(run, LONG_NS));
    wait_until_held(run, bytes);
    uint64_t pss = 0;
    for (uint32_t i = 0; i < stress_record(run)->count; i++)
        pss += pss_bytes(stress_pid(run, i)) - runtime;
    uint64_t tolerated = bytes / 200 > MIB ? bytes / 200 : MIB;
    if (pss + tolerated < bytes || pss > bytes + tolerated)
        fail_msg("%s: PSS is %llu, not %llu", text, (unsigned long long)pss, (unsigned long long)bytes);
    stress_clean(run);
    stress_remove(run);
}

static void test_exactly_what_was_asked(void **state)
{
    struct stress_run *run = *state;
    expect_held(run, "4KiB", 4096);
    expect_held(run, "1MiB", MIB);
    expect_held(run, "7001KiB", 7000 * 1024); /* whole pages */
    expect_held(run, "200MiB", 200 * MIB);
    struct sq_host_memory memory;
    assert_int_equal(sq_host_memory_read(&memory, NULL), 0);
    if (memory.available_bytes > 4096 * MIB)
        expect_held(run, "1GiB", 1024 * MIB);
}

static void test_who_it_is(void **state)
{
    struct stress_run *run = *state;
    char value[64];
    begin(run);
    stress_set(run, "bytes", "1MiB");
    stress_to_injected(run, LONG_NS);
    pid_t pid = stress_pid(run, 0);
    static const char *const expected[][2] = {
        {"Uid", "65534\t65534\t65534\t65534"},
        {"CapPrm", "0000000000000000"},
        {"CapBnd", "0000000000000000"},
        {"NoNewPrivs", "1"},
        {"Seccomp", "2"},
        {"Threads", "1"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        stress_status_field(pid, expected[i][0], value, sizeof value);
        assert_string_equal(value, expected[i][1]);
    }
    char command[128];
    (void)snprintf(command, sizeof command,
                   "grep -qx squall-mem /proc/%d/comm && grep -qx 1000 /proc/%d/oom_score_adj", (int)pid,
                   (int)pid);
    assert_int_equal(system(command), 0);
}

#define SMALL_HOST                                                                                           \
    "MemTotal:        1048576 kB\nMemFree:          100000 kB\nMemAvailable:     524288 kB\nSwapTotal:     " \
    "        "                                                                                               \
    "0 kB\n"

/* On a host of 1 GiB, of which half is available. */
static void test_refuses_more_than_there_is(void **state)
{
    struct stress_run *run = *state;
    stress_fake_file(MEMINFO, SMALL_HOST);
    begin(run);
    stress_set(run, "bytes", "600MiB");
    stress_refused(run, SQ_UNABLE, "600MiB of memory are asked for, but only 512MiB of 1GiB are available");
    begin(run);
    stress_set(run, "percent", "100%");
    stress_refused(run, SQ_UNABLE, "1GiB of memory are asked for, but only 512MiB");
    begin(run);
    stress_set(run, "leave", "512MiB");
    stress_refused(run, SQ_UNABLE, "only 512MiB of memory are available, and 512MiB are to be left");
    begin(run);
    stress_set(run, "bytes", "1024TiB");
    stress_refused(run, SQ_UNABLE, "only 512MiB of 1GiB are available");
    stress_unfake_file(MEMINFO);
}

static void test_keeps_the_floor(void **state)
{
    struct stress_run *run = *state;
    stress_fake_file(MEMINFO, SMALL_HOST);
    /* 64 MiB is more than 5 % of 1 GiB. */
    begin(run);
    stress_set(run, "bytes", "460MiB");
    stress_refused(
        run, SQ_POLICY,
        "460MiB of memory are asked for and 512MiB are available, which leaves 51.1MiB; a policy that "
        "says nothing else keeps 64MiB ('memory-floor')");
    begin(run);
    stress_set(run, "bytes", "440MiB");
    stress_must(run, stress_preview(run));
    run->protection.memory_floor_bytes = 128 * MIB;
    stress_refused(run, SQ_POLICY, "the policy keeps 128MiB");
    begin(run);
    run->protection.memory_floor_bytes = 128 * MIB;
    stress_set(run, "leave", "100MiB");
    stress_refused(run, SQ_POLICY, "the policy keeps 128MiB");
    begin(run);
    run->protection.memory_floor_bytes = 128 * MIB;
    stress_set(run, "leave", "256MiB");
    stress_must(run, stress_preview(run));
    /* Room is left for the page tables: 8 bytes for each page of 4 KiB. */
    assert_int_equal(sq_stress_record_of(&run->undo)->amount_bytes, 256 * MIB - MIB / 2);
    stress_unfake_file(MEMINFO);
}

static void test_refuses_more_than_its_control_group_allows(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_set(run, "bytes", "200MiB");
    if (!stress_enter_group("memory", "memory.limit_in_bytes 104857600", "memory.max 104857600")) {
        print_message("skipped: no control group with a memory limit here\n");
        skip();
    }
    stress_refused(run, SQ_UNABLE,
                   "200MiB of memory are asked for, but the agent's own control group allows only ");
    begin(run);
    stress_set(run, "bytes", "50MiB");
    stress_must(run, stress_preview(run));
    stress_leave_group();
}

/* Above memory.high nobody is killed, but the agent would be held back with its stressors. */
static void test_memory_high_counts(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_set(run, "bytes", "200MiB");
    if (!stress_enter_group("memory", "no.such.file 0", "memory.high 104857600")) {
        print_message("skipped: no memory.high here\n");
        skip();
    }
    stress_refused(run, SQ_UNABLE,
                   "200MiB of memory are asked for, but the agent's own control group allows only ");
    stress_leave_group();
}

/* The limit comes when the memory is taken already: the stressors give way, and the agent goes on. */
static void test_limit_that_comes_later(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_set(run, "bytes", "200MiB");
    if (!stress_enter_group("memory", "memory.limit_in_bytes -1", "memory.high max")) {
        print_message("skipped: no control group for memory here\n");
        skip();
    }
    stress_to_injected(run, 30 * SQ_NS_PER_SECOND);
    while (stress_status(run), stress_counter(run, "held-bytes") < 200 * MIB)
        stress_pause(5);
    assert_true(run->ops->attend(run->state, &run->undo, sq_boot_ns()) > sq_boot_ns());
    uint64_t begin_ns = sq_boot_ns();
    if (!stress_limit_group("memory.high", "104857600")) {
        stress_clean(run);
        stress_remove(run);
        stress_leave_group();
        print_message("skipped: no memory.high here\n");
        skip();
    }
    assert_int_equal(run->ops->attend(run->state, &run->undo, sq_boot_ns()), 0);
    (void)stress_wait_gone_ns(5 * SQ_NS_PER_SECOND);
    print_message("free %.1f ms after the limit came\n", (double)(sq_boot_ns() - begin_ns) / 1e6);
    assert_int_equal(run->ops->renew(run->state, &run->undo, sq_boot_ns() + SQ_NS_PER_SECOND, &run->error),
                     -1);
    assert_non_null(strstr(run->error.text, "control group has no more memory"));
    stress_clean(run);
    stress_remove(run);
    stress_leave_group();
}

/* While it grows, others may take what was available. */
static void test_stops_growing_at_the_floor(void **state)
{
    struct stress_run *run = *state;
    stress_fake_file(MEMINFO, SMALL_HOST);
    begin(run);
    run->protection.memory_floor_bytes = 128 * MIB;
    stress_set(run, "bytes", "300MiB");
    stress_set(run, "rate", "100MiB");
    stress_must(run, stress_preview(run));
    stress_must(run, stress_prepare(run));
    stress_must(run, stress_inject(run, LONG_NS));
    stress_pause(500);
    FILE *file = fopen("/tmp/sq-fake-meminfo", "w");
    assert_non_null(file);
    assert_true(fputs("MemTotal:        1048576 kB\nMemAvailable:     100000 kB\n", file) > 0);
    assert_int_equal(fclose(file), 0);
    stress_pause(3000);
    stress_status(run);
    uint64_t held = stress_counter(run, "held-bytes");
    assert_true(held > 0 && held < 200 * MIB);
    stress_assert_line(run, SQ_LINE_WARNING, "it does not grow on");
    stress_unfake_file(MEMINFO);
}

static void test_growth(void **state)
{
    struct stress_run *run = *state;
    static const struct {
        const char *rate;
        uint64_t rate_bytes;
    } cases[] = {{"20MiB", 20 * MIB}, {"1MiB", MIB}};
    for (size_t i = 0; i < 2; i++) {
        begin(run);
        stress_set(run, "bytes", "300MiB");
        stress_set(run, "rate", cases[i].rate);
        run->order.duration_ns = 3600 * SQ_NS_PER_SECOND;
        uint64_t start_ns = sq_boot_ns();
        stress_to_injected(run, LONG_NS);
        stress_pause(2000);
        stress_status(run);
        double seconds = (double)(sq_boot_ns() - start_ns) / (double)SQ_NS_PER_SECOND;
        double held = (double)stress_counter(run, "held-bytes");
        double expected = seconds * (double)cases[i].rate_bytes;
        if (held < 0.8 * expected || held > 1.05 * expected)
            fail_msg("%s: %.0f bytes after %.2fs", cases[i].rate, held, seconds);
        stress_clean(run);
        stress_remove(run);
    }
    begin(run);
    stress_set(run, "percent", "1%");
    stress_set(run, "rate", "4KiB");
    stress_refused(run, SQ_BAD_INPUT, "which goes beyond the fault's duration of 1m");
}

static void test_ends_at_the_deadline(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_set(run, "bytes", "64MiB");
    stress_to_injected(run, LEASE_NS);
    uint64_t deadline_ns = 0;
    for (int i = 0; i < 4; i++) {
        stress_pause(200);
        deadline_ns = sq_boot_ns() + LEASE_NS;
        stress_must(run, run->ops->renew(run->state, &run->undo, deadline_ns, &run->error));
    }
    assert_int_equal(stress_count_alive(), 1);
    (void)stress_wait_gone_ns(LEASE_NS + 2 * SQ_NS_PER_SECOND);
    uint64_t now_ns = sq_boot_ns();
    assert_true(now_ns >= deadline_ns && now_ns < deadline_ns + AT_ONCE_NS);
}

/* In the midst of taking memory too. */
static void test_dies_with_the_injector(void **state)
{
    struct stress_run *run = *state;
    static const long pauses[] = {0, 0, 5, 30, 100, 500};
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        begin(run);
        stress_set(run, "bytes", "400MiB");
        pid_t injector = stress_fork_injector(run, i == 0 ? STAGE_PREPARED : STAGE_INJECTED, LONG_NS);
        stress_pause(pauses[i]);
        stress_end_injector(injector);
        (void)stress_wait_gone_ns(2 * AT_ONCE_NS);
        run->undo = run->recorded;
        stress_must(run, run->ops->clean(NULL, &run->undo, &run->error));
        stress_must(run, stress_remove_from(run, NULL, &run->undo));
        assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
    }
    begin(run);
    stress_set(run, "bytes", "64MiB");
    run->die_before_record = true;
    (void)stress_fork_injector(run, STAGE_PREPARED, LONG_NS);
    (void)stress_wait_gone_ns(AT_ONCE_NS);
}

static void test_ends_while_the_injector_is_stopped(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_set(run, "bytes", "64MiB");
    pid_t injector = stress_fork_injector(run, STAGE_INJECTED, LEASE_NS);
    assert_int_equal(kill(injector, SIGSTOP), 0);
    assert_int_equal(stress_count_alive(), 1);
    (void)stress_wait_gone_ns(LEASE_NS + AT_ONCE_NS);
    stress_end_injector(injector);
}

static void test_revert_from_the_record_alone(void **state)
{
    struct stress_run *run = *state;
    begin(run);
    stress_set(run, "bytes", "256MiB");
    pid_t injector = stress_fork_injector(run, STAGE_INJECTED, LONG_NS);
    stress_pause(20);
    struct sq_undo undo = run->recorded;
    for (int i = 0; i < 2; i++) {
        stress_must(run, run->ops->clean(NULL, &undo, &run->error));
        stress_must(run, stress_remove_from(run, NULL, &undo));
        assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
        assert_int_equal(stress_count_alive(), 0);
    }
    stress_end_injector(injector);
}

static void test_address_space_that_is_not_granted(void **state)
{
    struct stress_run *run = *state;
    stress_fake_file(MEMINFO, "MemTotal: 9007199254740992 kB\nMemAvailable: 9007199254740992 kB\n");
    begin(run);
    stress_set(run, "bytes", "1024TiB");
    stress_must(run, stress_preview(run));
    assert_int_equal(stress_prepare(run), -1);
    assert_int_equal(run->error.code, SQ_UNABLE);
    assert_non_null(strstr(run->error.text, "a stressor could not be set up: the kernel does not grant "));
    stress_clean(run);
    stress_remove(run);
    stress_unfake_file(MEMINFO);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        STRESS_TEST(test_whole_life),
        STRESS_TEST(test_exactly_what_was_asked),
        STRESS_TEST(test_who_it_is),
        STRESS_TEST(test_refuses_more_than_there_is),
        STRESS_TEST(test_keeps_the_floor),
        STRESS_TEST(test_refuses_more_than_its_control_group_allows),
        STRESS_TEST(test_memory_high_counts),
        STRESS_TEST(test_limit_that_comes_later),
        STRESS_TEST(test_stops_growing_at_the_floor),
        STRESS_TEST(test_growth),
        STRESS_TEST(test_ends_at_the_deadline),
        STRESS_TEST(test_dies_with_the_injector),
        STRESS_TEST(test_ends_while_the_injector_is_stopped),
        STRESS_TEST(test_revert_from_the_record_alone),
        STRESS_TEST(test_address_space_that_is_not_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
