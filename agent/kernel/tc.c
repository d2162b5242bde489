#include "kernel/tc.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

struct tc_request {
    struct nlmsghdr header;
    struct tcmsg info;
    struct {
        struct nlattr header;
        char text[8];
    } kind;
};

const char *sq_tc_side_name(enum sq_tc_side side)
{
    return side == SQ_TC_IN ? "ingress" : "egress";
}

uint32_t sq_tc_side_parent(enum sq_tc_side side)
{
    return TC_H_MAKE(TC_H_CLSACT, side == SQ_TC_IN ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

static void set_kind(struct tc_request *request, const char *kind)
{
    size_t length = strlen(kind) + 1;
    memcpy(request->kind.text, kind, length);
    request->kind.header.nla_type = TCA_KIND;
    request->kind.header.nla_len = (uint16_t)(sizeof request->kind.header + length);
    request->header.nlmsg_len =
        (uint32_t)(NLMSG_SPACE(sizeof request->info) + NLMSG_ALIGN(request->kind.header.nla_len));
}

static void init_request(struct tc_request *request, uint16_t type, uint32_t ifindex)
{
    *request = (struct tc_request){
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof request->info), .nlmsg_type = type},
        .info = {.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex},
    };
}

/* A terminated string attribute, or "". */
static const char *text_of(struct nlattr *attribute)
{
    if (attribute == NULL || nla_len(attribute) <= 0 ||
        !sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)))
        return "";
    return nla_data(attribute);
}

static uint32_t number_of(struct nlattr *attribute)
{
    return attribute != NULL && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : 0;
}

/* The common head and the attributes of a traffic control message; false if it is another message or
 * interface. */
static bool take_apart(const struct nlmsghdr *message, uint16_t type, uint32_t ifindex,
                       const struct tcmsg **info, struct nlattr *attributes[TCA_MAX + 1])
{
    if (message->nlmsg_type != type || message->nlmsg_len < NLMSG_LENGTH(sizeof(struct tcmsg)))
        return false;
    *info = NLMSG_DATA(message);
    struct nlattr *first = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof **info));
    return (uint32_t)(*info)->tcm_ifindex == ifindex &&
           nla_parse(attributes, TCA_MAX, first, (int)(message->nlmsg_len - NLMSG_SPACE(sizeof **info)),
                     NULL) == 0;
}

struct filter_walk {
    uint32_t ifindex;
    sq_tc_visit_filter visit;
    void *cookie;
};

static int walk_filter(const struct nlmsghdr *message, void *cookie)
{
    const struct filter_walk *walk = cookie;
    const struct tcmsg *info;
    struct nlattr *attributes[TCA_MAX + 1];
    if (!take_apart(message, RTM_NEWTFILTER, walk->ifindex, &info, attributes))
        return 0;
    struct sq_tc_filter filter = {
        .handle = info->tcm_handle,
        .preference = TC_H_MAJ(info->tcm_info) >> 16,
        .protocol = ntohs((uint16_t)TC_H_MIN(info->tcm_info)),
        .chain = number_of(attributes[TCA_CHAIN]),
        .kind = text_of(attributes[TCA_KIND]),
        .name = "",
        .options = attributes[TCA_OPTIONS],
    };
    if (filter.handle == 0)
        return 0; /* the head of a group of filters, not one of them */
    if (strcmp(filter.kind, "bpf") == 0 && filter.options != NULL)
        filter.name = text_of(nla_find(nla_data(filter.options), nla_len(filter.options), TCA_BPF_NAME));
    return walk->visit(&filter, walk->cookie);
}

int sq_tc_filters(struct sq_netlink *netlink, uint32_t ifindex, uint32_t parent, sq_tc_visit_filter visit,
                  void *cookie)
{
    struct tc_request request;
    init_request(&request, RTM_GETTFILTER, ifindex);
    request.info.tcm_parent = parent;
    struct filter_walk walk = {.ifindex = ifindex, .visit = visit, .cookie = cookie};
    int result = sq_netlink_dump(netlink, &request.header, walk_filter, &walk);
    return result == -ENODEV ? 0 : result; /* without the interface there are no filters */
}

