#include "kernel/tc_foreign.h"

#include "kernel/classifier.h"
#include "kernel/tcx.h"
#include "kernel/tcx_others.h"

#include "common/text.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/attr.h>
#include <stdio.h>
#include <string.h>

/* Where a kind of filter keeps its actions (the kinds of pkt_cls.h that Linux has). */
static const struct {
    const char *kind;
    int actions;
} filter_kinds[] = {
    {"u32", TCA_U32_ACT},           {"bpf", TCA_BPF_ACT},      {"flower", TCA_FLOWER_ACT},
    {"matchall", TCA_MATCHALL_ACT}, {"basic", TCA_BASIC_ACT},  {"fw", TCA_FW_ACT},
    {"flow", TCA_FLOW_ACT},         {"route", TCA_ROUTE4_ACT}, {"cgroup", TCA_CGROUP_ACT},
};

static struct nlattr *find_in(struct nlattr *nest, int type)
{
    return nest != NULL ? nla_find(nla_data(nest), nla_len(nest), type) : NULL;
}

/* One action's verdict when it stands last. Without PIPE: that goes on to the next action, not to the next
 * filter. */
static bool verdict_is_harmless(int verdict)
{
    return verdict == TC_ACT_SHOT || verdict == TC_ACT_UNSPEC;
}

/* The generic head of an action's parameters, or NULL. gact and mirred keep it in the same place. */
static const struct tc_gact *action_head(struct nlattr *options, int type)
{
    struct nlattr *parameters = find_in(options, type);
    return parameters != NULL && nla_len(parameters) >= (int)sizeof(struct tc_gact) ? nla_data(parameters)
                                                                                    : NULL;
}

static bool gact_is_harmless(struct nlattr *options, bool *goes_on)
{
    const struct tc_gact *head = action_head(options, TCA_GACT_PARMS);
    if (head == NULL)
        return false;
    *goes_on = head->action == TC_ACT_PIPE;
    struct nlattr *random = find_in(options, TCA_GACT_PROB);
    if (random != NULL) {
        if (nla_len(random) < (int)sizeof(struct tc_gact_p))
            return false;
        const struct tc_gact_p *chance = nla_data(random);
        if (chance->ptype != PGACT_NONE && !verdict_is_harmless(chance->paction))
            return false;
    }
    return *goes_on || verdict_is_harmless(head->action);
}

static bool mirred_is_harmless(struct nlattr *options, bool *goes_on)
{
    struct nlattr *parameters = find_in(options, TCA_MIRRED_PARMS);
    if (parameters == NULL || nla_len(parameters) < (int)sizeof(struct tc_mirred))
        return false;
    const struct tc_mirred *mirred = nla_data(parameters);
    if (mirred->eaction != TCA_EGRESS_MIRROR && mirred->eaction != TCA_INGRESS_MIRROR)
        return false;
    *goes_on = mirred->action == TC_ACT_PIPE;
    return *goes_on || verdict_is_harmless(mirred->action);
}

/*
 * Actions run in their order while each says PIPE. A list that ends with PIPE, and an empty one, accept the
 * packet.
 */
static bool actions_are_harmless(struct nlattr *actions)
{
    bool goes_on = true;
    if (actions == NULL)
        return false;
    struct nlattr *action;
    int left;
    nla_for_each_nested(action, actions, left)
    {
        struct nlattr *kind = find_in(action, TCA_ACT_KIND);
        struct nlattr *options = find_in(action, TCA_ACT_OPTIONS);
        if (kind == NULL || options == NULL || nla_len(kind) <= 0 ||
            !sq_text_is_terminated(nla_data(kind), (size_t)nla_len(kind)))
            return false;
        if (strcmp(nla_data(kind), "gact") == 0) {
            if (!gact_is_harmless(options, &goes_on))
                return false;
        } else if (strcmp(nla_data(kind), "mirred") == 0) {
            if (!mirred_is_harmless(options, &goes_on))
                return false;
        } else {
            return false;
        }
        if (!goes_on)
            return true;
    }
    return !goes_on;
}

/* What a classic BPF program returns: constants that stand in its RET instructions, unless it computes them.
 */
