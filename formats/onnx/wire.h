/* Protobuf's wire format: the fields of a message, one after the other. */
#ifndef INFER_FORMATS_ONNX_WIRE_H
#define INFER_FORMATS_ONNX_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* All zero before the first field of a message: a field that follows one of its kind is not looked up again. */
struct wire_field {
    uint32_t tag;
    const ProtobufCFieldDescriptor *type; /* NULL: a field that the message's description does not have */
    enum wire wire;
    uint64_t number;      /* its bits; of WIRE_BYTES: how many bytes follow */
    const uint8_t *bytes; /* of WIRE_BYTES */
};

/* The bits of a number that lies alone, or in a packed list. Returns where it ends; NULL where that is not before
 * `end`, or it is longer than a number can be. */
const uint8_t *wire_number(enum wire wire, const uint8_t *at, const uint8_t *end, uint64_t *number);

/* Reads the field at *at, which is before `end`, and moves *at behind it. NULL, or what is wrong with the field. */
const char *wire_next(const ProtobufCMessageDescriptor *type, const uint8_t **at, const uint8_t *end,
                      struct wire_field *field);

/* How entries of that type stand alone, or, where they are numbers, in a packed list. */
enum wire wire_of(ProtobufCType type);

/* Numbers in a list come one by one or packed, whatever their declaration says. */
static inline bool wire_is_packed(const struct wire_field *field)
{
    return field->wire == WIRE_BYTES && wire_of(field->type->type) != WIRE_BYTES;
}

#endif
