#include "undo_log.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DONE_BYTES    sizeof(struct sq_undo_header)
#define RECORDS_START sizeof(struct sq_undo_start)

/* The inode of this process's network namespace; 0 if it cannot be read. */
static uint64_t read_netns_inode(void)
{
    struct stat status;
    return stat("/proc/self/ns/net", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static int check_file(int fd, const char *path, struct sq_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return sq_fail_errno(error, errno, "cannot examine %s", path);
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1 ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return sq_fail(
            error, SQ_SYSTEM,
            "%s is not a plain file that belongs to this user alone, so somebody else may have made it; "
            "look at it, then remove it",
            path);
    return 0;
}

static int path_of(const char *directory, char path[PATH_MAX], struct sq_error *error)
{
    if (snprintf(path, PATH_MAX, "%s/undo.log", directory) >= PATH_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", directory);
    return 0;
}

/* A name in a directory that was synced is there after a power cut. */
static int sync_directory(const char *directory, struct sq_error *error)
{
    sq_autoclose int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return sq_fail_errno(error, errno, "cannot sync the directory %s", directory);
    return 0;
}

static int open_file(struct sq_undo_log *log, const char *directory, struct sq_error *error)
{
    char path[PATH_MAX];
    if (path_of(directory, path, error) != 0)
        return -1;
    sq_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot open the undo log %s", path);
    if (check_file(fd, path, error) != 0)
        return -1;
    int failed = posix_fallocate(fd, 0, SQ_UNDO_LOG_BYTES);
    if (failed != 0)
        return sq_fail_errno(error, failed, "cannot reserve %u bytes for the undo log %s", SQ_UNDO_LOG_BYTES,
                             path);
    if (log->durable && (fsync(fd) != 0 || sync_directory(directory, error) != 0))
        return sq_fail_errno(error, errno, "cannot sync the undo log %s", path);
    log->fd = sq_take_fd(&fd);
    return 0;
}

static int read_fd(int fd, size_t size_bytes, const struct sq_id *boot, struct sq_undo_content *content,
                   struct sq_error *error)
{
    uint8_t *bytes = mmap(NULL, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return sq_fail_errno(error, errno, "cannot read the undo log");
    int result = sq_undo_parse(bytes, size_bytes, boot, content, error);
    (void)munmap(bytes, size_bytes);
    return result;
}

int sq_undo_log_read(const struct sq_undo_log *log, struct sq_undo_content *content, struct sq_error *error)
{
    return read_fd(log->fd, log->size_bytes, log->durable ? NULL : &log->boot, content, error);
}

int sq_undo_log_peek(const char *directory, bool durable, struct sq_undo_content *content,
                     struct sq_error *error)
{
    char path[PATH_MAX];
    struct sq_id boot;
    struct stat status;
    memset(content, 0, sizeof *content);
    if (path_of(directory, path, error) != 0)
        return -1;
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0)
        return sq_fail_errno(error, errno, "cannot open the undo log %s", path);
    if (check_file(fd, path, error) != 0 || sq_id_of_boot(&boot, error) != 0)
        return -1;
    return status.st_size == 0 ? 0
                               : read_fd(fd, (size_t)status.st_size, durable ? NULL : &boot, content, error);
}

static int sync_log(const struct sq_undo_log *log)
{
    return log->durable ? fdatasync(log->fd) : 0;
}

/* One write within one page: whoever reads sees the old content or the new one. */
static int write_start(struct sq_undo_log *log, struct sq_error *error)
{
    const struct sq_undo_start start =
        sq_undo_start_of(&log->boot, log->generation, log->sequence, log->used_bytes);
    ssize_t written = pwrite(log->fd, &start, sizeof start, 0);
    if (written != (ssize_t)sizeof start)
        return sq_fail_errno(error, written < 0 ? errno : ENOSPC, "cannot write the undo log");
    if (sync_log(log) != 0)
        return sq_fail_errno(error, errno, "cannot sync the undo log");
    return 0;
}

/* If it fails the log is what it was, for whoever reads it and for whoever writes next. */
static int reset(struct sq_undo_log *log, struct sq_error *error)
{
    size_t used_bytes = log->used_bytes;
    log->used_bytes = 0;
    log->generation++;
    if (write_start(log, error) == 0)
        return 0;
    log->used_bytes = used_bytes;
    log->generation--;
    return -1;
}

int sq_undo_log_open(struct sq_undo_log *log, const char *directory, bool durable,
                     struct sq_undo_content *content, struct sq_error *error)
{
    memset(log, 0, sizeof *log);
    log->fd = -1;
    log->durable = durable;
    log->size_bytes = SQ_UNDO_LOG_BYTES;
    log->netns_inode = read_netns_inode();
    if (sq_id_of_boot(&log->boot, error) != 0 || open_file(log, directory, error) != 0)
        return -1;
    if (sq_undo_log_read(log, content, error) != 0) {
        sq_undo_log_close(log);
        return -1;
    }
    log->used_bytes = content->used_bytes;
    log->generation = content->generation;
    log->sequence = content->sequence;
    log->live_count = content->live_count;
    for (uint32_t i = 0; i < content->live_count; i++)
        log->live[i] = content->live[i].key;
    if (log->live_count > 0)
        return 0;
    /* A generation that no remains of an earlier life can carry. */
    if (getrandom(&log->generation, sizeof log->generation, 0) != (ssize_t)sizeof log->generation ||
        reset(log, error) != 0) {
        sq_undo_log_close(log);
        return sq_fail(error, SQ_SYSTEM, "cannot start a new undo log in %s", directory);
    }
    return 0;
}

void sq_undo_log_close(struct sq_undo_log *log)
{
    if (log->twin != NULL)
        sq_undo_log_close(log->twin);
    log->twin = NULL;
    sq_cleanup_close(&log->fd);
    log->fd = -1;
}

/* The record behind the valid ones, then the start that makes it valid. */
static int append_record(struct sq_undo_log *log, const struct sq_undo_header *header,
                         const struct sq_undo *undo, size_t reserve_bytes, struct sq_error *error)
{
    size_t length = sq_undo_format(header, undo, log->record);
    if (length + reserve_bytes > log->size_bytes - RECORDS_START - log->used_bytes)
        return sq_fail(error, SQ_LIMIT,
                       "the undo log is full, so nothing more is injected until it is empty; "
                       "end what is there first");
    ssize_t written = pwrite(log->fd, log->record, length, (off_t)(RECORDS_START + log->used_bytes));
    if (written != (ssize_t)length)
        return sq_fail_errno(error, written < 0 ? errno : ENOSPC, "cannot write the undo log");
    if (sync_log(log) != 0)
        return sq_fail_errno(error, errno, "cannot sync the undo log");
    log->used_bytes += length;
    log->sequence++;
    if (write_start(log, error) == 0)
        return 0;
    log->used_bytes -= length;
    log->sequence--;
    return -1;
}

static int append(struct sq_undo_log *log, enum sq_undo_record_type type, const struct sq_undo_key *key,
                  const struct sq_undo *undo, size_t reserve_bytes, struct sq_error *error)
{
    const struct sq_undo_header header = {
        .type = (uint16_t)type,
        .generation = log->generation,
        .sequence = log->sequence + 1,
        .boot = log->boot,
        .experiment = key->experiment,
        .netns_inode = log->netns_inode,
        .slot = key->slot,
        .fault_index = key->fault_index,
        .real_ns = sq_real_ns(),
    };
    return append_record(log, &header, undo, reserve_bytes, error);
}

static uint32_t find_key(const struct sq_undo_log *log, const struct sq_undo_key *key)
{
    uint32_t i = 0;
    while (i < log->live_count && !sq_undo_key_equal(&log->live[i], key))
        i++;
    return i;
}

/* Make room for what survives a boot, where it is not there yet. */
static int open_twin(struct sq_undo_log *log, struct sq_error *error)
{
    static struct sq_undo_content content;
    if (log->twin == NULL || log->twin_directory == NULL)
        return sq_fail(error, SQ_UNABLE,
                       "the fault outlives a boot, and there is no log on disk to record its undo");
    if (log->twin->fd >= 0)
        return 0;
    if (sq_directory_make(log->twin_directory, 0700, error) != 0)
        return -1;
    return sq_undo_log_open(log->twin, log->twin_directory, true, &content, error);
}

static int record_durably(struct sq_undo_log *log, const struct sq_undo_key *key, const struct sq_undo *undo,
                          struct sq_error *error)
{
    if ((undo->flags & SQ_UNDO_SURVIVES_BOOT) == 0 || log->durable)
        return 0;
    if (open_twin(log, error) != 0)
        return -1;
    if (find_key(log->twin, key) < log->twin->live_count)
        return sq_undo_log_update(log->twin, key, undo, error);
    return sq_undo_log_record(log->twin, key, undo, error);
}

int sq_undo_log_record(struct sq_undo_log *log, const struct sq_undo_key *key, const struct sq_undo *undo,
                       struct sq_error *error)
{
    if (undo->size > SQ_UNDO_BYTES_MAX)
        return sq_fail(error, SQ_INTERNAL, "an undo record of %u bytes; at most %d fit", undo->size,
                       SQ_UNDO_BYTES_MAX);
    if (find_key(log, key) < log->live_count)
        return sq_fail(error, SQ_INTERNAL, "fault %u is in the undo log already", key->fault_index);
    if (log->live_count == SQ_UNDO_LIVE_MAX)
        return sq_fail(error, SQ_LIMIT, "the undo log holds %u faults that are not undone yet",
                       log->live_count);
    if (record_durably(log, key, undo, error) != 0)
        return -1;
    if (append(log, SQ_UNDO_RECORD, key, undo, (log->live_count + 1) * DONE_BYTES, error) != 0)
        return -1;
    log->live[log->live_count++] = *key;
    return 0;
}

int sq_undo_log_update(struct sq_undo_log *log, const struct sq_undo_key *key, const struct sq_undo *undo,
                       struct sq_error *error)
{
    if (undo->size > SQ_UNDO_BYTES_MAX || find_key(log, key) == log->live_count)
        return sq_fail(error, SQ_INTERNAL, "fault %u has no such record in the undo log", key->fault_index);
    if (record_durably(log, key, undo, error) != 0)
        return -1;
    return append(log, SQ_UNDO_UPDATE, key, undo, log->live_count * DONE_BYTES, error);
}

int sq_undo_log_done(struct sq_undo_log *log, const struct sq_undo_key *key, struct sq_error *error)
{
    uint32_t i = find_key(log, key);
    if (i == log->live_count)
        return sq_fail(error, SQ_INTERNAL, "fault %u is not in the undo log", key->fault_index);
    /* The disk first: what is done there and not here is undone once more, the other way round never again.
     */
    if (log->twin != NULL && log->twin->fd >= 0 && find_key(log->twin, key) < log->twin->live_count &&
        sq_undo_log_done(log->twin, key, error) != 0)
        return -1;
    if (log->live_count == 1) {
        if (reset(log, error) != 0)
            return -1;
    } else if (append(log, SQ_UNDO_DONE, key, NULL, 0, error) != 0) {
        return -1;
    }
    memmove(&log->live[i], &log->live[i + 1], (log->live_count - i - 1) * sizeof log->live[0]);
    log->live_count--;
    return 0;
}

/* ---- what another version, or damage, left ---- */

/* A fault of another log, with its own time and namespace. */
static int take_over(struct sq_undo_log *log, const struct sq_undo_live *live, struct sq_error *error)
{
    if (find_key(log, &live->key) < log->live_count)
        return 0;
    if (log->live_count == SQ_UNDO_LIVE_MAX)
        return sq_fail(error, SQ_UNCLEAN, "the undo logs of two versions hold more faults than one log can");
    const struct sq_undo_header header = {
        .type = SQ_UNDO_RECORD,
        .generation = log->generation,
        .sequence = log->sequence + 1,
        .boot = log->boot,
        .experiment = live->key.experiment,
        .netns_inode = live->netns_inode,
        .slot = live->key.slot,
        .fault_index = live->key.fault_index,
        .real_ns = live->real_ns,
    };
    if (append_record(log, &header, &live->undo, (log->live_count + 1) * DONE_BYTES, error) != 0)
        return -1;
    log->live[log->live_count++] = live->key;
    return 0;
}

int sq_undo_log_inherit(struct sq_undo_log *log, const char *directory, struct sq_undo_content *content,
                        struct sq_error *error)
{
    char path[PATH_MAX];
    struct sq_error foreign;
    struct stat status;
    if (path_of(directory, path, error) != 0)
        return -1;
    sq_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    /* What is not root's was planted there, and says nothing. */
    if (fd < 0 || check_file(fd, path, &foreign) != 0 || fstat(fd, &status) != 0)
        return 0;
    if (status.st_size > 0 && read_fd(fd, (size_t)status.st_size, &log->boot, content, error) != 0)
        return sq_fail_in(error, "%s", path);
    for (uint32_t i = 0; status.st_size > 0 && i < content->live_count; i++)
        if (take_over(log, &content->live[i], error) != 0)
            return -1;
    if (unlink(path) != 0)
        return sq_fail_errno(error, errno, "cannot remove %s, whose content was taken over", path);
    return sq_undo_log_read(log, content, error);
}

/* What cannot be looked at may well be there. */
bool sq_undo_log_is_there(const char *directory)
{
    char path[PATH_MAX];
    struct stat status;
    struct sq_error error;
    if (path_of(directory, path, &error) != 0)
        return true;
    return lstat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int sq_undo_log_join(struct sq_undo_log *log, struct sq_undo_log *twin, const char *directory,
                     struct sq_undo_content *content, struct sq_error *error)
{
    char path[PATH_MAX];
    twin->fd = -1;
    log->twin = twin;
    log->twin_directory = directory;
    if (path_of(directory, path, error) != 0)
        return -1;
    if (!sq_undo_log_is_there(directory))
        return 0;
    if (sq_undo_log_open(twin, directory, true, content, error) != 0)
        return sq_fail_in(error, "%s", path);
    for (uint32_t i = 0; i < content->live_count; i++)
        if (take_over(log, &content->live[i], error) != 0)
            return -1;
    return sq_undo_log_read(log, content, error);
}

int sq_undo_log_discard(const char *directory, struct sq_error *error)
{
    char path[PATH_MAX];
    if (path_of(directory, path, error) != 0)
        return -1;
    if (unlink(path) != 0 && errno != ENOENT)
        return sq_fail_errno(error, errno, "cannot remove %s", path);
    return 0;
}
