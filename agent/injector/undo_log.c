#include "undo_log.h"

#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#define UNDO_HEAD_BYTES offsetof(struct sq_undo, bytes)
#define DONE_BYTES      sizeof(struct sq_undo_header)

_Static_assert(sizeof(struct sq_undo_header) % 8 == 0, "records are multiples of 8 bytes");
/* struct sq_undo without its bytes. */
struct sq_undo_head {
    uint32_t kind;
    uint32_t layout;
    uint32_t size;
    uint32_t reserved;
};

_Static_assert(sizeof(struct sq_undo_head) == UNDO_HEAD_BYTES, "the head of an undo record");
_Static_assert(UNDO_HEAD_BYTES % 8 == 0, "the payload stays aligned");

/* Four bits at a time: a table of 64 bytes, and 8 KiB take some 20 microseconds. */
uint32_t sq_crc32c(uint32_t seed, const void *bytes, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *byte = bytes;
    uint32_t crc = ~seed;
    for (size_t i = 0; i < size; i++) {
        crc ^= byte[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t record_crc(const struct sq_undo_header *header, const uint8_t *rest, size_t rest_bytes)
{
    struct sq_undo_header without = *header;
    without.crc32c = 0;
    return sq_crc32c(sq_crc32c(0, &without, sizeof without), rest, rest_bytes);
}

static bool key_equal(const struct sq_undo_key *a, const struct sq_undo_key *b)
{
    return a->slot == b->slot && sq_id_equal(&a->experiment, &b->experiment);
}

size_t sq_undo_format(const struct sq_undo_header *header, const struct sq_undo *undo, uint8_t *record)
{
    struct sq_undo_header own = *header;
    size_t payload = undo == NULL ? 0 : (UNDO_HEAD_BYTES + undo->size + 7) / 8 * 8;
    size_t length = sizeof own + payload;
    memset(record, 0, length);
    if (undo != NULL)
        memcpy(record + sizeof own, undo, UNDO_HEAD_BYTES + undo->size);
    own.magic = SQ_UNDO_MAGIC;
    own.version = SQ_UNDO_VERSION;
    own.length_bytes = (uint32_t)length;
    own.crc32c = record_crc(&own, record + sizeof own, payload);
    memcpy(record, &own, sizeof own);
    return length;
}

/* Length and checksum, whatever the version: the first 16 bytes keep their meaning for ever. */
static bool record_is_intact(const uint8_t *bytes, size_t size, struct sq_undo_header *header)
{
    if (size < sizeof *header)
        return false;
    memcpy(header, bytes, sizeof *header);
    if (header->magic != SQ_UNDO_MAGIC || header->length_bytes < sizeof *header ||
        header->length_bytes > size || header->length_bytes % 8 != 0)
        return false;
    return record_crc(header, bytes + sizeof *header, header->length_bytes - sizeof *header) ==
           header->crc32c;
}

/*
 * The undo record behind a RECORD's or UPDATE's header. False, and *undo untouched, if it does not fill the
 * record exactly.
 */
static bool read_payload(const struct sq_undo_header *header, const uint8_t *payload, struct sq_undo *undo)
{
    size_t payload_bytes = header->length_bytes - sizeof *header;
    struct sq_undo_head head;
    if (payload_bytes < sizeof head)
        return false;
    memcpy(&head, payload, sizeof head);
    if (head.size > SQ_UNDO_BYTES_MAX || (sizeof head + head.size + 7) / 8 * 8 != payload_bytes)
        return false;
    memset(undo, 0, sizeof *undo);
    memcpy(undo, payload, sizeof head + head.size);
    return true;
}

static struct sq_undo_live *find_live(struct sq_undo_content *content, const struct sq_undo_key *key)
{
    for (uint32_t i = 0; i < content->live_count; i++)
        if (key_equal(&content->live[i].key, key))
            return &content->live[i];
    return NULL;
}

/* Returns -1 when the record is intact but makes no sense to this version. */
static int apply_record(const struct sq_undo_header *header, const uint8_t *payload,
                        struct sq_undo_content *content)
{
    struct sq_undo_key key = {
        .experiment = header->experiment, .slot = header->slot, .fault_index = header->fault_index};
    struct sq_undo_live *live = find_live(content, &key);
    switch (header->type) {
    case SQ_UNDO_RECORD:
        if (live != NULL || content->live_count == SQ_UNDO_LIVE_MAX)
            return -1;
        live = &content->live[content->live_count];
        if (!read_payload(header, payload, &live->undo))
            return -1;
        live->key = key;
        live->netns_inode = header->netns_inode;
        live->real_ns = header->real_ns;
        content->live_count++;
        return 0;
    case SQ_UNDO_UPDATE:
        return live != NULL && read_payload(header, payload, &live->undo) ? 0 : -1;
    case SQ_UNDO_DONE:
        if (live == NULL || header->length_bytes != DONE_BYTES)
            return -1;
        /* The order stays that of the records: what was made last is undone first. */
        memmove(live, live + 1, (size_t)(&content->live[content->live_count] - (live + 1)) * sizeof *live);
        content->live_count--;
        return 0;
    default:
        return -1;
    }
}

int sq_undo_parse(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                  struct sq_undo_content *content, struct sq_error *error)
{
    content->live_count = 0;
    content->other_boot_count = 0;
    content->torn = false;
    content->used_bytes = 0;
    content->generation = 0;
    content->sequence = 0;
    struct sq_undo_header header;
    while (record_is_intact(bytes + content->used_bytes, size - content->used_bytes, &header)) {
        bool first = content->used_bytes == 0;
        if (!first && (header.generation != content->generation || header.sequence != content->sequence + 1))
            return 0;
        if (header.version != SQ_UNDO_VERSION)
            return sq_fail(
                error, SQ_UNCLEAN,
                "the undo log holds a record of version %u, and this squalld reads version %d; undo it "
                "with `squalld --recover` of the version that wrote it",
                header.version, SQ_UNDO_VERSION);
        if (!sq_id_equal(&header.boot, boot))
            content->other_boot_count++;
        else if (apply_record(&header, bytes + content->used_bytes + sizeof header, content) != 0)
            return sq_fail(error, SQ_UNCLEAN,
                           "the undo log's record %" PRIu64
                           " at byte %zu is intact but makes no sense; `tc filter "
                           "show` and `ip link` tell what squall left, a reboot removes it",
                           header.sequence, content->used_bytes);
        content->generation = header.generation;
        content->sequence = header.sequence;
        content->used_bytes += header.length_bytes;
    }
    for (size_t i = content->used_bytes; i < size && i < content->used_bytes + sizeof header; i++)
        content->torn = content->torn || bytes[i] != 0;
    return 0;
}

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

static int open_file(struct sq_undo_log *log, const char *run_directory, struct sq_error *error)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/undo.log", run_directory) >= (int)sizeof path)
        return sq_fail(error, SQ_BAD_INPUT, "the path %.100s... is too long", run_directory);
    sq_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return sq_fail_errno(error, errno, "cannot open the undo log %s", path);
    if (check_file(fd, path, error) != 0)
        return -1;
    int failed = posix_fallocate(fd, 0, SQ_UNDO_LOG_BYTES);
    if (failed != 0)
        return sq_fail_errno(error, failed, "cannot reserve %u bytes for the undo log %s", SQ_UNDO_LOG_BYTES,
                             path);
    log->fd = sq_take_fd(&fd);
    return 0;
}

int sq_undo_log_read(const struct sq_undo_log *log, struct sq_undo_content *content, struct sq_error *error)
{
    uint8_t *bytes = mmap(NULL, log->size_bytes, PROT_READ, MAP_SHARED, log->fd, 0);
    if (bytes == MAP_FAILED)
        return sq_fail_errno(error, errno, "cannot read the undo log");
    int result = sq_undo_parse(bytes, log->size_bytes, &log->boot, content, error);
    (void)munmap(bytes, log->size_bytes);
    return result;
}

/* Empty the file: one write within one page, so that a reader sees the old log or none. */
static int reset(struct sq_undo_log *log, struct sq_error *error)
{
    static const struct sq_undo_header zeros;
    if (pwrite(log->fd, &zeros, sizeof zeros, 0) != (ssize_t)sizeof zeros)
        return sq_fail_errno(error, errno, "cannot empty the undo log");
    log->used_bytes = 0;
    log->generation++;
    return 0;
}

int sq_undo_log_open(struct sq_undo_log *log, const char *run_directory, struct sq_undo_content *content,
                     struct sq_error *error)
{
    memset(log, 0, sizeof *log);
    log->fd = -1;
    log->size_bytes = SQ_UNDO_LOG_BYTES;
    log->netns_inode = read_netns_inode();
    if (sq_id_of_boot(&log->boot, error) != 0 || open_file(log, run_directory, error) != 0)
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
        return sq_fail(error, SQ_SYSTEM, "cannot start a new undo log in %s", run_directory);
    }
    return 0;
}

void sq_undo_log_close(struct sq_undo_log *log)
{
    sq_cleanup_close(&log->fd);
    log->fd = -1;
}

static int append(struct sq_undo_log *log, enum sq_undo_record_type type, const struct sq_undo_key *key,
                  const struct sq_undo *undo, size_t reserve_bytes, struct sq_error *error)
{
    struct sq_undo_header header = {
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
    size_t length = sq_undo_format(&header, undo, log->record);
    if (length + reserve_bytes > log->size_bytes - log->used_bytes)
        return sq_fail(error, SQ_LIMIT,
                       "the undo log is full, so nothing more is injected until it is empty; "
                       "end what is there first");
    ssize_t written = pwrite(log->fd, log->record, length, (off_t)log->used_bytes);
    if (written != (ssize_t)length)
        return sq_fail_errno(error, written < 0 ? errno : ENOSPC, "cannot write the undo log");
    log->used_bytes += length;
    log->sequence++;
    return 0;
}

static uint32_t find_key(const struct sq_undo_log *log, const struct sq_undo_key *key)
{
    uint32_t i = 0;
    while (i < log->live_count && !key_equal(&log->live[i], key))
        i++;
    return i;
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
    return append(log, SQ_UNDO_UPDATE, key, undo, log->live_count * DONE_BYTES, error);
}

int sq_undo_log_done(struct sq_undo_log *log, const struct sq_undo_key *key, struct sq_error *error)
{
    uint32_t i = find_key(log, key);
    if (i == log->live_count)
        return sq_fail(error, SQ_INTERNAL, "fault %u is not in the undo log", key->fault_index);
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
