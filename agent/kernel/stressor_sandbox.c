/* How a stressor gives up what the injector may do. Runs in the new process alone. */
#include "stressor.h"

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

static int drop_bounding_set(struct sq_error *error)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1 &&
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM)
            return sq_fail_errno(error, errno, "cannot drop capability %d from the bounding set", capability);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
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

int sq_stressor_drop_privileges(uid_t uid, gid_t gid, struct sq_error *error)
{
    if (drop_bounding_set(error) != 0)
        return -1;
    if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0)
        return sq_fail_errno(error, errno, "cannot become group %u", (unsigned)gid);
    if (setresuid(uid, uid, uid) != 0)
        return sq_fail_errno(error, errno, "cannot become user %u", (unsigned)uid);
    if (setresuid(0, 0, 0) == 0)
        return sq_fail(error, SQ_INTERNAL, "the stressor could become root again");
    if (clear_capabilities(error) != 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot fix the stressor's privileges");
    return 0;
}

int sq_stressor_confine(const int *calls, uint32_t call_count, struct sq_error *error)
{
    /* Keeping time, following the deadline, saying "ready", and ending. */
    static const int common[] = {
        SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall),
        SCMP_SYS(futex),         SCMP_SYS(timer_settime),   SCMP_SYS(getppid),
        SCMP_SYS(getcpu),        SCMP_SYS(exit_group),      SCMP_SYS(exit),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int result = filter == NULL ? -ENOMEM : seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    for (size_t i = 0; i < sizeof common / sizeof common[0] && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, common[i], 0);
    for (uint32_t i = 0; i < call_count && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(close), 1, SCMP_A0(SCMP_CMP_EQ, 0));
    if (result == 0)
        result = seccomp_load(filter);
    if (filter != NULL)
        seccomp_release(filter);
    if (result == 0)
        return 0;
    return sq_fail(error, SQ_UNABLE,
                   "cannot load the stressor's seccomp filter: %s; the kernel needs CONFIG_SECCOMP_FILTER",
                   strerrordesc_np(-result));
}
