#include "kernel/links_read.h"

#include "common/text.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>

/* Kinds whose packets travel inside others, and the attributes that say where to. 0: there is no such one. */
static const struct {
    const char *kind;
    int link;
    int remote4; /* for kinds whose one attribute holds either family: this one */
    int remote6;
} tunnel_kinds[] = {
    {"vxlan", IFLA_VXLAN_LINK, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6},
    {"geneve", 0, IFLA_GENEVE_REMOTE, IFLA_GENEVE_REMOTE6},
    {"gre", IFLA_GRE_LINK, IFLA_GRE_REMOTE, 0},
    {"gretap", IFLA_GRE_LINK, IFLA_GRE_REMOTE, 0},
    {"erspan", IFLA_GRE_LINK, IFLA_GRE_REMOTE, 0},
    {"ip6gre", IFLA_GRE_LINK, IFLA_GRE_REMOTE, 0},
    {"ip6gretap", IFLA_GRE_LINK, IFLA_GRE_REMOTE, 0},
    {"ip6erspan", IFLA_GRE_LINK, IFLA_GRE_REMOTE, 0},
    {"ipip", IFLA_IPTUN_LINK, IFLA_IPTUN_REMOTE, 0},
    {"sit", IFLA_IPTUN_LINK, IFLA_IPTUN_REMOTE, 0},
    {"ip6tnl", IFLA_IPTUN_LINK, IFLA_IPTUN_REMOTE, 0},
    {"vti", IFLA_VTI_LINK, IFLA_VTI_REMOTE, 0},
    {"vti6", IFLA_VTI_LINK, IFLA_VTI_REMOTE, 0},
    {"xfrm", IFLA_XFRM_LINK, 0, 0},
    {"wireguard", 0, 0, 0},
    {"gtp", 0, 0, 0},
    {"bareudp", 0, 0, 0},
    {"amt", 0, 0, 0},
    {"ovpn", 0, 0, 0},
    {"ppp", 0, 0, 0},
};

/* The attributes of one message, and where they end. */
struct attributes {
    struct nlattr *first;
    int length;
};

static struct attributes inside(const struct attributes *outer, int type)
{
    struct nlattr *nest = nla_find(outer->first, outer->length, type);
    return nest == NULL ? (struct attributes){0} : (struct attributes){nla_data(nest), nla_len(nest)};
}

static uint32_t number_of(const struct attributes *attributes, int type)
{
    const struct nlattr *attribute = nla_find(attributes->first, attributes->length, type);
    return attribute != NULL && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : 0;
}

/* A terminated text, or "". */
static const char *text_of(const struct attributes *attributes, int type)
{
    const struct nlattr *attribute = nla_find(attributes->first, attributes->length, type);
    if (attribute == NULL || nla_len(attribute) <= 0 ||
        !sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)))
        return "";
    return nla_data(attribute);
}

/* False if there is none, or none in particular. */
static bool read_remote(const struct attributes *data, int type, struct sq_cidr *remote)
{
    static const uint8_t none[16];
    const struct nlattr *attribute = type == 0 ? NULL : nla_find(data->first, data->length, type);
    int size = attribute == NULL ? 0 : nla_len(attribute);
    if ((size != 4 && size != 16) || memcmp(nla_data(attribute), none, (size_t)size) == 0)
        return false;
    *remote = (struct sq_cidr){.family = size == 4 ? 4 : 6, .prefix = (uint8_t)(size * 8)};
    memcpy(remote->address, nla_data(attribute), (size_t)size);
    return true;
}

static void read_tunnel(const struct attributes *data, size_t kind, struct sq_links_entry *entry)
{
    uint32_t bound = tunnel_kinds[kind].link == 0 ? 0 : number_of(data, tunnel_kinds[kind].link);
    if (bound != 0) {
        entry->made_on = bound;
        entry->tunnel = SQ_LINK_TUNNEL_BOUND;
    } else if (read_remote(data, tunnel_kinds[kind].remote4, &entry->remote) ||
               read_remote(data, tunnel_kinds[kind].remote6, &entry->remote)) {
        entry->tunnel = SQ_LINK_TUNNEL_REMOTE;
    } else {
        entry->tunnel = SQ_LINK_TUNNEL_UNKNOWN;
    }
}

