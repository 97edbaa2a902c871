/* What kernels of family conv share: the convolution as a product. Rows of C are positions of all images, its columns
 * the output channels of a group, each group a matrix of its own; k counts taps, and within a tap input channels. */
#ifndef INFER_KERNELS_CUDA_CONV_H
#define INFER_KERNELS_CUDA_CONV_H

#include "kernels/conv.h"

#include "kernels/cuda/product.h"

/* --- windows ----------------------------------------------------------------------------------------------------- */

/* The window with what divides its indices. */
struct conv_window {
    int input[SPATIAL_AXES], stride[SPATIAL_AXES], dilation[SPATIAL_AXES], spread[SPATIAL_AXES], pad[SPATIAL_AXES];
    divider positions, plane, line; /* positions of an image, of a plane, of a line */
    divider tap_plane, tap_line, channels;
};

static inline int64_t conv_positions(const struct conv_params *p)
{
    return p->window.output[0] * p->window.output[1] * p->window.output[2];
}
static inline int64_t conv_taps(const struct conv_params *p)
{
    return p->window.kernel[0] * p->window.kernel[1] * p->window.kernel[2];
}

/* channels: that a tap has in the order of k. */
static inline conv_window conv_window_of(const struct conv_params *p, int64_t channels)
{
    const struct window *w = &p->window;
    conv_window window = {};
    for (int i = 0; i < SPATIAL_AXES; i++) {
        window.input[i] = (int)w->input[i];
        window.stride[i] = (int)w->stride[i];
        window.dilation[i] = (int)w->dilation[i];
        window.spread[i] = (int)w->spread[i];
        window.pad[i] = (int)w->pad[i];
    }
    window.positions = divider_of(conv_positions(p));
    window.plane = divider_of(w->output[1] * w->output[2]);
    window.line = divider_of(w->output[2]);
    window.tap_plane = divider_of(w->kernel[1] * w->kernel[2]);
    window.tap_line = divider_of(w->kernel[2]);
    window.channels = divider_of(channels);
    return window;
}

/* Whether indices fit what the kernels count with, the epilogue is one that they take, and x is read as it is. */
static inline bool conv_fits(const struct conv_params *p)
{
    const struct window *w = &p->window;
    const int64_t most = 1 << 28;
    struct epilogue epilogue = conv_epilogue(p);
    bool fits = !p->x_scaled && product_rides(&epilogue, p->dtype) && p->batch * conv_positions(p) < PRODUCT_LONGEST &&
                p->output_channels < PRODUCT_LONGEST && conv_taps(p) * (p->input_channels + 64) < most;
    for (int i = 0; i < SPATIAL_AXES; i++)
        fits = fits && w->input[i] * w->spread[i] < most && w->output[i] * w->stride[i] < most &&
               w->kernel[i] * w->dilation[i] < most && w->pad[i] < most && -w->pad[i] < most;
    return fits;
}

/* An output position: its image, and where its window begins. */
struct conv_position {
    uint32_t image;
    int at[SPATIAL_AXES];
};

static __device__ __forceinline__ conv_position conv_position_at(const conv_window &w, uint32_t row)
{
    conv_position p;
    p.image = divide(row, w.positions);
    uint32_t rest = row - p.image * w.positions.by;
    uint32_t z = divide(rest, w.plane);
    rest -= z * w.plane.by;
    uint32_t y = divide(rest, w.line);
    p.at[0] = (int)z * w.stride[0] - w.pad[0];
    p.at[1] = (int)y * w.stride[1] - w.pad[1];
    p.at[2] = (int)(rest - y * w.line.by) * w.stride[2] - w.pad[2];
    return p;
}

/* How far a tap lies from where the window begins. */
struct conv_tap {
    int at[SPATIAL_AXES], channel;
};

static __device__ __forceinline__ conv_tap conv_tap_at(const conv_window &w, uint32_t k)
{
    uint32_t tap = divide(k, w.channels), z = divide(tap, w.tap_plane);
    uint32_t rest = tap - z * w.tap_plane.by, y = divide(rest, w.tap_line);
    conv_tap t;
    t.channel = (int)(k - tap * w.channels.by);
    t.at[0] = (int)z * w.dilation[0];
    t.at[1] = (int)y * w.dilation[1];
    t.at[2] = (int)(rest - y * w.tap_line.by) * w.dilation[2];
    return t;
}

/* Makes a position along an axis one of the input; false: it is padding. */
static __device__ __forceinline__ bool conv_inside(const conv_window &w, int axis, int *at)
{
    if (w.spread[axis] == 1)
        return (unsigned)*at < (unsigned)w.input[axis];
    if (*at < 0 || *at % w.spread[axis] != 0)
        return false;
    *at /= w.spread[axis];
    return *at < w.input[axis];
}

