/* A network fault that is there, and a policy that protects more than when it was made. */
#include "faults/network_policy.h"
#include "faults/network_undo.h"

#include "table/params.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static int check_places(const struct sq_network_selector *selector, const struct sq_protection *protection,
                        const struct sq_network_undo *record, struct sq_error *error)
{
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    sq_autolinks struct sq_links links = {0};
    sq_autofree struct sq_fault_report *ignored = calloc(1, sizeof *ignored);
    struct sq_network_place places[SQ_NETWORK_INTERFACES_MAX];
    uint32_t count = 0;
    if (ignored == NULL)
        return sq_fail_errno(error, ENOMEM, "cannot compare the policy with the fault");
    if (sq_netlink_open(&netlink, error) != 0 || sq_links_read(&netlink, &links, error) != 0)
        return -1;
    for (uint32_t i = 0; i < record->interface_count; i++) {
        const struct sq_links_entry *entry = sq_links_by_index(&links, record->interfaces[i].ifindex);
        if (entry != NULL) /* else it is gone, and the fault with it */
            places[count++] = (struct sq_network_place){.entry = entry};
    }
    return sq_network_check_policy(&netlink, &links, selector, protection, places, count, ignored, error);
}

static bool contains_any(const struct sq_cidr *ranges, uint32_t count, const struct sq_cidr *range)
{
    for (uint32_t i = 0; i < count; i++)
        if (sq_cidr_contains(&ranges[i], range))
            return true;
    return false;
}

/* The filter lets pass what was protected when it was made, and cannot learn. */
static int check_new_peers(const struct sq_network_selector *selector, const struct sq_protection *protection,
                           const struct sq_protection *before, struct sq_error *error)
{
    for (uint32_t i = 0; i < protection->peer_count; i++) {
        const struct sq_cidr *peer = &protection->peers[i];
        if (contains_any(before->peers, before->peer_count, peer) ||
            contains_any(selector->except, selector->except_count, peer))
            continue;
        for (uint32_t j = 0; j < selector->to_count; j++) {
            char text[SQ_CIDR_TEXT_MAX];
            if (!sq_cidr_overlaps(&selector->to[j], peer))
                continue;
            sq_cidr_format(peer, text);
            return sq_fail(error, SQ_POLICY,
                           "the packets of %s are protected by this host's policy now, and were not when the "
                           "fault was prepared",
                           text);
        }
    }
    return 0;
}

static int check_new_ports(const struct sq_protection *protection, const struct sq_protection *before,
                           struct sq_error *error)
{
    for (uint32_t i = 0; i < protection->port_count; i++) {
        uint32_t j = 0;
        while (j < before->port_count && before->ports[j] != protection->ports[i])
            j++;
        if (j == before->port_count)
            return sq_fail(
                error, SQ_POLICY,
                "the packets from and to port %u are protected by this host's policy now, and were "
                "not when the fault was prepared",
                protection->ports[i]);
    }
    return 0;
}

int sq_network_allowed(void *state, const struct sq_fault_order *order, const struct sq_fault_env *env,
                       const struct sq_undo *undo, const struct sq_protection *before, struct sq_error *error)
{
    (void)state;
    const struct sq_network_selector *selector = sq_spec_selector(&order->spec);
    struct sq_network_undo record;
    if (selector == NULL)
        return sq_fail(error, SQ_INTERNAL, "a fault of the network without packets");
    if (check_new_peers(selector, env->protection, before, error) != 0 ||
        check_new_ports(env->protection, before, error) != 0 ||
        sq_network_undo_read(undo, &record, error) != 0)
        return -1;
    return check_places(selector, env->protection, &record, error);
}
