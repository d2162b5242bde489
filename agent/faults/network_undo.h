/*
 * What every network fault that works through the classifier leaves in the undo log, and how it is taken away
 * again from that record alone. Shared by the network fault kinds; nothing here allocates.
 */
#ifndef SQ_FAULTS_NETWORK_UNDO_H
#define SQ_FAULTS_NETWORK_UNDO_H

#include "faults/fault.h"

#include "kernel/ifb.h"
#include "kernel/netlink.h"
#include "kernel/tc.h"
#include "kernel/tc_snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_NETWORK_UNDO_LAYOUT    2
#define SQ_NETWORK_INTERFACES_MAX 8

struct sq_network_undo_interface {
    uint32_t ifindex;
    uint32_t makes_clsact;            /* 1: squall is going to make it, so squall removes it */
    char name[SQ_INTERFACE_NAME_MAX]; /* for people; the interface is known by its index */
    struct sq_tc_snapshot before;
};

struct sq_network_undo {
    uint64_t netns_inode;
    uint32_t direction; /* enum sq_direction */
    uint32_t preference;
    uint32_t handle;
    uint32_t interface_count;
    char filter_name[SQ_TC_NAME_MAX];   /* without SQ_TC_NAME_MADE */
    uint64_t longest_delay_ns;          /* how long a packet may be on its way through a detour */
    struct sq_ifb detours[SQ_TC_SIDES]; /* by direction; index 0: the fault has none */
    struct sq_network_undo_interface interfaces[SQ_NETWORK_INTERFACES_MAX];
};

/* Put into and take out of the log's form; taking out checks layout, size and every bound. */
void sq_network_undo_write(const struct sq_network_undo *record, enum sq_fault_kind kind,
                           struct sq_undo *undo);
int sq_network_undo_read(const struct sq_undo *undo, struct sq_network_undo *record, struct sq_error *error);

bool sq_network_undo_uses(const struct sq_network_undo *record, enum sq_tc_side side);
struct sq_tc_place sq_network_undo_place(const struct sq_network_undo *record, uint32_t interface,
                                         enum sq_tc_side side);

/* The filters' name on one interface: it tells every later fault there whether the clsact is squall's. */
void sq_network_undo_filter_name(const struct sq_network_undo *record, uint32_t interface,
                                 char name[SQ_TC_NAME_MAX]);

/* Whether this process is in the namespace the record speaks of. */
bool sq_network_undo_is_here(const struct sq_network_undo *record);

/* Take the filters away: the fault applies to nothing any more. For when no one holds its map. */
int sq_network_undo_clean(struct sq_netlink *netlink, const struct sq_network_undo *record,
                          struct sq_error *error);

/*
 * Take away all that squall made, compare with what was there before. See `remove` in fault.h. Packets that
 * are still on a detour are waited for, at most `drain_ns`.
 */
int sq_network_undo_remove(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           uint64_t drain_ns, struct sq_fault_report *report, struct sq_error *error);

#endif
