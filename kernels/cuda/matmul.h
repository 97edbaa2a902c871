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
    bool rides;
    cuda_epilogue epilogue;

    struct matrix {
        T *c;
        const T *d;
        int64_t index;
    };
    struct place {
        T *c;
        const T *d;
        int64_t matrix;
        int row;
    };
    __device__ __forceinline__ matrix enter(int64_t index) const
    {
        return {c + batch_offset(c_batch, index), d ? d + batch_offset(d_batch, index) : nullptr, index};
    }
    __device__ __forceinline__ place at(const matrix &m, int row) const
    {
        return {m.c + row * c_row, m.d ? m.d + row * d_row : nullptr, m.index, row};
    }
    template <int N>
    __device__ __forceinline__ void store(const place &p, int column, int count, const T (&values)[N]) const
    {
        T sums[N];
        UNROLL
        for (int i = 0; i < N; i++)
            sums[i] = p.d && i < count ? values[i] + p.d[(column + i) * d_column] : values[i];
        if (rides)
            product_ride<false>(epilogue, p.matrix, p.row, column, count, sums);
        else
            store_line(p.c + column * c_column, c_column, count, sums);
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
static matmul_finish<T> matmul_finish_of(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    struct epilogue epilogue = matmul_epilogue(p);
    return {
        (T *)call->outputs[0],
        (const T *)call->inputs[2],
        matmul_batch(p, p->c.batch),
        matmul_batch(p, p->d.batch),
        p->c.row,
        p->c.column,
        p->d.row,
        p->d.column,
        p->epilogue != nullptr,
        p->epilogue ? cuda_epilogue_make(&epilogue, plan, call, p->dtype, nullptr) : cuda_epilogue{},
    };
}

static inline int64_t matmul_matrices(const struct matmul_params *p)
{
    return elements(p->batch_rank, p->batch);
}

/* Whether indices fit what the kernels count with, and the epilogue is one that they take. */
static inline bool matmul_fits(const struct matmul_params *p)
{
    struct epilogue epilogue = matmul_epilogue(p);
    return p->m < PRODUCT_LONGEST && p->n < PRODUCT_LONGEST && p->k < PRODUCT_LONGEST &&
           product_rides(&epilogue, p->dtype);
}

/* k: elements along it, or bytes; `multiple` as in product_cut. */
static inline product_sizes matmul_sizes(const struct matmul_params *p, int64_t k, int64_t multiple)
{
    product_sizes sizes = {matmul_matrices(p), (int)p->m, (int)p->n, (int)k, 1, 0};
    product_cut(&sizes, multiple);
    return sizes;
}

#endif
