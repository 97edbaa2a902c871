/* Family deform: what each tap of a window sees at every position, where taps are moved by offsets that need not be
 * whole. The product of the weights and this matrix is a deformable convolution. */
#ifndef INFER_KERNELS_DEFORM_H
#define INFER_KERNELS_DEFORM_H

#include "kernels/kernel.h"
#include "kernels/window.h"

/* inputs: x [batch, channels, input], offsets [batch, groups, taps, axes, output], optional mask [batch, groups, taps,
 * output]; output: [batch, channels, taps, output]; all in C order. Values between elements are interpolated linearly
 * along each axis; outside the input there are zeros. */
struct deform_params {
    enum dtype dtype; /* f32, f64 */
    int64_t batch, channels, groups;
    int axes; /* the last ones of the window's */
    struct window window;
};

#endif
