/* Convolution in f32, 3x3, stride 1, dilated or not, by the minimal filtering F(4x4, 3x3) of Winograd (Lavin and Gray
 * 2015): 36 products of channels by channels for each tile of 4x4 outputs, where the direct way takes 144. Inputs of
 * 6x6, weights and outputs go through linear transforms, here those of the points 0, ±√½, ±√2 and infinity, which round
 * less than those of whole numbers.
 *
 * A task has a block of tiles, of any images: it transforms their inputs, all channels, and then, a panel of output
 * channels at a time, multiplies, transforms back and stores. All that it makes stays in the second-level cache. Where
 * there are too few blocks for the threads, a first phase transforms the inputs of all tiles, and panels are shared
 * out.
 *
 * Weights are transformed once, and kept, which takes four times their own size. A plan that is to save memory reads
 * them as they are: it transforms those of a panel and some channels right before it multiplies by them, for as many
 * tiles as it can, and sums go on from what channels before have added. The operations are the same, and their order.
 *
 * Whatever is in the input reaches all 16 outputs of the tiles that see it: rounding is at the magnitude of what is
 * largest there, and a NaN or an infinity makes all of them NaN. */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/results.h"
#include "kernels/x86/winograd_weights.h"

#include <math.h>

#define EDGE 4 /* of a tile of outputs */
#define TAPS 3
#define PATCH (EDGE + TAPS - 1) /* edge of the inputs that a tile sees */
#define POINTS (PATCH * PATCH)
#define LINE 16 /* floats of a cache line */

#define BLOCK_BYTES (256 << 10) /* of transformed inputs, or near it */
#define LEAST_TILES 16          /* of a block, all the same: weights are read once for each block */
#define MOST_TILES 24
#define LEAST_SHARE 12    /* tiles of a block when blocks become more, for the sake of threads */
#define LEAST_CHANNELS 8  /* for which it pays */
#define LEAST_DISTANT 48  /* the same where neighbours of a line lie apart, and are stored one by one */
#define FRESH_CHANNELS 64 /* whose weights are transformed at once: a panel of them stays in the second-level cache */
#define FRESH_BYTES (512 << 10) /* of transformed weights, for less of which it does not pay to make them each time */
#define FRESH_TILES 16          /* that they are multiplied by, at least: making them takes as long as 8 to 10 tiles */
#define FRESH_BLOCK 64          /* tiles of a block then, or half as many as output channels where those are more */
#define LEAST_OUTPUTS 144       /* transformed weights are four times as many, and come from memory */

