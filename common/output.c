#include "output.h"

#include "cleanup.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is wrong with a path is the command line's; a disk that is full or broken is nobody's mistake. */
static int fail_path(struct sq_error *error, int number, const char *path)
{
    (void)sq_fail_errno(error, number, "cannot write %s", path);
    bool disk = number == ENOSPC || number == EDQUOT || number == EIO || number == ENOMEM ||
                number == EMFILE || number == ENFILE;
    if (error != NULL && !disk)
        error->code = SQ_BAD_INPUT;
    return -1;
}

static int fail_folder(struct sq_error *error, const char *path)
{
    return sq_fail(error, SQ_BAD_INPUT, "%s is a folder; expected a file", path);
}

static int check_own(int fd, const char *path, const struct sq_output_form *form, struct sq_error *error)
{
    char beginning[SQ_OUTPUT_BEGINNING + 1] = "";
    ssize_t length = pread(fd, beginning, SQ_OUTPUT_BEGINNING, 0);
    if (length < 0)
        return fail_path(error, errno, path);
    if (length > 0 && !form->is_own(beginning, (size_t)length))
        return sq_fail(error, SQ_BAD_INPUT,
                       "%s is there already, and no %s of squall's, so it stays as it is: name another file, "
                       "or remove it first",
                       path, form->what);
    return 0;
}

/* A plain file that exists, by itself or behind a symbolic link: to be emptied if it is ours. */
static int open_file(const char *path, const struct sq_output_form *form, int *fd_out, struct sq_error *error)
{
    struct stat status;
    sq_autoclose int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0)
        return fail_path(error, errno, path);
    if (!S_ISREG(status.st_mode))
        return sq_fail(error, SQ_BAD_INPUT, "%s became something else while it was opened", path);
    if (check_own(fd, path, form, error) != 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return sq_fail(error, SQ_BAD_INPUT, "%s is being written by another squall: name another file", path);
    /* What it holds now may be more secret than what it held; an empty file is as its maker wanted it. */
    if (status.st_size > 0)
        (void)fchmod(fd, form->mode);
    if (ftruncate(fd, 0) != 0)
        return fail_path(error, errno, path);
    *fd_out = sq_take_fd(&fd);
    return 0;
}

static int open_stream(const char *path, int *fd_out, struct sq_error *error)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENXIO)
        return sq_fail(error, SQ_BAD_INPUT, "%s is a FIFO that nobody reads: start its reader first", path);
    if (fd < 0)
        return fail_path(error, errno, path);
    *fd_out = fd;
    return 0;
}

static int open_new(const char *path, mode_t mode, int extra, int *fd_out, struct sq_error *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | extra, mode);
    if (fd < 0)
        return fail_path(error, errno, path);
    (void)flock(fd, LOCK_EX | LOCK_NB);
    *fd_out = fd;
    return 0;
}

int sq_output_open(const char *path, const struct sq_output_form *form, int *fd, bool *stream,
                   struct sq_error *error)
{
    struct stat status;
    *stream = false;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? open_new(path, form->mode, O_EXCL, fd, error)
                               : fail_path(error, errno, path);
    /* A symbolic link to nothing: its target is made. */
    if (stat(path, &status) != 0)
        return errno == ENOENT ? open_new(path, form->mode, 0, fd, error) : fail_path(error, errno, path);
    if (S_ISREG(status.st_mode))
        return open_file(path, form, fd, error);
    if (S_ISDIR(status.st_mode))
        return fail_folder(error, path);
    if (!S_ISCHR(status.st_mode) && !S_ISFIFO(status.st_mode))
        return sq_fail(error, SQ_BAD_INPUT, "%s is no file, no FIFO and no character device", path);
    *stream = true;
    return open_stream(path, fd, error);
}

static int write_through(const char *path, const struct sq_output_form *form, const void *content,
                         size_t length, struct sq_error *error)
{
    bool stream;
    sq_autoclose int fd = -1;
    if (sq_output_open(path, form, &fd, &stream, error) != 0)
        return -1;
    if (sq_output_write(fd, content, length, SQ_OUTPUT_PATIENCE_MS) != length || (!stream && fsync(fd) != 0))
        return sq_fail_errno(error, errno, "cannot write all of %s", path);
    return 0;
}

/* That a file may be made in the folder of `path`. */
static int check_folder(const char *path, struct sq_error *error)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (strlen(path) >= sizeof folder)
        return fail_path(error, ENAMETOOLONG, path);
    (void)snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 0 : (int)(slash - path) + 1, path);
    if (access(slash == NULL ? "." : folder, W_OK | X_OK) != 0)
        return fail_path(error, errno, path);
    return slash != NULL && slash[1] == '\0' ? fail_path(error, EISDIR, path) : 0;
}

/* What stands at `path`: a plain file of ours (its own path in `target`), nothing yet (the same), or
 * something to be written through (`target` is empty). */
static int find_target(const char *path, const struct sq_output_form *form, char target[PATH_MAX],
                       struct sq_error *error)
{
    struct stat status;
    target[0] = '\0';
    if (lstat(path, &status) != 0) {
        if (errno != ENOENT)
            return fail_path(error, errno, path);
        (void)snprintf(target, PATH_MAX, "%s", path);
        return check_folder(path, error);
    }
    if (stat(path, &status) != 0)
        return errno == ENOENT ? 0 : fail_path(error, errno, path);
    if (S_ISDIR(status.st_mode))
        return fail_folder(error, path);
    if (!S_ISREG(status.st_mode))
        return 0;
    if (realpath(path, target) == NULL)
        return fail_path(error, errno, path);
    sq_autoclose int fd = open(target, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail_path(error, errno, path);
    return check_own(fd, path, form, error) != 0 ? -1 : check_folder(target, error);
}

int sq_output_check(const char *path, const struct sq_output_form *form, struct sq_error *error)
{
    char target[PATH_MAX];
    return find_target(path, form, target, error);
}

int sq_output_write_file(const char *path, const struct sq_output_form *form, const void *content,
                         size_t length, struct sq_error *error)
{
    char target[PATH_MAX];
    if (find_target(path, form, target, error) != 0)
        return -1;
    if (target[0] == '\0')
        return write_through(path, form, content, length, error);
    return sq_file_write(target, content, length, form->mode, error);
}

size_t sq_output_write(int fd, const void *content, size_t length, int patience_ms)
{
    const char *bytes = content;
    size_t written = 0;
    while (written < length) {
        ssize_t count = write(fd, bytes + written, length - written);
        if (count > 0) {
            written += (size_t)count;
            continue;
        }
        if (count < 0 && errno == EINTR)
            continue;
        if (count == 0)
            errno = EIO;
        if (errno != EAGAIN)
            return written;
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        int ready_count = poll(&ready, 1, patience_ms);
        if (ready_count == 0)
            errno = ETIMEDOUT;
        if (ready_count == 0 || (ready_count < 0 && errno != EINTR))
            return written;
    }
    return written;
}