static void read_kind(const struct attributes *info, uint16_t type, bool elsewhere,
                      struct sq_links_entry *entry)
{
    const char *kind = text_of(info, IFLA_INFO_KIND);
    struct attributes data = inside(info, IFLA_INFO_DATA);
    if (strcmp(kind, "vrf") == 0)
        entry->vrf_table = number_of(&data, IFLA_VRF_TABLE);
    /* What was moved here from another namespace sends its packets there. */
    for (size_t i = 0; i < sizeof tunnel_kinds / sizeof tunnel_kinds[0]; i++)
        if (!elsewhere && strcmp(kind, tunnel_kinds[i].kind) == 0)
            read_tunnel(&data, i, entry);
    /* A tap is a virtual machine's card; a tun is the end of somebody's tunnel. */
    if (strcmp(kind, "tun") == 0 && type == ARPHRD_NONE)
        entry->tunnel = SQ_LINK_TUNNEL_UNKNOWN;
}

/* Entries and aliases while they are read. */
struct reading {
    struct sq_links *links;
    size_t room;
    size_t alias_room;
};

static int grow(void **items, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return 0;
    size_t more = *room == 0 ? 64 : *room * 2;
    void *grown = reallocarray(*items, more, size);
    if (grown == NULL)
        return -ENOMEM;
    *items = grown;
    *room = more;
    return 0;
}

static int read_aliases(struct reading *reading, const struct attributes *attributes, uint32_t ifindex)
{
    struct sq_links *links = reading->links;
    struct attributes list = inside(attributes, IFLA_PROP_LIST);
    struct nlattr *attribute;
    int left;
    nla_for_each_attr(attribute, list.first, list.length, left)
    {
        if (nla_type(attribute) != IFLA_ALT_IFNAME || nla_len(attribute) <= 0 ||
            !sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)))
            continue;
        void *aliases = links->aliases;
        if (grow(&aliases, &reading->alias_room, links->alias_count, sizeof links->aliases[0]) != 0)
            return -ENOMEM;
        links->aliases = aliases;
        struct sq_links_alias *alias = &links->aliases[links->alias_count];
        alias->ifindex = ifindex;
        if (sq_text_copy(alias->name, sizeof alias->name, nla_data(attribute)))
            links->alias_count++;
    }
    return 0;
}

static int take_link(const struct nlmsghdr *message, void *cookie)
{
    struct reading *reading = cookie;
    struct sq_links *links = reading->links;
    struct sq_links_entry entry = {0};
    if (!sq_link_read(message, &entry.link))
        return 0;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    struct attributes attributes = {(void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof *info)),
                                    (int)(message->nlmsg_len - NLMSG_SPACE(sizeof *info))};
    entry.master = number_of(&attributes, IFLA_MASTER);
    /* An index of another network namespace says nothing about the interfaces of this one. */
    bool elsewhere = nla_find(attributes.first, attributes.length, IFLA_LINK_NETNSID) != NULL;
    uint32_t made_on = elsewhere ? 0 : number_of(&attributes, IFLA_LINK);
    entry.made_on = made_on == entry.link.ifindex ? 0 : made_on;
    struct attributes kind = inside(&attributes, IFLA_LINKINFO);
    read_kind(&kind, info->ifi_type, elsewhere, &entry);
    void *entries = links->entries;
    if (grow(&entries, &reading->room, links->count, sizeof links->entries[0]) != 0)
        return -ENOMEM;
    links->entries = entries;
    links->entries[links->count++] = entry;
    return read_aliases(reading, &attributes, entry.link.ifindex);
}

int sq_links_dump(struct sq_netlink *netlink, struct sq_links *links)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        sq_links_free(links);
        struct reading reading = {.links = links};
        /* Statistics are most of what the kernel would say, and nothing here asks for them. */
        struct {
            struct nlmsghdr header;
            struct ifinfomsg info;
            struct nlattr mask_header;
            uint32_t mask;
        } request = {
            .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
            .mask_header = {.nla_len = sizeof request.mask_header + sizeof request.mask,
                            .nla_type = IFLA_EXT_MASK},
            .mask = RTEXT_FILTER_SKIP_STATS,
        };
        result = sq_netlink_dump(netlink, &request.header, take_link, &reading);
    }
    return result;
}
