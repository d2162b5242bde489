/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* cpu.stress: what it uses, as whom, and that it ends whoever dies. */
#include "common/clock.h"
#include "fixture.h"
#include "kill.h"
#include "stress.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_NS   (500 * SQ_NS_PER_MILLISECOND)
#define LONG_NS    (30 * SQ_NS_PER_SECOND)
#define AT_ONCE_NS (250 * SQ_NS_PER_MILLISECOND) /* on a busy machine */

#define ONLINE  "/sys/devices/system/cpu/online"
#define PRESENT "/sys/devices/system/cpu/present"

static void test_check_says_yes_here(void **state)
{
    struct stress_run *run = *state;
    stress_must(run, run->ops->able(&run->order, &run->error));
}

static bool has_note(const struct stress_run *run, const char *part)
{
    for (uint32_t i = 0; i < run->report.line_count; i++)
        if (run->report.lines[i].kind == SQ_LINE_NOTE && strstr(run->report.lines[i].text, part) != NULL)
            return true;
    return false;
}

/* False: a warning says that other work left the stressor less than was asked for. */
static bool live(struct stress_run *run)
{
    stress_begin(run, "cpu.stress");
    stress_set(run, "percent", "50%");
    stress_set(run, "cores", "1");
    stress_must(run, stress_preview(run));
    stress_assert_line(run, SQ_LINE_TOUCHES, "50% of core 0");
    assert_int_equal(stress_count_alive(), 0);
    stress_must(run, stress_prepare(run));
    assert_int_equal(run->record_count, 1);
    assert_int_equal(stress_record(run)->count, 1);
    pid_t pid = stress_pid(run, 0);
    /* Prepared, it waits. */
    uint64_t before_ns = stress_cpu_ns(pid);
    stress_pause(100);
    assert_true(stress_cpu_ns(pid) - before_ns < 2 * SQ_NS_PER_MILLISECOND);
    stress_must(run, stress_inject(run, LONG_NS));
    stress_pause(1000);
    stress_status(run);
    assert_true(run->report.touched);
    assert_int_equal(stress_counter(run, "stressors"), 1);
    assert_true(stress_counter(run, "cpu-ms") > 100);
    assert_true(stress_counter(run, "core-ms") >= 1000);
    uint32_t lines = run->report.line_count;
    stress_status(run);
    assert_int_equal(run->report.line_count, lines);
    stress_clean(run);
    stress_clean(run);
    stress_remove(run);
    assert_false(stress_is_alive(pid));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
    stress_status(run);
    assert_int_equal(stress_counter(run, "stressors"), 0);
    bool is_whole = has_note(run, "of the time of 1 core");
    if (!is_whole)
        stress_assert_line(run, SQ_LINE_WARNING, "of the time of 1 core");
    stress_remove(run);
    return is_whole;
}

static void test_whole_life(void **state)
{
    struct stress_run *run = *state;
    unsigned tries = 0;
    bool is_whole;
    do {
        is_whole = live(run);
    } while (fixture_measure_again(&tries, is_whole));
    assert_true(is_whole);
}

/* No privilege, nothing open, first choice of the OOM killer, and a name that tells whose it is. */
static void test_who_it_is(void **state)
{
    struct stress_run *run = *state;
    char value[256];
    char path[64];
    stress_set(run, "percent", "10%");
    stress_set(run, "cores", "0-0");
    stress_to_injected(run, LONG_NS);
    pid_t pid = stress_pid(run, 0);
    static const char *const expected[][2] = {
        {"Uid", "65534\t65534\t65534\t65534"},
        {"Gid", "65534\t65534\t65534\t65534"},
        {"Groups", "65534 "},
        {"CapInh", "0000000000000000"},
        {"CapPrm", "0000000000000000"},
        {"CapEff", "0000000000000000"},
        {"CapBnd", "0000000000000000"},
        {"CapAmb", "0000000000000000"},
        {"NoNewPrivs", "1"},
        {"Seccomp", "2"},
        {"SigBlk", "0000000000000000"},
        {"SigCgt", "0000000000000000"},
        {"Cpus_allowed_list", "0"},
        {"Threads", "1"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        stress_status_field(pid, expected[i][0], value, sizeof value);
        if (strcmp(value, expected[i][1]) != 0)
            fail_msg("%s is '%s', not '%s'", expected[i][0], value, expected[i][1]);
    }
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(value, sizeof value, file));
    (void)fclose(file);
    assert_string_equal(value, "squall-cpu\n");
    (void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(value, sizeof value, file));
    (void)fclose(file);
    assert_string_equal(value, "1000\n");
    char command[64];
    (void)snprintf(command, sizeof command, "test -z \"$(ls /proc/%d/fd)\"", (int)pid);
    assert_int_equal(system(command), 0);
    assert_int_equal(getsid(pid), pid);
}

