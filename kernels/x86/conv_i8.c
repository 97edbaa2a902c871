/* Convolution of 8-bit integers: tiles of tile_i8.h, whose rows are positions and whose columns are output channels.
 *
 * Where bytes are taken as they are, and whole quads of channels lie next to each other, nothing is copied: a row is a
 * stretch of the input for each place of the window. Channels that are no whole quads make stretches of the places of a
 * line where these lie next to each other: what a stretch has past them, in its last quad, is multiplied by zeros, and
 * only positions with a place in the padding, or at the end of the input, are gathered. Otherwise all of what the
 * window sees is, a block of rows at a time. The padding is the zero point of x: it adds nothing. */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/results.h"
#include "kernels/x86/sight.h"
#include "kernels/x86/tile_i8.h"

#include <string.h>

#define TASK_WORK 1200000 /* multiplications of a task, at least */
#define TASKS_A_THREAD 16 /* at most, or few more */
#define BLOCK_BYTES 65536 /* of the rows of a block, where they are gathered or may be widened */
#define COPIED 16         /* bytes at once */

/* state of the plan */
struct convolution {
    const struct conv_params *params;
    bool dot, gathers, joins;                 /* joins: the places of a line, if it does not gather */
    bool skips;                               /* places that are padding to a whole tile, if padding is zeros */
    bool even;                                /* the position of a row is that of what it sees, x.spatial[2] apart */
    int64_t taps, channels, positions, depth; /* of one group; depth: terms of a sum */
    int64_t run;                              /* places of the window whose channels are one stretch of the input */
    int64_t stretch, stretches;               /* places that make whole quads together; how many such */
    int64_t stretch_quads, quads;             /* of one, and of all */
    int64_t row;                              /* bytes from one gathered row to the next */
    int64_t seen, extent;   /* what stretches reach over, and the input has, from their first bytes on */
    struct tile_cut cut;    /* of the positions of an image */
    int64_t panels;         /* of one group */
    const int64_t *weights; /* where those of each place of the window begin */
    const int64_t *places;  /* and the input, from the window's first place */
    struct results results;
    size_t places_bytes, spans_bytes, rows_bytes, wide_bytes, factor_bytes,
        sums_bytes; /* of workspace, one after the other */
};

