#include "wire/codec.h"

#include "common/text.h"
#include "table/message.h"

#include <stdlib.h>
#include <string.h>

#define TAG_VERSION 0x08 /* field 1, varint */
#define TAG_VERB    0x10 /* field 2, varint */

int sq_codec_no_memory(struct sq_error *error)
{
    return sq_fail(error, SQ_SYSTEM, "out of memory for a message");
}

/* The length of the UTF-8 sequence (RFC 3629) at `text`, 0 if there is none. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool is_overlong = (first == 0xe0 && text[1] < 0xa0) || (first == 0xf0 && text[1] < 0x90);
    bool is_surrogate = first == 0xed && text[1] >= 0xa0;
    bool is_beyond = first == 0xf4 && text[1] >= 0x90;
    return is_overlong || is_surrogate || is_beyond ? 0 : length;
}

bool sq_codec_is_utf8(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < length;) {
        size_t step = utf8_length(bytes + i, length - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

char *sq_codec_put_text(struct sq_arena *arena, const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = sq_arena_allocate(arena, length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    for (size_t i = 0; i < length;) {
        size_t step = utf8_length((const unsigned char *)copy + i, length - i);
        if (step == 0) {
            copy[i] = '?';
            step = 1;
        }
        i += step;
    }
    return copy;
}

int sq_codec_get_text(const char *source, char *target, size_t size, const char *what, struct sq_error *error)
{
    size_t length = strnlen(source, size);
    if (length >= size)
        return sq_fail(error, SQ_BAD_INPUT, "the message's %s is longer than %zu bytes", what, size - 1);
    memcpy(target, source, length + 1);
    return 0;
}

int sq_codec_put_id(struct sq_arena *arena, const struct sq_id *id, ProtobufCBinaryData *bytes)
{
    if (sq_id_is_zero(id))
        return 0;
    bytes->data = sq_arena_allocate(arena, sizeof id->bytes);
    if (bytes->data == NULL)
        return -1;
    bytes->len = sizeof id->bytes;
    memcpy(bytes->data, id->bytes, sizeof id->bytes);
    return 0;
}

int sq_codec_get_id(const ProtobufCBinaryData *bytes, struct sq_id *id, const char *what,
                    struct sq_error *error)
{
    memset(id, 0, sizeof *id);
    if (bytes->len == 0)
        return 0;
    if (bytes->len != sizeof id->bytes)
        return sq_fail(error, SQ_BAD_INPUT, "the message's %s id has %zu bytes; expected %zu", what,
                       bytes->len, sizeof id->bytes);
    memcpy(id->bytes, bytes->data, sizeof id->bytes);
    return 0;
}

int sq_codec_check_number(uint32_t value, uint32_t most, const char *what, struct sq_error *error)
{
    if (value > most)
        return sq_fail(error, SQ_BAD_INPUT, "the message's %s is %u; expected 0 to %u", what, value, most);
    return 0;
}

/* One varint of at most 32 bits; returns the bytes used, 0 if there is none. */
static size_t peek_varint(const uint8_t *bytes, size_t length, uint32_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < length && i < 5; i++) {
        sum |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if ((bytes[i] & 0x80) == 0) {
            *value = (uint32_t)sum;
            return sum > UINT32_MAX ? 0 : i + 1;
        }
    }
    return 0;
}

bool sq_codec_peek(const uint8_t *bytes, size_t length, uint32_t *version, uint32_t *verb)
{
    *version = 0;
    *verb = 0;
    if (length < 2 || bytes[0] != TAG_VERSION)
        return false;
    size_t used = peek_varint(bytes + 1, length - 1, version);
    if (used == 0)
        return false;
    bytes += 1 + used;
    length -= 1 + used;
    if (length >= 2 && bytes[0] == TAG_VERB && peek_varint(bytes + 1, length - 1, verb) == 0)
        *verb = 0;
    return true;
}

int sq_codec_unpack(const ProtobufCMessageDescriptor *descriptor, struct sq_arena *arena,
                    const uint8_t *bytes, size_t length, bool strict, const char *what,
                    ProtobufCMessage **message, struct sq_error *error)
{
    if (length == 0)
        return sq_fail(error, SQ_BAD_INPUT, "the %s is empty", what);
    if (length > SQ_WIRE_BYTES_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the %s has %zu bytes; at most %u are allowed", what, length,
                       SQ_WIRE_BYTES_MAX);
    if (sq_codec_scan(descriptor, bytes, length, strict, error) != 0)
        return -1;
    *message = protobuf_c_message_unpack(descriptor, &arena->allocator, length, bytes);
    if (*message == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "these %zu bytes are no %s of protocol version %d", length, what,
                       SQ_PROTOCOL_VERSION);
    return 0;
}

int sq_codec_pack(const ProtobufCMessage *message, uint8_t **bytes, size_t *length, struct sq_error *error)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > SQ_WIRE_BYTES_MAX)
        return sq_fail(error, SQ_LIMIT, "the message would have %zu bytes; at most %u are allowed", size,
                       SQ_WIRE_BYTES_MAX);
    *bytes = malloc(size == 0 ? 1 : size);
    if (*bytes == NULL)
        return sq_codec_no_memory(error);
    *length = protobuf_c_message_pack(message, *bytes);
    return 0;
}

void *sq_codec_new(struct sq_arena *arena, const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = sq_arena_allocate(arena, descriptor->sizeof_message);
    if (message != NULL)
        protobuf_c_message_init(descriptor, message);
    return message;
}
