#include "faults/network_target.h"

#include "faults/network_policy.h"
#include "faults/network_tell.h"

#include "kernel/address.h"
#include "kernel/links.h"
#include "kernel/route.h"
#include "kernel/tc_foreign.h"
#include "kernel/tcx.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SQ_ROUTE_PEERS_MAX >= SQ_PEERS_MAX, "every peer of a selector can be routed");

struct targets {
    uint32_t count;
    struct sq_network_place places[SQ_NETWORK_INTERFACES_MAX];
};

static int fail_nobody(const struct sq_network_selector *selector, const struct sq_routes *routes,
                       struct sq_error *error)
{
    char text[SQ_ERROR_TEXT_MAX / 2];
    if (routes->local_count > 0) {
        sq_network_list_ranges(selector->to, selector->to_count, routes->local, text, sizeof text);
        return sq_fail(error, SQ_NOBODY,
                       "%s is this host itself; name 'interface: lo' if its own loopback traffic is meant",
                       text);
    }
    sq_network_list_ranges(selector->to, selector->to_count, NULL, text, sizeof text);
    return sq_fail(error, SQ_NOBODY,
                   "this host has no route to %s%s; name the 'interface' if packets come all the same", text,
                   routes->no_ipv6 ? ", and its kernel has no IPv6" : "");
}

static int fail_many(const struct sq_links *links, const struct sq_routes *routes, struct sq_error *error)
{
    char names[160] = "";
    for (uint32_t i = 0; i < routes->count && i < SQ_NETWORK_INTERFACES_MAX; i++) {
        const struct sq_links_entry *entry = sq_links_by_index(links, routes->interfaces[i].ifindex);
        if (entry != NULL)
            sq_text_append(names, sizeof names, "%s%s", i > 0 ? ", " : "", entry->link.name);
    }
    return sq_fail(
        error, SQ_LIMIT,
        "the peers are reached by %u%s interfaces (%s, ...), and a fault takes %d at most; name one with "
        "'interface', or narrow 'to'",
        routes->count, routes->more ? " or more" : "", names, SQ_NETWORK_INTERFACES_MAX);
}

static int find_targets(struct sq_netlink *netlink, const struct sq_links *links,
                        const struct sq_network_selector *selector, struct targets *targets,
                        struct sq_routes *routes, struct sq_error *error)
{
    if (selector->interface[0] != '\0') {
        targets->count = 1;
        sq_routes_note_families(selector->to, selector->to_count, routes);
        return sq_links_find(links, selector->interface, &targets->places[0].entry, error);
    }
    if (sq_routes_find(netlink, links, selector->to, selector->to_count, routes, error) != 0)
        return -1;
    if (routes->count == 0)
        return fail_nobody(selector, routes, error);
    if (routes->count > SQ_NETWORK_INTERFACES_MAX)
        return fail_many(links, routes, error);
    for (uint32_t i = 0; i < routes->count; i++)
        targets->places[targets->count++] = (struct sq_network_place){
            .entry = sq_links_by_index(links, routes->interfaces[i].ifindex), /* routes know no others */
            .route = &routes->interfaces[i],
        };
    return 0;
}

/* What passes two of the interfaces would take a detour twice, or run its risk twice. */
static int check_stacked(const struct sq_links *links, const struct targets *targets, struct sq_error *error)
{
    for (uint32_t i = 0; i < targets->count; i++) {
        for (uint32_t j = 0; j < targets->count; j++) {
            const struct sq_link *lower = &targets->places[i].entry->link;
            const struct sq_link *upper = &targets->places[j].entry->link;
            int carries = i == j ? 0 : sq_links_carries(links, lower->ifindex, upper->ifindex, error);
            if (carries < 0)
                return -1;
            if (carries > 0)
                return sq_fail(error, SQ_UNABLE,
                               "the peers are reached by %s and by %s, which carries the packets of %s: they "
                               "would be hit twice; name one of them with 'interface'",
                               upper->name, lower->name, upper->name);
        }
    }
    return 0;
}

