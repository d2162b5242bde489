/*
 * The wire format: struct sq_request and struct sq_reply to protobuf (squall.proto) and back. Generated types
 * stop here. Decoding trusts nothing: what is malformed or beyond the bounds of table/message.h is refused
 * whole, and the result has passed sq_request_check or sq_reply_check.
 */
#ifndef SQ_WIRE_WIRE_H
#define SQ_WIRE_WIRE_H

#include "common/error.h"
#include "table/message.h"

#include <stddef.h>
#include <stdint.h>

/* Encode into a new buffer that the caller frees. `requester` does not travel. */
int sq_wire_encode_request(const struct sq_request *request, uint8_t **bytes, size_t *length,
                           struct sq_error *error);
int sq_wire_encode_reply(const struct sq_reply *reply, uint8_t **bytes, size_t *length,
                         struct sq_error *error);

/*
 * An encoded request once more, for a side that speaks `version`, which is lower. SQ_UNABLE: it asks for what
 * that version does not know, which is named. The caller frees the new buffer.
 */
int sq_wire_translate_request(const uint8_t *bytes, size_t length, uint32_t version, uint8_t **translated,
                              size_t *translated_length, struct sq_error *error);

/*
 * Decode into *request or *reply, which is zeroed first; a request is all zero already or was filled before
 * (sq_request_clear). On failure error->code is SQ_BAD_INPUT, or
 * SQ_VERSION_GAP with version (and verb, if it could be read) filled in, so that the front can answer in
 * words.
 */
int sq_wire_decode_request(const uint8_t *bytes, size_t length, struct sq_request *request,
                           struct sq_error *error);
int sq_wire_decode_reply(const uint8_t *bytes, size_t length, struct sq_reply *reply, struct sq_error *error);

#endif
