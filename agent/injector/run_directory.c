#include "run_directory.h"

#include "common/cleanup.h"
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RUN_MODE 01775

int sq_run_directory_make(const struct sq_agent_config *config, struct sq_error *error)
{
    if (sq_directory_make(config->run, 0755, error) != 0)
        return -1;
    sq_autoclose int fd = open(config->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return sq_fail_errno(error, errno, "cannot use the directory %s", config->run);
    if (status.st_uid != geteuid())
        return sq_fail(error, SQ_SYSTEM,
                       "the directory %s belongs to uid %u; expected root, or one that is not there yet",
                       config->run, (unsigned)status.st_uid);
    if ((status.st_gid != config->gid && fchown(fd, (uid_t)-1, config->gid) != 0) ||
        ((status.st_mode & 07777) != RUN_MODE && fchmod(fd, RUN_MODE) != 0))
        return sq_fail_errno(error, errno, "cannot give %s to root and group %u, mode %o", config->run,
                             (unsigned)config->gid, RUN_MODE);
    return 0;
}

bool sq_run_directory_is_tmpfs(const char *path)
{
    struct statfs status;
    return statfs(path, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

static int fail_locked(const char *run, int fd, struct sq_error *error)
{
    char pid[32];
    ssize_t got = pread(fd, pid, sizeof pid - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return sq_fail(
        error, SQ_CONFLICT,
        "another squalld (pid %s) is at work in %s; `squalld --halt` ends what it injected, and two need two "
        "'run' directories",
        pid[0] == '\0' ? "unknown" : pid, run);
}

int sq_run_directory_lock(const char *run, int *lock_fd, struct sq_error *error)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/squalld.lock", run) >= (int)sizeof path)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", run);
    sq_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot open the lock %s", path);
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return sq_fail(error, SQ_SYSTEM, "%s is not a plain file of this user; look at it, then remove it",
                       path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return fail_locked(run, fd, error);
        return sq_fail_errno(error, errno, "cannot lock %s", path);
    }
    char pid[32];
    int length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)length, 0) != length)
        return sq_fail_errno(error, errno, "cannot write %s", path);
    *lock_fd = sq_take_fd(&fd);
    return 0;
}