static void test_one_stressor_per_core(void **state)
{
    struct stress_run *run = *state;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    stress_set(run, "percent", "5%");
    stress_to_injected(run, LONG_NS);
    assert_int_equal(stress_record(run)->count, online);
    for (uint32_t i = 0; i < stress_record(run)->count; i++) {
        char value[64];
        char core[16];
        (void)snprintf(core, sizeof core, "%u", stress_record(run)->entries[i].core);
        stress_status_field(stress_pid(run, i), "Cpus_allowed_list", value, sizeof value);
        assert_string_equal(value, core);
    }
    assert_int_equal(stress_count_alive(), online);
}

static void test_refuses_cores_that_are_not_there(void **state)
{
    struct stress_run *run = *state;
    char text[64];
    char expected[128];
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    stress_set(run, "percent", "5%");
    (void)snprintf(text, sizeof text, "%ld", online + 1);
    (void)snprintf(expected, sizeof expected, "%ld cores are asked for, but %ld can be used here (0",
                   online + 1, online);
    stress_set(run, "cores", text);
    stress_refused(run, SQ_UNABLE, expected);
    stress_set(run, "cores", "0,1000");
    stress_refused(run, SQ_UNABLE, "there is no core 1000 on this host; it has the cores 0");
}

static void test_refuses_cores_that_are_offline(void **state)
{
    struct stress_run *run = *state;
    stress_fake_file(PRESENT, "0-3\n");
    stress_fake_file(ONLINE, "0,2-3\n");
    stress_set(run, "percent", "5%");
    stress_set(run, "cores", "1-1");
    stress_refused(run, SQ_UNABLE, "core 1 is offline; the cores 0,2-3 are online");
    stress_unfake_file(ONLINE);
    stress_unfake_file(PRESENT);
}

static void test_refuses_cores_it_may_not_use(void **state)
{
    struct stress_run *run = *state;
    cpu_set_t before;
    cpu_set_t first;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        print_message("skipped: one core only\n");
        skip();
    }
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    assert_int_equal(sched_setaffinity(0, sizeof first, &first), 0);
    stress_set(run, "percent", "5%");
    stress_set(run, "cores", "1-1");
    stress_refused(run, SQ_UNABLE, "the agent may not run on core 1, only on 0");
    stress_set(run, "cores", "all");
    stress_must(run, stress_preview(run));
    stress_assert_line(run, SQ_LINE_SPARES, "the agent may not run there");
    stress_assert_line(run, SQ_LINE_TOUCHES, "5% of core 0");
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* A quota of the agent's own control group bounds what it starts. */
static void test_warns_of_a_quota(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "50%");
    stress_set(run, "cores", "1");
    if (!stress_enter_group("cpu", "cpu.cfs_quota_us 30000", "cpu.max 30000 100000")) {
        print_message("skipped: no control group with a CPU quota here\n");
        skip();
    }
    stress_must(run, stress_preview(run));
    uint32_t with_quota = run->report.line_count;
    stress_assert_line(run, SQ_LINE_WARNING, "a quota of 0.30 cores, and 0.50 are asked for");
    stress_set(run, "percent", "30%");
    stress_must(run, stress_preview(run));
    assert_int_equal(run->report.line_count, with_quota - 1);
    stress_leave_group();
}

static void test_refuses_to_run_as_root(void **state)
{
    struct stress_run *run = *state;
    run->env.stressor_uid = 0;
    stress_set(run, "percent", "5%");
    stress_must(run, stress_preview(run));
    assert_int_equal(stress_prepare(run), -1);
    assert_int_equal(run->error.code, SQ_UNABLE);
    assert_int_equal(stress_count_alive(), 0);
}

/* What the kernel's timer does alone, with nobody to renew. */
static uint64_t end_after_release_ns(struct stress_run *run, uint64_t lease_ns)
{
    uint64_t start_ns = sq_boot_ns();
    stress_to_injected(run, lease_ns);
    (void)stress_wait_gone_ns(lease_ns + 2 * SQ_NS_PER_SECOND);
    return sq_boot_ns() - start_ns;
}

static void test_ends_at_the_deadline(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "100%");
    uint64_t took_ns = end_after_release_ns(run, LEASE_NS);
    assert_true(took_ns >= LEASE_NS);
    assert_true(took_ns < LEASE_NS + AT_ONCE_NS + LEASE_NS / 2);
    /* That is no early end. */
    stress_status(run);
    for (uint32_t i = 0; i < run->report.line_count; i++)
        assert_null(strstr(run->report.lines[i].text, "before its time"));
    stress_clean(run);
    stress_remove(run);
}

