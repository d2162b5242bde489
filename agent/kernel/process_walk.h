/*
 * All processes of this pid namespace, one after the other, as slowly as one likes: the walk keeps its place
 * in /proc by pid, so that whoever comes and goes meanwhile does not disturb it. Allocates nothing.
 */
#ifndef SQ_KERNEL_PROCESS_WALK_H
#define SQ_KERNEL_PROCESS_WALK_H

#include "common/error.h"
#include "kernel/process.h"

struct sq_process_walk {
    bool is_open;
    int proc_fd; /* for the functions of process.h that take one */
    size_t length;
    size_t at;
    _Alignas(8) char entries[2048]; /* listing so many takes the kernel some 100 microseconds */
};

/* `walk` is all zero, or was ended. The caller ends it. */
int sq_process_walk_start(struct sq_process_walk *walk, struct sq_error *error);

/* The next process. 0: that was all. -1: /proc cannot be listed. */
pid_t sq_process_walk_next(struct sq_process_walk *walk, struct sq_error *error);

/* Harmless when it is not open. */
void sq_process_walk_end(struct sq_process_walk *walk);

#endif
