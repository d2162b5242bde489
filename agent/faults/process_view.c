#include "faults/process_view.h"

#include <errno.h>

void sq_process_view_begin(struct sq_process_view *view, int proc_fd, pid_t pid)
{
    view->proc_fd = proc_fd;
    view->pid = pid;
    for (int i = 0; i < SQ_PART_COUNT; i++)
        view->result[i] = -1;
}

static int read_part(struct sq_process_view *view, enum sq_process_part part)
{
    switch (part) {
    case SQ_PART_PROCESS:
        return sq_process_read_at(view->proc_fd, view->pid, &view->process);
    case SQ_PART_COMM:
        return sq_process_comm(view->proc_fd, view->pid, view->comm);
    case SQ_PART_EXECUTABLE:
        return sq_process_executable(view->proc_fd, view->pid, view->executable, sizeof view->executable);
    case SQ_PART_FILE:
        return sq_process_file(view->proc_fd, view->pid, &view->file);
    case SQ_PART_COMMAND:
        return sq_process_command(view->proc_fd, view->pid, view->command, sizeof view->command,
                                  &view->command_is_cut);
    case SQ_PART_CGROUP:
        return sq_process_cgroup(view->proc_fd, view->pid, view->cgroup, sizeof view->cgroup);
    default:
        errno = EINVAL;
        return -1;
    }
}

bool sq_process_view_has(struct sq_process_view *view, enum sq_process_part part)
{
    if (view->result[part] < 0)
        view->result[part] = read_part(view, part) == 0 ? 0 : errno;
    errno = view->result[part];
    return view->result[part] == 0;
}
