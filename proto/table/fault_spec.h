/*
 * What a person can ask of each fault kind, as plain data: the same structure in the controller, between the
 * agent's two processes and in the fault's own code. No pointers, so it may cross processes as it is.
 *
 * The parameter table (params.h) describes every field: how it is written in an experiment, its unit, range,
 * default and help. A new fault kind is one structure here, one table in its own file, one message in
 * squall.proto.
 */
#ifndef SQ_TABLE_FAULT_SPEC_H
#define SQ_TABLE_FAULT_SPEC_H

#include "common/cidr.h"
#include "table/cores.h"

#include <stdint.h>

/* Numbers travel over the wire and stand in undo logs: append only. */
enum sq_fault_kind {
    SQ_FAULT_NONE = 0,
    SQ_NETWORK_PARTITION = 1,
    SQ_PROCESS_KILL = 2,
    SQ_NETWORK_LATENCY = 3,
    SQ_NETWORK_LOSS = 4,
    SQ_CPU_STRESS = 5,
    SQ_MEMORY_STRESS = 6,
    SQ_FAULT_KIND_MAX = 6
};

#define SQ_PEERS_MAX          1024 /* ranges in `to` */
#define SQ_EXCEPT_MAX         256  /* ranges in `except` */
#define SQ_INTERFACE_NAME_MAX 16   /* IFNAMSIZ of <linux/if.h>: an interface's own name */
#define SQ_INTERFACE_TEXT_MAX 128  /* ALTIFNAMSIZ of it: any of its names */
#define SQ_PATH_TEXT_MAX      256
#define SQ_COMM_MAX           16 /* TASK_COMM_LEN of <linux/sched.h> */

/* The packets' direction as the target host sees it. */
enum sq_direction { SQ_DIRECTION_IN = 1, SQ_DIRECTION_OUT = 2, SQ_DIRECTION_BOTH = 3 };

/* Which packets a network fault means. */
struct sq_network_selector {
    uint32_t direction; /* enum sq_direction */
    char
        interface[SQ_INTERFACE_TEXT_MAX]; /* by any of its names; empty: found from the routes to each peer */
    uint32_t to_count;
    struct sq_cidr to[SQ_PEERS_MAX];
    uint32_t except_count;
    struct sq_cidr except[SQ_EXCEPT_MAX];
};

struct sq_network_partition {
    struct sq_network_selector selector;
};

struct sq_network_latency {
    struct sq_network_selector selector;
    uint64_t delay_ns;
    uint64_t jitter_ns; /* each packet's delay is drawn from delay - jitter to delay + jitter; 0: not given */
};

struct sq_network_loss {
    struct sq_network_selector selector;
    double percent;
};

struct sq_cpu_stress {
    double percent; /* of each chosen core's time */
    struct sq_cores cores;
};

/* Exactly one of bytes, percent and leave_bytes. */
struct sq_memory_stress {
    uint64_t bytes;       /* hold so much; 0: not given */
    double percent;       /* or so much of the host's memory; 0: not given */
    uint64_t leave_bytes; /* or what leaves so much available; 0: not given */
    uint64_t rate_bytes;  /* growth in a second; 0: as fast as the host can */
};

/* At least one of executable, comm and command_line; all that are given must match. */
struct sq_process_selector {
    char executable[SQ_PATH_TEXT_MAX];   /* what /proc/PID/exe points to; empty: any */
    char comm[SQ_COMM_MAX];              /* /proc/PID/comm; empty: any */
    char command_line[SQ_PATH_TEXT_MAX]; /* '*' pattern over /proc/PID/cmdline joined by spaces; empty: any */
};

struct sq_process_kill {
    struct sq_process_selector selector;
    uint32_t signal;
    uint32_t count; /* how many of the matching processes; 0: not given */
    double percent; /* or how many of them in per cent; 0: not given. Neither given: all of them */
    uint64_t seed;
};

struct sq_fault_spec {
    enum sq_fault_kind kind;
    union {
        struct sq_network_partition partition;
        struct sq_process_kill kill;
        struct sq_network_latency latency;
        struct sq_network_loss loss;
        struct sq_cpu_stress cpu;
        struct sq_memory_stress memory;
    };
};

#endif
