#include "kernel/tc_ability.h"

#include "kernel/classifier.h"
#include "kernel/module.h"
#include "kernel/tcx.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of <linux/capability.h> since Linux 5.8. */
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

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

/* The kernel's own verifier says whether it takes the classifier; nothing of it stays. Once is enough. */
static int check_classifier(struct sq_error *error)
{
    static bool accepted;
    const struct sq_classifier_config config = {0};
    struct sq_classifier *classifier;
    if (accepted)
        return 0;
    if (sq_classifier_load(&config, &classifier, error) != 0)
        return -1;
    sq_classifier_free(classifier);
    accepted = true;
    return 0;
}

/* What is missing outweighs what cannot be told. */
static int check_parts(const enum sq_kernel_part *parts, size_t count, struct sq_error *error)
{
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        struct sq_error problem;
        int found = sq_kernel_part_check(parts[i], &problem);
        if (found == 0 || (found > 0 && result > 0))
            continue;
        if (error != NULL)
            *error = problem;
        result = found;
        if (found < 0)
            break;
    }
    return result;
}

int sq_tc_check_ability(struct sq_error *error)
{
    static const enum sq_kernel_part parts[] = {SQ_PART_CLSACT, SQ_PART_CLS_BPF};
    if (check_privileges(error) != 0 || check_classifier(error) != 0)
        return -1;
    return check_parts(parts, sizeof parts / sizeof parts[0], error);
}

int sq_drop_check_ability(struct sq_error *error)
{
    if (!sq_tcx_is_used())
        return sq_tc_check_ability(error);
    return check_privileges(error) != 0 || check_classifier(error) != 0 ? -1 : 0;
}

int sq_netem_check_ability(struct sq_error *error)
{
    static const enum sq_kernel_part parts[] = {SQ_PART_NETEM, SQ_PART_IFB, SQ_PART_MIRRED};
    struct sq_error problem;
    int filters = sq_tc_check_ability(error);
    if (filters < 0)
        return -1;
    int detour = check_parts(parts, sizeof parts / sizeof parts[0], &problem);
    if (detour == 0)
        return filters;
    if (error != NULL)
        *error = problem;
    return detour;
}
