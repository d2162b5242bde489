#include "kernel/route.h"

#include "kernel/route_table.h"

#include "common/cleanup.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The ways to one peer, while they are looked for. */
struct search {
    const struct sq_links *links;
    const struct sq_route_table *table;
    struct sq_routes *routes;
    const struct sq_cidr *peer;
    size_t index;
    bool link_local;
    bool found;
    bool local;
    int narrowest; /* prefix behind which the table that was searched last shows nothing; -1: none */
};

static bool is_single(const struct sq_cidr *range)
{
    return range->prefix == (range->family == 4 ? 32 : 128);
}

/* RFC 3927 and RFC 4291, 2.5.6. */
static bool is_link_local(const struct sq_cidr *range)
{
    static const struct sq_cidr link_local4 = {.family = 4, .prefix = 16, .address = {169, 254}};
    static const struct sq_cidr link_local6 = {.family = 6, .prefix = 10, .address = {0xfe, 0x80}};
    return sq_cidr_contains(&link_local4, range) || sq_cidr_contains(&link_local6, range);
}

/*
 * IPv4 multicast (RFC 5771) and the limited broadcast (RFC 919): the sender chooses the interface
 * (IP_MULTICAST_IF, SO_BINDTODEVICE), and the kernel asks no route then. Of IPv6, each interface has a route
 * of its own for that.
 */
static bool is_sent_at_will(const struct sq_cidr *range)
{
    static const struct sq_cidr multicast4 = {.family = 4, .prefix = 4, .address = {224}};
    static const struct sq_cidr broadcast4 = {.family = 4, .prefix = 32, .address = {255, 255, 255, 255}};
    return sq_cidr_contains(&multicast4, range) || sq_cidr_contains(&broadcast4, range);
}

static void add_peer(sq_route_peers peers, size_t i)
{
    peers[i / 8] |= (uint8_t)(1u << (i % 8));
}

static void note(struct search *search, uint32_t ifindex)
{
    struct sq_routes *routes = search->routes;
    const struct sq_links_entry *entry = sq_links_by_index(search->links, ifindex);
    /* What goes into a VRF by a route is sent by one of its ports, which its own table names. */
    if (entry == NULL || entry->link.loopback || entry->vrf_table != 0)
        return;
    search->found = true;
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
    add_peer(interface->peers, search->index);
}

/* A bridge's or bond's port sends what stands on it, and nothing by itself. */
static void note_all(struct search *search)
{
    for (size_t i = 0; i < search->links->count; i++) {
        const struct sq_links_entry *entry = &search->links->entries[i];
        const struct sq_links_entry *master =
            entry->master == 0 ? NULL : sq_links_by_index(search->links, entry->master);
        if (entry->link.up && (entry->master == 0 || (master != NULL && master->vrf_table != 0)))
            note(search, entry->link.ifindex);
    }
}

/* The first of a table's ways, or the end. */
static size_t first_way(const struct sq_route_table *table, uint32_t id)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->ways[middle].table < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * Note the ways of one table. Returns whether it decides on all of the peer's packets, so that the kernel
 * asks no further. The longest prefixes come first: what is within the peer, then what covers it. A way that
 * may not apply is one of the ways, but does not keep packets from those behind it.
 */
static bool search_table(struct search *search, uint32_t id, int suppress_prefix)
{
    const struct sq_route_table *table = search->table;
    int narrowest = -1; /* of those that no packet passes over */
    bool decides = false;
    bool thrown = false;
    for (size_t i = first_way(table, id); i < table->count && table->ways[i].table == id; i++) {
        const struct sq_route_way *way = &table->ways[i];
        int prefix = way->destination.prefix;
        bool covers = sq_cidr_contains(&way->destination, search->peer);
        if (prefix <= suppress_prefix || (!covers && !sq_cidr_contains(search->peer, &way->destination)))
            continue;
        if (covers && prefix < narrowest && !(search->link_local && is_link_local(&way->destination)))
            break;
        bool applies = covers && !way->conditional;
        decides = decides || applies;
        if (applies && !way->avoidable && narrowest < 0)
            narrowest = prefix;
        if (way->type == SQ_ROUTE_LEAVES)
            note(search, way->ifindex);
        search->local = search->local || (covers && way->type == SQ_ROUTE_LOCAL);
        thrown = thrown || way->type == SQ_ROUTE_THROW;
    }
    search->narrowest = narrowest;
    return decides && !thrown && !search->link_local;
}

static void search_vrfs(struct search *search)
{
    for (size_t i = 0; i < search->links->count; i++)
        if (search->links->entries[i].vrf_table != 0)
            (void)search_table(search, search->links->entries[i].vrf_table, -1);
}

