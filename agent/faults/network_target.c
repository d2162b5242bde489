#include "faults/network_target.h"

#include "kernel/link.h"
#include "kernel/route.h"
#include "kernel/tc_foreign.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RANGES_SHOWN 4

_Static_assert(SQ_ROUTE_PEERS_MAX >= SQ_PEERS_MAX, "every peer of a selector can be routed");

/* One interface that the fault will stand on, while it is being worked out. */
struct target {
    struct sq_link link;
    const struct sq_route_interface *route; /* NULL: the interface was named, all peers count */
};

struct targets {
    uint32_t count;
    struct target items[SQ_NETWORK_INTERFACES_MAX];
};

/* "10.0.0.0/24, 10.0.1.0/24 and 12 more"; `chosen` is a bit set over the ranges, or NULL for all of them. */
static void list_ranges(const struct sq_cidr *ranges, uint32_t count, const uint8_t *chosen, char *text,
                        size_t size)
{
    uint32_t shown = 0;
    uint32_t more = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        if (chosen != NULL && (chosen[i / 8] & (1u << (i % 8))) == 0)
            continue;
        if (shown == RANGES_SHOWN) {
            more++;
            continue;
        }
        char range[SQ_CIDR_TEXT_MAX];
        sq_cidr_format(&ranges[i], range);
        sq_text_append(text, size, "%s%s", shown > 0 ? ", " : "", range);
        shown++;
    }
    if (more > 0)
        sq_text_append(text, size, " and %u more", more);
}

static const char *direction_text(uint32_t direction)
{
    if (direction == SQ_DIRECTION_IN)
        return "from";
    return direction == SQ_DIRECTION_OUT ? "to" : "from and to";
}

static int fail_nobody(const struct sq_network_selector *selector, const struct sq_routes *routes,
                       struct sq_error *error)
{
    char text[SQ_ERROR_TEXT_MAX / 2];
    list_ranges(selector->to, selector->to_count, NULL, text, sizeof text);
    if (routes->local > 0)
        return sq_fail(error, SQ_NOBODY,
                       "%s is this host itself; name 'interface: lo' if its own loopback traffic is meant",
                       text);
    return sq_fail(error, SQ_NOBODY,
                   "this host has no route to %s; name the 'interface' if packets come all the same", text);
}

static int fail_many(struct sq_netlink *netlink, const struct sq_routes *routes, struct sq_error *error)
{
    char names[160] = "";
    for (uint32_t i = 0; i < routes->count && i < SQ_NETWORK_INTERFACES_MAX; i++) {
        struct sq_link link;
        if (sq_link_by_index(netlink, routes->interfaces[i].ifindex, &link) == 0)
            sq_text_append(names, sizeof names, "%s%s", i > 0 ? ", " : "", link.name);
    }
    return sq_fail(
        error, SQ_LIMIT,
        "the peers are reached by %u%s interfaces (%s, ...), and a fault takes %d at most; name one with "
        "'interface', or narrow 'to'",
        routes->count, routes->more ? " or more" : "", names, SQ_NETWORK_INTERFACES_MAX);
}

static int find_targets(struct sq_netlink *netlink, const struct sq_network_selector *selector,
                        struct targets *targets, struct sq_routes *routes, struct sq_error *error)
{
    if (selector->interface[0] != '\0') {
        targets->count = 1;
        return sq_link_by_name(netlink, selector->interface, &targets->items[0].link, error);
    }
    if (sq_routes_find(netlink, selector->to, selector->to_count, routes, error) != 0)
        return -1;
    if (routes->count == 0)
        return fail_nobody(selector, routes, error);
    if (routes->count > SQ_NETWORK_INTERFACES_MAX)
        return fail_many(netlink, routes, error);
    for (uint32_t i = 0; i < routes->count; i++) {
        struct target *target = &targets->items[targets->count++];
        target->route = &routes->interfaces[i];
        int result = sq_link_by_index(netlink, target->route->ifindex, &target->link);
        if (result != 0)
            return sq_fail_errno(error, -result, "interface %u of a route cannot be read",
                                 target->route->ifindex);
    }
    return 0;
}

/* A protected interface must not be hit from below either: by a port of a protected bond, say. */
static int check_protected_interface(struct sq_netlink *netlink, const struct target *target,
                                     const char *name, struct sq_error *error)
{
    int carries = sq_link_carries(netlink, target->link.ifindex, name);
    if (carries == 0)
        return 0;
    if (carries < 0)
        return sq_fail_errno(error, -carries, "cannot tell which interfaces stand on %s", target->link.name);
    if (strcmp(target->link.name, name) != 0)
        return sq_fail(error, SQ_POLICY,
                       "interface %s carries the packets of %s, which is protected by this host's policy",
                       target->link.name, name);
    return sq_fail(error, SQ_POLICY, "interface %s is protected by this host's policy%s", name,
                   target->route != NULL ? ", and the route to a peer leaves by it" : "");
}

