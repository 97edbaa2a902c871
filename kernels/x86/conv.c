/* Convolution in f32 with lanes along the output channels: a product of positions by channels, whose left rows are
 * stretches of the input, one for each place of the window. Nothing is copied where input channels are contiguous and
 * not few; otherwise what the window sees is gathered, a block of rows at a time, or read from lines that were copied
 * with their padding.
 *
 * Where x is scaled, rows are made so, a block at a time, for all panels of weights that a task has.
 *
 * Terms are added in the order of the window's places and, within one, of the input channels; where what the window
 * sees is gathered, in the order of kernels/x86/gathered.h. A place in the padding adds zeros, as any other does. */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/padded.h"
#include "kernels/x86/results.h"
#include "kernels/x86/sight.h"

#include <string.h>

#define FEW_CHANNELS                                                                                               \
    12                   /* that are gathered, or read from lines with their padding, where there is more than one \
                            stretch of them: it would be too short */
#define TASK_WORK 400000 /* multiplications of a task */
/* A scaled row is a little longer than its channels: where these are a multiple of 4 KB, rows would otherwise take
 * turns in the same sets of the first-level cache. */
#define ROW_GAP 16

/* state of the plan */
struct convolution {
    const struct conv_params *params;         /* several images may be joined in them */
    int64_t taps, channels, positions, depth; /* of one group; depth: terms of a sum */
    bool gathers;
    int64_t stretch_taps, stretch_channels; /* terms between two visits to the buffer: TILE_DEPTH, or near it */
    struct tile_cut cut;                    /* of the positions of an image */
    int64_t panels;                         /* of one group */
    bool far;                               /* its weights are too many for a near cache */
    int64_t task_panels;                    /* of a block, that are not shared out */
    int64_t row;                            /* in workspace, of what is gathered or scaled: its floats */
    struct gathered gathered;               /* where rows are */
    struct padded padded;                   /* where they are read, if it has offsets; short tiles are still gathered */
    /* Otherwise: */
    const float *zeros;     /* as many as channels, what the window sees in the padding */
    const int64_t *offsets; /* of each place of the window from the first */
    bool even;              /* the window is one place, never in the padding, and these places are all so far apart: */
    int64_t point_step;
    struct results results;
    bool shuffles; /* a task makes all channels of its rows, which are shuffled when they are stored */
    size_t places_bytes, padded_bytes, rows_bytes, sums_bytes, shuffled_bytes; /* of workspace, one after the other */
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

COLD bool conv_supports(const void *params)
{
    const struct conv_params *p = params;
    const int64_t *spread = p->window.spread;
    bool scales = !p->x_scaled || p->x.channel == 1; /* what is gathered is not */
    return p->dtype == DTYPE_F32 && scales && spread[0] == 1 && spread[1] == 1 && spread[2] == 1 &&
           SET_NAME(results_image_fits)(p);
}

static void size_workspace(struct convolution *conv)
{
    size_t rows = (size_t)tile_block_rows(&conv->cut);
    conv->places_bytes = conv->gathers ? 0 : align_up(rows * (size_t)conv->taps * sizeof(const float *), ALIGNMENT);
    conv->padded_bytes = conv->padded.offsets ? conv->padded.bytes : 0;
    if (conv->gathers || conv->params->x_scaled)
        conv->rows_bytes =
            align_up((conv->padded.offsets ? TILE_STREWN : rows) * (size_t)conv->row * sizeof(float), ALIGNMENT);
    bool at_once = conv->gathers || (conv->stretch_channels == conv->channels && conv->stretch_taps >= conv->taps);
    if (!at_once || !SET_NAME(results_need_no_buffer)(&conv->results, 1))
        conv->sums_bytes = rows * TILE_COLUMNS * sizeof(float);
    if (conv->shuffles)
        conv->shuffled_bytes = align_up(rows * (size_t)conv->results.columns * sizeof(float), ALIGNMENT);
}

/* With one place or one channel both orders are the same. */
static bool packs_by_channel(const struct convolution *conv)
{
    return conv->gathers && conv->gathered.by_channel && conv->taps > 1 && conv->channels > 1;
}

static void describe_pack(const struct convolution *conv, struct kernel_pack *pack)
{
    const struct conv_params *p = conv->params;
    *pack = (struct kernel_pack){
        .input = 1,
        .form = CONV_FORM_PANELS,
        .storable = true,
        .tasks = task_count(p->groups * conv->panels, 1 + 65536 / (1 + TILE_COLUMNS * conv->depth)),
        .geometry = {TILE_COLUMNS, p->groups, p->input_channels, p->output_channels, p->window.kernel[0],
                     p->window.kernel[1], p->window.kernel[2], p->weight_offset, p->weight_group, p->weight_output,
                     p->weight_input, p->weight_spatial[0], p->weight_spatial[1], p->weight_spatial[2],
                     packs_by_channel(conv)},
        .bytes = (size_t)(p->groups * conv->panels * TILE_COLUMNS * conv->depth) * sizeof(float)};
}

static bool is_point(const struct window *w)
{
    for (int axis = 0; axis < SPATIAL_AXES; axis++)
        if (w->kernel[axis] != 1 || w->pad[axis] != 0 || (w->output[axis] - 1) * w->stride[axis] >= w->input[axis])
            return false;
    return true;
}

/* Whether what positions see, a place each, is the same way apart from one to the next. */
static bool is_even(const struct conv_params *p, int64_t *step)
{
    int64_t passed = 1;
    for (int axis = SPATIAL_AXES - 1; axis >= 0; axis--) {
        int64_t apart = p->window.stride[axis] * p->x.spatial[axis], count = p->window.output[axis];
        if (count > 1 && passed == 1)
            *step = apart;
        else if (count > 1 && apart != *step * passed)
            return false;
        passed *= count;
    }
    return true;
}

static bool find_offsets(struct convolution *conv, struct region *region)
{
    const struct conv_params *p = conv->params;
    int64_t *offsets = region_array(region, (size_t)conv->taps, sizeof *offsets);
    conv->zeros = region_array(region, (size_t)conv->channels, sizeof *conv->zeros);
    conv->offsets = offsets;
    conv->even = is_point(&p->window) && is_even(p, &conv->point_step);
    for (int64_t tap = 0; offsets && tap < conv->taps; tap++) {
        int64_t place[SPATIAL_AXES];
        coordinates(p->window.kernel, tap, place);
        for (int axis = 0; axis < SPATIAL_AXES; axis++)
            offsets[tap] += place[axis] * p->window.dilation[axis] * p->x.spatial[axis];
    }
    return conv->offsets && conv->zeros;
}

#define SHUFFLED_BYTES (64 << 10) /* of a block's results, before they are shuffled */

/* Blocks are then small enough for what is shuffled to be in a near cache, and for all threads to have some. */
static void cut_for_shuffle(struct convolution *conv, int threads)
{
    int64_t row_bytes = conv->results.columns * (int64_t)sizeof(float);
    int64_t tiles = least(SHUFFLED_BYTES / (TILE_ROWS * row_bytes), BLOCK_TILES);
    if (threads > 1)
        tiles = least(tiles, conv->params->batch * conv->cut.tiles / (4 * (int64_t)threads));
    conv->cut = tile_cut_shared(conv->positions, TILE_ROWS, tiles > 1 ? tiles : 1, threads);
}

/* Blocks are then of whole lines: of as few tiles as otherwise where these have sums in a buffer. */
static bool plan_padded(struct convolution *conv, struct region *region)
{
    if (!conv->gathers || conv->shuffles || conv->taps == 1 || conv->channels >= FEW_CHANNELS)
        return true;
    struct tile_cut cut = conv->cut;
    if (SET_NAME(results_need_no_buffer)(&conv->results, 1))
        cut = tile_cut_by(conv->positions, TILE_ROWS, SET_NAME(padded_block)(conv->params, TILE_ROWS) / TILE_ROWS);
    if (!SET_NAME(padded_plan)(&conv->gathered, tile_block_rows(&cut), region, &conv->padded))
        return false;
    conv->cut = conv->padded.offsets ? cut : conv->cut;
    return true;
}

/* How many panels of a block a task has at once: what is gathered serves them all, so they stay together where that
 * leaves enough tasks; what is scaled, as far as it does. */
static int64_t panels_together(const struct convolution *conv, int64_t blocks, int threads)
{
    int64_t most = conv->panels;
    if (!conv->gathers && !conv->params->x_scaled)
        return 1;
    if (threads > 1 && blocks < 4 * (int64_t)threads)
        most = conv->gathers || blocks == 0 ? 1 : divide_up(conv->panels, divide_up(4 * (int64_t)threads, blocks));
    while (most > 1 && conv->panels % most != 0)
        most--;
    return most > 0 ? most : 1;
}

static int cut_tasks(struct convolution *conv, int threads)
{
    const struct conv_params *p = conv->params;
    int64_t work = p->batch * p->groups * conv->positions * conv->depth * conv->panels * TILE_COLUMNS;
    bool alone = work < TILE_ALONE;
    if (conv->shuffles) {
        int64_t rows = least(conv->positions, tile_block_rows(&conv->cut));
        int64_t block = rows * p->groups * conv->panels * TILE_COLUMNS * conv->depth;
        return alone ? 1 : task_count_shared(p->batch * conv->cut.blocks, 1 + TASK_WORK / (1 + block), threads);
    }
    int64_t blocks = p->batch * p->groups * conv->cut.blocks;
    conv->task_panels = panels_together(conv, blocks, threads);
    int64_t each = least(conv->positions, tile_block_rows(&conv->cut)) * TILE_COLUMNS * conv->task_panels * conv->depth;
    return alone ? 1
                 : task_count_shared(blocks * conv->panels / conv->task_panels, 1 + TASK_WORK / (1 + each), threads);
}

/* The program with the batch inside the channels, where the positions of a joined image have it. */
static const struct pointwise_params *join_program(const struct epilogue *epilogue, struct region *region)
{
    const struct pointwise_params *from = epilogue->program;
    struct pointwise_params *to = region_allocate(region, pointwise_bytes(from));
    int first[EPILOGUE_AXES + 1];
    if (!to)
        return NULL;
    memcpy(to, from, pointwise_bytes(from));
    epilogue_axes(epilogue, first);
    int batches = first[EPILOGUE_ROWS], rows = first[EPILOGUE_COLUMNS] - batches;
    for (int axis = 0; axis < batches + rows; axis++) {
        int source = axis < rows ? batches + axis : axis - rows;
        to->dims[axis] = from->dims[source];
        for (int i = 0; i < pointwise_operand_count(from); i++)
            to->operands[i].strides[axis] = from->operands[i].strides[source];
    }
    pointwise_merge_axes(to);
    return to;
}

/* Several images of few positions become one, along an axis that theirs do without: they share tiles, and weights are
 * read once for all of them. NULL: no memory. */
static const struct conv_params *join_images(const struct conv_params *p, struct region *region)
{
    const struct window *w = &p->window;
    bool flat = w->input[0] == 1 && w->output[0] == 1 && w->kernel[0] == 1 && w->pad[0] == 0;
    if (p->batch == 1 || !flat || w->output[1] * w->output[2] >= BLOCK_TILES * TILE_ROWS)
        return p;
    struct conv_params *joined = region_allocate(region, sizeof *joined);
    if (!joined)
        return NULL;
    *joined = *p;
    joined->batch = 1;
    joined->window.input[0] = joined->window.output[0] = p->batch;
    joined->window.stride[0] = 1;
    joined->x.spatial[0] = p->x.batch;
    joined->y.spatial[0] = p->y.batch;
    if (!SET_NAME(results_image_fits)(joined))
        return p;
    struct epilogue epilogue = conv_epilogue(p);
    if (p->epilogue && !(joined->epilogue = join_program(&epilogue, region)))
        return NULL;
    return joined;
}

/* A window that goes along a line of one channel, and never into the padding, sees a stretch of it: as one place of as
 * many channels it need not be gathered. Sums of more than a stretch's terms would be put away differently. NULL: no
 * memory. */
static const struct conv_params *join_places(const struct conv_params *p, struct region *region)
{
    const struct window *w = &p->window;
    int64_t places = w->kernel[2], last = (w->output[2] - 1) * w->stride[2] + places;
    bool along = p->groups == 1 && p->input_channels == 1 && w->kernel[0] * w->kernel[1] == 1 && w->dilation[2] == 1;
    if (!along || p->x.spatial[2] != 1 || w->pad[2] != 0 || last > w->input[2] || places < 2 || places > TILE_DEPTH)
        return p;
    struct conv_params *joined = region_allocate(region, sizeof *joined);
    if (!joined)
        return NULL;
    *joined = *p;
    joined->input_channels = places;
    joined->x.channel = 1;
    joined->weight_input = p->weight_spatial[2];
    joined->window.kernel[2] = 1;
    joined->window.input[2] -= places - 1;
    return joined;
}

COLD bool conv_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                    struct kernel_plan *plan)
{
    const struct conv_params *p = join_images(params, region);
    p = p ? join_places(p, region) : NULL;
    struct convolution *conv = region_allocate(region, sizeof *conv);
    if (!p || !conv)
        return false;
    const struct window *w = &p->window;
    *conv = (struct convolution){.params = p,
                                 .taps = w->kernel[0] * w->kernel[1] * w->kernel[2],
                                 .channels = p->input_channels,
                                 .positions = w->output[0] * w->output[1] * w->output[2],
                                 .panels = divide_up(p->output_channels, TILE_COLUMNS)};
    conv->depth = conv->taps * conv->channels;
    conv->far = conv->panels * conv->depth * TILE_COLUMNS * (int64_t)sizeof(float) >= TILE_FAR_BYTES;
    conv->gathers = p->x.channel != 1 || (conv->taps > 1 && conv->channels < FEW_CHANNELS);
    if (conv->gathers ? !SET_NAME(gathered_plan)(p, region, &conv->gathered) : !find_offsets(conv, region))
        return false;
    conv->row = conv->gathers ? conv->depth : conv->channels + ROW_GAP;
    conv->stretch_channels = least(conv->channels, TILE_DEPTH);
    conv->stretch_taps = conv->channels >= TILE_DEPTH ? 1 : 1 + TILE_DEPTH / (1 + conv->channels);
    conv->cut = tile_cut_shared(conv->positions, TILE_ROWS, BLOCK_TILES, facts->threads);
    struct epilogue epilogue = conv_epilogue(p);
    struct results_place place = SET_NAME(results_image_place)(p);
    SET_NAME(results_plan)(&epilogue, true, conv->positions, p->groups * p->output_channels, &place, &conv->results);
    conv->shuffles = conv->panels > 0 && SET_NAME(results_take_shuffle)(&conv->results);
    if (conv->shuffles)
        cut_for_shuffle(conv, facts->threads);
    if (!plan_padded(conv, region))
        return false;
    size_workspace(conv);
    plan->state = conv;
    plan->phases = 1;
    plan->tasks[0] = cut_tasks(conv, facts->threads);
    plan->task_bytes = conv->places_bytes + conv->padded_bytes + conv->rows_bytes + conv->sums_bytes +
                       conv->shuffled_bytes + SET_NAME(results_workspace)(&conv->results);
    plan->pack_count = 1;
    describe_pack(conv, &plan->packs[0]);
    return true;
}

