/* What convolution and pooling share: a window that slides over up to three spatial axes. Axes are the last ones of
 * the three; a missing one has size 1 everywhere. */
#ifndef INFER_KERNELS_WINDOW_H
#define INFER_KERNELS_WINDOW_H

#include "kernels/base.h"

#define SPATIAL_AXES 3

/* Output position o and tap t of an axis see the input at (o * stride + t * dilation - pad) / spread, and nothing
 * where that is not whole or not inside. A spread above 1 stands for zeros between the elements of the input, which is
 * what makes a convolution a transposed one; the stride is 1 then. */
struct window {
    int64_t input[SPATIAL_AXES], output[SPATIAL_AXES], kernel[SPATIAL_AXES];
    int64_t stride[SPATIAL_AXES], dilation[SPATIAL_AXES], spread[SPATIAL_AXES];
    int64_t pad[SPATIAL_AXES], pad_after[SPATIAL_AXES];
};

/* In elements. */
struct image_strides {
    int64_t batch, channel, spatial[SPATIAL_AXES];
};

/* Where the tap sees the input, -1 for padding. */
static inline ANYWHERE int64_t window_source(const struct window *w, int axis, int64_t position, int64_t tap)
{
    int64_t source = position * w->stride[axis] + tap * w->dilation[axis] - w->pad[axis];
    if (source < 0 || source % w->spread[axis] != 0)
        return -1;
    source /= w->spread[axis];
    return source < w->input[axis] ? source : -1;
}

#endif