static int check_policy(struct sq_netlink *netlink, const struct sq_network_selector *selector,
                        const struct sq_protection *protection, const struct targets *targets,
                        struct sq_error *error)
{
    for (uint32_t i = 0; i < targets->count; i++)
        for (uint32_t j = 0; j < protection->interface_count; j++)
            if (check_protected_interface(netlink, &targets->items[i], protection->interfaces[j], error) != 0)
                return -1;
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

/* That squall's filters can stand where they have to. */
static int check_interface(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           const struct sq_link *link, struct sq_error *error)
{
    struct sq_tc_clsact clsact;
    int result = sq_tc_find_clsact(netlink, link->ifindex, &clsact);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot read the queueing disciplines of %s", link->name);
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++) {
        if (!sq_network_undo_uses(record, side))
            continue;
        if (side == SQ_TC_OUT && clsact.ingress_only)
            return sq_fail(
                error, SQ_UNABLE,
                "%s has an 'ingress' qdisc, which has no side for outgoing packets and keeps clsact out; "
                "replace it by clsact, which holds the same filters, or choose 'direction: in'",
                link->name);
        if (clsact.shared_block[side] != 0)
            return sq_fail(
                error, SQ_UNABLE,
                "the %s side of %s shares filter block %u with other interfaces, which squall would hit too; "
                "choose another 'interface'",
                sq_tc_side_name(side), link->name, clsact.shared_block[side]);
        if (sq_tc_check_front(netlink, link->ifindex, link->name, side, record->preference, error) != 0)
            return -1;
    }
    return 0;
}

static int record_interface(struct sq_netlink *netlink, const struct sq_link *link,
                            struct sq_network_undo_interface *interface, struct sq_error *error)
{
    interface->ifindex = link->ifindex;
    memcpy(interface->name, link->name, sizeof interface->name);
    int result = sq_tc_take_snapshot(netlink, link->ifindex, &interface->before);
    struct sq_tc_tenants tenants = {0};
    if (result == 0)
        result = sq_tc_count_tenants(netlink, link->ifindex, &tenants);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot read the traffic control of %s", link->name);
    if (tenants.made_by_squall)
        interface->before.had_clsact = 0; /* another fault of squall's made it; the last one removes it */
    interface->makes_clsact = interface->before.had_clsact == 0;
    return 0;
}

static void tell_touched(const struct sq_network_selector *selector, const struct targets *targets,
                         struct sq_fault_report *report)
{
    for (uint32_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->items[i];
        char ranges[SQ_LINE_MAX];
        list_ranges(selector->to, selector->to_count, target->route != NULL ? target->route->peers : NULL,
                    ranges, sizeof ranges);
        sq_report_line(report, SQ_LINE_TOUCHES, "%s: packets %s %s", target->link.name,
                       direction_text(selector->direction), ranges);
        if (!target->link.up)
            sq_report_line(report, SQ_LINE_WARNING, "%s is down", target->link.name);
        if (target->link.has_xdp && (selector->direction & SQ_DIRECTION_IN) != 0)
            sq_report_line(report, SQ_LINE_WARNING,
                           "%s has an XDP program; packets that it takes or redirects come in all the same",
                           target->link.name);
    }
}

/* qdisc_graft of the kernel deactivates a device to put a clsact on it or take it away; what it holds then is
 * lost. */
static void tell_disturbance(const struct sq_network_undo *record, struct sq_fault_report *report)
{
    for (uint32_t i = 0; i < record->interface_count; i++)
        if (record->interfaces[i].makes_clsact != 0)
            sq_report_line(
                report, SQ_LINE_WARNING,
                "%s: making its clsact, and removing it, stops all its outgoing packets for a moment (about "
                "1 ms); 'tc qdisc add dev %s clsact' beforehand avoids it",
                record->interfaces[i].name, record->interfaces[i].name);
}

static bool overlaps_any(const struct sq_network_selector *selector, const struct sq_cidr *range)
{
    for (uint32_t i = 0; i < selector->to_count; i++)
        if (sq_cidr_overlaps(&selector->to[i], range))
            return true;
    return false;
}

/* A controller that came to a listener for both families has an IPv4 address in IPv6 form (RFC
 * 4291, 2.5.5.2). */
static struct sq_cidr controller_of(const struct sq_spared *spared)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    struct sq_cidr controller = spared->controller;
    if (controller.family == 6 && memcmp(controller.address, mapped, sizeof mapped) == 0) {
        controller = (struct sq_cidr){.family = 4, .prefix = 32};
        memcpy(controller.address, spared->controller.address + sizeof mapped, 4);
    }
    return controller;
}

