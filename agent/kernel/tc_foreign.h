/*
 * Who stands in front of squall's filters? A filter whose verdict may end the processing of a packet (accept
 * it, redirect it, steal it) would keep packets from the fault. One that can only drop them or let them go on
 * is fine.
 */
#ifndef SQ_KERNEL_TC_FOREIGN_H
#define SQ_KERNEL_TC_FOREIGN_H

#include "kernel/netlink.h"
#include "kernel/tc.h"

#include "common/error.h"

/* True if no packet that the filter sees can pass without the filters behind it seeing the packet too. */
bool sq_tc_filter_only_drops_or_continues(const struct sq_tc_filter *filter);

/*
 * That on this side of the interface no foreign filter or tcx program may end processing before a filter with
 * `preference`, and none stands behind it. SQ_UNABLE names the first one that does, and says what to do.
 */
int sq_tc_check_front(struct sq_netlink *netlink, uint32_t ifindex, const char *interface,
                      enum sq_tc_side side, uint32_t preference, struct sq_error *error);

/*
 * That the filter of this place, name and program is there, and nobody in front of it may end processing by
 * now. SQ_VANISHED says what is missing, or who came in front. Allocates nothing.
 */
int sq_tc_check_own(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                    uint32_t program_id, const char *interface, struct sq_error *error);

#endif
