#include "faults/network_sweep.h"

#include "kernel/ifb.h"
#include "kernel/link.h"
#include "kernel/links.h"
#include "kernel/tc.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>

#define FILTERS_MAX 32 /* that squall has room for on one side: one a slot, and then some */

struct found {
    uint32_t count;
    bool made_clsact;
    struct {
        struct sq_tc_place place;
        char name[SQ_TC_NAME_MAX];
    } filters[FILTERS_MAX];
};

struct search {
    struct found *found;
    uint32_t ifindex;
    enum sq_tc_side side;
};

static int take_ours(const struct sq_tc_filter *filter, void *cookie)
{
    struct search *search = cookie;
    struct found *found = search->found;
    if (!sq_tc_filter_is_ours(filter) || found->count == FILTERS_MAX)
        return 0;
    size_t length = strlen(filter->name);
    size_t mark = strlen(SQ_TC_NAME_MADE);
    if (length > mark && strcmp(filter->name + length - mark, SQ_TC_NAME_MADE) == 0)
        found->made_clsact = true;
    found->filters[found->count].place = (struct sq_tc_place){.ifindex = search->ifindex,
                                                              .side = search->side,
                                                              .preference = filter->preference,
                                                              .handle = filter->handle};
    (void)sq_text_copy(found->filters[found->count].name, SQ_TC_NAME_MAX, filter->name);
    found->count++;
    return 0;
}

static int find(struct sq_netlink *netlink, uint32_t ifindex, struct found *found)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        *found = (struct found){0};
        result = 0;
        for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES && result == 0; side++) {
            struct search search = {.found = found, .ifindex = ifindex, .side = side};
            result = sq_tc_filters(netlink, ifindex, sq_tc_side_parent(side), take_ours, &search);
        }
    }
    return result;
}

static void tell(struct sq_fault_report *report, const char *what, const char *name, int result)
{
    if (result == 0)
        sq_report_line(report, SQ_LINE_NOTE, "removed %s of %s", what, name);
    else
        sq_report_line(report, SQ_LINE_LEFT, "%s of %s (%s)", what, name, strerror(-result));
}

/* 0 if nothing marked is left there. */
static int sweep_interface(struct sq_netlink *netlink, const struct sq_link *link,
                           struct sq_fault_report *report)
{
    struct found found;
    struct sq_tc_tenants tenants;
    int result = find(netlink, link->ifindex, &found);
    for (uint32_t i = 0; i < found.count && result == 0; i++) {
        const struct sq_tc_place *place = &found.filters[i].place;
        result = sq_tc_remove_filter(netlink, place, found.filters[i].name);
        result = result == -ENOENT ? 0 : result;
        tell(report, place->side == SQ_TC_IN ? "an ingress filter" : "an egress filter", link->name, result);
    }
    if (result != 0 || !found.made_clsact)
        return result;
    result = sq_tc_count_tenants(netlink, link->ifindex, NULL, NULL, &tenants);
    if (result != 0 || tenants.ours + tenants.foreign > 0)
        return result;
    result = sq_tc_remove_clsact(netlink, link->ifindex);
    result = result == -ENOENT || result == -EINVAL || result == -ENODEV ? 0 : result;
    tell(report, "the clsact", link->name, result);
    return result;
}

static int sweep_each(int (*sweep)(struct sq_netlink *netlink, const struct sq_link *link,
                                   struct sq_fault_report *report),
                      struct sq_fault_report *report, struct sq_error *error)
{
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    sq_autolinks struct sq_links links = {0};
    int left = 0;
    if (sq_netlink_open(&netlink, error) != 0 || sq_links_read(&netlink, &links, error) != 0)
        return -1;
    for (size_t i = 0; i < links.count; i++)
        left += sweep(&netlink, &links.entries[i].link, report) != 0;
    if (left == 0)
        return 0;
    return sq_fail(error, SQ_UNCLEAN, "on %d interfaces not everything could be looked at or removed", left);
}

int sq_network_sweep_filters(struct sq_fault_report *report, struct sq_error *error)
{
    return sweep_each(sweep_interface, report, error);
}

static int sweep_ifb(struct sq_netlink *netlink, const struct sq_link *link, struct sq_fault_report *report)
{
    const struct sq_ifb ifb = {.ifindex = link->ifindex};
    int marked = sq_ifb_bears_marks(netlink, link->ifindex);
    if (marked <= 0)
        return marked;
    int result = sq_ifb_remove(netlink, &ifb);
    result = result == -ENODEV ? 0 : result;
    tell(report, "the interface", link->name, result);
    return result;
}

int sq_network_sweep_detours(struct sq_fault_report *report, struct sq_error *error)
{
    return sweep_each(sweep_ifb, report, error);
}
