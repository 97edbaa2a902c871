/* Family matmul: C = A B for every matrix of a batch, plus D where there is one. Strides make transposition and
 * broadcasting free. */
#ifndef INFER_KERNELS_MATMUL_H
#define INFER_KERNELS_MATMUL_H

#define MATMUL_INPUTS 5 /* before the epilogue's */

#include "kernels/epilogue.h"

/* Strides in elements; 0 repeats. */
struct matrix_strides {
    int64_t batch[MAX_RANK], row, column;
};

/* inputs: A [m, k], B [k, n], optional D [m, n]; output: C [m, n]. Where A and B are of 8 bits, also optional zero
 * points of their types, of A (one for all, or for each row) and of B (one for all, or for each column), which are
 * subtracted from the elements. Where B alone is, the last input is scales of B, f32, in the zero points' place:
 * elements are made f32 and multiplied by them, rounded, and the product is one of f32. */
struct matmul_params {
    enum dtype dtype;            /* of C and D, and of sums: f32, f64, and integers of 32 and 64 bits, which wrap */
    enum dtype a_dtype, b_dtype; /* the same; or, where that is i32, each u8 or i8; or, where it is f32, that of B */
    int batch_rank;
    int64_t batch[MAX_RANK];
    int64_t m, n, k;
    struct matrix_strides a, b, c, d;
    struct matrix_strides a_zero, b_zero; /* a_zero.column and b_zero.row are 0 */
    const struct pointwise_params *epilogue;
};

/* Whether A and B are of 8 bits. */
static inline bool matmul_is_narrow(const struct matmul_params *p)
{
    return p->dtype == DTYPE_I32 && (p->a_dtype == DTYPE_U8 || p->a_dtype == DTYPE_I8) &&
           (p->b_dtype == DTYPE_U8 || p->b_dtype == DTYPE_I8);
}

/* Whether B alone is of 8 bits, with scales. */
static inline bool matmul_is_scaled(const struct matmul_params *p)
{
    return p->dtype == DTYPE_F32 && (p->b_dtype == DTYPE_U8 || p->b_dtype == DTYPE_I8);
}

static inline struct epilogue matmul_epilogue(const struct matmul_params *p)
{
    int64_t matrices = 1;
    for (int i = 0; i < p->batch_rank; i++)
        matrices *= p->batch[i];
    return (struct epilogue){p->epilogue, MATMUL_INPUTS, {matrices, p->m, p->n}};
}

#endif
