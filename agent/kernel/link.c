#include "kernel/link.h"

#include "common/text.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/attr.h>
#include <string.h>

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
};

static bool read_has_xdp(struct nlattr *xdp)
{
    if (xdp == NULL)
        return false;
    const struct nlattr *attached = nla_find(nla_data(xdp), nla_len(xdp), IFLA_XDP_ATTACHED);
    return attached != NULL && nla_len(attached) >= 1 &&
           *(const uint8_t *)nla_data(attached) != XDP_ATTACHED_NONE;
}

static void read_address(struct nlattr *attribute, struct sq_link_address *address)
{
    if (attribute == NULL || nla_len(attribute) < 0 || (size_t)nla_len(attribute) > sizeof address->bytes)
        return;
    address->length = (uint32_t)nla_len(attribute);
    memcpy(address->bytes, nla_data(attribute), address->length);
}

bool sq_link_read(const struct nlmsghdr *message, struct sq_link *link)
{
    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return false;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof *info));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof *info));
    const struct nlattr *name = nla_find(attributes, length, IFLA_IFNAME);
    if (name == NULL || nla_len(name) <= 0 || !sq_text_is_terminated(nla_data(name), (size_t)nla_len(name)))
        return false;
    *link = (struct sq_link){
        .ifindex = (uint32_t)info->ifi_index,
        .loopback = (info->ifi_flags & IFF_LOOPBACK) != 0,
        .up = (info->ifi_flags & IFF_UP) != 0,
        .ethernet = info->ifi_type == ARPHRD_ETHER || info->ifi_type == ARPHRD_LOOPBACK,
        .has_xdp = read_has_xdp(nla_find(attributes, length, IFLA_XDP)),
    };
    (void)sq_text_copy(link->name, sizeof link->name, nla_data(name));
    read_address(nla_find(attributes, length, IFLA_ADDRESS), &link->address);
    return true;
}

static int take_link(const struct nlmsghdr *message, void *cookie)
{
    return sq_link_read(message, cookie) ? 0 : -EPROTO;
}

int sq_link_by_index(struct sq_netlink *netlink, uint32_t ifindex, struct sq_link *link)
{
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
        .info = {.ifi_index = (int)ifindex},
    };
    return sq_netlink_get(netlink, &request.header, take_link, link);
}
