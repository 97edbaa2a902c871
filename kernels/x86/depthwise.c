/* Depthwise convolution: one input channel a group. Lanes lie along the channels, which lie next to each other in
 * memory; sums stay in registers while the taps go by.
 *
 * Each sum begins with the bias, or 0, and takes the taps in their order: those past the ends of a line see zeros,
 * those of lines and planes past the edge are left out, which is the same where weights are finite (kernels/conv.h). */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/depthwise.h"
#include "kernels/x86/epilogue.h"
#include "kernels/x86/line.h"

#include <math.h>
#include <stdlib.h>

#define CHUNK 128        /* channels that go through a line before the next ones do */
#define STAGED_CHUNK 32  /* where what the taps see is gathered */
#define GRAIN 100000     /* multiplications that make a task */
#define ALONE 150000     /* so many are one thread's: others would have to fetch from it what they work on */
#define FEW_POSITIONS 64 /* of an image, which is not cut into bands */
#define BANDS_A_THREAD 8 /* at most */
#define BAND_BYTES (128 << 10)
#define MOST_MASKS (1 << 20) /* bytes, or near it */

struct depthwise {
    struct epilogue epilogue;
    struct epilogue_form form;
    bool has_form;
    enum store store;
    enum near near;
    bool staged; /* what the taps see is gathered: the channels of x do not lie next to each other, or feed several */
    /* Lines of the output whose input is gathered at once, each line of it as a whole; 0: it is gathered tile by tile
     */
    int64_t band_lines;
    int64_t band_strides[SPATIAL_AXES];
    int64_t channels, columns, lines, taps, tiles;
    int64_t chunk, chunks;
    int64_t bands; /* of lines, as evenly as can be: what tasks are made of, a chunk of channels in each */
    /* Which columns each tap along a line sees, a bit each; of the tiles where some tap sees no input in some column:
     * the first ones, and those from last_inner on. */
    const uint8_t *masks;
    int64_t first_inner, last_inner;
    size_t tile_bytes, staged_bytes; /* of the workspace, in this order; the program's come last */
};

/* A line of the output, and the channels of a chunk. */
struct place {
    int64_t batch, line, channel, channels;
    struct line_taps taps;
};

/* Lines of the output for which the input is in the workspace, up to `end`, from its line `first_seen` on. */
struct band {
    int64_t end, first_seen;
};

/* --- one line ---------------------------------------------------------------------------------------------------- */

/* The first column of a tile. Where nothing but sums goes into the results, the last tile of a line is as long as the
 * others and makes some of them again. */
static int64_t tile_column(const struct depthwise *d, int64_t tile)
{
    bool again = d->store < STORE_PROGRAM && d->columns >= COLUMNS;
    return again ? least(tile * COLUMNS, d->columns - COLUMNS) : tile * COLUMNS;
}

static struct walk walk_of(const struct depthwise *d, const struct window *w, const int64_t *strides,
                           const struct line_taps *taps)
{
    return (struct walk){
        .taps = {taps->count[0], taps->count[1], w->kernel[2]},
        .x = {w->dilation[0] * strides[0], w->dilation[1] * strides[1], w->dilation[2] * strides[2]},
        .weights = {w->kernel[1] * w->kernel[2] * WIDE, w->kernel[2] * WIDE},
        .column = w->stride[2] * strides[2],
        .vector = LANES < WIDE ? LANES : d->taps * WIDE,
    };
}

/* Gathers what the taps of a tile see and makes the walk go through it. Returns where tap 0 of column 0 looks. */
static int64_t stage(const struct depthwise *d, const struct conv_params *p, const struct place *place, const float *x,
                     int64_t column, int64_t columns, struct walk *walk, float *to)
{
    const struct window *w = &p->window;
    struct line_piece piece = seen_by_columns(w, column, columns);
    stage_line(w, &p->x, &place->taps, piece, x, place->channel, place->channels, p->output_channels, d->chunk, to);
    walk->x[2] = w->dilation[2] * d->chunk;
    walk->x[1] = piece.count * d->chunk;
    walk->x[0] = walk->taps[1] * walk->x[1];
    walk->column = w->stride[2] * d->chunk;
    return (column * w->stride[2] - w->pad[2] - piece.from) * d->chunk;
}

