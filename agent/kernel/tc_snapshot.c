#include "kernel/tc_snapshot.h"

#include "kernel/classifier.h"
#include "kernel/tc.h"
#include "kernel/tcx.h"
#include "kernel/tcx_others.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <netlink/attr.h>
#include <stddef.h>
#include <string.h>

/* FNV-1a (Fowler, Noll, Vo), 64 bits: it has to notice accidents, not attacks. */
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* Option attributes that change by themselves: counters, and actions, whose statistics stand among their
 * options. */
static const struct {
    const char *kind;
    int volatile_attributes[2];
    int actions;
} filter_kinds[] = {
    {"u32", {TCA_U32_PCNT, 0}, TCA_U32_ACT},
    {"bpf", {0, 0}, TCA_BPF_ACT},
    {"flower", {TCA_FLOWER_IN_HW_COUNT, 0}, TCA_FLOWER_ACT},
    {"matchall", {TCA_MATCHALL_PCNT, 0}, TCA_MATCHALL_ACT},
    {"basic", {TCA_BASIC_PCNT, 0}, TCA_BASIC_ACT},
    {"fw", {0, 0}, TCA_FW_ACT},
    {"flow", {0, 0}, TCA_FLOW_ACT},
    {"route", {0, 0}, TCA_ROUTE4_ACT},
    {"cgroup", {0, 0}, TCA_CGROUP_ACT},
};

const char *sq_tc_part_name(enum sq_tc_part part)
{
    static const char *const names[] = {"queueing disciplines", "filters of the root",
                                        "ingress filters",      "egress filters",
                                        "ingress tcx programs", "egress tcx programs"};
    _Static_assert(sizeof names / sizeof names[0] == SQ_TC_PARTS, "a name for every part");
    return (unsigned)part < SQ_TC_PARTS ? names[part] : "?";
}

static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * FNV_PRIME;
    return hash;
}

static uint64_t add_number(uint64_t hash, uint64_t number)
{
    return add_bytes(hash, &number, sizeof number);
}

static uint64_t add_text(uint64_t hash, const char *text)
{
    return add_bytes(hash, text, strlen(text) + 1);
}

/* Of actions, what they are and in which order; their references, clocks and counters are nobody's
 * configuration. */
static uint64_t add_actions(uint64_t hash, struct nlattr *actions)
{
    struct nlattr *action;
    int left;
    nla_for_each_nested(action, actions, left)
    {
        struct nlattr *kind = nla_find(nla_data(action), nla_len(action), TCA_ACT_KIND);
        hash = add_number(hash, (uint64_t)nla_type(action));
        if (kind != NULL)
            hash = add_bytes(hash, nla_data(kind), (size_t)nla_len(kind));
    }
    return hash;
}

/* u32 counts behind the mark that it asks for how often it found that. */
static uint64_t add_mark(uint64_t hash, struct nlattr *mark)
{
    size_t size = (size_t)nla_len(mark);
    if (size > offsetof(struct tc_u32_mark, success))
        size = offsetof(struct tc_u32_mark, success);
    return add_bytes(hash, nla_data(mark), size);
}

static uint64_t add_filter_options(uint64_t hash, const struct sq_tc_filter *filter)
{
    size_t known = 0;
    const size_t count = sizeof filter_kinds / sizeof filter_kinds[0];
    while (known < count && strcmp(filter_kinds[known].kind, filter->kind) != 0)
        known++;
    if (filter->options == NULL || known == count)
        return hash;
    struct nlattr *attribute;
    int left;
    nla_for_each_nested(attribute, filter->options, left)
    {
        int type = nla_type(attribute);
        if (type == filter_kinds[known].volatile_attributes[0] ||
            type == filter_kinds[known].volatile_attributes[1])
            continue;
        hash = add_number(hash, (uint64_t)type);
        if (type == filter_kinds[known].actions)
            hash = add_actions(hash, attribute);
        else if (type == TCA_U32_MARK && strcmp(filter->kind, "u32") == 0)
            hash = add_mark(hash, attribute);
        else
            hash = add_bytes(hash, nla_data(attribute), (size_t)nla_len(attribute));
    }
    return hash;
}

