/* Family resample: weighted sums of a few elements along one axis. Linear and cubic Resize are one of these an axis. */
#ifndef INFER_KERNELS_RESAMPLE_H
#define INFER_KERNELS_RESAMPLE_H

#include "kernels/kernel.h"

/* inputs: x [outer, input, inner]; places int32 [output, taps] within the axis; weights [output, taps] of x's type.
 * output [outer, output, inner]: the sum over taps of weight * x[.., place, ..]. */
struct resample_params {
    int64_t outer, input, output, inner;
    int64_t taps; /* at least 1 */
    uint8_t dtype;
};

#endif
