#include "faults/network_tell.h"

#include "kernel/module.h"
#include "kernel/tcx.h"

#include "kernel/nat.h"

#include "common/text.h"

#include <string.h>

#define RANGES_SHOWN       4
#define TRANSLATIONS_SHOWN 4

void sq_network_list_ranges(const struct sq_cidr *ranges, uint32_t count, const uint8_t *chosen, char *text,
                            size_t size)
{
    uint32_t shown = 0;
    uint32_t more = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        if (chosen != NULL && !sq_routes_has(chosen, i))
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

static void tell_touched(const struct sq_network_view *view, struct sq_fault_report *report)
{
    const struct sq_network_selector *selector = view->selector;
    for (uint32_t i = 0; i < view->place_count; i++) {
        const struct sq_network_place *place = &view->places[i];
        const struct sq_link *link = &place->entry->link;
        char ranges[SQ_LINE_MAX];
        sq_network_list_ranges(selector->to, selector->to_count,
                               place->route != NULL ? place->route->peers : NULL, ranges, sizeof ranges);
        sq_report_line(report, SQ_LINE_TOUCHES, "%s: packets %s %s", link->name,
                       direction_text(selector->direction), ranges);
        if (link->loopback)
            sq_report_line(
                report, SQ_LINE_NOTE,
                "%s: both ends are this host: each packet is met once, there and back are two packets",
                link->name);
        if (!link->up)
            sq_report_line(report, SQ_LINE_WARNING, "%s is down", link->name);
        if (link->has_xdp && (selector->direction & SQ_DIRECTION_IN) != 0)
            sq_report_line(report, SQ_LINE_WARNING,
                           "%s has an XDP program; packets that it takes or redirects come in all the same",
                           link->name);
    }
}

/* A bridge's port, say: what passes it comes by at the interface that stands on it. */
static bool is_elsewhere(const struct sq_network_view *view, const struct sq_links_entry *entry)
{
    if (!entry->link.up || entry->link.loopback || entry->vrf_table != 0 || entry->master != 0)
        return false;
    for (uint32_t i = 0; i < view->place_count; i++)
        if (view->places[i].entry == entry)
            return false;
    return true;
}

/* Routes say by which interface packets leave. By which they come is decided by others. */
static void tell_asymmetric(const struct sq_network_view *view, struct sq_fault_report *report)
{
    char names[64] = "";
    uint32_t others = 0;
    if ((view->selector->direction & SQ_DIRECTION_IN) == 0 || view->place_count == 0 ||
        view->places[0].route == NULL)
        return;
    for (size_t i = 0; i < view->links->count; i++) {
        const struct sq_links_entry *entry = &view->links->entries[i];
        if (!is_elsewhere(view, entry))
            continue;
        if (others < 2)
            sq_text_append(names, sizeof names, "%s%s", others > 0 ? ", " : "", entry->link.name);
        others++;
    }
    if (others > 0)
        sq_report_line(
            report, SQ_LINE_NOTE,
            "what the peers send in by another interface (%s%s) than the routes to them leave by is not "
            "touched",
            names, others > 2 ? ", ..." : "");
}

/* qdisc_graft of the kernel deactivates a device to put a clsact on it or take it away; what it holds then is
 * lost. */
static void tell_disturbance(const struct sq_network_undo *record, struct sq_fault_report *report)
{
    for (uint32_t i = 0; i < record->interface_count; i++)
        if (record->interfaces[i].makes_clsact != 0)
            sq_report_line(report, SQ_LINE_WARNING,
                           "%s: making its clsact, and removing it, stops all its outgoing packets for some "
                           "0.3 ms; 'tc qdisc add dev %s clsact' beforehand avoids it",
                           record->interfaces[i].name, record->interfaces[i].name);
}

static bool overlaps_any(const struct sq_network_selector *selector, const struct sq_cidr *range)
{
    for (uint32_t i = 0; i < selector->to_count; i++)
        if (sq_cidr_overlaps(&selector->to[i], range))
            return true;
    return false;
}

struct sq_cidr sq_network_controller(const struct sq_spared *spared)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    struct sq_cidr controller = spared->controller;
    if (controller.family == 6 && memcmp(controller.address, mapped, sizeof mapped) == 0) {
        controller = (struct sq_cidr){.family = 4, .prefix = 32};
        memcpy(controller.address, spared->controller.address + sizeof mapped, 4);
    }
    return controller;
}

