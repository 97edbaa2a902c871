/* Family conv: convolution in one to three dimensions, with groups; transposed convolution is one with a spread. */
#ifndef INFER_KERNELS_CONV_H
#define INFER_KERNELS_CONV_H

#define CONV_INPUTS 5 /* before the epilogue's */

#include "kernels/epilogue.h"
#include "kernels/window.h"

/* inputs: x, weights, optional bias (one element an output channel); output: y. Group g reads channels
 * [g * input_channels, ...) and writes [g * output_channels, ...). Padding counts as zeros; whether a weight that is
 * not finite makes a NaN of them or is left out there is the kernel's.
 *
 * Where x and the weights are of 8 bits there are two more optional inputs of their types, zero points that are
 * subtracted from the elements: one of x; of the weights one, or one an output channel. Padding then counts as the zero
 * point: it adds nothing.
 *
 * Where x is scaled, which f32 may be where the window is one place, these inputs are a factor and a shift, both f32,
 * one an input channel: windows see x factor + shift, each operation rounded, and 0 instead of what is negative where
 * x is cut off there too. Padding stays zero.
 *
 * A kernel that mixes neighbours (kernel.h) does so within tiles of 4x4 outputs, as far apart as the window is dilated:
 * a NaN or an infinity in the input, and the rounding that a large number brings, reaches outputs up to 3 such steps
 * past those whose windows see it. All others do not depend on it. */
struct conv_params {
    enum dtype dtype;            /* of y and the bias, and of sums: f32, f64, i32, which wraps */
    enum dtype x_dtype, w_dtype; /* the same; or, where that is i32, each u8 or i8 */
    int64_t batch, groups;
    int64_t input_channels, output_channels; /* of one group */
    struct window window;
    struct image_strides x, y;
    /* Weight of (group, output channel m, input channel c, tap) relative to the first element of the tensor. */
    int64_t weight_offset, weight_group, weight_output, weight_input, weight_spatial[SPATIAL_AXES];
    int64_t w_zero; /* stride of the weights' zero points along the output channels of all groups: 0 or 1 */
    bool x_scaled, x_cut;
    const struct pointwise_params *epilogue;
};

/* Whether x and the weights are of 8 bits. */
static inline bool conv_is_narrow(const struct conv_params *p)
{
    return p->dtype == DTYPE_I32 && (p->x_dtype == DTYPE_U8 || p->x_dtype == DTYPE_I8) &&
           (p->w_dtype == DTYPE_U8 || p->w_dtype == DTYPE_I8);
}

/* Whether x may be scaled: the window is one place. */
static inline bool conv_may_scale(const struct conv_params *p)
{
    const int64_t *kernel = p->window.kernel, *spread = p->window.spread;
    return p->dtype == DTYPE_F32 && p->x_dtype == DTYPE_F32 && kernel[0] * kernel[1] * kernel[2] == 1 &&
           spread[0] * spread[1] * spread[2] == 1;
}

static inline struct epilogue conv_epilogue(const struct conv_params *p)
{
    int64_t positions = p->window.output[0] * p->window.output[1] * p->window.output[2];
    return (struct epilogue){p->epilogue, CONV_INPUTS, {p->batch, p->groups * p->output_channels, positions}};
}

#endif
