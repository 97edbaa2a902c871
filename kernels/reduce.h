/* Family reduce: folds some axes of a tensor into one number each. */
#ifndef INFER_KERNELS_REDUCE_H
#define INFER_KERNELS_REDUCE_H

#define REDUCE_INPUTS 1 /* before the epilogue's */

#include "kernels/epilogue.h"

enum reduce_kind {
    REDUCE_SUM,
    REDUCE_MEAN,
    REDUCE_PROD,
    REDUCE_MAX, /* a NaN wins */
    REDUCE_MIN,
    REDUCE_L1,
    REDUCE_L2,
    REDUCE_SUM_SQUARE,
    REDUCE_LOG_SUM,
    REDUCE_LOG_SUM_EXP,
    REDUCE_COUNT
};

#define REDUCE_MOST_BYTES (1 << 23) /* whose sum an int32 holds */

/* input: x; output: y, contiguous over the kept axes in their order. Strides of x in elements. */
struct reduce_params {
    enum dtype dtype;
    /* NONE: x is of that type too. U8 or I8, of REDUCE_MEAN to F32 over at most REDUCE_MOST_BYTES elements: x is of
     * this one; its sum is exact, rounded to F32, and then divided. */
    enum dtype bytes;
    enum reduce_kind kind;
    int kept_rank, folded_rank;
    int64_t kept[MAX_RANK], kept_strides[MAX_RANK];
    int64_t folded[MAX_RANK], folded_strides[MAX_RANK];
    const struct pointwise_params *epilogue;
};

static inline struct epilogue reduce_epilogue(const struct reduce_params *p)
{
    int64_t results = 1;
    for (int i = 0; i < p->kept_rank; i++)
        results *= p->kept[i];
    return (struct epilogue){p->epilogue, REDUCE_INPUTS, {1, 1, results}};
}

#endif