static bool classic_is_harmless(struct nlattr *instructions, bool direct, bool *may_match)
{
    const struct sock_filter *code = nla_data(instructions);
    size_t count = (size_t)nla_len(instructions) / sizeof *code;
    *may_match = false;
    for (size_t i = 0; i < count; i++) {
        if (BPF_CLASS(code[i].code) != BPF_RET)
            continue;
        if (BPF_RVAL(code[i].code) != BPF_K)
            return false;
        if (!direct) {
            *may_match = *may_match || code[i].k != 0;
            continue;
        }
        /* cls_bpf takes every number that is none of these for TC_ACT_UNSPEC. */
        int verdict = (int)code[i].k;
        if (verdict == TC_ACT_OK || verdict == TC_ACT_STOLEN || verdict == TC_ACT_TRAP ||
            verdict == TC_ACT_REDIRECT)
            return false;
    }
    return true;
}

static bool bpf_is_harmless(struct nlattr *options)
{
    struct nlattr *flags = find_in(options, TCA_BPF_FLAGS);
    bool direct = flags != NULL && nla_len(flags) >= 4 && (nla_get_u32(flags) & TCA_BPF_FLAG_ACT_DIRECT) != 0;
    struct nlattr *classic = find_in(options, TCA_BPF_OPS);
    bool may_match = true;
    if (classic != NULL && !classic_is_harmless(classic, direct, &may_match))
        return false;
    if (direct)
        return classic != NULL; /* nobody can tell what an eBPF program returns */
    return !may_match || actions_are_harmless(find_in(options, TCA_BPF_ACT));
}

/* The entries of u32 that decide nothing: hash tables, and keys that only lead to another table. */
static bool u32_decides(struct nlattr *options)
{
    struct nlattr *selector = find_in(options, TCA_U32_SEL);
    if (selector == NULL || nla_len(selector) < (int)sizeof(struct tc_u32_sel))
        return find_in(options, TCA_U32_DIVISOR) == NULL;
    return (((const struct tc_u32_sel *)nla_data(selector))->flags & TC_U32_TERMINAL) != 0;
}

static bool sees_ip(uint16_t protocol)
{
    return protocol == ETH_P_ALL || protocol == ETH_P_IP || protocol == ETH_P_IPV6 ||
           protocol == ETH_P_8021Q || protocol == ETH_P_8021AD;
}

bool sq_tc_filter_only_drops_or_continues(const struct sq_tc_filter *filter)
{
    if (!sees_ip(filter->protocol))
        return true;
    if (filter->options == NULL)
        return false;
    if (strcmp(filter->kind, "bpf") == 0)
        return bpf_is_harmless(filter->options);
    if (strcmp(filter->kind, "u32") == 0 && !u32_decides(filter->options))
        return true;
    for (size_t i = 0; i < sizeof filter_kinds / sizeof filter_kinds[0]; i++)
        if (strcmp(filter->kind, filter_kinds[i].kind) == 0)
            return actions_are_harmless(find_in(filter->options, filter_kinds[i].actions));
    return false;
}

struct front_search {
    const char *interface;
    enum sq_tc_side side;
    uint32_t preference;
    struct sq_error *error;
};

/* "bpf filter 'edge' (ingress of eth0, preference 10, handle 0x1)" */
static void describe(const struct front_search *search, const struct sq_tc_filter *filter, char *text,
                     size_t size)
{
    text[0] = '\0';
    sq_text_append(text, size, "%s filter", filter->kind);
    if (filter->name[0] != '\0')
        sq_text_append(text, size, " '%.60s'", filter->name);
    sq_text_append(text, size, " (%s of %s, preference %u, handle 0x%x)", sq_tc_side_name(search->side),
                   search->interface, filter->preference, filter->handle);
}

static int judge(const struct sq_tc_filter *filter, void *cookie)
{
    const struct front_search *search = cookie;
    if (filter->chain != 0 || sq_tc_filter_is_ours(filter))
        return 0;
    char text[200];
    if (filter->preference >= search->preference) {
        describe(search, filter, text, sizeof text);
        (void)sq_fail(
            search->error, SQ_UNABLE,
            "the foreign %s would stand behind squall's own of preference %u, which must be the last; give "
            "it a preference below %u, or name another 'interface'",
            text, search->preference, SQ_TC_PREFERENCE);
        return -EBUSY;
    }
    if (sq_tc_filter_only_drops_or_continues(filter))
        return 0;
    describe(search, filter, text, sizeof text);
    (void)sq_fail(
        search->error, SQ_UNABLE,
        "the foreign %s may accept or redirect packets before squall's filter sees them; let it end with "
        "'continue' (TC_ACT_UNSPEC) instead, take it out for the time of the experiment, or name another "
        "'interface'",
        text);
    return -EBUSY;
}

