/* What all faults of a request share: the memory that packets may take while they wait. */
#ifndef SQ_FAULTS_BOUNDS_H
#define SQ_FAULTS_BOUNDS_H

#include "faults/fault.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The most packets that each queue may hold, so that all queues of all `count` orders together stay within an
 * eighth of this machine's memory; see sq_netem_share. 1 at least. `ops_by_kind` as sq_fault_ops_by_kind.
 */
uint32_t sq_bounds_share_queues(const struct sq_fault_order *orders, size_t count,
                                const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind));

#endif
