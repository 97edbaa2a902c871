/* The product of two small blocks, for matmul.c, conv.c and attention.c. */
#ifndef INFER_KERNELS_REFERENCE_MULTIPLY_H
#define INFER_KERNELS_REFERENCE_MULTIPLY_H

#include <stdint.h>

/* C += A B, where the columns of B and C are contiguous. Terms are added one by one in the order of the depth, so that
 * the sum does not depend on how blocks are cut. Unsigned types wrap, and give the bits that signed products have. */
#define MULTIPLY(name, type)                                                                                \
    void name(int64_t rows, int64_t columns, int64_t depth, const type *a, int64_t a_row, int64_t a_column, \
              const type *b, int64_t b_row, type *c, int64_t c_row);
MULTIPLY(multiply_f32, float)
MULTIPLY(multiply_f64, double)
MULTIPLY(multiply_i32, uint32_t)
MULTIPLY(multiply_i64, uint64_t)
#undef MULTIPLY

#endif
