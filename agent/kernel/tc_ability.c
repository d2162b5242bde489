#include "kernel/tc_ability.h"

#include "kernel/classifier.h"
#include "kernel/netlink.h"
#include "kernel/tc.h"

#include "common/cleanup.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

/* Of <linux/capability.h> since Linux 5.8. */
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

enum trial_end { TRIAL_FINE = 0, TRIAL_NO_NAMESPACE, TRIAL_NO_CLSACT, TRIAL_NO_CLS_BPF, TRIAL_ENDS };

static bool has_capability(const struct __user_cap_data_struct data[2], int capability)
{
    return (data[capability / 32].effective & (1u << (capability % 32))) != 0;
}

static int check_privileges(struct sq_error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    if (syscall(SYS_capget, &header, data) != 0)
        return sq_fail_errno(error, errno, "cannot read the own capabilities");
    if (!has_capability(data, CAP_NET_ADMIN))
        return sq_fail(error, SQ_UNABLE,
                       "network faults need CAP_NET_ADMIN; run squalld as root or by its service");
    if (!has_capability(data, CAP_BPF) && !has_capability(data, CAP_SYS_ADMIN))
        return sq_fail(error, SQ_UNABLE,
                       "network faults need CAP_BPF; run squalld as root or by its service");
    return 0;
}

/* In the child: the whole arrangement on the loopback interface of a namespace of its own. */
static enum trial_end try_arrangement(int program_fd)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return TRIAL_NO_NAMESPACE;
    struct sq_netlink netlink;
    if (sq_netlink_open(&netlink, NULL) != 0)
        return TRIAL_NO_NAMESPACE;
    if (sq_tc_make_clsact(&netlink, LOOPBACK_IFINDEX, NULL, 0) != 0)
        return TRIAL_NO_CLSACT;
    struct sq_tc_place place = {
        .ifindex = LOOPBACK_IFINDEX,
        .side = SQ_TC_OUT,
        .preference = SQ_TC_PREFERENCE,
        .handle = SQ_TC_HANDLE,
    };
    return sq_tc_add_filter(&netlink, &place, SQ_TC_NAME_PREFIX "check", program_fd, NULL) == 0
               ? TRIAL_FINE
               : TRIAL_NO_CLS_BPF;
}

static int run_trial(int program_fd, enum trial_end *end, struct sq_error *error)
{
    pid_t child = fork();
    if (child < 0)
        return sq_fail_errno(error, errno, "cannot start a process");
    if (child == 0)
        _exit((int)try_arrangement(program_fd));
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return sq_fail_errno(error, errno, "cannot wait for a process");
    /* A trial that could not be made proves nothing; then prepare finds out. */
    *end = WIFEXITED(status) && WEXITSTATUS(status) < TRIAL_ENDS ? (enum trial_end)WEXITSTATUS(status)
                                                                 : TRIAL_NO_NAMESPACE;
    return 0;
}

int sq_tc_check_ability(struct sq_error *error)
{
    static bool able;
    if (able)
        return 0;
    if (check_privileges(error) != 0)
        return -1;
    const struct sq_classifier_config config = {0};
    struct sq_classifier *classifier;
    if (sq_classifier_load(&config, &classifier, error) != 0)
        return -1;
    enum trial_end end = TRIAL_FINE;
    int result = run_trial(sq_classifier_program_out(classifier), &end, error);
    sq_classifier_free(classifier);
    if (result != 0)
        return -1;
    if (end == TRIAL_NO_CLSACT)
        return sq_fail(
            error, SQ_UNABLE,
            "the kernel has no clsact; try 'modprobe sch_ingress', or a kernel with CONFIG_NET_SCH_INGRESS");
    if (end == TRIAL_NO_CLS_BPF)
        return sq_fail(
            error, SQ_UNABLE,
            "the kernel has no cls_bpf; try 'modprobe cls_bpf', or a kernel with CONFIG_NET_CLS_BPF");
    able = true;
    return 0;
}
