/* Which interfaces and packets a network fault means, what it leaves alone, and its filters. Shared by the
 * kinds. */
#ifndef SQ_FAULTS_NETWORK_TARGET_H
#define SQ_FAULTS_NETWORK_TARGET_H

#include "faults/fault.h"
#include "faults/network_undo.h"

#include "kernel/classifier.h"

/*
 * Find the interfaces, refuse what is protected or cannot be exact, tell in report->lines what the fault
 * touches and spares, and fill the record. With `detours`, where a packet must not pass two of the
 * interfaces, refuse that too. Reads only. Errors: SQ_POLICY, SQ_UNABLE, SQ_NOBODY, SQ_LIMIT.
 */
int sq_network_preview(enum sq_fault_kind kind, const struct sq_network_selector *selector, bool detours,
                       const struct sq_fault_env *env, struct sq_network_undo *record,
                       struct sq_fault_report *report, struct sq_error *error);

/* What the classifier does by itself with the packets that it matches: without a detour, it drops them. */
struct sq_network_chance {
    double lose_percent; /* only so many of them; 0: all */
    uint64_t seed;
};

/* Load a classifier for the selector and the detours of the record, switched off. The caller frees it. */
int sq_network_load(struct sq_netlink *netlink, const struct sq_network_selector *selector,
                    const struct sq_network_chance *chance, const struct sq_fault_env *env,
                    const struct sq_network_undo *record, struct sq_classifier **classifier,
                    struct sq_error *error);

/*
 * Make what the record says: clsact where there is none, and a filter on each side. `undo` holds `record` and
 * is written anew through env->record when somebody else's clsact turns up in the place of squall's own.
 */
int sq_network_attach(struct sq_netlink *netlink, const struct sq_classifier *classifier,
                      const struct sq_fault_env *env, struct sq_network_undo *record, struct sq_undo *undo,
                      struct sq_error *error);

#endif
