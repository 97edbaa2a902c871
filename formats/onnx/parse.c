/* Bytes to messages. protobuf-c does the work; it recurses as deep as messages nest and allocates whatever counts in
 * the file ask for, so the file's structure is checked first, and what it allocates is bounded. */
#include "formats/onnx/import.h"

/* As deep as protobuf's own readers go: a deeper file could not be read elsewhere either. */
#define DEEPEST_MESSAGE 100

/* Most of what parsing may take for each byte of the file. Ordinary models stay below 10; a list of one-byte numbers
 * that is not packed takes 44. */
#define MEMORY_FACTOR 64
#define MEMORY_BASE ((size_t)1 << 20)

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct scan {
    struct error *error;
    const uint8_t *file; /* its first byte, for offsets in errors */
};

static enum status malformed(const struct scan *scan, const uint8_t *at, const char *what)
{
    return error_set(scan->error, STATUS_INVALID_MODEL, "not a valid ONNX file: byte %s: %s",
                     grouped((uint64_t)(at - scan->file)).text, what);
}

/* NULL where the number does not end within the message. */
static const uint8_t *read_varint(const uint8_t *at, const uint8_t *end, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        *number |= (uint64_t)(*at & 0x7f) << shift;
        if (!(*at++ & 0x80))
            return at;
    }
    return NULL;
}

static enum wire wire_of(ProtobufCType type)
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

/* Numbers in a list come one by one or packed, whatever their declaration says. */
static bool wire_fits(const ProtobufCFieldDescriptor *field, unsigned wire)
{
    return wire == wire_of(field->type) || (wire == WIRE_BYTES && field->label == PROTOBUF_C_LABEL_REPEATED);
}

static enum status scan_message(const struct scan *scan, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                                const uint8_t *end, int depth);

static enum status scan_field(const struct scan *scan, const ProtobufCMessageDescriptor *type, const uint8_t **at,
                              const uint8_t *end, int depth)
{
    const uint8_t *start = *at;
    uint64_t tag, length = 0;
    const uint8_t *next = read_varint(start, end - start > 5 ? start + 5 : end, &tag);
    if (!next || tag > UINT32_MAX || tag >> 3 == 0)
        return malformed(scan, start, "no field begins here");
    unsigned wire = (unsigned)tag & 7;
    if (wire == WIRE_VARINT)
        next = read_varint(next, end, &length);
    else if (wire == WIRE_64 || wire == WIRE_32)
        length = wire == WIRE_64 ? 8 : 4;
    else if (wire == WIRE_BYTES)
        next = read_varint(next, end, &length);
    else
        return malformed(scan, start, "no field begins here");
    if (wire == WIRE_VARINT)
        length = 0;
    if (!next || length > (uint64_t)(end - next))
        return malformed(scan, start, "a field runs past the end of what holds it (the file may have been cut)");
    *at = next + length;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    if (!field)
        return STATUS_OK;
    if (!wire_fits(field, wire))
        return malformed(scan, start, "a field has the wrong type");
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return STATUS_OK;
    return scan_message(scan, field->descriptor, next, next + length, depth + 1);
}

static enum status scan_message(const struct scan *scan, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                                const uint8_t *end, int depth)
{
    if (depth > DEEPEST_MESSAGE)
        return malformed(scan, at, "messages are nested more than 100 deep");
    while (at < end)
        TRY(scan_field(scan, type, &at, end, depth));
    return STATUS_OK;
}

/* protobuf-c's allocator: into the region, where nothing is freed alone. */
struct pool {
    struct region *region;
    size_t left;
    enum status status;
};

static void *pool_allocate(void *data, size_t bytes)
{
    struct pool *pool = data;
    void *memory = bytes <= pool->left ? region_buffer(pool->region, bytes) : NULL;
    if (memory)
        pool->left -= bytes;
    else
        pool->status = bytes <= pool->left ? STATUS_OUT_OF_MEMORY : STATUS_INVALID_MODEL;
    return memory;
}

static void pool_free(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

enum status onnx_parse(struct import *im, const void *bytes, Onnx__Model **model)
{
    struct scan scan = {im->error, bytes};
    if (im->file_size > INT32_MAX)
        return error_set(im->error, STATUS_INVALID_MODEL,
                         "the file has %s bytes; ONNX allows 2 GiB, and keeps larger weights in files of their own",
                         grouped(im->file_size).text);
    TRY(scan_message(&scan, &onnx__model__descriptor, bytes, scan.file + im->file_size, 1));
    struct pool pool = {im->region, MEMORY_BASE + MEMORY_FACTOR * im->file_size, STATUS_OK};
    ProtobufCAllocator allocator = {pool_allocate, pool_free, &pool};
    *model = onnx__model__unpack(&allocator, im->file_size, bytes);
    if (*model)
        return STATUS_OK;
    if (pool.status == STATUS_OUT_OF_MEMORY)
        return onnx_no_memory(im);
    if (pool.status != STATUS_OK)
        return error_set(im->error, pool.status,
                         "not a sensible ONNX file: reading it takes more than %d times its size", MEMORY_FACTOR);
    return error_set(im->error, STATUS_INVALID_MODEL, "not a valid ONNX file: a list of numbers is malformed");
}
