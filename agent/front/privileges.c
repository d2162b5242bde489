#include "front/privileges.h"

#include "unprivileged/unprivileged.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Connections that were accepted (see listen.c) and about as many whose TLS handshake is still under way. */
#define DESCRIPTORS_MAX 512

int sq_front_close_others(int keep, int keep_too, struct sq_error *error)
{
    int low = keep < keep_too ? keep : keep_too;
    int high = keep < keep_too ? keep_too : keep;
    const int kept[] = {STDERR_FILENO, low, high};
    unsigned first = STDERR_FILENO + 1;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (kept[i] < (int)first)
            continue;
        if (kept[i] > (int)first && close_range(first, (unsigned)kept[i] - 1, 0) != 0)
            return sq_fail_errno(error, errno, "cannot close inherited files");
        first = (unsigned)kept[i] + 1;
    }
    if (close_range(first, UINT_MAX, 0) != 0)
        return sq_fail_errno(error, errno, "cannot close inherited files");
    return 0;
}

int sq_front_drop_privileges(uid_t uid, gid_t gid, struct sq_error *error)
{
    (void)umask(0177); /* a socket is nobody else's until it has got its mode */
    if (sq_limit_resource(RLIMIT_CORE, 0, "core dumps", error) != 0 ||
        sq_limit_resource(RLIMIT_NOFILE, DESCRIPTORS_MAX, "open files", error) != 0)
        return -1;
    return sq_become_unprivileged(uid, gid, "the front", error);
}
