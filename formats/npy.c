#include "formats/npy.h"

#include "formats/file.h"
#include "formats/npy_header.h"
#include "graph/graph.h"
#include "kernels/copy.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays are kept in little-endian order");

/* NumPy's own limit. A header of a type that can be read has a few hundred bytes at most. */
#define HEADER_MOST_BYTES 10000

/* --- reading ------------------------------------------------------------------------------------------------------ */

static enum status take(struct npy_source *source, void *to, size_t size, struct error *error)
{
    if (source->bytes) {
        memcpy(to, source->bytes, size);
        source->bytes += size;
    } else {
        enum status status = source->read(source->user, to, size, error);
        if (status != STATUS_OK)
            return status;
    }
    source->left -= size;
    return STATUS_OK;
}

/* The part in front of the dictionary: magic, version, and how long the dictionary is. */
static enum status read_preamble(struct npy_source *source, size_t *length, struct error *error)
{
    unsigned char preamble[NPY_PREAMBLE_BYTES], digits[4] = {0};
    if (source->left < NPY_PREAMBLE_BYTES)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is no NPY file: it has only %zu bytes", source->name,
                         source->left);
    enum status status = take(source, preamble, sizeof preamble, error);
    if (status != STATUS_OK)
        return status;
    if (memcmp(preamble, NPY_MAGIC, NPY_MAGIC_BYTES) != 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is no NPY file: it does not begin with \\x93NUMPY",
                         source->name);
    unsigned major = preamble[6], minor = preamble[7];
    if (major < 1 || major > 3 || minor != 0)
        return error_set(error, STATUS_UNSUPPORTED, "%s: has NPY version %u.%u; 1.0, 2.0 and 3.0 can be read",
                         source->name, major, minor);
    size_t width = major == 1 ? 2 : 4;
    if (source->left < width)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: ends within its NPY header", source->name);
    status = take(source, digits, width, error);
    *length = digits[0] | (size_t)digits[1] << 8 | (size_t)digits[2] << 16 | (size_t)digits[3] << 24;
    return status;
}

static enum status read_header(struct npy_source *source, struct npy_header *header, struct error *error)
{
    size_t length = 0;
    char text[HEADER_MOST_BYTES];
    enum status status = read_preamble(source, &length, error);
    if (status != STATUS_OK)
        return status;
    if (length > source->left)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its NPY header of %s bytes ends past the end of the file",
                         source->name, grouped(length).text);
    if (length > sizeof text)
        return error_set(error, STATUS_UNSUPPORTED, "%s: its NPY header has %s bytes; at most %s are read",
                         source->name, grouped(length).text, grouped(sizeof text).text);
    status = take(source, text, length, error);
    return status == STATUS_OK ? npy_header_parse(header, source->name, text, length, error) : status;
}

static const char *type_name(const struct npy_header *header)
{
    return header->dtype == DTYPE_NONE ? "raw items" : dtype_name(header->dtype);
}

/* Fills in everything but the data. Nothing is allocated before the source is known to hold all of it. */
static enum status describe(struct npy_array *array, const struct npy_header *header, const struct npy_source *source,
                            struct error *error)
{
    char shape[MAX_RANK * 21];
    array->dtype = header->dtype;
    array->raw_bytes = header->dtype == DTYPE_NONE ? header->item_bytes : 0;
    array->rank = header->rank;
    memcpy(array->dims, header->dims, sizeof array->dims);
    if (!shape_elements(array->rank, array->dims, &array->elements) ||
        !multiply_size((size_t)array->elements, header->item_bytes, &array->bytes))
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its shape %s is too large", source->name,
                         shape_text(NULL, array->rank, array->dims, shape, sizeof shape));
    if (array->bytes > source->left)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: is cut short: its shape %s of %s needs %s bytes of data, and it has %s", source->name,
                         shape_text(NULL, array->rank, array->dims, shape, sizeof shape), type_name(header),
                         grouped(array->bytes).text, grouped(source->left).text);
    return STATUS_OK;
}

/* From an order in which the first axis runs fastest to one in which the last does. */
static void reorder(const struct npy_array *array, const void *from, unsigned item_bytes)
{
    struct copy_params params = {.rank = array->rank, .element_bytes = item_bytes};
    int64_t from_stride = 1, to_stride = 1;
    memcpy(params.dims, array->dims, sizeof params.dims);
    for (int axis = 0; axis < array->rank; axis++) {
        params.input_strides[axis] = from_stride;
        from_stride *= array->dims[axis];
    }
    for (int axis = array->rank - 1; axis >= 0; axis--) {
        params.output_strides[axis] = to_stride;
        to_stride *= array->dims[axis];
    }
    copy_now(&params, from, array->data);
}

