/*
 * clsact and the filters on it: what squall makes, how it is recognised, and what else is there. See tc(8).
 *
 * Squall's filters are `bpf` filters in chain 0 with
 *   preference  SQ_TC_PREFERENCE + rank, behind all but the last few that tc(8) knows
 *   handle      SQ_TC_HANDLE + rank ("SQ" in its upper half)
 *   name        "squall/EXPERIMENT/SLOT", with "/clsact" behind it where squall made the clsact too
 * and only a filter that bears all three as they stand in an undo record is ever removed.
 *
 * Functions that return an int without struct sq_error are for the revert path: 0 or -errno, nothing
 * allocated.
 */
#ifndef SQ_KERNEL_TC_H
#define SQ_KERNEL_TC_H

#include "kernel/netlink.h"

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct nlattr; /* of libnl */

#define SQ_TC_PREFERENCE  0xffe0u
#define SQ_TC_OWN_MAX     31 /* preferences from there on that are squall's: all but the last */
#define SQ_TC_HANDLE      0x53510000u
#define SQ_TC_NAME_MAX    64
#define SQ_TC_NAME_PREFIX "squall/"
#define SQ_TC_NAME_MADE   "/clsact"

#define SQ_TC_CLSACT_MISSING                                                                                 \
    "the kernel has no clsact; try 'modprobe sch_ingress', or a kernel with CONFIG_NET_SCH_INGRESS"
#define SQ_TC_BPF_MISSING                                                                                    \
    "the kernel has no cls_bpf; try 'modprobe cls_bpf', or a kernel with CONFIG_NET_CLS_BPF"
#define SQ_TC_MIRRED_MISSING                                                                                 \
    "the kernel has no mirred action; try 'modprobe act_mirred', or a kernel with CONFIG_NET_ACT_MIRRED"

enum sq_tc_side { SQ_TC_IN = 0, SQ_TC_OUT = 1, SQ_TC_SIDES = 2 };

const char *sq_tc_side_name(enum sq_tc_side side); /* "ingress", "egress": as tc(8) says it */
uint32_t sq_tc_side_parent(enum sq_tc_side side);

/* One filter of a dump. Pointers are valid during the visit. */
struct sq_tc_filter {
    uint32_t handle;
    uint32_t preference;
    uint16_t protocol; /* host byte order; ETH_P_ALL: any */
    uint32_t chain;
    const char *kind;
    const char *name;       /* of a bpf filter; "" if it has none */
    struct nlattr *options; /* TCA_OPTIONS, or NULL */
};

/* One queueing discipline of a dump. */
struct sq_tc_qdisc {
    uint32_t handle;
    uint32_t parent;
    const char *kind;
    struct nlattr *options;
    uint32_t
        shared_block[SQ_TC_SIDES]; /* of clsact: the block its side shares with other interfaces; 0: none */
    struct nlattr *stats;          /* TCA_STATS2, or NULL */
};

/* A return other than 0 ends the visits and becomes the result. */
typedef int (*sq_tc_visit_filter)(const struct sq_tc_filter *filter, void *cookie);
typedef int (*sq_tc_visit_qdisc)(const struct sq_tc_qdisc *qdisc, void *cookie);

/* The filters of one parent (sq_tc_side_parent, or 0 for the root) in their order. -EAGAIN: start over. */
int sq_tc_filters(struct sq_netlink *netlink, uint32_t ifindex, uint32_t parent, sq_tc_visit_filter visit,
                  void *cookie);
int sq_tc_qdiscs(struct sq_netlink *netlink, uint32_t ifindex, sq_tc_visit_qdisc visit, void *cookie);

struct sq_tc_clsact {
    bool present;
    bool ingress_only; /* it is an `ingress` qdisc, which has no egress side */
    uint32_t shared_block[SQ_TC_SIDES];
};

int sq_tc_find_clsact(struct sq_netlink *netlink, uint32_t ifindex, struct sq_tc_clsact *clsact);

/* -EEXIST: there is one. */
int sq_tc_make_clsact(struct sq_netlink *netlink, uint32_t ifindex, char *reason, size_t size);
int sq_tc_remove_clsact(struct sq_netlink *netlink, uint32_t ifindex);

/* Where a filter of squall's stands. */
struct sq_tc_place {
    uint32_t ifindex;
    enum sq_tc_side side;
    uint32_t preference;
    uint32_t handle;
};

/* A direct-action filter for `program_fd`; the kernel takes its own reference. Refuses to replace another
 * one. */
int sq_tc_add_filter(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                     int program_fd, struct sq_error *error);

/*
 * A filter for a `program_fd` that only classifies: what it matches is redirected to the sending side of the
 * interface `to_ifindex`, an IFB.
 */
int sq_tc_add_redirect(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                       int program_fd, uint32_t to_ifindex, struct sq_error *error);

/* -ENOENT if it, its clsact or its interface is not there, or if what stands there bears another name. */
int sq_tc_remove_filter(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name);

/* Whether a filter is the one that stands in this place, by preference, handle and name. */
bool sq_tc_filter_is(const struct sq_tc_filter *filter, const struct sq_tc_place *place, const char *name);

/* Whether a filter is squall's by kind, handle, preference and name, whichever fault it belongs to. */
bool sq_tc_filter_is_ours(const struct sq_tc_filter *filter);

/* Who is on a clsact. */
struct sq_tc_tenants {
    uint32_t own;  /* of the fault that asks: by preference, handle and name */
    uint32_t ours; /* squall's, the own ones among them */
    uint32_t foreign;
    bool made_by_squall; /* a filter of squall's says so */
};

/* `place` (its side means nothing) and `name` are those of the fault that asks; NULL: of none. */
int sq_tc_count_tenants(struct sq_netlink *netlink, uint32_t ifindex, const struct sq_tc_place *place,
                        const char *name, struct sq_tc_tenants *tenants);

#endif
