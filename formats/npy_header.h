/* The text in front of an NPY array: npy.c's own. */
#ifndef INFER_FORMATS_NPY_HEADER_H
#define INFER_FORMATS_NPY_HEADER_H

#include "kernels/base.h"

#define NPY_MAGIC "\x93NUMPY"
#define NPY_MAGIC_BYTES 6
#define NPY_PREAMBLE_BYTES 8 /* magic, major version, minor version */

struct npy_header {
    enum dtype dtype;    /* DTYPE_NONE: raw */
    unsigned item_bytes; /* of one element */
    bool swapped;        /* big-endian */
    bool fortran;        /* the first axis runs fastest */
    int rank;
    int64_t dims[MAX_RANK];
};

/* Reads the dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. */
enum status npy_header_parse(struct npy_header *header, const char *name, const char *text, size_t length,
                             struct error *error);

#define NPY_HEADER_MOST_BYTES 384 /* what npy_header_format may write at MAX_RANK, rounded up */

/* Writes magic, version, length and dictionary for an array in C order; returns the length, a multiple of 64. An
 * element has a whole byte at least. */
size_t npy_header_format(char buffer[NPY_HEADER_MOST_BYTES], enum dtype dtype, int rank, const int64_t *dims);

#endif
