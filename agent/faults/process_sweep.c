#include "faults/process_sweep.h"

#include "kernel/process.h"

#include "common/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define HELPER_PREFIX "squall-"

struct sweep {
    struct sq_process_file own_file;
    struct sq_fault_report *report;
    uint32_t left;
};

static bool runs_squalld(const struct sweep *sweep, pid_t pid)
{
    struct sq_process_file file;
    char executable[PATH_MAX];
    if (sq_process_file(SQ_PROC_PATH, pid, &file) == 0 && sq_process_file_is(&file, &sweep->own_file))
        return true;
    if (sq_process_executable(SQ_PROC_PATH, pid, executable, sizeof executable) != 0)
        return false;
    const char *slash = strrchr(executable, '/');
    return sq_process_executable_is(slash != NULL ? slash + 1 : executable, "squalld");
}

/* Another agent of this host is at work, and its helpers are its own. */
static bool has_living_agent(const struct sweep *sweep, const struct sq_process *process)
{
    struct sq_process parent;
    return process->parent_pid > 1 && sq_process_read(process->parent_pid, &parent) == 0 && !parent.is_dead &&
           runs_squalld(sweep, parent.id.pid);
}

static bool visit(const struct sq_process *process, void *cookie)
{
    struct sweep *sweep = cookie;
    if (process->is_dead || process->id.pid == getpid() ||
        strncmp(process->comm, HELPER_PREFIX, strlen(HELPER_PREFIX)) != 0 ||
        !runs_squalld(sweep, process->id.pid) || has_living_agent(sweep, process))
        return true;
    sq_autoclose int pidfd = sq_process_open(&process->id);
    if (pidfd >= 0 && sq_process_signal(pidfd, SIGKILL) == 0) {
        sq_report_line(sweep->report, SQ_LINE_NOTE, "ended %s[%d]", process->comm, (int)process->id.pid);
    } else if (errno != ESRCH) {
        sweep->left++;
        sq_report_line(sweep->report, SQ_LINE_LEFT, "%s[%d] (%s)", process->comm, (int)process->id.pid,
                       strerrordesc_np(errno));
    }
    return true;
}

int sq_process_sweep(struct sq_fault_report *report, struct sq_error *error)
{
    struct sweep sweep = {.report = report};
    if (sq_process_file(SQ_PROC_PATH, getpid(), &sweep.own_file) != 0)
        return sq_fail_errno(error, errno, "cannot tell squalld's own file");
    if (sq_process_each(visit, &sweep, error) != 0)
        return -1;
    if (sweep.left == 0)
        return 0;
    return sq_fail(error, SQ_UNCLEAN, "%u helper processes could not be ended", sweep.left);
}