static void tell_spared(const struct sq_network_selector *selector, const struct sq_fault_env *env,
                        struct sq_fault_report *report)
{
    char text[SQ_LINE_MAX];
    for (uint32_t i = 0; i < env->spared_count; i++) {
        struct sq_cidr controller = controller_of(&env->spared[i]);
        if (!overlaps_any(selector, &controller))
            continue;
        sq_cidr_format(&controller, text);
        sq_report_line(report, SQ_LINE_SPARES, "the control connection of %s to TCP port %u", text,
                       env->spared[i].agent_port);
    }
    sq_report_line(report, SQ_LINE_SPARES, "ARP, IPv6 neighbour discovery, and whatever is not IP");
    if (selector->except_count > 0) {
        list_ranges(selector->except, selector->except_count, NULL, text, sizeof text);
        sq_report_line(report, SQ_LINE_SPARES, "by 'except': %s", text);
    }
    const struct sq_protection *protection = env->protection;
    uint8_t chosen[(SQ_PROTECTED_MAX + 7) / 8] = {0};
    bool some = false;
    for (uint32_t i = 0; i < protection->peer_count; i++) {
        if (overlaps_any(selector, &protection->peers[i])) {
            chosen[i / 8] |= (uint8_t)(1u << (i % 8));
            some = true;
        }
    }
    if (some) {
        list_ranges(protection->peers, protection->peer_count, chosen, text, sizeof text);
        sq_report_line(report, SQ_LINE_SPARES, "by this host's policy: %s", text);
    }
    if (protection->port_count == 0)
        return;
    text[0] = '\0';
    for (uint32_t i = 0; i < protection->port_count; i++)
        sq_text_append(text, sizeof text, "%s%u", i > 0 ? ", " : "", protection->ports[i]);
    sq_report_line(report, SQ_LINE_SPARES, "by this host's policy: packets from and to port %s", text);
}

static void tell_unrouted(const struct sq_routes *routes, uint32_t peers, struct sq_fault_report *report)
{
    if (routes->unreachable > 0)
        sq_report_line(report, SQ_LINE_WARNING, "no route leads to %u of the %u ranges in 'to'",
                       routes->unreachable, peers);
    if (routes->local > 0)
        sq_report_line(
            report, SQ_LINE_WARNING,
            "%u of the %u ranges in 'to' are this host itself, whose loopback traffic is not touched",
            routes->local, peers);
}

int sq_network_preview(const struct sq_network_selector *selector, const struct sq_fault_env *env,
                       struct sq_network_undo *record, struct sq_fault_report *report, struct sq_error *error)
{
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, error) != 0)
        return -1;
    struct targets targets = {0};
    struct sq_routes routes = {0};
    if (find_targets(&netlink, selector, &targets, &routes, error) != 0 ||
        check_policy(&netlink, selector, env->protection, &targets, error) != 0)
        return -1;
    *record = (struct sq_network_undo){
        .netns_inode = sq_netns_inode(),
        .direction = selector->direction,
        .preference = SQ_TC_PREFERENCE + env->slot,
        .handle = SQ_TC_HANDLE + env->slot,
        .interface_count = targets.count,
    };
    for (uint32_t i = 0; i < targets.count; i++)
        if (check_interface(&netlink, record, &targets.items[i].link, error) != 0 ||
            record_interface(&netlink, &targets.items[i].link, &record->interfaces[i], error) != 0)
            return -1;
    char experiment[SQ_ID_TEXT_MAX];
    sq_id_format(&env->experiment, experiment);
    sq_text_append(record->filter_name, sizeof record->filter_name, SQ_TC_NAME_PREFIX "%s/%u", experiment,
                   env->slot);
    tell_touched(selector, &targets, report);
    tell_spared(selector, env, report);
    tell_unrouted(&routes, selector->to_count, report);
    tell_disturbance(record, report);
    return 0;
}

static int are_ethernet(struct sq_netlink *netlink, const struct sq_network_undo *record, bool *all,
                        struct sq_error *error)
{
    *all = true;
    for (uint32_t i = 0; i < record->interface_count; i++) {
        struct sq_link link;
        int result = sq_link_by_index(netlink, record->interfaces[i].ifindex, &link);
        if (result != 0)
            return sq_fail_errno(error, -result, "cannot look at the interface %s",
                                 record->interfaces[i].name);
        *all = *all && link.ethernet;
    }
    return 0;
}