/* --- packing ------------------------------------------------------------------------------------------------- */

/* A panel of a group, channel by channel. */
static void pack_by_channel(const struct convolution *conv, const float *weights, int64_t columns, float *to)
{
    const struct conv_params *p = conv->params;
    const int64_t *kernel = p->window.kernel;
    for (int64_t channel = 0; channel < conv->channels; channel++)
        for (int64_t line = 0; line < kernel[0] * kernel[1]; line++, to += kernel[2] * TILE_COLUMNS) {
            int64_t at = channel * p->weight_input + line / kernel[1] * p->weight_spatial[0] +
                         line % kernel[1] * p->weight_spatial[1];
            SET_NAME(tile_pack)(weights + at, p->weight_spatial[2], p->weight_output, kernel[2], columns, to);
        }
}

static void pack_by_place(const struct convolution *conv, const float *weights, int64_t columns, float *to)
{
    const struct conv_params *p = conv->params;
    const int64_t *kernel = p->window.kernel;
    for (int64_t tap = 0; tap < conv->taps; tap++, to += conv->channels * TILE_COLUMNS) {
        int64_t at = tap / kernel[2] / kernel[1] * p->weight_spatial[0] +
                     tap / kernel[2] % kernel[1] * p->weight_spatial[1] + tap % kernel[2] * p->weight_spatial[2];
        SET_NAME(tile_pack)(weights + at, p->weight_input, p->weight_output, conv->channels, columns, to);
    }
}