static void init_clsact_request(struct tc_request *request, uint16_t type, uint32_t ifindex)
{
    init_request(request, type, ifindex);
    request->info.tcm_parent = TC_H_CLSACT;
    request->info.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    set_kind(request, "clsact");
}

int sq_tc_make_clsact(struct sq_netlink *netlink, uint32_t ifindex, char *reason, size_t size)
{
    struct tc_request request;
    init_clsact_request(&request, RTM_NEWQDISC, ifindex);
    request.header.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
    return sq_netlink_request(netlink, &request.header, reason, size);
}

int sq_tc_remove_clsact(struct sq_netlink *netlink, uint32_t ifindex)
{
    struct tc_request request;
    init_clsact_request(&request, RTM_DELQDISC, ifindex);
    return sq_netlink_request(netlink, &request.header, NULL, 0);
}

static uint32_t filter_info(const struct sq_tc_place *place)
{
    return TC_H_MAKE(place->preference << 16, htons(ETH_P_ALL));
}

/* What becomes of a packet that the program matches. */
struct verdict {
    int program_fd;
    uint32_t redirect_to; /* an interface's index; 0: the program decides by itself */
};

static int put_redirect(struct nl_msg *message, uint32_t to_ifindex)
{
    const struct tc_mirred parameters = {
        .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = to_ifindex};
    struct nlattr *actions = nla_nest_start(message, TCA_BPF_ACT);
    struct nlattr *action = actions == NULL ? NULL : nla_nest_start(message, 1);
    if (action == NULL || nla_put_string(message, TCA_ACT_KIND, "mirred") != 0)
        return -1;
    struct nlattr *options = nla_nest_start(message, TCA_ACT_OPTIONS);
    if (options == NULL || nla_put(message, TCA_MIRRED_PARMS, sizeof parameters, &parameters) != 0)
        return -1;
    (void)nla_nest_end(message, options);
    (void)nla_nest_end(message, action);
    return nla_nest_end(message, actions);
}

static int put_filter(struct nl_msg *message, const struct sq_tc_place *place, const char *name,
                      const struct verdict *verdict)
{
    struct tcmsg info = {
        .tcm_family = AF_UNSPEC,
        .tcm_ifindex = (int)place->ifindex,
        .tcm_parent = sq_tc_side_parent(place->side),
        .tcm_handle = place->handle,
        .tcm_info = filter_info(place),
    };
    uint32_t flags = verdict->redirect_to == 0 ? TCA_BPF_FLAG_ACT_DIRECT : 0;
    if (nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO) != 0 ||
        nla_put_string(message, TCA_KIND, "bpf") != 0)
        return -1;
    struct nlattr *options = nla_nest_start(message, TCA_OPTIONS);
    if (options == NULL || nla_put_u32(message, TCA_BPF_FD, (uint32_t)verdict->program_fd) != 0 ||
        nla_put_string(message, TCA_BPF_NAME, name) != 0 || nla_put_u32(message, TCA_BPF_FLAGS, flags) != 0 ||
        nla_put_u32(message, TCA_BPF_FLAGS_GEN, TCA_CLS_FLAGS_SKIP_HW) != 0)
        return -1;
    if (verdict->redirect_to != 0 && put_redirect(message, verdict->redirect_to) < 0)
        return -1;
    return nla_nest_end(message, options);
}

static int add_filter(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                      const struct verdict *verdict, struct sq_error *error)
{
    struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL);
    if (message == NULL || put_filter(message, place, name, verdict) != 0) {
        nlmsg_free(message);
        return sq_fail_errno(error, ENOMEM, "cannot build a filter");
    }
    char reason[160];
    int result = sq_netlink_request(netlink, nlmsg_hdr(message), reason, sizeof reason);
    nlmsg_free(message);
    if (result == 0)
        return 0;
    if (result == -ENOENT && (reason[0] == '\0' || strstr(reason, "classifier not found") != NULL))
        return sq_fail(error, SQ_UNABLE, SQ_TC_BPF_MISSING);
    if (result == -ENOENT && strstr(reason, "action module") != NULL)
        return sq_fail(error, SQ_UNABLE, SQ_TC_MIRRED_MISSING);
    return sq_fail(error, result == -EEXIST ? SQ_CONFLICT : SQ_UNABLE,
                   "the kernel refused the %s filter of preference %u: %s%s%s", sq_tc_side_name(place->side),
                   place->preference, strerror(-result), reason[0] != '\0' ? ": " : "", reason);
}

