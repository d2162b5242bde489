/*
 * Looking at all processes again and again, for as long as somebody wants to know which of them match: one
 * scan serves all faults, a slice of about a millisecond at a time, and takes a tenth of one processor at
 * most. Allocates nothing.
 */
#ifndef SQ_FAULTS_PROCESS_SCAN_H
#define SQ_FAULTS_PROCESS_SCAN_H

#include "faults/process_select.h"

#define SQ_PROCESS_SCAN_EVERY_NS (100 * SQ_NS_PER_MILLISECOND) /* if that is not too much for this host */
#define SQ_PROCESS_SLICE_NS      (1 * SQ_NS_PER_MILLISECOND)

/* What one fault wants to know. Its place does not change while it is watching. */
struct sq_process_watch {
    const struct sq_process_pattern *pattern;                     /* borrowed */
    void (*seen)(const struct sq_process *process, void *cookie); /* one that matches, each scan anew */
    void *cookie;
    uint32_t matching;      /* by the last whole scan */
    uint64_t began_boot_ns; /* when that one began; 0: there was none yet */
    /* the scan's own */
    bool is_counting; /* since the beginning of the scan that is on its way */
    uint32_t counted;
};

/* At most SQ_FAULTS_MAX of them. The pattern, the function and its cookie are set. */
void sq_process_scan_watch(struct sq_process_watch *watch);
void sq_process_scan_leave(struct sq_process_watch *watch); /* harmless when it does not watch */

/* Scan on if it is time. Returns when it will be time again (boot clock); 0: nobody watches. */
uint64_t sq_process_scan_attend(uint64_t now_boot_ns);

/* The same for somebody who waits for the end: as fast as leaves every other moment to others. */
uint64_t sq_process_scan_hurry(uint64_t now_boot_ns);

#endif
