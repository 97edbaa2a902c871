/* Transposed convolution in f32: a convolution over an input with zeros between its elements, without the zeros. Along
 * an axis of spread s, positions with the same remainder of s see the same places of the window, and those places see
 * input that is contiguous. So the positions of a line are taken by remainder, each a product of its own whose weights
 * are packed together, and what belongs to a line is stored together. Weights that a run makes are packed
 * in it, and channels that do not lie side by side are brought there, both before anything else. */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/results.h"
#include "kernels/x86/transpose.h"

#include <string.h>

#define BLOCK_POSITIONS 96 /* of a line, about */
#define TASK_WORK 400000   /* multiplications of a task */
#define TURNED_ELEMENTS 16384
#define FEW_COLUMNS WIDE /* that the channels of all remainders may be together */

/* The places of the window along an axis, sorted by the remainder that sees them. */
struct axis {
    int64_t count; /* of places */
    int64_t spread;
    const int32_t *first; /* [spread + 1]: where those of a remainder begin */
    const int32_t *places;
};

/* state of the plan */
struct transposed {
    const struct conv_params *params;
    struct axis axes[SPATIAL_AXES];
    int64_t taps, channels, panels;       /* of one group */
    int64_t most_taps;                    /* that a position sees */
    int64_t block_positions, line_blocks; /* of a line */
    int pack_tasks;
    /* The input as it is read: where it is turned over, of the copy. Of images, and of axes in elements. */
    bool turned;
    int64_t image, spatial[SPATIAL_AXES];
    bool merged;   /* the remainders along the last axis */
    int64_t lines; /* made together: those of all remainders where they are merged as well, or 1 */
    const float *zeros;
    struct results results;
    size_t places_bytes, sums_bytes;
};

/* --- plan ---------------------------------------------------------------------------------------------------- */

static int64_t remainder_of(int64_t x, int64_t divisor)
{
    int64_t rest = x % divisor;
    return rest < 0 ? rest + divisor : rest;
}

static bool sort_places(const struct window *w, int i, struct region *region, struct axis *axis)
{
    int64_t count = w->kernel[i], spread = w->spread[i];
    int32_t *first = region_array(region, (size_t)spread + 1, sizeof *first);
    int32_t *places = region_array(region, (size_t)count, sizeof *places);
    if (!first || !places)
        return false;
    int32_t next = 0;
    for (int64_t remainder = 0; remainder < spread; remainder++) {
        first[remainder] = next;
        for (int64_t place = 0; place < count; place++)
            if (remainder_of(w->pad[i] - place * w->dilation[i], spread) == remainder)
                places[next++] = (int32_t)place;
    }
    first[spread] = next;
    *axis = (struct axis){count, spread, first, places};
    return true;
}

static int64_t most_places(const struct axis *axis)
{
    int64_t most = 0;
    for (int64_t i = 0; i < axis->spread; i++)
        if (axis->first[i + 1] - axis->first[i] > most)
            most = axis->first[i + 1] - axis->first[i];
    return most;
}

/* Whether windows meet along an axis without overlapping. */
static bool is_apart(const struct window *w, int axis)
{
    return w->spread[axis] > 1 && w->kernel[axis] == w->spread[axis] && w->dilation[axis] == 1 &&
           w->pad[axis] == w->kernel[axis] - 1 && w->output[axis] == w->input[axis] * w->spread[axis];
}

static void merge(struct transposed *t)
{
    const struct window *w = &t->params->window;
    int64_t columns = t->params->output_channels * w->spread[2];
    t->merged = is_apart(w, 2) && columns <= FEW_COLUMNS;
    t->lines = t->merged && is_apart(w, 1) && columns * w->spread[1] <= FEW_COLUMNS ? w->spread[1] : 1;
    t->taps /= t->merged ? w->kernel[2] * t->lines : 1;
}

static size_t packed_bytes(const struct transposed *t)
{
    return (size_t)(t->params->groups * t->panels * TILE_COLUMNS * t->taps * t->channels) * sizeof(float);
}

static void describe_pack(const struct transposed *t, struct kernel_pack *pack)
{
    const struct conv_params *p = t->params;
    const struct window *w = &p->window;
    *pack = (struct kernel_pack){.input = 1,
                                 .form = t->merged ? CONV_FORM_MERGED_REMAINDERS : CONV_FORM_REMAINDERS,
                                 .storable = true,
                                 .tasks = t->pack_tasks,
                                 .geometry = {TILE_COLUMNS, p->groups, p->input_channels, p->output_channels,
                                              p->weight_offset, p->weight_group, p->weight_output, p->weight_input},
                                 .bytes = packed_bytes(t)};
    int64_t *more = pack->geometry + 8;
    for (int i = 0; i < SPATIAL_AXES; i++, more += 5) {
        const int64_t axis[] = {w->kernel[i], w->spread[i], remainder_of(w->pad[i], w->spread[i]),
                                remainder_of(w->dilation[i], w->spread[i]), p->weight_spatial[i]};
        memcpy(more, axis, sizeof axis);
    }
    *more = t->lines;
}

