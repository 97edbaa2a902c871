/* NPY, the array format of NumPy: versions 1.0, 2.0 and 3.0 are read, 1.0 is written. */
#ifndef INFER_FORMATS_NPY_H
#define INFER_FORMATS_NPY_H

#include "kernels/base.h"

/* An array in C order and this machine's byte order. Zero-initialise, or fill by one of the readers below. */
struct npy_array {
    enum dtype dtype;   /* DTYPE_NONE: raw items, which npy_reinterpret gives a type */
    unsigned raw_bytes; /* of one raw item: 1, 2, 4, 8 or 16; 0 where there is a type */
    int rank;
    int64_t dims[MAX_RANK];
    int64_t elements;
    size_t bytes;
    void *data; /* aligned to ALIGNMENT; not NULL, even where `bytes` is 0 */
    const struct allocator *allocator;
    size_t allocated;
};

/* Reads the array at `path` ("-": standard input). A regular file is mapped meanwhile, so its data is copied once.
 * Read are bool, i1 to i8, u1 to u8, f2, f4, f8, c8, c16 in both byte orders and both element orders; raw items (V1,
 * V2, ..: how NumPy saves bfloat16 and float8, whose names it cannot write); and f1, which is what it calls
 * float8_e5m2. A bool that is neither 0 nor 1 becomes 1.
 * What follows the array is left alone, as NumPy does: it saves several arrays one after another into one file.
 * Errors: IO; INVALID_ARGUMENT for a file that is malformed or cut short; UNSUPPORTED for strings, objects, dates,
 * records and for more than MAX_RANK dimensions; OUT_OF_MEMORY. On an error `array` is left zeroed. */
enum status npy_read(struct npy_array *array, const char *path, const struct allocator *allocator, struct error *error);
/* The same from memory, which may be aligned anyhow. `name` is what errors call it. */
enum status npy_read_memory(struct npy_array *array, const char *name, const void *bytes, size_t size,
                            const struct allocator *allocator, struct error *error);

/* Bytes that come one after another: lying in memory, or made by `read`. */
struct npy_source {
    const char *name;           /* what errors call it */
    size_t left;                /* bytes it still holds */
    const unsigned char *bytes; /* the next of them; NULL where `read` makes them */
    /* Makes the next `size` bytes, at most `left`. */
    enum status (*read)(void *user, void *to, size_t size, struct error *error);
    void *user;
};
enum status npy_read_source(struct npy_array *array, struct npy_source *source, const struct allocator *allocator,
                            struct error *error);

/* Also right for a zeroed array. Leaves it zeroed. */
void npy_free(struct npy_array *array);

/* Makes `dtype` the type of an array whose file could not name it: of raw items of the same size; or, where `dtype`
 * has less than 8 bits, of items of one byte, which are then packed. Raw items give their low bits; an int8 or uint8
 * outside the range of `dtype` is an error. An array that already has the type stays as it is; anything else is
 * INVALID_ARGUMENT and leaves the array as it was. `name` is what errors call it. */
enum status npy_reinterpret(struct npy_array *array, const char *name, enum dtype dtype, struct error *error);

/* Writes an array to `path` ("-": standard output) as numpy.save does, to the byte. NumPy cannot name bfloat16, nor
 * floats of 8 and 4 bits: they become raw items, <V2 and <V1. Types smaller than a byte are written one element a
 * byte: integers as int8 and uint8 of the same value, float4 in the low bits; only for them is memory taken. */
enum status npy_write(const char *path, enum dtype dtype, int rank, const int64_t *dims, const void *data,
                      const struct allocator *allocator, struct error *error);

#endif
