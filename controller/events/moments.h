/* The moments of a run that people ask for, gathered from its events. Pure. */
#ifndef SQ_EVENTS_MOMENTS_H
#define SQ_EVENTS_MOMENTS_H

#include "events/event.h"

#define SQ_MOMENTS_MAX 7

/* All zero: nothing seen yet. Times by the controller's boot-time clock; 0: never. */
struct sq_run_moments {
    uint64_t began_boot_ns;
    uint64_t injected_boot_ns; /* the first fault */
    uint64_t first_missed_boot_ns;
    char first_missed[SQ_TITLE_MAX]; /* of which probe */
    uint64_t last_allowed_miss_boot_ns;
    uint64_t rollback_boot_ns;
    uint64_t clean_boot_ns;   /* every host */
    uint64_t removed_boot_ns; /* every host */
    uint64_t recovered_boot_ns;
    enum sq_exit ending;
};

struct sq_run_moment {
    const char *key; /* in records: "injected" */
    uint64_t boot_ns;
    char text[SQ_TITLE_MAX + 64];
};

void sq_run_moments_see(struct sq_run_moments *moments, const struct sq_run_event *event);

/* Those that came, in the order of their time. Returns how many. */
uint32_t sq_run_moments_list(const struct sq_run_moments *moments, struct sq_run_moment list[SQ_MOMENTS_MAX]);

#endif
