/* What the policy protects, compared with what is on this host. */
#ifndef SQ_FAULTS_PROTECTION_H
#define SQ_FAULTS_PROTECTION_H

#include "faults/fault.h"

/*
 * Call `visit` with a sentence for each entry that means nothing here: a file that does not exist, a unit
 * that has neither file nor cgroup, an interface that is not there. It may be a slip, which looks like a
 * protection and is none. Peers and ports cannot be judged. Reads the host, once for all entries; not for the
 * revert path.
 */
void sq_protection_each_unmatched(const struct sq_protection *protection,
                                  void (*visit)(const char *sentence, void *cookie), void *cookie);

/* The same as warnings in a report: the first few, and how many more there are. */
void sq_protection_warn(const struct sq_protection *protection, struct sq_fault_report *report);

#endif
