/*
 * The form of a host's policy file: what may be injected there, whoever orders it. Read here for both
 * programs: the agent obeys it, `squall validate` judges it beforehand.
 *
 *     allow: [network.*, process.kill]     # patterns; '*' stands for any run of characters
 *     max-duration: 10m                    # of a single fault; default 10m
 *     memory-floor: 512MiB                 # what memory stress has to leave available
 *     protect: {processes: [...], interfaces: [...], peers: [...], ports: [...]}
 */
#ifndef SQ_FORMS_POLICY_H
#define SQ_FORMS_POLICY_H

#include "common/clock.h"
#include "common/document.h"
#include "common/error.h"
#include "common/problems.h"
#include "table/fault_spec.h"
#include "table/protection.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define SQ_POLICY_MAX_DURATION_DEFAULT_NS (600 * SQ_NS_PER_SECOND)
#define SQ_POLICY_EXAMPLE                 "/usr/share/doc/squall/examples/policy.yaml"

/* A floor that is not given is 64 MiB or 5 % of the memory, whichever is more (docs/faults/memory.stress.md).
 */
#define SQ_POLICY_MEMORY_FLOOR_LEAST_BYTES (UINT64_C(1) << 20)

struct sq_policy {
    bool allowed[SQ_FAULT_KIND_MAX + 1]; /* by enum sq_fault_kind */
    uint64_t max_duration_ns;
    struct sq_protection protection;
    char path[PATH_MAX];
    char problem[SQ_ERROR_TEXT_MAX]; /* why nothing is allowed; empty: the file was read */
};

extern const char *const sq_policy_keys[]; /* of the file, and NULL */

/* Tells everything that is wrong. When that is anything, the policy is half filled and must not be used. */
void sq_policy_examine(struct sq_policy *policy, struct sq_document *document, struct sq_problems *problems);

/* The same for who stops at the first. */
int sq_policy_read(struct sq_policy *policy, struct sq_document *document, struct sq_error *error);

#endif
