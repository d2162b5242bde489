#include "file.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int sq_file_read(const char *path, size_t most_bytes, char **content, size_t *length, struct sq_error *error)
{
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot open %s", path);
    return sq_file_read_fd(fd, path, most_bytes, content, length, error);
}

int sq_file_read_fd(int fd, const char *name, size_t most_bytes, char **content, size_t *length,
                    struct sq_error *error)
{
    size_t size = 0;
    size_t capacity = 0;
    sq_autofree char *buffer = NULL;
    for (;;) {
        if (size + 1 >= capacity) {
            capacity = capacity == 0 ? 4096 : capacity * 2;
            char *larger = realloc(buffer, capacity);
            if (larger == NULL)
                return sq_fail_errno(error, ENOMEM, "cannot read %s", name);
            buffer = larger;
        }
        ssize_t got = read(fd, buffer + size, capacity - size - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sq_fail_errno(error, errno, "cannot read %s", name);
        if (got == 0)
            break;
        size += (size_t)got;
        if (size > most_bytes)
            return sq_fail(error, SQ_BAD_INPUT, "%s is larger than %zu bytes, the most that is read", name,
                           most_bytes);
    }
    buffer[size] = '\0';
    *length = size;
    *content = sq_take(buffer);
    return 0;
}

int sq_file_check_trusted(const char *path, struct sq_error *error)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%.200s: %s", path, strerrordesc_np(errno));
    if (!S_ISREG(status.st_mode))
        return sq_fail(error, SQ_BAD_INPUT, "%.200s is no plain file, and reading it might never end", path);
    if ((status.st_mode & S_IWOTH) != 0)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "%.200s can be written by everybody on this host (mode %04o); expected root alone: chmod o-w "
            "%.200s",
            path, (unsigned)status.st_mode & 07777, path);
    return 0;
}

ssize_t sq_file_read_into(const char *path, char *buffer, size_t size)
{
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -1;
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t got = read(fd, buffer + used, size - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    buffer[used] = '\0';
    return (ssize_t)used;
}

int sq_write_all(int fd, const void *content, size_t length)
{
    const char *rest = content;
    while (length > 0) {
        ssize_t written = write(fd, rest, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        rest += written;
        length -= (size_t)written;
    }
    return 0;
}

int sq_standard_files_open(struct sq_error *error)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR | O_NOCTTY);
        if (fd < 0)
            return sq_fail_errno(error, errno, "cannot open /dev/null in the place of a closed file");
        if (fd <= STDERR_FILENO)
            continue;
        (void)close(fd);
        return 0;
    }
}

static int sync_directory_of(const char *path, struct sq_error *error)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        (void)snprintf(directory, sizeof directory, ".");
    else
        (void)snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    sq_autoclose int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return sq_fail_errno(error, errno, "cannot sync the directory %s", directory);
    return 0;
}

int sq_file_write(const char *path, const void *content, size_t length, mode_t mode, struct sq_error *error)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.new.%d", path, (int)getpid()) >= (int)sizeof temporary)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", path);
    /* Always a fresh file: one of that name could be somebody's trap, or have another mode. */
    (void)unlink(temporary);
    sq_autoclose int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot create %s", temporary);
    if (sq_write_all(fd, content, length) != 0 || fsync(fd) != 0 || rename(temporary, path) != 0) {
        int number = errno;
        (void)unlink(temporary);
        return sq_fail_errno(error, number, "cannot write %s", path);
    }
    return sync_directory_of(path, error);
}

int sq_directory_make(const char *path, mode_t mode, struct sq_error *error)
{
    char partial[PATH_MAX];
    struct stat status;
    if (path[0] == '\0')
        return sq_fail(error, SQ_BAD_INPUT, "an empty path names no directory");
    if (snprintf(partial, sizeof partial, "%s", path) >= (int)sizeof partial)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", path);
    for (char *slash = strchr(partial + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(partial, mode) != 0 && errno != EEXIST)
            return sq_fail_errno(error, errno, "cannot make the directory %s", partial);
        if (slash == NULL)
            break;
        *slash = '/';
    }
    if (stat(path, &status) != 0)
        return sq_fail_errno(error, errno, "cannot make the directory %s", path);
    if (!S_ISDIR(status.st_mode))
        return sq_fail_errno(error, ENOTDIR, "cannot make the directory %s", path);
    return 0;
}
