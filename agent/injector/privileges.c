#include "privileges.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

/* docs/agent.md argues each. */
static const cap_value_t needed[] = {
    CAP_NET_ADMIN,       /* traffic control, links, attaching classifiers */
    CAP_BPF,             /* loading a classifier, its maps (Linux 5.8 and later) */
    CAP_PERFMON,         /* the same: Linux 6.1 refuses the classifier without it, 6.18 does not */
    CAP_KILL,            /* signals to other users' processes */
    CAP_SYS_PTRACE,      /* /proc/PID/exe of other users' processes, to know a victim and what is protected */
    CAP_DAC_READ_SEARCH, /* the front's TLS key, whoever owns it; procfs */
    CAP_SETUID,          /* the front becomes its own user ... */
    CAP_SETGID,          /* ... and group ... */
    CAP_SETPCAP,         /* ... and empties its bounding set */
};
#define NEEDED_COUNT (sizeof needed / sizeof needed[0])

static bool is_needed(cap_value_t value)
{
    for (size_t i = 0; i < NEEDED_COUNT; i++)
        if (needed[i] == value)
            return true;
    return false;
}

static int drop_bounding_set(struct sq_error *error)
{
    for (cap_value_t value = 0; value <= cap_max_bits(); value++) {
        if (is_needed(value) || cap_get_bound(value) != 1)
            continue;
        if (cap_drop_bound(value) != 0)
            return sq_fail_errno(error, errno, "cannot drop the capability %d from the bounding set",
                                 (int)value);
    }
    return 0;
}

/* Permitted and effective: what is needed and was there. Inheritable: nothing. */
static int keep_needed(cap_t caps, struct sq_error *error)
{
    cap_value_t kept[NEEDED_COUNT];
    int kept_count = 0;
    for (size_t i = 0; i < NEEDED_COUNT; i++) {
        cap_flag_value_t is_there = CAP_CLEAR;
        if (cap_get_flag(caps, needed[i], CAP_PERMITTED, &is_there) == 0 && is_there == CAP_SET)
            kept[kept_count++] = needed[i];
    }
    if (cap_clear(caps) != 0 ||
        (kept_count > 0 && (cap_set_flag(caps, CAP_PERMITTED, kept_count, kept, CAP_SET) != 0 ||
                            cap_set_flag(caps, CAP_EFFECTIVE, kept_count, kept, CAP_SET) != 0)))
        return sq_fail_errno(error, errno, "cannot choose capabilities");
    if (cap_set_proc(caps) != 0)
        return sq_fail_errno(error, errno, "cannot drop capabilities");
    return 0;
}

int sq_injector_privileges_drop(struct sq_error *error)
{
    if (geteuid() != 0)
        return sq_fail(error, SQ_UNABLE,
                       "squalld needs to be started by root; it drops what it does not need itself");
    if (drop_bounding_set(error) != 0)
        return -1;
    cap_t caps = cap_get_proc();
    if (caps == NULL)
        return sq_fail_errno(error, errno, "cannot read this process's capabilities");
    int result = keep_needed(caps, error);
    (void)cap_free(caps);
    if (result != 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot set no_new_privs");
    return 0;
}
