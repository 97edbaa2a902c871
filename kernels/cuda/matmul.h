/* What kernels of family matmul share: where results go. */
#ifndef INFER_KERNELS_CUDA_MATMUL_H
#define INFER_KERNELS_CUDA_MATMUL_H

#include "kernels/matmul.h"

#include "kernels/cuda/product.h"

/* Results plus D, to C or through the epilogue. */
template <typename T> struct matmul_finish {
    T *c;
    const T *d; /* NULL: none */
    batch_strides c_batch, d_batch;
    int64_t c_row, c_column, d_row, d_column;

    struct place {
        T *c;
        const T *d;
        int64_t matrix;
        int row;
    };
    __device__ __forceinline__ place at(int64_t matrix, int row) const
    {
        return {c + batch_offset(c_batch, matrix) + row * c_row,
                d ? d + batch_offset(d_batch, matrix) + row * d_row : nullptr, matrix, row};
    }
    template <int N>
    __device__ __forceinline__ void store(const place &p, int column, int count, const T (&values)[N]) const
    {
UNROLL
        for (int i = 0; i < N; i++)
            if (i < count)
                p.c[(column + i) * c_column] = p.d ? values[i] + p.d[(column + i) * d_column] : values[i];
    }
};

static inline batch_strides matmul_batch(const struct matmul_params *p, const int64_t *strides)
{
    batch_strides batch = {p->batch_rank, {0}, {0}};
    for (int i = 0; i < p->batch_rank; i++) {
        batch.dims[i] = p->batch[i];
        batch.strides[i] = strides[i];
    }
    return batch;
}

template <typename T>
static matmul_finish<T> matmul_finish_of(const struct matmul_params *p, const struct kernel_call *call)
{
    return {
        (T *)call->outputs[0],
        (const T *)call->inputs[2],
        matmul_batch(p, p->c.batch),
        matmul_batch(p, p->d.batch),
        p->c.row,
        p->c.column,
        p->d.row,
        p->d.column,
    };
}

static inline int64_t matmul_matrices(const struct matmul_params *p)
{
    return elements(p->batch_rank, p->batch);
}

/* Whether indices fit what the kernels count with. */
static inline bool matmul_fits(const struct matmul_params *p)
{
    return p->m < PRODUCT_LONGEST && p->n < PRODUCT_LONGEST && p->k < PRODUCT_LONGEST;
}

static inline product_sizes matmul_sizes(const struct matmul_params *p, int64_t multiple)
{
    product_sizes sizes = {matmul_matrices(p), (int)p->m, (int)p->n, (int)p->k, 1, 0};
    product_cut(&sizes, multiple);
    return sizes;
}

#endif