static void conv_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct convolution *conv = plan->state;
    const struct conv_params *p = conv->params;
    int64_t first, last;
    task_range(p->groups * conv->panels, plan->packs[which].tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t group = i / conv->panels, column = i % conv->panels * TILE_COLUMNS;
        const float *weights =
            (const float *)from + p->weight_offset + group * p->weight_group + column * p->weight_output;
        (packs_by_channel(conv) ? pack_by_channel : pack_by_place)(conv, weights,
                                                                   least(p->output_channels - column, TILE_COLUMNS),
                                                                   (float *)to + i * conv->depth * TILE_COLUMNS);
    }
}

/* --- what the window sees ------------------------------------------------------------------------------------ */

/* A task's way through its items. */
struct walk {
    const struct convolution *conv;
    const struct kernel_call *call;
    const float **places; /* of a block: [tile][tap][TILE_ROWS] */
    float *padded;        /* of a block: its lines with their padding */
    float *rows;          /* of a block, gathered or scaled: [row][conv->row]; of a tile, where lines are padded */
    float *sums;
    float *shuffled; /* of a block: all its results, before they are */
    void *epilogue_workspace;
    const float *image;          /* of the group, in the input */
    const float *factor, *shift; /* of the group, where x is scaled */
    struct results_target target;
    int64_t first_tile, tiles, first_row, end_row;
};

