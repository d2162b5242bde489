#include "kernel/route_table.h"

#include "common/cleanup.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WAYS_MAX  65536 /* that are weighed; a full internet table is not a range's business */
#define RULES_MAX 4096
#define GROUP_DEPTH_MAX                                                                                      \
    3 /* groups of nexthops hold no groups; this bounds a kernel that is of another mind */

/* While the routes are read: whose business they are. */
struct reading {
    struct sq_route_table *table;
    const struct sq_cidr *peers;
    size_t peer_count;
    struct sq_cidr around; /* the narrowest range that holds all peers of the family */
};

static int family_number(uint8_t family)
{
    return family == 4 ? AF_INET : AF_INET6;
}

static struct nlattr *attributes_of(const struct nlmsghdr *message, size_t head, int *length)
{
    *length = (int)(message->nlmsg_len - NLMSG_SPACE(head));
    return (void *)((char *)(uintptr_t)message + NLMSG_SPACE(head));
}

static uint32_t number_of(const struct nlattr *attribute, uint32_t otherwise)
{
    return attribute != NULL && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : otherwise;
}

static struct sq_cidr range_of(uint8_t family, uint8_t prefix, const struct nlattr *address)
{
    struct sq_cidr range = {.family = family, .prefix = prefix};
    if (address != NULL && nla_len(address) <= (int)sizeof range.address)
        memcpy(range.address, nla_data(address), (size_t)nla_len(address));
    return range;
}

static int grow(void **items, size_t *room, size_t count, size_t most, size_t size)
{
    if (count < *room)
        return 0;
    size_t more = *room == 0 ? 64 : *room * 2;
    if (more > most)
        return -E2BIG;
    void *grown = reallocarray(*items, more, size);
    if (grown == NULL)
        return -ENOMEM;
    *items = grown;
    *room = more;
    return 0;
}

static int add_way(struct sq_route_table *table, const struct sq_route_way *way)
{
    void *ways = table->ways;
    int result = grow(&ways, &table->room, table->count, WAYS_MAX, sizeof *way);
    table->ways = ways;
    if (result == 0)
        table->ways[table->count++] = *way;
    return result;
}

static int add_rule(struct sq_route_table *table, const struct sq_route_rule *rule)
{
    void *rules = table->rules;
    int result = grow(&rules, &table->rule_room, table->rule_count, RULES_MAX, sizeof *rule);
    table->rules = rules;
    if (result == 0)
        table->rules[table->rule_count++] = *rule;
    return result;
}

/* Attributes that ask a packet for nothing but its destination. */
static bool is_harmless(int type)
{
    return type == FRA_DST || type == FRA_PRIORITY || type == FRA_TABLE || type == FRA_SUPPRESS_PREFIXLEN ||
           type == FRA_PROTOCOL || type == FRA_PAD;
}

static int take_rule(const struct nlmsghdr *message, void *cookie)
{
    struct sq_route_table *table = cookie;
    if (message->nlmsg_type != RTM_NEWRULE || message->nlmsg_len < NLMSG_SPACE(sizeof(struct fib_rule_hdr)))
        return 0;
    const struct fib_rule_hdr *info = NLMSG_DATA(message);
    if (info->family != family_number(table->family))
        return 0;
    int length;
    struct nlattr *attributes = attributes_of(message, sizeof *info, &length);
    const struct nlattr *vrf = nla_find(attributes, length, FRA_L3MDEV);
    struct sq_route_rule rule = {
        .vrf = vrf != NULL && nla_len(vrf) >= 1 && nla_get_u8((struct nlattr *)(uintptr_t)vrf) != 0,
        .goes_on = info->action == FR_ACT_GOTO || info->action == FR_ACT_NOP,
        .conditional = info->src_len != 0 || info->tos != 0,
        .inverted = (info->flags & FIB_RULE_INVERT) != 0,
        .suppress_prefix = (int)number_of(nla_find(attributes, length, FRA_SUPPRESS_PREFIXLEN), UINT32_MAX),
        .destination = range_of(table->family, info->dst_len, nla_find(attributes, length, FRA_DST)),
    };
    if (info->action == FR_ACT_TO_TBL && !rule.vrf)
        rule.table = number_of(nla_find(attributes, length, FRA_TABLE), info->table);
    table->jumps = table->jumps || info->action == FR_ACT_GOTO;
    const struct nlattr *attribute;
    int left;
    nla_for_each_attr(attribute, attributes, length, left)
    {
        rule.conditional = rule.conditional || !is_harmless(nla_type(attribute));
    }
    return add_rule(table, &rule);
}

