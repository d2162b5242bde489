#include "kernel/link_name.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

struct name_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
    struct nlattr attribute;
    char name[IF_NAMESIZE];
};

static int ignore_link(const struct nlmsghdr *message, void *cookie)
{
    (void)message;
    (void)cookie;
    return 0;
}

int sq_link_is_named(struct sq_netlink *netlink, const char *name)
{
    struct name_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
        .attribute = {.nla_len = sizeof request.attribute + sizeof request.name, .nla_type = IFLA_IFNAME},
    };
    size_t length = strlen(name);
    if (length >= sizeof request.name)
        return 0;
    memcpy(request.name, name, length);
    int result = sq_netlink_get(netlink, &request.header, ignore_link, NULL);
    if (result == 0)
        return 1;
    return result == -ENODEV ? 0 : result;
}
