#include "faults/network_undo.h"

#include "faults/network_detour.h"

#include "kernel/link.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct sq_network_undo) <= SQ_UNDO_BYTES_MAX,
               "the record has to fit into the undo log");

void sq_network_undo_write(const struct sq_network_undo *record, enum sq_fault_kind kind,
                           struct sq_undo *undo)
{
    memset(undo, 0, sizeof *undo);
    undo->kind = kind;
    undo->layout = SQ_NETWORK_UNDO_LAYOUT;
    undo->size = sizeof *record;
    memcpy(undo->bytes, record, sizeof *record);
}

int sq_network_undo_read(const struct sq_undo *undo, struct sq_network_undo *record, struct sq_error *error)
{
    if (undo->layout == SQ_NETWORK_UNDO_LAYOUT && undo->size == sizeof *record)
        memcpy(record, undo->bytes, sizeof *record);
    else if (!sq_network_undo_read_2(undo, record))
        return sq_fail(
            error, SQ_UNCLEAN,
            "the undo record of a network fault has layout %u and %u bytes, which this squalld does not "
            "know; undo it with the version that wrote it, or look for 'squall/' in 'tc filter show'",
            undo->layout, undo->size);
    bool valid = record->interface_count <= SQ_NETWORK_INTERFACES_MAX &&
                 record->attachment <= SQ_NETWORK_TCX && record->direction >= SQ_DIRECTION_IN &&
                 record->direction <= SQ_DIRECTION_BOTH &&
                 sq_text_is_terminated(record->filter_name, sizeof record->filter_name);
    valid = valid && record->loading.stage <= SQ_IFB_NOTED && record->loading.count <= SQ_IFB_BY_LOADING_MAX;
    for (enum sq_tc_side side = SQ_TC_IN; valid && side < SQ_TC_SIDES; side++)
        valid = sq_text_is_terminated(record->detours[side].name, sizeof record->detours[side].name);
    for (uint32_t i = 0; valid && i < record->interface_count; i++)
        valid = sq_text_is_terminated(record->interfaces[i].name, sizeof record->interfaces[i].name) &&
                record->interfaces[i].address.length <= SQ_LINK_ADDRESS_MAX;
    if (!valid)
        return sq_fail(
            error, SQ_UNCLEAN,
            "the undo record of a network fault is damaged; look for 'squall/' in 'tc filter show'");
    return 0;
}

bool sq_network_undo_uses(const struct sq_network_undo *record, enum sq_tc_side side)
{
    return (record->direction & (side == SQ_TC_IN ? SQ_DIRECTION_IN : SQ_DIRECTION_OUT)) != 0;
}

struct sq_tc_place sq_network_undo_place(const struct sq_network_undo *record, uint32_t interface,
                                         enum sq_tc_side side)
{
    return (struct sq_tc_place){
        .ifindex = record->interfaces[interface].ifindex,
        .side = side,
        .preference = record->preference,
        .handle = record->handle,
    };
}

void sq_network_undo_filter_name(const struct sq_network_undo *record, uint32_t interface,
                                 char name[SQ_TC_NAME_MAX])
{
    (void)sq_text_copy(name, SQ_TC_NAME_MAX, record->filter_name);
    if (record->interfaces[interface].makes_clsact != 0)
        sq_text_append(name, SQ_TC_NAME_MAX, SQ_TC_NAME_MADE);
}

bool sq_network_undo_is_here(const struct sq_netlink *netlink, const struct sq_network_undo *record)
{
    return sq_place_is_here(&record->place, netlink->fd);
}

bool sq_network_undo_is_same(const struct sq_network_undo *record, uint32_t interface,
                             const struct sq_link *link)
{
    const struct sq_network_undo_interface *recorded = &record->interfaces[interface];
    return recorded->ifindex == link->ifindex &&
           (recorded->knows_address == 0 ||
            (recorded->address.length == link->address.length &&
             memcmp(recorded->address.bytes, link->address.bytes, link->address.length) == 0));
}

