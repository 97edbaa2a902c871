/* Family det: determinants of square matrices. */
#ifndef INFER_KERNELS_DET_H
#define INFER_KERNELS_DET_H

#include "kernels/kernel.h"

/* input: [batch, n, n]; output: [batch]. */
struct det_params {
    enum dtype dtype; /* f32, f64 */
    int64_t batch, n;
};

#endif
