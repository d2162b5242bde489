/*
 * The list was drawn with strace from nng 1.5.2 with mbed TLS 2.28 on glibc 2.36, over every test of the
 * front, and leaves out what they ask for and can do without (see `refused`).
 */
#include "front/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SQ_RUNTIME_WATCHES 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SQ_RUNTIME_WATCHES 1
#endif

static const int allowed[] = {
    /* reading, writing and waiting on what is open */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(fcntl),
    SCMP_SYS(close),
    SCMP_SYS(shutdown),
    SCMP_SYS(fstat),
    /* listening; families and connect are dealt with below and by the second filter */
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    /* is a left-over socket file alive? the resolver also tries nscd */
    SCMP_SYS(connect),
    /* the Unix socket's file: its mode, and its removal, within what the front's user may do */
    SCMP_SYS(chmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    /* memory, as long as it is not executable */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* threads */
    SCMP_SYS(futex),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    /* signals and time */
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    /* the rest */
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(exit_group),
    SCMP_SYS(seccomp), /* can only take away: the second filter needs it */
#ifdef SQ_RUNTIME_WATCHES
    /* what the sanitizers' runtime does besides; such a build is for tests */
    SCMP_SYS(openat),
    SCMP_SYS(readlink),
    SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    SCMP_SYS(prlimit64),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(ioctl),
#endif
};

/* Asked for by libraries that do without: thread names of others, the number of CPUs, time zones, resolver
 * files. */
static const struct {
    int call;
    int number;
} refused[] = {
    {SCMP_SYS(open), EACCES},   {SCMP_SYS(openat), EACCES},     {SCMP_SYS(openat2), EACCES},
    {SCMP_SYS(stat), EACCES},   {SCMP_SYS(newfstatat), EACCES}, {SCMP_SYS(statx), EACCES},
    {SCMP_SYS(access), EACCES}, {SCMP_SYS(readlink), EACCES},   {SCMP_SYS(lseek), ESPIPE},
    {SCMP_SYS(ioctl), ENOTTY},  {SCMP_SYS(prlimit64), EPERM},   {SCMP_SYS(clone3), ENOSYS},
};

static int add_lists(scmp_filter_ctx filter)
{
    int result = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0] && result == 0; i++) {
        bool is_allowed = false;
        for (size_t j = 0; j < sizeof allowed / sizeof allowed[0]; j++)
            is_allowed = is_allowed || allowed[j] == refused[i].call;
        if (!is_allowed)
            result =
                seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)refused[i].number), refused[i].call, 0);
    }
    return result;
}

/* Unix, IPv4 and IPv6; the resolver's wish for AF_NETLINK gets the answer of a kernel without it. */
static int add_families(scmp_filter_ctx filter)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    _Static_assert(AF_UNIX < AF_INET6 && AF_INET < AF_INET6, "AF_INET6 is the largest of them");
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_GT, AF_INET6, 0));
    for (int family = 0; family <= AF_INET6 && result == 0; family++) {
        bool is_allowed = false;
        for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
            is_allowed = is_allowed || families[i] == family;
        result = seccomp_rule_add(filter, is_allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EAFNOSUPPORT),
                                  SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0));
    }
    return result;
}

/* Threads but no processes, names of threads but no other prctl, memory but no code, signals to itself alone.
 */
static int add_arguments(scmp_filter_ctx filter)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_NE, PR_SET_NAME, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
#ifndef SQ_RUNTIME_WATCHES
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
#endif
    return result;
}

/* For all threads at once; no_new_privs is set already. */
static int load(scmp_filter_ctx filter)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    return result == 0 ? seccomp_load(filter) : result;
}

static int finish(scmp_filter_ctx filter, int result, const char *which, struct sq_error *error)
{
    if (filter != NULL)
        seccomp_release(filter);
    if (result == 0)
        return 0;
    return sq_fail(
        error, SQ_UNABLE,
        "cannot load the %s seccomp filter: %s; the kernel needs CONFIG_SECCOMP_FILTER, and a container "
        "must allow seccomp",
        which, strerror(-result));
}

int sq_front_sandbox_enter(struct sq_error *error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return sq_fail_errno(error, errno, "cannot set no_new_privs");
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int result = filter == NULL ? -ENOMEM : add_lists(filter);
    if (result == 0)
        result = add_families(filter);
    if (result == 0)
        result = add_arguments(filter);
    if (result == 0)
        result = load(filter);
    return finish(filter, result, "first", error);
}

int sq_front_sandbox_tighten(struct sq_error *error)
{
    static const int done_with[] = {SCMP_SYS(socket), SCMP_SYS(connect),  SCMP_SYS(bind), SCMP_SYS(listen),
                                    SCMP_SYS(chmod),  SCMP_SYS(fchmodat), SCMP_SYS(clone)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = filter == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < sizeof done_with / sizeof done_with[0] && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), done_with[i], 0);
    if (result == 0)
        result = load(filter);
    return finish(filter, result, "second", error);
}
