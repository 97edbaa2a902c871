/* Convolution as a product of matrices: the weights, times what each tap sees (gathered block by block, so that it
 * stays in the cache; small blocks, since each thread's workspace is part of the arena). */
#include "kernels/conv.h"

#include "kernels/reference/multiply.h"
#include "kernels/reference/types.h"
#include "kernels/reference/widen.h"
#include "kernels/walk.h"

#include <string.h>

#define BLOCK_POSITIONS 64
#define BLOCK_CHANNELS 32 /* output channels */
#define BLOCK_DEPTH 16    /* pairs of an input channel and a tap */

/* Some output channels at some positions (counted along the flattened output) of one image and group. */
struct block {
    int64_t batch, group, channel, channels, position, positions;
};

struct tap {
    int64_t channel, position[SPATIAL_AXES];
};

static int64_t window_taps(const struct window *w)
{
    return w->kernel[0] * w->kernel[1] * w->kernel[2];
}

static int64_t positions(const struct window *w)
{
    return w->output[0] * w->output[1] * w->output[2];
}

static int64_t block_count(const struct conv_params *p)
{
    return p->batch * p->groups * divide_up(p->output_channels, BLOCK_CHANNELS) *
           divide_up(positions(&p->window), BLOCK_POSITIONS);
}

static void block_at(const struct conv_params *p, int64_t index, struct block *at)
{
    int64_t along = divide_up(positions(&p->window), BLOCK_POSITIONS);
    int64_t deep = divide_up(p->output_channels, BLOCK_CHANNELS);
    int64_t position = index % along * BLOCK_POSITIONS, channel = index / along % deep * BLOCK_CHANNELS;
    *at = (struct block){
        .batch = index / along / deep / p->groups,
        .group = index / along / deep % p->groups,
        .channel = channel,
        .channels = least(p->output_channels - channel, BLOCK_CHANNELS),
        .position = position,
        .positions = least(positions(&p->window) - position, BLOCK_POSITIONS),
    };
}

static struct tap tap_at(const struct window *w, int64_t index)
{
    return (struct tap){
        .channel = index / window_taps(w),
        .position = {index / w->kernel[2] / w->kernel[1] % w->kernel[0], index / w->kernel[2] % w->kernel[1],
                     index % w->kernel[2]},
    };
}

/* Whether the weights of an output channel lie one after the other in the order in which taps are numbered. */
static bool weights_are_rows(const struct conv_params *p)
{
    if (conv_is_narrow(p))
        return false; /* they are widened */
    const int64_t *kernel = p->window.kernel;
    int64_t expected = 1;
    for (int i = SPATIAL_AXES - 1; i >= 0; i--) {
        if (kernel[i] != 1 && p->weight_spatial[i] != expected)
            return false;
        expected *= kernel[i];
    }
    return p->input_channels == 1 || p->weight_input == expected;
}

/* Whether neighbouring positions of the output are neighbours in memory. */
static bool output_is_flat(const struct conv_params *p)
{
    int64_t expected = 1;
    for (int i = SPATIAL_AXES - 1; i >= 0; i--) {
        if (p->window.output[i] != 1 && p->y.spatial[i] != expected)
            return false;
        expected *= p->window.output[i];
    }
    return true;
}

static bool stores_directly(const struct conv_params *p)
{
    return output_is_flat(p) && !p->epilogue;
}

/* Elements of workspace: sums that cannot go where they belong at once. */
static size_t tile_elements(const struct conv_params *p)
{
    if (stores_directly(p))
        return 0;
    return (size_t)(least(p->output_channels, BLOCK_CHANNELS) * least(positions(&p->window), BLOCK_POSITIONS));
}

/* The same, with what the taps see and the weights, where those must be gathered. */
static size_t block_elements(const struct conv_params *p)
{
    int64_t depth = least(p->input_channels * window_taps(&p->window), BLOCK_DEPTH);
    int64_t rows = weights_are_rows(p) ? 0 : least(p->output_channels, BLOCK_CHANNELS);
    return tile_elements(p) + (size_t)(depth * (least(positions(&p->window), BLOCK_POSITIONS) + rows));
}

/* Where the input of a block's group begins, and the weights of its channels. */
static int64_t x_offset(const struct conv_params *p, const struct block *at)
{
    return at->batch * p->x.batch + at->group * p->input_channels * p->x.channel;
}

static int64_t w_offset(const struct conv_params *p, const struct block *at)
{
    return p->weight_offset + at->group * p->weight_group + at->channel * p->weight_output;
}

