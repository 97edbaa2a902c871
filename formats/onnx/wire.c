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

const char *wire_next(const ProtobufCMessageDescriptor *type, const uint8_t **at, const uint8_t *end,
                      struct wire_field *field)
{
    uint64_t tag;
    const uint8_t *next = read_varint(*at, end - *at > 5 ? *at + 5 : end, &tag);
    enum wire wire = (enum wire)(tag & 7);
    bool known = wire == WIRE_VARINT || wire == WIRE_64 || wire == WIRE_BYTES || wire == WIRE_32;
    if (!next || tag > UINT32_MAX || tag >> 3 == 0 || !known)
        return "no field begins here";
    next = wire_number(wire == WIRE_BYTES ? WIRE_VARINT : wire, next, end, &field->number);
    if (!next || (wire == WIRE_BYTES && field->number > (uint64_t)(end - next)))
        return "a field runs past the end of what holds it (the file may have been cut)";
    *at = field->bytes = next;
    if (wire == WIRE_BYTES)
        *at += field->number;
    if (tag == field->tag)
        return NULL;
    *field = (struct wire_field){.tag = tag, .wire = wire, .number = field->number, .bytes = next};
    field->type = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    return field->type && !fits(field->type, wire) ? "a field has the wrong type" : NULL;
}
