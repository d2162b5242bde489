/*
 * The agent's own control group of version 2 (cgroups(7)), divided so that the agent and its stressors do not
 * hold each other up: the agent moves into the subgroup squall-agent, and groups for stressors are made
 * beside it. All stays within the group that the agent was started in, so that its owner's limits bound both.
 *
 * A group is known by its path and the kernel's own number (its inode), which is not given twice in a boot.
 */
#ifndef SQ_KERNEL_OWN_GROUP_H
#define SQ_KERNEL_OWN_GROUP_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SQ_GROUP_PATH_MAX 144
#define SQ_GROUP_AGENT    "squall-agent"
#define SQ_GROUP_STRESS   "squall-stress-" /* how the others' names begin */
#define SQ_GROUP_NAME_MAX 48

/* Zeroed: there is none. */
struct sq_own_group {
    uint64_t id;
    char path[SQ_GROUP_PATH_MAX]; /* from / on */
};

/*
 * Move this process from its group into a subgroup, with the controllers cpu and memory for both. Only where
 * the group was delegated (systemd's Delegate=, by its mark on the group), or is nobody's, and no other
 * process is in it. 0; -1 with SQ_UNABLE and why not, and all is as before. Moving waits for the kernel, some
 * 10 ms: not while anything is in.
 */
int sq_own_group_take(struct sq_own_group *group, struct sq_error *error);

/* Move back, and remove what take made; without a word if it cannot be. */
void sq_own_group_leave(struct sq_own_group *group);

/* Make a group beside the agent's. *id and *fd are the new group's; the caller closes it. */
int sq_group_make(const struct sq_own_group *parent, const char *name, uint64_t *id, int *fd,
                  struct sq_error *error);

/* Write to a file of a group, such as memory.high. Returns 0, or -1 with errno. */
int sq_group_write(int fd, const char *file, const char *text);

/*
 * Remove a group by its parent and name, whichever group this process is in, from wherever it sees them. 0:
 * it is not there any more. -1 with errno; EBUSY: something is still in it; EEXIST: the group of that name
 * has another id (0: any). Neither waits nor allocates.
 */
int sq_group_remove(const struct sq_own_group *parent, const char *name, uint64_t id);

/* fork(2), the child in that group from its first moment; -1: in this one. */
pid_t sq_group_fork(int fd);

/*
 * Call `told` for each group that bears squall's name with no agent alive in its place, removed or left (with
 * errno). Walks all groups of the host and allocates: for a recovery.
 */
int sq_group_sweep(void (*told)(const char *path, int reason, void *cookie), void *cookie,
                   struct sq_error *error);

#endif