static void list_ports(const uint16_t *ports, uint32_t count, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        sq_text_append(text, size, "%s%u", i > 0 ? ", " : "", ports[i]);
}

static bool is_agent_port(const struct sq_fault_env *env, uint16_t port)
{
    for (uint32_t i = 0; i < env->agent_port_count; i++)
        if (env->agent_ports[i] == port)
            return true;
    return false;
}

static void tell_control_plane(const struct sq_network_view *view, struct sq_fault_report *report)
{
    char text[SQ_LINE_MAX];
    for (uint32_t i = 0; i < view->env->spared_count; i++) {
        struct sq_cidr controller = sq_network_controller(&view->env->spared[i]);
        if (!overlaps_any(view->selector, &controller) ||
            is_agent_port(view->env, view->env->spared[i].agent_port))
            continue;
        sq_cidr_format(&controller, text);
        sq_report_line(report, SQ_LINE_SPARES, "the control connection of %s to TCP port %u", text,
                       view->env->spared[i].agent_port);
    }
    if (view->env->agent_port_count == 0)
        return;
    list_ports(view->env->agent_ports, view->env->agent_port_count, text, sizeof text);
    sq_report_line(report, SQ_LINE_SPARES,
                   "the agent's own TCP port %s, of everybody, so that any controller's halt arrives", text);
}

static void tell_spared(const struct sq_network_view *view, struct sq_fault_report *report)
{
    const struct sq_network_selector *selector = view->selector;
    const struct sq_protection *protection = view->env->protection;
    char text[SQ_LINE_MAX];
    tell_control_plane(view, report);
    sq_report_line(report, SQ_LINE_SPARES, "ARP, IPv6 neighbour discovery, and whatever is not IP");
    if (selector->except_count > 0) {
        sq_network_list_ranges(selector->except, selector->except_count, NULL, text, sizeof text);
        sq_report_line(report, SQ_LINE_SPARES, "by 'except': %s", text);
    }
    uint8_t chosen[(SQ_PROTECTED_MAX + 7) / 8] = {0};
    bool some = false;
    for (uint32_t i = 0; i < protection->peer_count; i++) {
        if (overlaps_any(selector, &protection->peers[i])) {
            chosen[i / 8] |= (uint8_t)(1u << (i % 8));
            some = true;
        }
    }
    if (some) {
        sq_network_list_ranges(protection->peers, protection->peer_count, chosen, text, sizeof text);
        sq_report_line(report, SQ_LINE_SPARES, "by this host's policy: %s", text);
    }
    if (protection->port_count == 0)
        return;
    list_ports(protection->ports, protection->port_count, text, sizeof text);
    sq_report_line(report, SQ_LINE_SPARES, "by this host's policy: packets from and to port %s", text);
}

static void tell_unrouted(const struct sq_network_view *view, struct sq_fault_report *report)
{
    const struct sq_routes *routes = view->routes;
    const struct sq_network_selector *selector = view->selector;
    char text[SQ_LINE_MAX];
    if (routes->unreachable_count > 0) {
        sq_network_list_ranges(selector->to, selector->to_count, routes->unreachable, text, sizeof text);
        sq_report_line(report, SQ_LINE_WARNING, "no route leads to %u of the %u ranges in 'to' (%s)%s",
                       routes->unreachable_count, selector->to_count, text,
                       routes->no_ipv6 ? "; this host's kernel has no IPv6" : "");
    }
    if (routes->local_count > 0) {
        sq_network_list_ranges(selector->to, selector->to_count, routes->local, text, sizeof text);
        sq_report_line(
            report, SQ_LINE_WARNING,
            "%u of the %u ranges in 'to' are this host itself, whose loopback traffic is not touched (%s)",
            routes->local_count, selector->to_count, text);
    }
}

