#include "descriptors.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/resource.h>

void sq_descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* where it is refused, there are fewer: preview counts them */
}

uint64_t sq_descriptors_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

/* Its own descriptor, and the two directories, stand for what cannot be counted. */
static uint64_t count_open(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (directory == NULL)
        return SQ_DESCRIPTORS_RESERVE;
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

uint64_t sq_descriptors_left(void)
{
    uint64_t limit = sq_descriptors_limit();
    uint64_t taken = count_open() + SQ_DESCRIPTORS_RESERVE;
    return limit > taken ? limit - taken : 0;
}
