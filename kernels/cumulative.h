/* Family cumulative: running sums or products along an axis. */
#ifndef INFER_KERNELS_CUMULATIVE_H
#define INFER_KERNELS_CUMULATIVE_H

#include "kernels/kernel.h"

/* input and output: [outer, count, inner]. */
struct cumulative_params {
    int64_t outer, count, inner;
    bool product;
    bool exclusive; /* element i leaves itself out: the first is 0 (or 1) */
    bool reverse;   /* from the end */
    uint8_t dtype;
};

#endif