int sq_network_load(struct sq_netlink *netlink, const struct sq_network_selector *selector,
                    const struct sq_fault_env *env, const struct sq_network_undo *record,
                    struct sq_classifier **classifier, struct sq_error *error)
{
    struct sq_classifier_session sessions[SQ_SPARED_MAX];
    for (uint32_t i = 0; i < env->spared_count; i++)
        sessions[i] = (struct sq_classifier_session){
            .peer = controller_of(&env->spared[i]),
            .local_port = env->spared[i].agent_port,
        };
    bool ethernet;
    if (are_ethernet(netlink, record, &ethernet, error) != 0)
        return -1;
    struct sq_classifier_config config = {
        .ethernet = ethernet,
        .redirects = record->detours[SQ_TC_IN].ifindex != 0 || record->detours[SQ_TC_OUT].ifindex != 0,
        .detour_out = record->detours[SQ_TC_OUT].ifindex,
        .peers = {selector->to, selector->to_count},
        .exempt = {{selector->except, selector->except_count},
                   {env->protection->peers, env->protection->peer_count}},
        .ports = env->protection->ports,
        .port_count = env->protection->port_count,
        .sessions = sessions,
        .session_count = env->spared_count,
    };
    return sq_classifier_load(&config, classifier, error);
}

/*
 * Somebody made a clsact since the preview. If it is another fault of squall's, it is shared. Otherwise the
 * record has to say that it is not ours before anything else happens.
 */
static int settle_clsact(struct sq_netlink *netlink, const struct sq_fault_env *env,
                         struct sq_network_undo *record, uint32_t i, struct sq_undo *undo,
                         struct sq_error *error)
{
    struct sq_network_undo_interface *interface = &record->interfaces[i];
    struct sq_tc_tenants tenants;
    int result = sq_tc_count_tenants(netlink, interface->ifindex, &tenants);
    if (result == 0 && tenants.made_by_squall)
        return 0;
    interface->makes_clsact = 0;
    interface->before.had_clsact = 1;
    sq_network_undo_write(record, (enum sq_fault_kind)undo->kind, undo);
    if (env->record != NULL && env->record(env->cookie, undo, error) != 0)
        return -1;
    return sq_fail(error, SQ_CONFLICT, "somebody put a clsact on %s since the preview; plan again",
                   interface->name);
}

static int make_clsact(struct sq_netlink *netlink, const struct sq_fault_env *env,
                       struct sq_network_undo *record, uint32_t i, struct sq_undo *undo,
                       struct sq_error *error)
{
    char reason[160];
    int result = sq_tc_make_clsact(netlink, record->interfaces[i].ifindex, reason, sizeof reason);
    if (result == 0)
        return 0;
    if (result == -EEXIST)
        return settle_clsact(netlink, env, record, i, undo, error);
    if (result == -ENOENT)
        return sq_fail(error, SQ_UNABLE, SQ_TC_CLSACT_MISSING);
    return sq_fail(error, SQ_UNABLE, "the kernel refused a clsact on %s: %s%s%s", record->interfaces[i].name,
                   strerror(-result), reason[0] != '\0' ? ": " : "", reason);
}

static int attach_side(struct sq_netlink *netlink, const struct sq_classifier *classifier,
                       const struct sq_network_undo *record, uint32_t i, enum sq_tc_side side,
                       struct sq_error *error)
{
    char name[SQ_TC_NAME_MAX];
    sq_network_undo_filter_name(record, i, name);
    struct sq_tc_place place = sq_network_undo_place(record, i, side);
    uint32_t detour = record->detours[side].ifindex;
    int program =
        side == SQ_TC_IN ? sq_classifier_program_in(classifier) : sq_classifier_program_out(classifier);
    int result = detour != 0 ? sq_tc_add_redirect(netlink, &place, name, program, detour, error)
                             : sq_tc_add_filter(netlink, &place, name, program, error);
    return result == 0 ? 0 : sq_fail_in(error, "%s", record->interfaces[i].name);
}

static int attach_one(struct sq_netlink *netlink, const struct sq_classifier *classifier,
                      const struct sq_network_undo *record, uint32_t i, struct sq_error *error)
{
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        if (sq_network_undo_uses(record, side) &&
            attach_side(netlink, classifier, record, i, side, error) != 0)
            return -1;
    return 0;
}

int sq_network_attach(struct sq_netlink *netlink, const struct sq_classifier *classifier,
                      const struct sq_fault_env *env, struct sq_network_undo *record, struct sq_undo *undo,
                      struct sq_error *error)
{
    if (!sq_network_undo_is_here(record))
        return sq_fail(error, SQ_INTERNAL, "the network namespace changed between preview and prepare");
    for (uint32_t i = 0; i < record->interface_count; i++) {
        if (record->interfaces[i].makes_clsact != 0 && make_clsact(netlink, env, record, i, undo, error) != 0)
            return -1;
        if (attach_one(netlink, classifier, record, i, error) != 0)
            return -1;
    }
    return 0;
}
