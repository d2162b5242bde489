#include "stress.h"

#include "descriptors.h"

#include "common/clock.h"
#include "common/file.h"
#include "kernel/process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* One file for each path that is faked. */
static const char *fake_of(const char *path)
{
    static char fake[128];
    (void)snprintf(fake, sizeof fake, "/tmp/sq-fake-%s", strrchr(path, '/') + 1);
    return fake;
}

void stress_pause(long milliseconds)
{
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static int record(void *cookie, const struct sq_undo *undo, struct sq_error *error)
{
    struct stress_run *run = cookie;
    (void)error;
    if (run->die_before_record)
        (void)kill(getpid(), SIGKILL);
    run->recorded = *undo;
    run->record_count++;
    return 0;
}

static void release(struct stress_run *run)
{
    if (run->state != NULL)
        run->ops->release(run->state);
    free(run->state);
    run->state = NULL;
}

void stress_begin(struct stress_run *run, const char *kind)
{
    const struct sq_fault_info *info = sq_fault_by_name(kind);
    release(run);
    memset(run, 0, sizeof *run);
    run->ops = sq_fault_ops_by_kind(info->kind);
    assert_non_null(run->ops);
    run->env.protection = &run->protection;
    run->env.stressor_uid = STRESS_UID;
    run->env.stressor_gid = STRESS_UID;
    run->env.record = record;
    run->env.cookie = run;
    run->order.duration_ns = 60 * SQ_NS_PER_SECOND;
    sq_spec_init(&run->order.spec, info);
    run->state = calloc(1, run->ops->state_size);
    assert_non_null(run->state);
}

int stress_setup(void **state)
{
    struct stress_run *run =
        mmap(NULL, sizeof *run, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED)
        return -1;
    stress_begin(run, "cpu.stress");
    *state = run;
    return 0;
}

int stress_teardown(void **state)
{
    struct stress_run *run = *state;
    if (run->ops != NULL && sq_stress_record_read(&run->undo) != NULL) {
        (void)run->ops->clean(run->state, &run->undo, &run->error);
        (void)run->ops->remove(run->state, &run->undo, &run->report, &run->error);
    }
    release(run);
    (void)munmap(run, sizeof *run);
    /* What a test that failed has left faked. */
    static const char *const faked[] = {"/proc/meminfo", "/sys/devices/system/cpu/online",
                                        "/sys/devices/system/cpu/present"};
    for (size_t i = 0; i < sizeof faked / sizeof faked[0]; i++)
        while (umount2(faked[i], MNT_DETACH) == 0)
            ;
    (void)stress_wait_gone_ns(5 * SQ_NS_PER_SECOND);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return 0;
}

void stress_set(struct stress_run *run, const char *key, const char *text)
{
    const struct sq_param *param = sq_param_by_key(sq_fault_by_kind(run->order.spec.kind), key);
    assert_non_null(param);
    if (sq_spec_set(&run->order.spec, param, text, &run->error) != 0)
        fail_msg("%s: %s", key, run->error.text);
}

void stress_must(struct stress_run *run, int result)
{
    if (result != 0)
        fail_msg("%s: %s", sq_code_name(run->error.code), run->error.text);
}

int stress_preview(struct stress_run *run)
{
    memset(&run->report, 0, sizeof run->report);
    memset(&run->undo, 0, sizeof run->undo);
    if (sq_spec_check(&run->order.spec, NULL, &run->error) != 0)
        fail_msg("the spec is wrong: %s", run->error.text);
    return run->ops->preview(&run->order, &run->env, &run->undo, &run->report, &run->error);
}

int stress_prepare(struct stress_run *run)
{
    unsigned before = descriptors_open();
    int result = run->ops->prepare(run->state, &run->order, &run->env, &run->undo, &run->error);
    if (result != 0)
        return result;
    /* As the injector does: asked again until it is there. */
    uint64_t until_ns = sq_boot_ns() + 5 * SQ_NS_PER_SECOND;
    while ((result = run->ops->prepared(run->state, &run->undo, &run->error)) == 0 && sq_boot_ns() < until_ns)
        stress_pause(1);
    descriptors_assert_told(run->ops, &run->undo, before);
    return result == 1 ? 0 : -1;
}

int stress_inject(struct stress_run *run, uint64_t lease_ns)
{
    return run->ops->inject(run->state, &run->undo, sq_boot_ns() + lease_ns, &run->error);
}

void stress_status(struct stress_run *run)
{
    run->ops->status(run->state, &run->undo, &run->report);
}

void stress_clean(struct stress_run *run)
{
    stress_must(run, run->ops->clean(run->state, &run->undo, &run->error));
}

int stress_remove_from(struct stress_run *run, void *state, const struct sq_undo *undo)
{
    uint64_t until_ns = sq_boot_ns() + 10 * SQ_NS_PER_SECOND;
    uint64_t now_ns = sq_boot_ns();
    while (run->ops->settle(state, undo) > now_ns && now_ns < until_ns) {
        stress_pause(1);
        now_ns = sq_boot_ns();
    }
    return run->ops->remove(state, undo, &run->report, &run->error);
}

void stress_remove(struct stress_run *run)
{
    run->report.proof = SQ_PROOF_NONE;
    stress_must(run, stress_remove_from(run, run->state, &run->undo));
    assert_int_equal(run->report.proof, SQ_PROOF_PROVED);
}

void stress_to_injected(struct stress_run *run, uint64_t lease_ns)
{
    stress_must(run, stress_preview(run));
    stress_must(run, stress_prepare(run));
    stress_must(run, stress_inject(run, lease_ns));
}

void stress_refused(struct stress_run *run, enum sq_code code, const char *part)
{
    memset(&run->error, 0, sizeof run->error);
    assert_int_equal(stress_preview(run), -1);
    if (run->error.code != code || strstr(run->error.text, part) == NULL)
        fail_msg("expected %s, '%s'; got %s: %s", sq_code_name(code), part, sq_code_name(run->error.code),
                 run->error.text);
    assert_int_equal(stress_count_alive(), 0);
}

void stress_assert_line(const struct stress_run *run, enum sq_line_kind kind, const char *part)
{
    for (uint32_t i = 0; i < run->report.line_count; i++)
        if (run->report.lines[i].kind == kind && strstr(run->report.lines[i].text, part) != NULL)
            return;
    for (uint32_t i = 0; i < run->report.line_count; i++)
        print_message("%s: %s\n", sq_line_kind_name(run->report.lines[i].kind), run->report.lines[i].text);
    fail_msg("no %s line with '%s'", sq_line_kind_name(kind), part);
}

uint64_t stress_counter(const struct stress_run *run, const char *name)
{
    for (uint32_t i = 0; i < run->report.counter_count; i++)
        if (strcmp(run->report.counters[i].name, name) == 0)
            return run->report.counters[i].value;
    fail_msg("no counter '%s'", name);
    return 0;
}

const struct sq_stress_record *stress_record(const struct stress_run *run)
{
    const struct sq_stress_record *found = sq_stress_record_read(&run->recorded);
    assert_non_null(found);
    return found;
}

pid_t stress_pid(const struct stress_run *run, uint32_t i)
{
    assert_true(i < stress_record(run)->count);
    return (pid_t)stress_record(run)->entries[i].pid;
}

bool stress_is_alive(pid_t pid)
{
    struct sq_process process;
    return sq_process_read(pid, &process) == 0 && !process.is_dead;
}

static bool count_stressor(const struct sq_process *process, void *cookie)
{
    uint32_t *count = cookie;
    *count += strncmp(process->comm, "squall-", 7) == 0 && !process->is_dead;
    return true;
}

uint32_t stress_count_alive(void)
{
    uint32_t count = 0;
    assert_int_equal(sq_process_each(count_stressor, &count, NULL), 0);
    return count;
}

uint64_t stress_wait_gone_ns(uint64_t most_ns)
{
    uint64_t start_ns = sq_boot_ns();
    while (stress_count_alive() > 0) {
        if (sq_boot_ns() - start_ns > most_ns)
            fail_msg("%u stressors are still there", stress_count_alive());
        stress_pause(1);
    }
    return sq_boot_ns() - start_ns;
}

uint64_t stress_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &time), 0);
    return (uint64_t)time.tv_sec * SQ_NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