static enum status read_fortran(struct npy_array *array, unsigned item_bytes, struct npy_source *source,
                                struct error *error)
{
    if (source->bytes) {
        reorder(array, source->bytes, item_bytes);
        source->bytes += array->bytes;
        source->left -= array->bytes;
        return STATUS_OK;
    }
    void *staged = allocate(array->allocator, array->bytes, ALIGNMENT);
    if (!staged)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory for %s bytes of data in Fortran order",
                         source->name, grouped(array->bytes).text);
    enum status status = take(source, staged, array->bytes, error);
    if (status == STATUS_OK)
        reorder(array, staged, item_bytes);
    release(array->allocator, staged, array->bytes);
    return status;
}

/* Turns each unit of `unit` bytes around. */
static void swap_bytes(void *data, size_t bytes, unsigned unit)
{
    unsigned char *p = data;
    for (size_t i = 0; i < bytes; i += unit)
        for (unsigned low = 0, high = unit - 1; low < high; low++, high--) {
            unsigned char saved = p[i + low];
            p[i + low] = p[i + high];
            p[i + high] = saved;
        }
}

/* Kernels count on a bool being 0 or 1. */
static void normalise_bools(unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = data[i] != 0;
}

static enum status read_data(struct npy_array *array, const struct npy_header *header, struct npy_source *source,
                             struct error *error)
{
    array->allocated = array->bytes ? array->bytes : 1;
    array->data = allocate(array->allocator, array->allocated, ALIGNMENT);
    if (!array->data)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory for %s bytes of data", source->name,
                         grouped(array->bytes).text);
    bool rearranged = header->fortran && header->rank > 1 && array->elements > 1;
    enum status status = rearranged ? read_fortran(array, header->item_bytes, source, error)
                                    : take(source, array->data, array->bytes, error);
    if (status != STATUS_OK)
        return status;
    bool complex = array->dtype == DTYPE_C64 || array->dtype == DTYPE_C128;
    if (header->swapped && array->dtype != DTYPE_NONE)
        swap_bytes(array->data, array->bytes, complex ? header->item_bytes / 2 : header->item_bytes);
    if (array->dtype == DTYPE_BOOL)
        normalise_bools(array->data, array->bytes);
    return STATUS_OK;
}

enum status npy_read_source(struct npy_array *array, struct npy_source *source, const struct allocator *allocator,
                            struct error *error)
{
    struct npy_header header;
    *array = (struct npy_array){.allocator = allocator};
    enum status status = read_header(source, &header, error);
    if (status == STATUS_OK)
        status = describe(array, &header, source, error);
    if (status == STATUS_OK)
        status = read_data(array, &header, source, error);
    if (status != STATUS_OK)
        npy_free(array);
    return status;
}

enum status npy_read_memory(struct npy_array *array, const char *name, const void *bytes, size_t size,
                            const struct allocator *allocator, struct error *error)
{
    struct npy_source source = {.name = name, .left = size, .bytes = bytes};
    return npy_read_source(array, &source, allocator, error);
}

static bool npy_begins(const void *bytes, size_t size)
{
    return memcmp(bytes, "\x93NUMPY", size < 6 ? size : 6) == 0;
}

enum status npy_read(struct npy_array *array, const char *path, const struct allocator *allocator, struct error *error)
{
    struct file_map map;
    *array = (struct npy_array){0};
    const struct file_rules rules = {.limit = SIZE_MAX, .plausible = npy_begins};
    enum status status = file_open_path(&map, path, &rules, allocator, error);
    if (status != STATUS_OK)
        return status;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    status = npy_read_memory(array, name, map.bytes, map.size, allocator, error);
    file_unmap(&map);
    return status;
}

void npy_free(struct npy_array *array)
{
    release(array->allocator, array->data, array->allocated);
    *array = (struct npy_array){0};
}

/* --- types that NumPy cannot name --------------------------------------------------------------------------------- */