static void search_rules(struct search *search)
{
    for (size_t i = 0; i < search->table->rule_count; i++) {
        const struct sq_route_rule *rule = &search->table->rules[i];
        if (rule->goes_on || rule->vrf ||
            (!rule->inverted && !sq_cidr_overlaps(&rule->destination, search->peer)))
            continue;
        bool covered = rule->table == 0 || search_table(search, rule->table, rule->suppress_prefix);
        if (covered && !rule->conditional && !rule->inverted && !search->table->jumps &&
            sq_cidr_contains(&rule->destination, search->peer)) {
            /* Until a rule is added, IPv4 has its local and main tables in one: the narrower route wins. */
            if (search->table->family == 4 && rule->table == RT_TABLE_LOCAL)
                (void)search_table(search, RT_TABLE_MAIN, search->narrowest);
            return;
        }
    }
}

/* The kernel's own answer for one address. */
struct answer {
    unsigned type;
    uint32_t ifindex;
};

static int take_answer(const struct nlmsghdr *message, void *cookie)
{
    struct answer *answer = cookie;
    if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_SPACE(sizeof(struct rtmsg)))
        return -EPROTO;
    const struct rtmsg *info = NLMSG_DATA(message);
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof(struct rtmsg)));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof(struct rtmsg)));
    struct nlattr *interface = nla_find(attributes, length, RTA_OIF);
    answer->type = info->rtm_type;
    answer->ifindex = interface != NULL && nla_len(interface) >= 4 ? nla_get_u32(interface) : 0;
    return 0;
}

/* Beside the tables, it knows of redirects and of whatever routing may learn next. An error is no route. */
static void ask_kernel(struct sq_netlink *netlink, struct search *search)
{
    struct {
        struct nlmsghdr header;
        struct rtmsg info;
        struct nlattr destination;
        uint8_t address[16];
    } request = {
        .header = {.nlmsg_type = RTM_GETROUTE},
        .info = {.rtm_family = search->peer->family == 4 ? AF_INET : AF_INET6,
                 .rtm_dst_len = search->peer->prefix},
        .destination = {.nla_type = RTA_DST},
    };
    size_t size = search->peer->family == 4 ? 4 : 16;
    struct answer answer = {0};
    memcpy(request.address, search->peer->address, size);
    request.destination.nla_len = (uint16_t)(sizeof request.destination + size);
    request.header.nlmsg_len = (uint32_t)(NLMSG_SPACE(sizeof request.info) + request.destination.nla_len);
    if (sq_netlink_get(netlink, &request.header, take_answer, &answer) != 0)
        return;
    search->local = search->local || answer.type == RTN_LOCAL;
    if (answer.ifindex != 0 && (answer.type == RTN_UNICAST || answer.type == RTN_BROADCAST ||
                                answer.type == RTN_ANYCAST || answer.type == RTN_MULTICAST))
        note(search, answer.ifindex);
}

static void note_missing(struct search *search)
{
    struct sq_routes *routes = search->routes;
    if (search->found)
        return;
    add_peer(search->local ? routes->local : routes->unreachable, search->index);
    if (search->local)
        routes->local_count++;
    else
        routes->unreachable_count++;
}

/* Asks nothing of the kernel that would load its module. */
static bool has_family(uint8_t family)
{
    return family == 4 || access("/proc/self/net/if_inet6", F_OK) == 0 || errno != ENOENT;
}

static int find_family(struct sq_netlink *netlink, const struct sq_links *links, uint8_t family,
                       const struct sq_cidr *peers, size_t count, struct sq_routes *routes,
                       struct sq_error *error)
{
    sq_auto(sq_route_table_free) struct sq_route_table table = {0};
    bool known = has_family(family);
    if (known && sq_route_table_read(netlink, family, peers, count, &table, error) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (peers[i].family != family)
            continue;
        struct search search = {.links = links,
                                .table = &table,
                                .routes = routes,
                                .peer = &peers[i],
                                .index = i,
                                .link_local = is_link_local(&peers[i])};
        routes->no_ipv6 = routes->no_ipv6 || !known;
        search_vrfs(&search);
        search_rules(&search);
        if (is_sent_at_will(&peers[i]))
            note_all(&search);
        if (known && is_single(&peers[i]))
            ask_kernel(netlink, &search);
        note_missing(&search);
    }
    return 0;
}

int sq_routes_find(struct sq_netlink *netlink, const struct sq_links *links, const struct sq_cidr *peers,
                   size_t count, struct sq_routes *routes, struct sq_error *error)
{
    *routes = (struct sq_routes){0};
    if (count > SQ_ROUTE_PEERS_MAX)
        return sq_fail(error, SQ_LIMIT, "at most %d peers can be routed", SQ_ROUTE_PEERS_MAX);
    if (find_family(netlink, links, 4, peers, count, routes, error) != 0)
        return -1;
    return find_family(netlink, links, 6, peers, count, routes, error);
}

void sq_routes_note_families(const struct sq_cidr *peers, size_t count, struct sq_routes *routes)
{
    bool known = has_family(6);
    for (size_t i = 0; i < count && i < SQ_ROUTE_PEERS_MAX && !known; i++) {
        if (peers[i].family != 6)
            continue;
        routes->no_ipv6 = true;
        add_peer(routes->unreachable, i);
        routes->unreachable_count++;
    }
}
