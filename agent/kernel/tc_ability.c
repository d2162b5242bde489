#include "kernel/tc_ability.h"

#include "kernel/classifier.h"
#include "kernel/ifb.h"
#include "kernel/module.h"
#include "kernel/netem.h"
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

enum trial_end {
    TRIAL_FINE = 0,
    TRIAL_NO_NAMESPACE,
    TRIAL_NO_CLSACT,
    TRIAL_NO_CLS_BPF,
    TRIAL_NO_IFB,
    TRIAL_NO_NETEM,
    TRIAL_NO_MIRRED,
    TRIAL_ENDS
};

static const char *const trial_problems[TRIAL_ENDS] = {
    [TRIAL_NO_CLSACT] = SQ_TC_CLSACT_MISSING, [TRIAL_NO_CLS_BPF] = SQ_TC_BPF_MISSING,
    [TRIAL_NO_IFB] = SQ_IFB_MISSING,          [TRIAL_NO_NETEM] = SQ_NETEM_MISSING,
    [TRIAL_NO_MIRRED] = SQ_TC_MIRRED_MISSING,
};

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

static bool enter_new_namespace(struct sq_netlink *netlink)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    return sq_netlink_open(netlink, NULL) == 0;
}

/* In the child: the whole arrangement on the loopback interface of a namespace of its own. */
static enum trial_end try_filters(int program_fd)
{
    struct sq_netlink netlink;
    if (!enter_new_namespace(&netlink))
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

/* The same for the detour; clsact and cls_bpf are known to be there. */
static enum trial_end try_detour(int program_fd)
{
    struct sq_netlink netlink;
    struct sq_ifb ifb;
    const struct sq_id nobody = {{0}};
    const struct sq_netem netem = {.delay_ns = 1000000, .jitter_ns = 1000, .limit = 1};
    if (!enter_new_namespace(&netlink) || sq_tc_make_clsact(&netlink, LOOPBACK_IFINDEX, NULL, 0) != 0)
        return TRIAL_NO_NAMESPACE;
    if (sq_ifb_choose(&netlink, &nobody, 0, SQ_TC_OUT, &ifb, NULL) != 0 ||
        sq_ifb_make(&netlink, &ifb, SQ_TC_NAME_PREFIX "check", NULL) != 0)
        return TRIAL_NO_IFB;
    if (sq_netem_add(&netlink, ifb.ifindex, &netem, NULL) != 0 || sq_ifb_start(&netlink, &ifb, NULL) != 0)
        return TRIAL_NO_NETEM;
    struct sq_tc_place place = {
        .ifindex = LOOPBACK_IFINDEX,
        .side = SQ_TC_OUT,
        .preference = SQ_TC_PREFERENCE,
        .handle = SQ_TC_HANDLE,
    };
    return sq_tc_add_redirect(&netlink, &place, SQ_TC_NAME_PREFIX "check", program_fd, ifb.ifindex, NULL) == 0
               ? TRIAL_FINE
               : TRIAL_NO_MIRRED;
}

static int run_trial(enum trial_end (*trial)(int program_fd), int program_fd, enum trial_end *end,
                     struct sq_error *error)
{
    pid_t child = fork();
    if (child < 0)
        return sq_fail_errno(error, errno, "cannot start a process");
    if (child == 0)
        _exit((int)trial(program_fd));
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return sq_fail_errno(error, errno, "cannot wait for a process");
    /* A trial that could not be made proves nothing; then prepare finds out. */
    *end = WIFEXITED(status) && WEXITSTATUS(status) < TRIAL_ENDS ? (enum trial_end)WEXITSTATUS(status)
                                                                 : TRIAL_NO_NAMESPACE;
    return 0;
}

static enum trial_end missing_module(void)
{
    if (sq_module_state("sch_netem") == SQ_MODULE_MISSING)
        return TRIAL_NO_NETEM;
    if (sq_module_state("ifb") == SQ_MODULE_MISSING)
        return TRIAL_NO_IFB;
    return sq_module_state("act_mirred") == SQ_MODULE_MISSING ? TRIAL_NO_MIRRED : TRIAL_NO_NAMESPACE;
}

static int check_trial(bool redirects, enum trial_end (*trial)(int program_fd), struct sq_error *error)
{
    const struct sq_classifier_config config = {.redirects = redirects};
    struct sq_classifier *classifier;
    if (sq_classifier_load(&config, &classifier, error) != 0)
        return -1;
    enum trial_end end = TRIAL_FINE;
    int result = run_trial(trial, sq_classifier_program_out(classifier), &end, error);
    sq_classifier_free(classifier);
    if (result != 0)
        return -1;
    /* Where no namespace may be made, the lists of modules still tell what cannot be. */
    if (end == TRIAL_NO_NAMESPACE && redirects)
        end = missing_module();
    return trial_problems[end] == NULL ? 0 : sq_fail(error, SQ_UNABLE, "%s", trial_problems[end]);
}

int sq_tc_check_ability(struct sq_error *error)
{
    static bool able;
    if (able)
        return 0;
    if (check_privileges(error) != 0 || check_trial(false, try_filters, error) != 0)
        return -1;
    able = true;
    return 0;
}

int sq_netem_check_ability(struct sq_error *error)
{
    static bool able;
    if (able)
        return 0;
    if (sq_tc_check_ability(error) != 0 || check_trial(true, try_detour, error) != 0)
        return -1;
    able = true;
    return 0;
}