/* What a kernel without policy routing does. */
static int add_standard_rules(struct sq_route_table *table)
{
    static const uint32_t tables[] = {RT_TABLE_LOCAL, RT_TABLE_MAIN};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const struct sq_route_rule rule = {
            .table = tables[i], .suppress_prefix = -1, .destination = {.family = table->family}};
        int result = add_rule(table, &rule);
        if (result != 0)
            return result;
    }
    return 0;
}

static int read_rules(struct sq_netlink *netlink, struct sq_route_table *table)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        table->rule_count = 0;
        struct {
            struct nlmsghdr header;
            struct fib_rule_hdr info;
        } request = {
            .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETRULE},
            .info = {.family = (unsigned char)family_number(table->family)},
        };
        result = sq_netlink_dump(netlink, &request.header, take_rule, table);
    }
    if (result == -EAFNOSUPPORT || result == -EOPNOTSUPP)
        result = 0;
    return result == 0 && table->rule_count == 0 ? add_standard_rules(table) : result;
}

/* The bits that two ranges of a family have in common. */
static struct sq_cidr around_both(const struct sq_cidr *a, const struct sq_cidr *b)
{
    struct sq_cidr around = *a;
    if (b->prefix < around.prefix)
        around.prefix = b->prefix;
    while (!sq_cidr_contains(&around, b)) /* prefix 0 holds everything */
        around.prefix--;
    for (unsigned bit = around.prefix; bit < (around.family == 4 ? 32u : 128u); bit++)
        around.address[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
    return around;
}

static bool find_around(struct reading *reading)
{
    bool some = false;
    for (size_t i = 0; i < reading->peer_count; i++) {
        if (reading->peers[i].family != reading->table->family)
            continue;
        reading->around = some ? around_both(&reading->around, &reading->peers[i]) : reading->peers[i];
        some = true;
    }
    return some;
}

static bool is_of_interest(const struct reading *reading, const struct sq_cidr *destination)
{
    if (!sq_cidr_overlaps(&reading->around, destination))
        return false;
    if (sq_cidr_contains(destination, &reading->around))
        return true;
    for (size_t i = 0; i < reading->peer_count; i++)
        if (sq_cidr_overlaps(&reading->peers[i], destination))
            return true;
    return false;
}

static bool type_of(unsigned char kernel_type, enum sq_route_type *type)
{
    switch (kernel_type) {
    case RTN_UNICAST:
    case RTN_BROADCAST:
    case RTN_ANYCAST:
    case RTN_MULTICAST:
        *type = SQ_ROUTE_LEAVES;
        return true;
    case RTN_LOCAL:
        *type = SQ_ROUTE_LOCAL;
        return true;
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
        *type = SQ_ROUTE_NOWHERE;
        return true;
    case RTN_THROW:
        *type = SQ_ROUTE_THROW;
        return true;
    default:
        return false;
    }
}

/*
 * An IPv6 host passes over a route whose gateway does not answer, also for a wider one. Whether it answers
 * may change at any time.
 */
static bool is_avoidable(const struct sq_route_table *table, bool gateway)
{
    return table->family == 6 && gateway;
}

/* A route whose time is over stands there until the kernel comes round to sweep it up. */
static bool is_expired(const struct nlattr *attribute)
{
    struct rta_cacheinfo info = {0};
    if (attribute != NULL && nla_len(attribute) >= (int)sizeof info)
        memcpy(&info, nla_data(attribute), sizeof info);
    return info.rta_expires < 0;
}

/* Of a link without carrier the kernel says that it is dead only if it passes over such routes. */
static int add_multipath(struct sq_route_table *table, struct sq_route_way *way, struct nlattr *paths)
{
    const struct rtnexthop *hop = nla_data(paths);
    int left = nla_len(paths);
    const bool conditional = way->conditional;
    while (RTNH_OK(hop, left)) {
        const struct nlattr *attributes = (const void *)(hop + 1);
        way->ifindex = (uint32_t)hop->rtnh_ifindex;
        way->conditional = conditional || (hop->rtnh_flags & RTNH_F_DEAD) != 0;
        way->avoidable = is_avoidable(
            table, nla_find(attributes, (int)hop->rtnh_len - (int)sizeof *hop, RTA_GATEWAY) != NULL);
        int result = add_way(table, way);
        if (result != 0)
            return result;
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = (const void *)((const char *)hop + RTNH_ALIGN(hop->rtnh_len));
    }
    return 0;
}

static int take_route(const struct nlmsghdr *message, void *cookie)
{
    struct reading *reading = cookie;
    struct sq_route_table *table = reading->table;
    if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_SPACE(sizeof(struct rtmsg)))
        return 0;
    const struct rtmsg *info = NLMSG_DATA(message);
    struct sq_route_way way = {0};
    if (info->rtm_family != family_number(table->family) || (info->rtm_flags & RTM_F_CLONED) != 0 ||
        !type_of(info->rtm_type, &way.type))
        return 0;
    int length;
    struct nlattr *attributes = attributes_of(message, sizeof *info, &length);
    way.destination = range_of(table->family, info->rtm_dst_len, nla_find(attributes, length, RTA_DST));
    if (!is_of_interest(reading, &way.destination))
        return 0;
    way.table = number_of(nla_find(attributes, length, RTA_TABLE), info->rtm_table);
    way.conditional = info->rtm_tos != 0 || info->rtm_src_len != 0 || (info->rtm_flags & RTNH_F_DEAD) != 0 ||
                      is_expired(nla_find(attributes, length, RTA_CACHEINFO));
    struct nlattr *paths = nla_find(attributes, length, RTA_MULTIPATH);
    if (paths != NULL)
        return add_multipath(table, &way, paths);
    way.avoidable = is_avoidable(table, nla_find(attributes, length, RTA_GATEWAY) != NULL);
    way.ifindex = number_of(nla_find(attributes, length, RTA_OIF), 0);
    /* With net.ipv4.nexthop_compat_mode=0 the object's number is all that is said. */
    if (way.ifindex == 0 && way.type == SQ_ROUTE_LEAVES)
        way.nexthop = number_of(nla_find(attributes, length, RTA_NH_ID), 0);
    return add_way(table, &way);
}

