/* Fault specs to protobuf and back, by the parameter table: a new fault kind needs nothing here. */
#include "table/params.h"
#include "wire/codec.h"

#include <stdio.h>
#include <string.h>

#define FIELD_OF_KIND 16 /* FaultOrder's oneof: field number = 16 + kind */

_Static_assert(sizeof(Squall__V1__FaultOrder__SpecCase) == sizeof(uint32_t),
               "the oneof's case is read as 32 bits");

static const ProtobufCFieldDescriptor *field_of_kind(uint32_t kind)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(&squall__v1__fault_order__descriptor, FIELD_OF_KIND + kind);
    return field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE ? field : NULL;
}

/* A parameter's field is named like its key, with '_' for '-'. */
static const ProtobufCFieldDescriptor *field_of_param(const ProtobufCMessageDescriptor *message,
                                                      const struct sq_param *param)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s", param->key);
    for (char *c = name; *c != '\0'; c++)
        if (*c == '-')
            *c = '_';
    return protobuf_c_message_descriptor_get_field_by_name(message, name);
}

static bool field_fits(const ProtobufCFieldDescriptor *field, const struct sq_param *param)
{
    ProtobufCType type = PROTOBUF_C_TYPE_UINT32;
    if (param->type == SQ_PARAM_CIDRS)
        return field->type == PROTOBUF_C_TYPE_BYTES && field->label == PROTOBUF_C_LABEL_REPEATED;
    if (param->type == SQ_PARAM_TEXT || param->type == SQ_PARAM_CORES)
        type = PROTOBUF_C_TYPE_STRING;
    else if (param->type == SQ_PARAM_PERCENT)
        type = PROTOBUF_C_TYPE_DOUBLE;
    else if (param->type == SQ_PARAM_SEED || param->type == SQ_PARAM_DURATION || param->type == SQ_PARAM_SIZE)
        type = PROTOBUF_C_TYPE_UINT64;
    return field->type == type && field->label == PROTOBUF_C_LABEL_NONE;
}

static size_t number_size(const struct sq_param *param)
{
    switch (param->type) {
    case SQ_PARAM_PERCENT:
        return sizeof(double);
    case SQ_PARAM_SEED:
    case SQ_PARAM_DURATION:
    case SQ_PARAM_SIZE:
        return sizeof(uint64_t);
    default:
        return sizeof(uint32_t);
    }
}

/* The descriptor of a kind's message and of one parameter's field, both checked. */
static int find_field(const ProtobufCFieldDescriptor *kind, const struct sq_param *param,
                      const ProtobufCFieldDescriptor **field, struct sq_error *error)
{
    *field = field_of_param(kind->descriptor, param);
    if (*field == NULL || !field_fits(*field, param))
        return sq_fail(error, SQ_INTERNAL, "squall.proto has no fitting field in %s for the parameter '%s'",
                       kind->name, param->key);
    return 0;
}

static size_t address_bytes(const struct sq_cidr *cidr)
{
    return cidr->family == 4 ? 4 : 16;
}

static int put_cidrs(struct sq_arena *arena, const struct sq_fault_spec *spec, const struct sq_param *param,
                     const ProtobufCFieldDescriptor *field, char *message, struct sq_error *error)
{
    uint32_t count;
    memcpy(&count, (const char *)spec + param->count_offset, sizeof count);
    if (count > (uint32_t)param->most)
        return sq_fail(error, SQ_INTERNAL, "'%s' has %u entries", param->key, count);
    ProtobufCBinaryData *list = sq_arena_allocate(arena, count * sizeof *list);
    if (list == NULL)
        return sq_codec_no_memory(error);
    for (uint32_t i = 0; i < count; i++) {
        struct sq_cidr cidr;
        memcpy(&cidr, (const char *)spec + param->offset + i * sizeof cidr, sizeof cidr);
        size_t length = address_bytes(&cidr);
        uint8_t *data = sq_arena_allocate(arena, length + 1);
        if (data == NULL)
            return sq_codec_no_memory(error);
        memcpy(data, cidr.address, length);
        data[length] = cidr.prefix;
        list[i] = (ProtobufCBinaryData){.len = length + 1, .data = data};
    }
    size_t quantity = count;
    memcpy(message + field->quantifier_offset, &quantity, sizeof quantity);
    memcpy(message + field->offset, &list, sizeof(void *));
    return 0;
}