/* Stretches [first, end) are multiplied. */
struct span {
    int64_t first, end;
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

COLD bool conv_supports(const void *params)
{
    const struct conv_params *p = params;
    const int64_t *spread = p->window.spread;
    return conv_is_narrow(p) && spread[0] == 1 && spread[1] == 1 && spread[2] == 1 && SET_NAME(results_image_fits)(p);
}

static bool find_places(struct convolution *conv, struct region *region)
{
    const struct conv_params *p = conv->params;
    int64_t *places = region_array(region, 2 * (size_t)conv->taps, sizeof *places), *weights = places + conv->taps;
    for (int64_t tap = 0; places && tap < conv->taps; tap++) {
        int64_t at[SPATIAL_AXES];
        coordinates(p->window.kernel, tap, at);
        places[tap] = weights[tap] = 0;
        for (int axis = 0; axis < SPATIAL_AXES; axis++) {
            places[tap] += at[axis] * p->window.dilation[axis] * p->x.spatial[axis];
            weights[tap] += at[axis] * p->weight_spatial[axis];
        }
    }
    conv->places = places;
    conv->weights = weights;
    return places != NULL;
}

static bool sees_evenly(const struct conv_params *p)
{
    const struct window *w = &p->window;
    int64_t step = p->x.spatial[2];
    for (int axis = SPATIAL_AXES - 1; axis >= 0; step *= w->input[axis], axis--)
        if (w->kernel[axis] != 1 || w->stride[axis] != 1 || w->pad[axis] != 0 || w->output[axis] != w->input[axis] ||
            (w->input[axis] > 1 && p->x.spatial[axis] != step))
            return false;
    return true;
}

static void choose_stretches(struct convolution *conv)
{
    const struct conv_params *p = conv->params;
    const struct window *w = &p->window;
    bool as_they_are = p->x.channel == 1 && p->x_dtype == DTYPE_U8;
    conv->run = p->x.channel == 1 && w->dilation[2] * p->x.spatial[2] == conv->channels ? w->kernel[2] : 1;
    int64_t line = conv->run * conv->channels;
    conv->joins = as_they_are && conv->dot && conv->channels % QUAD && 2 * divide_up(line, QUAD) * QUAD <= 3 * line;
    for (int axis = 0; axis < SPATIAL_AXES; axis++) /* else the input may end with its first line */
        conv->joins = conv->joins && p->x.spatial[axis] >= 0;
    conv->gathers = !as_they_are || (conv->channels % QUAD && !conv->joins);
    conv->stretch = conv->joins ? conv->run : conv->gathers ? conv->taps : 1;
    conv->stretches = conv->taps / conv->stretch;
    conv->stretch_quads = divide_up(conv->stretch * conv->channels, QUAD);
    conv->quads = conv->stretches * conv->stretch_quads;
    conv->row = (conv->quads * QUAD + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    conv->seen = conv->places[conv->taps - conv->stretch] + conv->stretch_quads * QUAD;
    conv->extent = conv->channels;
    for (int axis = 0; axis < SPATIAL_AXES; axis++)
        conv->extent += (w->input[axis] - 1) * p->x.spatial[axis];
}

static void size_workspace(struct convolution *conv)
{
    size_t rows = (size_t)tile_block_rows(&conv->cut), row = (size_t)conv->row;
    size_t places = (conv->gathers ? 1 : rows) * (size_t)conv->stretches;
    conv->places_bytes = align_up(places * sizeof(const uint8_t *), ALIGNMENT);
    conv->spans_bytes = align_up((size_t)conv->cut.block_tiles * sizeof(struct span), ALIGNMENT);
    conv->rows_bytes = conv->gathers || conv->joins ? rows * row : align_up((size_t)conv->channels, ALIGNMENT);
    conv->wide_bytes = conv->dot ? 0 : 2 * rows * row;
    conv->factor_bytes = align_up(rows * sizeof(int32_t), ALIGNMENT);
    conv->sums_bytes = rows * TILE_COLUMNS * sizeof(int32_t);
}

/* Of the packed weights of a group. */
static int64_t matrix_bytes(const struct convolution *conv)
{
    return i8_matrix_bytes(conv->params->output_channels, conv->quads * QUAD);
}

static void describe_pack(const struct convolution *conv, struct kernel_pack *pack)
{
    const struct conv_params *p = conv->params;
    *pack = (struct kernel_pack){
        .input = 1,
        .form = CONV_FORM_PANELS_I8,
        .storable = true,
        .tasks = task_count(p->groups * conv->panels, 1 + 65536 / (1 + TILE_COLUMNS * conv->depth)),
        .geometry = {TILE_COLUMNS, p->w_dtype, p->groups, p->input_channels, p->output_channels, p->window.kernel[0],
                     p->window.kernel[1], p->window.kernel[2], p->weight_offset, p->weight_group, p->weight_output,
                     p->weight_input, p->weight_spatial[0], p->weight_spatial[1], p->weight_spatial[2],
                     conv->joins ? conv->stretch : 0},
        .bytes = (size_t)(p->groups * matrix_bytes(conv))};
}

/* What the rows of a block see is found, or gathered, once for all panels of a task. */
static int cut_tasks(const struct convolution *conv, int threads)
{
    int64_t total = conv->params->batch * conv->params->groups * conv->cut.blocks * conv->panels;
    int64_t each = least(conv->positions, tile_block_rows(&conv->cut)) * TILE_COLUMNS * conv->depth;
    int64_t least_items = 1 + TASK_WORK / (1 + each), items = threads == 1 ? total : total / (TASKS_A_THREAD * threads);
    if (conv->gathers && items < conv->panels)
        items = conv->panels;
    return task_count(total, items < least_items ? least_items : items);
}

COLD bool plan_conv(const struct conv_params *p, bool dot, int threads, struct region *region, struct kernel_plan *plan)
{
    const struct window *w = &p->window;
    struct convolution *conv = region_allocate(region, sizeof *conv);
    if (!conv)
        return false;
    *conv = (struct convolution){.params = p,
                                 .dot = dot,
                                 .taps = w->kernel[0] * w->kernel[1] * w->kernel[2],
                                 .channels = p->input_channels,
                                 .positions = w->output[0] * w->output[1] * w->output[2],
                                 .panels = divide_up(p->output_channels, TILE_COLUMNS)};
    if (!find_places(conv, region))
        return false;
    conv->depth = conv->taps * conv->channels;
    choose_stretches(conv);
    conv->even = !conv->gathers && !conv->joins && sees_evenly(p);
    int64_t height = i8_tile_rows(dot), most = I8_BLOCK_ROWS / height;
    int64_t tiles = dot && !conv->gathers ? most : BLOCK_BYTES / (height * conv->row);
    conv->skips = !conv->gathers && !conv->joins && conv->taps > 1;
    conv->cut = dot && conv->skips && w->output[2] < height && 2 * w->output[2] > height
                    ? tile_cut_lines(conv->positions / w->output[2], w->output[2], I8_BLOCK_ROWS / w->output[2])
                    : tile_cut_by(conv->positions, height, tiles < 1 ? 1 : least(tiles, most));
    struct epilogue epilogue = conv_epilogue(p);
    struct results_place place = SET_NAME(results_image_place)(p);
    SET_NAME(results_plan)(&epilogue, true, conv->positions, p->groups * p->output_channels, &place, &conv->results);
    size_workspace(conv);
    plan->state = conv;
    plan->phases = 1;
    plan->tasks[0] = cut_tasks(conv, threads);
    plan->task_bytes = conv->places_bytes + conv->spans_bytes + conv->rows_bytes + conv->wide_bytes +
                       conv->factor_bytes + conv->sums_bytes + SET_NAME(results_workspace)(&conv->results);
    plan->pack_count = 1;
    describe_pack(conv, &plan->packs[0]);
    return true;
}

COLD bool conv_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                    struct kernel_plan *plan)
{
    return plan_conv(params, false, facts->threads, region, plan);
}

COLD bool conv_plan_dot(const void *params, const struct kernel_facts *facts, struct region *region,
                        struct kernel_plan *plan)
{
    return plan_conv(params, true, facts->threads, region, plan);
}

static void conv_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct convolution *conv = plan->state;
    const struct conv_params *p = conv->params;
    int64_t first, last;
    task_range(p->groups * conv->panels, plan->packs[which].tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t group = i / conv->panels;
        const struct i8_source source = {
            .first = (const uint8_t *)from + p->weight_offset + group * p->weight_group,
            .tap_count = conv->taps,
            .depth = conv->channels,
            .row = p->weight_input,
            .column = p->weight_output,
            .taps = conv->weights,
            .run = conv->stretch,
            .turn = i8_turn_right(p->w_dtype),
        };
        SET_NAME(i8_pack_panel)
        (&source, p->output_channels, i % conv->panels, (uint8_t *)to + group * matrix_bytes(conv));
    }
}

