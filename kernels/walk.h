/* Arithmetic of shapes and strides that many kernels need. */
#ifndef INFER_KERNELS_WALK_H
#define INFER_KERNELS_WALK_H

#include "kernels/base.h"

static inline ANYWHERE int64_t elements(int rank, const int64_t *dims)
{
    int64_t product = 1;
    for (int i = 0; i < rank; i++)
        product *= dims[i];
    return product;
}

/* Where element `index` (counted in C order) of a strided tensor lies. */
static inline ANYWHERE int64_t offset_at(int rank, const int64_t *dims, const int64_t *strides, int64_t index)
{
    int64_t offset = 0;
    for (int i = rank - 1; i >= 0; i--) {
        offset += index % dims[i] * strides[i];
        index /= dims[i];
    }
    return offset;
}

/* a / b rounded up, at least 0; b > 0. */
static inline ANYWHERE int64_t divide_up(int64_t a, int64_t b)
{
    return a <= 0 ? 0 : (a - 1) / b + 1;
}

static inline ANYWHERE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
