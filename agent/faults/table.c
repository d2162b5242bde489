#include "faults/fault.h"

const struct sq_fault_ops *const sq_fault_ops_table[] = {
    &sq_network_partition_ops, &sq_process_kill_ops, &sq_network_latency_ops,
    &sq_network_loss_ops,      &sq_cpu_stress_ops,   &sq_memory_stress_ops,
};
const size_t sq_fault_ops_count = sizeof sq_fault_ops_table / sizeof sq_fault_ops_table[0];

const struct sq_fault_ops *sq_fault_ops_by_kind(enum sq_fault_kind kind)
{
    for (size_t i = 0; i < sq_fault_ops_count; i++)
        if (sq_fault_ops_table[i]->kind == kind)
            return sq_fault_ops_table[i];
    return NULL;
}