static void copy_tile(const struct conv_params *p, const struct place *place, const float *tile, int64_t room,
                      int64_t column, int64_t columns, float *y)
{
    const int64_t *output = p->window.output;
    y += place->batch * p->y.batch + place->line / output[1] * p->y.spatial[0] +
         place->line % output[1] * p->y.spatial[1] + column * p->y.spatial[2] + place->channel * p->y.channel;
    unstage(tile, room, place->channels, columns, y, p->y.channel, p->y.spatial[2]);
}

static const uint8_t *masks_of(const struct depthwise *d, const struct conv_params *p, int64_t tile)
{
    if (tile >= d->first_inner && tile < d->last_inner)
        return NULL;
    int64_t index = tile < d->first_inner ? tile : d->first_inner + tile - d->last_inner;
    return d->masks + index * p->window.kernel[2];
}

/* What is left of an interval between two bounds; nothing is below a lower bound, nor above an upper one. */
static void narrow(float low, float high, struct target *to, float *least_of, float *most_of)
{
    *least_of = fminf(fmaxf(*least_of, low), high);
    *most_of = fminf(fmaxf(*most_of, low), high);
    if (isnan(low) || isnan(high))
        to->store = STORE_CONSTANT;
}

static const float *number_of(const struct depthwise *d, const struct kernel_call *call, int64_t batch,
                              const struct epilogue_operation *o)
{
    const float *number = o->input ? call->inputs[d->epilogue.own_inputs + o->input - 1] : NULL;
    return number ? number + epilogue_offset(&d->epilogue, o->input, batch, 0, 0) : NULL;
}

/* Numbers that follow a hard-swish. */
static void find_scale(const struct depthwise *d, const struct kernel_call *call, int64_t batch, struct target *to)
{
    to->scaled = d->form.operation_count > 1;
    to->factor = vf_set(1);
    to->shift = vf_set(-0.0F);
    for (int i = 1; i < d->form.operation_count; i++) {
        const struct epilogue_operation *o = &d->form.operations[i];
        *(o->opcode == POINTWISE_MUL ? &to->factor : &to->shift) = vf_set(*number_of(d, call, batch, o));
    }
}

/* Numbers that the epilogue bounds results by, operation after operation. */
static void find_bounds(const struct depthwise *d, const struct kernel_call *call, int64_t batch, struct target *to)
{
    float least_of = -INFINITY, most_of = INFINITY;
    for (int i = 0; i < d->form.operation_count; i++) {
        const struct epilogue_operation *o = &d->form.operations[i];
        const float *number = number_of(d, call, batch, o);
        if (o->opcode == POINTWISE_RELU)
            narrow(0, INFINITY, to, &least_of, &most_of);
        else if (o->opcode == POINTWISE_CLAMP)
            narrow(o->p, o->q, to, &least_of, &most_of);
        else if (o->opcode == POINTWISE_MAX)
            narrow(*number, INFINITY, to, &least_of, &most_of);
        else
            narrow(-INFINITY, *number, to, &least_of, &most_of);
    }
    to->least = vf_set(to->store == STORE_CONSTANT ? NAN : least_of);
    to->most = vf_set(most_of);
}

/* Where sums go that do not go through the workspace. */
static void find_target(const struct depthwise *d, const struct conv_params *p, const struct kernel_call *call,
                        const struct place *place, struct target *to)
{
    const int64_t *output = p->window.output;
    float *y = call->outputs[0];
    if (d->store == STORE_DIRECT) {
        to->column = p->y.spatial[2];
        to->y = y + place->batch * p->y.batch + place->line / output[1] * p->y.spatial[0] +
                place->line % output[1] * p->y.spatial[1] + place->channel;
        return;
    }
    int64_t start = epilogue_offset(&d->epilogue, d->epilogue.program->input_count, place->batch, 0, 0);
    to->column = d->form.column;
    to->y = y + start + place->line * d->columns * d->form.column + place->channel;
    if (d->store == STORE_CLAMPED)
        find_bounds(d, call, place->batch, to);
    if (d->store == STORE_HARD_SWISH)
        find_scale(d, call, place->batch, to);
}