/* --- what the window sees ------------------------------------------------------------------------------------ */

/* A task's way through its items. */
struct walk {
    const struct convolution *conv;
    const struct kernel_call *call;
    const uint8_t **places; /* of a block: [tile][stretch][height] */
    struct span *spans;     /* of a block: [tile] */
    uint8_t *rows, *wide;   /* of a block: [row][conv->row], and as words; or what the padding is, for one place */
    int32_t *row_sums;      /* of the block: less the sum of each row */
    int32_t *sums;
    void *epilogue_workspace;
    uint8_t padding;      /* the zero point of x */
    const uint8_t *image; /* of the group, in the input */
    struct results_target target;
    int64_t first_tile, tiles, first_row, end_row;
    bool has_wide, has_sums;
    struct i8_columns columns; /* of the panel */
};

/* The first bytes and the last ones, which may be the same. */
INLINE void copy_ends(const uint8_t *from, int64_t count, const int64_t each, uint8_t *to)
{
    uint8_t first[COPIED], last[COPIED];
    memcpy(first, from, (size_t)each);
    memcpy(last, from + count - each, (size_t)each);
    memcpy(to, first, (size_t)each);
    memcpy(to + count - each, last, (size_t)each);
}

/* A call takes longer than a copy of a few channels. */
static inline void copy_bytes(const uint8_t *from, int64_t count, uint8_t *to)
{
    if (count > 2 * COPIED)
        memcpy(to, from, (size_t)count);
    else if (count >= COPIED)
        copy_ends(from, count, COPIED, to);
    else if (count >= 8)
        copy_ends(from, count, 8, to);
    else if (count >= 4)
        copy_ends(from, count, 4, to);
    else
        for (int64_t i = 0; i < count; i++)
            to[i] = from[i];
}

