/* Does a fault hold no more file descriptors than it has told the injector to count? */
#ifndef SQ_TESTS_NETNS_DESCRIPTORS_H
#define SQ_TESTS_NETNS_DESCRIPTORS_H

#include "faults/fault.h"

/* This process's open descriptors. */
unsigned descriptors_open(void);

/* Ends the test if more were opened since there were `before` than the fault's kind says of its record. */
void descriptors_assert_told(const struct sq_fault_ops *ops, const struct sq_undo *undo, unsigned before);

#endif
