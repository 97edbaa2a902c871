/* Matrices turned over. */
#ifndef INFER_KERNELS_X86_TRANSPOSE_H
#define INFER_KERNELS_X86_TRANSPOSE_H

#include "kernels/x86/vector.h"

/* Row i, column j of `from`, of elements of 1, 2, 4 or 8 bytes, becomes row j, column i of `to`. Steps from row to row
 * are in bytes. Large ones are cut into blocks of few rows by whoever calls, so that lines of the cache are written as
 * a whole. */
void SET_NAME(transpose)(int64_t bytes, const void *from, int64_t from_step, void *to, int64_t to_step, int64_t rows,
                         int64_t columns);
/* LANES rows of floats, which lie anywhere, become the lanes of vectors, one a column. */
void SET_NAME(transpose_lanes)(const float *const *rows, float *to, int64_t columns);

#endif
