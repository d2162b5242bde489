/*
 * What every network fault that works through the classifier leaves in the undo log, and how it is taken away
 * again from that record alone. Shared by the network fault kinds; nothing here allocates.
 */
#ifndef SQ_FAULTS_NETWORK_UNDO_H
#define SQ_FAULTS_NETWORK_UNDO_H

#include "faults/fault.h"

#include "kernel/ifb.h"
#include "kernel/ifb_loading.h"
#include "kernel/link.h"
#include "kernel/netlink.h"
#include "kernel/place.h"
#include "kernel/tc.h"
#include "kernel/tc_snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_NETWORK_UNDO_LAYOUT    3 /* 2, which knew less, is read as well */
#define SQ_NETWORK_INTERFACES_MAX 8

struct sq_network_undo_interface {
    uint32_t ifindex;
    uint32_t makes_clsact;  /* 1: squall is going to make it, so squall removes it */
    uint32_t is_marked;     /* 1: its filter was on that clsact; one without is somebody else's */
    uint32_t knows_address; /* 0: the record is an old one */
    struct sq_link_address address;
    uint32_t had_xdp; /* 1: an XDP program was there before; 0 as well if the record is an old one */
    char name[SQ_INTERFACE_NAME_MAX]; /* for people; it is known by index and address */
    struct sq_tc_snapshot before;
};

/* How the programs stand on the interfaces. */
enum sq_network_attachment {
    SQ_NETWORK_CLSACT = 0, /* filters on clsact, behind everybody's */
    SQ_NETWORK_TCX = 1     /* in front of everybody's, held by a guard: only for what drops */
};

struct sq_network_undo {
    struct sq_place place;
    uint32_t direction; /* enum sq_direction */
    uint32_t preference;
    uint32_t handle;
    uint32_t interface_count;
    char filter_name[SQ_TC_NAME_MAX];   /* without SQ_TC_NAME_MADE */
    uint64_t longest_delay_ns;          /* how long a packet may be on its way through a detour */
    struct sq_ifb detours[SQ_TC_SIDES]; /* by direction; index 0: the fault has none */
    uint32_t attachment;                /* enum sq_network_attachment */
    uint32_t programs[SQ_TC_SIDES];     /* on tcx: the kernel's numbers of them; 0: not loaded yet */
    uint32_t guard_pid;                 /* on tcx: who holds them; 0: not started yet */
    uint64_t guard_start_ticks;
    struct sq_network_undo_interface interfaces[SQ_NETWORK_INTERFACES_MAX];
    struct sq_ifb_loading loading; /* what comes with the kernel module that the detours need */
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

/* Whether this process, and `netlink`, are in the namespace the record speaks of. */
bool sq_network_undo_is_here(const struct sq_netlink *netlink, const struct sq_network_undo *record);

/* Whether `link` is the interface of the record, and not another one that was given its index. */
bool sq_network_undo_is_same(const struct sq_network_undo *record, uint32_t interface,
                             const struct sq_link *link);

/* Who is on an interface's clsact now. */
struct sq_network_survey {
    struct sq_tc_clsact clsact;
    struct sq_tc_tenants tenants;
};

/* 0 or -errno. */
int sq_network_undo_survey(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           uint32_t interface, struct sq_network_survey *survey);

/* There is a clsact, and nobody but this fault uses it. */
bool sq_network_survey_is_alone(const struct sq_network_survey *survey);

#define SQ_NETWORK_COMMAND_MAX 120

/* How a person would remove the same filter. */
void sq_network_undo_by_hand(const struct sq_network_undo *record, uint32_t interface, enum sq_tc_side side,
                             char text[SQ_NETWORK_COMMAND_MAX]);

/*
 * Read a record of layout 2 into the present form, in which what it did not know is marked as unknown. False:
 * it is none.
 */
bool sq_network_undo_read_2(const struct sq_undo *undo, struct sq_network_undo *record);

/* Take the filters away: the fault applies to nothing any more. For when no one holds its map. */
int sq_network_undo_clean(struct sq_netlink *netlink, const struct sq_network_undo *record,
                          struct sq_error *error);

/*
 * Whether this process's sq_network_undo_clean found filters of the record since this was asked last: those
 * of the latest 8 faults are remembered.
 */
bool sq_network_undo_was_standing(const struct sq_network_undo *record);

/*
 * The same for what was made in another network namespace, by a process that enters it if it may. One that is
 * gone is clean.
 */
int sq_network_undo_clean_elsewhere(const struct sq_network_undo *record, struct sq_error *error);

/*
 * Take away all that squall made, compare with what was there before. See `remove` in fault.h. Packets that
 * are still on a detour are lost: `settle` says when there are none. What was made in another network
 * namespace is undone in there by a process of its own if this one may enter it (CAP_SYS_ADMIN); it is undone
 * as well if that namespace is gone.
 */
int sq_network_undo_remove(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           struct sq_fault_report *report, struct sq_error *error);

#endif
