#include "kernel/address.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <string.h>
#include <sys/socket.h>

struct address_walk {
    const struct sq_cidr *ranges;
    size_t range_count;
    struct sq_addresses *addresses;
};

static int take_address(const struct nlmsghdr *message, void *cookie)
{
    const struct address_walk *walk = cookie;
    if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_SPACE(sizeof(struct ifaddrmsg)))
        return 0;
    const struct ifaddrmsg *info = NLMSG_DATA(message);
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof *info));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof *info));
    /* Where both are, the other one is the far end's. */
    const struct nlattr *own = nla_find(attributes, length, IFA_LOCAL);
    if (own == NULL)
        own = nla_find(attributes, length, IFA_ADDRESS);
    int size = info->ifa_family == AF_INET ? 4 : 16;
    if (own == NULL || nla_len(own) != size)
        return 0;
    struct sq_cidr address = {.family = size == 4 ? 4 : 6, .prefix = (uint8_t)(size * 8)};
    memcpy(address.address, nla_data(own), (size_t)size);
    for (size_t i = 0; i < walk->range_count; i++) {
        if (!sq_cidr_contains(&walk->ranges[i], &address))
            continue;
        if (walk->addresses->count == SQ_ADDRESSES_MAX)
            return -E2BIG;
        walk->addresses->items[walk->addresses->count++] = address;
        return 0;
    }
    return 0;
}

int sq_addresses_within(struct sq_netlink *netlink, const struct sq_cidr *ranges, size_t count,
                        struct sq_addresses *addresses, struct sq_error *error)
{
    struct address_walk walk = {.ranges = ranges, .range_count = count, .addresses = addresses};
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        addresses->count = 0;
        struct {
            struct nlmsghdr header;
            struct ifaddrmsg info;
        } request = {
            .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETADDR},
            .info = {.ifa_family = AF_UNSPEC},
        };
        result = sq_netlink_dump(netlink, &request.header, take_address, &walk);
    }
    if (result == -E2BIG)
        return sq_fail(error, SQ_LIMIT, "this host has more than %d addresses that its own policy protects",
                       SQ_ADDRESSES_MAX);
    return result == 0 ? 0 : sq_fail_errno(error, -result, "cannot list this host's addresses");
}
