/* process.kill between its operations (process_kill.c) and its report (process_kill_report.c). */
#ifndef SQ_FAULTS_PROCESS_KILL_H
#define SQ_FAULTS_PROCESS_KILL_H

#include "faults/fault.h"
#include "faults/process_scan.h"
#include "faults/process_survey.h"

#define SQ_RETURNED_MAX 256

/* The undo record. Victims as parallel arrays, without padding, so that SQ_VICTIMS_MAX of them fit. */
struct sq_kill_record {
    struct sq_process_pattern pattern;
    uint32_t signal;
    uint32_t matched; /* processes that matched, those that were spared included */
    uint32_t spared;
    uint32_t victim_count;
    uint64_t start_ticks[SQ_VICTIMS_MAX];
    uint32_t pid[SQ_VICTIMS_MAX];
    char comm[SQ_VICTIMS_MAX][SQ_COMM_MAX];
};
_Static_assert(sizeof(struct sq_kill_record) <= SQ_UNDO_BYTES_MAX, "the undo record fits");

enum sq_victim_phase {
    SQ_VICTIM_NEW = 0,
    SQ_VICTIM_READY,     /* its pidfd is open */
    SQ_VICTIM_GONE,      /* it had exited, or become another program, before anything was sent */
    SQ_VICTIM_SPARED,    /* it must be left alone by the time the signal is sent */
    SQ_VICTIM_SIGNALLED, /* and still running when last looked at */
    SQ_VICTIM_ENDED,
    SQ_VICTIM_FAILED, /* the kernel refused the signal */
    SQ_VICTIM_PHASES
};

struct sq_victim {
    enum sq_victim_phase phase;
    bool has_pidfd;
    int pidfd;
    struct sq_process_file file; /* what it ran when it was prepared */
};

struct sq_kill_state {
    bool is_over; /* cleaned: nothing is sent any more */
    bool injected;
    uint64_t injected_boot_ns;
    uint64_t clean_boot_ns; /* 0: not yet */
    struct sq_fault_env env;
    const struct sq_kill_record *record; /* in the undo record, which outlives this */
    struct sq_process_watch watch;
    uint32_t returned_count;
    struct sq_process_id returned[SQ_RETURNED_MAX]; /* matching ones that started since, by start time */
    struct sq_victim victims[SQ_VICTIMS_MAX];
};

static inline struct sq_process_id sq_kill_victim_id(const struct sq_kill_record *record, uint32_t i)
{
    return (struct sq_process_id){.pid = (pid_t)record->pid[i], .start_ticks = record->start_ticks[i]};
}

/* Counters and notes from what is known; `kill` has been injected. */
void sq_kill_report(const struct sq_kill_state *kill, const struct sq_kill_record *record,
                    struct sq_fault_report *report);

/* For a reader after a crash: who was meant, and whether they are still there. */
void sq_kill_report_recovered(const struct sq_kill_record *record, struct sq_fault_report *report);

#endif
