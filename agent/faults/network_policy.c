#include "faults/network_policy.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SHOWN 4

/* Tunnels of which only the far end is known, asked for together. */
struct tunnels {
    size_t count;
    uint32_t ifindex[SQ_ROUTE_PEERS_MAX];
    struct sq_cidr remote[SQ_ROUTE_PEERS_MAX];
};

static int follow_some(struct sq_netlink *netlink, struct sq_links *links, const struct tunnels *tunnels,
                       struct sq_error *error)
{
    sq_autofree struct sq_routes *routes = calloc(1, sizeof *routes);
    if (routes == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot follow the tunnels");
    if (sq_routes_find(netlink, links, tunnels->remote, tunnels->count, routes, error) != 0)
        return -1;
    for (uint32_t i = 0; i < routes->count; i++)
        for (size_t j = 0; j < tunnels->count; j++)
            if (sq_routes_has(routes->interfaces[i].peers, j) &&
                sq_links_add_edge(links, tunnels->ifindex[j], routes->interfaces[i].ifindex, error) != 0)
                return -1;
    return 0;
}

/* A tunnel's packets leave by the route to its far end. */
static int follow_tunnels(struct sq_netlink *netlink, struct sq_links *links, struct sq_error *error)
{
    sq_autofree struct tunnels *tunnels = calloc(1, sizeof *tunnels);
    if (tunnels == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot follow the tunnels");
    for (size_t i = 0; i < links->count; i++) {
        const struct sq_links_entry *entry = &links->entries[i];
        if (entry->tunnel != SQ_LINK_TUNNEL_REMOTE)
            continue;
        tunnels->ifindex[tunnels->count] = entry->link.ifindex;
        tunnels->remote[tunnels->count++] = entry->remote;
        if (tunnels->count == SQ_ROUTE_PEERS_MAX) {
            if (follow_some(netlink, links, tunnels, error) != 0)
                return -1;
            tunnels->count = 0;
        }
    }
    if (tunnels->count > 0 && follow_some(netlink, links, tunnels, error) != 0)
        return -1;
    sq_links_sort_edges(links);
    return 0;
}

static const struct sq_links_entry *protected_entry(const struct sq_links *links,
                                                    const struct sq_protection *protection, uint32_t i)
{
    return sq_links_by_name(links, protection->interfaces[i]);
}

/* "bond0", or "bond0 (in the policy: uplink)" where the policy says another of its names. */
static const char *name_of(const struct sq_links_entry *entry, const char *entry_of_policy, char *text,
                           size_t size)
{
    if (strcmp(entry->link.name, entry_of_policy) == 0)
        (void)snprintf(text, size, "%s", entry_of_policy);
    else
        (void)snprintf(text, size, "%s (in the policy: %s)", entry->link.name, entry_of_policy);
    return text;
}

static int check_pair(const struct sq_links *links, const struct sq_network_place *place,
                      const struct sq_links_entry *kept, const char *entry_of_policy, struct sq_error *error)
{
    char text[SQ_LINK_NAME_MAX + SQ_LINK_ALIAS_MAX + 32];
    const struct sq_link *link = &place->entry->link;
    const char *name = name_of(kept, entry_of_policy, text, sizeof text);
    if (place->entry == kept)
        return sq_fail(error, SQ_POLICY, "interface %s is protected by this host's policy%s", name,
                       place->route != NULL ? ", and the route to a peer leaves by it" : "");
    int carries = sq_links_carries(links, link->ifindex, kept->link.ifindex, error);
    if (carries < 0)
        return -1;
    if (carries > 0)
        return sq_fail(error, SQ_POLICY,
                       "interface %s carries the packets of %s, which is protected by this host's policy",
                       link->name, name);
    carries = sq_links_carries(links, kept->link.ifindex, link->ifindex, error);
    if (carries <= 0)
        return carries;
    return sq_fail(error, SQ_POLICY,
                   "the packets of interface %s travel over %s, which is protected by this host's policy",
                   link->name, name);
}

/* One walk for all of them; who it was is asked only when there is something to refuse. */
static int check_interfaces(const struct sq_links *links, const struct sq_protection *protection,
                            const struct sq_network_place *places, uint32_t place_count,
                            struct sq_error *error)
{
    sq_autofree uint8_t *kept_below = calloc(links->count + 1, 1);
    sq_autofree uint8_t *places_below = calloc(links->count + 1, 1);
    if (kept_below == NULL || places_below == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot follow the network interfaces");
    for (uint32_t i = 0; i < place_count; i++)
        if (sq_links_mark_below(links, places[i].entry->link.ifindex, places_below, error) != 0)
            return -1;
    bool suspect = false;
    for (uint32_t j = 0; j < protection->interface_count; j++) {
        const struct sq_links_entry *kept = protected_entry(links, protection, j);
        if (kept == NULL)
            continue;
        if (sq_links_mark_below(links, kept->link.ifindex, kept_below, error) != 0)
            return -1;
        suspect = suspect || places_below[kept - links->entries] != 0;
    }
    for (uint32_t i = 0; i < place_count; i++)
        suspect = suspect || kept_below[places[i].entry - links->entries] != 0;
    for (uint32_t i = 0; suspect && i < place_count; i++) {
        for (uint32_t j = 0; j < protection->interface_count; j++) {
            const struct sq_links_entry *kept = protected_entry(links, protection, j);
            if (kept != NULL && check_pair(links, &places[i], kept, protection->interfaces[j], error) != 0)
                return -1;
        }
    }
    return 0;
}

static int check_peers(const struct sq_network_selector *selector, const struct sq_protection *protection,
                       struct sq_error *error)
{
    for (uint32_t i = 0; i < selector->to_count; i++) {
        for (uint32_t j = 0; j < protection->peer_count; j++) {
            if (!sq_cidr_contains(&protection->peers[j], &selector->to[i]))
                continue;
            char peer[SQ_CIDR_TEXT_MAX];
            char range[SQ_CIDR_TEXT_MAX];
            sq_cidr_format(&selector->to[i], peer);
            sq_cidr_format(&protection->peers[j], range);
            return sq_fail(error, SQ_POLICY, "peer %s is protected by this host's policy (%s)", peer, range);
        }
    }
    return 0;
}

/* Tunnels that lead nobody knows where: protected ones, and those that are to be hit beside protected ones.
 */
static void tell_unknown(const struct sq_links *links, const struct sq_protection *protection,
                         const struct sq_network_place *places, uint32_t place_count,
                         struct sq_fault_report *report)
{
    char names[80] = "";
    uint32_t count = 0;
    for (uint32_t j = 0; j < protection->interface_count; j++) {
        const struct sq_links_entry *kept = protected_entry(links, protection, j);
        if (kept == NULL || kept->tunnel != SQ_LINK_TUNNEL_UNKNOWN)
            continue;
        if (count++ < NAMES_SHOWN)
            sq_text_append(names, sizeof names, "%s%s", count > 1 ? ", " : "", kept->link.name);
    }
    if (count > 0)
        sq_report_line(report, SQ_LINE_WARNING,
                       "the policy protects %s%s, of which cannot be told by which interface its packets "
                       "leave: protect that one too, and the far ends as peers",
                       names, count > NAMES_SHOWN ? " and others" : "");
    for (uint32_t i = 0; i < place_count && protection->interface_count > 0; i++)
        if (places[i].entry->tunnel == SQ_LINK_TUNNEL_UNKNOWN)
            sq_report_line(
                report, SQ_LINE_WARNING,
                "%s is a tunnel of which cannot be told whether its packets leave by a protected interface",
                places[i].entry->link.name);
}

int sq_network_check_policy(struct sq_netlink *netlink, struct sq_links *links,
                            const struct sq_network_selector *selector,
                            const struct sq_protection *protection, const struct sq_network_place *places,
                            uint32_t place_count, struct sq_fault_report *report, struct sq_error *error)
{
    if (protection->interface_count > 0 && follow_tunnels(netlink, links, error) != 0)
        return -1;
    if (check_interfaces(links, protection, places, place_count, error) != 0 ||
        check_peers(selector, protection, error) != 0)
        return -1;
    tell_unknown(links, protection, places, place_count, report);
    return 0;
}