static int64_t all_channels(const struct conv_params *p)
{
    return p->groups * p->input_channels;
}

static void place_input(struct transposed *t)
{
    const struct conv_params *p = t->params;
    const int64_t *input = p->window.input;
    t->turned = p->x.channel != 1 && all_channels(p) > 1;
    t->image = p->x.batch;
    memcpy(t->spatial, p->x.spatial, sizeof t->spatial);
    if (!t->turned)
        return;
    t->spatial[2] = all_channels(p);
    t->spatial[1] = t->spatial[2] * input[2];
    t->spatial[0] = t->spatial[1] * input[1];
    t->image = t->spatial[0] * input[0];
}

/* What is to be done before the first position: a phase, where there is anything. */
COLD void plan_preparation(const struct transposed *t, bool packs, struct kernel_plan *plan)
{
    const struct conv_params *p = t->params;
    int64_t lines = p->batch * p->window.input[0] * p->window.input[1];
    int tasks = 0;
    if (packs) {
        plan->pack_count = 1;
        describe_pack(t, &plan->packs[0]);
    } else {
        plan->shared_bytes = align_up(packed_bytes(t), ALIGNMENT);
        tasks = t->pack_tasks;
    }
    if (t->turned) {
        plan->shared_bytes += (size_t)(p->batch * t->image) * sizeof(float);
        tasks += task_count(lines, 1 + TURNED_ELEMENTS / (1 + p->window.input[2] * all_channels(p)));
    }
    if (tasks > 0)
        plan->tasks[plan->phases++] = tasks;
}

COLD bool transposed_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                          struct kernel_plan *plan)
{
    const struct conv_params *p = params;
    const struct window *w = &p->window;
    struct transposed *t = region_allocate(region, sizeof *t);
    float *zeros = region_array(region, (size_t)p->input_channels, sizeof *zeros);
    if (!t || !zeros)
        return false;
    *t = (struct transposed){.params = p,
                             .taps = w->kernel[0] * w->kernel[1] * w->kernel[2],
                             .channels = p->input_channels,
                             .panels = divide_up(p->output_channels, TILE_COLUMNS),
                             .most_taps = 1,
                             .zeros = zeros};
    merge(t);
    t->pack_tasks = task_count(p->groups * t->panels, 1 + 65536 / (1 + TILE_COLUMNS * t->taps * t->channels));
    for (int i = 0; i < SPATIAL_AXES; i++) {
        if (!sort_places(w, i, region, &t->axes[i]))
            return false;
        t->most_taps *= most_places(&t->axes[i]);
    }
    t->line_blocks = divide_up(w->output[2], w->spread[2] * divide_up(BLOCK_POSITIONS, w->spread[2]));
    t->block_positions = w->spread[2] * divide_up(divide_up(w->output[2], w->spread[2]), t->line_blocks);
    int64_t positions = w->output[0] * w->output[1] * w->output[2];
    struct epilogue epilogue = conv_epilogue(p);
    struct results_place place = SET_NAME(results_image_place)(p);
    SET_NAME(results_plan)(&epilogue, true, positions, p->groups * p->output_channels, &place, &t->results);
    t->places_bytes = align_up((size_t)(t->most_taps * TILE_ROWS) * sizeof(const float *), ALIGNMENT);
    if (t->merged || !SET_NAME(results_need_no_buffer)(&t->results, 1))
        t->sums_bytes = align_up((size_t)(t->block_positions * TILE_COLUMNS + FEW_COLUMNS) * sizeof(float), ALIGNMENT);
    plan->state = t;
    place_input(t);
    plan_preparation(t, facts->constant_inputs >> 1 & 1, plan);
    int64_t each = t->block_positions * TILE_COLUMNS * t->most_taps * t->channels;
    int64_t lines = w->output[0] * w->output[1] / t->lines;
    plan->tasks[plan->phases++] =
        task_count(p->batch * p->groups * lines * t->line_blocks * t->panels, 1 + TASK_WORK / (1 + each));
    plan->task_bytes = t->places_bytes + t->sums_bytes + SET_NAME(results_workspace)(&t->results);
    return true;
}

