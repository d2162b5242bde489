/* Can this kernel, with these privileges, hold a network fault at all? */
#ifndef SQ_KERNEL_TC_ABILITY_H
#define SQ_KERNEL_TC_ABILITY_H

#include "common/error.h"

/*
 * Loads a classifier, and tries clsact and cls_bpf in a network namespace that ends with the call; the host's
 * own is not touched. SQ_UNABLE says what is missing and what to do. Success is remembered.
 */
int sq_tc_check_ability(struct sq_error *error);

/* The same for the faults that delay or lose packets: also tries IFB, netem and mirred. */
int sq_netem_check_ability(struct sq_error *error);

#endif
