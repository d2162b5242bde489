/*
 * Whom a kill would hit: one look at all processes of the host, shared by the faults of a request. Kept in
 * static memory, whatever the number of processes: those with the smallest ranks, and counts of the others.
 */
#ifndef SQ_FAULTS_PROCESS_SURVEY_H
#define SQ_FAULTS_PROCESS_SURVEY_H

#include "faults/fault.h"
#include "faults/process_select.h"

#define SQ_VICTIMS_MAX      256
#define SQ_SPARED_LINES_MAX 8

struct sq_process_candidate {
    uint64_t rank; /* from the seed, the pid and the start time */
    struct sq_process_id id;
    char comm[SQ_COMM_MAX];
};

/* How many meet which part of the pattern: for the message, counted only when nobody matched. */
struct sq_process_parts {
    uint32_t seen;
    uint32_t by_executable;
    uint32_t by_comm;
    uint32_t by_command_line;
    uint32_t unreadable;
};

struct sq_process_survey {
    uint32_t order_index;
    uint64_t seed;
    struct sq_process_pattern pattern;
    uint32_t matched; /* those that are spared included */
    uint32_t spared;
    char spared_lines[SQ_SPARED_LINES_MAX][SQ_LINE_MAX];    /* of the first ones: who, and why */
    uint32_t count;                                         /* of candidates kept: SQ_VICTIMS_MAX at most */
    struct sq_process_candidate candidates[SQ_VICTIMS_MAX]; /* the smallest ranks, in no order */
    struct sq_process_parts parts;
};

/* Valid until the next survey. `order` is one of env->orders, if there are any. */
int sq_process_survey(const struct sq_fault_order *order, const struct sq_fault_env *env,
                      const struct sq_process_survey **survey, struct sq_error *error);

/*
 * SQ_NOBODY with the part of the selector that found nobody; to be called when nobody can be hit. Looks at
 * all processes once more, for all faults of the request together. Returns -1.
 */
int sq_process_survey_fail(const struct sq_process_survey *survey, struct sq_error *error);

#endif