static inline void fill_bytes(uint8_t with, int64_t count, uint8_t *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = with;
}

/* Of `run` places of a line of the window, from `place` on, those in the input are [*first, *end). */
static void inside_of_line(const struct window *w, const struct sight *sight, const int64_t *place, int64_t run,
                           int64_t *first, int64_t *end)
{
    int64_t at = sight->at[2] + place[2] * w->dilation[2], step = w->dilation[2];
    bool inside = true;
    for (int axis = 0; axis < 2; axis++) {
        int64_t line = sight->at[axis] + place[axis] * w->dilation[axis];
        inside = inside && line >= 0 && line < w->input[axis];
    }
    *first = 0;
    *end = inside ? run : 0;
    while (*first < *end && at + *first * step < 0)
        ++*first;
    while (*first < *end && at + (*end - 1) * step >= w->input[2])
        --*end;
}

/* What a window with no place in the padding sees, channels being next to each other. */
static void gather_whole(const struct convolution *conv, const uint8_t *from, uint8_t *to)
{
    const int64_t *places = conv->places, run = conv->run, stretch = conv->stretch, bytes = run * conv->channels;
    const int64_t gap = conv->stretch_quads * QUAD - stretch * conv->channels;
    for (int64_t i = conv->stretches; i > 0; i--, to += gap) {
        for (int64_t end = stretch; end > 0; end -= run, places += run, to += bytes)
            copy_bytes(from + *places, bytes, to);
        fill_bytes(0, gap, to);
    }
}

/* What the window sees at a position, a stretch after the other. */
static void gather_row(const struct walk *walk, const struct sight *sight, uint8_t *to)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    int64_t channels = conv->channels, gap = conv->stretch_quads * QUAD - conv->stretch * channels;
    int64_t place[SPATIAL_AXES] = {0}, first, end, left = conv->stretch;
    if (sight->whole && p->x.channel == 1) {
        gather_whole(conv, walk->image + sight->offset, to);
        return;
    }
    for (int64_t tap = 0; tap < conv->taps; tap += conv->run, to += conv->run * channels) {
        inside_of_line(&p->window, sight, place, conv->run, &first, &end);
        fill_bytes(walk->padding, first * channels, to);
        fill_bytes(walk->padding, (conv->run - end) * channels, to + end * channels);
        place[2] += conv->run - 1;
        step_coordinates(p->window.kernel, place);
        const uint8_t *from = walk->image + sight->offset + conv->places[tap] + first * p->x.spatial[2];
        if (p->x.channel == 1)
            copy_bytes(from, (end - first) * channels, to + first * channels);
        else
            for (int64_t c = 0; c < (end - first) * channels; c++)
                to[c] = from[c * p->x.channel];
        left -= conv->run;
        if (left == 0) {
            fill_bytes(0, gap, to + conv->run * channels);
            to += gap;
            left = conv->stretch;
        }
    }
}