/* Of the programs, those that are not squall's: how many, and the first one. */
static int count_foreign(const uint32_t *ids, int count, uint32_t *first)
{
    int foreign = 0;
    bool loses;
    for (int i = 0; i < count && i < SQ_TCX_PROGRAMS_MAX; i++)
        if (!sq_tcx_is_own(ids[i]) && !sq_tcx_is_others(ids[i], &loses) && foreign++ == 0)
            *first = ids[i];
    return foreign;
}

static int check_tcx(uint32_t ifindex, const char *interface, enum sq_tc_side side, struct sq_error *error)
{
    uint32_t ids[SQ_TCX_PROGRAMS_MAX] = {0};
    uint32_t first = 0;
    int count = sq_tcx_programs(ifindex, side == SQ_TC_OUT, ids, SQ_TCX_PROGRAMS_MAX);
    if (count < 0)
        return sq_fail_errno(error, -count, "cannot ask for the tcx programs on %s", interface);
    int foreign = count_foreign(ids, count, &first);
    if (foreign == 0)
        return 0;
    char name[32];
    (void)sq_bpf_program_name(first, name, sizeof name);
    return sq_fail(
        error, SQ_UNABLE,
        "the foreign tcx program %s%s%s(id %u, %s of %s, one of %d) runs before every filter and may keep "
        "packets from squall's; detach it for the time of the experiment, or name another 'interface'",
        name[0] != '\0' ? "'" : "", name, name[0] != '\0' ? "' " : "", first, sq_tc_side_name(side),
        interface, foreign);
}

int sq_tc_check_front(struct sq_netlink *netlink, uint32_t ifindex, const char *interface,
                      enum sq_tc_side side, uint32_t preference, struct sq_error *error)
{
    if (check_tcx(ifindex, interface, side, error) != 0)
        return -1;
    struct front_search search = {
        .interface = interface, .side = side, .preference = preference, .error = error};
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++)
        result = sq_tc_filters(netlink, ifindex, sq_tc_side_parent(side), judge, &search);
    if (result == 0 || result == -EBUSY)
        return result == 0 ? 0 : -1;
    return sq_fail_errno(error, -result, "cannot list the %s filters of %s", sq_tc_side_name(side),
                         interface);
}

struct own_search {
    const struct sq_tc_place *place;
    const char *name;
    const char *interface;
    uint32_t program_id;
    bool found;
    char front[200]; /* a foreign filter in front that may keep packets from squall's; "": none */
};

static int look_for_own(const struct sq_tc_filter *filter, void *cookie)
{
    struct own_search *search = cookie;
    if (filter->chain != 0)
        return 0;
    if (sq_tc_filter_is(filter, search->place, search->name)) {
        struct nlattr *id = find_in(filter->options, TCA_BPF_ID);
        search->found = id != NULL && nla_len(id) >= 4 && nla_get_u32(id) == search->program_id;
        return 0;
    }
    if (sq_tc_filter_is_ours(filter) || filter->preference > search->place->preference ||
        search->front[0] != '\0' || sq_tc_filter_only_drops_or_continues(filter))
        return 0;
    const struct front_search where = {.interface = search->interface, .side = search->place->side};
    describe(&where, filter, search->front, sizeof search->front);
    return 0;
}

int sq_tc_check_own(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                    uint32_t program_id, const char *interface, struct sq_error *error)
{
    struct own_search search;
    struct sq_error front;
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        search = (struct own_search){
            .place = place, .name = name, .interface = interface, .program_id = program_id};
        result =
            sq_tc_filters(netlink, place->ifindex, sq_tc_side_parent(place->side), look_for_own, &search);
    }
    if (result == -EINVAL || result == -ENOENT)
        result = 0; /* there is no clsact any more */
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot list the %s filters of %s", sq_tc_side_name(place->side),
                             interface);
    if (!search.found)
        return sq_fail(error, SQ_VANISHED, "somebody took squall's filter away from %s (%s)", interface,
                       sq_tc_side_name(place->side));
    if (search.front[0] != '\0')
        return sq_fail(
            error, SQ_VANISHED,
            "the foreign %s came in front of squall's and may accept or redirect packets before that "
            "sees them",
            search.front);
    if (check_tcx(place->ifindex, interface, place->side, &front) == 0)
        return 0;
    return sq_fail(error, front.code == SQ_UNABLE ? SQ_VANISHED : front.code,
                   "since the fault was prepared, %s", front.text);
}