int sq_network_undo_survey(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           uint32_t interface, struct sq_network_survey *survey)
{
    struct sq_tc_place place = sq_network_undo_place(record, interface, SQ_TC_IN);
    char name[SQ_TC_NAME_MAX];
    sq_network_undo_filter_name(record, interface, name);
    int result = sq_tc_find_clsact(netlink, place.ifindex, &survey->clsact);
    return result != 0 ? result : sq_tc_count_tenants(netlink, place.ifindex, &place, name, &survey->tenants);
}

bool sq_network_survey_is_alone(const struct sq_network_survey *survey)
{
    return survey->clsact.present && !survey->clsact.ingress_only &&
           survey->clsact.shared_block[SQ_TC_IN] == 0 && survey->clsact.shared_block[SQ_TC_OUT] == 0 &&
           survey->tenants.foreign == 0 && survey->tenants.ours == survey->tenants.own;
}

void sq_network_undo_by_hand(const struct sq_network_undo *record, uint32_t interface, enum sq_tc_side side,
                             char text[SQ_NETWORK_COMMAND_MAX])
{
    text[0] = '\0';
    sq_text_append(text, SQ_NETWORK_COMMAND_MAX, "tc filter del dev %s %s pref %u handle 0x%x bpf",
                   record->interfaces[interface].name, sq_tc_side_name(side), record->preference,
                   record->handle);
}

/* By their filters' names. What cleans a dead process's fault removes it as well, and has to know by then. */
static char standing[SQ_FAULTS_MAX][SQ_TC_NAME_MAX];
static unsigned standing_next;

static char *find_standing(const struct sq_network_undo *record)
{
    for (unsigned i = 0; i < SQ_FAULTS_MAX; i++)
        if (standing[i][0] != '\0' && strcmp(standing[i], record->filter_name) == 0)
            return standing[i];
    return NULL;
}

static void note_standing(const struct sq_network_undo *record)
{
    if (find_standing(record) == NULL)
        (void)sq_text_copy(standing[standing_next++ % SQ_FAULTS_MAX], SQ_TC_NAME_MAX, record->filter_name);
}

bool sq_network_undo_was_standing(const struct sq_network_undo *record)
{
    char *found = find_standing(record);
    if (found != NULL)
        found[0] = '\0';
    return found != NULL;
}

/* 0, or -errno: filters are still there. */
static int clean_side(struct sq_netlink *netlink, const struct sq_network_undo *record, uint32_t interface,
                      enum sq_tc_side side, struct sq_error *error)
{
    char name[SQ_TC_NAME_MAX];
    char command[SQ_NETWORK_COMMAND_MAX];
    struct sq_tc_place place = sq_network_undo_place(record, interface, side);
    sq_network_undo_filter_name(record, interface, name);
    int removed = sq_tc_remove_filter(netlink, &place, name);
    if (removed == 0)
        note_standing(record);
    if (removed == 0 || removed == -ENOENT)
        return 0;
    sq_network_undo_by_hand(record, interface, side, command);
    return sq_fail(error, SQ_UNCLEAN, "a filter could not be removed (%s); try: %s", strerror(-removed),
                   command);
}

static int clean_interface(struct sq_netlink *netlink, const struct sq_network_undo *record,
                           uint32_t interface, struct sq_error *error)
{
    struct sq_network_survey survey;
    int result = 0;
    /* With its clsact in one, so that no moment leaves a clsact of squall's without squall's mark on it. */
    if (record->interfaces[interface].makes_clsact != 0 &&
        sq_network_undo_survey(netlink, record, interface, &survey) == 0 && survey.tenants.own > 0 &&
        sq_network_survey_is_alone(&survey) &&
        sq_tc_remove_clsact(netlink, record->interfaces[interface].ifindex) == 0) {
        note_standing(record);
        return 0;
    }
    for (enum sq_tc_side side = SQ_TC_IN; side < SQ_TC_SIDES; side++)
        if (sq_network_undo_uses(record, side) && clean_side(netlink, record, interface, side, error) != 0)
            result = -1;
    return result;
}

int sq_network_undo_clean(struct sq_netlink *netlink, const struct sq_network_undo *record,
                          struct sq_error *error)
{
    if (!sq_network_undo_is_here(netlink, record))
        return sq_network_undo_clean_elsewhere(record, error);
    int result = 0;
    for (uint32_t i = 0; i < record->interface_count; i++)
        if (clean_interface(netlink, record, i, error) != 0)
            result = -1;
    return result;
}