static void gather_rows(const struct walk *walk)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    int64_t position[SPATIAL_AXES];
    struct sight sight;
    coordinates(p->window.output, walk->first_row, position);
    look_at(p, position, &sight);
    for (int64_t row = walk->first_row; row < walk->end_row; row++) {
        uint8_t *to = walk->rows + (row - walk->first_row) * conv->row;
        gather_row(walk, &sight, to);
        if (p->x_dtype == DTYPE_I8)
            SET_NAME(i8_turn)(to, i8_turn_left(p->x_dtype), conv->depth, to);
        step_coordinates(p->window.output, position);
        look_on(p, position, &sight);
    }
}

/* Where a position sees each place of the window. */
static void place_window(const struct walk *walk, const struct sight *sight, const uint8_t **places)
{
    const struct convolution *conv = walk->conv;
    const struct window *w = &conv->params->window;
    const uint8_t *from = walk->image + sight->offset;
    int64_t place[SPATIAL_AXES] = {0};
    for (int64_t tap = 0; tap < conv->taps; tap++, places += conv->cut.height, step_coordinates(w->kernel, place))
        *places = is_inside(w, sight, place) ? from + conv->places[tap] : walk->rows;
}

/* Where each stretch of a row is whose window has a place in the padding, or reaches over the end of the input. */
static void place_row(const struct walk *walk, const struct sight *sight, int64_t row, const uint8_t **places)
{
    const struct convolution *conv = walk->conv;
    uint8_t *to = walk->rows + (row - walk->first_row) * conv->row;
    if (!conv->joins) {
        place_window(walk, sight, places);
        return;
    }
    gather_row(walk, sight, to);
    for (int64_t i = 0; i < conv->stretches; i++)
        places[i * conv->cut.height] = to + i * conv->stretch_quads * QUAD;
}

/* How many positions along a line, at most `most`, from the one that is looked at on, have neither. */
static int64_t count_whole(const struct convolution *conv, const struct sight *sight, int64_t most)
{
    const struct window *w = &conv->params->window;
    int64_t step = w->stride[2] * conv->params->x.spatial[2];
    int64_t room = w->input[2] - 1 - (w->kernel[2] - 1) * w->dilation[2] - sight->at[2];
    int64_t count = sight->whole ? least(most, room / w->stride[2] + 1) : 0;
    while (count > 0 && sight->offset + (count - 1) * step + conv->seen > conv->extent)
        count--;
    return count;
}

/* Where the stretches of so many rows are that have neither. */
static void place_rows(const struct walk *walk, const struct sight *sight, int64_t count, const uint8_t **places)
{
    const struct convolution *conv = walk->conv;
    int64_t step = conv->params->window.stride[2] * conv->params->x.spatial[2];
    for (int64_t i = 0; i < conv->stretches; i++, places += conv->cut.height) {
        const uint8_t *from = walk->image + sight->offset + conv->places[i * conv->stretch];
        for (int64_t k = 0; k < count; k++, from += step)
            places[k] = from;
    }
}

static bool is_padding(const struct walk *walk, const uint8_t *const *places, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++)
        if (places[i] != walk->rows)
            return false;
    return true;
}

/* Zeros add nothing: stretches that all rows have in the padding, as those at the edge of an image have their first
 * lines or their last ones. */
static struct span find_span(const struct walk *walk, const uint8_t *const *places, int64_t rows)
{
    int64_t height = walk->conv->cut.height;
    struct span span = {0, walk->conv->stretches};
    while (span.first < span.end && is_padding(walk, places + span.first * height, rows))
        span.first++;
    while (span.end > span.first && is_padding(walk, places + (span.end - 1) * height, rows))
        span.end--;
    return span;
}

