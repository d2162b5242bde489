/*
 * Holding a given amount of memory, resident: the work of a memory stressor.
 *
 * The address space is reserved when the process is set up, its pages are taken when it works: in chunks, so
 * that it can follow the lease in between; as huge pages where the kernel has them, which is faster to take
 * and to give back. Every small page gets content of its own, so that no kernel finds it to be zero or the
 * same as another.
 */
#ifndef SQ_KERNEL_MEMORY_HOLD_H
#define SQ_KERNEL_MEMORY_HOLD_H

#include "kernel/stressor.h"

#include <stddef.h>

struct sq_memory_hold {
    uint64_t bytes;       /* whole pages */
    uint64_t rate_bytes;  /* growth in a second; 0: as fast as can be */
    uint64_t floor_bytes; /* growing stops while no more than this is available on the host */
    /* filled by sq_memory_hold_set_up */
    char *area;
};

/* A sq_stressor_job's `set_up` and `work`; the cookie is a struct sq_memory_hold. */
int sq_memory_hold_set_up(void *cookie, int files[SQ_STRESSOR_FILES_MAX], struct sq_error *error);
void sq_memory_hold_run(void *cookie, struct sq_stressor_self *self);

/* The system calls that `work` needs. */
extern const int sq_memory_hold_calls[];
extern const uint32_t sq_memory_hold_call_count;

#endif
