/* The few things every layer shares: statuses, element types, allocation, checked sizes. */
#ifndef INFER_KERNELS_BASE_H
#define INFER_KERNELS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In front of inline functions that kernels of a device call as well. */
#ifdef __CUDACC__
#define ANYWHERE __host__ __device__
#else
#define ANYWHERE
#endif

/* Highest tensor rank the runtime handles. Larger ranks are refused where a shape is first read. */
#define MAX_RANK 8

/* Every activation and packed weight starts at a multiple of this many bytes: a cache line, and an AVX-512 vector. */
#define ALIGNMENT 64

/* Numbers equal those of infer_status in infer.h (asserted in runtime/model.c). */
enum status {
    STATUS_OK = 0,
    STATUS_INVALID_ARGUMENT = 1, /* the caller's input: a shape, a name, an option */
    STATUS_INVALID_MODEL = 2,    /* a file or a graph that breaks its own rules */
    STATUS_UNSUPPORTED = 3,      /* valid, but nothing here runs it */
    STATUS_OUT_OF_MEMORY = 4,
    STATUS_MEMORY_LIMIT = 5, /* would need more than the caller's limit */
    STATUS_IO = 6,
    STATUS_FAULT = 7,        /* a value met at run time: an index out of range, an integer division by zero */
    STATUS_CANCELLED = 8,    /* the caller ended the run */
    STATUS_DEADLINE = 9,     /* the run took longer than the caller gives it */
    STATUS_WORK_LIMIT = 10,  /* the run would do more than the caller allows */
    STATUS_BUSY = 11,        /* a queue is full, or closed */
    STATUS_DEVICE = 12,      /* the device or its driver failed */
    STATUS_NEEDS_VALUE = 99, /* internal: a shape depends on a tensor whose content is not known yet */
};

/* One sentence that says what is wrong and where. Zero-initialise before use. */
struct error {
    enum status status;
    bool of_types; /* it is about element types alone: no shape of the inputs would have helped */
    char text[480];
};

/* Writes the sentence, returns `status`. `error` may be NULL. The first failure stays: later ones are its echo. The
 * sentence is made so that people may see it (see legible): an error is one line, and no terminal obeys it. */
