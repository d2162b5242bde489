/*
 * The processes of this pid namespace, from /proc (proc(5)) and by pidfd (pidfd_open(2)).
 *
 * A process is named by its pid and its start time together: a pid alone may be somebody else's a moment
 * later. Nothing here allocates memory. Functions that look at one process return -1 with errno; ESRCH means
 * that it is gone, which is nobody's mistake.
 */
#ifndef SQ_KERNEL_PROCESS_H
#define SQ_KERNEL_PROCESS_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SQ_PROCESS_COMM_MAX    64    /* the kernel's own workers have longer names than TASK_COMM_LEN */
#define SQ_PROCESS_COMMAND_MAX 16384 /* of a command line; what is longer is cut */

struct sq_process_id {
    pid_t pid;
    uint64_t start_ticks; /* since boot, in 1/sysconf(_SC_CLK_TCK) s: field 22 of /proc/PID/stat */
};

struct sq_process {
    struct sq_process_id id;
    pid_t parent_pid;
    bool is_kernel_thread;
    bool is_dead;    /* a zombie, or about to be one */
    bool is_exiting; /* on its way there: what it has is still being given back, its files can no longer be
                        read */
    char comm[SQ_PROCESS_COMM_MAX];
};

/* The file a process runs: the same thing whatever it is called. */
struct sq_process_file {
    dev_t device;
    ino_t inode;
    uint64_t born_ns; /* an inode's number is handed out again, its time of birth is not; 0: not kept there */
};

/*
 * Where the files of processes are: a descriptor of /proc, which is faster for many of them, or this for
 * whatever is mounted on /proc.
 */
#define SQ_PROC_PATH (-1)

/*
 * Can processes be found and signalled safely here? /proc has to be mounted and to show this very pid
 * namespace, and the kernel has to know pidfds. SQ_UNABLE with what to do.
 */
int sq_process_check_host(struct sq_error *error);

/* The content of a /proc/PID/stat; comm may hold anything, parentheses included. False if it is not one. */
bool sq_process_parse_stat(const char *stat, size_t length, struct sq_process *process);

int sq_process_read(pid_t pid, struct sq_process *process);
int sq_process_read_at(int proc_fd, pid_t pid, struct sq_process *process);

/* It itself, neither a zombie nor another process that has its pid by now. */
bool sq_process_is_there(const struct sq_process_id *id);

/* The name of a directory in /proc as a pid; 0: it is none. */
pid_t sq_process_pid_of_name(const char *name);

/*
 * Call `visit` for every process, in no particular order. Processes that vanish meanwhile are left out.
 * `visit` returns false to stop.
 */
int sq_process_each(bool (*visit)(const struct sq_process *process, void *cookie), void *cookie,
                    struct sq_error *error);

/* Its name alone, as in struct sq_process: for half of what reading all of that costs. */
int sq_process_comm(int proc_fd, pid_t pid, char comm[SQ_PROCESS_COMM_MAX]);

/* Where /proc/PID/exe points to, cut at `size`; " (deleted)" stays on it. ENOENT: it has none. */
int sq_process_executable(int proc_fd, pid_t pid, char *path, size_t size);

/* Is `executable`, as read above, the file `path`? One that was deleted or replaced meanwhile still counts.
 */
bool sq_process_executable_is(const char *executable, const char *path);

int sq_process_file(int proc_fd, pid_t pid, struct sq_process_file *file);
int sq_process_file_at_path(const char *path, struct sq_process_file *file); /* through symbolic links */
bool sq_process_file_is(const struct sq_process_file *a, const struct sq_process_file *b);

/* The arguments joined by spaces. *cut tells whether there were more than fit. */
int sq_process_command(int proc_fd, pid_t pid, char *command, size_t size, bool *cut);

/*
 * Does the content of a /proc/PID/cgroup place a process in a systemd unit, or below it? `unit` is a name
 * with or without its ".service", and may hold '*'. Looks at cgroup v2 and at v1's name=systemd alone.
 */
bool sq_cgroup_is_in_unit(const char *cgroup, const char *unit);

/* The content of /proc/PID/cgroup, terminated. EMSGSIZE: it does not fit. */
int sq_process_cgroup(int proc_fd, pid_t pid, char *cgroup, size_t size);

/*
 * A pidfd for exactly this process: its start time is read again after opening, so that a reused pid is
 * refused with ESRCH. The caller closes it.
 */
int sq_process_open(const struct sq_process_id *id);

/* Send a signal, or with 0 only ask whether it might be sent. */
int sq_process_signal(int pidfd, int signal_number);

/* Start time on the boot clock, exact to a tick (10 ms). */
uint64_t sq_process_start_boot_ns(const struct sq_process_id *id);
uint64_t sq_process_tick_ns(void);

#endif
