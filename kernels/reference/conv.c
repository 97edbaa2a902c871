/* Convolution as a product of matrices: the weights, times what each tap sees (gathered block by block, so that it
 * stays in the cache; small blocks, since each thread's workspace is part of the arena). */
#include "kernels/conv.h"

#include "kernels/reference/types.h"
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

static int conv_tasks(const void *params)
{
    const struct conv_params *p = params;
    int64_t each = least(p->output_channels, BLOCK_CHANNELS) * least(positions(&p->window), BLOCK_POSITIONS);
    return task_count(block_count(p), 1 + 1000000 / (1 + each * least(p->input_channels, 1024)));
}

#define TYPE_NAME f32
#define T float
#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME f64
#define T double
#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T
#define TYPE_NAME i32
#define T uint32_t /* wraps, and gives the bits that the signed sum has */
#include "kernels/reference/conv.inc"
#undef TYPE_NAME
#undef T

#define CONV(type, type_dtype)                                                                              \
    REFERENCE_KERNEL(conv, type, type_dtype, .workspace_bytes = conv_workspace_##type, .tasks = conv_tasks, \
                     .run = conv_run_##type)
CONV(f32, DTYPE_F32)
CONV(f64, DTYPE_F64)
CONV(i32, DTYPE_I32)