static void place_tile(const struct walk *walk, int64_t tile, const uint8_t **places, struct span *span)
{
    const struct convolution *conv = walk->conv;
    const int64_t *sizes = conv->params->window.output;
    int64_t row = tile_first_row(&conv->cut, tile), rows = tile_first_row(&conv->cut, tile + 1) - row;
    int64_t position[SPATIAL_AXES];
    struct sight sight;
    bool padded = conv->skips && walk->padding == 0;
    *span = (struct span){0, conv->stretches};
    for (int64_t i = 0; i < rows && conv->even; i++)
        places[i] = walk->image + (row + i) * conv->params->x.spatial[2];
    if (conv->even)
        return;
    coordinates(sizes, row, position);
    for (int64_t i = 0, count; i < rows; i += count) {
        look_at(conv->params, position, &sight);
        count = count_whole(conv, &sight, least(rows - i, sizes[2] - position[2]));
        if (count > 0) {
            place_rows(walk, &sight, count, places + i);
            padded = false;
        } else {
            place_row(walk, &sight, row + i, places + i);
            count = 1;
        }
        position[2] += count - 1;
        step_coordinates(sizes, position);
    }
    if (padded)
        *span = find_span(walk, places, rows);
}

static void widen_rows(struct walk *walk)
{
    const struct convolution *conv = walk->conv;
    for (int64_t t = 0; t < walk->tiles && !walk->has_wide; t++) {
        int64_t first = tile_first_row(&conv->cut, walk->first_tile + t);
        int64_t end = tile_first_row(&conv->cut, walk->first_tile + t + 1);
        const uint8_t *const *places = walk->places + t * conv->stretches * conv->cut.height;
        for (int64_t i = first; i < end; i++, places++) {
            int64_t within = i - walk->first_row;
            const uint8_t *row = walk->rows + within * conv->row;
            uint8_t *to = walk->wide + within * 2 * conv->row;
            for (int64_t s = 0; s < conv->stretches; s++, to += 2 * QUAD * conv->stretch_quads)
                SET_NAME(i8_widen)(conv->gathers ? row : places[s * conv->cut.height], conv->stretch_quads, to);
        }
    }
    walk->has_wide = true;
}

static int32_t sum_places(const struct convolution *conv, const uint8_t *const *places)
{
    uint32_t sum = 0;
    for (int64_t i = 0; i < conv->stretches; i++)
        sum += (uint32_t)SET_NAME(i8_sum)(places[i * conv->cut.height], conv->stretch * conv->channels);
    return (int32_t)sum;
}

static void sum_rows(struct walk *walk)
{
    const struct convolution *conv = walk->conv;
    for (int64_t t = 0; t < walk->tiles && !walk->has_sums; t++) {
        int64_t row = tile_first_row(&conv->cut, walk->first_tile + t);
        int64_t end = tile_first_row(&conv->cut, walk->first_tile + t + 1);
        for (int64_t i = row; i < end; i++) {
            int64_t within = i - walk->first_row;
            int32_t sum = conv->gathers
                              ? SET_NAME(i8_sum)(walk->rows + within * conv->row, conv->depth)
                              : sum_places(conv, walk->places + t * conv->stretches * conv->cut.height + (i - row));
            walk->row_sums[within] = (int32_t)(0 - (uint32_t)sum);
        }
    }
    walk->has_sums = true;
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void begin_image(struct walk *walk, int64_t image, int64_t group)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    walk->image =
        (const uint8_t *)walk->call->inputs[0] + image * p->x.batch + group * p->input_channels * p->x.channel;
    walk->target = (struct results_target){.results = &conv->results,
                                           .call = walk->call,
                                           .batch = image,
                                           .to = (float *)walk->call->outputs[0] + image * p->y.batch};
    SET_NAME(results_begin)(&walk->target);
}

