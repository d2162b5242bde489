#include "common/cleanup.h"
#include "table/params.h"
#include "wire/codec.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

static int put_faults(struct sq_arena *arena, const struct sq_request *request, Squall__V1__Request *message,
                      struct sq_error *error)
{
    if (request->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_INTERNAL, "%u faults in one request", request->fault_count);
    message->faults = sq_arena_allocate(arena, request->fault_count * sizeof *message->faults);
    if (message->faults == NULL)
        return sq_codec_no_memory(error);
    for (uint32_t i = 0; i < request->fault_count; i++) {
        Squall__V1__FaultOrder *order = sq_codec_new(arena, &squall__v1__fault_order__descriptor);
        if (order == NULL)
            return sq_codec_no_memory(error);
        order->index = request->faults[i].index;
        order->duration_ns = request->faults[i].duration_ns;
        if (sq_spec_check_version(&request->faults[i].spec, request->version, error) != 0 ||
            sq_codec_put_spec(arena, &request->faults[i].spec, order, error) != 0)
            return -1;
        message->faults[i] = order;
    }
    message->n_faults = request->fault_count;
    return 0;
}

int sq_wire_encode_request(const struct sq_request *request, uint8_t **bytes, size_t *length,
                           struct sq_error *error)
{
    sq_autoarena struct sq_arena arena;
    sq_arena_init(&arena);
    Squall__V1__Request message = SQUALL__V1__REQUEST__INIT;
    message.version = request->version;
    message.verb = request->verb;
    message.title = sq_codec_put_text(&arena, request->title, sizeof request->title);
    message.operator_name = sq_codec_put_text(&arena, request->operator_name, sizeof request->operator_name);
    if (message.title == NULL || message.operator_name == NULL ||
        sq_codec_put_id(&arena, &request->instance, &message.instance) != 0 ||
        sq_codec_put_id(&arena, &request->experiment, &message.experiment) != 0)
        return sq_codec_no_memory(error);
    if (request->version >= 2 && sq_codec_put_id(&arena, &request->token, &message.token) != 0)
        return sq_codec_no_memory(error);
    if (request->version >= 2)
        message.prepared_until_boot_ns = request->prepared_until_boot_ns;
    message.lease_ns = request->lease_ns;
    message.not_after_boot_ns = request->not_after_boot_ns;
    message.at_boot_ns = request->at_boot_ns;
    message.fault_mask = request->fault_mask;
    if (put_faults(&arena, request, &message, error) != 0)
        return -1;
    return sq_codec_pack(&message.base, bytes, length, error);
}

static int get_request(const Squall__V1__Request *message, struct sq_request *request, struct sq_error *error)
{
    request->version = message->version;
    if (sq_codec_check_number(message->verb, SQ_VERB_MAX, "verb", error) != 0)
        return -1;
    request->verb = message->verb;
    if (message->n_faults > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%zu faults in one request; at most %d are allowed",
                       message->n_faults, SQ_FAULTS_MAX);
    if (sq_codec_get_id(&message->instance, &request->instance, "instance", error) != 0 ||
        sq_codec_get_id(&message->experiment, &request->experiment, "experiment", error) != 0 ||
        sq_codec_get_id(&message->token, &request->token, "token", error) != 0 ||
        sq_codec_get_text(message->title, request->title, sizeof request->title, "title", error) != 0 ||
        sq_codec_get_text(message->operator_name, request->operator_name, sizeof request->operator_name,
                          "operator_name", error) != 0)
        return -1;
    request->lease_ns = message->lease_ns;
    request->not_after_boot_ns = message->not_after_boot_ns;
    request->prepared_until_boot_ns = message->prepared_until_boot_ns;
    request->at_boot_ns = message->at_boot_ns;
    request->fault_mask = message->fault_mask;
    for (size_t i = 0; i < message->n_faults; i++) {
        struct sq_fault_order *order = &request->faults[i];
        request->fault_count = (uint32_t)i + 1; /* for sq_request_clear, should this one be refused */
        order->index = message->faults[i]->index;
        order->duration_ns = message->faults[i]->duration_ns;
        if (sq_codec_get_spec(message->faults[i], &order->spec, error) != 0)
            return -1;
    }
    return sq_request_check(request, error);
}

int sq_wire_decode_request(const uint8_t *bytes, size_t length, struct sq_request *request,
                           struct sq_error *error)
{
    sq_request_clear(request);
    uint32_t version = 0;
    uint32_t verb = 0;
    if (sq_codec_peek(bytes, length, &version, &verb)) {
        request->version = version;
        request->verb = verb <= SQ_VERB_MAX ? verb : SQ_VERB_NONE;
        if (sq_protocol_check_request(version, error) != 0)
            return -1;
    }
    sq_autoarena struct sq_arena arena;
    sq_arena_init(&arena);
    ProtobufCMessage *message = NULL;
    if (sq_codec_unpack(&squall__v1__request__descriptor, &arena, bytes, length, true, "request", &message,
                        error) != 0)
        return -1;
    return get_request((const Squall__V1__Request *)message, request, error);
}

int sq_wire_translate_request(const uint8_t *bytes, size_t length, uint32_t version, uint8_t **translated,
                              size_t *translated_length, struct sq_error *error)
{
    sq_autofree struct sq_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return sq_codec_no_memory(error);
    if (sq_wire_decode_request(bytes, length, request, error) != 0)
        return -1;
    request->version = version;
    return sq_wire_encode_request(request, translated, translated_length, error);
}