static void finish_tile(const struct depthwise *d, const struct conv_params *p, const struct kernel_call *call,
                        const struct place *place, int64_t column, int64_t columns)
{
    char *workspace = call->workspace;
    if (d->store == STORE_COPIED) {
        copy_tile(p, place, call->workspace, d->chunk, column, columns, call->outputs[0]);
        return;
    }
    struct epilogue_tile tile = {
        .results = workspace,
        .row_stride = 1,
        .column_stride = d->chunk,
        .batch = place->batch,
        .row = place->channel,
        .rows = place->channels,
        .column = place->line * d->columns + column,
        .columns = columns,
        .down = true,
    };
    SET_NAME(epilogue_store)
    (&d->epilogue, d->has_form ? &d->form : NULL, call, &tile, workspace + d->tile_bytes + d->staged_bytes);
}

static float *staged_of(const struct depthwise *d, const struct kernel_call *call)
{
    return (float *)((char *)call->workspace + d->tile_bytes);
}

static int64_t band_floats(const struct window *w, int64_t chunk, int64_t lines)
{
    int64_t seen = (lines - 1) * w->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1;
    return least(seen, w->input[1]) * w->input[2] * chunk;
}

/* Gathers the input of the lines from the place's on, up to `end`, as many as a band has. */
static void stage_band(const struct depthwise *d, const struct conv_params *p, const struct kernel_call *call,
                       const struct place *place, int64_t end, struct band *band)
{
    const struct window *w = &p->window;
    const float *x = (const float *)call->inputs[0] + place->batch * p->x.batch;
    float *to = staged_of(d, call);
    band->end = least(end, place->line + d->band_lines);
    int64_t first = place->line * w->stride[1] - w->pad[1];
    int64_t last = (band->end - 1) * w->stride[1] - w->pad[1] + (w->kernel[1] - 1) * w->dilation[1];
    band->first_seen = first > 0 ? first : 0;
    for (int64_t line = band->first_seen; line <= last && line < w->input[1]; line++, to += w->input[2] * d->chunk) {
        struct line_taps taps = {.start = {0, line, 0}, .count = {1, 1}};
        stage_line(w, &p->x, &taps, (struct line_piece){0, w->input[2]}, x, place->channel, place->channels,
                   p->output_channels, d->chunk, to);
    }
}

static void run_line(const struct depthwise *d, const struct conv_params *p, const struct kernel_call *call,
                     const float *pack, const struct place *place, const struct band *band)
{
    const struct window *w = &p->window;
    const float *x = (const float *)call->inputs[0] + place->batch * p->x.batch, *bias = call->inputs[2];
    const int64_t *strides = d->band_lines > 0 ? d->band_strides : p->x.spatial;
    struct walk walk = walk_of(d, w, strides, &place->taps);
    int64_t line = line_offset(w, &place->taps, strides) + place->channel;
    if (d->band_lines > 0) {
        x = staged_of(d, call);
        line -= place->channel + band->first_seen * strides[1];
    }
    pack += place->channel / WIDE * d->taps * WIDE + place->taps.first[0] * walk.weights[0] +
            place->taps.first[1] * walk.weights[1];
    bool through = d->store >= STORE_PROGRAM;
    struct target to = {.store = d->store, .y = call->workspace, .column = d->chunk};
    if (!through)
        find_target(d, p, call, place, &to);
    float *tile_y = to.y, *staged = staged_of(d, call);
    struct chunk chunk = {pack, bias ? bias + place->channel : NULL, d->taps, place->channels};
    for (int64_t i = 0; i < d->tiles; i++) {
        int64_t column = tile_column(d, i), start = column * w->stride[2] - w->pad[2];
        struct tile tile = {.x = x,
                            .at = line + start * strides[2],
                            .columns = least(COLUMNS, d->columns - column),
                            .seen = masks_of(d, p, i),
                            .first = -start,
                            .last = w->input[2] - start};
        if (d->staged && d->band_lines == 0) {
            tile.x = staged;
            tile.at = stage(d, p, place, x, column, tile.columns, &walk, staged);
        }
        to.y = through ? tile_y : tile_y + column * to.column;
        SET_NAME(depthwise_sum)(&walk, &chunk, &tile, d->near, &to);
        if (through)
            finish_tile(d, p, call, place, column, tile.columns);
    }
}

