/*
 * The ids that are never prepared (again): of experiments that are over, and of those whose end was ordered
 * before they came.
 *
 * A message that is late names an id in one of them for as long as it matters: no PREPARE is taken that
 * arrives after its own time, and that lies SQ_NOT_AFTER_MAX_NS ahead at most when it is first heard of. So
 * whatever is SQ_NOT_AFTER_MAX_NS old may be forgotten, and nothing younger ever is: what does not fit is
 * refused. The two kinds have a ring each, because anybody can order the end of what does not exist.
 */
#ifndef SQ_INJECTOR_ENDED_H
#define SQ_INJECTOR_ENDED_H

#include "common/error.h"
#include "common/id.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_ENDED_MAX  1024 /* 8 experiments a second, for ever */
#define SQ_BARRED_MAX 256

struct sq_ended_id {
    struct sq_id id;
    uint64_t noted_boot_ns;
};

/* All zero: nothing remembered. */
struct sq_ended {
    uint32_t over_next;
    uint32_t barred_next;
    struct sq_ended_id over[SQ_ENDED_MAX];
    struct sq_ended_id barred[SQ_BARRED_MAX];
};

bool sq_ended_has(const struct sq_ended *ended, const struct sq_id *id);

/* Is there room for one more experiment that is over? 0, or -1 with SQ_LIMIT and when there will be. */
int sq_ended_check_room(const struct sq_ended *ended, uint64_t now_boot_ns, struct sq_error *error);

/* An experiment is over; there is room for it. A zero id is nobody's. */
void sq_ended_add(struct sq_ended *ended, const struct sq_id *id, uint64_t now_boot_ns);

/* This id must not come any more. 0, or -1 with SQ_LIMIT: there are too many of them, and it might. */
int sq_ended_bar(struct sq_ended *ended, const struct sq_id *id, uint64_t now_boot_ns,
                 struct sq_error *error);

#endif