static int read_routes(struct sq_netlink *netlink, struct reading *reading)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        reading->table->count = 0;
        struct {
            struct nlmsghdr header;
            struct rtmsg info;
        } request = {
            .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETROUTE},
            .info = {.rtm_family = (unsigned char)family_number(reading->table->family)},
        };
        result = sq_netlink_dump(netlink, &request.header, take_route, reading);
    }
    return result == -EAFNOSUPPORT || result == -EOPNOTSUPP ? 0 : result;
}

#define GROUP_MAX 64

/* One nexthop object: an interface, or others. It goes with the carrier, and with it routes by nothing else.
 */
struct nexthop {
    uint32_t ifindex;
    bool gateway;
    size_t count;
    uint32_t ids[GROUP_MAX];
};

static int take_nexthop(const struct nlmsghdr *message, void *cookie)
{
    struct nexthop *nexthop = cookie;
    if (message->nlmsg_type != RTM_NEWNEXTHOP || message->nlmsg_len < NLMSG_SPACE(sizeof(struct nhmsg)))
        return -EPROTO;
    int length;
    struct nlattr *attributes = attributes_of(message, sizeof(struct nhmsg), &length);
    nexthop->ifindex = number_of(nla_find(attributes, length, NHA_OIF), 0);
    nexthop->gateway = nla_find(attributes, length, NHA_GATEWAY) != NULL;
    const struct nlattr *group = nla_find(attributes, length, NHA_GROUP);
    size_t members = group == NULL ? 0 : (size_t)nla_len(group) / sizeof(struct nexthop_grp);
    if (members > GROUP_MAX)
        return -E2BIG;
    for (size_t i = 0; i < members; i++)
        nexthop->ids[nexthop->count++] = ((const struct nexthop_grp *)nla_data(group))[i].id;
    return 0;
}