/* --- the pack ---------------------------------------------------------------------------------------------------- */

/* Blocks of WIDE channels, in each the taps, in each the channels. */
static size_t pack_bytes(const struct depthwise *d)
{
    return (size_t)divide_up(d->channels, WIDE) * (size_t)d->taps * WIDE * sizeof(float);
}

static void pack_weights(const struct conv_params *p, const float *from, float *to)
{
    const int64_t *kernel = p->window.kernel;
    int64_t channels = p->groups * p->output_channels, taps = kernel[0] * kernel[1] * kernel[2];
    for (int64_t block = 0; block < channels; block += WIDE)
        for (int64_t tap = 0; tap < taps; tap++)
            for (int64_t c = block; c < block + WIDE; c++) {
                const float *w =
                    from + p->weight_offset + c / p->output_channels * p->weight_group +
                    c % p->output_channels * p->weight_output + tap / kernel[2] / kernel[1] * p->weight_spatial[0] +
                    tap / kernel[2] % kernel[1] * p->weight_spatial[1] + tap % kernel[2] * p->weight_spatial[2];
                *to++ = c < channels ? *w : 0;
            }
}

static void depthwise_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    (void)which;
    (void)task;
    pack_weights(plan->params, from, to);
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

static enum near choose_near(const struct window *w)
{
    int64_t taps = w->kernel[2], stride = w->stride[2];
    if (w->dilation[2] != 1 || (taps != 3 && taps != 5) || stride > 2)
        return NOT_NEAR;
    return taps == 3 ? (stride == 1 ? NEAR_3 : NEAR_3_BY_2) : stride == 1 ? NEAR_5 : NEAR_5_BY_2;
}

static bool is_number(const struct epilogue_operation *o)
{
    return o->input > 0 && o->dtype == DTYPE_F32 && o->row == 0 && o->column == 0;
}

static bool is_clamp(const struct epilogue_form *form)
{
    for (int i = 0; i < form->operation_count; i++) {
        const struct epilogue_operation *o = &form->operations[i];
        bool bound = (o->opcode == POINTWISE_MAX || o->opcode == POINTWISE_MIN) && is_number(o);
        if (o->on_side || (!bound && o->opcode != POINTWISE_RELU && o->opcode != POINTWISE_CLAMP))
            return false;
    }
    return true;
}

/* And then a number's product, and a number's sum, or one of them. */
static bool is_hard_swish(const struct epilogue_form *form)
{
    const struct epilogue_operation *o = form->operations;
    int count = form->operation_count, done = 1;
    if (count == 0 || o->on_side || o->opcode != POINTWISE_HARD_SWISH)
        return false;
    if (done < count && o[done].opcode == POINTWISE_MUL)
        done++;
    if (done < count && o[done].opcode == POINTWISE_ADD)
        done++;
    for (int i = 1; i < done; i++)
        if (o[i].on_side || !is_number(&o[i]))
            return false;
    return done == count;
}

static enum store choose_store(const struct conv_params *p, struct depthwise *d)
{
    struct epilogue_form *form = &d->form;
    if (!p->epilogue)
        return p->y.channel == 1 ? STORE_DIRECT : STORE_COPIED;
    d->has_form = epilogue_recognise(&d->epilogue, form);
    if (!d->has_form || form->from != DTYPE_F32 || form->to != DTYPE_F32 || form->row != 1 ||
        form->row_run != d->channels || form->column_run != d->epilogue.dims[EPILOGUE_COLUMNS])
        return STORE_PROGRAM;
    if (is_clamp(form))
        return STORE_CLAMPED;
    return is_hard_swish(form) ? STORE_HARD_SWISH : STORE_PROGRAM;
}

/* Whether every tap sees the input in all columns of a tile. */
static bool is_inner(const struct window *w, const struct depthwise *d, int64_t tile)
{
    int64_t column = tile_column(d, tile), start = column * w->stride[2] - w->pad[2];
    int64_t last = start + (COLUMNS - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2];
    return start >= 0 && column + COLUMNS <= d->columns && last < w->input[2];
}

