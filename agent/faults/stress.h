/*
 * What the stress kinds have in common: a fault is some stressors (kernel/stressor.h), recorded by pid and
 * start time before they work. Undoing is killing those, which needs the record alone; proof is that none of
 * them is alive.
 */
#ifndef SQ_FAULTS_STRESS_H
#define SQ_FAULTS_STRESS_H

#include "faults/fault.h"
#include "faults/stress_group.h"
#include "kernel/stressor.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_STRESSORS_MAX 500 /* a record of them fits SQ_UNDO_BYTES_MAX */

struct sq_stress_entry {
    uint64_t start_ticks;
    uint32_t pid;
    uint32_t core;
};

/*
 * The undo record of both kinds. Layout 1: as many entries as there are stressors, in the agent's own control
 * group. Layout 2: room for all that are planned, and behind it struct sq_stress_group. Before prepare
 * neither names anybody.
 */
struct sq_stress_record {
    uint64_t pid_namespace; /* inode: pids mean nothing in another one */
    uint64_t amount_bytes;  /* memory.stress: how much is held */
    uint32_t count;         /* stressors that were started */
    uint32_t planned_count; /* stressors that prepare is to start */
    struct sq_stress_entry entries[SQ_STRESSORS_MAX];
};

/* One stressor as its parent sees it. */
struct sq_stress_process {
    int pidfd;
    bool is_reaped;
    bool is_early; /* it ended before its time */
    bool is_oom;   /* the kernel was out of memory, and it was the first choice: an effect, not a failure */
    int wait_status;
    uint64_t cpu_ns; /* used in its whole life, as of the last look */
};

/* Run-time state: the beginning of the state of each kind. */
struct sq_stress_state {
    struct sq_stressor_control *control;
    uint32_t count;
    struct sq_stress_process processes[SQ_STRESSORS_MAX];
    uint64_t injected_boot_ns;
    uint64_t deadline_boot_ns;
    uint64_t oom_kills_before;
    int ready_fd; /* where they say that they are set up */
    bool has_ready_fd;
    uint32_t ready_count;
    uint64_t gone_by_boot_ns; /* until when their end is waited for; 0: nobody waits */
    uint64_t settle_pause_ns;
    bool is_over;  /* cleaned */
    bool gave_way; /* ended by squall itself, so that the agent goes on */
    bool has_lines;
    uint32_t line_count; /* of the report as the preview left it */
};

/* Make an empty record. -1: the pid namespace cannot be told. */
int sq_stress_record_make(struct sq_undo *undo, enum sq_fault_kind kind, uint32_t planned_count,
                          struct sq_error *error);

/* Give them a control group of their own, where one can be made; else a note in the report says so. */
void sq_stress_plan_group(struct sq_undo *undo, const struct sq_fault_env *env,
                          struct sq_fault_report *report);

/* NULL: they have none. */
struct sq_stress_group *sq_stress_group_of(struct sq_undo *undo);

/* NULL: another version's. */
struct sq_stress_record *sq_stress_record_of(struct sq_undo *undo);
const struct sq_stress_record *sq_stress_record_read(const struct sq_undo *undo);

/*
 * Start a stressor for each of record->planned_count, and have them recorded; they set themselves up.
 * `job_of` fills in the i-th; what it points to lives until it is called again.
 */
int sq_stress_prepare(struct sq_stress_state *state, const struct sq_fault_env *env, struct sq_undo *undo,
                      void (*job_of)(void *cookie, uint32_t i, struct sq_stressor_job *job), void *cookie,
                      struct sq_error *error);

/* Look which are still alive, reap the others, and read how much CPU time they used. */
void sq_stress_look(struct sq_stress_state *state, const struct sq_stress_record *record);

/* A line for each that ended early, the first few of them. Returns how many there were. */
uint32_t sq_stress_report_early(const struct sq_stress_state *state, const struct sq_stress_record *record,
                                const char *name, struct sq_fault_report *report);

/* Kill them before their time, because the agent itself needs what they use. */
void sq_stress_give_way(struct sq_stress_state *state, const struct sq_undo *undo);

/* Take away the lines of the last status, so that they are written anew. */
void sq_stress_begin_status(struct sq_stress_state *state, struct sq_fault_report *report);

/* The entries of struct sq_fault_ops. */
uint32_t sq_stress_descriptors(const struct sq_undo *undo);
int sq_stress_prepared(void *state, const struct sq_undo *undo, struct sq_error *error);
uint64_t sq_stress_settle(void *state, const struct sq_undo *undo);
int sq_stress_inject(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                     struct sq_error *error);
int sq_stress_renew(void *state, const struct sq_undo *undo, uint64_t deadline_boot_ns,
                    struct sq_error *error);
int sq_stress_clean(void *state, const struct sq_undo *undo, struct sq_error *error);
int sq_stress_remove(void *state, const struct sq_undo *undo, struct sq_fault_report *report,
                     struct sq_error *error);
void sq_stress_release(void *state);

#endif