/* While this host's translations are gone through. */
struct translations {
    const struct sq_network_selector *selector;
    struct sq_fault_report *report;
    uint32_t shown;
    uint32_t nameless;
    char first_nameless[120];
};

/* Of a rule that means one of the peers; not of everybody, who is hit wherever packets go. */
static void note_translation(const struct sq_nat_rule *rule, void *cookie)
{
    struct translations *found = cookie;
    char text[SQ_CIDR_TEXT_MAX];
    if (rule->destination.family == 0 && found->nameless++ == 0)
        (void)sq_text_copy(found->first_nameless, sizeof found->first_nameless, rule->what);
    for (uint32_t i = 0; rule->destination.family != 0 && i < found->selector->to_count; i++) {
        const struct sq_cidr *peer = &found->selector->to[i];
        if (peer->prefix == 0 || !sq_cidr_overlaps(peer, &rule->destination))
            continue;
        sq_cidr_format(&rule->destination, text);
        if (found->shown++ < TRANSLATIONS_SHOWN)
            sq_report_line(
                found->report, SQ_LINE_WARNING,
                "this host translates %s (%s): packets to it leave with another address, and are not hit "
                "by that one; name those behind it",
                text, rule->what);
        return;
    }
}

static void tell_translated(const struct sq_network_view *view, struct sq_fault_report *report)
{
    struct translations found = {.selector = view->selector, .report = report};
    struct sq_error error;
    if (sq_nat_each(note_translation, &found, &error) != 0)
        sq_report_line(report, SQ_LINE_WARNING,
                       "whether this host translates a peer's address cannot be told: %s", error.text);
    if (found.shown > TRANSLATIONS_SHOWN)
        sq_report_line(report, SQ_LINE_WARNING, "this host translates %u more that 'to' names",
                       found.shown - TRANSLATIONS_SHOWN);
    if (found.nameless > 0)
        sq_report_line(
            report, SQ_LINE_NOTE,
            "%s translates destinations without naming them%s: if peers are among them, name those behind "
            "them",
            found.first_nameless, found.nameless > 1 ? ", and others do" : "");
}

void sq_network_tell(const struct sq_network_view *view, struct sq_fault_report *report)
{
    tell_touched(view, report);
    tell_asymmetric(view, report);
    tell_spared(view, report);
    tell_unrouted(view, report);
    tell_translated(view, report);
    tell_disturbance(view->record, report);
}

void sq_network_tell_loading(const struct sq_network_undo *record, struct sq_fault_report *report)
{
    static const struct {
        enum sq_kernel_part part;
        bool for_detours;
    } parts[] = {{SQ_PART_CLSACT, false},
                 {SQ_PART_CLS_BPF, false},
                 {SQ_PART_MIRRED, true},
                 {SQ_PART_IFB, true},
                 {SQ_PART_NETEM, true}};
    char names[SQ_LINE_MAX] = "";
    bool detours = record->detours[SQ_TC_IN].ifindex != 0 || record->detours[SQ_TC_OUT].ifindex != 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        bool needed = detours || (!parts[i].for_detours && !sq_tcx_is_used());
        if (needed && sq_module_state(parts[i].part) != SQ_MODULE_PRESENT)
            sq_text_append(names, sizeof names, " %s", sq_kernel_part_name(parts[i].part));
    }
    if (names[0] != '\0')
        sq_report_line(report, SQ_LINE_NOTE, "to prepare it loads kernel modules, which stay loaded:%s",
                       names);
}
