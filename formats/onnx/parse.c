/* Bytes to messages. The messages and their descriptions are protobuf-c's. Its reader is not used: it takes 40 bytes
 * for each entry of a list that is not packed, and lists of trees have tens of millions. */
#include "formats/onnx/import.h"
#include "formats/onnx/wire.h"

#include <string.h>

/* As deep as protobuf's own readers go: a deeper file could not be read elsewhere either. */
#define DEEPEST_MESSAGE 100

/* Most of what parsing may take for each byte of the file. Ordinary models stay below 10; a message of two bytes may
 * take hundreds. */
#define MEMORY_FACTOR 64
#define MEMORY_BASE ((size_t)1 << 20)

struct parser {
    struct import *im;
    const uint8_t *file; /* its first byte, for offsets in errors */
    size_t left;         /* memory that may still be taken */
};

static enum status malformed(const struct parser *p, const uint8_t *at, const char *what)
{
    return error_set(p->im->error, STATUS_INVALID_MODEL, "not a valid ONNX file: byte %s: %s",
                     grouped((uint64_t)(at - p->file)).text, what);
}

static enum status take(struct parser *p, size_t bytes, void **memory)
{
    if (bytes > p->left)
        return error_set(p->im->error, STATUS_INVALID_MODEL,
                         "not a sensible ONNX file: reading it takes more than %d times its size", MEMORY_FACTOR);
    p->left -= bytes;
    *memory = region_buffer(p->im->region, bytes);
    return *memory ? STATUS_OK : onnx_no_memory(p->im);
}

static size_t entry_bytes(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

/* --- the first pass over a message: is it well formed, and how long are its lists --------------------------------- */

static enum status count_packed(struct parser *p, const struct wire_field *field, size_t *count)
{
    const uint8_t *at = field->bytes, *end = at + field->number;
    enum wire wire = wire_of(field->type->type);
    for (uint64_t number; at < end; ++*count) {
        const uint8_t *next = wire_number(wire, at, end, &number);
        if (!next)
            return malformed(p, at, "a list of numbers is malformed");
        at = next;
    }
    return STATUS_OK;
}

static size_t *count_of(ProtobufCMessage *message, const ProtobufCFieldDescriptor *list)
{
    return (size_t *)(void *)((char *)message + list->quantifier_offset);
}

/* Adds to the count that the message has already. */
static enum status count_entry(struct parser *p, const struct wire_field *field, ProtobufCMessage *message)
{
    size_t *count = count_of(message, field->type);
    if (wire_is_packed(field))
        return count_packed(p, field, count);
    ++*count;
    return STATUS_OK;
}

static enum status next_field(struct parser *p, const ProtobufCMessage *message, const uint8_t **at, const uint8_t *end,
                              struct wire_field *field)
{
    const uint8_t *start = *at;
    const char *wrong = wire_next(message->descriptor, at, end, field);
    return wrong ? malformed(p, start, wrong) : STATUS_OK;
}

static bool is_list(const struct wire_field *field)
{
    return field->type && field->type->label == PROTOBUF_C_LABEL_REPEATED;
}

static enum status count_entries(struct parser *p, const uint8_t *at, const uint8_t *end, ProtobufCMessage *message)
{
    struct wire_field field = {0};
    while (at < end) {
        TRY(next_field(p, message, &at, end, &field));
        if (is_list(&field))
            TRY(count_entry(p, &field, message));
    }
    return STATUS_OK;
}

/* --- between them: room for the lists ----------------------------------------------------------------------------- */

/* Makes lists as long as was counted, and moves into them what a message that comes in several parts had `before`. */
static enum status reserve(struct parser *p, ProtobufCMessage *message, ProtobufCMessage *before)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->label != PROTOBUF_C_LABEL_REPEATED)
            continue;
        size_t *count = count_of(message, field), old = before ? *count_of(before, field) : 0, bytes;
        if (*count == old)
            continue;
        void *list, **member = (void **)(void *)((char *)message + field->offset);
        if (!multiply_size(*count, entry_bytes(field->type), &bytes))
            return onnx_no_memory(p->im);
        TRY(take(p, bytes, &list));
        if (old)
            memcpy(list, *member, old * entry_bytes(field->type));
        *member = list;
        *count = old;
    }
    return STATUS_OK;
}

/* --- the second pass: what it holds ------------------------------------------------------------------------------- */

static enum status parse_message(struct parser *p, const uint8_t *at, const uint8_t *end, int depth,
                                 ProtobufCMessage *message, ProtobufCMessage *before);

static void store_number(ProtobufCType type, uint64_t number, void *to)
{
    memcpy(to, &number, entry_bytes(type)); /* the first bytes are the lowest: see formats/model_file_layout.h */
}

/* A message that is there already came in parts: together they are the whole. */
static enum status store_message(struct parser *p, const struct wire_field *field, int depth, ProtobufCMessage **to)
{
    const ProtobufCMessageDescriptor *type = field->type->descriptor;
    void *memory;
    TRY(take(p, type->sizeof_message, &memory));
    ProtobufCMessage *before = *to ? memcpy(memory, *to, type->sizeof_message) : NULL;
    if (!*to) {
        *to = memory;
        type->message_init(*to);
    }
    return parse_message(p, field->bytes, field->bytes + field->number, depth + 1, *to, before);
}