/* So many strides reach so far; nearly all windows move by one place. */
static int64_t strides_to(int64_t far, int64_t stride)
{
    return stride == 1 ? far : divide_up(far, stride);
}

/* Of `count` positions that follow `sight` along an axis, those that see a place of the window are [*first, *end). */
static void seen_along(const struct window *w, const struct sight *sight, const int64_t *place, int axis, int64_t count,
                       int64_t *first, int64_t *end)
{
    *first = *end = 0;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t at = sight->at[i] + place[i] * w->dilation[i];
        if (i != axis && (at < 0 || at >= w->input[i]))
            return;
    }
    int64_t at = sight->at[axis] + place[axis] * w->dilation[axis], stride = w->stride[axis];
    *first = at < 0 ? least(strides_to(-at, stride), count) : 0;
    *end = at < w->input[axis] ? least(strides_to(w->input[axis] - at, stride), count) : 0;
}

/* The input under each place of the window at `count` positions of a tile that lie `step` apart, where all of it is
 * seen. */
static void place_whole_line(const struct convolution *conv, const float *from, int64_t step, int64_t count,
                             const float **places)
{
    for (int64_t i = 0; i < count; i++, from += step)
        for (int64_t tap = 0; tap < conv->taps; tap++)
            places[tap * TILE_ROWS + i] = from + conv->offsets[tap];
}