/* Filters are taken in their order, which is part of what they do. */
static int add_filter(const struct sq_tc_filter *filter, void *cookie)
{
    struct sq_tc_digest *digest = cookie;
    if (sq_tc_filter_is_ours(filter))
        return 0;
    uint64_t hash = add_text(digest->hash, filter->kind);
    hash = add_number(hash, filter->handle);
    hash = add_number(hash, filter->preference);
    hash = add_number(hash, filter->protocol);
    hash = add_number(hash, filter->chain);
    digest->hash = add_filter_options(hash, filter);
    digest->count++;
    return 0;
}

static uint64_t add_qdisc_options(uint64_t hash, const struct sq_tc_qdisc *qdisc)
{
    if (qdisc->options == NULL)
        return hash;
    if (strcmp(qdisc->kind, "htb") != 0)
        return add_bytes(hash, nla_data(qdisc->options), (size_t)nla_len(qdisc->options));
    /* HTB keeps a packet counter, direct_pkts, among its parameters. */
    struct nlattr *attribute;
    int left;
    nla_for_each_nested(attribute, qdisc->options, left)
    {
        size_t size = (size_t)nla_len(attribute);
        if (nla_type(attribute) == TCA_HTB_INIT && size > offsetof(struct tc_htb_glob, direct_pkts))
            size = offsetof(struct tc_htb_glob, direct_pkts);
        hash = add_number(hash, (uint64_t)nla_type(attribute));
        hash = add_bytes(hash, nla_data(attribute), size);
    }
    return hash;
}

/* The kernel lists queueing disciplines in the order of a hash table, so their digests are summed. */
static int add_qdisc(const struct sq_tc_qdisc *qdisc, void *cookie)
{
    struct sq_tc_snapshot *snapshot = cookie;
    struct sq_tc_digest *digest = &snapshot->parts[SQ_TC_QDISCS];
    if (strcmp(qdisc->kind, "clsact") == 0 || strcmp(qdisc->kind, "ingress") == 0) {
        snapshot->had_clsact = 1;
        return 0;
    }
    uint64_t hash = add_text(FNV_BASIS, qdisc->kind);
    hash = add_number(hash, qdisc->handle);
    hash = add_number(hash, qdisc->parent);
    digest->hash += add_qdisc_options(hash, qdisc);
    digest->count++;
    return 0;
}

/* By id, which the kernel gives anew to whatever is loaded: a program that was replaced has another one. */
static int add_programs(uint32_t ifindex, enum sq_tc_side side, struct sq_tc_digest *digest)
{
    uint32_t ids[SQ_TCX_PROGRAMS_MAX];
    int count = sq_tcx_programs(ifindex, side == SQ_TC_OUT, ids, SQ_TCX_PROGRAMS_MAX);
    if (count < 0)
        return count == -ENODEV ? 0 : count;
    for (int i = 0; i < count && i < SQ_TCX_PROGRAMS_MAX; i++) {
        bool loses;
        if (sq_tcx_is_own(ids[i]) || sq_tcx_is_others(ids[i], &loses))
            continue;
        digest->hash = add_number(digest->hash, ids[i]);
        digest->count++;
    }
    return 0;
}

static int take(struct sq_netlink *netlink, uint32_t ifindex, struct sq_tc_snapshot *snapshot)
{
    int result = sq_tc_qdiscs(netlink, ifindex, add_qdisc, snapshot);
    if (result == 0)
        result = sq_tc_filters(netlink, ifindex, 0, add_filter, &snapshot->parts[SQ_TC_ROOT_FILTERS]);
    if (result == 0)
        result = sq_tc_filters(netlink, ifindex, sq_tc_side_parent(SQ_TC_IN), add_filter,
                               &snapshot->parts[SQ_TC_INGRESS_FILTERS]);
    if (result == 0)
        result = sq_tc_filters(netlink, ifindex, sq_tc_side_parent(SQ_TC_OUT), add_filter,
                               &snapshot->parts[SQ_TC_EGRESS_FILTERS]);
    if (result == 0)
        result = add_programs(ifindex, SQ_TC_IN, &snapshot->parts[SQ_TC_INGRESS_PROGRAMS]);
    if (result == 0)
        result = add_programs(ifindex, SQ_TC_OUT, &snapshot->parts[SQ_TC_EGRESS_PROGRAMS]);
    return result;
}

int sq_tc_take_snapshot(struct sq_netlink *netlink, uint32_t ifindex, struct sq_tc_snapshot *snapshot)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        *snapshot = (struct sq_tc_snapshot){0};
        result = take(netlink, ifindex, snapshot);
    }
    return result;
}
