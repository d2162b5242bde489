/* Finding and ending, without a record, the helper processes that faults left: stressors and guards. */
#ifndef SQ_FAULTS_PROCESS_SWEEP_H
#define SQ_FAULTS_PROCESS_SWEEP_H

#include "faults/fault.h"

/*
 * The operation `sweep` of fault.h, for all kinds at once: processes that run squalld's file under the name
 * of a helper (squall-...) and are no children of a squalld that is alive.
 */
int sq_process_sweep(struct sq_fault_report *report, struct sq_error *error);

#endif