static int resolve_nexthop(struct sq_netlink *netlink, struct sq_route_table *table,
                           const struct sq_route_way *way, uint32_t id, unsigned depth)
{
    struct {
        struct nlmsghdr header;
        struct nhmsg info;
        struct nlattr id_header;
        uint32_t id;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETNEXTHOP},
        .info = {.nh_family = AF_UNSPEC},
        .id_header = {.nla_len = sizeof request.id_header + sizeof request.id, .nla_type = NHA_ID},
        .id = id,
    };
    struct nexthop nexthop = {0};
    int result = sq_netlink_get(netlink, &request.header, take_nexthop, &nexthop);
    if (result != 0 || depth == 0)
        return result == -ENOENT ? 0 : result; /* deleted since */
    if (nexthop.ifindex != 0) {
        struct sq_route_way found = *way;
        found.ifindex = nexthop.ifindex;
        found.nexthop = 0;
        found.avoidable = is_avoidable(table, nexthop.gateway);
        return add_way(table, &found);
    }
    for (size_t i = 0; i < nexthop.count && result == 0; i++)
        result = resolve_nexthop(netlink, table, way, nexthop.ids[i], depth - 1);
    return result;
}

static int resolve_nexthops(struct sq_netlink *netlink, struct sq_route_table *table)
{
    size_t count = table->count;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        struct sq_route_way way = table->ways[i];
        if (way.nexthop == 0)
            continue;
        table->ways[i].conditional = true; /* whether it covers, its next hops say */
        result = resolve_nexthop(netlink, table, &way, way.nexthop, GROUP_DEPTH_MAX);
    }
    return result;
}

static int compare_ways(const void *a, const void *b)
{
    const struct sq_route_way *first = a;
    const struct sq_route_way *second = b;
    if (first->table != second->table)
        return first->table < second->table ? -1 : 1;
    return (int)second->destination.prefix - (int)first->destination.prefix;
}

int sq_route_table_read(struct sq_netlink *netlink, uint8_t family, const struct sq_cidr *peers, size_t count,
                        struct sq_route_table *table, struct sq_error *error)
{
    struct reading reading = {.table = table, .peers = peers, .peer_count = count};
    table->family = family;
    if (!find_around(&reading))
        return 0;
    int result = read_rules(netlink, table);
    if (result == 0)
        result = read_routes(netlink, &reading);
    if (result == 0)
        result = resolve_nexthops(netlink, table);
    if (result == -E2BIG)
        return sq_fail(
            error, SQ_LIMIT,
            "this host has more than %d routes to the peers, or too many rules; name the 'interface' "
            "instead of having it found from them",
            WAYS_MAX);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot read the routes");
    if (table->count > 0)
        qsort(table->ways, table->count, sizeof table->ways[0], compare_ways);
    return 0;
}

void sq_route_table_free(struct sq_route_table *table)
{
    free(table->rules);
    free(table->ways);
    *table = (struct sq_route_table){0};
}
