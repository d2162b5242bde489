/*
 * One network fault, a partition unless told otherwise, driven through its table entry as the injector does
 * it.
 */
#ifndef SQ_TESTS_NETNS_IMPAIRMENT_H
#define SQ_TESTS_NETNS_IMPAIRMENT_H

#include "faults/fault.h"

#include <stdbool.h>

struct impairment {
    const struct sq_fault_ops *ops;
    struct sq_fault_order order;
    struct sq_fault_env env;
    struct sq_protection protection;
    struct sq_undo undo;
    struct sq_fault_report report;
    struct sq_error error;
    void *state;
    unsigned records;           /* how often env.record was called */
    struct sq_undo recorded[2]; /* what it was given, in turn: one is whole when its writer is killed */
};

/* A partition; `interface` may be NULL: found by route. */
void impairment_init(struct impairment *impairment, enum sq_direction direction, const char *interface);
/* The same for another network kind; its own parameters are in impairment->order.spec. */
void impairment_init_kind(struct impairment *impairment, enum sq_fault_kind kind, enum sq_direction direction,
                          const char *interface);
void impairment_to(struct impairment *impairment, const char *range);
void impairment_except(struct impairment *impairment, const char *range);
void impairment_protect(struct impairment *impairment, const char *range);
void impairment_spare(struct impairment *impairment, const char *controller, uint16_t port);

int impairment_preview(struct impairment *impairment); /* the result, and impairment->error */
int impairment_prepare(struct impairment *impairment);
/* Its two halves: what keeps the injector busy, and what it then only asks for. */
int impairment_begin(struct impairment *impairment);
int impairment_await(struct impairment *impairment);
void impairment_inject(struct impairment *impairment, unsigned milliseconds);

/* preview, prepare, inject for 60 s; all must succeed. */
void impairment_start(struct impairment *impairment);

/* clean, remove, release; asserts that nothing is left and that it is proved. */
void impairment_stop(struct impairment *impairment);

/* The same without waiting for what is still on its way. */
void impairment_stop_at_once(struct impairment *impairment);

/* clean and remove from the record alone, as after a crash. Returns what remove returned; asserts clean's. */
int impairment_recover(struct impairment *impairment);

/*
 * After a preview: a child of its own prepares and injects, and is killed after `delay_us`; 0: when it has
 * injected. `impairment` is in memory that it shares; what is left in its `undo` is what the child had
 * recorded by then, as in the undo log, and not what it was about to.
 */
void impairment_die(struct impairment *impairment, unsigned lease_ms, unsigned delay_us);

/* From the record alone, and with the state that prepare made. Skips where a sanitizer has its own allocator.
 */
void impairment_assert_reverting_allocates_nothing(struct impairment *impairment);

/* How long this kernel takes for that, the fork included. Previews, and leaves nothing. */
unsigned impairment_prepare_time_us(struct impairment *impairment);

uint64_t impairment_counter(struct impairment *impairment, const char *name);

/* Whether a line of this kind holds the text. */
bool impairment_says(const struct impairment *impairment, enum sq_line_kind kind, const char *text);

/* That preview refuses with this code, and that the message holds the text. */
void impairment_assert_refused(struct impairment *impairment, enum sq_code code, const char *text);

#endif