void stress_status_field(pid_t pid, const char *field, char *value, size_t size)
{
    char path[64];
    char content[8192];
    char key[64];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    (void)snprintf(key, sizeof key, "\n%s:\t", field);
    assert_true(sq_file_read_into(path, content, sizeof content) > 0);
    const char *found = strstr(content, key);
    assert_non_null(found);
    found += strlen(key);
    (void)snprintf(value, size, "%.*s", (int)strcspn(found, "\n"), found);
}

void stress_fake_file(const char *path, const char *content)
{
    int fd = open(fake_of(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(sq_write_all(fd, content, strlen(content)), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(mount(fake_of(path), path, NULL, MS_BIND, NULL), 0);
}

void stress_unfake_file(const char *path)
{
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    (void)unlink(fake_of(path));
}

static char group[128];
static char group_parent[96];

static bool write_text(const char *directory, const char *file, const char *text)
{
    char path[192];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && sq_write_all(fd, text, strlen(text)) == 0;
    if (fd >= 0)
        (void)close(fd);
    return written;
}

static bool enter(const char *parent, const char *limit)
{
    char file[64];
    const char *value = strchr(limit, ' ') + 1;
    (void)snprintf(file, sizeof file, "%.*s", (int)(value - limit - 1), limit);
    (void)snprintf(group_parent, sizeof group_parent, "%s", parent);
    (void)snprintf(group, sizeof group, "%s/squall-test", parent);
    if (mkdir(group, 0755) != 0 && errno != EEXIST)
        return false;
    return write_text(group, file, value) && write_text(group, "cgroup.procs", "0");
}

bool stress_enter_group(const char *controller, const char *v1, const char *v2)
{
    char parent[64];
    char enable[32];
    (void)snprintf(parent, sizeof parent, "/sys/fs/cgroup/%s", controller);
    if (access(parent, F_OK) == 0 && enter(parent, v1))
        return true;
    (void)snprintf(enable, sizeof enable, "+%s", controller);
    if (write_text("/sys/fs/cgroup", "cgroup.subtree_control", enable) && enter("/sys/fs/cgroup", v2))
        return true;
    stress_leave_group();
    return false;
}

bool stress_limit_group(const char *file, const char *value)
{
    return write_text(group, file, value);
}

void stress_leave_group(void)
{
    (void)write_text(group_parent, "cgroup.procs", "0");
    /* A control group is busy for a moment after its last process has gone. */
    for (int i = 0; i < 200 && rmdir(group) != 0 && errno == EBUSY; i++)
        stress_pause(5);
}

pid_t stress_fork_injector(struct stress_run *run, uint32_t stage, uint64_t lease_ns)
{
    run->stage = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (stress_preview(run) != 0 || stress_prepare(run) != 0)
            _exit(1);
        if (stage == STAGE_INJECTED && stress_inject(run, lease_ns) != 0)
            _exit(1);
        run->stage = stage;
        for (;;)
            (void)pause();
    }
    for (int i = 0; i < 10000 && run->stage != stage; i++) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (!run->die_before_record)
                fail_msg("the injector ended: %s", run->error.text);
            return pid;
        }
        stress_pause(1);
    }
    return pid;
}

void stress_end_injector(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}
