#include "descriptors.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

unsigned descriptors_open(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

void descriptors_assert_told(const struct sq_fault_ops *ops, const struct sq_undo *undo, unsigned before)
{
    unsigned now = descriptors_open();
    uint32_t told = ops->descriptors == NULL ? SQ_FAULT_DESCRIPTORS : ops->descriptors(undo);
    if (now > before && now - before > told)
        fail_msg("%u descriptors are held, %u were told", now - before, told);
}