/* state of the plan */
struct winograd {
    const struct conv_params *params;
    int64_t channels;
    int64_t across, tiles;       /* of an image: tiles along the last axis, and all */
    int64_t adjacent;            /* of those along the last axis, so many share no gap */
    int64_t total;               /* tiles of all images */
    int64_t blocks, block_tiles; /* of all images; tiles: at most */
    int64_t panels;              /* of output channels */
    bool shares;                 /* the inputs of all tiles, which a phase of its own transforms */
    bool fresh;                  /* weights are transformed where they are multiplied, `depth` channels at a time */
    int64_t depth, depths;       /* channels that are multiplied at once, and how many times that is all of them */
    int64_t row, plane;          /* floats of a tile's inputs at one point, and of those of all tiles that are kept */
    int64_t sums_plane, weights_plane;
    struct results results;
    size_t inputs_bytes, weights_bytes, sums_bytes, lines_bytes; /* of a task's workspace, one after the other */
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

static bool is_plain_axis(const struct window *w, int axis)
{
    return w->kernel[axis] == 1 && w->input[axis] == 1 && w->output[axis] == 1 && w->pad[axis] == 0;
}

static bool is_filtered_axis(const struct window *w, int axis)
{
    return w->kernel[axis] == TAPS && w->stride[axis] == 1 && w->spread[axis] == 1;
}

/* A dilated axis is as many axes that take turns, and share no input: each is cut into tiles by itself. */
static int64_t tiles_of_turn(const struct window *w, int axis)
{
    return divide_up(divide_up(w->output[axis], w->dilation[axis]), EDGE);
}

static int64_t tiles_along(const struct window *w, int axis)
{
    return w->dilation[axis] * tiles_of_turn(w, axis);
}

/* divide_up, for what is mostly 1. */
static int64_t steps_in(int64_t length, int64_t step)
{
    return step == 1 ? length : divide_up(length, step);
}

/* Outputs of a tile along an axis: `count` of them, from `first` on, as far apart as the window's places are. */
struct edge {
    int64_t first, count;
};

static struct edge edge_of(const struct window *w, int axis, int64_t tile)
{
    int64_t step = w->dilation[axis], each = step == 1 ? 1 : tiles_of_turn(w, axis);
    int64_t first = step == 1 ? tile * EDGE : tile / each + tile % each * EDGE * step, left = w->output[axis] - first;
    return (struct edge){first, left <= 0 ? 0 : least(steps_in(left, step), EDGE)};
}

/* Tiles that reach past the edge are computed whole: at least half of all outputs must count. */
static bool pays(const struct conv_params *p)
{
    int64_t outputs = p->window.output[1] * p->window.output[2];
    int64_t made = tiles_along(&p->window, 1) * tiles_along(&p->window, 2) * EDGE * EDGE;
    int64_t channels = p->window.dilation[2] == 1 ? LEAST_CHANNELS : LEAST_DISTANT;
    return p->input_channels >= channels && outputs >= LEAST_OUTPUTS && 2 * outputs >= made;
}

COLD bool winograd_supports(const void *params)
{
    const struct conv_params *p = params;
    const struct window *w = &p->window;
    return p->dtype == DTYPE_F32 && p->groups == 1 && p->x.channel == 1 && is_plain_axis(w, 0) &&
           is_filtered_axis(w, 1) && is_filtered_axis(w, 2) && pays(p);
}

/* The 36 planes of a workspace are written, and read, at the same place one after the other: an odd number of cache
 * lines from one to the next brings those places into different sets of a cache. */
static int64_t plane_of(int64_t floats)
{
    return floats / LINE % 2 ? floats : floats + LINE;
}

static size_t transformed_bytes(const struct winograd *w)
{
    return (size_t)(w->panels * POINTS * TILE_COLUMNS * w->channels) * sizeof(float);
}

static void cut_channels(struct winograd *w, const struct kernel_facts *facts)
{
    w->fresh = facts->memory_saving && transformed_bytes(w) >= FRESH_BYTES && w->total >= FRESH_TILES;
    w->depths = w->fresh ? divide_up(w->channels, FRESH_CHANNELS) : 1;
    w->row = divide_up(divide_up(w->channels, w->depths), LINE) * LINE;
    w->depth = least(w->row, w->channels);
}

static int64_t most_tiles(const struct winograd *w)
{
    int64_t most = BLOCK_BYTES / (POINTS * (int64_t)sizeof(float)) / w->row;
    if (!w->fresh)
        return most < LEAST_TILES ? LEAST_TILES : least(most, MOST_TILES);
    most = w->params->output_channels / 2;
    return most < FRESH_BLOCK ? FRESH_BLOCK : most;
}

static void cut_blocks(struct winograd *w, int threads)
{
    w->blocks = divide_up(w->total, most_tiles(w));
    int64_t even = divide_up(w->blocks, threads) * threads;
    if (!w->fresh && w->total >= even * LEAST_SHARE && w->blocks < 4 * (int64_t)threads)
        w->blocks = even;
    w->shares = w->blocks > 0 && w->blocks % threads != 0 && w->blocks < 4 * (int64_t)threads;
    w->block_tiles = w->blocks > 0 ? divide_up(w->total, w->blocks) : 0;
}

static size_t inputs_bytes(const struct winograd *w)
{
    return (size_t)(w->depths * POINTS * w->plane) * sizeof(float);
}

static void size_workspace(struct winograd *w)
{
    w->plane = plane_of((w->shares ? w->total : w->block_tiles) * w->row);
    w->sums_plane = plane_of(w->block_tiles * TILE_COLUMNS);
    w->weights_plane = plane_of(w->depth * TILE_COLUMNS);
    w->weights_bytes = w->fresh ? (size_t)(POINTS * w->weights_plane) * sizeof(float) : 0;
    w->inputs_bytes = w->shares ? 0 : inputs_bytes(w);
    w->sums_bytes = (size_t)(POINTS * w->sums_plane) * sizeof(float);
    w->lines_bytes = (size_t)(EDGE * EDGE * least(w->block_tiles, w->adjacent) * TILE_COLUMNS) * sizeof(float);
}

static void describe_tasks(const struct winograd *w, int threads, struct kernel_plan *plan)
{
    int64_t most = 4 * (int64_t)threads;
    plan->phases = w->shares ? 2 : 1;
    plan->tasks[0] = (int)(w->shares ? least(w->total, most) : w->blocks > 0 ? w->blocks : 1);
    plan->tasks[1] = w->shares ? (int)least(w->blocks * w->panels, most) : 0;
    plan->shared_bytes = w->shares ? inputs_bytes(w) : 0;
    plan->task_bytes =
        w->inputs_bytes + w->weights_bytes + w->sums_bytes + w->lines_bytes + SET_NAME(results_workspace)(&w->results);
}

static void describe_pack(const struct winograd *w, struct kernel_pack *pack)
{
    const struct conv_params *p = w->params;
    int64_t panel = POINTS * TILE_COLUMNS * w->channels;
    *pack = (struct kernel_pack){.input = 1,
                                 .form = CONV_FORM_WINOGRAD,
                                 .storable = true,
                                 .tasks = task_count(w->panels, 1 + 65536 / (1 + panel)),
                                 .geometry = {TILE_COLUMNS, p->input_channels, p->output_channels, p->weight_offset,
                                              p->weight_output, p->weight_input, p->weight_spatial[1],
                                              p->weight_spatial[2]},
                                 .bytes = transformed_bytes(w)};
}

COLD bool winograd_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                        struct kernel_plan *plan)
{
    const struct conv_params *p = params;
    const int64_t *output = p->window.output;
    struct winograd *w = region_allocate(region, sizeof *w);
    if (!w)
        return false;
    *w = (struct winograd){.params = p,
                           .channels = p->input_channels,
                           .across = tiles_along(&p->window, 2),
                           .adjacent = tiles_of_turn(&p->window, 2),
                           .tiles = tiles_along(&p->window, 1) * tiles_along(&p->window, 2),
                           .panels = divide_up(p->output_channels, TILE_COLUMNS),
                           .total = p->batch * tiles_along(&p->window, 1) * tiles_along(&p->window, 2)};
    cut_channels(w, facts);
    cut_blocks(w, facts->threads);
    size_workspace(w);
    struct epilogue epilogue = conv_epilogue(p);
    struct results_place place = SET_NAME(results_image_place)(p);
    SET_NAME(results_plan)(&epilogue, true, output[1] * output[2], p->output_channels, &place, &w->results);
    plan->state = w;
    describe_tasks(w, facts->threads, plan);
    plan->pack_count = w->fresh ? 0 : 1;
    if (!w->fresh)
        describe_pack(w, &plan->packs[0]);
    return true;
}