/* The same for positions that follow each other along an axis; zeros in the padding. */
static void place_line(const struct walk *walk, const int64_t *position, int axis, int64_t count, const float **places)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    const struct window *w = &p->window;
    struct sight sight = look(p, position);
    int64_t step = w->stride[axis] * p->x.spatial[axis], place[SPATIAL_AXES] = {0}, first, end;
    const float *from = walk->image + sight.offset;
    if (sight.whole && sees_inside(w, axis, sight.at[axis] + (count - 1) * w->stride[axis])) {
        place_whole_line(conv, from, step, count, places);
        return;
    }
    for (int64_t tap = 0; tap < conv->taps; tap++, step_coordinates(w->kernel, place), places += TILE_ROWS) {
        seen_along(w, &sight, place, axis, count, &first, &end);
        const float *seen = from + conv->offsets[tap];
        int64_t i = 0;
        for (; i < first; i++)
            places[i] = conv->zeros;
        for (; i < end; i++)
            places[i] = seen + i * step;
        for (; i < count; i++)
            places[i] = conv->zeros;
    }
}

static void place_tile(const struct walk *walk, int64_t tile, const float **places)
{
    const struct convolution *conv = walk->conv;
    const int64_t *sizes = conv->params->window.output;
    int64_t row = tile_first_row(&conv->cut, tile), rows = tile_first_row(&conv->cut, tile + 1) - row;
    int64_t position[SPATIAL_AXES];
    int axis = sizes[2] > 1 ? 2 : sizes[1] > 1 ? 1 : 0;
    coordinates(sizes, row, position);
    for (int64_t i = 0, count; i < rows; i += count) {
        count = least(rows - i, sizes[axis] - position[axis]);
        place_line(walk, position, axis, count, places + i);
        position[axis] += count - 1;
        step_coordinates(sizes, position);
    }
}