static void begin_block(struct walk *walk, int64_t block)
{
    const struct convolution *conv = walk->conv;
    walk->first_tile = tile_first_of_block(&conv->cut, block);
    walk->tiles = tile_first_of_block(&conv->cut, block + 1) - walk->first_tile;
    walk->first_row = tile_first_row(&conv->cut, walk->first_tile);
    walk->end_row = tile_first_row(&conv->cut, walk->first_tile + walk->tiles);
    walk->has_wide = walk->has_sums = false;
    if (conv->gathers)
        gather_rows(walk);
    else
        for (int64_t i = 0; i < walk->tiles; i++)
            place_tile(walk, walk->first_tile + i, walk->places + i * conv->stretches * conv->cut.height,
                       &walk->spans[i]);
}

/* bytes: what makes bytes of the sums of image row 0, or NULL. False: sums are in the buffer. */
static bool multiply_tile(const struct walk *walk, enum i8_way way, const struct i8_panel *panel,
                          const struct results_block *block, int64_t index, const struct requantised_columns *bytes)
{
    const struct convolution *conv = walk->conv;
    int64_t row = tile_first_row(&conv->cut, walk->first_tile + index);
    int64_t rows = tile_first_row(&conv->cut, walk->first_tile + index + 1) - row, within = row - walk->first_row;
    const uint8_t *gathered[I8_MOST_ROWS];
    struct i8_rows left = {walk->places + index * conv->stretches * conv->cut.height, conv->cut.height, conv->stretches,
                           conv->stretch_quads};
    struct i8_panel part;
    if (conv->gathers || way == I8_WIDE) {
        for (int64_t i = 0; i < rows; i++)
            gathered[i] =
                way == I8_WIDE ? walk->wide + (within + i) * 2 * conv->row : walk->rows + (within + i) * conv->row;
        left = (struct i8_rows){gathered, I8_MOST_ROWS, 1, conv->quads};
    } else if (conv->skips) {
        const struct span span = walk->spans[index];
        left.first += span.first * conv->cut.height;
        left.taps = span.end - span.first;
        part = *panel;
        part.quads += span.first * conv->stretch_quads * QUAD * panel->columns;
        panel = &part;
    }
    struct i8_ends ends = {.start = walk->columns.start,
                           .to = walk->sums + within * TILE_COLUMNS,
                           .to_row = TILE_COLUMNS,
                           .columns = panel->columns};
    if (walk->target.direct) {
        ends.to = (int32_t *)(void *)walk->target.ends.to + row * walk->target.ends.to_row + block->column;
        ends.to_row = walk->target.ends.to_row;
        ends.columns = block->columns;
    }
    if (walk->columns.has_zeros) {
        ends.term_count = 1;
        ends.terms[0].row = walk->row_sums + within;
        ends.terms[0].column = walk->columns.zeros;
    }
    if (bytes && rows >= I8_BYTES_ROWS) {
        ends.bytes = bytes;
        ends.bytes_to = bytes->to + row * bytes->step;
    }
    SET_NAME(i8_multiply)(way, rows, &left, panel, &ends);
    return walk->target.direct || ends.bytes;
}

static void store_tile(const struct walk *walk, const struct results_block *block, int64_t index)
{
    int64_t row = tile_first_row(&walk->conv->cut, walk->first_tile + index);
    int64_t end = tile_first_row(&walk->conv->cut, walk->first_tile + index + 1);
    const struct results_block tile = {row, end - row, block->column, block->columns, 1};
    SET_NAME(results_store)
    (&walk->target, &tile, (float *)(void *)(walk->sums + (row - walk->first_row) * TILE_COLUMNS), TILE_COLUMNS,
     walk->epilogue_workspace);
}