/* --- weights ------------------------------------------------------------------------------------------------- */

static void winograd_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct winograd *w = plan->state;
    const struct conv_params *p = w->params;
    int64_t first, last, point = w->channels * TILE_COLUMNS;
    task_range(w->panels, plan->packs[which].tasks, task, &first, &last);
    for (int64_t panel = first; panel < last; panel++) {
        int64_t column = panel * TILE_COLUMNS;
        const float *weights = (const float *)from + p->weight_offset + column * p->weight_output;
        SET_NAME(winograd_pack_panel)
        (p, weights, least(p->output_channels - column, TILE_COLUMNS), (float *)to + panel * POINTS * point);
    }
}

/* --- inputs -------------------------------------------------------------------------------------------------- */

/* A task's way through a block. */
struct walk {
    const struct winograd *winograd;
    const struct kernel_call *call;
    float *inputs;  /* [depth][point][tile][channel], in planes and rows, from the block's first tile on */
    float *weights; /* that were transformed: [point][channel][column] */
    float *sums;    /* [point][tile][column] */
    float *lines;   /* of outputs, where they are not stored directly: [line][position][column] */
    void *epilogue_workspace;
    int64_t first_tile, tiles;
    int64_t image; /* that the target is of; -1: none */
    struct results_target target;
};

/* Rows and columns of the input that a tile sees. */
struct patch {
    const float *from; /* where (0, 0) is, or would be */
    int64_t first[2], end[2];
};

