#include "kernel/ifb_loading.h"

#include "kernel/module.h"

#include "common/cleanup.h"
#include "common/text.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <string.h>
#include <sys/socket.h>

/* Of <asm/socket.h> since Linux 5.14. */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* The kernel gives it to the namespace that it makes at boot. */
#define FIRST_NETNS_COOKIE 1

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg info;
};

/* A device as loading leaves it, as long as nobody uses it. */
struct device {
    uint32_t ifindex;
    uint8_t address[SQ_IFB_ADDRESS_LEN];
    char name[SQ_IFB_NAME_MAX];
    bool is_named_so; /* ifb and a number */
    bool is_unused;
};

static bool is_text(const struct nlattr *attribute, const char *text)
{
    return attribute != NULL && nla_len(attribute) > 0 &&
           sq_text_is_terminated(nla_data(attribute), (size_t)nla_len(attribute)) &&
           strcmp(nla_data(attribute), text) == 0;
}

static bool is_named_by_loading(const char *name)
{
    if (strncmp(name, "ifb", 3) != 0)
        return false;
    size_t digits = strspn(name + 3, "0123456789");
    return digits > 0 && name[3 + digits] == '\0';
}

/* False if it is no IFB. */
static bool read_device(const struct nlmsghdr *message, struct device *device)
{
    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return false;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    int length = (int)(message->nlmsg_len - NLMSG_SPACE(sizeof *info));
    struct nlattr *attributes = (void *)((char *)(uintptr_t)message + NLMSG_SPACE(sizeof *info));
    struct nlattr *about = nla_find(attributes, length, IFLA_LINKINFO);
    const struct nlattr *name = nla_find(attributes, length, IFLA_IFNAME);
    const struct nlattr *address = nla_find(attributes, length, IFLA_ADDRESS);
    if (about == NULL || !is_text(nla_find(nla_data(about), nla_len(about), IFLA_INFO_KIND), "ifb") ||
        name == NULL || nla_len(name) <= 0 || !sq_text_is_terminated(nla_data(name), (size_t)nla_len(name)) ||
        address == NULL || nla_len(address) != SQ_IFB_ADDRESS_LEN)
        return false;
    *device = (struct device){.ifindex = (uint32_t)info->ifi_index};
    memcpy(device->address, nla_data(address), sizeof device->address);
    (void)sq_text_copy(device->name, sizeof device->name, nla_data(name));
    device->is_named_so = is_named_by_loading(device->name);
    device->is_unused = (info->ifi_flags & IFF_UP) == 0 &&
                        is_text(nla_find(attributes, length, IFLA_QDISC), "noop") &&
                        nla_find(attributes, length, IFLA_MASTER) == NULL &&
                        nla_find(attributes, length, IFLA_IFALIAS) == NULL;
    return true;
}

static int notice(const struct nlmsghdr *message, void *cookie)
{
    bool *is_any = cookie;
    struct device device;
    *is_any = *is_any || read_device(message, &device);
    return 0;
}

static int dump(struct sq_netlink *netlink, sq_netlink_visit visit, void *cookie)
{
    struct link_request request = {.header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK}};
    return sq_netlink_dump(netlink, &request.header, visit, cookie);
}

int sq_ifb_expect_loading(struct sq_netlink *netlink, struct sq_ifb_loading *loading)
{
    bool is_any = false;
    *loading = (struct sq_ifb_loading){0};
    if (sq_module_state(SQ_PART_IFB) == SQ_MODULE_PRESENT)
        return 0;
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++)
        result = dump(netlink, notice, &is_any);
    if (result == 0 && !is_any)
        loading->stage = SQ_IFB_WILL_LOAD;
    return result;
}

bool sq_ifb_loads_here(void)
{
    uint64_t cookie = FIRST_NETNS_COOKIE;
    socklen_t size = sizeof cookie;
    sq_autonetlink struct sq_netlink netlink = {.fd = -1};
    if (sq_netlink_open(&netlink, NULL) == 0)
        (void)getsockopt(netlink.fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
    return cookie == FIRST_NETNS_COOKIE;
}

static int note(const struct nlmsghdr *message, void *cookie)
{
    struct sq_ifb_loading *loading = cookie;
    struct device device;
    if (!read_device(message, &device) || !device.is_named_so || !device.is_unused ||
        loading->count == SQ_IFB_BY_LOADING_MAX)
        return 0;
    loading->made[loading->count].ifindex = device.ifindex;
    memcpy(loading->made[loading->count].address, device.address, sizeof device.address);
    loading->count++;
    return 0;
}

int sq_ifb_note_loading(struct sq_netlink *netlink, struct sq_ifb_loading *loading)
{
    int result = -EAGAIN;
    for (int i = 0; i < SQ_NETLINK_ATTEMPTS && result == -EAGAIN; i++) {
        loading->count = 0;
        result = dump(netlink, note, loading);
    }
    if (result == 0)
        loading->stage = SQ_IFB_NOTED;
    return result;
}

static int take_device(const struct nlmsghdr *message, void *cookie)
{
    struct device *device = cookie;
    if (!read_device(message, device))
        device->ifindex = 0;
    return 0;
}

/* It may be somebody else's by now, or have become so. */
static void unload_one(struct sq_netlink *netlink, const struct sq_ifb_loading *loading, uint32_t i,
                       struct sq_ifb_unloading *unloading)
{
    struct device device = {0};
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK},
        .info = {.ifi_index = (int)loading->made[i].ifindex},
    };
    int result = sq_netlink_get(netlink, &request.header, take_device, &device);
    if (result == -ENODEV ||
        (result == 0 && (device.ifindex == 0 ||
                         memcmp(device.address, loading->made[i].address, sizeof device.address) != 0)))
        return;
    if (result == 0 && (!device.is_unused || !device.is_named_so)) {
        unloading->used++;
        memcpy(unloading->name, device.name, sizeof unloading->name);
        return;
    }
    if (result == 0) {
        struct sq_ifb ifb = {.ifindex = device.ifindex};
        result = sq_ifb_remove(netlink, &ifb);
    }
    if (result == 0 || result == -ENODEV)
        return;
    unloading->left++;
    unloading->result = result;
    memcpy(unloading->name, device.name, sizeof unloading->name);
}

void sq_ifb_unload(struct sq_netlink *netlink, const struct sq_ifb_loading *loading,
                   struct sq_ifb_unloading *unloading)
{
    struct sq_ifb_loading noted = *loading;
    *unloading = (struct sq_ifb_unloading){0};
    /* Whoever died between loading and noting: there was no IFB before, so it is the same question. */
    if (noted.stage == SQ_IFB_WILL_LOAD && sq_ifb_note_loading(netlink, &noted) != 0)
        return;
    for (uint32_t i = 0; i < noted.count && i < SQ_IFB_BY_LOADING_MAX; i++)
        unload_one(netlink, &noted, i, unloading);
}
