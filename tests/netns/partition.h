/*
 * One network fault, a partition unless told otherwise, driven through its table entry as the injector does
 * it.
 */
#ifndef SQ_TESTS_NETNS_PARTITION_H
#define SQ_TESTS_NETNS_PARTITION_H

#include "faults/fault.h"

#include <stdbool.h>

struct partition {
    const struct sq_fault_ops *ops;
    struct sq_fault_order order;
    struct sq_fault_env env;
    struct sq_protection protection;
    struct sq_undo undo;
    struct sq_fault_report report;
    struct sq_error error;
    void *state;
    unsigned records; /* how often env.record was called */
};

/* `interface` may be NULL: found by route. */
void partition_init(struct partition *partition, enum sq_direction direction, const char *interface);
/* The same for another network kind; its own parameters are in partition->order.spec. */
void partition_init_kind(struct partition *partition, enum sq_fault_kind kind, enum sq_direction direction,
                         const char *interface);
void partition_to(struct partition *partition, const char *range);
void partition_except(struct partition *partition, const char *range);
void partition_protect(struct partition *partition, const char *range);
void partition_spare(struct partition *partition, const char *controller, uint16_t port);

int partition_preview(struct partition *partition); /* the result, and partition->error */
int partition_prepare(struct partition *partition);
void partition_inject(struct partition *partition, unsigned milliseconds);

/* preview, prepare, inject for 60 s; all must succeed. */
void partition_start(struct partition *partition);

/* clean, remove, release; asserts that nothing is left and that it is proved. */
void partition_stop(struct partition *partition);

/* clean and remove from the record alone, as after a crash. Returns what remove returned; asserts clean's. */
int partition_recover(struct partition *partition);

/*
 * After a preview: a child of its own prepares and injects, and is killed after `delay_us`; 0: when it has
 * injected. `partition` is in memory that it shares.
 */
void partition_die(struct partition *partition, unsigned lease_ms, unsigned delay_us);

/* From the record alone, and with the state that prepare made. Skips where a sanitizer has its own allocator.
 */
void partition_assert_reverting_allocates_nothing(struct partition *partition);

/* How long this kernel takes for that, the fork included. Previews, and leaves nothing. */
unsigned partition_prepare_time_us(struct partition *partition);

uint64_t partition_counter(struct partition *partition, const char *name);

/* Whether a line of this kind holds the text. */
bool partition_says(const struct partition *partition, enum sq_line_kind kind, const char *text);

/* That preview refuses with this code, and that the message holds the text. */
void partition_assert_refused(struct partition *partition, enum sq_code code, const char *text);

#endif
