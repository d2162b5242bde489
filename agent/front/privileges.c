#include "front/privileges.h"

#include "front/handshakes.h"
#include "unprivileged/unprivileged.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_MAX 8

static int compare(const void *one, const void *other)
{
    return (*(const int *)one > *(const int *)other) - (*(const int *)one < *(const int *)other);
}

int sq_front_close_others(const int *kept, size_t count, struct sq_error *error)
{
    int sorted[KEPT_MAX];
    unsigned first = STDERR_FILENO + 1;
    if (count > KEPT_MAX)
        return sq_fail(error, SQ_INTERNAL, "%zu descriptors are to be kept", count);
    memcpy(sorted, kept, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], compare);
    for (size_t i = 0; i < count; i++) {
        if (sorted[i] < (int)first)
            continue;
        if (sorted[i] > (int)first && close_range(first, (unsigned)sorted[i] - 1, 0) != 0)
            return sq_fail_errno(error, errno, "cannot close inherited files");
        first = (unsigned)sorted[i] + 1;
    }
    if (close_range(first, UINT_MAX, 0) != 0)
        return sq_fail_errno(error, errno, "cannot close inherited files");
    return 0;
}

int sq_front_drop_privileges(uid_t uid, gid_t gid, struct sq_error *error)
{
    (void)umask(0177); /* a socket is nobody else's until it has got its mode */
    if (sq_limit_resource(RLIMIT_CORE, 0, "core dumps", error) != 0 ||
        sq_limit_resource(RLIMIT_NOFILE, SQ_CONNECTION_DESCRIPTORS_MAX, "open files", error) != 0)
        return -1;
    return sq_become_unprivileged(uid, gid, "the front", error);
}

int sq_front_die_with(pid_t parent, struct sq_error *error)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return sq_fail_errno(error, errno, "cannot have the kernel end the front with its parent");
    if (getppid() != parent)
        return sq_fail(error, SQ_SYSTEM, "the agent's privileged half is gone already");
    return 0;
}
