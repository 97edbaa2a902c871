/* Family argmax: where along an axis the largest (or smallest) element is. */
#ifndef INFER_KERNELS_ARGMAX_H
#define INFER_KERNELS_ARGMAX_H

#include "kernels/kernel.h"

/* input: x [outer, axis, inner]; output: int64 [outer, inner]. axis >= 1. A NaN is larger and smaller than all. */
struct argmax_params {
    enum dtype dtype;
    bool minimum, last; /* last: of equal ones the last, not the first */
    int64_t outer, axis, inner;
};

#endif
