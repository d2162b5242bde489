/*
 * The control group that the stressors of a fault have to themselves, where the agent's own one could be
 * divided (kernel/own_group.h). Its name follows from the record, which is written before it is made.
 */
#ifndef SQ_FAULTS_STRESS_GROUP_H
#define SQ_FAULTS_STRESS_GROUP_H

#include "faults/fault.h"
#include "kernel/own_group.h"

/* What the agent keeps of its control group's memory for itself, in the preview and as the limit of the
 * stressors' group. The second is less, so that what was promised can be held. */
#define SQ_STRESS_KEPT_BYTES       (UINT64_C(12) << 20)
#define SQ_STRESS_GROUP_KEPT_BYTES (UINT64_C(8) << 20)

/* In the undo record. */
struct sq_stress_group {
    struct sq_own_group parent; /* id 0: the stressors are in the agent's own */
    uint64_t id;                /* 0: as far as the record knows it was not made yet */
    uint64_t tag;               /* what its name ends with */
};

/*
 * Once, when the agent starts, with all its privileges and before its front is there: divide its control
 * group if that can be done. If not, all is as before, and the preview of each stress fault says why.
 */
void sq_stress_take_group(void);

/* When the agent ends, and the front and all stressors are gone. */
void sq_stress_leave_group(void);

/* Which one is it to be? False: none, and the report says so. */
bool sq_stress_group_plan(const struct sq_fault_env *env, struct sq_stress_group *group,
                          struct sq_fault_report *report);

/* Make it, with limits that leave the agent room below those of its own. *fd is closed by the caller. */
int sq_stress_group_make(struct sq_stress_group *group, int *fd, struct sq_error *error);

/* From the record alone. 0: it is gone. Neither waits nor allocates; again later, while something dies in it.
 */
int sq_stress_group_remove(const struct sq_stress_group *group, struct sq_fault_report *report,
                           struct sq_error *error);

/* Without a record: by name. Lines as fault.h says of sweep. */
int sq_stress_group_sweep(struct sq_fault_report *report, struct sq_error *error);

#endif