COLD bool transposed_supports(const void *params)
{
    const struct conv_params *p = params;
    const struct window *w = &p->window;
    bool spreads = w->spread[0] > 1 || w->spread[1] > 1 || w->spread[2] > 1;
    bool strides = w->stride[0] > 1 || w->stride[1] > 1 || w->stride[2] > 1;
    return p->dtype == DTYPE_F32 && spreads && !strides && SET_NAME(results_image_fits)(p) &&
           (p->x.channel == 1 || all_channels(p) == 1 || p->x.spatial[2] == 1 || w->input[2] == 1);
}

/* --- packing ------------------------------------------------------------------------------------------------- */

/* A panel of a group: the places of all remainders, one combination of them after the other, in the window's order
 * within each. */
static void pack_panel(const struct transposed *t, const float *weights, int64_t columns, float *to)
{
    const struct conv_params *p = t->params;
    const struct axis *z = &t->axes[0], *y = &t->axes[1], *x = &t->axes[2];
    for (int64_t combination = 0; combination < z->spread * y->spread * x->spread; combination++) {
        int64_t a = combination / x->spread / y->spread, b = combination / x->spread % y->spread,
                c = combination % x->spread;
        for (int64_t i = z->first[a]; i < z->first[a + 1]; i++)
            for (int64_t j = y->first[b]; j < y->first[b + 1]; j++)
                for (int64_t k = x->first[c]; k < x->first[c + 1]; k++) {
                    int64_t at = z->places[i] * p->weight_spatial[0] + y->places[j] * p->weight_spatial[1] +
                                 x->places[k] * p->weight_spatial[2];
                    SET_NAME(tile_pack)(weights + at, p->weight_input, p->weight_output, t->channels, columns, to);
                    to += t->channels * TILE_COLUMNS;
                }
    }
}

/* One place of the other axes, and of the last one that of each remainder: what these make is next to each other. */
static void pack_remainders(const struct transposed *t, const float *weights, float *to)
{
    const struct conv_params *p = t->params;
    const struct axis *x = &t->axes[2];
    for (int64_t channel = 0; channel < t->channels; channel++, to += TILE_COLUMNS)
        for (int64_t c = 0; c < x->spread; c++)
            for (int64_t output = 0; output < p->output_channels; output++)
                to[c * p->output_channels + output] = weights[x->places[x->first[c]] * p->weight_spatial[2] +
                                                              channel * p->weight_input + output * p->weight_output];
}

/* Weights of lines that are made together lie side by side, of others one below the other. */
static void pack_merged(const struct transposed *t, const float *weights, float *to)
{
    const struct conv_params *p = t->params;
    const struct axis *z = &t->axes[0], *y = &t->axes[1];
    int64_t size = t->channels * TILE_COLUMNS, beside = t->axes[2].spread * p->output_channels, block = 0;
    memset(to, 0, (size_t)(t->taps * size) * sizeof *to);
    for (int64_t a = 0; a < z->spread; a++)
        for (int64_t b = 0; b < y->spread; b++)
            for (int64_t i = z->first[a]; i < z->first[a + 1]; i++)
                for (int64_t j = y->first[b]; j < y->first[b + 1]; j++, block++) {
                    int64_t at = z->places[i] * p->weight_spatial[0] + y->places[j] * p->weight_spatial[1];
                    pack_remainders(t, weights + at, to + (t->lines > 1 ? i * size + b * beside : block * size));
                }
}

static void transposed_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct transposed *t = plan->state;
    const struct conv_params *p = t->params;
    int64_t first, last;
    (void)which;
    task_range(p->groups * t->panels, t->pack_tasks, task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t group = i / t->panels, column = i % t->panels * TILE_COLUMNS;
        const float *weights =
            (const float *)from + p->weight_offset + group * p->weight_group + column * p->weight_output;
        float *panel = (float *)to + i * t->taps * t->channels * TILE_COLUMNS;
        if (t->merged)
            pack_merged(t, weights, panel);
        else
            pack_panel(t, weights, least(p->output_channels - column, TILE_COLUMNS), panel);
    }
}

/* --- turning the input over ---------------------------------------------------------------------------------- */

static void turn(const struct transposed *t, const float *from, int64_t task, int64_t tasks, float *to)
{
    const struct conv_params *p = t->params;
    const int64_t *input = p->window.input;
    const int64_t size = sizeof *to, channels = all_channels(p);
    int64_t first, last, lines = input[0] * input[1];
    task_range(p->batch * lines, (int)tasks, (int)task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        const float *line = from + i / lines * p->x.batch + i % lines / input[1] * p->x.spatial[0] +
                            i % lines % input[1] * p->x.spatial[1];
        SET_NAME(transpose)
        (size, line, p->x.channel * size, to + i * t->spatial[1], channels * size, channels, input[2]);
    }
}

