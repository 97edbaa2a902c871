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
    /* Results are numbered [batch, m, n]; c does not count then. */
    const struct pointwise_params *epilogue;
};

#endif
