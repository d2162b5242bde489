/* What requests and replies have in common on their way to protobuf and back. For proto/wire alone. */
#ifndef SQ_WIRE_CODEC_H
#define SQ_WIRE_CODEC_H

#include "common/error.h"
#include "common/id.h"
#include "table/fault_spec.h"
#include "wire/arena.h"

#include <protobuf-c/protobuf-c.h>
#include <squall.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A copy of a text of at most `size` bytes with its terminator, in which what is not UTF-8 (a process's name,
 * a text that was cut) became '?'. NULL: no memory.
 */
char *sq_codec_put_text(struct sq_arena *arena, const char *text, size_t size);

/* The text, which must fit `size` with its terminator. */
int sq_codec_get_text(const char *source, char *target, size_t size, const char *what,
                      struct sq_error *error);

/* An id as bytes; a zero id travels as nothing. */
int sq_codec_put_id(struct sq_arena *arena, const struct sq_id *id, ProtobufCBinaryData *bytes);
int sq_codec_get_id(const ProtobufCBinaryData *bytes, struct sq_id *id, const char *what,
                    struct sq_error *error);

/* An enumeration or a count of 0 to `most`. */
int sq_codec_check_number(uint32_t value, uint32_t most, const char *what, struct sq_error *error);

bool sq_codec_is_utf8(const char *text, size_t length);

/*
 * Read version and verb, the first two fields of every message of every version. Returns false if the bytes
 * do not start with a version.
 */
bool sq_codec_peek(const uint8_t *bytes, size_t length, uint32_t *version, uint32_t *verb);

/*
 * Walk over packed bytes without allocating and refuse what unpacking would let pass: texts with zero bytes
 * or that are not UTF-8, and, if `strict`, fields that this version does not know (SQ_VERSION_GAP): a request
 * of which a part is ignored would do something else than was asked.
 */
int sq_codec_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t length,
                  bool strict, struct sq_error *error);

/* Refuse what is empty or too large, scan, then unpack into the arena. `what` is "request" or "reply". */
int sq_codec_unpack(const ProtobufCMessageDescriptor *descriptor, struct sq_arena *arena,
                    const uint8_t *bytes, size_t length, bool strict, const char *what,
                    ProtobufCMessage **message, struct sq_error *error);

/* Pack into a new buffer that the caller frees. */
int sq_codec_pack(const ProtobufCMessage *message, uint8_t **bytes, size_t *length, struct sq_error *error);

/* A new, initialised message in the arena. NULL: no memory. */
void *sq_codec_new(struct sq_arena *arena, const ProtobufCMessageDescriptor *descriptor);

int sq_codec_no_memory(struct sq_error *error);

/*
 * Fault specs, by parameter table and descriptors alone: the kind's message is the member of FaultOrder's
 * oneof whose number is 16 + kind, and its fields are found by the parameters' keys.
 */
int sq_codec_put_spec(struct sq_arena *arena, const struct sq_fault_spec *spec, Squall__V1__FaultOrder *order,
                      struct sq_error *error);
int sq_codec_get_spec(const Squall__V1__FaultOrder *order, struct sq_fault_spec *spec,
                      struct sq_error *error);

/* That every parameter of every kind has its field, of the right type: for the tests. */
int sq_codec_check_schema(struct sq_error *error);

#endif