/* The copy lies behind the weights, where those are packed in the run. */
static float *turned_input(const struct kernel_plan *plan, const struct kernel_call *call)
{
    size_t weights = plan->pack_count ? 0 : align_up(packed_bytes(plan->state), ALIGNMENT);
    return (float *)(void *)((char *)call->shared + weights);
}

/* A task of the phase before the last. */
static void prepare(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct transposed *t = plan->state;
    int packing = plan->pack_count ? 0 : t->pack_tasks;
    if (task < packing)
        transposed_pack(plan, 0, call->inputs[1], call->shared, task);
    else
        turn(t, call->inputs[0], task - packing, plan->tasks[0] - packing, turned_input(plan, call));
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* Some positions of a line, of one group of an image. */
struct walk {
    const struct transposed *t;
    const struct kernel_call *call;
    const float *weights, *input;
    const float **places; /* of a tile: [tap][TILE_ROWS] */
    float *sums;
    void *epilogue_workspace;
    const float *image;
    struct results_target target;
    int64_t plane, line, first, end; /* of the output; positions of the line */
};

/* Where along an axis a place of the window sees the input, which it does; -1 in the padding. */
static int64_t source_of(const struct window *w, int axis, int64_t position, int64_t place)
{
    int64_t source = (position + place * w->dilation[axis] - w->pad[axis]) / w->spread[axis];
    bool before = position + place * w->dilation[axis] < w->pad[axis];
    return before || source >= w->input[axis] ? -1 : source;
}

/* The same along the last axis, whether or not it is there: positions a spread apart see what lies side by side. */
static int64_t first_source(const struct window *w, int64_t position, int64_t place)
{
    return (position + place * w->dilation[2] - w->pad[2]) / w->spread[2];
}

/* What `rows` positions from `position` on, a spread apart, see. Returns the places' number. */
static int64_t find_places(const struct walk *walk, int64_t position, int64_t rows)
{
    const struct transposed *t = walk->t;
    const struct conv_params *p = t->params;
    const struct window *w = &p->window;
    const struct axis *z = &t->axes[0], *y = &t->axes[1], *x = &t->axes[2];
    int64_t a = walk->plane % z->spread, b = walk->line % y->spread, c = position % x->spread, tap = 0;
    for (int64_t i = z->first[a]; i < z->first[a + 1]; i++)
        for (int64_t j = y->first[b]; j < y->first[b + 1]; j++)
            for (int64_t k = x->first[c]; k < x->first[c + 1]; k++, tap++) {
                int64_t plane = source_of(w, 0, walk->plane, z->places[i]);
                int64_t line = source_of(w, 1, walk->line, y->places[j]);
                int64_t column = first_source(w, position, x->places[k]);
                bool outside = plane < 0 || line < 0;
                const float *from = outside ? t->zeros : walk->image + plane * t->spatial[0] + line * t->spatial[1];
                for (int64_t r = 0; r < rows; r++, column++) {
                    bool inside = !outside && column >= 0 && column < w->input[2];
                    walk->places[tap * TILE_ROWS + r] = inside ? from + column * t->spatial[2] : t->zeros;
                }
            }
    return tap;
}

/* Where the weights of a combination of remainders begin, in places: merged ones count as the first. */
static int64_t first_place(const struct walk *walk, int64_t position)
{
    const struct axis *z = &walk->t->axes[0], *y = &walk->t->axes[1], *x = &walk->t->axes[2];
    int64_t a = walk->plane % z->spread, b = walk->line % y->spread, c = position % x->spread;
    int64_t planes = z->first[a + 1] - z->first[a], lines = y->first[b + 1] - y->first[b];
    if (walk->t->lines > 1)
        return z->first[a];
    if (walk->t->merged)
        return z->first[a] * y->count + planes * y->first[b];
    return z->first[a] * y->count * x->count + planes * (y->first[b] * x->count + lines * x->first[c]);
}

/* The positions of a block with one remainder, or with all of them. */
static void multiply_remainder(const struct walk *walk, const struct results_block *block, int64_t start,
                               const float *weights)
{
    const struct transposed *t = walk->t;
    int64_t spread = t->axes[2].spread;
    struct tile_cut cut = tile_cut(divide_up(walk->end - start, spread));
    for (int64_t i = 0; i < cut.tiles; i++) {
        struct results_block tile = *block;
        int64_t row = tile_first_row(&cut, i), position = start + row * spread;
        tile.row = block->row + position - walk->first;
        tile.rows = tile_first_row(&cut, i + 1) - row;
        tile.step = t->merged ? 1 : spread;
        tile.columns = t->merged ? t->lines * spread * block->columns : block->columns;
        struct tile_rows left = {walk->places, 0, find_places(walk, position, tile.rows), t->channels};
        struct tile_panel panel = {weights + first_place(walk, position) * t->channels * TILE_COLUMNS, TILE_COLUMNS};
        SET_NAME(results_multiply)
        (&walk->target, &tile, walk->sums + (t->merged ? row : position - walk->first) * TILE_COLUMNS, &left, &panel,
         true, true);
    }
}

/* Sums of all remainders lie side by side, in the order of the positions of each line: rows of it are brought together,
 * in what is left of the buffer. */
static void store_merged(const struct walk *walk, const struct results_block *block)
{
    const struct transposed *t = walk->t;
    int64_t spread = t->axes[2].spread, columns = t->params->output_channels, rows = block->rows / spread;
    float *line = walk->sums + t->block_positions / spread * TILE_COLUMNS;
    struct results_block part = *block;
    for (int64_t i = 0; i < t->lines; i++, part.row += t->params->window.output[2]) {
        for (int64_t row = 0; row < rows; row++)
            memmove(line + row * spread * columns, walk->sums + row * TILE_COLUMNS + i * spread * columns,
                    FEW_COLUMNS * sizeof *line);
        SET_NAME(results_store)(&walk->target, &part, line, columns, walk->epilogue_workspace);
    }
}

static void multiply_panel(const struct walk *walk, int64_t group, int64_t panel)
{
    const struct transposed *t = walk->t;
    const struct conv_params *p = t->params;
    const int64_t *output = p->window.output;
    const float *weights = walk->weights + (group * t->panels + panel) * t->taps * t->channels * TILE_COLUMNS;
    struct results_block block = {(walk->plane * output[1] + walk->line) * output[2] + walk->first,
                                  walk->end - walk->first, group * p->output_channels + panel * TILE_COLUMNS,
                                  least(p->output_channels - panel * TILE_COLUMNS, TILE_COLUMNS), 1};
    for (int64_t i = 0; i < (t->merged ? 1 : least(t->axes[2].spread, block.rows)); i++)
        multiply_remainder(walk, &block, walk->first + i, weights);
    if (t->merged)
        store_merged(walk, &block);
    else if (!walk->target.direct)
        SET_NAME(results_store)(&walk->target, &block, walk->sums, TILE_COLUMNS, walk->epilogue_workspace);
}

static void begin_image(struct walk *walk, int64_t image, int64_t group)
{
    const struct conv_params *p = walk->t->params;
    walk->image = walk->input + image * walk->t->image + group * p->input_channels;
    SET_NAME(results_begin_image)(&walk->t->results, walk->call, p, image, &walk->target);
    walk->target.direct = walk->target.direct && !walk->t->merged;
}

static void transposed_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct transposed *t = plan->state;
    const struct conv_params *p = t->params;
    const int64_t *output = p->window.output;
    if (call->phase + 1 < plan->phases) {
        prepare(plan, call, task);
        return;
    }
    char *places = call->workspace, *sums = places + t->places_bytes;
    struct walk walk = {.t = t,
                        .call = call,
                        .weights = plan->pack_count ? call->packed[0] : call->shared,
                        .input = t->turned ? turned_input(plan, call) : call->inputs[0],
                        .places = (const float **)(void *)places,
                        .sums = (float *)(void *)sums,
                        .epilogue_workspace = sums + t->sums_bytes};
    int64_t lines = output[0] * output[1] / t->lines, each = lines * t->line_blocks * t->panels, image = -1, first,
            last;
    task_range(p->batch * p->groups * each, plan->tasks[plan->phases - 1], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i / each != image) {
            image = i / each;
            begin_image(&walk, image / p->groups, image % p->groups);
        }
        int64_t block = i % each / t->panels, line = block / t->line_blocks;
        walk.plane = line * t->lines / output[1];
        walk.line = line * t->lines % output[1];
        walk.first = block % t->line_blocks * t->block_positions;
        walk.end = least(walk.first + t->block_positions, output[2]);
        if (walk.first < walk.end)
            multiply_panel(&walk, image % p->groups, i % t->panels);
    }
}

const struct kernel SET_NAME(conv_f32_transposed) = {
    .name = SET_TEXT(conv_f32_transposed),
    .family = FAMILY_conv,
    .requires = SET_REQUIRES,
    .channels_last = true,
    .supports = transposed_supports,
    .plan = transposed_plan,
    .pack = transposed_pack,
    .run = transposed_run,
};