static void multiply_panel(struct walk *walk, int64_t group, int64_t index)
{
    const struct convolution *conv = walk->conv;
    const struct conv_params *p = conv->params;
    const uint8_t *matrix = (const uint8_t *)walk->call->packed[0] + group * matrix_bytes(conv);
    struct results_block block = {walk->first_row, walk->end_row - walk->first_row,
                                  group * p->output_channels + index * TILE_COLUMNS,
                                  least(p->output_channels - index * TILE_COLUMNS, TILE_COLUMNS), 1};
    struct i8_panel panel = SET_NAME(i8_panel_at)(matrix, p->output_channels, conv->quads * QUAD, index);
    const uint8_t *zeros = walk->call->inputs[4];
    const int32_t *bias = walk->call->inputs[2];
    const struct i8_about about = {
        .right = p->w_dtype,
        .depth = conv->depth,
        .zeros = zeros ? zeros + block.column * p->w_zero : NULL,
        .zero_stride = p->w_zero,
        .own = bias ? bias + block.column : NULL,
        .own_stride = 1,
        .less = -i8_left_zero(p->x_dtype, &walk->padding),
    };
    SET_NAME(i8_begin_columns)(&panel, &about, block.columns, &walk->columns);
    if (walk->columns.has_zeros)
        sum_rows(walk);
    enum i8_way way = conv->dot ? I8_DOT : panel.fits ? I8_PAIRS : I8_WIDE;
    if (way == I8_WIDE)
        widen_rows(walk);
    struct requantised_columns bytes;
    bool as_bytes = conv->cut.height >= I8_BYTES_ROWS && walk->target.requantises && block.columns == TILE_COLUMNS &&
                    !walk->columns.has_zeros &&
                    requantise_columns(&walk->target.requantiser, conv->positions, p->groups * p->output_channels,
                                       block.column, &bytes);
    for (int64_t i = 0; i < walk->tiles; i++)
        if (!multiply_tile(walk, way, &panel, &block, i, as_bytes ? &bytes : NULL) && as_bytes)
            store_tile(walk, &block, i);
    if (!walk->target.direct && !as_bytes)
        SET_NAME(results_store)
    (&walk->target, &block, (float *)(void *)walk->sums, TILE_COLUMNS, walk->epilogue_workspace);
}

static void conv_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct convolution *conv = plan->state;
    const struct conv_params *p = conv->params;
    const uint8_t *zero = call->inputs[3];
    uint8_t *places = call->workspace, *spans = places + conv->places_bytes, *rows = spans + conv->spans_bytes;
    uint8_t *wide = rows + conv->rows_bytes;
    uint8_t *factors = wide + conv->wide_bytes, *sums = factors + conv->factor_bytes;
    struct walk walk = {.conv = conv,
                        .call = call,
                        .places = (const uint8_t **)(void *)places,
                        .spans = (struct span *)(void *)spans,
                        .rows = rows,
                        .wide = wide,
                        .row_sums = (int32_t *)(void *)factors,
                        .sums = (int32_t *)(void *)sums,
                        .epilogue_workspace = sums + conv->sums_bytes,
                        .padding = zero ? *zero : 0};
    if (!conv->gathers && !conv->joins)
        memset(rows, walk.padding, (size_t)conv->channels);
    int64_t each = conv->cut.blocks * conv->panels, first, last, image = -1, block = -1;
    task_range(p->batch * p->groups * each, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i / each != image) {
            image = i / each;
            block = -1;
            begin_image(&walk, image / p->groups, image % p->groups);
        }
        if (i % each / conv->panels != block) {
            block = i % each / conv->panels;
            begin_block(&walk, block);
        }
        multiply_panel(&walk, image % p->groups, i % conv->panels);
    }
}

const struct kernel SET_NAME(conv_i8) = {
    .name = SET_TEXT(conv_i8),
    .family = FAMILY_conv,
    .requires = SET_REQUIRES,
    .constant_inputs = 1u << 1,
    .channels_last = true,
    .supports = conv_supports,
    .plan = conv_plan,
    .pack = conv_pack,
    .run = conv_run,
};

const struct kernel SET_NAME(conv_i8_dot) = {
    .name = SET_TEXT(conv_i8_dot),
    .family = FAMILY_conv,
    .requires = DOT_REQUIRES,
    .constant_inputs = 1u << 1,
    .channels_last = true,
    .supports = conv_supports,
    .plan = conv_plan_dot,
    .pack = conv_pack,
    .run = conv_run,
};
