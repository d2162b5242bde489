/* Can this kernel, with these privileges, hold a network fault at all? */
#ifndef SQ_KERNEL_TC_ABILITY_H
#define SQ_KERNEL_TC_ABILITY_H

#include "common/error.h"

/*
 * Judges clsact and cls_bpf by what is known of the kernel (kernel/module.h), which loads no module and makes
 * nothing; has the kernel verify the classifier, once. 0: it can. 1: it cannot be told here, and `error` says
 * why: prepare finds out. -1: SQ_UNABLE with what is missing and what to do.
 */
int sq_tc_check_ability(struct sq_error *error);

/* The same for the faults that only drop: where tcx is used, they need neither. */
int sq_drop_check_ability(struct sq_error *error);

/* The same for the faults that take a detour: also IFB, netem and mirred. */
int sq_netem_check_ability(struct sq_error *error);

#endif
