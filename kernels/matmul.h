/* Family matmul: C = A B for every matrix of a batch, plus D where there is one. Strides make transposition and
 * broadcasting free. */
#ifndef INFER_KERNELS_MATMUL_H
#define INFER_KERNELS_MATMUL_H

#define MATMUL_INPUTS 3 /* before the epilogue's */

#include "kernels/epilogue.h"

/* Strides in elements; 0 repeats. */
struct matrix_strides {
    int64_t batch[MAX_RANK], row, column;
};

/* inputs: A [m, k], B [k, n], optional D [m, n]; output: C [m, n]. */
struct matmul_params {
    enum dtype dtype; /* of all operands: f32, f64, and integers of 32 and 64 bits, which wrap */
    int batch_rank;
    int64_t batch[MAX_RANK];
    int64_t m, n, k;
    struct matrix_strides a, b, c, d;
    const struct pointwise_params *epilogue;
};

static inline struct epilogue matmul_epilogue(const struct matmul_params *p)
{
    int64_t matrices = 1;
    for (int i = 0; i < p->batch_rank; i++)
        matrices *= p->batch[i];
    return (struct epilogue){p->epilogue, MATMUL_INPUTS, {matrices, p->m, p->n}};
}

#endif
