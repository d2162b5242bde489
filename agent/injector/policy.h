/*
 * The host's policy file: what may be injected here, whoever orders it. What the file does not allow is
 * forbidden; a file that is missing or broken allows nothing, and `problem` says why.
 *
 *     allow: [network.*, process.kill]     # patterns; '*' stands for any run of characters
 *     max-duration: 10m                    # of a single fault; default 10m
 *     memory-floor: 512MiB                 # what memory stress has to leave available
 *     protect: {processes: [...], interfaces: [...], peers: [...], ports: [...]}
 */
#ifndef SQ_INJECTOR_POLICY_H
#define SQ_INJECTOR_POLICY_H

#include "common/document.h"
#include "common/error.h"
#include "faults/fault.h"

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

/* Read `path` into *policy. Never fails: what cannot be read allows nothing and says so in policy->problem.
 */
void sq_policy_load(struct sq_policy *policy, const char *path);

/* The same from a document that was read already. On -1 the policy is half filled and must not be used. */
int sq_policy_read(struct sq_policy *policy, struct sq_document *document, struct sq_error *error);

/* May faults of this kind be injected at all? SQ_POLICY with the reason. */
int sq_policy_permits_kind(const struct sq_policy *policy, enum sq_fault_kind kind, struct sq_error *error);

/* May this fault? The kind and the duration; what is protected, the fault itself compares with its targets.
 */
int sq_policy_permits(const struct sq_policy *policy, const struct sq_fault_order *order,
                      struct sq_error *error);

#endif
