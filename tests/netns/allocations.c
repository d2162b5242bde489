#include "impairment.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

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

void impairment_assert_reverting_allocates_nothing(struct impairment *impairment)
{
#ifdef COUNTS_ALLOCATIONS
    const struct sq_fault_ops *ops = impairment->ops;
    assert_int_equal(impairment_preview(impairment), 0);
    impairment_die(impairment, 60000, 0);
    unsigned before = allocations;
    assert_int_equal(impairment_recover(impairment), 0);
    assert_int_equal(allocations, before);
    assert_int_equal(impairment_preview(impairment), 0);
    assert_int_equal(impairment_prepare(impairment), 0);
    impairment_inject(impairment, 60000);
    assert_true(allocations > before);
    before = allocations;
    assert_int_equal(ops->clean(impairment->state, &impairment->undo, &impairment->error), 0);
    while (ops->settle != NULL && ops->settle(impairment->state, &impairment->undo) > sq_boot_ns())
        usleep(1000);
    assert_int_equal(
        ops->remove(impairment->state, &impairment->undo, &impairment->report, &impairment->error), 0);
    assert_int_equal(allocations, before);
    ops->release(impairment->state);
    free(impairment->state);
    impairment->state = NULL;
#else
    (void)impairment;
    print_message("not checked: the sanitizer has its own allocator\n");
    skip();
#endif
}
