#include "kernel/route.h"

#include "kernel/link.h"

#include "common/cleanup.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROUTES_MAX 65536 /* that are weighed; a full internet table is not a range's business */

/* One way out of the host, by one route. */
struct way {
    struct sq_cidr destination;
    uint32_t table;
    uint32_t ifindex;
};

struct table {
    struct way *ways;
    size_t count;
    size_t room;
    int family;
};

static void free_table(struct table *table)
{
    free(table->ways);
}

static bool is_single(const struct sq_cidr *range)
{
    return range->prefix == (range->family == 4 ? 32 : 128);
}

static void note(struct sq_routes *routes, uint32_t ifindex, size_t peer)
{
    struct sq_route_interface *interface = routes->interfaces;
    while (interface < routes->interfaces + routes->count && interface->ifindex != ifindex)
        interface++;
    if (interface == routes->interfaces + SQ_ROUTE_INTERFACES_MAX) {
        routes->more = true;
        return;
    }
    if (interface == routes->interfaces + routes->count) {
        *interface = (struct sq_route_interface){.ifindex = ifindex};
        routes->count++;
    }
    uint8_t bit = (uint8_t)(1u << (peer % 8));
    if ((interface->peers[peer / 8] & bit) == 0)
        interface->peer_count++;
    interface->peers[peer / 8] |= bit;
}

/* The kernel's answer for one address. */
struct answer {
    unsigned type;
    uint32_t ifindex;
};

static struct nlattr *attributes_of(const struct nlmsghdr *message, int *length)
{
    *length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof(struct rtmsg)));
    return (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof(struct rtmsg)));
}

static int take_answer(const struct nlmsghdr *message, void *cookie)
{
    struct answer *answer = cookie;
    if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_SPACE(sizeof(struct rtmsg)))
        return -EPROTO;
    const struct rtmsg *info = NLMSG_DATA(message);
    int length;
    struct nlattr *attributes = attributes_of(message, &length);
    struct nlattr *interface = nla_find(attributes, length, RTA_OIF);
    answer->type = info->rtm_type;
    answer->ifindex = interface != NULL && nla_len(interface) >= 4 ? nla_get_u32(interface) : 0;
    return 0;
}

static int look_up(struct sq_netlink *netlink, const struct sq_cidr *peer, struct answer *answer)
{
    struct {
        struct nlmsghdr header;
        struct rtmsg info;
        struct nlattr destination;
        uint8_t address[16];
    } request = {
        .header = {.nlmsg_type = RTM_GETROUTE},
        .info = {.rtm_family = peer->family == 4 ? AF_INET : AF_INET6, .rtm_dst_len = peer->prefix},
        .destination = {.nla_type = RTA_DST},
    };
    size_t size = peer->family == 4 ? 4 : 16;
    memcpy(request.address, peer->address, size);
    request.destination.nla_len = (uint16_t)(sizeof request.destination + size);
    request.header.nlmsg_len = (uint32_t)(NLMSG_SPACE(sizeof request.info) + request.destination.nla_len);
    return sq_netlink_get(netlink, &request.header, take_answer, answer);
}

static int find_single(struct sq_netlink *netlink, const struct sq_cidr *peers, size_t i,
                       struct sq_routes *routes, struct sq_error *error)
{
    struct answer answer = {0};
    int result = look_up(netlink, &peers[i], &answer);
    if (result == -ENETUNREACH || result == -EHOSTUNREACH || result == -EACCES || result == -EINVAL) {
        routes->unreachable++;
        return 0;
    }
    if (result != 0) {
        char text[SQ_CIDR_TEXT_MAX];
        sq_cidr_format(&peers[i], text);
        return sq_fail_errno(error, -result, "cannot look up the route to %s", text);
    }
    struct sq_link link;
    if (answer.type == RTN_LOCAL)
        routes->local++;
    else if (answer.ifindex == 0 || answer.type == RTN_UNREACHABLE || answer.type == RTN_BLACKHOLE ||
             answer.type == RTN_PROHIBIT || sq_link_by_index(netlink, answer.ifindex, &link) != 0 ||
             link.loopback)
        routes->unreachable++;
    else
        note(routes, answer.ifindex, i);
    return 0;
}

static int add_way(struct table *table, const struct sq_cidr *destination, uint32_t id, uint32_t ifindex)
{
    if (ifindex == 0)
        return 0;
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 64 : table->room * 2;
        if (room > ROUTES_MAX)
            return -E2BIG;
        struct way *ways = realloc(table->ways, room * sizeof *ways);
        if (ways == NULL)
            return -ENOMEM;
        table->ways = ways;
        table->room = room;
    }
    table->ways[table->count++] = (struct way){.destination = *destination, .table = id, .ifindex = ifindex};
    return 0;
}

static int add_multipath(struct table *table, const struct sq_cidr *destination, uint32_t id,
                         struct nlattr *paths)
{
    const struct rtnexthop *hop = nla_data(paths);
    int left = nla_len(paths);
    while (RTNH_OK(hop, left)) {
        int result = add_way(table, destination, id, (uint32_t)hop->rtnh_ifindex);
        if (result != 0)
            return result;
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = (const void *)((const char *)hop + RTNH_ALIGN(hop->rtnh_len));
    }
    return 0;
}

