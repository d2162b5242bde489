#include "faults/bounds.h"

#include "kernel/netem.h"

uint32_t sq_bounds_share_queues(const struct sq_fault_order *orders, size_t count,
                                const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind))
{
    struct sq_netem_wish wishes[SQ_FAULTS_MAX];
    size_t wish_count = 0;
    for (size_t i = 0; i < count && i < SQ_FAULTS_MAX; i++) {
        const struct sq_fault_ops *ops = ops_by_kind(orders[i].spec.kind);
        struct sq_fault_queues queues = {0};
        if (ops == NULL || ops->queues == NULL)
            continue;
        ops->queues(&orders[i], &queues);
        wishes[wish_count++] = (struct sq_netem_wish){.queues = queues.count, .packets = queues.packets};
    }
    uint32_t most = sq_netem_share(wishes, wish_count, sq_netem_memory_bytes());
    return most > 0 ? most : 1;
}