/* As the same text that people write: short for what is usual, and readable in a trace. */
static int put_cores(struct sq_arena *arena, const struct sq_fault_spec *spec, const struct sq_param *param,
                     const ProtobufCFieldDescriptor *field, char *message, struct sq_error *error)
{
    char text[SQ_CORES_TEXT_MAX];
    if (!sq_param_format(spec, param, text, sizeof text))
        text[0] = '\0';
    char *copy = sq_codec_put_text(arena, text, sizeof text);
    if (copy == NULL)
        return sq_codec_no_memory(error);
    memcpy(message + field->offset, &copy, sizeof copy);
    return 0;
}

static int get_cores(const char *message, const ProtobufCFieldDescriptor *field, const struct sq_param *param,
                     struct sq_fault_spec *spec, struct sq_error *error)
{
    char text[SQ_CORES_TEXT_MAX];
    const char *source;
    memcpy(&source, message + field->offset, sizeof source);
    if (sq_codec_get_text(source, text, sizeof text, param->key, error) != 0)
        return -1;
    if (text[0] == '\0')
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is missing", param->key);
    return sq_spec_set(spec, param, text, error);
}

static int put_param(struct sq_arena *arena, const struct sq_fault_spec *spec, const struct sq_param *param,
                     const ProtobufCFieldDescriptor *field, char *message, struct sq_error *error)
{
    const char *value = (const char *)spec + param->offset;
    if (param->type == SQ_PARAM_CIDRS)
        return put_cidrs(arena, spec, param, field, message, error);
    if (param->type == SQ_PARAM_CORES)
        return put_cores(arena, spec, param, field, message, error);
    if (param->type != SQ_PARAM_TEXT) {
        memcpy(message + field->offset, value, number_size(param));
        return 0;
    }
    size_t length = strnlen(value, param->size);
    if (length == param->size)
        return sq_fail(error, SQ_INTERNAL, "'%s' is not terminated", param->key);
    if (!sq_codec_is_utf8(value, length))
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is not UTF-8", param->key);
    char *copy = sq_codec_put_text(arena, value, param->size);
    if (copy == NULL)
        return sq_codec_no_memory(error);
    memcpy(message + field->offset, &copy, sizeof copy);
    return 0;
}

int sq_codec_put_spec(struct sq_arena *arena, const struct sq_fault_spec *spec, Squall__V1__FaultOrder *order,
                      struct sq_error *error)
{
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    const ProtobufCFieldDescriptor *kind = info == NULL ? NULL : field_of_kind(spec->kind);
    if (kind == NULL)
        return sq_fail(error, SQ_INTERNAL, "fault kind %d has no message", (int)spec->kind);
    char *message = sq_codec_new(arena, kind->descriptor);
    if (message == NULL)
        return sq_codec_no_memory(error);
    for (size_t i = 0; i < info->param_count; i++) {
        const ProtobufCFieldDescriptor *field = NULL;
        if (find_field(kind, &info->params[i], &field, error) != 0 ||
            put_param(arena, spec, &info->params[i], field, message, error) != 0)
            return -1;
    }
    uint32_t number = kind->id;
    memcpy((char *)order + kind->quantifier_offset, &number, sizeof number);
    memcpy((char *)order + kind->offset, &message, sizeof message);
    return 0;
}