static struct patch patch_of(const struct walk *walk, int64_t tile)
{
    const struct winograd *w = walk->winograd;
    const struct conv_params *p = w->params;
    int64_t image = tile / w->tiles, at[2] = {tile % w->tiles / w->across, tile % w->tiles % w->across};
    struct patch patch;
    int64_t offset = image * p->x.batch;
    for (int axis = 0; axis < 2; axis++) {
        struct edge edge = edge_of(&p->window, 1 + axis, at[axis]);
        int64_t begin = edge.first - p->window.pad[1 + axis], step = p->window.dilation[1 + axis];
        int64_t left = p->window.input[1 + axis] - begin, end = edge.count + TAPS - 1;
        patch.first[axis] = begin < 0 ? least(steps_in(-begin, step), PATCH) : 0;
        patch.end[axis] = left > 0 ? least(steps_in(left, step), end) : 0;
        offset += (begin + patch.first[axis] * step) * p->x.spatial[1 + axis];
    }
    patch.from = (const float *)walk->call->inputs[0] + offset;
    return patch;
}

INLINE void transform_input(const vf *from, int step, vf *to, int to_step)
{
    vf near_even = vf_fnma(vf_set(2), from[2 * step], from[4 * step]);
    vf near_odd = vf_fnma(vf_set(2), from[step], from[3 * step]);
    vf far_even = vf_fnma(vf_set(0.5F), from[2 * step], from[4 * step]);
    vf far_odd = vf_fnma(vf_set(0.5F), from[step], from[3 * step]);
    to[0] = vf_fnma(vf_set(2.5F), from[2 * step], vf_add(from[0], from[4 * step]));
    to[to_step] = vf_fma(vf_set((float)ROOT_HALF), near_odd, near_even);
    to[2 * to_step] = vf_fnma(vf_set((float)ROOT_HALF), near_odd, near_even);
    to[3 * to_step] = vf_fma(vf_set((float)ROOT_TWO), far_odd, far_even);
    to[4 * to_step] = vf_fnma(vf_set((float)ROOT_TWO), far_odd, far_even);
    to[5 * to_step] = vf_fnma(vf_set(2.5F), from[3 * step], vf_add(from[step], from[5 * step]));
}

/* With 16 lanes a mask costs nothing, so that all vectors are loaded by one; otherwise the channels at the end are
 * copied to where whole vectors are. Code for both would be as long again. */
INLINE vf load_channels(const float *from, int64_t channels)
{
    return LANES == 16 ? vf_load_part(from, channels) : vf_load(from);
}

static __attribute__((noinline)) void copy_end(const float **places, int64_t channel, int64_t channels, float *copies)
{
    for (int i = 0; i < POINTS; i++) {
        if (!places[i])
            continue;
        vf_store(copies + i * LANES, vf_load_part(places[i] + channel, channels));
        places[i] = (const float *)((uintptr_t)(copies + i * LANES) - (uintptr_t)channel * sizeof *copies);
    }
}

/* A vector of channels, or the first `channels` of them. */
INLINE void transform_channels(const float *const *places, int64_t channel, int64_t channels, float *to, int64_t plane)
{
    vf seen[PATCH], half[POINTS], whole[PATCH];
    UNROLL
    for (int j = 0; j < PATCH; j++) {
        UNROLL
        for (int i = 0; i < PATCH; i++) {
            const float *from = places[i * PATCH + j];
            seen[i] = from ? load_channels(from + channel, channels) : vf_set(0);
        }
        transform_input(seen, 1, half + j, PATCH);
    }
    UNROLL
    for (int i = 0; i < PATCH; i++) {
        transform_input(half + i * PATCH, 1, whole, 1);
        UNROLL
        for (int j = 0; j < PATCH; j++)
            vf_store(to + (i * PATCH + j) * plane, whole[j]);
    }
}

