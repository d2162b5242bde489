/*
 * The detour that delays packets: an IFB for each direction with a netem queue at its root, to
 * which the fault's filters redirect what they match, on all of its interfaces. A packet comes back from it
 * to the interface it was taken from. Shared by the kinds that need netem.
 */
#ifndef SQ_FAULTS_NETWORK_DETOUR_H
#define SQ_FAULTS_NETWORK_DETOUR_H

#include "faults/fault.h"
#include "faults/network_undo.h"

#include "kernel/netem.h"

#include <stdbool.h>
#include <stdint.h>

/* The longest that removing waits for packets, on top of their own delay, and altogether. */
#define SQ_DETOUR_DRAIN_EXTRA_NS (100 * SQ_NS_PER_MILLISECOND)
#define SQ_DETOUR_DRAIN_MAX_NS   (10 * SQ_NS_PER_SECOND)

/* The queues that a selector of this direction and this longest delay make: see `queues` in fault.h. */
void sq_network_detours_queues(enum sq_direction direction, uint64_t longest_delay_ns,
                               struct sq_fault_queues *queues);

/* The packets that each queue of the record may hold: what the delay needs, within the fault's share. */
uint32_t sq_network_detours_limit(const struct sq_fault_env *env, const struct sq_network_undo *record);

/*
 * Choose a detour for each direction of the record, refuse where one would lead past a firewall, and tell how
 * much it holds. `netem->limit` is computed here. SQ_LIMIT if the memory bears too few packets. Reads only.
 */
int sq_network_detours_preview(const struct sq_fault_env *env, struct sq_netem *netem,
                               struct sq_network_undo *record, struct sq_fault_report *report,
                               struct sq_error *error);

/*
 * Make what the record says; nothing leads there yet. What comes with the kernel module that this loads is
 * recorded in *record and *undo.
 */
int sq_network_detours_make(struct sq_netlink *netlink, const struct sq_fault_env *env,
                            struct sq_network_undo *record, const struct sq_netem *netem,
                            struct sq_undo *undo, struct sq_error *error);

/* That the detours are there, switched on, with their queues. SQ_VANISHED names what is missing. */
int sq_network_detours_check(struct sq_netlink *netlink, const struct sq_network_undo *record,
                             struct sq_error *error);

/* Packets in all of the record's queues, and those that were lost in each direction. */
struct sq_network_detour_count {
    uint32_t held;
    uint64_t lost[SQ_TC_SIDES];
};

/* 0, or -errno. A detour that is not there (yet, or any more) counts nothing. */
int sq_network_detours_count(struct sq_netlink *netlink, const struct sq_network_undo *record,
                             struct sq_network_detour_count *count);

bool sq_network_has_detour(const struct sq_network_undo *record);

/* A warning in report->lines if the queues still hold packets: what is in them is lost with them. */
void sq_network_detours_tell_lost(struct sq_netlink *netlink, const struct sq_network_undo *record,
                                  struct sq_fault_report *report);

/*
 * Delete what is squall's by all its marks, and what came with a kernel module; when no filter leads there
 * any more. Returns how many could not be deleted; *differs is set if something foreign stands in their
 * place, or if one is not there that was `expected` to be. Tells all of it in report->lines.
 */
uint32_t sq_network_detours_remove(struct sq_netlink *netlink, const struct sq_network_undo *record,
                                   bool expected, struct sq_fault_report *report, bool *differs);

/* How long packets may need to come out of the record's queues, within the bounds above. */
uint64_t sq_network_detours_drain_ns(const struct sq_network_undo *record);

#endif
