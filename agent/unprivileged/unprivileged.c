#include "unprivileged/unprivileged.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int sq_limit_resource(unsigned resource, uint64_t most, const char *what, struct sq_error *error)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return sq_fail_errno(error, errno, "cannot read the limit of %s", what);
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > most)
        now.rlim_max = (rlim_t)most;
    now.rlim_cur = now.rlim_max;
    if (setrlimit(resource, &now) != 0)
        return sq_fail_errno(error, errno, "cannot limit %s", what);
    return 0;
}

/* What was dropped here cannot come back through an executable's file capabilities. */
static int drop_bounding_set(struct sq_error *error)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1 &&
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return sq_fail_errno(error, errno, "cannot drop capability %d from the bounding set", capability);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot clear the ambient capabilities");
    return 0;
}

static int become(uid_t uid, gid_t gid, const char *who, struct sq_error *error)
{
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0)
        return sq_fail_errno(error, errno, "cannot become group %u", (unsigned)gid);
    if (setresuid(uid, uid, uid) != 0)
        return sq_fail_errno(error, errno, "cannot become user %u", (unsigned)uid);
    if (setresuid(0, 0, 0) == 0)
        return sq_fail(error, SQ_INTERNAL, "%s could become root again", who);
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

int sq_become_unprivileged(uid_t uid, gid_t gid, const char *who, struct sq_error *error)
{
    bool is_root = geteuid() == 0;
    if (uid == 0 || gid == 0)
        return sq_fail(error, SQ_BAD_INPUT,
                       "%s may not run as user or group 0; name an unprivileged 'user' in the configuration",
                       who);
    if (!is_root && (geteuid() != uid || getegid() != gid))
        return sq_fail(error, SQ_UNABLE, "only root can become user %u, group %u", (unsigned)uid,
                       (unsigned)gid);
    if (is_root && (drop_bounding_set(error) != 0 || become(uid, gid, who, error) != 0))
        return -1;
    if (clear_capabilities(error) != 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot fix the privileges of %s", who);
    return 0;
}