/* These tiles lie in the middle of a line. */
static void find_inner(const struct window *w, struct depthwise *d)
{
    d->first_inner = 0;
    while (d->first_inner < d->tiles && !is_inner(w, d, d->first_inner))
        d->first_inner++;
    d->last_inner = d->first_inner;
    while (d->last_inner < d->tiles && is_inner(w, d, d->last_inner))
        d->last_inner++;
}

static int64_t mask_count(const struct window *w, const struct depthwise *d)
{
    return (d->first_inner + d->tiles - d->last_inner) * w->kernel[2];
}

static void make_masks(const struct window *w, const struct depthwise *d, uint8_t *masks)
{
    for (int64_t tile = 0; tile < d->tiles; tile++) {
        if (tile >= d->first_inner && tile < d->last_inner)
            continue;
        for (int64_t tap = 0; tap < w->kernel[2]; tap++, masks++)
            for (int j = 0; j < COLUMNS && tile_column(d, tile) + j < d->columns; j++) {
                int64_t at = (tile_column(d, tile) + j) * w->stride[2] - w->pad[2] + tap * w->dilation[2];
                *masks |= (uint8_t)((at >= 0 && at < w->input[2]) << j);
            }
    }
}

static void describe(const struct conv_params *p, struct depthwise *d)
{
    const struct window *w = &p->window;
    *d = (struct depthwise){.epilogue = conv_epilogue(p), .staged = p->x.channel != 1 || p->output_channels > 1};
    d->channels = p->groups * p->output_channels;
    d->columns = w->output[2];
    d->lines = w->output[0] * w->output[1];
    d->taps = w->kernel[0] * w->kernel[1] * w->kernel[2];
    d->tiles = divide_up(d->columns, COLUMNS);
    int64_t most = d->staged ? STAGED_CHUNK : CHUNK;
    d->chunks = divide_up(d->channels, most);
    d->chunk = d->chunks > 0 ? divide_up(divide_up(d->channels, d->chunks), WIDE) * WIDE : WIDE;
    d->chunks = divide_up(d->channels, d->chunk);
    d->store = choose_store(p, d);
    find_inner(w, d);
}

COLD bool depthwise_supports(const void *params)
{
    const struct conv_params *p = params;
    const struct window *w = &p->window;
    int64_t at_ends = divide_up((w->kernel[2] - 1) * w->dilation[2] + llabs(w->pad[2]) + llabs(w->pad_after[2]),
                                COLUMNS * w->stride[2]);
    return p->dtype == DTYPE_F32 && !p->x_scaled && p->groups > 1 && p->input_channels == 1 && w->spread[0] == 1 &&
           w->spread[1] == 1 && w->spread[2] == 1 &&
           least(at_ends + 2, divide_up(w->output[2], COLUMNS)) * w->kernel[2] <= MOST_MASKS;
}

/* Lines that a band has room for, where images are flat and a line is not too long. */
static int64_t choose_band(const struct window *w, const struct depthwise *d)
{
    bool flat = w->kernel[0] == 1 && w->input[0] == 1 && w->output[0] == 1 && w->pad[0] == 0;
    int64_t most = BAND_BYTES / (int64_t)sizeof(float), lines = 0;
    while (flat && lines < w->output[1] && band_floats(w, d->chunk, lines + 1) <= most)
        lines++;
    return lines;
}

/* Bands are for several threads, as many for each: it then works on the part of the image that is its in the steps
 * around this one. Of few positions other steps share out channels. */
static int64_t choose_bands(const struct conv_params *p, const struct depthwise *d, int threads)
{
    int64_t work = d->lines * d->columns * d->taps * d->channels;
    if (threads == 1 || work < ALONE || d->lines * d->columns < FEW_POSITIONS || d->chunks == 0)
        return 1;
    int64_t tasks = least(divide_up(work, GRAIN), BANDS_A_THREAD * (int64_t)threads);
    int64_t bands = divide_up(tasks, d->chunks * p->batch);
    return least(p->batch == 1 ? divide_up(bands, threads) * threads : bands, d->lines);
}

