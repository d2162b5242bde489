#include "front/privileges.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/capability.h>
#include <sys/prctl.h>
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

static int limit(unsigned resource, rlim_t most, const char *what, struct sq_error *error)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return sq_fail_errno(error, errno, "cannot read the limit of %s", what);
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > most)
        now.rlim_max = most;
    now.rlim_cur = now.rlim_max;
    if (setrlimit(resource, &now) != 0)
        return sq_fail_errno(error, errno, "cannot limit %s", what);
    return 0;
}

/* What was dropped here cannot come back through an executable's file capabilities. */
static int drop_bounding_set(struct sq_error *error)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return sq_fail_errno(error, errno, "cannot drop capability %d from the bounding set", capability);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot clear the ambient capabilities");
    return 0;
}

static int become(uid_t uid, gid_t gid, struct sq_error *error)
{
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0)
        return sq_fail_errno(error, errno, "cannot become group %u", (unsigned)gid);
    if (setresuid(uid, uid, uid) != 0)
        return sq_fail_errno(error, errno, "cannot become user %u", (unsigned)uid);
    if (setresuid(0, 0, 0) == 0)
        return sq_fail(error, SQ_INTERNAL, "the front could become root again");
    return 0;
}

static int clear_capabilities(struct sq_error *error)
{
    cap_t none = cap_init();
    cap_t held = NULL;
    int result = 0;
    if (none == NULL || cap_set_proc(none) != 0)
        result = sq_fail_errno(error, errno, "cannot give up capabilities");
    else if ((held = cap_get_proc()) == NULL || cap_compare(held, none) != 0)
        result = sq_fail(error, SQ_INTERNAL, "capabilities were left after all were given up");
    (void)cap_free(held);
    (void)cap_free(none);
    return result;
}

int sq_front_drop_privileges(uid_t uid, gid_t gid, struct sq_error *error)
{
    if (uid == 0 || gid == 0)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "the front may not run as user or group 0; name an unprivileged 'user' in the configuration");
    bool is_root = geteuid() == 0;
    if (!is_root && (geteuid() != uid || getegid() != gid))
        return sq_fail(error, SQ_UNABLE, "only root can become user %u, group %u", (unsigned)uid,
                       (unsigned)gid);
    (void)umask(0177); /* a socket is nobody else's until it has got its mode */
    if (limit(RLIMIT_CORE, 0, "core dumps", error) != 0 ||
        limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, "open files", error) != 0)
        return -1;
    if (is_root && (drop_bounding_set(error) != 0 || become(uid, gid, error) != 0))
        return -1;
    if (clear_capabilities(error) != 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot fix the front's privileges");
    return 0;
}
