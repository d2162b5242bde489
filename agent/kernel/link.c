#include "kernel/link.h"

#include "common/nearest.h"
#include "common/text.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STACK_MAX 4096
#define STACK_DEPTH_MAX                                                                                      \
    6 /* a virtual LAN on a bridge on a bond is three; two veth ends lead back to each other */
#define NAMES_MAX 256 /* that a mistyped name is compared with */

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

/* Read a RTM_NEWLINK message; false if it is something else. */
static bool read_link(const struct nlmsghdr *message, struct sq_link *link)
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
    return true;
}

struct name_search {
    const char *name;
    struct sq_link *link;
    bool found;
    size_t count;
    char names[NAMES_MAX][SQ_LINK_NAME_MAX];
};

static int compare_name(const struct nlmsghdr *message, void *cookie)
{
    struct name_search *search = cookie;
    struct sq_link link;
    if (!read_link(message, &link))
        return 0;
    if (strcmp(link.name, search->name) == 0) {
        *search->link = link;
        search->found = true;
    }
    if (search->count < NAMES_MAX)
        memcpy(search->names[search->count++], link.name, sizeof link.name);
    return 0;
}

int sq_link_by_name(struct sq_netlink *netlink, const char *name, struct sq_link *link,
                    struct sq_error *error)
{
    struct name_search search;
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        search = (struct name_search){.name = name, .link = link};
        struct link_request request = {.header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK}};
        result = sq_netlink_dump(netlink, &request.header, compare_name, &search);
    }
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot list the network interfaces");
    if (search.found)
        return 0;
    const char *names[NAMES_MAX];
    for (size_t i = 0; i < search.count; i++)
        names[i] = search.names[i];
    const char *nearest = sq_nearest(name, names, search.count);
    if (nearest != NULL)
        return sq_fail(error, SQ_NOBODY, "this host has no network interface '%s'; did you mean '%s'?", name,
                       nearest);
    return sq_fail(error, SQ_NOBODY, "this host has no network interface '%s'; 'ip link' lists those it has",
                   name);
}

static int take_link(const struct nlmsghdr *message, void *cookie)
{
    return read_link(message, cookie) ? 0 : -EPROTO;
}

int sq_link_by_index(struct sq_netlink *netlink, uint32_t ifindex, struct sq_link *link)
{
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
        .info = {.ifi_index = (int)ifindex},
    };
    return sq_netlink_get(netlink, &request.header, take_link, link);
}

/* Who stands on whom: each interface, its master (of a bond or bridge) and the one that it was made on. */
struct stack {
    size_t count;
    struct {
        uint32_t ifindex;
        uint32_t master;
        uint32_t made_on;
        char name[SQ_LINK_NAME_MAX];
    } links[STACK_MAX];
};

static uint32_t number_of(struct nlattr *attributes, int length, int type)
{
    const struct nlattr *attribute = nla_find(attributes, length, type);
    return attribute != NULL && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : 0;
}

static int add_to_stack(const struct nlmsghdr *message, void *cookie)
{
    struct stack *stack = cookie;
    struct sq_link link;
    if (!read_link(message, &link))
        return 0;
    if (stack->count == STACK_MAX)
        return -E2BIG;
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof(struct ifinfomsg)));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof(struct ifinfomsg)));
    stack->links[stack->count].ifindex = link.ifindex;
    stack->links[stack->count].master = number_of(attributes, length, IFLA_MASTER);
    /* An index of another network namespace says nothing about the interfaces of this one. */
    bool elsewhere = nla_find(attributes, length, IFLA_LINK_NETNSID) != NULL;
    stack->links[stack->count].made_on = elsewhere ? 0 : number_of(attributes, length, IFLA_LINK);
    memcpy(stack->links[stack->count].name, link.name, sizeof link.name);
    stack->count++;
    return 0;
}

static bool stands_on(const struct stack *stack, uint32_t lower, const char *upper, unsigned depth)
{
    if (depth == 0)
        return false;
    for (size_t i = 0; i < stack->count; i++) {
        if (stack->links[i].ifindex == lower && strcmp(stack->links[i].name, upper) == 0)
            return true;
        if (stack->links[i].made_on == lower && stack->links[i].ifindex != lower &&
            stands_on(stack, stack->links[i].ifindex, upper, depth - 1))
            return true;
        if (stack->links[i].ifindex == lower && stack->links[i].master != 0 &&
            stands_on(stack, stack->links[i].master, upper, depth - 1))
            return true;
    }
    return false;
}

int sq_link_carries(struct sq_netlink *netlink, uint32_t ifindex, const char *upper)
{
    struct stack *stack = malloc(sizeof *stack);
    if (stack == NULL)
        return -ENOMEM;
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        stack->count = 0;
        struct link_request request = {.header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK}};
        result = sq_netlink_dump(netlink, &request.header, add_to_stack, stack);
    }
    if (result == 0)
        result = stands_on(stack, ifindex, upper, STACK_DEPTH_MAX) ? 1 : 0;
    free(stack);
    return result;
}

uint64_t sq_netns_inode(void)
{
    struct stat status;
    return stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}
