/*
 * A network fault's programs on tcx: attached and held by a guard, so that neither attaching nor taking away
 * holds the injector up, and so that they go with the agent. For what only drops: see kernel/tcx.h.
 */
#ifndef SQ_FAULTS_NETWORK_TCX_H
#define SQ_FAULTS_NETWORK_TCX_H

#include "faults/fault.h"
#include "faults/network_undo.h"

#include "kernel/classifier.h"
#include "kernel/guard.h"

#include <stdbool.h>

/* In a fault's state, zeroed. */
struct sq_network_tcx {
    struct sq_guard guard;
    uint32_t programs[SQ_TC_SIDES]; /* known as squall's own until they are let go; 0: none */
    bool is_ending;                 /* its end was begun; what it held until then stands in `last` */
    struct sq_error last;           /* SQ_OK: all was in place */
};

/* Decide whether tcx is used on this host: sq_tcx_try. */
void sq_network_try_host(void);

/*
 * Begin to attach `classifier` where the record says. Writes the programs' numbers into the record before,
 * and the guard's identity after it was started; until then it cannot outlive the injector.
 */
int sq_network_tcx_begin(struct sq_network_tcx *tcx, const struct sq_classifier *classifier,
                         const struct sq_fault_env *env, struct sq_network_undo *record, struct sq_undo *undo,
                         struct sq_error *error);

/* As `prepared` in fault.h. */
int sq_network_tcx_prepared(struct sq_network_tcx *tcx, struct sq_error *error);

/*
 * As `look` in fault.h: is every program in place, and nobody but squall's own in front of it? When its end
 * was begun, what was so until then.
 */
int sq_network_tcx_look(struct sq_network_tcx *tcx, const struct sq_network_undo *record,
                        struct sq_error *error);

/*
 * Begin to take them away; does not wait. `last` is what `look` says just before, SQ_OK if all was in place.
 * Both `tcx` and `last` are NULL after a crash: then by the record alone.
 */
void sq_network_tcx_end(struct sq_network_tcx *tcx, const struct sq_network_undo *record,
                        const struct sq_error *last);

/*
 * As `clean` in fault.h, after a crash: by the record alone. Switches them off without asking their guard,
 * which may be unable to die, and begins to take them away. 0: it is seen that they drop nothing any more. -1
 * with SQ_UNCLEAN: that is not seen yet, as while a guard ends whose programs this process may not open.
 */
int sq_network_tcx_clean(const struct sq_network_undo *record, struct sq_error *error);

/* Whether they are away by now: `remove` finds nothing left. */
bool sq_network_tcx_is_gone(struct sq_network_tcx *tcx, const struct sq_network_undo *record);

/* Whether one of them is still there. */
bool sq_network_tcx_is_attached(const struct sq_network_undo *record, uint32_t interface,
                                enum sq_tc_side side);

/* Those of an earlier life of the agent are gone. */
void sq_network_tcx_forget(const struct sq_network_undo *record);

/* They are gone, or nobody waits for it any more. */
void sq_network_tcx_release(struct sq_network_tcx *tcx);

#endif
