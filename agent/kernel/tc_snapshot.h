/*
 * The traffic control of an interface as digests, to prove afterwards that it is what it was before.
 * Counters, references and squall's own filters are left out, and so is the clsact itself, whose fate the
 * undo record tells.
 */
#ifndef SQ_KERNEL_TC_SNAPSHOT_H
#define SQ_KERNEL_TC_SNAPSHOT_H

#include "kernel/netlink.h"

#include <stdint.h>

enum sq_tc_part {
    SQ_TC_QDISCS = 0,
    SQ_TC_ROOT_FILTERS,
    SQ_TC_INGRESS_FILTERS,
    SQ_TC_EGRESS_FILTERS,
    SQ_TC_INGRESS_PROGRAMS, /* tcx, in their order */
    SQ_TC_EGRESS_PROGRAMS,
    SQ_TC_PARTS
};

const char *sq_tc_part_name(enum sq_tc_part part); /* "queueing disciplines", "ingress filters" */

/* Plain data: stands in undo records. */
struct sq_tc_digest {
    uint64_t hash;
    uint32_t count;
    uint32_t reserved;
};

struct sq_tc_snapshot {
    uint32_t had_clsact; /* clsact or ingress */
    uint32_t unknown;    /* bit i: part i was not looked at */
    struct sq_tc_digest parts[SQ_TC_PARTS];
};

/*
 * 0 or -errno; allocates nothing. An interface that is not there has an empty snapshot. `netlink` is of this
 * process's own network namespace: tcx is asked without it.
 */
int sq_tc_take_snapshot(struct sq_netlink *netlink, uint32_t ifindex, struct sq_tc_snapshot *snapshot);

#endif