/* The same where the window is one place, and all that positions see is evenly spaced. */
static void place_evenly(const struct walk *walk, int64_t tile, const float **places)
{
    const struct convolution *conv = walk->conv;
    int64_t row = tile_first_row(&conv->cut, tile), rows = tile_first_row(&conv->cut, tile + 1) - row;
    const float *from = walk->image + row * conv->point_step;
    for (int64_t i = 0; i < rows; i++)
        places[i] = from + i * conv->point_step;
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void begin_image(struct walk *walk, int64_t image, int64_t group)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    const float *x = walk->call->inputs[0];
    walk->image = x + image * p->x.batch + group * p->input_channels * p->x.channel;
    if (p->x_scaled) {
        walk->factor = (const float *)walk->call->inputs[3] + group * p->input_channels;
        walk->shift = (const float *)walk->call->inputs[4] + group * p->input_channels;
    }
    SET_NAME(results_begin_image)(&conv->results, walk->call, p, image, &walk->target);
}

static void scale_row(const struct walk *walk, const float *from, float *to)
{
    const float *factor = walk->factor, *shift = walk->shift;
    int64_t channels = walk->conv->channels, i = 0;
    vf low = vf_set(walk->conv->params->x_cut ? 0 : -INFINITY);
    for (; i + LANES <= channels; i += LANES)
        vf_store(to + i, vf_max(low, vf_add(vf_mul(vf_load(from + i), vf_load(factor + i)), vf_load(shift + i))));
    int64_t left = channels - i;
    if (left > 0) {
        vf x = vf_mul(vf_load_part(from + i, left), vf_load_part(factor + i, left));
        vf_store_part(to + i, vf_max(low, vf_add(x, vf_load_part(shift + i, left))), left);
    }
}

/* Rows of the block, those of the padding apart, as windows see them. */
static void scale_rows(const struct walk *walk)
{
    const struct convolution *conv = walk->conv;
    float *to = walk->rows;
    for (int64_t tile = 0, row = walk->first_row, end; tile < walk->tiles; tile++, row = end) {
        const float **places = walk->places + tile * TILE_ROWS;
        end = tile_first_row(&conv->cut, walk->first_tile + tile + 1);
        for (int64_t i = 0; i < end - row; i++, to += conv->row) {
            if (places[i] == conv->zeros)
                continue;
            scale_row(walk, places[i], to);
            places[i] = to;
        }
    }
}

static void begin_block(struct walk *walk, int64_t block)
{
    const struct convolution *conv = walk->conv;
    walk->first_tile = tile_first_of_block(&conv->cut, block);
    walk->tiles = tile_first_of_block(&conv->cut, block + 1) - walk->first_tile;
    walk->first_row = tile_first_row(&conv->cut, walk->first_tile);
    walk->end_row = tile_first_row(&conv->cut, walk->first_tile + walk->tiles);
    if (conv->padded.offsets)
        SET_NAME(padded_copy)(&conv->padded, walk->image, walk->first_row, walk->end_row, walk->padded);
    else if (conv->gathers)
        SET_NAME(gathered_rows)(&conv->gathered, walk->image, walk->first_row, walk->end_row, walk->rows);
    for (int64_t i = 0; i < walk->tiles && !conv->gathers; i++) {
        const float **places = walk->places + i * conv->taps * TILE_ROWS;
        (conv->even ? place_evenly : place_tile)(walk, walk->first_tile + i, places);
    }
    if (conv->params->x_scaled)
        scale_rows(walk);
}

