/* What this host can do: every fault's own check, remembered for a while, with the reason when it cannot. */
#ifndef SQ_INJECTOR_ABILITIES_H
#define SQ_INJECTOR_ABILITIES_H

#include "common/error.h"
#include "faults/fault.h"
#include "injector/policy.h"

#include <stdint.h>

#define SQ_ABILITIES_FRESH_NS (10 * SQ_NS_PER_SECOND)

struct sq_abilities {
    uint64_t checked_boot_ns;                        /* 0: never */
    struct sq_error problems[SQ_FAULT_KIND_MAX + 1]; /* by kind; SQ_OK: able */
    bool cannot_be_told[SQ_FAULT_KIND_MAX + 1];      /* the problem is that nothing here tells */
};

/* Check every kind, unless that was done less than SQ_ABILITIES_FRESH_NS ago. */
void sq_abilities_refresh(struct sq_abilities *abilities, uint64_t now_boot_ns);

/* Can this host do it? As last checked; 0, 1 or -1 as for `able` in fault.h. */
int sq_abilities_check(const struct sq_abilities *abilities, enum sq_fault_kind kind, struct sq_error *error);

/*
 * One line per kind: can the host do it, does the policy allow it, and if not, why. What cannot be told
 * counts as able, and has its reason. Returns how many.
 */
uint32_t sq_abilities_list(const struct sq_abilities *abilities, const struct sq_policy *policy,
                           struct sq_ability list[SQ_ABILITIES_MAX]);

#endif
