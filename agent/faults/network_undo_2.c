/*
 * Layout 2 of the undo records of network faults: that of squall 0.1 before network namespaces were known by
 * their cookie and interfaces by their address.
 */
#include "faults/network_undo.h"

#include <stddef.h>
#include <string.h>

#define LAYOUT               2
#define PARTS                4 /* tcx programs were not looked at */
#define INTERFACE_NAME_BYTES 16

struct digest_2 {
    uint64_t hash;
    uint32_t count;
    uint32_t reserved;
};

struct interface_2 {
    uint32_t ifindex;
    uint32_t makes_clsact;
    char name[INTERFACE_NAME_BYTES];
    uint32_t had_clsact;
    uint32_t reserved;
    struct digest_2 parts[PARTS];
};

struct detour_2 {
    uint32_t ifindex;
    uint8_t address[6];
    uint8_t reserved[6];
    char name[16];
};

struct undo_2 {
    uint64_t netns_inode;
    uint32_t direction;
    uint32_t preference;
    uint32_t handle;
    uint32_t interface_count;
    char filter_name[64];
    uint64_t longest_delay_ns;
    struct detour_2 detours[2];
    struct interface_2 interfaces[8];
};

_Static_assert(sizeof(struct undo_2) == 928, "what squall 0.1 wrote");
_Static_assert(sizeof(struct detour_2) == sizeof(struct sq_ifb), "detours are still the same");
_Static_assert(sizeof(struct digest_2) == sizeof(struct sq_tc_digest), "digests are still the same");

static void read_interface(const struct interface_2 *old, struct sq_network_undo_interface *interface)
{
    interface->ifindex = old->ifindex;
    interface->makes_clsact = old->makes_clsact;
    /* Whether its filter ever came to it is not known: then nothing is taken for squall's without one. */
    interface->is_marked = old->makes_clsact;
    memcpy(interface->name, old->name, sizeof interface->name);
    interface->before.had_clsact = old->had_clsact;
    for (int part = 0; part < SQ_TC_PARTS; part++) {
        if (part < PARTS)
            memcpy(&interface->before.parts[part], &old->parts[part], sizeof old->parts[part]);
        else
            interface->before.unknown |= 1u << part;
    }
}

bool sq_network_undo_read_2(const struct sq_undo *undo, struct sq_network_undo *record)
{
    struct undo_2 old;
    if (undo->layout != LAYOUT || undo->size != sizeof old)
        return false;
    memcpy(&old, undo->bytes, sizeof old);
    if (old.interface_count > SQ_NETWORK_INTERFACES_MAX)
        return false;
    memset(record, 0, sizeof *record);
    record->place.netns_inode = old.netns_inode;
    record->direction = old.direction;
    record->preference = old.preference;
    record->handle = old.handle;
    record->interface_count = old.interface_count;
    record->longest_delay_ns = old.longest_delay_ns;
    memcpy(record->filter_name, old.filter_name, sizeof record->filter_name);
    memcpy(record->detours, old.detours, sizeof record->detours);
    for (uint32_t i = 0; i < old.interface_count; i++)
        read_interface(&old.interfaces[i], &record->interfaces[i]);
    return true;
}
