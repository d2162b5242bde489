#include "kernel/ifb.h"

#include "kernel/link.h"
#include "kernel/link_name.h"

#include "common/text.h"

#include "bpf_program/classifier.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel counts its own indices up from 1; "SQ" in the upper half stays out of its way and can be
 * recognised. */
#define INDEX_BASE   (SQ_CLASSIFIER_DETOUR_MARK << 16)
#define NAME_PREFIX  "squall-"
#define SLOTS_MAX    8 /* faults at a time: SQ_FAULTS_MAX */
#define ATTEMPTS_MAX 8 /* when others stand in a slot's place */

/* Largest that IP knows: a packet that its own interface could carry is never too long for the IFB. */
#define MTU_BYTES 65535u

/*
 * Packets in the IFB's own queue, behind its queueing discipline, before it asks that to wait. It loses
 * none of them; the kernel's standard of 32 stops and starts the queue needlessly under load.
 */
#define TX_QUEUE_PACKETS 1000u

/* Locally administered, not multicast; what follows is the experiment's. */
#define ADDRESS_FIRST 0x02u

_Static_assert(ATTEMPTS_MAX *SLOTS_MAX *SQ_TC_SIDES <= SQ_CLASSIFIER_DETOURS,
               "the classifier knows every IFB by its number");

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
};

static void choose_address(const struct sq_id *experiment, uint32_t number, struct sq_ifb *ifb)
{
    ifb->address[0] = ADDRESS_FIRST;
    ifb->address[SQ_IFB_ADDRESS_LEN - 1] = (uint8_t)number;
    memcpy(ifb->address + 1, experiment->bytes, SQ_IFB_ADDRESS_LEN - 2);
}

int sq_ifb_choose(struct sq_netlink *netlink, const struct sq_id *experiment, uint32_t slot,
                  enum sq_tc_side side, struct sq_ifb *ifb, struct sq_error *error)
{
    for (uint32_t attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        uint32_t number = slot + attempt * SLOTS_MAX;
        struct sq_link link;
        *ifb = (struct sq_ifb){.ifindex = INDEX_BASE + number * SQ_TC_SIDES + side};
        choose_address(experiment, number * SQ_TC_SIDES + side, ifb);
        sq_text_append(ifb->name, sizeof ifb->name, NAME_PREFIX "%u-%s", number,
                       side == SQ_TC_IN ? "in" : "out");
        int result = sq_link_by_index(netlink, ifb->ifindex, &link);
        if (result != 0 && result != -ENODEV)
            return sq_fail_errno(error, -result, "cannot look for a free interface index");
        int taken = result == 0 ? 1 : sq_link_is_named(netlink, ifb->name);
        if (taken < 0)
            return sq_fail_errno(error, -taken, "cannot look for a free interface name");
        if (taken == 0)
            return 0;
    }
    return sq_fail(error, SQ_CONFLICT,
                   "all of the %d interface names that squall would use, the last of them %s, are taken; "
                   "'ip link show type ifb' lists them",
                   ATTEMPTS_MAX, ifb->name);
}

static int put_new_link(struct nl_msg *message, const struct sq_ifb *ifb)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifb->ifindex};
    if (nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO) != 0 ||
        nla_put_string(message, IFLA_IFNAME, ifb->name) != 0 ||
        nla_put(message, IFLA_ADDRESS, SQ_IFB_ADDRESS_LEN, ifb->address) != 0 ||
        nla_put_u32(message, IFLA_MTU, MTU_BYTES) != 0 ||
        nla_put_u32(message, IFLA_TXQLEN, TX_QUEUE_PACKETS) != 0)
        return -1;
    struct nlattr *kind = nla_nest_start(message, IFLA_LINKINFO);
    if (kind == NULL || nla_put_string(message, IFLA_INFO_KIND, "ifb") != 0)
        return -1;
    return nla_nest_end(message, kind);
}

/* Without it, IPv6 would give the device an address as soon as it is switched on. */
static int put_silence(struct nl_msg *message, const struct sq_ifb *ifb)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifb->ifindex};
    if (nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO) != 0)
        return -1;
    struct nlattr *families = nla_nest_start(message, IFLA_AF_SPEC);
    struct nlattr *family = families == NULL ? NULL : nla_nest_start(message, AF_INET6);
    if (family == NULL || nla_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) != 0)
        return -1;
    (void)nla_nest_end(message, family);
    return nla_nest_end(message, families);
}

static int put_alias(struct nl_msg *message, const struct sq_ifb *ifb, const char *alias)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifb->ifindex};
    if (nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO) != 0)
        return -1;
    return nla_put(message, IFLA_IFALIAS, (int)strlen(alias), alias);
}

static int send_and_free(struct sq_netlink *netlink, struct nl_msg *message, bool complete, char *reason,
                         size_t size)
{
    int result =
        message != NULL && complete ? sq_netlink_request(netlink, nlmsg_hdr(message), reason, size) : -ENOMEM;
    nlmsg_free(message);
    return result;
}

static int make(struct sq_netlink *netlink, const struct sq_ifb *ifb, struct sq_error *error)
{
    char reason[160] = "";
    struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    bool complete = message != NULL && put_new_link(message, ifb) >= 0;
    int result = send_and_free(netlink, message, complete, reason, sizeof reason);
    if (result == 0)
        return 0;
    if (result == -EEXIST)
        return sq_fail(error, SQ_CONFLICT,
                       "somebody made an interface %s or number %u since the preview; plan again", ifb->name,
                       ifb->ifindex);
    if (result == -EOPNOTSUPP)
        return sq_fail(error, SQ_UNABLE, SQ_IFB_MISSING);
    return sq_fail(error, SQ_UNABLE, "the kernel refused the IFB device %s: %s%s%s", ifb->name,
                   strerror(-result), reason[0] != '\0' ? ": " : "", reason);
}

