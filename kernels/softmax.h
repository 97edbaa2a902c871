/* Family softmax: exponentials along an axis that sum to one; their logarithms; or a one for the largest element. */
#ifndef INFER_KERNELS_SOFTMAX_H
#define INFER_KERNELS_SOFTMAX_H

#include "kernels/kernel.h"

enum softmax_kind { SOFTMAX, SOFTMAX_LOG, SOFTMAX_HARD };

/* x [outer, axis, inner] → y, the same layout. */
struct softmax_params {
    enum dtype dtype; /* f32, f64 */
    enum softmax_kind kind;
    int64_t outer, axis, inner;
};

#endif
