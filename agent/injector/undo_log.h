/*
 * The undo log: what has to be undone, written before it exists. One preallocated file of fixed size,
 * <run>/squalld/undo.log, mode 0600, on a tmpfs, so that no full or failing disk can stop a revert.
 *
 * Kernel state dies with the boot, and so may this file: it is never synced, the page cache outlives every
 * process. What outlives a boot is logged a second time, in <state>/undo.log, which is synced with every
 * record and whose records count whatever boot wrote them (`durable` below).
 *
 * Format, version 2, all integers in the byte order of the host:
 *
 *     struct sq_undo_start                  how many bytes of records are valid
 *     records, without gaps, each:
 *         struct sq_undo_header             what, whose, where, when
 *         struct sq_undo without its tail   kind, layout, size, reserved, bytes[size]; absent in DONE
 *         zeros up to a multiple of 8 bytes
 *
 * The CRC-32C (Castagnoli, RFC 3720 appendix B.4) covers the whole record, or the whole start, with the field
 * itself as zero. Sequence numbers rise by one; all records of one use of the file carry one generation. A
 * record is written behind the valid ones, then the start is written anew, in one write within one page,
 * which no death of the process divides: what stands behind the valid bytes is the remains of a write that
 * was never finished, whose fault was never made, and is provably the tail. Anything wrong within them is
 * damage, and said, never skipped.
 *
 * A fault is live from its RECORD until its DONE; UPDATE replaces its undo record. When nothing is live any
 * more the start says that no byte is valid, and the generation rises. That is the only compaction. Every
 * RECORD and UPDATE leaves room for a DONE of each live fault, so a full log refuses new faults and never
 * hinders a revert.
 *
 * Version 1 (squall 0.1) had no start and its file in <run>: records from offset 0, the first record that
 * broke a rule taken for the end. It is still read, more strictly: what stands where the next record would,
 * and bears its generation or number, or has a later intact one behind it, is damage.
 */
#ifndef SQ_INJECTOR_UNDO_LOG_H
#define SQ_INJECTOR_UNDO_LOG_H

#include "common/error.h"
#include "common/id.h"
#include "faults/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_UNDO_MAGIC         UINT32_C(0x4c515355) /* "USQL" in a hex dump of a little-endian host */
#define SQ_UNDO_VERSION       2
#define SQ_UNDO_VERSION_LEAST 1
#define SQ_UNDO_START_MAGIC   UINT32_C(0x48515355) /* "USQH" */
#define SQ_UNDO_LOG_BYTES     (1024u * 1024)
#define SQ_UNDO_LIVE_MAX      SQ_FAULTS_MAX /* one experiment per host */

/* The first bytes of the file. */
struct sq_undo_start {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint32_t valid_bytes; /* of records, behind this structure */
    uint32_t crc32c;
    uint64_t generation;
    uint64_t sequence; /* of the last valid record */
    struct sq_id boot; /* that wrote it: of another one nothing but what is durable counts */
};

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

bool sq_undo_key_equal(const struct sq_undo_key *a, const struct sq_undo_key *b);

/* What a log holds. Large: not for the stack. */
struct sq_undo_content {
    uint32_t live_count;
    struct sq_undo_live live[SQ_UNDO_LIVE_MAX];
    uint32_t other_boot_count; /* records of an earlier boot, ignored */
    uint32_t version;          /* of the format; 0: the file is empty */
    bool torn;                 /* a record follows that was never finished */
    size_t used_bytes;         /* of whole records */
    uint64_t generation;
    uint64_t sequence; /* of the last record */
};

/*
 * Read a log from memory. -1 for what must not be ignored, with everything before it in *content: SQ_UNCLEAN,
 * a record that is damaged and not provably an unfinished tail, or one that this version cannot read. `boot`
 * NULL: records of every boot count.
 */
int sq_undo_parse(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                  struct sq_undo_content *content, struct sq_error *error);

/* The start of a file, complete. Pure. */
struct sq_undo_start sq_undo_start_of(const struct sq_id *boot, uint64_t generation, uint64_t sequence,
                                      size_t valid_bytes);

/*
 * One record into `record` (SQ_UNDO_RECORD_MAX bytes); `undo` is NULL for DONE. Returns its length. Pure.
 * header->version 0 stands for the newest.
 */
#define SQ_UNDO_RECORD_MAX (sizeof(struct sq_undo_header) + sizeof(struct sq_undo))
size_t sq_undo_format(const struct sq_undo_header *header, const struct sq_undo *undo, uint8_t *record);

uint32_t sq_crc32c(uint32_t seed, const void *bytes, size_t size);

struct sq_undo_log {
    int fd; /* -1: not open */
    bool durable;
    struct sq_undo_log *twin;   /* the durable log beside this one; NULL: none */
    const char *twin_directory; /* where it is, or is made when it is needed */
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
 * Open or make the log in `directory`, whose lock the caller holds, and read what it holds into *content. An
 * unfinished tail is dropped; unless it is `durable`, records of an earlier boot are forgotten. Refused: a
 * file that is no regular file of this user's, or that others may write; SQ_UNCLEAN: one that is damaged,
 * which is left as it is.
 */
int sq_undo_log_open(struct sq_undo_log *log, const char *directory, bool durable,
                     struct sq_undo_content *content, struct sq_error *error);
void sq_undo_log_close(struct sq_undo_log *log);

/*
 * Take over what a log of version 1 in `directory` holds, if there is one that root made, and remove it:
 * *content is then what `log` holds. It may be repeated after a crash.
 */
int sq_undo_log_inherit(struct sq_undo_log *log, const char *directory, struct sq_undo_content *content,
                        struct sq_error *error);

/* Also true if that cannot be told. */
bool sq_undo_log_is_there(const char *directory);

/*
 * From now on, `twin` in `directory` holds what survives a boot as well: opened now if it is there, and made
 * when it is needed. What an earlier boot left in it is live in `log` too, and *content is what that holds.
 * Both `twin` and `directory` are borrowed.
 */
int sq_undo_log_join(struct sq_undo_log *log, struct sq_undo_log *twin, const char *directory,
                     struct sq_undo_content *content, struct sq_error *error);

/* Throw a damaged log away: for when all that it may have held has been found and removed without it. */
int sq_undo_log_discard(const char *directory, struct sq_error *error);

/* What the log in `directory` holds, read without the lock and without changing anything. No log: nothing. */
int sq_undo_log_peek(const char *directory, bool durable, struct sq_undo_content *content,
                     struct sq_error *error);

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