static int get_cidrs(const char *message, const ProtobufCFieldDescriptor *field, const struct sq_param *param,
                     struct sq_fault_spec *spec, struct sq_error *error)
{
    size_t count;
    const ProtobufCBinaryData *list;
    memcpy(&count, message + field->quantifier_offset, sizeof count);
    memcpy(&list, message + field->offset, sizeof(void *));
    if (count > (size_t)param->most)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' has %zu entries; at most %.0f are allowed", param->key,
                       count, param->most);
    for (size_t i = 0; i < count; i++) {
        struct sq_cidr cidr = {.family = list[i].len == 5 ? 4 : 6};
        if (list[i].len != address_bytes(&cidr) + 1)
            return sq_fail(error, SQ_BAD_INPUT, "entry %zu of '%s' is not an address range", i + 1,
                           param->key);
        memcpy(cidr.address, list[i].data, list[i].len - 1);
        cidr.prefix = list[i].data[list[i].len - 1];
        memcpy((char *)spec + param->offset + i * sizeof cidr, &cidr, sizeof cidr);
    }
    uint32_t narrow = (uint32_t)count;
    memcpy((char *)spec + param->count_offset, &narrow, sizeof narrow);
    return 0;
}

static int get_param(const char *message, const ProtobufCFieldDescriptor *field, const struct sq_param *param,
                     struct sq_fault_spec *spec, struct sq_error *error)
{
    char *value = (char *)spec + param->offset;
    if (param->type == SQ_PARAM_CIDRS)
        return get_cidrs(message, field, param, spec, error);
    if (param->type == SQ_PARAM_CORES)
        return get_cores(message, field, param, spec, error);
    if (param->type != SQ_PARAM_TEXT) {
        memcpy(value, message + field->offset, number_size(param));
        return 0;
    }
    const char *text;
    memcpy(&text, message + field->offset, sizeof text);
    return sq_codec_get_text(text, value, param->size, param->key, error);
}

int sq_codec_get_spec(const Squall__V1__FaultOrder *order, struct sq_fault_spec *spec, struct sq_error *error)
{
    uint32_t number;
    memcpy(&number, &order->spec_case, sizeof number);
    const struct sq_fault_info *info =
        number < FIELD_OF_KIND ? NULL : sq_fault_by_kind(number - FIELD_OF_KIND);
    if (info == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "fault %u names no fault kind", order->index);
    const ProtobufCFieldDescriptor *kind = field_of_kind(info->kind);
    if (kind == NULL)
        return sq_fail(error, SQ_INTERNAL, "fault kind %d has no message", (int)info->kind);
    const char *message;
    memcpy(&message, (const char *)order + kind->offset, sizeof message);
    memset(spec, 0, sizeof *spec);
    spec->kind = info->kind;
    for (size_t i = 0; i < info->param_count; i++) {
        const ProtobufCFieldDescriptor *field = NULL;
        if (find_field(kind, &info->params[i], &field, error) != 0 ||
            get_param(message, field, &info->params[i], spec, error) != 0)
            return -1;
    }
    return 0;
}

int sq_codec_check_schema(struct sq_error *error)
{
    for (size_t k = 0; k < sq_fault_table_count; k++) {
        const struct sq_fault_info *info = sq_fault_table[k];
        const ProtobufCFieldDescriptor *kind = field_of_kind(info->kind);
        if (kind == NULL)
            return sq_fail(error, SQ_INTERNAL, "FaultOrder has no message for %s, number %d", info->name,
                           FIELD_OF_KIND + (int)info->kind);
        for (size_t i = 0; i < info->param_count; i++) {
            const ProtobufCFieldDescriptor *field = NULL;
            if (find_field(kind, &info->params[i], &field, error) != 0)
                return -1;
        }
        const ProtobufCMessageDescriptor *message = kind->descriptor;
        if (message->n_fields != info->param_count)
            return sq_fail(error, SQ_INTERNAL, "%s has %u fields for %zu parameters", message->short_name,
                           message->n_fields, info->param_count);
    }
    return 0;
}
