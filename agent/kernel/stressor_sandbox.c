/* The few system calls that a stressor may make. Runs in the new process alone. */
#include "stressor.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>

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
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(close), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
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
