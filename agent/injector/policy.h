/*
 * What may be injected here, whoever orders it, by the host's policy file (forms/policy.h has its format).
 * What the file does not allow is forbidden; a file that is missing or broken allows nothing, and `problem`
 * says why.
 */
#ifndef SQ_INJECTOR_POLICY_H
#define SQ_INJECTOR_POLICY_H

#include "common/error.h"
#include "faults/fault.h"
#include "forms/policy.h"

/* Read `path` into *policy. Never fails: what cannot be read allows nothing and says so in policy->problem.
 */
void sq_policy_load(struct sq_policy *policy, const char *path);

/* May faults of this kind be injected at all? SQ_POLICY with the reason. */
int sq_policy_permits_kind(const struct sq_policy *policy, enum sq_fault_kind kind, struct sq_error *error);

/* May this fault? The kind and the duration; what is protected, the fault itself compares with its targets.
 */
int sq_policy_permits(const struct sq_policy *policy, const struct sq_fault_order *order,
                      struct sq_error *error);

#endif