COLD bool depthwise_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    const struct conv_params *p = params;
    const struct window *w = &p->window;
    struct depthwise *d = region_allocate(region, sizeof *d);
    if (!d)
        return false;
    describe(p, d);
    uint8_t *masks = region_allocate(region, (size_t)mask_count(w, d));
    if (!masks)
        return false;
    make_masks(w, d, masks);
    d->masks = masks;
    d->near = choose_near(w);
    if (d->store >= STORE_PROGRAM)
        d->tile_bytes = align_up((size_t)(COLUMNS * d->chunk) * sizeof(float), ALIGNMENT);
    if (d->staged) {
        d->band_lines = choose_band(w, d);
        d->band_strides[1] = w->input[2] * d->chunk;
        d->band_strides[2] = d->chunk;
        size_t floats =
            d->band_lines > 0 ? (size_t)band_floats(w, d->chunk, d->band_lines) : staged_floats(w, COLUMNS, d->chunk);
        d->staged_bytes = align_up(floats * sizeof(float), ALIGNMENT);
    }
    d->bands = choose_bands(p, d, facts->threads);
    int64_t work = d->columns * d->lines * d->taps * d->chunk / d->bands, units = p->batch * d->bands * d->chunks;
    bool packs = facts->constant_inputs & 2;
    plan->state = d;
    plan->phases = packs ? 1 : 2;
    plan->tasks[0] = 1;
    plan->tasks[plan->phases - 1] =
        work * units < ALONE ? 1 : task_count_shared(units, 1 + GRAIN / (1 + work), facts->threads);
    plan->task_bytes = d->tile_bytes + d->staged_bytes;
    if (d->store == STORE_PROGRAM)
        plan->task_bytes += SET_NAME(epilogue_store_bytes)(&d->epilogue, d->has_form ? &d->form : NULL);
    plan->shared_bytes = packs ? 0 : pack_bytes(d);
    plan->pack_count = packs;
    plan->packs[0] = (struct kernel_pack){
        .input = 1,
        .form = CONV_FORM_CHANNELS_FIRST,
        .storable = true,
        .tasks = 1,
        .geometry = {p->groups, p->output_channels, w->kernel[0], w->kernel[1], w->kernel[2], p->weight_offset,
                     p->weight_group, p->weight_output, p->weight_spatial[0], p->weight_spatial[1],
                     p->weight_spatial[2]},
        .bytes = pack_bytes(d),
    };
    return true;
}

/* Some lines of an image in a chunk of its channels. */
static void run_band(const struct kernel_plan *plan, const struct kernel_call *call, int64_t batch, int64_t first,
                     int64_t end, int64_t chunk)
{
    const struct conv_params *p = plan->params;
    const struct depthwise *d = plan->state;
    struct band band = {.end = first};
    for (int64_t line = first; line < end; line++) {
        struct place place = {.batch = batch,
                              .line = line,
                              .channel = chunk * d->chunk,
                              .channels = least(d->chunk, d->channels - chunk * d->chunk),
                              .taps = line_taps_at(&p->window, line)};
        if (d->band_lines > 0 && line >= band.end)
            stage_band(d, p, call, &place, end, &band);
        run_line(d, p, call, plan->pack_count ? call->packed[0] : call->shared, &place, &band);
    }
}

static void depthwise_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct conv_params *p = plan->params;
    const struct depthwise *d = plan->state;
    if (call->phase + 1 < plan->phases) {
        pack_weights(p, call->inputs[1], call->shared);
        return;
    }
    int64_t first, last;
    task_range(p->batch * d->bands * d->chunks, plan->tasks[call->phase], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t band = i / d->chunks % d->bands;
        run_band(plan, call, i / d->chunks / d->bands, d->lines * band / d->bands, d->lines * (band + 1) / d->bands,
                 i % d->chunks);
    }
}

const struct kernel SET_NAME(conv_f32_depthwise) = {
    .name = SET_TEXT(conv_f32_depthwise),
    .family = FAMILY_conv,
    .requires = SET_REQUIRES,
    .channels_last = true,
    .supports = depthwise_supports,
    .plan = depthwise_plan,
    .pack = depthwise_pack,
    .run = depthwise_run,
};
