#include "formats/onnx/wire.h"

#include <string.h>

static inline const uint8_t *read_varint(const uint8_t *at, const uint8_t *end, uint64_t *number)
{
    if (at < end && *at < 0x80) {
        *number = *at;
        return at + 1;
    }
    *number = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        *number |= (uint64_t)(*at & 0x7f) << shift;
        if (!(*at++ & 0x80))
            return at;
    }
    return NULL;
}

const uint8_t *wire_number(enum wire wire, const uint8_t *at, const uint8_t *end, uint64_t *number)
{
    if (wire == WIRE_VARINT)
        return read_varint(at, end, number);
    size_t bytes = wire == WIRE_64 ? 8 : 4;
    if ((size_t)(end - at) < bytes)
        return NULL;
    *number = 0;
    memcpy(number, at, bytes);
    return at + bytes;
}

enum wire wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_32;
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_64;
    default:
        return WIRE_VARINT;
    }
}

static bool fits(const ProtobufCFieldDescriptor *type, enum wire wire)
{
    return wire == wire_of(type->type) || (wire == WIRE_BYTES && type->label == PROTOBUF_C_LABEL_REPEATED);
}

/* What the tag at *at says; moves *at behind it. */
static const char *read_tag(const ProtobufCMessageDescriptor *type, const uint8_t **at, const uint8_t *end,
                            struct wire_field *field)
{
    uint64_t tag;
    const uint8_t *next = read_varint(*at, end - *at > 5 ? *at + 5 : end, &tag);
    enum wire wire = (enum wire)(tag & 7);
    bool known = wire == WIRE_VARINT || wire == WIRE_64 || wire == WIRE_BYTES || wire == WIRE_32;
    if (!next || tag > UINT32_MAX || tag >> 3 == 0 || !known)
        return "no field begins here";
    *field = (struct wire_field){.tag = (uint32_t)tag, .wire = wire};
    field->type = protobuf_c_message_descriptor_get_field(type, field->tag >> 3);
    *at = next;
    return field->type && !fits(field->type, wire) ? "a field has the wrong type" : NULL;
}

const char *wire_next(const ProtobufCMessageDescriptor *type, const uint8_t **at, const uint8_t *end,
                      struct wire_field *field)
{
    const uint8_t *next = *at;
    if (*next == field->tag && *next > 0 && *next < 0x80) { /* as most entries of a list */
        next++;
    } else {
        const char *wrong = read_tag(type, &next, end, field);
        if (wrong)
            return wrong;
    }
    bool bytes = field->wire == WIRE_BYTES;
    next = bytes ? read_varint(next, end, &field->number) : wire_number(field->wire, next, end, &field->number);
    if (!next || (bytes && field->number > (uint64_t)(end - next)))
        return "a field runs past the end of what holds it (the file may have been cut)";
    field->bytes = next;
    *at = bytes ? next + field->number : next;
    return NULL;
}