static void transform_patch(const struct walk *walk, int64_t index)
{
    const struct winograd *w = walk->winograd;
    const struct conv_params *p = w->params;
    struct patch patch = patch_of(walk, walk->first_tile + index);
    const float *places[POINTS] = {NULL};
    float copies[POINTS * LANES];
    int64_t down = p->window.dilation[1] * p->x.spatial[1], along = p->window.dilation[2] * p->x.spatial[2];
    for (int64_t i = patch.first[0]; i < patch.end[0]; i++)
        for (int64_t j = patch.first[1]; j < patch.end[1]; j++)
            places[i * PATCH + j] = patch.from + (i - patch.first[0]) * down + (j - patch.first[1]) * along;
    for (int64_t first = 0; first < w->channels; first += w->depth) {
        float *to = walk->inputs + first / w->depth * POINTS * w->plane + index * w->row;
        int64_t count = least(w->channels - first, w->depth);
        for (int64_t i = 0; i < count; i += LANES) {
            if (LANES < 16 && count - i < LANES)
                copy_end(places, first + i, count - i, copies);
            transform_channels(places, first + i, least(count - i, LANES), to + i, w->plane);
        }
    }
}

/* --- products ------------------------------------------------------------------------------------------------ */

/* Adds the products of `channels` channels to the sums of a panel at one point. */
static void multiply_point(const struct walk *walk, const struct tile_cut *cut, const float *inputs,
                           const float *weights, int64_t channels, int64_t columns_left, bool resumes, float *sums)
{
    const struct winograd *w = walk->winograd;
    struct tile_panel panel = {weights, TILE_COLUMNS};
    int64_t columns = tile_width(least(columns_left, TILE_COLUMNS));
    for (int64_t tile = 0; tile < cut->tiles; tile++) {
        int64_t row = tile_first_row(cut, tile), rows = tile_first_row(cut, tile + 1) - row;
        const float *first[TILE_ROWS];
        for (int64_t i = 0; i < rows; i++)
            first[i] = inputs + (row + i) * w->row;
        struct tile_rows left = {first, 0, 1, channels};
        struct tile_ends ends = {.resumes = resumes,
                                 .low = -INFINITY,
                                 .high = INFINITY,
                                 .to = sums + row * TILE_COLUMNS,
                                 .to_row = TILE_COLUMNS,
                                 .columns = columns};
        SET_NAME(tile_multiply)(rows, &left, &panel, &ends);
    }
}

/* The weights of a panel for the channels from `first` on. */
static const float *weights_of(const struct walk *walk, int64_t panel, int64_t first, int64_t channels)
{
    const struct winograd *w = walk->winograd;
    const struct conv_params *p = w->params;
    int64_t column = panel * TILE_COLUMNS;
    if (!w->fresh)
        return (const float *)walk->call->packed[0] + panel * POINTS * w->channels * TILE_COLUMNS;
    const float *from =
        (const float *)walk->call->inputs[1] + p->weight_offset + column * p->weight_output + first * p->weight_input;
    SET_NAME(winograd_transform)
    (p, from, channels, least(p->output_channels - column, TILE_COLUMNS), walk->weights, w->weights_plane);
    return walk->weights;
}

static void multiply_panel(const struct walk *walk, int64_t panel)
{
    const struct winograd *w = walk->winograd;
    int64_t plane = w->fresh ? w->weights_plane : w->channels * TILE_COLUMNS;
    struct tile_cut cut = tile_cut(walk->tiles);
    for (int64_t first = 0; first < w->channels; first += w->depth) {
        int64_t channels = least(w->channels - first, w->depth);
        const float *weights = weights_of(walk, panel, first, channels);
        const float *inputs = walk->inputs + first / w->depth * POINTS * w->plane;
        for (int64_t point = 0; point < POINTS; point++)
            multiply_point(walk, &cut, inputs + point * w->plane, weights + point * plane, channels,
                           w->params->output_channels - panel * TILE_COLUMNS, first > 0,
                           walk->sums + point * w->sums_plane);
    }
}

/* --- outputs ------------------------------------------------------------------------------------------------- */

INLINE void transform_output(const vf *from, int step, vf *to, int to_step)
{
    vf near_even = vf_add(from[step], from[2 * step]), near_odd = vf_sub(from[step], from[2 * step]);
    vf far_even = vf_add(from[3 * step], from[4 * step]), far_odd = vf_sub(from[3 * step], from[4 * step]);
    to[0] = vf_add(vf_add(from[0], near_even), far_even);
    to[to_step] = vf_mul(vf_set((float)ROOT_TWO), vf_fma(vf_set(0.5F), near_odd, far_odd));
    to[2 * to_step] = vf_fma(vf_set(0.5F), near_even, vf_mul(vf_set(2), far_even));
    to[3 * to_step] =
        vf_fma(vf_set((float)(ROOT_TWO / 4)), near_odd, vf_fma(vf_set((float)(2 * ROOT_TWO)), far_odd, from[5 * step]));
}

