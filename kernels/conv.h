/* Family conv: convolution in one to three dimensions, with groups; transposed convolution is one with a spread. */
#ifndef INFER_KERNELS_CONV_H
#define INFER_KERNELS_CONV_H

#define CONV_INPUTS 3 /* before the epilogue's */

#include "kernels/epilogue.h"
#include "kernels/window.h"

/* inputs: x, weights, optional bias (one element an output channel); output: y. Group g reads channels
 * [g * input_channels, ...) and writes [g * output_channels, ...). Padding counts as zeros; whether a weight that is
 * not finite makes a NaN of them or is left out there is the kernel's.
 *
 * A kernel that mixes neighbours (kernel.h) does so within tiles of 4x4 outputs: a NaN or an infinity in the input, and
 * the rounding that a large number brings, reaches outputs up to 3 positions past those whose windows see it. All
 * others do not depend on it. */
struct conv_params {
    enum dtype dtype; /* of all operands: f32, f64, i32 */
    int64_t batch, groups;
    int64_t input_channels, output_channels; /* of one group */
    struct window window;
    struct image_strides x, y;
    /* Weight of (group, output channel m, input channel c, tap) relative to the first element of the tensor. */
    int64_t weight_offset, weight_group, weight_output, weight_input, weight_spatial[SPATIAL_AXES];
    const struct pointwise_params *epilogue;
};

static inline struct epilogue conv_epilogue(const struct conv_params *p)
{
    int64_t positions = p->window.output[0] * p->window.output[1] * p->window.output[2];
    return (struct epilogue){p->epilogue, CONV_INPUTS, {p->batch, p->groups * p->output_channels, positions}};
}

#endif
