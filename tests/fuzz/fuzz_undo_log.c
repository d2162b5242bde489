/*
 * The undo log as a crash or a stranger may leave it: raw bytes, and the same bytes with every checksum
 * repaired, so that the parser behind the checksum is reached. What comes out keeps its bounds, and reads
 * back the same.
 */
#include "injector/undo_log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX (64u * 1024)

static uint8_t repaired[BYTES_MAX];
static struct sq_undo_content content;
static uint8_t record[SQ_UNDO_RECORD_MAX];

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(const uint8_t *data, size_t size)
{
    static const struct sq_id boot = {{1}};
    struct sq_error error;
    (void)sq_undo_parse(data, size, &boot, &content, &error);
    require(content.used_bytes <= size && content.live_count <= SQ_UNDO_LIVE_MAX);
    for (uint32_t i = 0; i < content.live_count; i++) {
        require(content.live[i].undo.size <= SQ_UNDO_BYTES_MAX);
        for (uint32_t j = content.live[i].undo.size; j < SQ_UNDO_BYTES_MAX; j++)
            require(content.live[i].undo.bytes[j] == 0);
        struct sq_undo_header header = {.type = SQ_UNDO_RECORD, .boot = boot, .sequence = 1};
        header.experiment = content.live[i].key.experiment;
        static struct sq_undo_content again;
        size_t length = sq_undo_format(&header, &content.live[i].undo, record);
        require(length <= sizeof record);
        require(sq_undo_parse(record, length, &boot, &again, &error) == 0 && again.live_count == 1);
        require(memcmp(&again.live[0].undo, &content.live[i].undo, sizeof again.live[0].undo) == 0);
    }
}

/* Walk the records by their lengths and give each the magic, boot id, sequence and checksum that it needs. */
static void repair(uint8_t *bytes, size_t size)
{
    uint64_t sequence = 1;
    for (size_t at = 0; size - at >= sizeof(struct sq_undo_header);) {
        struct sq_undo_header header;
        memcpy(&header, bytes + at, sizeof header);
        header.length_bytes &= 0x3ff8;
        if (header.length_bytes < sizeof header || header.length_bytes > size - at)
            return;
        header.magic = SQ_UNDO_MAGIC;
        header.type &= 3;
        header.slot &= 15;
        header.boot = (struct sq_id){{1}};
        header.experiment = (struct sq_id){{2}};
        header.generation = 1;
        header.sequence = sequence++;
        header.crc32c = 0;
        memcpy(bytes + at, &header, sizeof header);
        header.crc32c = sq_crc32c(0, bytes + at, header.length_bytes);
        memcpy(bytes + at, &header, sizeof header);
        at += header.length_bytes;
    }
}

/* The repaired records, as far as they make sense, as a file of version 2. */
static void check_started(size_t size)
{
    static uint8_t file[BYTES_MAX + sizeof(struct sq_undo_start)];
    static const struct sq_id boot = {{1}};
    struct sq_error error;
    (void)sq_undo_parse(repaired, size, &boot, &content, &error);
    struct sq_undo_start start =
        sq_undo_start_of(&boot, content.generation, content.sequence, content.used_bytes);
    memcpy(file, &start, sizeof start);
    memcpy(file + sizeof start, repaired, size);
    uint32_t live_count = content.live_count;
    if (sq_undo_parse(file, sizeof start + size, &boot, &content, &error) == 0)
        require(content.live_count == live_count);
    check(file, sizeof start + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > BYTES_MAX)
        return 0;
    check(data, size);
    memcpy(repaired, data, size);
    repair(repaired, size);
    check(repaired, size);
    check_started(size);
    return 0;
}
