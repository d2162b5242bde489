/*
 * process.kill driven as the injector drives it, against real processes in a pid and mount namespace of its
 * own with its own /proc, so that counts are exact. Victims are copies of /bin/sleep at known paths.
 */
#ifndef SQ_TESTS_NETNS_KILL_H
#define SQ_TESTS_NETNS_KILL_H

#include "faults/fault.h"

#define VICTIM_DIRECTORY "/tmp/sq-kill"
#define VICTIM_WEB       VICTIM_DIRECTORY "/web"
#define VICTIM_OTHER     VICTIM_DIRECTORY "/other"

#define kill_ops (&sq_process_kill_ops)

/* One fault from preview to release. */
struct kill_run {
    struct sq_fault_order order;
    struct sq_protection protection;
    struct sq_fault_env env;
    struct sq_undo undo;
    struct sq_fault_report report;
    struct sq_error error;
    void *state;
};

/* Makes the namespaces, runs the tests as a process of them that is not pid 1; its value is the program's. */
int kill_main(int (*run_all)(void));

/* A cmocka test with a fresh struct kill_run in *state, and no victim left over. */
#define KILL_TEST(function) cmocka_unit_test_setup_teardown(function, kill_setup, kill_teardown)
int kill_setup(void **state);
int kill_teardown(void **state);

void kill_set(struct kill_run *run, const char *key, const char *text);
int kill_preview(struct kill_run *run);
int kill_prepare(struct kill_run *run);
int kill_inject(struct kill_run *run);
void kill_look_on(struct kill_run *run); /* attends to the fault for a quarter of a second */
void kill_status(struct kill_run *run);  /* after that, into an empty report */
void kill_must(struct kill_run *run, int result);
void kill_pause(long milliseconds);

bool kill_has_line(const struct kill_run *run, enum sq_line_kind kind, const char *part);
void kill_assert_line(const struct kill_run *run, enum sq_line_kind kind, const char *part);
size_t kill_line_count(const struct kill_run *run, enum sq_line_kind kind);
uint64_t kill_counter(const struct kill_run *run, const char *name);

/* Returns when the child has become `path`. */
pid_t victim_start(const char *path, const char *const arguments[]);
pid_t victim_start_web(void);
void victim_start_many(size_t count);
void victim_adopt(pid_t pid); /* a child that the test made itself: ended with the test */
bool victim_is_alive(pid_t pid);
size_t victim_count_alive(void);
const char *victim_name(pid_t pid); /* "[812]"; valid until the next call */

#endif
