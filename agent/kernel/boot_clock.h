/*
 * The clock that BPF programs read (bpf_ktime_get_boot_ns) is the kernel's own: a time namespace shifts
 * CLOCK_BOOTTIME for the processes in it (time_namespaces(7)), and not that.
 */
#ifndef SQ_KERNEL_BOOT_CLOCK_H
#define SQ_KERNEL_BOOT_CLOCK_H

#include "common/error.h"

#include <stdint.h>

/*
 * How far the kernel's clock is ahead of this process's CLOCK_BOOTTIME: 0 outside a time namespace. Measured
 * by a BPF program that reads it; what the measuring takes (microseconds) makes it too small, never too
 * large, so that no deadline comes late. Loading the program needs CAP_BPF and CAP_NET_ADMIN; SQ_UNABLE.
 */
int sq_boot_clock_measure(int64_t *ahead_ns, struct sq_error *error);

/* A moment of this process's clock in the kernel's. 0 stays 0; so does what is past since before the boot. */
uint64_t sq_boot_clock_to_kernel(uint64_t boot_ns, int64_t ahead_ns);

#endif