static enum status store_bytes(struct parser *p, const struct wire_field *field, ProtobufCBinaryData *to)
{
    void *copy = NULL;
    if (field->number) {
        TRY(take(p, (size_t)field->number, &copy));
        memcpy(copy, field->bytes, (size_t)field->number);
    }
    *to = (ProtobufCBinaryData){(size_t)field->number, copy};
    return STATUS_OK;
}

/* ASCII's for a character that cannot be: for a zero, which would end the string and make it another. */
#define SUBSTITUTE '\x1a'

static enum status store_string(struct parser *p, const struct wire_field *field, char **to)
{
    void *copy;
    TRY(take(p, (size_t)field->number + 1, &copy));
    memcpy(copy, field->bytes, (size_t)field->number);
    *to = copy;
    (*to)[field->number] = '\0';
    for (char *zero; (zero = memchr(*to, '\0', (size_t)field->number)) != NULL;)
        *zero = SUBSTITUTE;
    return STATUS_OK;
}

static enum status store(struct parser *p, const struct wire_field *field, int depth, void *to)
{
    switch (field->type->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return store_message(p, field, depth, to);
    case PROTOBUF_C_TYPE_BYTES:
        return store_bytes(p, field, to);
    case PROTOBUF_C_TYPE_STRING:
        return store_string(p, field, to);
    default:
        store_number(field->type->type, field->number, to);
        return STATUS_OK;
    }
}

static void append_packed(const struct wire_field *field, char *list, size_t *count)
{
    const uint8_t *at = field->bytes, *end = at + field->number;
    enum wire wire = wire_of(field->type->type);
    for (uint64_t number; at < end; ++*count) {
        at = wire_number(wire, at, end, &number);
        store_number(field->type->type, number, list + *count * entry_bytes(field->type->type));
    }
}

static enum status append(struct parser *p, const struct wire_field *field, int depth, char *list, size_t *count)
{
    if (wire_is_packed(field)) {
        append_packed(field, list, count);
        return STATUS_OK;
    }
    char *to = list + *count * entry_bytes(field->type->type);
    if (field->type->type == PROTOBUF_C_TYPE_MESSAGE)
        memset(to, 0, sizeof(void *));
    ++*count;
    return store(p, field, depth, to);
}

static enum status store_field(struct parser *p, const struct wire_field *field, int depth, ProtobufCMessage *message)
{
    char *member = (char *)message + field->type->offset;
    void *quantifier = (char *)message + field->type->quantifier_offset;
    if (field->type->label == PROTOBUF_C_LABEL_REPEATED)
        return append(p, field, depth, *(char **)(void *)member, quantifier);
    if (field->type->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        uint32_t *which = quantifier;
        if (*which != field->type->id)
            memset(member, 0, entry_bytes(field->type->type));
        *which = field->type->id;
    } else if (field->type->quantifier_offset) {
        *(protobuf_c_boolean *)quantifier = 1;
    }
    return store(p, field, depth, member);
}

/* --- attributes, in one pass -------------------------------------------------------------------------------------- */

/* Notes where in the file an attribute lies: each is in a list of attributes, so none of them comes in parts. */
static enum status keep_place(struct parser *p, ProtobufCMessage *message, const uint8_t *at, const uint8_t *end)
{
    void *memory;
    TRY(take(p, sizeof *message->unknown_fields, &memory));
    message->unknown_fields = memory;
    message->unknown_fields[0] =
        (ProtobufCMessageUnknownField){.len = (size_t)(end - at), .data = (uint8_t *)(uintptr_t)at};
    message->n_unknown_fields = 1;
    return STATUS_OK;
}

/* Its lists are left to list.c. */
static enum status parse_attribute(struct parser *p, const uint8_t *at, const uint8_t *end, int depth,
                                   ProtobufCMessage *message)
{
    struct wire_field field = {0};
    TRY(keep_place(p, message, at, end));
    while (at < end) {
        TRY(next_field(p, message, &at, end, &field));
        if (is_list(&field))
            TRY(count_entry(p, &field, message));
        else if (field.type)
            TRY(store_field(p, &field, depth, message));
    }
    return STATUS_OK;
}

static enum status parse_message(struct parser *p, const uint8_t *at, const uint8_t *end, int depth,
                                 ProtobufCMessage *message, ProtobufCMessage *before)
{
    if (depth > DEEPEST_MESSAGE)
        return malformed(p, at, "messages are nested more than 100 deep");
    if (message->descriptor == &onnx__attribute__descriptor)
        return parse_attribute(p, at, end, depth, message);
    TRY(count_entries(p, at, end, message));
    TRY(reserve(p, message, before));
    struct wire_field field = {0};
    while (at < end) {
        wire_next(message->descriptor, &at, end, &field);
        if (field.type)
            TRY(store_field(p, &field, depth, message));
    }
    return STATUS_OK;
}

enum status onnx_parse(struct import *im, const void *bytes, Onnx__Model **model)
{
    struct parser parser = {im, bytes, MEMORY_BASE};
    if (im->file_size > INT32_MAX)
        return error_set(im->error, STATUS_INVALID_MODEL,
                         "the file has %s bytes; ONNX allows 2 GiB, and keeps larger weights in files of their own",
                         grouped(im->file_size).text);
    parser.left += MEMORY_FACTOR * im->file_size;
    *model = region_allocate(im->region, sizeof **model);
    if (!*model)
        return onnx_no_memory(im);
    onnx__model__init(*model);
    return parse_message(&parser, bytes, parser.file + im->file_size, 1, &(*model)->base, NULL);
}
