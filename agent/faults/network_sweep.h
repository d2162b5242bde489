/* Finding and removing, without a record, what network faults left on any interface. For the kinds that own
 * it. */
#ifndef SQ_FAULTS_NETWORK_SWEEP_H
#define SQ_FAULTS_NETWORK_SWEEP_H

#include "faults/fault.h"

/* The operation `sweep` of fault.h: filters, and a clsact that by a filter's name squall made and nobody else
 * uses. */
int sq_network_sweep_filters(struct sq_fault_report *report, struct sq_error *error);

/* The same for the IFB devices of detours. */
int sq_network_sweep_detours(struct sq_fault_report *report, struct sq_error *error);

#endif
