/* A walk over packed protobuf, along the descriptors, for what protobuf-c's unpacking lets pass. */
#include "wire/codec.h"

#include <string.h>

/* squall.proto nests three deep; the bound is for the recursion's sake. */
#define DEPTH_MAX 8

/* The wire types of the protobuf encoding. */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct cursor {
    const uint8_t *bytes;
    size_t left;
};

static bool take(struct cursor *cursor, uint64_t count)
{
    if (count > cursor->left)
        return false;
    cursor->bytes += count;
    cursor->left -= (size_t)count;
    return true;
}

static bool take_varint(struct cursor *cursor, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 70 && cursor->left > 0; shift += 7) {
        uint8_t byte = *cursor->bytes;
        (void)take(cursor, 1);
        *value |= shift == 63 ? (uint64_t)(byte & 1) << 63 : (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

/* Take one field's value; for length-delimited ones `content` receives it. */
static bool take_value(struct cursor *cursor, unsigned wire, struct cursor *content)
{
    uint64_t number = 0;
    switch (wire) {
    case WIRE_VARINT:
        return take_varint(cursor, &number);
    case WIRE_64:
        return take(cursor, 8);
    case WIRE_32:
        return take(cursor, 4);
    case WIRE_BYTES:
        if (!take_varint(cursor, &number))
            return false;
        *content =
            (struct cursor){.bytes = cursor->bytes, .left = number > cursor->left ? 0 : (size_t)number};
        return take(cursor, number);
    default:
        return false;
    }
}

static int check_text(const ProtobufCFieldDescriptor *field, const struct cursor *content,
                      struct sq_error *error)
{
    if (content->left > 0 && memchr(content->bytes, '\0', content->left) != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "the message's %s holds a zero byte", field->name);
    if (!sq_codec_is_utf8((const char *)content->bytes, content->left))
        return sq_fail(error, SQ_BAD_INPUT, "the message's %s is not UTF-8", field->name);
    return 0;
}

static int scan(const ProtobufCMessageDescriptor *descriptor, struct cursor cursor, bool strict, int depth,
                struct sq_error *error)
{
    if (depth > DEPTH_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the message is nested more than %d deep", DEPTH_MAX);
    while (cursor.left > 0) {
        uint64_t tag = 0;
        struct cursor content = {NULL, 0};
        if (!take_varint(&cursor, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3 ||
            !take_value(&cursor, (unsigned)(tag & 7), &content))
            return sq_fail(error, SQ_BAD_INPUT, "these bytes are no message of squall's (%s is malformed)",
                           descriptor->short_name);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
        if (field == NULL && strict)
            return sq_fail(
                error, SQ_VERSION_GAP,
                "the message carries a field that is unknown here (%s, number %u): the sender is newer; "
                "update this side",
                descriptor->short_name, (unsigned)(tag >> 3));
        if (field == NULL)
            continue;
        bool has_length = field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES ||
                          field->type == PROTOBUF_C_TYPE_MESSAGE;
        if (has_length != ((tag & 7) == WIRE_BYTES))
            return sq_fail(error, SQ_BAD_INPUT, "the message's %s has the wrong type", field->name);
        if (field->type == PROTOBUF_C_TYPE_STRING && check_text(field, &content, error) != 0)
            return -1;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            scan(field->descriptor, content, strict, depth + 1, error) != 0)
            return -1;
    }
    return 0;
}

int sq_codec_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t length,
                  bool strict, struct sq_error *error)
{
    return scan(descriptor, (struct cursor){.bytes = bytes, .left = length}, strict, 0, error);
}
