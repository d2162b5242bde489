/* How much memory the host has, and this process's control group (proc(5), cgroups(7)). Nothing is allocated.
 */
#ifndef SQ_KERNEL_HOST_MEMORY_H
#define SQ_KERNEL_HOST_MEMORY_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sq_host_memory {
    uint64_t total_bytes;
    uint64_t available_bytes; /* what programs can still get without swapping */
    uint64_t swap_total_bytes;
};

/* The content of a /proc/meminfo. False if it is not one. */
bool sq_host_memory_parse(const char *meminfo, struct sq_host_memory *memory);

int sq_host_memory_read(struct sq_host_memory *memory, struct sq_error *error);

/*
 * How much more this process's control groups let it use, the narrowest of them; UINT64_MAX: there is no
 * limit. memory.high counts like memory.max. Looks at cgroup v2 and v1 where systemd mounts them, below
 * /sys/fs/cgroup.
 */
uint64_t sq_cgroup_memory_left_bytes(void);

/*
 * The CPU quota of this process's control groups, the narrowest of them, in cores (1.5: one and a half); 0:
 * none.
 */
double sq_cgroup_cpu_quota(void);

/* How often the OOM killer of this kernel has struck since boot (/proc/vmstat); 0 if it does not tell. */
uint64_t sq_host_oom_kills(void);

/* Resident memory of a process (/proc/PID/statm); 0 if it is gone. */
uint64_t sq_process_resident_bytes(int pid);

#endif
