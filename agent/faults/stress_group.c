#include "faults/stress_group.h"

#include "common/log.h"
#include "kernel/host_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct sq_own_group own;
static char problem[SQ_LINE_MAX / 2] = "it was not divided";

void sq_stress_take_group(void)
{
    struct sq_error error;
    if (sq_own_group_take(&own, &error) == 0)
        return;
    (void)snprintf(problem, sizeof problem, "%.*s", (int)sizeof problem - 1, error.text);
    sq_log(SQ_LOG_DEBUG, "stressors share the agent's control group: %s", problem);
}

void sq_stress_leave_group(void)
{
    sq_own_group_leave(&own);
}

static void name_of(const struct sq_stress_group *group, char name[SQ_GROUP_NAME_MAX])
{
    (void)snprintf(name, SQ_GROUP_NAME_MAX, SQ_GROUP_STRESS "%016" PRIx64, group->tag);
}

bool sq_stress_group_plan(const struct sq_fault_env *env, struct sq_stress_group *group,
                          struct sq_fault_report *report)
{
    *group = (struct sq_stress_group){.parent = own};
    if (own.id == 0) {
        sq_report_line(report, SQ_LINE_NOTE,
                       "the stressors share the agent's control group (%s); a limit of it holds both back",
                       problem);
        return false;
    }
    /* Ids are random; the slot tells the faults of one experiment apart. */
    memcpy(&group->tag, env->experiment.bytes, sizeof group->tag);
    group->tag = (group->tag & ~(uint64_t)0xff) | (env->slot & 0xff);
    return true;
}

/*
 * The kernel holds back whoever asks for memory below a group that is above its memory.high, the agent too.
 * So the stressors reach a limit of their own before that. It is written while the group is empty, since the
 * kernel makes whoever writes it wait for what is above it to be given back.
 */
static int limit_memory(int fd, struct sq_error *error)
{
    char text[32];
    uint64_t left_bytes = sq_cgroup_memory_left_bytes();
    if (left_bytes == UINT64_MAX)
        return 0;
    left_bytes -= left_bytes > SQ_STRESS_GROUP_KEPT_BYTES ? SQ_STRESS_GROUP_KEPT_BYTES : left_bytes;
    (void)snprintf(text, sizeof text, "%" PRIu64, left_bytes);
    /* Without the controller the limit above is no limit of cgroup v2 either. */
    if (sq_group_write(fd, "memory.high", text) != 0 && errno != ENOENT)
        return sq_fail_errno(error, errno, "cannot limit the memory of the stressors' control group");
    return 0;
}

int sq_stress_group_make(struct sq_stress_group *group, int *fd, struct sq_error *error)
{
    char name[SQ_GROUP_NAME_MAX];
    name_of(group, name);
    if (sq_group_make(&group->parent, name, &group->id, fd, error) != 0)
        return -1;
    return limit_memory(*fd, error);
}

int sq_stress_group_remove(const struct sq_stress_group *group, struct sq_fault_report *report,
                           struct sq_error *error)
{
    char name[SQ_GROUP_NAME_MAX];
    name_of(group, name);
    if (sq_group_remove(&group->parent, name, group->id) == 0)
        return 0;
    int reason = errno;
    if (reason == EEXIST) {
        sq_report_line(report, SQ_LINE_FOREIGN, "the control group %s/%s is another one by now",
                       group->parent.path, name);
        return 0;
    }
    sq_report_line(report, SQ_LINE_LEFT, "the control group %s/%s; remove it with rmdir", group->parent.path,
                   name);
    return sq_fail_errno(error, reason, "cannot remove the control group %s/%s", group->parent.path, name);
}

struct sweep {
    struct sq_fault_report *report;
    uint32_t left;
};

static void tell(const char *path, int reason, void *cookie)
{
    struct sweep *sweep = cookie;
    if (reason == 0) {
        sq_report_line(sweep->report, SQ_LINE_NOTE, "removed the control group %s", path);
        return;
    }
    sweep->left++;
    sq_report_line(sweep->report, SQ_LINE_LEFT, "the control group %s (%s)", path, strerrordesc_np(reason));
}

int sq_stress_group_sweep(struct sq_fault_report *report, struct sq_error *error)
{
    struct sweep sweep = {.report = report};
    if (sq_group_sweep(tell, &sweep, error) != 0)
        return -1;
    if (sweep.left == 0)
        return 0;
    return sq_fail(error, SQ_UNCLEAN, "%u control groups could not be removed", sweep.left);
}