/* Elements of fewer than 8 bits, from and to one a byte; the first of a byte in its lowest bits. */
static void pack(unsigned char *data, int64_t elements, unsigned bits)
{
    unsigned each = 8 / bits, mask = (1u << bits) - 1;
    for (int64_t i = 0; i < elements; i += each) {
        unsigned packed = 0;
        for (unsigned k = 0; k < each && i + k < elements; k++)
            packed |= (data[i + k] & mask) << k * bits;
        data[i / each] = (unsigned char)packed;
    }
}

static void unpack(const unsigned char *packed, unsigned char *data, int64_t elements, unsigned bits, bool negative)
{
    unsigned each = 8 / bits, mask = (1u << bits) - 1, sign = negative ? 1u << (bits - 1) : 0;
    for (int64_t i = 0; i < elements; i++) {
        unsigned value = (unsigned)packed[i / each] >> (unsigned)(i % each) * bits & mask;
        data[i] = (unsigned char)((value ^ sign) - sign);
    }
}

static enum status check_range(const struct npy_array *array, const char *name, enum dtype dtype, struct error *error)
{
    int values = 1 << dtype_bits(dtype);
    int least = dtype_is_signed_integer(dtype) ? -values / 2 : 0;
    const unsigned char *data = array->data;
    for (int64_t i = 0; i < array->elements; i++) {
        int value = array->dtype == DTYPE_I8 ? (int8_t)data[i] : data[i];
        if (value < least || value >= least + values)
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: element %s is %d, which %s cannot hold", name,
                             grouped((uint64_t)i).text, value, dtype_name(dtype));
    }
    return STATUS_OK;
}

enum status npy_reinterpret(struct npy_array *array, const char *name, enum dtype dtype, struct error *error)
{
    unsigned bits = dtype_bits(dtype);
    bool small_integer = bits < 8 && dtype_is_integer(dtype);
    bool bytes = small_integer && (array->dtype == DTYPE_I8 || array->dtype == DTYPE_U8);
    if (array->dtype == dtype && dtype != DTYPE_NONE)
        return STATUS_OK;
    if (!bits || (!bytes && array->raw_bytes != (bits + 7) / 8))
        return array->dtype == DTYPE_NONE
                   ? error_set(error, STATUS_INVALID_ARGUMENT, "%s: holds raw items of %u bytes, not %s", name,
                               array->raw_bytes, dtype_name(dtype))
                   : error_set(error, STATUS_INVALID_ARGUMENT, "%s: holds %s, not %s", name, dtype_name(array->dtype),
                               dtype_name(dtype));
    enum status status = bytes ? check_range(array, name, dtype, error) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (bits < 8)
        pack(array->data, array->elements, bits);
    if (dtype == DTYPE_BOOL)
        normalise_bools(array->data, array->bytes);
    array->dtype = dtype;
    array->raw_bytes = 0;
    array->bytes = dtype_bytes(dtype, array->elements);
    return STATUS_OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static enum status write_parts(const char *path, enum dtype dtype, int rank, const int64_t *dims, const void *data,
                               size_t bytes, struct error *error)
{
    char header[NPY_HEADER_MOST_BYTES];
    const struct file_part parts[] = {{header, npy_header_format(header, dtype, rank, dims)}, {data, bytes}};
    return file_write_parts(path, 2, parts, error);
}

enum status npy_write(const char *path, enum dtype dtype, int rank, const int64_t *dims, const void *data,
                      const struct allocator *allocator, struct error *error)
{
    int64_t elements;
    unsigned bits = dtype_bits(dtype);
    if (!bits)
        return error_set(error, STATUS_UNSUPPORTED, "%s: an array of type %s cannot be written", path,
                         dtype_name(dtype));
    if (rank < 0 || rank > MAX_RANK || !shape_elements(rank, dims, &elements))
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: an array of no valid shape cannot be written", path);
    if (bits >= 8)
        return write_parts(path, dtype, rank, dims, data, dtype_bytes(dtype, elements), error);
    size_t bytes = elements ? (size_t)elements : 1;
    unsigned char *unpacked = allocate(allocator, bytes, ALIGNMENT);
    if (!unpacked)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory to unpack %s elements of %s", path,
                         grouped((uint64_t)elements).text, dtype_name(dtype));
    bool negative = dtype_is_signed_integer(dtype);
    unpack(data, unpacked, elements, bits, negative);
    enum dtype written = negative ? DTYPE_I8 : dtype_is_unsigned_integer(dtype) ? DTYPE_U8 : dtype;
    enum status status = write_parts(path, written, rank, dims, unpacked, (size_t)elements, error);
    release(allocator, unpacked, bytes);
    return status;
}