/* Some terms of all sums of a block in one panel: `taps` places of the window, and of each `channels` from `channel`
 * on. The first place is `tap`. */
struct stretch {
    int64_t tap, taps, channel, channels;
    bool first, last;
};

/* All tiles of the block; ends: of the first. */
static void multiply_tiles(const struct walk *walk, const float *weights, const struct stretch *stretch,
                           struct tile_ends ends)
{
    const struct convolution *conv = walk->conv;
    const float *gathered[TILE_ROWS];
    struct tile_rows left = {walk->places + stretch->tap * TILE_ROWS, stretch->channel, stretch->taps,
                             stretch->channels};
    struct tile_panel panel = {weights + (stretch->tap * conv->channels + stretch->channel) * TILE_COLUMNS,
                               TILE_COLUMNS};
    if (conv->gathers)
        left = (struct tile_rows){gathered, 0, 1, conv->depth};
    int64_t row = walk->first_row, rows;
    for (int64_t i = 1; i <= walk->tiles; i++, row += rows, left.first += conv->gathers ? 0 : conv->taps * TILE_ROWS) {
        rows = tile_first_row(&conv->cut, walk->first_tile + i) - row;
        for (int64_t k = 0; conv->gathers && k < rows; k++)
            gathered[k] = walk->rows + (row - walk->first_row + k) * conv->row;
        if (conv->far)
            tile_look_ahead(&ends, &panel, left.taps * left.depth, i - 1, walk->tiles);
        SET_NAME(tile_multiply)(rows, &left, &panel, &ends);
        tile_move(&ends, rows);
    }
}

/* The same where lines are padded. */
static void multiply_padded_tiles(const struct walk *walk, const float *weights, struct tile_ends ends)
{
    const struct convolution *conv = walk->conv;
    const struct tile_panel panel = {weights, TILE_COLUMNS};
    const float *places[TILE_ROWS];
    const struct tile_strewn strewn = {places, conv->padded.offsets, conv->depth};
    const struct tile_rows left = {places, 0, 1, conv->depth};
    int64_t row = walk->first_row, rows;
    for (int64_t i = 1; i <= walk->tiles; i++, row += rows) {
        rows = tile_first_row(&conv->cut, walk->first_tile + i) - row;
        if (rows >= TILE_STREWN) {
            SET_NAME(padded_places)(&conv->padded, walk->padded, walk->first_row, row, rows, places);
            SET_NAME(tile_multiply_strewn)(rows, &strewn, &panel, &ends);
        } else {
            SET_NAME(gathered_rows)(&conv->gathered, walk->image, row, row + rows, walk->rows);
            for (int64_t k = 0; k < rows; k++)
                places[k] = walk->rows + k * conv->row;
            SET_NAME(tile_multiply)(rows, &left, &panel, &ends);
        }
        tile_move(&ends, rows);
    }
}

static bool next_stretch(const struct convolution *conv, struct stretch *stretch)
{
    stretch->first = false;
    if (stretch->last)
        return false;
    if (stretch->channel + stretch->channels < conv->channels) {
        stretch->channel += stretch->channels;
    } else {
        stretch->channel = 0;
        stretch->tap += stretch->taps;
    }
    stretch->channels = least(conv->stretch_channels, conv->channels - stretch->channel);
    stretch->taps = least(conv->stretch_taps, conv->taps - stretch->tap);
    stretch->last =
        stretch->channel + stretch->channels == conv->channels && stretch->tap + stretch->taps == conv->taps;
    return true;
}