enum status error_set(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A number as messages show it, in the expression that prints it: printf("%s bytes", grouped(901120).text) gives
 * "901,120 bytes". */
struct grouped {
    char text[28];
};
struct grouped grouped(uint64_t number);
/* Bytes of the UTF-8 character at `text`, which is terminated; 0 where none is. */
int utf8_length(const char *text);
/* It stands for no glyph but for something that a terminal or a viewer does: a control character (C0, DEL, C1), the end
 * of a line or a paragraph, or a mark that turns the direction of what follows. */
bool utf8_is_obeyed(const char *text, int length);
/* A name as people may see it, in the expression that prints it: printf("%s\n", legible(value->name).text). What a
 * terminal would obey, and what is no UTF-8, becomes '?'; what is longer than 255 bytes ends in "...". */
struct legible {
    char text[256];
};
struct legible legible(const char *text);
void make_legible(char *text); /* the same in place, whatever the length */
/* Puts "prefix: " in front of the sentence; to say where, while an error travels up. Returns error->status. */
enum status error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Element types. The numbers are those of ONNX TensorProto.DataType, so files and importers need no table. */
enum dtype {
    DTYPE_NONE = 0,
    DTYPE_F32 = 1,
    DTYPE_U8 = 2,
    DTYPE_I8 = 3,
    DTYPE_U16 = 4,
    DTYPE_I16 = 5,
    DTYPE_I32 = 6,
    DTYPE_I64 = 7,
    DTYPE_STRING = 8, /* known by name so that it can be refused by name */
    DTYPE_BOOL = 9,   /* a byte, 0 or 1 */
    DTYPE_F16 = 10,
    DTYPE_F64 = 11,
    DTYPE_U32 = 12,
    DTYPE_U64 = 13,
    DTYPE_C64 = 14,  /* two f32: real, imaginary */
    DTYPE_C128 = 15, /* two f64 */
    DTYPE_BF16 = 16,
    DTYPE_F8E4M3FN = 17,
    DTYPE_F8E4M3FNUZ = 18,
    DTYPE_F8E5M2 = 19,
    DTYPE_F8E5M2FNUZ = 20,
    DTYPE_U4 = 21, /* two a byte, the first in the low half */
    DTYPE_I4 = 22,
    DTYPE_F4E2M1 = 23,
    DTYPE_F8E8M0 = 24,
    DTYPE_U2 = 25, /* four a byte, the first in the lowest bits */
    DTYPE_I2 = 26,
    DTYPE_COUNT = 27,
};

const char *dtype_name(enum dtype dtype); /* "float32", "int4"; "unknown" for a number out of range */
unsigned dtype_bits(enum dtype dtype);    /* 0 for STRING and unknown */
bool dtype_is_float(enum dtype dtype);    /* every floating type, 4 to 64 bits */
bool dtype_is_signed_integer(enum dtype dtype);
bool dtype_is_unsigned_integer(enum dtype dtype); /* BOOL is neither */
static inline bool dtype_is_integer(enum dtype dtype)
{
    return dtype_is_signed_integer(dtype) || dtype_is_unsigned_integer(dtype);
}

/* Checked arithmetic for sizes that come from input. True on success, false where the result does not fit. */
static inline bool add_size(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool multiply_size(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}
/* Number of elements of a shape; false where a dimension is negative or the product passes INT64_MAX / 32,
 * so that bits, bytes and aligned bytes of any type fit as well. */
bool shape_elements(int rank, const int64_t *dims, int64_t *elements);
/* Bytes of `elements` elements, whole bytes for the types smaller than one. */
size_t dtype_bytes(enum dtype dtype, int64_t elements);
static inline size_t align_up(size_t bytes, size_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

#define LARGE_PAGE ((size_t)2 << 20) /* bytes; the system's own may be of another size, or none */

/* AddressSanitizer looks at every access. */
#if defined __SANITIZE_ADDRESS__
#define ADDRESSES_CHECKED
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define ADDRESSES_CHECKED
#endif
#endif

/* All memory of the library comes through one of these; see infer_allocator in infer.h. */
struct allocator {
    void *(*allocate)(void *user, size_t bytes, size_t alignment); /* NULL when there is none */
    void (*release)(void *user, void *memory, size_t bytes);       /* memory may be NULL */
    void *user;
};
extern const struct allocator default_allocator;
void *allocate(const struct allocator *allocator, size_t bytes, size_t alignment);
void release(const struct allocator *allocator, void *memory, size_t bytes);

/* A region: objects that are freed together. Nothing in it is freed alone, so an error path just returns. */
struct region {
    const struct allocator *allocator;
    struct region_block *newest;
    size_t total;       /* bytes held */
    size_t block_bytes; /* that it grows by at least: large ones cost less time, small ones leave less unused */
};
void region_init(struct region *region, const struct allocator *allocator);
void region_free(struct region *region);
/* Zeroed memory aligned to 64 bytes for blocks of 64 and more, to 16 below; NULL when there is none. */
void *region_allocate(struct region *region, size_t bytes);
/* The same, not zeroed: for large buffers that are filled at once. */
void *region_buffer(struct region *region, size_t bytes);
void *region_array(struct region *region, size_t count, size_t bytes_each); /* NULL on overflow too */
void *region_items(struct region *region, size_t count, size_t bytes_each); /* the same, holding anything */
bool region_holds(const struct region *region, const void *pointer);        /* it lies in memory of the region */
/* The same for many pointers: the blocks that a region has at this moment, in order. `where` is another region. */
struct region_span {
    uintptr_t start;
    size_t bytes;
};
struct region_map {
    struct region_span *spans;
    size_t count;
};
bool region_map_make(const struct region *region, struct region *where, struct region_map *map); /* false: no memory */
bool region_map_holds(const struct region_map *map, const void *pointer);
char *region_string(struct region *region, const char *text);
char *region_text(struct region *region, const char *text, size_t length); /* not terminated input; result is */
char *region_format(struct region *region, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
