#include "run_directory.h"

#include "common/cleanup.h"
#include "common/file.h"
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RUN_MODE  01775
#define OWN_NAME  "squalld"
#define OWN_MODE  0700
#define LOCK_NAME "squalld.lock"

/* mkdir -p of what `path` stands in. */
static int make_parents(const char *path, struct sq_error *error)
{
    char parent[PATH_MAX];
    if (!sq_text_copy(parent, sizeof parent, path))
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent)
        return 0;
    *slash = '\0';
    return sq_directory_make(parent, 0755, error);
}

static int open_to_front(int fd, const struct sq_agent_config *config, struct sq_error *error)
{
    if (fchown(fd, (uid_t)-1, config->gid) != 0 || fchmod(fd, RUN_MODE) != 0)
        return sq_fail_errno(error, errno, "cannot give %s to root and group %u, mode %o", config->run,
                             (unsigned)config->gid, RUN_MODE);
    return 0;
}

/* What squalld did not make stays as it is, if nobody else may take away from it what is root's. */
static int check_run(int fd, const char *path, struct sq_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return sq_fail_errno(error, errno, "cannot examine the directory %s", path);
    if (status.st_uid != geteuid())
        return sq_fail(error, SQ_SYSTEM,
                       "the directory %s belongs to uid %u; expected root, or one that is not there yet",
                       path, (unsigned)status.st_uid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0)
        return sq_fail(
            error, SQ_SYSTEM,
            "others than root may rename files in the directory %s (mode %04o); expected one with the "
            "sticky bit (chmod 1775), or one that is not there yet",
            path, (unsigned)status.st_mode & 07777);
    return 0;
}

int sq_run_directory_make(const struct sq_agent_config *config, struct sq_error *error)
{
    if (make_parents(config->run, error) != 0)
        return -1;
    bool made = mkdir(config->run, 0755) == 0;
    if (!made && errno != EEXIST)
        return sq_fail_errno(error, errno, "cannot make the directory %s", config->run);
    sq_autoclose int fd = open(config->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot use the directory %s", config->run);
    if ((made && open_to_front(fd, config, error) != 0) || check_run(fd, config->run, error) != 0)
        return -1;
    return sq_run_directory_make_own(config->run, error);
}

int sq_run_directory_path(const char *run, const char *file, char path[PATH_MAX], struct sq_error *error)
{
    if (snprintf(path, PATH_MAX, "%s/" OWN_NAME "%s%s", run, file[0] == '\0' ? "" : "/", file) >= PATH_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", run);
    return 0;
}

static int check_own(const char *path, struct sq_error *error)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return sq_fail_errno(error, errno, "cannot examine the directory %s", path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 0077) != 0)
        return sq_fail(
            error, SQ_SYSTEM,
            "%s has to be a directory of root's alone (mode 0700) and is not, so somebody else may have "
            "made it; look at it, then remove it",
            path);
    return 0;
}

int sq_run_directory_make_own(const char *run, struct sq_error *error)
{
    char path[PATH_MAX];
    if (sq_run_directory_path(run, "", path, error) != 0)
        return -1;
    if (mkdir(path, OWN_MODE) != 0 && errno != EEXIST)
        return sq_fail_errno(error, errno, "cannot make the directory %s", path);
    return check_own(path, error);
}

int sq_run_directory_check(const char *run, struct sq_error *error)
{
    char path[PATH_MAX];
    if (sq_run_directory_path(run, "", path, error) != 0)
        return -1;
    sq_autoclose int fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot use the directory %s", run);
    if (check_run(fd, run, error) != 0)
        return -1;
    return access(path, F_OK) == 0 ? check_own(path, error) : 0;
}

bool sq_run_directory_is_tmpfs(const char *path)
{
    struct statfs status;
    char above[PATH_MAX];
    if (!sq_text_copy(above, sizeof above, path))
        return false;
    while (statfs(above, &status) != 0) {
        char *slash = strrchr(above, '/');
        if (errno != ENOENT || slash == NULL || slash == above)
            return false;
        *slash = '\0';
    }
    return status.f_type == TMPFS_MAGIC;
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

/* An agent of version 0.1 locks a file in <run> itself. One that somebody else planted there locks nothing.
 */
static int check_older_lock(const char *run, struct sq_error *error)
{
    char path[PATH_MAX];
    struct stat status;
    if (snprintf(path, sizeof path, "%s/" LOCK_NAME, run) >= (int)sizeof path)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", run);
    sq_autoclose int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return fail_locked(run, fd, error);
    return 0;
}

int sq_run_directory_lock(const char *run, int *lock_fd, struct sq_error *error)
{
    char path[PATH_MAX];
    if (sq_run_directory_make_own(run, error) != 0 ||
        sq_run_directory_path(run, LOCK_NAME, path, error) != 0 || check_older_lock(run, error) != 0)
        return -1;
    sq_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot open the lock %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return fail_locked(run, fd, error);
        return sq_fail_errno(error, errno, "cannot lock %s", path);
    }
    /*
     * Over the last one's, and as long: what was given back to a full tmpfs may be gone. Whose lock it is
     * helps a halt and a message; without it, too, what is left is undone.
     */
    char pid[16];
    memset(pid, '\n', sizeof pid);
    pid[snprintf(pid, sizeof pid, "%d", (int)getpid())] = '\n';
    (void)!pwrite(fd, pid, sizeof pid, 0);
    *lock_fd = sq_take_fd(&fd);
    return 0;
}

static bool holds_pid(const char *path, pid_t pid)
{
    char text[32];
    struct stat status;
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return false;
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    return strtol(text, NULL, 10) == (long)pid;
}

bool sq_run_directory_is_locked_by(const char *run, pid_t pid)
{
    char path[PATH_MAX];
    struct sq_error error;
    if (sq_run_directory_path(run, LOCK_NAME, path, &error) == 0 && holds_pid(path, pid))
        return true;
    return snprintf(path, sizeof path, "%s/" LOCK_NAME, run) < (int)sizeof path && holds_pid(path, pid);
}

/* By what the kernel tells of locks: to try to take it would be in the way of an agent that starts. */
bool sq_run_directory_is_in_use(const char *run)
{
    char path[PATH_MAX];
    char line[256];
    struct stat lock;
    struct sq_error error;
    bool found = false;
    if (sq_run_directory_path(run, LOCK_NAME, path, &error) != 0 || lstat(path, &lock) != 0)
        return false;
    FILE *locks = fopen("/proc/locks", "re");
    while (locks != NULL && !found && fgets(line, sizeof line, locks) != NULL) {
        unsigned long inode = 0;
        const char *rest = strstr(line, " FLOCK ");
        found = rest != NULL && sscanf(rest, " FLOCK %*s %*s %*d %*x:%*x:%lu", &inode) == 1 &&
                inode == (unsigned long)lock.st_ino;
    }
    if (locks != NULL)
        (void)fclose(locks);
    return found;
}
