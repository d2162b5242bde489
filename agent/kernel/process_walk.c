#include "kernel/process_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int sq_process_walk_start(struct sq_process_walk *walk, struct sq_error *error)
{
    int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return sq_fail_errno(error, errno, "cannot open /proc");
    walk->is_open = true;
    walk->proc_fd = proc_fd;
    walk->length = 0;
    walk->at = 0;
    return 0;
}

pid_t sq_process_walk_next(struct sq_process_walk *walk, struct sq_error *error)
{
    for (;;) {
        if (walk->at >= walk->length) {
            /* Not readdir(3), which allocates. */
            ssize_t length = getdents64(walk->proc_fd, walk->entries, sizeof walk->entries);
            if (length < 0)
                return (pid_t)sq_fail_errno(error, errno, "cannot list /proc");
            if (length == 0)
                return 0;
            walk->length = (size_t)length;
            walk->at = 0;
        }
        const struct dirent64 *entry = (const void *)(walk->entries + walk->at);
        walk->at += entry->d_reclen;
        pid_t pid = sq_process_pid_of_name(entry->d_name);
        if (pid > 0)
            return pid;
    }
}

void sq_process_walk_end(struct sq_process_walk *walk)
{
    if (walk->is_open)
        (void)close(walk->proc_fd);
    walk->is_open = false;
}