/* --- results ----------------------------------------------------------------------------------------------------- */

template <typename T> struct conv_finish {
    T *y;
    const T *bias; /* NULL: none */
    int64_t batch, channel, spatial[SPATIAL_AXES];
    int64_t channels; /* of a group */
    divider positions, plane, line;
    bool rides;
    cuda_epilogue epilogue;

    struct place {
        T *y;
        int64_t channel; /* the group's first */
        uint32_t image, position;
    };
    typedef int64_t matrix; /* the group */
    __device__ __forceinline__ int64_t enter(int64_t group) const
    {
        return group;
    }
    __device__ __forceinline__ place at(int64_t group, int row) const
    {
        place p;
        p.image = divide((uint32_t)row, positions);
        p.position = (uint32_t)row - p.image * positions.by;
        uint32_t z = divide(p.position, plane), rest = p.position - z * plane.by, v = divide(rest, line);
        p.channel = group * channels;
        p.y = y + p.image * batch + z * spatial[0] + v * spatial[1] + (rest - v * line.by) * spatial[2];
        return p;
    }
    template <int N>
    __device__ __forceinline__ void store(const place &p, int column, int count, const T (&values)[N]) const
    {
        int64_t first = p.channel + column;
        T sums[N];
        UNROLL
        for (int i = 0; i < N; i++)
            sums[i] = bias && i < count ? values[i] + bias[first + i] : values[i];
        if (rides)
            product_ride<true>(epilogue, p.image, first, p.position, count, sums);
        else
            store_line(p.y + first * channel, channel, count, sums);
    }
};

template <typename T>
static conv_finish<T> conv_finish_of(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    const int64_t *output = p->window.output;
    struct epilogue epilogue = conv_epilogue(p);
    return {
        (T *)call->outputs[0],
        (const T *)call->inputs[2],
        p->y.batch,
        p->y.channel,
        {p->y.spatial[0], p->y.spatial[1], p->y.spatial[2]},
        p->output_channels,
        divider_of(conv_positions(p)),
        divider_of(output[1] * output[2]),
        divider_of(output[2]),
        p->epilogue != nullptr,
        p->epilogue ? cuda_epilogue_make(&epilogue, plan, call, p->dtype, nullptr) : cuda_epilogue{},
    };
}

/* k: elements along it; `multiple` as in product_cut, which sees one image. */
static inline product_sizes conv_sizes(const struct conv_params *p, int64_t k, int64_t multiple)
{
    int64_t positions = conv_positions(p);
    product_sizes sizes = {p->groups, (int)positions, (int)p->output_channels, (int)k, 1, 0};
    product_cut(&sizes, multiple);
    sizes.m = (int)(p->batch * positions);
    return sizes;
}

/* --- weights ----------------------------------------------------------------------------------------------------- */

/* Where an element of the weights lies. */
struct conv_weights {
    int64_t groups, outputs, inputs, taps, offset, group, output, input;
    int64_t kernel[SPATIAL_AXES], spatial[SPATIAL_AXES];
};

static inline conv_weights conv_weights_of(const struct conv_params *p)
{
    const int64_t *kernel = p->window.kernel, *spatial = p->weight_spatial;
    return {p->groups,
            p->output_channels,
            p->input_channels,
            conv_taps(p),
            p->weight_offset,
            p->weight_group,
            p->weight_output,
            p->weight_input,
            {kernel[0], kernel[1], kernel[2]},
            {spatial[0], spatial[1], spatial[2]}};
}

static __host__ __device__ inline int64_t conv_weight_at(const conv_weights &w, int64_t group, int64_t output,
                                                         int64_t tap, int64_t input)
{
    int64_t x = tap % w.kernel[2], rest = tap / w.kernel[2];
    return w.offset + group * w.group + output * w.output + input * w.input + rest / w.kernel[1] * w.spatial[0] +
           rest % w.kernel[1] * w.spatial[1] + x * w.spatial[2];
}

/* What the order of packed weights depends on; form tells orders apart. */
static inline void conv_pack_key(const struct conv_params *p, uint32_t form, size_t bytes, struct kernel_pack *pack)
{
    const conv_weights w = conv_weights_of(p);
    pack->input = 1;
    pack->form = form;
    pack->tasks = 1;
    pack->bytes = bytes;
    static_assert(sizeof w <= sizeof pack->geometry, "the key holds all of it");
    memcpy(pack->geometry, &w, sizeof w);
}

#endif
