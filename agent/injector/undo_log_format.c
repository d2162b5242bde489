/* The undo log's format: bytes to records and back, nothing else. */
#include "undo_log.h"

#include <inttypes.h>
#include <string.h>

#define UNDO_HEAD_BYTES offsetof(struct sq_undo, bytes)
#define DONE_BYTES      sizeof(struct sq_undo_header)

_Static_assert(sizeof(struct sq_undo_start) % 8 == 0, "records stay aligned");
_Static_assert(sizeof(struct sq_undo_header) % 8 == 0, "records are multiples of 8 bytes");
/* struct sq_undo without its bytes. */
struct sq_undo_head {
    uint32_t kind;
    uint32_t layout;
    uint32_t size;
    uint32_t flags;
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

bool sq_undo_key_equal(const struct sq_undo_key *a, const struct sq_undo_key *b)
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
    if (own.version == 0)
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
        if (sq_undo_key_equal(&content->live[i].key, key))
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

static uint32_t start_crc(const struct sq_undo_start *start)
{
    struct sq_undo_start without = *start;
    without.crc32c = 0;
    return sq_crc32c(0, &without, sizeof without);
}

struct sq_undo_start sq_undo_start_of(const struct sq_id *boot, uint64_t generation, uint64_t sequence,
                                      size_t valid_bytes)
{
    struct sq_undo_start start = {.magic = SQ_UNDO_START_MAGIC,
                                  .version = SQ_UNDO_VERSION,
                                  .valid_bytes = (uint32_t)valid_bytes,
                                  .generation = generation,
                                  .sequence = sequence,
                                  .boot = *boot};
    start.crc32c = start_crc(&start);
    return start;
}

static int fail_damaged(size_t at, const char *what, struct sq_error *error)
{
    return sq_fail(
        error, SQ_UNCLEAN,
        "the undo log is damaged at byte %zu: %s. What it held may still be in the kernel; `squalld "
        "--recover --sweep` finds by squall's marks what is there, removes it and starts a new log",
        at, what);
}

/* One intact record into *content. */
static int take_record(const struct sq_undo_header *header, const uint8_t *record, const struct sq_id *boot,
                       struct sq_undo_content *content, struct sq_error *error)
{
    if (header->version < SQ_UNDO_VERSION_LEAST || header->version > SQ_UNDO_VERSION)
        return sq_fail(
            error, SQ_UNCLEAN,
            "the undo log holds a record of version %u, and this squalld reads versions %d to %d; undo it "
            "with `squalld --recover` of the version that wrote it",
            header->version, SQ_UNDO_VERSION_LEAST, SQ_UNDO_VERSION);
    if (boot != NULL && !sq_id_equal(&header->boot, boot))
        content->other_boot_count++;
    else if (apply_record(header, record + sizeof *header, content) != 0)
        return sq_fail(error, SQ_UNCLEAN,
                       "the undo log's record %" PRIu64
                       " is intact but makes no sense; `squalld --recover --sweep` "
                       "finds by squall's marks what is there, and removes it",
                       header->sequence);
    content->generation = header->generation;
    content->sequence = header->sequence;
    content->used_bytes += header->length_bytes;
    return 0;
}

static bool follows(const struct sq_undo_header *header, const struct sq_undo_content *content)
{
    return content->used_bytes == 0 ||
           (header->generation == content->generation && header->sequence == content->sequence + 1);
}

/* Every record up to the first that is none, or none that follows. */
static int take_records(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                        struct sq_undo_content *content, struct sq_error *error)
{
    struct sq_undo_header header;
    while (record_is_intact(bytes + content->used_bytes, size - content->used_bytes, &header) &&
           follows(&header, content))
        if (take_record(&header, bytes + content->used_bytes, boot, content, error) != 0)
            return -1;
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Version 1 emptied its file by zeros over the first record; behind them only what it wrote itself can stand.
 */
static int check_emptied(const uint8_t *bytes, size_t size, struct sq_error *error)
{
    struct sq_undo_header header;
    for (size_t at = 0; size - at >= sizeof header; at += 8) {
        memcpy(&header, bytes + at, sizeof header);
        if (header.magic == SQ_UNDO_MAGIC && header.version > 1 &&
            record_is_intact(bytes + at, size - at, &header))
            return fail_damaged(0, "its start is missing, and records stand behind it", error);
    }
    return 0;
}

/* Nothing says where the records of version 1 end, so that their end has to prove itself. */
static int check_end_of_version_1(const uint8_t *bytes, size_t size, struct sq_undo_content *content,
                                  struct sq_error *error)
{
    struct sq_undo_header header;
    size_t used = content->used_bytes;
    size_t left = size - used < sizeof header ? size - used : sizeof header;
    content->torn = !is_zero(bytes + used, left);
    if (used == 0)
        content->version = 0;
    if (used == 0)
        return content->torn ? fail_damaged(0, "it begins with no record", error)
                             : check_emptied(bytes, size, error);
    if (size - used < sizeof header)
        return content->torn ? fail_damaged(used, "a record is cut short", error) : 0;
    memcpy(&header, bytes + used, sizeof header);
    if (header.generation == content->generation || header.sequence == content->sequence + 1)
        return fail_damaged(used, "a record does not fit its checksum", error);
    for (size_t at = used + 8; size - at >= sizeof header; at += 8) {
        memcpy(&header, bytes + at, sizeof header);
        if (header.magic == SQ_UNDO_MAGIC && header.generation == content->generation &&
            record_is_intact(bytes + at, size - at, &header))
            return fail_damaged(used, "there are no records where there should be", error);
    }
    return 0;
}

static int parse_version_1(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                           struct sq_undo_content *content, struct sq_error *error)
{
    content->version = 1;
    if (take_records(bytes, size, boot, content, error) != 0)
        return -1;
    return check_end_of_version_1(bytes, size, content, error);
}

static int parse_version_2(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                           struct sq_undo_content *content, struct sq_error *error)
{
    struct sq_undo_start start;
    memcpy(&start, bytes, sizeof start);
    if (start.crc32c != start_crc(&start))
        return fail_damaged(0, "its start does not fit its checksum", error);
    if (start.version != SQ_UNDO_VERSION)
        return sq_fail(
            error, SQ_UNCLEAN,
            "the undo log is of version %u, and this squalld reads versions %d to %d; undo it with `squalld "
            "--recover` of the version that wrote it",
            start.version, SQ_UNDO_VERSION_LEAST, SQ_UNDO_VERSION);
    if (start.valid_bytes > size - sizeof start)
        return fail_damaged(0, "it is shorter than it says", error);
    const uint8_t *records = bytes + sizeof start;
    content->version = SQ_UNDO_VERSION;
    if (boot != NULL && !sq_id_equal(&start.boot, boot)) {
        /* What the boot took with it may also be half written: nothing was synced. */
        content->other_boot_count = start.valid_bytes > 0;
        return 0;
    }
    if (take_records(records, start.valid_bytes, boot, content, error) != 0)
        return -1;
    bool belongs = content->used_bytes == 0 ||
                   (content->generation == start.generation && content->sequence == start.sequence);
    if (content->used_bytes != start.valid_bytes || !belongs)
        return fail_damaged(sizeof start + content->used_bytes,
                            "a record does not fit its checksum or its place", error);
    content->generation = start.generation;
    content->sequence = start.sequence;
    struct sq_undo_header header;
    if (size - sizeof start - content->used_bytes >= sizeof header) {
        memcpy(&header, records + content->used_bytes, sizeof header);
        content->torn =
            header.magic == SQ_UNDO_MAGIC && follows(&header, content) && content->used_bytes != 0;
    }
    return 0;
}

int sq_undo_parse(const uint8_t *bytes, size_t size, const struct sq_id *boot,
                  struct sq_undo_content *content, struct sq_error *error)
{
    uint32_t magic = 0;
    content->live_count = 0;
    content->other_boot_count = 0;
    content->version = 0;
    content->torn = false;
    content->used_bytes = 0;
    content->generation = 0;
    content->sequence = 0;
    if (size < sizeof(struct sq_undo_start))
        return is_zero(bytes, size) ? 0 : fail_damaged(0, "it is cut short", error);
    memcpy(&magic, bytes, sizeof magic);
    if (magic == SQ_UNDO_START_MAGIC)
        return parse_version_2(bytes, size, boot, content, error);
    return parse_version_1(bytes, size, boot, content, error);
}