/* Vector `vector` of the sums at all points, to that of all outputs of the tile. */
INLINE void transform_sums(const float *sums, int64_t plane, vf *outputs)
{
    vf seen[PATCH], half[EDGE * PATCH];
    UNROLL
    for (int j = 0; j < PATCH; j++) {
        UNROLL
        for (int i = 0; i < PATCH; i++)
            seen[i] = vf_load(sums + (i * PATCH + j) * plane);
        transform_output(seen, 1, half + j, PATCH);
    }
    UNROLL
    for (int i = 0; i < EDGE; i++)
        transform_output(half + i * PATCH, 1, outputs + i * EDGE, 1);
}

/* Where the outputs of a tile are, and how many of them there are. */
struct place {
    struct edge down, along;
};

static struct place place_of(const struct winograd *w, int64_t tile)
{
    int64_t at = tile % w->tiles;
    const struct window *window = &w->params->window;
    return (struct place){edge_of(window, 1, at / w->across), edge_of(window, 2, at % w->across)};
}

/* The first row of line `i` of a tile. */
static int64_t line_at(const struct winograd *w, const struct place *place, int64_t i)
{
    const struct window *window = &w->params->window;
    return (place->down.first + i * window->dilation[1]) * window->output[2] + place->along.first;
}

/* Outputs of a line from row `first` on, `step` positions apart, and a vector of columns from `column` on. */
INLINE void finish_line(const struct tile_ends *ends, int64_t first, int64_t rows, int64_t step, int64_t column,
                        const vf *outputs)
{
    bool whole = ends->columns - column >= LANES;
    UNROLL
    for (int i = 0; i < EDGE; i++)
        if (i < rows && whole)
            tile_finish(ends, first + i * step, column, outputs[i]);
        else if (i < rows)
            tile_finish_part(ends, first + i * step, column, outputs[i]);
}

static void store_directly(const struct walk *walk, int64_t index, int64_t column, int64_t columns)
{
    const struct winograd *w = walk->winograd;
    const struct window *window = &w->params->window;
    struct place place = place_of(w, walk->first_tile + index);
    struct results_block block = {.row = line_at(w, &place, 0), .column = column, .columns = columns, .step = 1};
    struct tile_ends ends;
    int64_t below = window->dilation[1] * window->output[2];
    vf outputs[EDGE * EDGE];
    SET_NAME(results_ends)(&walk->target, &block, &ends);
    for (int64_t part = 0; part < columns; part += LANES) {
        transform_sums(walk->sums + index * TILE_COLUMNS + part, w->sums_plane, outputs);
        for (int64_t i = 0; i < place.down.count; i++)
            finish_line(&ends, i * below, place.along.count, window->dilation[2], part, outputs + i * EDGE);
    }
}

/* Tiles that lie next to each other: their outputs are brought in order, and stored line by line, or where there are
 * gaps between them one by one. */
