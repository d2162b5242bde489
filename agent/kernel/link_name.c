#include "kernel/link_name.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#define NAME_MAX_BYTES 128 /* ALTIFNAMSIZ of <linux/if.h> */

struct name_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
    struct nlattr attribute;
    char name[NAME_MAX_BYTES];
};

static int ignore_link(const struct nlmsghdr *message, void *cookie)
{
    (void)message;
    (void)cookie;
    return 0;
}

int sq_link_is_named(struct sq_netlink *netlink, const char *name)
{
    size_t length = strlen(name);
    struct name_request request = {.header = {.nlmsg_type = RTM_GETLINK}};
    if (length >= sizeof request.name)
        return 0;
    /* By the first, a short alternative name is found as well; it has no room for a long one. */
    request.attribute.nla_type = length < IF_NAMESIZE ? IFLA_IFNAME : IFLA_ALT_IFNAME;
    request.attribute.nla_len = (uint16_t)(sizeof request.attribute + length + 1);
    request.header.nlmsg_len =
        (uint32_t)(NLMSG_SPACE(sizeof request.info) + NLMSG_ALIGN(request.attribute.nla_len));
    memcpy(request.name, name, length);
    int result = sq_netlink_get(netlink, &request.header, ignore_link, NULL);
    if (result == 0)
        return 1;
    return result == -ENODEV ? 0 : result;
}
