#include "ended.h"

#include "common/clock.h"
#include "common/units.h"
#include "table/message.h"

static bool has(const struct sq_ended_id *ring, uint32_t size, const struct sq_id *id)
{
    /* Filled in order: behind the first one that is empty there are no others. */
    for (uint32_t i = 0; i < size && !sq_id_is_zero(&ring[i].id); i++)
        if (sq_id_equal(&ring[i].id, id))
            return true;
    return false;
}

bool sq_ended_has(const struct sq_ended *ended, const struct sq_id *id)
{
    if (sq_id_is_zero(id))
        return false;
    return has(ended->over, SQ_ENDED_MAX, id) || has(ended->barred, SQ_BARRED_MAX, id);
}

/* When the oldest entry may be forgotten; 0: the next one is empty. */
static uint64_t free_boot_ns(const struct sq_ended_id *oldest)
{
    return sq_id_is_zero(&oldest->id) ? 0 : sq_ns_add(oldest->noted_boot_ns, SQ_NOT_AFTER_MAX_NS);
}

int sq_ended_check_room(const struct sq_ended *ended, uint64_t now_boot_ns, struct sq_error *error)
{
    uint64_t free_ns = free_boot_ns(&ended->over[ended->over_next]);
    if (now_boot_ns >= free_ns)
        return 0;
    char left[SQ_UNIT_TEXT_MAX];
    sq_duration_format_rounded(free_ns - now_boot_ns, left);
    return sq_fail(error, SQ_LIMIT,
                   "%d experiments have ended on this host within two minutes, and none of them may be "
                   "forgotten yet; try again in %s",
                   SQ_ENDED_MAX, left);
}

void sq_ended_add(struct sq_ended *ended, const struct sq_id *id, uint64_t now_boot_ns)
{
    if (sq_id_is_zero(id))
        return;
    ended->over[ended->over_next] = (struct sq_ended_id){.id = *id, .noted_boot_ns = now_boot_ns};
    ended->over_next = (ended->over_next + 1) % SQ_ENDED_MAX;
}

int sq_ended_bar(struct sq_ended *ended, const struct sq_id *id, uint64_t now_boot_ns, struct sq_error *error)
{
    struct sq_ended_id *oldest = &ended->barred[ended->barred_next];
    if (sq_id_is_zero(id) || sq_ended_has(ended, id))
        return 0;
    if (now_boot_ns < free_boot_ns(oldest))
        return sq_fail(error, SQ_LIMIT,
                       "this agent knows no such experiment, and was told of %d others in two minutes: it "
                       "cannot promise to refuse one more that comes late",
                       SQ_BARRED_MAX);
    *oldest = (struct sq_ended_id){.id = *id, .noted_boot_ns = now_boot_ns};
    ended->barred_next = (ended->barred_next + 1) % SQ_BARRED_MAX;
    return 0;
}
