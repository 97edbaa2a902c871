/* Family topk: the k largest or smallest elements along an axis, in order, with their positions. */
#ifndef INFER_KERNELS_TOPK_H
#define INFER_KERNELS_TOPK_H

#include "kernels/kernel.h"

/* input: [outer, count, inner]; outputs, either may be absent: values and int64 positions, [outer, k, inner]. Of equal
 * elements the earlier comes first; NaN is greater than every number. */
struct topk_params {
    int64_t outer, count, inner, k; /* k <= count */
    bool largest;
    uint8_t dtype;
};

#endif