static struct stretch first_stretch(const struct convolution *conv)
{
    struct stretch stretch = {.taps = conv->taps, .channels = conv->channels, .first = true, .last = true};
    if (conv->gathers)
        return stretch;
    stretch.taps = least(conv->stretch_taps, conv->taps);
    stretch.channels = conv->stretch_channels;
    stretch.last = stretch.channels == conv->channels && stretch.taps == conv->taps;
    return stretch;
}

static void multiply_panel(const struct walk *walk, int64_t group, int64_t panel)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    const float *weights =
        (const float *)walk->call->packed[0] + (group * conv->panels + panel) * conv->depth * TILE_COLUMNS;
    struct results_block block = {walk->first_row, walk->end_row - walk->first_row,
                                  group * p->output_channels + panel * TILE_COLUMNS,
                                  least(p->output_channels - panel * TILE_COLUMNS, TILE_COLUMNS), 1};
    struct stretch stretch = first_stretch(conv);
    do {
        struct tile_ends ends =
            SET_NAME(results_stretch)(&walk->target, &block, walk->sums, stretch.first, stretch.last);
        if (conv->shuffles && walk->target.direct && stretch.last) {
            ends.to = walk->shuffled + block.column;
            ends.to_row = conv->results.columns;
        }
        if (conv->padded.offsets)
            multiply_padded_tiles(walk, weights, ends);
        else
            multiply_tiles(walk, weights, &stretch, ends);
    } while (next_stretch(conv, &stretch));
    if (!walk->target.direct)
        SET_NAME(results_store)(&walk->target, &block, walk->sums, TILE_COLUMNS, walk->epilogue_workspace);
}

/* A block of an image in all its groups and panels. */
static void run_shuffled(struct walk *walk, int64_t image, int64_t block)
{
    const struct convolution *conv = walk->conv;
    for (int64_t group = 0; group < conv->params->groups; group++) {
        begin_image(walk, image, group);
        begin_block(walk, block);
        for (int64_t panel = 0; panel < conv->panels; panel++)
            multiply_panel(walk, group, panel);
    }
    if (walk->target.direct)
        SET_NAME(results_shuffle)(&walk->target, walk->first_row, walk->end_row - walk->first_row, walk->shuffled);
}

static void conv_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct convolution *conv = plan->state;
    const struct conv_params *p = conv->params;
    char *places = call->workspace, *padded = places + conv->places_bytes, *rows = padded + conv->padded_bytes;
    char *sums = rows + conv->rows_bytes;
    struct walk walk = {.conv = conv,
                        .call = call,
                        .places = (const float **)(void *)places,
                        .padded = (float *)(void *)padded,
                        .rows = (float *)(void *)rows,
                        .sums = (float *)(void *)sums,
                        .shuffled = (float *)(void *)(sums + conv->sums_bytes),
                        .epilogue_workspace = sums + conv->sums_bytes + conv->shuffled_bytes};
    int64_t blocks = conv->cut.blocks, first, last;
    if (conv->shuffles) {
        task_range(p->batch * blocks, plan->tasks[0], task, &first, &last);
        for (int64_t i = first; i < last; i++)
            run_shuffled(&walk, i / blocks, i % blocks);
        return;
    }
    /* Block after block, and in each the groups: the tasks of other steps go through an image in that direction too. */
    int64_t units = p->batch * blocks * p->groups * conv->panels / conv->task_panels, at = -1;
    task_range(units, plan->tasks[0], task, &first, &last);
    for (int64_t i = first * conv->task_panels; i < last * conv->task_panels; i++) {
        int64_t place = i / conv->panels, group = place % p->groups;
        if (place != at) {
            begin_image(&walk, place / p->groups / blocks, group);
            begin_block(&walk, place / p->groups % blocks);
            at = place;
        }
        multiply_panel(&walk, group, i % conv->panels);
    }
}

const struct kernel SET_NAME(conv_f32) = {
    .name = SET_TEXT(conv_f32),
    .family = FAMILY_conv,
    .requires = SET_REQUIRES,
    .constant_inputs = 1u << 1,
    .channels_last = true,
    .supports = conv_supports,
    .plan = conv_plan,
    .pack = conv_pack,
    .run = conv_run,
};
