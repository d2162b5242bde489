/*
 * One process, of which only what is asked for is read, and that once: several selectors and the policy may
 * look at it together. Some 30 KiB; allocates nothing.
 */
#ifndef SQ_FAULTS_PROCESS_VIEW_H
#define SQ_FAULTS_PROCESS_VIEW_H

#include "kernel/process.h"

#include <limits.h>

enum sq_process_part {
    SQ_PART_PROCESS,
    SQ_PART_COMM,
    SQ_PART_EXECUTABLE,
    SQ_PART_FILE,
    SQ_PART_COMMAND,
    SQ_PART_CGROUP,
    SQ_PART_COUNT
};

struct sq_process_view {
    int proc_fd;
    pid_t pid;
    int result[SQ_PART_COUNT]; /* -1: not read yet, 0: read, else the errno */
    struct sq_process process;
    char comm[SQ_PROCESS_COMM_MAX];
    char executable[PATH_MAX]; /* " (deleted)" stays on it */
    struct sq_process_file file;
    char command[SQ_PROCESS_COMMAND_MAX];
    bool command_is_cut;
    char cgroup[8192];
};

/* Begin with another process, or anew with the same. `proc_fd` as in process.h. */
void sq_process_view_begin(struct sq_process_view *view, int proc_fd, pid_t pid);

/* Is that part of it there to be used? False with errno; ESRCH: the process is gone. */
bool sq_process_view_has(struct sq_process_view *view, enum sq_process_part part);

#endif