int sq_tc_add_filter(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                     int program_fd, struct sq_error *error)
{
    const struct verdict verdict = {.program_fd = program_fd};
    return add_filter(netlink, place, name, &verdict, error);
}

int sq_tc_add_redirect(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name,
                       int program_fd, uint32_t to_ifindex, struct sq_error *error)
{
    const struct verdict verdict = {.program_fd = program_fd, .redirect_to = to_ifindex};
    return add_filter(netlink, place, name, &verdict, error);
}

struct own_search {
    const struct sq_tc_place *place;
    const char *name;
    bool found;
};

bool sq_tc_filter_is(const struct sq_tc_filter *filter, const struct sq_tc_place *place, const char *name)
{
    return filter->chain == 0 && filter->preference == place->preference && filter->handle == place->handle &&
           strcmp(filter->kind, "bpf") == 0 && strcmp(filter->name, name) == 0;
}

static int notice_own(const struct sq_tc_filter *filter, void *cookie)
{
    struct own_search *search = cookie;
    search->found = search->found || sq_tc_filter_is(filter, search->place, search->name);
    return 0;
}

int sq_tc_remove_filter(struct sq_netlink *netlink, const struct sq_tc_place *place, const char *name)
{
    struct own_search search = {.place = place, .name = name};
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++)
        result = sq_tc_filters(netlink, place->ifindex, sq_tc_side_parent(place->side), notice_own, &search);
    if (result != 0)
        return result;
    if (!search.found)
        return -ENOENT;
    struct tc_request request;
    init_request(&request, RTM_DELTFILTER, place->ifindex);
    request.info.tcm_parent = sq_tc_side_parent(place->side);
    request.info.tcm_handle = place->handle;
    request.info.tcm_info = filter_info(place);
    set_kind(&request, "bpf");
    result = sq_netlink_request(netlink, &request.header, NULL, 0);
    return result == -ENODEV || result == -EINVAL ? -ENOENT : result;
}

bool sq_tc_filter_is_ours(const struct sq_tc_filter *filter)
{
    return filter->chain == 0 && filter->preference >= SQ_TC_PREFERENCE &&
           filter->preference < SQ_TC_PREFERENCE + SQ_TC_OWN_MAX && filter->handle >= SQ_TC_HANDLE &&
           filter->handle < SQ_TC_HANDLE + SQ_TC_OWN_MAX && strcmp(filter->kind, "bpf") == 0 &&
           strncmp(filter->name, SQ_TC_NAME_PREFIX, strlen(SQ_TC_NAME_PREFIX)) == 0;
}

struct tenant_walk {
    const struct sq_tc_place *place; /* of who asks, or NULL */
    const char *name;
    struct sq_tc_tenants *tenants;
};

static int notice_tenant(const struct sq_tc_filter *filter, void *cookie)
{
    const struct tenant_walk *walk = cookie;
    struct sq_tc_tenants *tenants = walk->tenants;
    if (!sq_tc_filter_is_ours(filter)) {
        tenants->foreign++;
        return 0;
    }
    tenants->ours++;
    if (walk->place != NULL && sq_tc_filter_is(filter, walk->place, walk->name))
        tenants->own++;
    size_t length = strlen(filter->name);
    size_t mark = strlen(SQ_TC_NAME_MADE);
    if (length > mark && strcmp(filter->name + length - mark, SQ_TC_NAME_MADE) == 0)
        tenants->made_by_squall = true;
    return 0;
}

int sq_tc_count_tenants(struct sq_netlink *netlink, uint32_t ifindex, const struct sq_tc_place *place,
                        const char *name, struct sq_tc_tenants *tenants)
{
    struct tenant_walk walk = {.place = place, .name = name, .tenants = tenants};
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        *tenants = (struct sq_tc_tenants){0};
        result = sq_tc_filters(netlink, ifindex, sq_tc_side_parent(SQ_TC_IN), notice_tenant, &walk);
        if (result == 0)
            result = sq_tc_filters(netlink, ifindex, sq_tc_side_parent(SQ_TC_OUT), notice_tenant, &walk);
    }
    return result;
}