static int conv_tasks(const void *params)
{
    const struct conv_params *p = params;
    int64_t each = least(p->output_channels, BLOCK_CHANNELS) * least(positions(&p->window), BLOCK_POSITIONS);
    return task_count(block_count(p), 1 + 1000000 / (1 + each * least(p->input_channels, 1024)));
}

/* Whether the one place that the window has at a position is no padding. */
static bool is_inside(const struct conv_params *p, int64_t position)
{
    const struct window *w = &p->window;
    bool inside = true;
    for (int i = SPATIAL_AXES - 1; i >= 0; position /= w->output[i--])
        inside = inside && window_source(w, i, position % w->output[i], 0) >= 0;
    return inside;
}

/* What windows of one place see of a channel of x where that is scaled: gathered already. */
static void scale_seen(const struct conv_params *p, const struct kernel_call *call, const struct block *at,
                       const struct tap *tap, void *seen)
{
    const float *factor = call->inputs[3], *shift = call->inputs[4];
    int64_t channel = at->group * p->input_channels + tap->channel;
    float *x = seen;
    for (int64_t j = 0; j < at->positions; j++) {
        if (!is_inside(p, at->position + j))
            continue;
        float scaled = x[j] * factor[channel];
        scaled += shift[channel];
        x[j] = p->x_cut && scaled < 0 ? 0 : scaled;
    }
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/conv_sums.inc"

#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/conv_sums.inc"

#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i32
#define T uint32_t /* wraps, and gives the bits that the signed sum has */
#include "kernels/reference/conv_sums.inc"

#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T

/* Operands of 8 bits are gathered as bytes, whatever their types, and made wide less their zero points. */
#define TYPE_NAME byte
#define T uint8_t
#include "kernels/reference/conv_gather.inc"
#undef TYPE_NAME
#undef T

static void sum_block_i8(const struct conv_params *p, const struct kernel_call *call, const struct block *at,
                         uint32_t *columns, uint32_t *tile, int64_t tile_row)
{
    const uint8_t *x = (const uint8_t *)call->inputs[0] + x_offset(p, at);
    const uint8_t *weights = (const uint8_t *)call->inputs[1] + w_offset(p, at);
    const uint8_t *x_zero = call->inputs[3], *w_zero = call->inputs[4];
    const uint8_t zero = x_zero ? *x_zero : 0;
    int64_t total = p->input_channels * window_taps(&p->window), channel = at->group * p->output_channels + at->channel;
    uint32_t *rows = columns + least(total, BLOCK_DEPTH) * at->positions;
    uint8_t seen[BLOCK_POSITIONS], gathered[BLOCK_CHANNELS * BLOCK_DEPTH];
    for (int64_t first = 0; first < total; first += BLOCK_DEPTH) {
        int64_t depth = least(total - first, BLOCK_DEPTH);
        for (int64_t d = 0; d < depth; d++) {
            struct tap tap = tap_at(&p->window, first + d);
            gather_byte(p, x + tap.channel * p->x.channel, tap.position, at, zero, seen);
            widen_bytes(p->x_dtype, at->positions, seen, 1, zero, columns + d * at->positions);
        }
        gather_weights_byte(p, weights, at, first, depth, gathered);
        for (int64_t m = 0; m < at->channels; m++)
            widen_bytes(p->w_dtype, depth, gathered + m * depth, 1, w_zero ? w_zero[(channel + m) * p->w_zero] : 0,
                        rows + m * depth);
        multiply_i32(at->channels, at->positions, depth, rows, depth, 1, columns, at->positions, tile, tile_row);
    }
}

#define TYPE_NAME i8
#define T uint32_t
#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T

#define CONV(type, condition)                            \
    static bool conv_supports_##type(const void *params) \
    {                                                    \
        const struct conv_params *p = params;            \
        return condition;                                \
    }                                                    \
    const struct kernel conv_##type##_reference = {      \
        .name = "conv_" #type "_reference",              \
        .family = FAMILY_conv,                           \
        .supports = conv_supports_##type,                \
        .workspace_bytes = conv_workspace_##type,        \
        .tasks = conv_tasks,                             \
        .run = conv_run_##type,                          \
    };
CONV(f32, p->dtype == DTYPE_F32)
CONV(f64, p->dtype == DTYPE_F64)
CONV(i32, p->dtype == DTYPE_I32 && p->x_dtype == DTYPE_I32)
CONV(i8, conv_is_narrow(p))
