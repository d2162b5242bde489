/*
 * The undo log: what has to be undone, written before it exists. One preallocated file of fixed size,
 * <run>/undo.log, mode 0600, on a tmpfs, so that no full or failing disk can stop a revert.
 *
 * Kernel state dies with the boot, and so may this file: it is never synced, the page cache outlives every
 * process.
 *
 * Format, all integers in the byte order of the host. Records follow each other without gaps from offset 0:
 *
 *     struct sq_undo_header                 what, whose, where, when
 *     struct sq_undo without its tail       kind, layout, size, reserved, bytes[size]; absent in DONE
 *     zeros up to a multiple of 8 bytes
 *
 * The CRC-32C (Castagnoli, RFC 3720 appendix B.4) covers the whole record with the field itself as zero.
 * Sequence numbers rise by one; all records of one use of the file carry one generation. Reading stops at the
 * first record that breaks any of this: a torn tail, or what an earlier generation left behind. A record that
 * is intact but of another version is not guessed at: the reader says so.
 *
 * A fault is live from its RECORD until its DONE; UPDATE replaces its undo record. When nothing is live any
 * more the first header is overwritten with zeros, which empties the file in one write within one page, and
 * the generation rises. That is the only compaction. Every RECORD and UPDATE leaves room for a DONE of each
 * live fault, so a full log refuses new faults and never hinders a revert.
 */
#ifndef SQ_INJECTOR_UNDO_LOG_H
#define SQ_INJECTOR_UNDO_LOG_H

#include "common/error.h"
#include "common/id.h"
#include "faults/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_UNDO_MAGIC     UINT32_C(0x4c515355) /* "USQL" in a hex dump of a little-endian host */
#define SQ_UNDO_VERSION   1
#define SQ_UNDO_LOG_BYTES (1024u * 1024)
#define SQ_UNDO_LIVE_MAX  SQ_FAULTS_MAX /* one experiment per host */

enum sq_undo_record_type {
    SQ_UNDO_RECORD = 1, /* this fault is about to be prepared */
    SQ_UNDO_UPDATE = 2, /* its undo record changed */
    SQ_UNDO_DONE = 3    /* it is removed: nothing is left to undo */
};

struct sq_undo_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;         /* enum sq_undo_record_type */
    uint32_t length_bytes; /* of the whole record */
    uint32_t crc32c;
    uint64_t generation;
    uint64_t sequence;
    struct sq_id boot;
    struct sq_id experiment;
    uint64_t netns_inode; /* the network namespace of the writer, by its inode on nsfs */
    uint32_t slot;
    uint32_t fault_index;
    uint64_t real_ns; /* when, for people */
};

/* A fault as the log knows it. */
struct sq_undo_key {
    struct sq_id experiment;
    uint32_t slot;
    uint32_t fault_index;
};

struct sq_undo_live {
    struct sq_undo_key key;
    uint64_t netns_inode;
    uint64_t real_ns; /* of its RECORD */
    struct sq_undo undo;
};

/* What a log holds. Large: not for the stack. */
struct sq_undo_content {
    uint32_t live_count;
    struct sq_undo_live live[SQ_UNDO_LIVE_MAX];
    uint32_t other_boot_count; /* records of an earlier boot, ignored */
    bool torn;                 /* bytes follow that are no record */
    size_t used_bytes;         /* up to the end of the last whole record */
    uint64_t generation;
    uint64_t sequence; /* of the last record */
};

/*
 * Read a log from memory. Any bytes are fine; -1 only for what must not be ignored: an intact record that
 * this version cannot read (SQ_UNCLEAN), with everything before it in *content.
 */
int sq_undo_parse(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                  struct sq_undo_content *content, struct sq_error *error);

/* One record into `record` (SQ_UNDO_RECORD_MAX bytes); `undo` is NULL for DONE. Returns its length. Pure. */
#define SQ_UNDO_RECORD_MAX (sizeof(struct sq_undo_header) + sizeof(struct sq_undo))
size_t sq_undo_format(const struct sq_undo_header *header, const struct sq_undo *undo, uint8_t *record);

uint32_t sq_crc32c(uint32_t seed, const void *bytes, size_t size);

struct sq_undo_log {
    int fd; /* -1: not open */
    size_t size_bytes;
    size_t used_bytes;
    uint64_t generation;
    uint64_t sequence;
    struct sq_id boot;
    uint64_t netns_inode;
    uint32_t live_count;
    struct sq_undo_key live[SQ_UNDO_LIVE_MAX];
    _Alignas(8) uint8_t record[SQ_UNDO_RECORD_MAX]; /* built here: appending allocates nothing */
};

/*
 * Open or make the log in `run_directory`, whose lock the caller holds, and read what it holds into *content.
 * A torn tail is dropped; records of an earlier boot are forgotten. Refused: a file that is no regular file
 * of this user's, or that others may write.
 */
int sq_undo_log_open(struct sq_undo_log *log, const char *run_directory, struct sq_undo_content *content,
                     struct sq_error *error);
void sq_undo_log_close(struct sq_undo_log *log);

/* Read the file again: what is still live. */
int sq_undo_log_read(const struct sq_undo_log *log, struct sq_undo_content *content, struct sq_error *error);

/* SQ_LIMIT when the log is full; then the fault must not be prepared. */
int sq_undo_log_record(struct sq_undo_log *log, const struct sq_undo_key *key, const struct sq_undo *undo,
                       struct sq_error *error);
int sq_undo_log_update(struct sq_undo_log *log, const struct sq_undo_key *key, const struct sq_undo *undo,
                       struct sq_error *error);

/* Allocates nothing. On failure the fault stays live in the log, and a later recovery undoes it once more. */
int sq_undo_log_done(struct sq_undo_log *log, const struct sq_undo_key *key, struct sq_error *error);

#endif