static void test_renewing_moves_the_deadline(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "20%");
    stress_to_injected(run, LEASE_NS);
    uint64_t deadline_ns = 0;
    for (int i = 0; i < 6; i++) {
        stress_pause(200);
        deadline_ns = sq_boot_ns() + LEASE_NS;
        stress_must(run, run->ops->renew(run->state, &run->undo, deadline_ns, &run->error));
    }
    assert_true(stress_count_alive() > 0);
    (void)stress_wait_gone_ns(LEASE_NS + 2 * SQ_NS_PER_SECOND);
    uint64_t now_ns = sq_boot_ns();
    assert_true(now_ns >= deadline_ns && now_ns < deadline_ns + AT_ONCE_NS);
}

/* Whatever is renewed. */
static void test_never_goes_beyond_its_duration(void **state)
{
    struct stress_run *run = *state;
    run->order.duration_ns = 700 * SQ_NS_PER_MILLISECOND;
    stress_set(run, "percent", "20%");
    stress_to_injected(run, LONG_NS);
    uint64_t took_ns = stress_wait_gone_ns(5 * SQ_NS_PER_SECOND);
    assert_true(took_ns > 500 * SQ_NS_PER_MILLISECOND);
    assert_true(took_ns < 700 * SQ_NS_PER_MILLISECOND + AT_ONCE_NS);
}

static void test_a_stopped_stressor_ends_too(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "50%");
    stress_to_injected(run, LEASE_NS);
    stress_pause(100);
    for (uint32_t i = 0; i < stress_record(run)->count; i++)
        assert_int_equal(kill(stress_pid(run, i), SIGSTOP), 0);
    stress_pause(50);
    /* Renewed or not: it cannot follow. */
    stress_must(run, run->ops->renew(run->state, &run->undo, sq_boot_ns() + LONG_NS, &run->error));
    assert_true(stress_wait_gone_ns(LEASE_NS + AT_ONCE_NS) > LEASE_NS / 4);
    stress_status(run);
    stress_assert_line(run, SQ_LINE_WARNING, "is gone before its time: it was killed, or missed the renewal");
    assert_int_equal(run->ops->renew(run->state, &run->undo, sq_boot_ns() + LONG_NS, &run->error), -1);
}

static void test_ends_while_the_injector_is_stopped(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "50%");
    pid_t injector = stress_fork_injector(run, STAGE_INJECTED, LEASE_NS);
    assert_int_equal(kill(injector, SIGSTOP), 0);
    assert_true(stress_count_alive() > 0);
    (void)stress_wait_gone_ns(LEASE_NS + AT_ONCE_NS);
    stress_end_injector(injector);
}

static void test_dies_with_the_injector(void **state)
{
    struct stress_run *run = *state;
    static const uint32_t stages[] = {STAGE_PREPARED, STAGE_INJECTED};
    for (size_t i = 0; i < 2; i++) {
        stress_begin(run, "cpu.stress");
        stress_set(run, "percent", "50%");
        pid_t injector = stress_fork_injector(run, stages[i], LONG_NS);
        assert_true(stress_count_alive() > 0);
        stress_end_injector(injector);
        (void)stress_wait_gone_ns(AT_ONCE_NS);
        /* And what the next life of the agent does with the record is fine. */
        run->undo = run->recorded;
        stress_must(run, run->ops->clean(NULL, &run->undo, &run->error));
        stress_must(run, stress_remove_from(run, NULL, &run->undo));
        assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
    }
}

static void test_dies_with_an_injector_that_had_not_recorded_it(void **state)
{
    struct stress_run *run = *state;
    for (int i = 0; i < 20; i++) {
        stress_begin(run, "cpu.stress");
        stress_set(run, "percent", "50%");
        run->die_before_record = true;
        (void)stress_fork_injector(run, STAGE_PREPARED, LONG_NS);
        assert_int_equal(run->record_count, 0);
        (void)stress_wait_gone_ns(AT_ONCE_NS);
    }
}

/* Somebody else than its parent, with nothing but the record. */
static void test_revert_from_the_record_alone(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "50%");
    pid_t injector = stress_fork_injector(run, STAGE_INJECTED, LONG_NS);
    struct sq_undo undo = run->recorded;
    assert_true(stress_count_alive() > 0);
    for (int i = 0; i < 2; i++) {
        stress_must(run, run->ops->clean(NULL, &undo, &run->error));
        stress_must(run, stress_remove_from(run, NULL, &undo));
        assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
        assert_int_equal(stress_count_alive(), 0);
    }
    stress_end_injector(injector);
    /* And when nothing was ever started. */
    stress_begin(run, "cpu.stress");
    stress_set(run, "percent", "50%");
    stress_must(run, stress_preview(run));
    stress_must(run, run->ops->clean(NULL, &run->undo, &run->error));
    stress_must(run, stress_remove_from(run, NULL, &run->undo));
}