int sq_ifb_make(struct sq_netlink *netlink, const struct sq_ifb *ifb, const char *alias,
                struct sq_error *error)
{
    if (make(netlink, ifb, error) != 0)
        return -1;
    char reason[160] = "";
    struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, 0);
    bool complete = message != NULL && put_alias(message, ifb, alias) == 0;
    int result = send_and_free(netlink, message, complete, reason, sizeof reason);
    if (result != 0)
        return sq_fail(error, SQ_UNABLE, "the kernel refused the alias of %s: %s%s%s", ifb->name,
                       strerror(-result), reason[0] != '\0' ? ": " : "", reason);
    message = nlmsg_alloc_simple(RTM_NEWLINK, 0);
    complete = message != NULL && put_silence(message, ifb) >= 0;
    /* Where it is refused there is no IPv6, or the device is too small for it: nothing would speak. */
    (void)send_and_free(netlink, message, complete, NULL, 0);
    return 0;
}

int sq_ifb_start(struct sq_netlink *netlink, const struct sq_ifb *ifb, struct sq_error *error)
{
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_NEWLINK},
        .info = {.ifi_index = (int)ifb->ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP},
    };
    char reason[160];
    int result = sq_netlink_request(netlink, &request.header, reason, sizeof reason);
    if (result == 0)
        return 0;
    return sq_fail(error, SQ_UNABLE, "the kernel refused to switch on %s: %s%s%s", ifb->name,
                   strerror(-result), reason[0] != '\0' ? ": " : "", reason);
}

struct identity_check {
    const struct sq_ifb *ifb;
    const char *alias;
    bool ours;
};

static bool is_text(const struct nlattr *attribute, const char *text)
{
    return attribute != NULL && nla_len(attribute) > 0 &&
           sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)) &&
           strcmp(nla_data(attribute), text) == 0;
}

static int check_identity(const struct nlmsghdr *message, void *cookie)
{
    struct identity_check *check = cookie;
    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return -EPROTO;
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof(struct ifinfomsg)));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof(struct ifinfomsg)));
    const struct nlattr *alias = nla_find(attributes, length, IFLA_IFALIAS);
    const struct nlattr *address = nla_find(attributes, length, IFLA_ADDRESS);
    const struct nlattr *about = nla_find(attributes, length, IFLA_LINKINFO);
    const struct nlattr *kind =
        about == NULL ? NULL : nla_find(nla_data(about), nla_len(about), IFLA_INFO_KIND);
    check->ours = is_text(kind, "ifb") && (alias == NULL || is_text(alias, check->alias)) &&
                  address != NULL && nla_len(address) == SQ_IFB_ADDRESS_LEN &&
                  memcmp(nla_data(address), check->ifb->address, SQ_IFB_ADDRESS_LEN) == 0;
    return 0;
}

int sq_ifb_find(struct sq_netlink *netlink, const struct sq_ifb *ifb, const char *alias)
{
    struct identity_check check = {.ifb = ifb, .alias = alias};
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
        .info = {.ifi_index = (int)ifb->ifindex},
    };
    int result = sq_netlink_get(netlink, &request.header, check_identity, &check);
    if (result == -ENODEV)
        return SQ_IFB_ABSENT;
    if (result != 0)
        return result;
    return check.ours ? SQ_IFB_OURS : SQ_IFB_FOREIGN;
}

int sq_ifb_remove(struct sq_netlink *netlink, const struct sq_ifb *ifb)
{
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_DELLINK},
        .info = {.ifi_index = (int)ifb->ifindex},
    };
    return sq_netlink_request(netlink, &request.header, NULL, 0);
}

static bool begins_with(const struct nlattr *attribute, const char *text)
{
    return attribute != NULL && nla_len(attribute) > 0 &&
           sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)) &&
           strncmp(nla_data(attribute), text, strlen(text)) == 0;
}

static int check_marks(const struct nlmsghdr *message, void *cookie)
{
    bool *marked = cookie;
    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return -EPROTO;
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof(struct ifinfomsg)));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof(struct ifinfomsg)));
    const struct nlattr *alias = nla_find(attributes, length, IFLA_IFALIAS);
    const struct nlattr *about = nla_find(attributes, length, IFLA_LINKINFO);
    const struct nlattr *kind =
        about == NULL ? NULL : nla_find(nla_data(about), nla_len(about), IFLA_INFO_KIND);
    *marked = is_text(kind, "ifb") && (alias == NULL || begins_with(alias, SQ_TC_NAME_PREFIX)) &&
              begins_with(nla_find(attributes, length, IFLA_IFNAME), NAME_PREFIX);
    return 0;
}

int sq_ifb_bears_marks(struct sq_netlink *netlink, uint32_t ifindex)
{
    bool marked = false;
    if (ifindex < INDEX_BASE || ifindex >= INDEX_BASE + ATTEMPTS_MAX * SLOTS_MAX * SQ_TC_SIDES)
        return 0;
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
        .info = {.ifi_index = (int)ifindex},
    };
    int result = sq_netlink_get(netlink, &request.header, check_marks, &marked);
    if (result == -ENODEV)
        return 0;
    return result != 0 ? result : marked;
}