/* That squall's filters can stand where they have to. */
static int check_interface(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           const struct sq_link *link, struct sq_error *error)
{
    struct sq_tc_clsact clsact;
    /* In front of everybody, whoever that is: what drops lets nothing past anybody's firewall. */
    if (record->attachment == SQ_NETWORK_TCX)
        return 0;
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

static int record_interface(struct sq_netlink *netlink, const struct sq_link *link, bool needs_clsact,
                            struct sq_network_undo_interface *interface, struct sq_error *error)
{
    interface->ifindex = link->ifindex;
    interface->knows_address = 1;
    interface->address = link->address;
    interface->had_xdp = link->has_xdp;
    memcpy(interface->name, link->name, sizeof interface->name);
    int result = sq_tc_take_snapshot(netlink, link->ifindex, &interface->before);
    struct sq_tc_tenants tenants = {0};
    if (result == 0)
        result = sq_tc_count_tenants(netlink, link->ifindex, NULL, NULL, &tenants);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot read the traffic control of %s", link->name);
    if (tenants.made_by_squall)
        interface->before.had_clsact = 0; /* another fault of squall's made it; the last one removes it */
    interface->makes_clsact = needs_clsact && interface->before.had_clsact == 0;
    return 0;
}

static int fill_record(struct sq_netlink *netlink, const struct sq_fault_env *env,
                       const struct targets *targets, struct sq_network_undo *record, struct sq_error *error)
{
    for (uint32_t i = 0; i < targets->count; i++)
        if (check_interface(netlink, record, &targets->places[i].entry->link, error) != 0 ||
            record_interface(netlink, &targets->places[i].entry->link,
                             record->attachment == SQ_NETWORK_CLSACT, &record->interfaces[i], error) != 0)
            return -1;
    char experiment[SQ_ID_TEXT_MAX];
    sq_id_format(&env->experiment, experiment);
    sq_text_append(record->filter_name, sizeof record->filter_name, SQ_TC_NAME_PREFIX "%s/%u", experiment,
                   env->slot);
    return 0;
}

/*
 * Where the fault stands among squall's own: by its kind, then by its slot. What drops comes before what
 * leads away, so that a packet is lost or delayed, whichever fault was made first.
 */
_Static_assert(SQ_TCX_LOSS_RANK == SQ_FAULTS_MAX, "what loses stands behind every slot of what drops");

static uint32_t rank_of(enum sq_fault_kind kind, uint32_t slot)
{
    uint32_t order = kind == SQ_NETWORK_PARTITION ? 0 : kind == SQ_NETWORK_LOSS ? 1 : 2;
    return order * SQ_FAULTS_MAX + slot;
}

int sq_network_preview(enum sq_fault_kind kind, const struct sq_network_selector *selector, bool detours,
                       const struct sq_fault_env *env, struct sq_network_undo *record,
                       struct sq_fault_report *report, struct sq_error *error)
{
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    sq_autolinks struct sq_links links = {0};
    struct targets targets = {0};
    struct sq_routes routes = {0};
    if (sq_netlink_open(&netlink, error) != 0 || sq_links_read(&netlink, &links, error) != 0 ||
        find_targets(&netlink, &links, selector, &targets, &routes, error) != 0 ||
        sq_network_check_policy(&netlink, &links, selector, env->protection, targets.places, targets.count,
                                report, error) != 0)
        return -1;
    /* To drop twice is to drop once. */
    if (kind != SQ_NETWORK_PARTITION && check_stacked(&links, &targets, error) != 0)
        return -1;
    *record = (struct sq_network_undo){
        /* On lo each packet goes out and comes in, and is to be met once. */
        .direction = targets.places[0].entry->link.loopback ? SQ_DIRECTION_OUT : selector->direction,
        .preference = SQ_TC_PREFERENCE + rank_of(kind, env->slot),
        .handle = SQ_TC_HANDLE + rank_of(kind, env->slot),
        .interface_count = targets.count,
        .attachment = !detours && sq_tcx_is_used() ? SQ_NETWORK_TCX : SQ_NETWORK_CLSACT,
    };
    sq_place_here(netlink.fd, &record->place);
    if (fill_record(&netlink, env, &targets, record, error) != 0)
        return -1;
    sq_network_tell(
        &(struct sq_network_view){selector, env, record, &links, &routes, targets.places, targets.count},
        report);
    return 0;
}

/* What the interfaces have to do with how packets are recognised. */
struct traits {
    bool ethernet; /* all of them carry Ethernet frames */
    bool loopback; /* it is lo */
};

static int look_at_links(struct sq_netlink *netlink, const struct sq_network_undo *record,
                         struct traits *traits, struct sq_error *error)
{
    *traits = (struct traits){.ethernet = true};
    for (uint32_t i = 0; i < record->interface_count; i++) {
        struct sq_link link;
        int result = sq_link_by_index(netlink, record->interfaces[i].ifindex, &link);
        if (result != 0)
            return sq_fail_errno(error, -result, "cannot look at the interface %s",
                                 record->interfaces[i].name);
        traits->ethernet = traits->ethernet && link.ethernet;
        traits->loopback = traits->loopback || link.loopback;
    }
    return 0;
}

/* Who is spared for the control plane's sake: the requester, and whoever reaches the agent's own ports. */
static size_t fill_sessions(const struct sq_fault_env *env,
                            struct sq_classifier_session sessions[SQ_SPARED_MAX + SQ_AGENT_PORTS_MAX])
{
    size_t count = 0;
    for (uint32_t i = 0; i < env->spared_count; i++)
        sessions[count++] = (struct sq_classifier_session){
            .peer = sq_network_controller(&env->spared[i]),
            .local_port = env->spared[i].agent_port,
        };
    for (uint32_t i = 0; i < env->agent_port_count; i++)
        sessions[count++] = (struct sq_classifier_session){.local_port = env->agent_ports[i]};
    return count;
}

int sq_network_load(struct sq_netlink *netlink, const struct sq_network_selector *selector,
                    const struct sq_network_chance *chance, const struct sq_fault_env *env,
                    const struct sq_network_undo *record, struct sq_classifier **classifier,
                    struct sq_error *error)
{
    struct sq_classifier_session sessions[SQ_SPARED_MAX + SQ_AGENT_PORTS_MAX];
    size_t session_count = fill_sessions(env, sessions);
    uint32_t devices[SQ_NETWORK_INTERFACES_MAX];
    struct traits traits;
    const struct sq_protection *kept = env->protection;
    sq_autofree struct sq_addresses *own = calloc(1, sizeof *own);
    if (own == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot list this host's addresses");
    if (look_at_links(netlink, record, &traits, error) != 0 ||
        (kept->peer_count > 0 &&
         sq_addresses_within(netlink, kept->peers, kept->peer_count, own, error) != 0))
        return -1;
    for (uint32_t i = 0; i < record->interface_count; i++)
        devices[i] = record->interfaces[i].ifindex;
    struct sq_classifier_config config = {
        .ethernet = traits.ethernet,
        .loopback_in = traits.loopback && (selector->direction & SQ_DIRECTION_IN) != 0,
        .loopback_out = traits.loopback && (selector->direction & SQ_DIRECTION_OUT) != 0,
        .for_tcx = record->attachment == SQ_NETWORK_TCX,
        .redirects = record->detours[SQ_TC_IN].ifindex != 0 || record->detours[SQ_TC_OUT].ifindex != 0,
        .detour_out = record->detours[SQ_TC_OUT].ifindex,
        .devices = devices,
        .device_count = record->interface_count,
        .lose_percent = chance->lose_percent,
        .lose_seed = chance->seed,
        .peers = {selector->to, selector->to_count},
        .except = {selector->except, selector->except_count},
        .protected = {kept->peers, kept->peer_count},
        .own = {own->items, own->count},
        .ports = kept->ports,
        .port_count = kept->port_count,
        .sessions = sessions,
        .session_count = session_count,
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
    int result = sq_tc_count_tenants(netlink, interface->ifindex, NULL, NULL, &tenants);
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

/*
 * From here on a clsact without squall's filter is somebody else's; before, it may be squall's own that the
 * filter had not yet come to.
 */
static int mark_clsacts(const struct sq_fault_env *env, struct sq_network_undo *record, struct sq_undo *undo,
                        struct sq_error *error)
{
    uint32_t made = 0;
    for (uint32_t i = 0; i < record->interface_count; i++) {
        record->interfaces[i].is_marked = record->interfaces[i].makes_clsact;
        made += record->interfaces[i].makes_clsact;
    }
    if (made == 0)
        return 0;
    sq_network_undo_write(record, (enum sq_fault_kind)undo->kind, undo);
    return env->record == NULL ? 0 : env->record(env->cookie, undo, error);
}

int sq_network_attach(struct sq_netlink *netlink, const struct sq_classifier *classifier,
                      const struct sq_fault_env *env, struct sq_network_undo *record, struct sq_undo *undo,
                      struct sq_error *error)
{
    if (!sq_network_undo_is_here(netlink, record))
        return sq_fail(error, SQ_INTERNAL, "the network namespace changed between preview and prepare");
    for (uint32_t i = 0; i < record->interface_count; i++) {
        if (record->interfaces[i].makes_clsact != 0 && make_clsact(netlink, env, record, i, undo, error) != 0)
            return -1;
        if (attach_one(netlink, classifier, record, i, error) != 0)
            return -1;
    }
    return mark_clsacts(env, record, undo, error);
}