/* A pid that is somebody else's by now, and a record that cannot be trusted. */
static void test_the_record_is_no_licence_to_kill(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "50%");
    stress_must(run, stress_preview(run));
    pid_t other = victim_start_web();
    struct sq_stress_record *record = sq_stress_record_of(&run->undo);
    record->count = 1;
    record->entries[0] = (struct sq_stress_entry){.pid = (uint32_t)other, .start_ticks = 12345};
    run->undo.size += sizeof record->entries[0];
    struct sq_undo undo = run->undo;
    stress_must(run, run->ops->clean(NULL, &undo, &run->error));
    stress_must(run, stress_remove_from(run, NULL, &undo));
    assert_true(victim_is_alive(other));
    sq_stress_record_of(&undo)->pid_namespace++;
    assert_int_equal(run->ops->clean(NULL, &undo, &run->error), -1);
    assert_non_null(strstr(run->error.text, "another pid namespace"));
    undo.layout = 99;
    assert_int_equal(stress_remove_from(run, NULL, &undo), -1);
    assert_int_equal(run->error.code, SQ_UNCLEAN);
    run->undo.size = 0;
    (void)kill(other, SIGKILL);
    (void)waitpid(other, NULL, 0);
}

static void test_too_late_to_inject(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "50%");
    stress_must(run, stress_preview(run));
    stress_must(run, stress_prepare(run));
    assert_int_equal(run->ops->inject(run->state, &run->undo, sq_boot_ns() - 1, &run->error), -1);
    assert_int_equal(run->error.code, SQ_STALE);
    stress_clean(run);
    assert_int_equal(stress_inject(run, LONG_NS), -1);
    stress_remove(run);
}

static void test_a_stressor_that_is_gone_is_told(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "10%");
    stress_must(run, stress_preview(run));
    stress_must(run, stress_prepare(run));
    assert_int_equal(kill(stress_pid(run, 0), SIGTERM), 0);
    (void)stress_pause(100);
    assert_int_equal(stress_inject(run, LONG_NS), -1);
    assert_non_null(strstr(run->error.text, "is gone already: it Terminated"));
    stress_clean(run);
    stress_remove(run);
}

/* The median of several turns, in percent. */
static double median_level(struct stress_run *run)
{
    double levels[5];
    for (int i = 0; i < 5; i++) {
        uint64_t start_ns = sq_boot_ns();
        uint64_t before_ns = stress_cpu_ns(stress_pid(run, 0));
        stress_pause(1000);
        uint64_t used_ns = stress_cpu_ns(stress_pid(run, 0)) - before_ns;
        double level = (double)used_ns / (double)(sq_boot_ns() - start_ns) * 100;
        int at = i;
        for (; at > 0 && levels[at - 1] > level; at--)
            levels[at] = levels[at - 1];
        levels[at] = level;
    }
    print_message("the median is %.2f%%\n", levels[2]);
    return levels[2];
}

/* A coarse look; tests/measure has the exact one. */
static void test_level(void **state)
{
    struct stress_run *run = *state;
    stress_set(run, "percent", "30%");
    stress_set(run, "cores", "1");
    stress_to_injected(run, LONG_NS);
    double level;
    unsigned tries = 0;
    do {
        level = median_level(run);
    } while (fixture_measure_again(&tries, level >= 28 && level <= 32));
    assert_true(level >= 28 && level <= 32);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        STRESS_TEST(test_check_says_yes_here),
        STRESS_TEST(test_whole_life),
        STRESS_TEST(test_who_it_is),
        STRESS_TEST(test_one_stressor_per_core),
        STRESS_TEST(test_refuses_cores_that_are_not_there),
        STRESS_TEST(test_refuses_cores_that_are_offline),
        STRESS_TEST(test_refuses_cores_it_may_not_use),
        STRESS_TEST(test_warns_of_a_quota),
        STRESS_TEST(test_refuses_to_run_as_root),
        STRESS_TEST(test_ends_at_the_deadline),
        STRESS_TEST(test_renewing_moves_the_deadline),
        STRESS_TEST(test_never_goes_beyond_its_duration),
        STRESS_TEST(test_a_stopped_stressor_ends_too),
        STRESS_TEST(test_ends_while_the_injector_is_stopped),
        STRESS_TEST(test_dies_with_the_injector),
        STRESS_TEST(test_dies_with_an_injector_that_had_not_recorded_it),
        STRESS_TEST(test_revert_from_the_record_alone),
        STRESS_TEST(test_the_record_is_no_licence_to_kill),
        STRESS_TEST(test_too_late_to_inject),
        STRESS_TEST(test_a_stressor_that_is_gone_is_told),
        STRESS_TEST(test_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kill_main(run_all);
}
