#include "kernel/netfilter.h"

#include "kernel/module.h"
#include "kernel/netlink.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <stdbool.h>
#include <string.h>

/* Of <linux/netfilter/nf_tables.h> since Linux 6.17: the beginning of a device's name. */
#define DEVICE_PREFIX 2

struct chain_request {
    struct nlmsghdr header;
    struct nfgenmsg info;
};

struct chain_search {
    const char *interface;
    bool found;
    char table[64];
    char chain[64];
};

static void copy_name(char *name, size_t size, const struct nlattr *attribute)
{
    name[0] = '\0';
    if (attribute != NULL && nla_len(attribute) > 0 &&
        sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)))
        (void)sq_text_copy(name, size, nla_data(attribute));
}

static bool names_interface(const struct nlattr *attribute, const char *interface)
{
    char name[64];
    copy_name(name, sizeof name, attribute);
    size_t length = strlen(name);
    if (nla_type(attribute) == DEVICE_PREFIX || (length > 0 && name[length - 1] == '*'))
        return strncmp(name, interface, length - (name[length - 1] == '*' ? 1 : 0)) == 0;
    return strcmp(name, interface) == 0;
}

static bool hooks_ingress(const struct nfgenmsg *info, struct nlattr *hook, const char *interface)
{
    const struct nlattr *number = nla_find(nla_data(hook), nla_len(hook), NFTA_HOOK_HOOKNUM);
    if (number == NULL || nla_len(number) < 4)
        return false;
    uint32_t point = ntohl(nla_get_u32(number));
    if (!(info->nfgen_family == NFPROTO_NETDEV && point == NF_NETDEV_INGRESS) &&
        !(info->nfgen_family == NFPROTO_INET && point == NF_INET_INGRESS))
        return false;
    const struct nlattr *one = nla_find(nla_data(hook), nla_len(hook), NFTA_HOOK_DEV);
    if (one != NULL && names_interface(one, interface))
        return true;
    struct nlattr *many = nla_find(nla_data(hook), nla_len(hook), NFTA_HOOK_DEVS);
    struct nlattr *device;
    int left;
    if (many == NULL)
        return false;
    nla_for_each_nested(device, many, left)
    {
        if (names_interface(device, interface))
            return true;
    }
    return false;
}

static int judge_chain(const struct nlmsghdr *message, void *cookie)
{
    struct chain_search *search = cookie;
    if (message->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN) ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)) || search->found)
        return 0;
    const struct nfgenmsg *info = NLMSG_DATA(message);
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof *info));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof *info));
    struct nlattr *hook = nla_find(attributes, length, NFTA_CHAIN_HOOK);
    if (hook == NULL || !hooks_ingress(info, hook, search->interface))
        return 0;
    search->found = true;
    copy_name(search->table, sizeof search->table, nla_find(attributes, length, NFTA_CHAIN_TABLE));
    copy_name(search->chain, sizeof search->chain, nla_find(attributes, length, NFTA_CHAIN_NAME));
    return 0;
}

/* Of the families that can have such chains: of others a host may have thousands. 0 or -errno. */
static int ask_for_chain(const char *interface, struct chain_search *search)
{
    static const uint8_t families[] = {NFPROTO_NETDEV, NFPROTO_INET};
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    *search = (struct chain_search){.interface = interface};
    if (sq_netlink_open_to(&netlink, NETLINK_NETFILTER, NULL) != 0)
        return 0; /* a kernel without netfilter's netlink has no such chains */
    for (size_t family = 0; family < sizeof families && !search->found; family++) {
        int result = -EAGAIN;
        for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
            *search = (struct chain_search){.interface = interface};
            struct chain_request request = {
                .header = {.nlmsg_len = sizeof request,
                           .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN},
                .info = {.nfgen_family = families[family], .version = NFNETLINK_V0},
            };
            result = sq_netlink_dump(&netlink, &request.header, judge_chain, search);
        }
        if (result != 0)
            /* Otherwise: no nf_tables in this kernel. */
            return result == -EINVAL || result == -EOPNOTSUPP ? 0 : result;
    }
    return 0;
}

/* 1: *search names it; 0: there is none; -1: *error. */
static int find_chain(const char *interface, struct chain_search *search, struct sq_error *error)
{
    int result = ask_for_chain(interface, search);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot list the ingress chains of %s", interface);
    return search->found;
}

int sq_netfilter_check_ingress(const char *interface, struct sq_error *error)
{
    struct chain_search search;
    /* Asking would load it; and without it there are no chains. */
    if (sq_kernel_part_is_absent(SQ_PART_NF_TABLES))
        return 0;
    int found = find_chain(interface, &search, error);
    if (found <= 0)
        return found;
    return sq_fail(
        error, SQ_UNABLE,
        "the nftables chain '%s' of table '%s' looks at packets that come in by %s; packets that are delayed "
        "would go past it. Choose 'direction: out', or take the chain out for the time of the experiment",
        search.chain, search.table, interface);
}

int sq_netfilter_look_at_ingress(const char *interface, struct sq_error *error)
{
    struct chain_search search;
    if (!sq_kernel_part_is_at_hand(SQ_PART_NF_TABLES))
        return 0;
    int found = find_chain(interface, &search, error);
    if (found <= 0)
        return found;
    return sq_fail(
        error, SQ_VANISHED,
        "the nftables chain '%s' of table '%s' came to %s since the fault was prepared, and delayed "
        "packets that come in would go past it",
        search.chain, search.table, interface);
}