static int take_route(const struct nlmsghdr *message, void *cookie)
{
    struct table *table = cookie;
    if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_SPACE(sizeof(struct rtmsg)))
        return 0;
    const struct rtmsg *info = NLMSG_DATA(message);
    if (info->rtm_family != table->family || info->rtm_type != RTN_UNICAST ||
        (info->rtm_flags & RTM_F_CLONED) != 0)
        return 0;
    int length;
    struct nlattr *attributes = attributes_of(message, &length);
    struct sq_cidr destination = {.family = table->family == AF_INET ? 4 : 6, .prefix = info->rtm_dst_len};
    struct nlattr *address = nla_find(attributes, length, RTA_DST);
    if (address != NULL && nla_len(address) <= (int)sizeof destination.address)
        memcpy(destination.address, nla_data(address), (size_t)nla_len(address));
    struct nlattr *id = nla_find(attributes, length, RTA_TABLE);
    uint32_t table_id = id != NULL && nla_len(id) >= 4 ? nla_get_u32(id) : info->rtm_table;
    struct nlattr *paths = nla_find(attributes, length, RTA_MULTIPATH);
    if (paths != NULL)
        return add_multipath(table, &destination, table_id, paths);
    struct nlattr *interface = nla_find(attributes, length, RTA_OIF);
    return interface != NULL && nla_len(interface) >= 4
               ? add_way(table, &destination, table_id, nla_get_u32(interface))
               : 0;
}

/* All unicast routes of one family. */
static int read_table(struct sq_netlink *netlink, int family, struct table *table, struct sq_error *error)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        table->count = 0;
        table->family = family;
        struct {
            struct nlmsghdr header;
            struct rtmsg info;
        } request = {
            .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETROUTE},
            .info = {.rtm_family = (unsigned char)family},
        };
        result = sq_netlink_dump(netlink, &request.header, take_route, table);
    }
    if (result == -EAFNOSUPPORT || result == -EOPNOTSUPP)
        return 0; /* a kernel without IPv6 */
    if (result == -E2BIG)
        return sq_fail(
            error, SQ_LIMIT,
            "this host has more than %d routes; name the 'interface' instead of having it found from them",
            ROUTES_MAX / 2);
    return result == 0 ? 0 : sq_fail_errno(error, -result, "cannot read the routes");
}

/* The prefix length of the narrowest route of a routing table that covers the whole range; -1: none does. */
static int narrowest_cover(const struct table *table, const struct sq_cidr *range, uint32_t id)
{
    int prefix = -1;
    for (size_t i = 0; i < table->count; i++)
        if (table->ways[i].table == id && table->ways[i].destination.prefix > prefix &&
            sq_cidr_contains(&table->ways[i].destination, range))
            prefix = table->ways[i].destination.prefix;
    return prefix;
}

static void find_range(struct sq_netlink *netlink, const struct table *table, const struct sq_cidr *peers,
                       size_t i, struct sq_routes *routes)
{
    bool found = false;
    for (size_t j = 0; j < table->count; j++) {
        const struct way *way = &table->ways[j];
        struct sq_link link;
        bool used = sq_cidr_contains(&peers[i], &way->destination) ||
                    (sq_cidr_contains(&way->destination, &peers[i]) &&
                     way->destination.prefix == narrowest_cover(table, &peers[i], way->table));
        if (!used || sq_link_by_index(netlink, way->ifindex, &link) != 0 || link.loopback)
            continue;
        note(routes, way->ifindex, i);
        found = true;
    }
    if (!found)
        routes->unreachable++;
}

static int find_ranges(struct sq_netlink *netlink, int family, const struct sq_cidr *peers, size_t count,
                       struct sq_routes *routes, struct sq_error *error)
{
    sq_auto(free_table) struct table table = {0};
    if (read_table(netlink, family, &table, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!is_single(&peers[i]) && peers[i].family == (family == AF_INET ? 4 : 6))
            find_range(netlink, &table, peers, i, routes);
    return 0;
}

int sq_routes_find(struct sq_netlink *netlink, const struct sq_cidr *peers, size_t count,
                   struct sq_routes *routes, struct sq_error *error)
{
    *routes = (struct sq_routes){0};
    if (count > SQ_ROUTE_PEERS_MAX)
        return sq_fail(error, SQ_LIMIT, "at most %d peers can be routed", SQ_ROUTE_PEERS_MAX);
    bool ranges[2] = {false, false};
    for (size_t i = 0; i < count; i++) {
        if (!is_single(&peers[i]))
            ranges[peers[i].family == 4 ? 0 : 1] = true;
        else if (find_single(netlink, peers, i, routes, error) != 0)
            return -1;
    }
    if (ranges[0] && find_ranges(netlink, AF_INET, peers, count, routes, error) != 0)
        return -1;
    return ranges[1] ? find_ranges(netlink, AF_INET6, peers, count, routes, error) : 0;
}
