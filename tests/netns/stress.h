/*
 * The stress kinds driven as the injector drives them, with real stressors, in a pid and mount namespace of
 * the test's own (kill_main of kill.h), so that whatever is left over is found.
 */
#ifndef SQ_TESTS_NETNS_STRESS_H
#define SQ_TESTS_NETNS_STRESS_H

#include "faults/fault.h"
#include "faults/stress.h"

#define STRESS_UID 65534

/* One fault from preview to release. Lives in memory that a forked "injector" shares with the test. */
struct stress_run {
    const struct sq_fault_ops *ops;
    struct sq_fault_order order;
    struct sq_protection protection;
    struct sq_fault_env env;
    struct sq_undo undo;
    struct sq_undo recorded; /* as the log would hold it */
    uint32_t record_count;
    bool die_before_record;
    struct sq_fault_report report;
    struct sq_error error;
    void *state;
    volatile uint32_t stage; /* of the forked injector */
};

#define STRESS_TEST(function) cmocka_unit_test_setup_teardown(function, stress_setup, stress_teardown)
int stress_setup(void **state);
int stress_teardown(void **state); /* asserts that no stressor is left */

/* Begin with another kind or anew. */
void stress_begin(struct stress_run *run, const char *kind);
void stress_set(struct stress_run *run, const char *key, const char *text);
void stress_must(struct stress_run *run, int result);
int stress_preview(struct stress_run *run);
int stress_prepare(struct stress_run *run);
int stress_inject(struct stress_run *run, uint64_t lease_ns);
void stress_status(struct stress_run *run);
void stress_clean(struct stress_run *run);
void stress_remove(struct stress_run *run);

/* Wait until it has settled, and remove it; with a state, or from the record alone. */
int stress_remove_from(struct stress_run *run, void *state, const struct sq_undo *undo);
void stress_to_injected(struct stress_run *run, uint64_t lease_ns); /* preview, prepare, inject */

/* The preview is refused so. */
void stress_refused(struct stress_run *run, enum sq_code code, const char *part);
void stress_assert_line(const struct stress_run *run, enum sq_line_kind kind, const char *part);
uint64_t stress_counter(const struct stress_run *run, const char *name);

void stress_pause(long milliseconds);
const struct sq_stress_record *stress_record(const struct stress_run *run);
pid_t stress_pid(const struct stress_run *run, uint32_t i);
bool stress_is_alive(pid_t pid);

/* How many processes are named squall-cpu or squall-mem and alive. */
uint32_t stress_count_alive(void);

/* Wait until none is; how long that took. Fails after `most_ns`. */
uint64_t stress_wait_gone_ns(uint64_t most_ns);

/* CPU time that a process has used. */
uint64_t stress_cpu_ns(pid_t pid);

/* A field of /proc/PID/status, such as "Uid", into `value`. */
void stress_status_field(pid_t pid, const char *field, char *value, size_t size);

/* Show `content` as `path` to this mount namespace, or show what is really there again. */
void stress_fake_file(const char *path, const char *content);
void stress_unfake_file(const char *path);

/*
 * Move this process into a control group of its own with one limit: `v1` and `v2` are "FILE VALUE" of the
 * controller in either hierarchy. False: neither is there. stress_leave_group moves back and removes it.
 */
bool stress_enter_group(const char *controller, const char *v1, const char *v2);
/* A file of the group that was entered. */
bool stress_limit_group(const char *file, const char *value);
void stress_leave_group(void);

/*
 * Fork an injector that takes the fault to `stage` and then waits to be killed; returns when it is there.
 * With run->die_before_record it kills itself between starting and recording.
 */
enum { STAGE_PREPARED = 1, STAGE_INJECTED = 2 };
pid_t stress_fork_injector(struct stress_run *run, uint32_t stage, uint64_t lease_ns);
void stress_end_injector(pid_t pid);

#endif