static void store_by_lines(const struct walk *walk, int64_t index, int64_t count, int64_t column, int64_t columns)
{
    const struct winograd *w = walk->winograd;
    struct place place = place_of(w, walk->first_tile + index);
    int64_t line = count * EDGE * TILE_COLUMNS, step = w->params->window.dilation[2];
    int64_t left = w->params->window.output[2] - place.along.first;
    int64_t positions = left > 0 ? least(divide_up(left, step), count * EDGE) : 0;
    struct results_block block = {.rows = step == 1 ? positions : 1, .column = column, .columns = columns, .step = 1};
    vf outputs[EDGE * EDGE];
    for (int64_t tile = 0; tile < count; tile++)
        for (int64_t part = 0; part < columns; part += LANES) {
            transform_sums(walk->sums + (index + tile) * TILE_COLUMNS + part, w->sums_plane, outputs);
            for (int64_t i = 0; i < EDGE * EDGE; i++)
                vf_store(walk->lines + i / EDGE * line + (tile * EDGE + i % EDGE) * TILE_COLUMNS + part, outputs[i]);
        }
    for (int64_t i = 0; i < place.down.count; i++)
        for (int64_t k = 0; k < positions; k += block.rows) {
            block.row = line_at(w, &place, i) + k * step;
            SET_NAME(results_store)
            (&walk->target, &block, walk->lines + i * line + k * TILE_COLUMNS, TILE_COLUMNS, walk->epilogue_workspace);
        }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void begin_image(struct walk *walk, int64_t image)
{
    const struct winograd *w = walk->winograd;
    walk->image = image;
    SET_NAME(results_begin_image)(&w->results, walk->call, w->params, image, &walk->target);
}

/* Tiles from `index` on that lie next to each other. */
static int64_t neighbours(const struct walk *walk, int64_t index)
{
    const struct winograd *w = walk->winograd;
    int64_t along = (walk->first_tile + index) % w->tiles % w->across % w->adjacent;
    return least(w->adjacent - along, walk->tiles - index);
}

static void store_panel(struct walk *walk, int64_t panel)
{
    const struct winograd *w = walk->winograd;
    int64_t column = panel * TILE_COLUMNS, columns = least(w->params->output_channels - column, TILE_COLUMNS), count;
    for (int64_t i = 0; i < walk->tiles; i += count) {
        int64_t image = (walk->first_tile + i) / w->tiles;
        if (image != walk->image)
            begin_image(walk, image);
        count = neighbours(walk, i);
        if (!walk->target.direct)
            store_by_lines(walk, i, count, column, columns);
        for (int64_t k = 0; k < count && walk->target.direct; k++)
            store_directly(walk, i + k, column, columns);
    }
}

/* Tiles of `part` of some equal parts. */
static void choose_tiles(struct walk *walk, int64_t parts, int64_t part)
{
    const struct winograd *w = walk->winograd;
    int64_t end;
    task_range(w->total, (int)parts, (int)part, &walk->first_tile, &end);
    walk->tiles = end - walk->first_tile;
    if (w->shares)
        walk->inputs = (float *)walk->call->shared + walk->first_tile * w->row;
}

static void transform_inputs(const struct walk *walk)
{
    for (int64_t i = 0; i < walk->tiles; i++)
        transform_patch(walk, i);
}

static void run_panel(struct walk *walk, int64_t panel)
{
    multiply_panel(walk, panel);
    store_panel(walk, panel);
}

static void run_block(struct walk *walk, int64_t block)
{
    choose_tiles(walk, walk->winograd->blocks, block);
    transform_inputs(walk);
    for (int64_t panel = 0; panel < walk->winograd->panels; panel++)
        run_panel(walk, panel);
}

static void transform_share(struct walk *walk, int tasks, int task)
{
    choose_tiles(walk, tasks, task);
    transform_inputs(walk);
}

/* All blocks of a panel come one after the other, so that its weights are read from memory once. */
static void multiply_share(struct walk *walk, int tasks, int task)
{
    const struct winograd *w = walk->winograd;
    int64_t first, last;
    task_range(w->blocks * w->panels, tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        choose_tiles(walk, w->blocks, i % w->blocks);
        run_panel(walk, i / w->blocks);
    }
}

static void winograd_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct winograd *w = plan->state;
    char *inputs = call->workspace, *weights = inputs + w->inputs_bytes, *sums = weights + w->weights_bytes,
         *lines = sums + w->sums_bytes;
    struct walk walk = {.winograd = w,
                        .call = call,
                        .inputs = (float *)(void *)inputs,
                        .weights = (float *)(void *)weights,
                        .sums = (float *)(void *)sums,
                        .lines = (float *)(void *)lines,
                        .epilogue_workspace = lines + w->lines_bytes,
                        .image = -1};
    if (w->blocks == 0)
        return;
    if (w->shares && call->phase == 0)
        transform_share(&walk, plan->tasks[0], task);
    else if (w->shares)
        multiply_share(&walk, plan->tasks[1], task);
    else
        run_block(&walk, task);
}

const struct kernel SET_NAME(conv_winograd_f32) = {
    .name = SET_TEXT(conv_winograd_f32),
    .family = FAMILY_conv,
    .requires = SET_REQUIRES,
    .constant_inputs = 1u << 1,
    .channels_last = true,
    .mixes = true,
    .supports = winograd_supports,
    .plan = winograd_plan,
    .pack = winograd_pack,
    .run = winograd_run,
};
