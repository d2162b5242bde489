#include "partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Sanitizers bring their own allocator. */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __GLIBC__
#define COUNTS_ALLOCATIONS 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
static unsigned allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *pointer, size_t size)
{
    allocations++;
    return __libc_realloc(pointer, size);
}
#endif

void partition_assert_reverting_allocates_nothing(struct partition *partition)
{
#ifdef COUNTS_ALLOCATIONS
    const struct sq_fault_ops *ops = partition->ops;
    assert_int_equal(partition_preview(partition), 0);
    partition_die(partition, 60000, 0);
    unsigned before = allocations;
    assert_int_equal(partition_recover(partition), 0);
    assert_int_equal(allocations, before);
    assert_int_equal(partition_preview(partition), 0);
    assert_int_equal(partition_prepare(partition), 0);
    partition_inject(partition, 60000);
    assert_true(allocations > before);
    before = allocations;
    assert_int_equal(ops->clean(partition->state, &partition->undo, &partition->error), 0);
    if (ops->settle != NULL)
        (void)ops->settle(partition->state, &partition->undo);
    assert_int_equal(ops->remove(partition->state, &partition->undo, &partition->report, &partition->error),
                     0);
    assert_int_equal(allocations, before);
    ops->release(partition->state);
    free(partition->state);
    partition->state = NULL;
#else
    (void)partition;
    print_message("not checked: the sanitizer has its own allocator\n");
    skip();
#endif
}
