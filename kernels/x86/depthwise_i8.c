/* Depthwise convolution of 8-bit integers, with lanes along the channels, which lie next to each other in memory.
 *
 * The lines that a window sees at one column of the input are put together four at a time: a lane holds a quad, the
 * bytes of one channel from four lines. These columns are made once for a stretch of the output, in the first-level
 * cache, and each output then takes as many of them as the window is wide. */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/line.h"
#include "kernels/x86/results.h"
#include "kernels/x86/tile_i8.h"

#include <string.h>

#define CHUNK 64         /* channels that go through a stretch before the next ones do */
#define STRETCH 32       /* columns of the output, at most */
#define MOST_COLUMNS 128 /* of the input that a stretch may see */
#define MOST_QUADS 8     /* of one column */
#define AT_ONCE 8        /* outputs in registers */
#define GRAIN 200000     /* multiplications that make a task */

/* state of the plan */
struct depthwise {
    const struct conv_params *params;
    bool dot;
    int64_t channels, vectors, lines, columns; /* of the output */
    int64_t rows, quads, width;                /* lines that a window sees, quads that these make, taps along a line */
    int64_t stretch, stretches, chunks;
    struct results results;
    size_t padding_bytes, quad_bytes, sums_bytes; /* of workspace, one after the other */
};

/* The pack: sums of the weights of each channel; quads of weights, [vector of channels][tap along a
 * line][quad][channel]; quads of ones where there are taps, [quad]; and whether pairs fit. */
struct packed {
    const int32_t *sums, *weights, *ones, *fits;
};

static struct packed packed_at(const struct depthwise *d, const void *pack)
{
    const int32_t *sums = pack, *weights = sums + d->vectors * LANES;
    const int32_t *ones = weights + d->vectors * d->width * d->quads * LANES;
    return (struct packed){sums, weights, ones, ones + d->quads};
}

/* --- plan ---------------------------------------------------------------------------------------------------- */

static int64_t columns_seen(const struct window *w, int64_t columns)
{
    return (columns - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1;
}

static int64_t stretch_of(const struct window *w)
{
    int64_t stretch = least(w->output[2], STRETCH);
    while (stretch > 1 && columns_seen(w, stretch) > MOST_COLUMNS)
        stretch--;
    return stretch;
}

COLD bool depthwise_supports(const void *params)
{
    const struct conv_params *p = params;
    const struct window *w = &p->window;
    return conv_is_narrow(p) && p->input_channels == 1 && p->output_channels == 1 && p->groups > 1 &&
           p->x.channel == 1 && w->spread[0] == 1 && w->spread[1] == 1 && w->spread[2] == 1 &&
           w->kernel[0] * w->kernel[1] <= MOST_QUADS * QUAD && columns_seen(w, 1) <= MOST_COLUMNS &&
           SET_NAME(results_image_fits)(p);
}

COLD bool plan_depthwise(const struct conv_params *p, bool dot, struct region *region, struct kernel_plan *plan)
{
    const struct window *w = &p->window;
    struct depthwise *d = region_allocate(region, sizeof *d);
    if (!d)
        return false;
    *d = (struct depthwise){.params = p,
                            .dot = dot,
                            .channels = p->groups,
                            .vectors = divide_up(p->groups, LANES),
                            .lines = w->output[0] * w->output[1],
                            .columns = w->output[2],
                            .rows = w->kernel[0] * w->kernel[1],
                            .width = w->kernel[2],
                            .stretch = stretch_of(w),
                            .chunks = divide_up(p->groups, CHUNK)};
    d->quads = divide_up(d->rows, QUAD);
    d->stretches = divide_up(d->columns, d->stretch);
    struct epilogue epilogue = conv_epilogue(p);
    struct results_place place = SET_NAME(results_image_place)(p);
    SET_NAME(results_plan)(&epilogue, true, d->lines * d->columns, d->channels, &place, &d->results);
    d->padding_bytes = CHUNK;
    d->quad_bytes = (size_t)(columns_seen(w, d->stretch) * d->quads * CHUNK) * sizeof(int32_t);
    d->sums_bytes = (size_t)(d->stretch * CHUNK) * sizeof(int32_t);
    int64_t each = d->stretch * least(d->channels, CHUNK) * d->rows * d->width;
    plan->state = d;
    plan->phases = 1;
    plan->tasks[0] = task_count(p->batch * d->lines * d->stretches * d->chunks, 1 + GRAIN / (1 + each));
    plan->task_bytes = d->padding_bytes + d->quad_bytes + d->sums_bytes + SET_NAME(results_workspace)(&d->results);
    plan->pack_count = 1;
    plan->packs[0] = (struct kernel_pack){
        .input = 1,
        .form = CONV_FORM_DEPTHWISE_I8,
        .storable = true,
        .tasks = 1,
        .geometry = {LANES, p->w_dtype, p->groups, w->kernel[0], w->kernel[1], w->kernel[2], p->weight_offset,
                     p->weight_group, p->weight_spatial[0], p->weight_spatial[1], p->weight_spatial[2]},
        .bytes = (size_t)(d->vectors * LANES * (1 + d->width * d->quads) + d->quads + 1) * sizeof(int32_t)};
    return true;
}

COLD bool depthwise_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    (void)facts;
    return plan_depthwise(params, false, region, plan);
}

COLD bool depthwise_plan_dot(const void *params, const struct kernel_facts *facts, struct region *region,
                             struct kernel_plan *plan)
{
    (void)facts;
    return plan_depthwise(params, true, region, plan);
}

/* --- packing ------------------------------------------------------------------------------------------------- */

static void pack_channel(const struct depthwise *d, const uint8_t *weights, int32_t *sum, int8_t *to, bool *fits)
{
    const struct conv_params *p = d->params;
    for (int64_t x = 0; x < d->width; x++)
        for (int64_t row = 0; row < d->rows; row++) {
            int64_t at = row / p->window.kernel[1] * p->weight_spatial[0] +
                         row % p->window.kernel[1] * p->weight_spatial[1] + x * p->weight_spatial[2];
            int8_t *place = to + (x * d->quads + row / QUAD) * LANES * QUAD + row % QUAD;
            *place = (int8_t)(weights[at] ^ i8_turn_right(p->w_dtype));
            *sum += *place;
            if (row % 2 == 1)
                *fits = *fits && i8_pair_fits(place[-1], place[0]);
        }
}

static void depthwise_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct depthwise *d = plan->state;
    const struct conv_params *p = d->params;
    int32_t *sums = to, *weights = sums + d->vectors * LANES;
    int32_t *ones = weights + d->vectors * d->width * d->quads * LANES;
    bool fits = true;
    (void)task;
    memset(to, 0, plan->packs[which].bytes);
    for (int64_t c = 0; c < d->channels; c++)
        pack_channel(d, (const uint8_t *)from + p->weight_offset + c * p->weight_group, &sums[c],
                     (int8_t *)(weights + (c / LANES * d->width * d->quads * LANES + c % LANES)), &fits);
    for (int64_t row = 0; row < d->rows; row++)
        ones[row / QUAD] |= 1 << row % QUAD * 8;
    ones[d->quads] = fits;
}

/* --- columns of quads ---------------------------------------------------------------------------------------- */

/* A stretch of a line of the output, and the channels of a chunk. */
struct place {
    int64_t batch, line, column, columns, channel, channels;
};

struct walk {
    const struct depthwise *d;
    const struct kernel_call *call;
    uint8_t *padding; /* CHUNK zero points of x */
    int32_t *quads, *sums;
    void *epilogue_workspace;
    struct packed packed;
    struct results_target target;
    struct i8_columns about[CHUNK / TILE_COLUMNS]; /* of the channels of a chunk */
};

/* The first channel of each line that the window sees, at column 0; NULL in the padding. */
static void find_lines(const struct walk *walk, const struct place *place, const uint8_t **lines)
{
    const struct conv_params *p = walk->d->params;
    const struct window *w = &p->window;
    const uint8_t *x = (const uint8_t *)walk->call->inputs[0] + place->batch * p->x.batch + place->channel;
    int64_t z = place->line / w->output[1] * w->stride[0] - w->pad[0];
    int64_t y = place->line % w->output[1] * w->stride[1] - w->pad[1];
    for (int64_t row = 0; row < walk->d->quads * QUAD; row++) {
        int64_t plane = z + row / w->kernel[1] * w->dilation[0], line = y + row % w->kernel[1] * w->dilation[1];
        bool inside = row < walk->d->rows && plane >= 0 && plane < w->input[0] && line >= 0 && line < w->input[1];
        lines[row] = inside ? x + plane * p->x.spatial[0] + line * p->x.spatial[1] : NULL;
    }
}

INLINE vi quads_of(const uint8_t *const *from, int64_t at, vi turns)
{
    vi a = vi_load_u8(from[0] + at), b = vi_shift_left(vi_load_u8(from[1] + at), 8);
    vi c = vi_shift_left(vi_load_u8(from[2] + at), 16), d = vi_shift_left(vi_load_u8(from[3] + at), 24);
    return vi_xor(vi_or(vi_or(a, b), vi_or(c, d)), turns);
}

static void make_quads(const uint8_t *const *from, int64_t channels, vi turns, int32_t *to)
{
    uint8_t ends[QUAD][LANES] = {{0}};
    int64_t at = 0;
    for (; at + 4 * LANES <= channels; at += 4 * LANES) {
        vi quads[4];
        vi_load_quads(from[0] + at, from[1] + at, from[2] + at, from[3] + at, quads);
        UNROLL
        for (int i = 0; i < 4; i++)
            vi_store(to + at + i * LANES, vi_xor(quads[i], turns));
    }
    for (; at + LANES <= channels; at += LANES)
        vi_store(to + at, quads_of(from, at, turns));
    if (at == channels)
        return;
    for (int i = 0; i < QUAD; i++)
        memcpy(ends[i], from[i] + at, (size_t)(channels - at));
    vi_store(to + at, quads_of((const uint8_t *const[]){ends[0], ends[1], ends[2], ends[3]}, 0, turns));
}

/* Columns [first, end) of a quad's four lines; where `step` is 0, of what the padding is. */
static void make_stretch(const struct walk *walk, const struct place *place, const uint8_t *const *lines, int64_t step,
                         int64_t first, int64_t end, int32_t *to)
{
    const struct depthwise *d = walk->d;
    const vi turns = vi_set((int32_t)(i8_turn_left(d->params->x_dtype) * 0x01010101u));
    const uint8_t *from[QUAD];
    int64_t steps[QUAD];
    for (int k = 0; k < QUAD; k++) {
        bool inside = lines[k] && step;
        steps[k] = inside ? step : 0;
        from[k] = inside ? lines[k] + first * step : walk->padding;
    }
    for (int64_t i = first; i < end; i++, to += d->quads * CHUNK) {
        make_quads(from, place->channels, turns, to);
        UNROLL
        for (int k = 0; k < QUAD; k++)
            from[k] += steps[k];
    }
}

static void make_columns(const struct walk *walk, const struct place *place)
{
    const struct depthwise *d = walk->d;
    const struct conv_params *p = d->params;
    const struct window *w = &p->window;
    const uint8_t *lines[MOST_QUADS * QUAD];
    int64_t first = place->column * w->stride[2] - w->pad[2], end = first + columns_seen(w, place->columns);
    int64_t inside = least(end, first < 0 ? 0 : first), past = least(end, w->input[2]);
    past = past < inside ? inside : past;
    find_lines(walk, place, lines);
    for (int64_t q = 0; q < d->quads; q++) {
        int32_t *to = walk->quads + q * CHUNK;
        const int64_t each = d->quads * CHUNK;
        make_stretch(walk, place, lines + q * QUAD, 0, first, inside, to);
        make_stretch(walk, place, lines + q * QUAD, p->x.spatial[2], inside, past, to + (inside - first) * each);
        make_stretch(walk, place, lines + q * QUAD, 0, past, end, to + (past - first) * each);
    }
}

/* --- sums ---------------------------------------------------------------------------------------------------- */

/* A vector of channels: what its sums are made of, and where they go. */
struct lane {
    const int32_t *quads, *weights, *ones;
    int64_t next; /* from the quads of one output to those of the next one */
    int64_t tap;  /* and of one tap to the next one */
    int64_t width, quad_count;
    vi start, zeros; /* zeros: of the weights */
    int32_t *to;
    int64_t to_next, channels;
};

/* Words of a quad's unsigned bytes. */
INLINE vi low_words(vi a)
{
    return vi_and(a, vi_set(0x00ff00ff));
}

INLINE vi add_step(const enum i8_way way, vi sum, vi x, vi w)
{
    if (way == I8_DOT)
        return vi_add_dot(sum, x, w);
    if (way == I8_PAIRS)
        return vi_add_pairs(sum, x, w);
    sum = vi_add_words(sum, low_words(x), vi_even_bytes(w));
    return vi_add_words(sum, low_words(vi_shift_right(x, 8)), vi_odd_bytes(w));
}

INLINE void sum_outputs(const enum i8_way way, const bool zeros, const int outputs, int64_t quad_count,
                        const struct lane *lane, const int32_t *quads, vi *sums)
{
    vi seen[AT_ONCE];
    const int32_t *weights = lane->weights;
    UNROLL
    for (int j = 0; j < outputs; j++) {
        sums[j] = lane->start;
        seen[j] = vi_set(0);
    }
    for (int64_t t = 0; t < lane->width; t++, quads += lane->tap)
        for (int64_t q = 0; q < quad_count; q++, weights += LANES) {
            const vi w = vi_load(weights);
            UNROLL
            for (int j = 0; j < outputs; j++) {
                const vi x = vi_load(quads + j * lane->next + q * CHUNK);
                sums[j] = add_step(way, sums[j], x, w);
                if (zeros)
                    seen[j] = add_step(way, seen[j], x, vi_set(lane->ones[q]));
            }
        }
    UNROLL
    for (int j = 0; j < outputs && zeros; j++)
        sums[j] = vi_sub(sums[j], vi_mul(seen[j], lane->zeros));
}

INLINE void store_outputs(const int outputs, const struct lane *lane, const vi *sums, int32_t *to)
{
    if (lane->channels >= LANES) {
        UNROLL
        for (int j = 0; j < outputs; j++)
            vi_store(to + j * lane->to_next, sums[j]);
        return;
    }
    UNROLL
    for (int j = 0; j < outputs; j++)
        vi_store_part(to + j * lane->to_next, sums[j], lane->channels);
}

INLINE void make_outputs(const enum i8_way way, const bool zeros, const int outputs, int64_t quad_count, int64_t column,
                         const struct lane *lane)
{
    vi sums[AT_ONCE];
    sum_outputs(way, zeros, outputs, quad_count, lane, lane->quads + column * lane->next, sums);
    store_outputs(outputs, lane, sums, lane->to + column * lane->to_next);
}

/* At least so many columns as are made at once: the last ones are made again where that fills the registers. */
INLINE void sum_columns(const enum i8_way way, const bool zeros, const int outputs, int64_t quad_count, int64_t columns,
                        const struct lane *lane)
{
    for (int64_t j = 0; j < columns; j += outputs)
        make_outputs(way, zeros, outputs, quad_count, least(j, columns - outputs), lane);
}

/* With zero points there are two sums for each output, so half as many fit. */
INLINE void sum_lane(const enum i8_way way, const bool zeros, int64_t quad_count, int64_t columns,
                     const struct lane *lane)
{
    if (!zeros && columns >= AT_ONCE)
        sum_columns(way, zeros, AT_ONCE, quad_count, columns, lane);
    else if (columns >= AT_ONCE / 2)
        sum_columns(way, zeros, AT_ONCE / 2, quad_count, columns, lane);
    else
        sum_columns(way, zeros, 1, quad_count, columns, lane);
}

/* Windows of up to four lines have a loop of their own. */
#define WAY(name, way)                                                     \
    static void name(bool zeros, int64_t columns, const struct lane *lane) \
    {                                                                      \
        if (zeros) {                                                       \
            sum_lane(way, true, lane->quad_count, columns, lane);          \
        } else if (lane->quad_count == 1) {                                \
            sum_lane(way, false, 1, columns, lane);                        \
        } else {                                                           \
            sum_lane(way, false, lane->quad_count, columns, lane);         \
        }                                                                  \
    }
DOT_TARGET WAY(sum_lane_dot, I8_DOT) WAY(sum_lane_pairs, I8_PAIRS) WAY(sum_lane_wide, I8_WIDE)

    /* What the channels of a chunk begin with and are corrected by. */
    static void begin_chunk(struct walk *walk, int64_t chunk)
{
    const struct depthwise *d = walk->d;
    const struct conv_params *p = d->params;
    const uint8_t *w_zeros = walk->call->inputs[4];
    const int32_t *bias = walk->call->inputs[2];
    int64_t end = least(d->channels, (chunk + 1) * CHUNK);
    for (int64_t channel = chunk * CHUNK; channel < end; channel += TILE_COLUMNS) {
        int64_t channels = least(end - channel, TILE_COLUMNS);
        const struct i8_panel sums = {.sums = walk->packed.sums + channel, .columns = i8_panel_columns(channels)};
        const struct i8_about about = {
            .right = p->w_dtype,
            .depth = d->rows * d->width,
            .zeros = w_zeros ? w_zeros + channel * p->w_zero : NULL,
            .zero_stride = p->w_zero,
            .own = bias ? bias + channel : NULL,
            .own_stride = 1,
            .less = -i8_left_zero(p->x_dtype, walk->padding),
        };
        SET_NAME(i8_begin_columns)
        (&sums, &about, channels, &walk->about[channel % CHUNK / TILE_COLUMNS]);
    }
}

/* --- run ----------------------------------------------------------------------------------------------------- */

static void sum_stretch(const struct walk *walk, const struct place *place)
{
    const struct depthwise *d = walk->d;
    const struct window *w = &d->params->window;
    const struct tile_ends *ends = &walk->target.ends;
    int64_t position = place->line * d->columns + place->column;
    for (int64_t c = 0; c < place->channels; c += LANES) {
        struct lane lane = {.quads = walk->quads + c,
                            .next = w->stride[2] * d->quads * CHUNK,
                            .tap = w->dilation[2] * d->quads * CHUNK,
                            .width = d->width,
                            .quad_count = d->quads,
                            .to = walk->sums + c / TILE_COLUMNS * d->stretch * TILE_COLUMNS + c % TILE_COLUMNS,
                            .to_next = TILE_COLUMNS,
                            .channels = LANES};
        if (walk->target.direct) {
            lane.to = (int32_t *)(void *)ends->to + position * ends->to_row + place->channel + c;
            lane.to_next = ends->to_row;
            lane.channels = place->channels - c;
        }
        const struct i8_columns *about = &walk->about[c / TILE_COLUMNS];
        bool zeros = about->has_zeros;
        lane.start = vi_load(about->start + c % TILE_COLUMNS);
        lane.zeros = vi_load(about->zeros + c % TILE_COLUMNS);
        lane.weights = walk->packed.weights + (place->channel + c) * d->width * d->quads;
        lane.ones = walk->packed.ones;
        if (d->dot)
            sum_lane_dot(zeros, place->columns, &lane);
        else if (*walk->packed.fits)
            sum_lane_pairs(zeros, place->columns, &lane);
        else
            sum_lane_wide(zeros, place->columns, &lane);
    }
}

static void run_stretch(struct walk *walk, const struct place *place)
{
    const struct depthwise *d = walk->d;
    make_columns(walk, place);
    sum_stretch(walk, place);
    for (int64_t c = 0; c < place->channels && !walk->target.direct; c += TILE_COLUMNS) {
        const struct results_block block = {place->line * d->columns + place->column, place->columns,
                                            place->channel + c, least(place->channels - c, TILE_COLUMNS), 1};
        SET_NAME(results_store)
        (&walk->target, &block, (float *)(void *)(walk->sums + c / TILE_COLUMNS * d->stretch * TILE_COLUMNS),
         TILE_COLUMNS, walk->epilogue_workspace);
    }
}

static void begin_image(struct walk *walk, int64_t image)
{
    walk->target = (struct results_target){.results = &walk->d->results,
                                           .call = walk->call,
                                           .batch = image,
                                           .to = (float *)walk->call->outputs[0] + image * walk->d->params->y.batch};
    SET_NAME(results_begin)(&walk->target);
}

static void depthwise_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct depthwise *d = plan->state;
    const struct conv_params *p = d->params;
    const uint8_t *zero = call->inputs[3];
    uint8_t *padding = call->workspace, *quads = padding + d->padding_bytes, *sums = quads + d->quad_bytes;
    struct walk walk = {.d = d,
                        .call = call,
                        .padding = padding,
                        .quads = (int32_t *)(void *)quads,
                        .sums = (int32_t *)(void *)sums,
                        .epilogue_workspace = sums + d->sums_bytes,
                        .packed = packed_at(d, call->packed[0])};
    memset(padding, zero ? *zero : 0, CHUNK);
    int64_t parts = d->lines * d->stretches, each = d->chunks * parts, first, last, image = -1, chunk = -1;
    task_range(p->batch * each, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i / each != image)
            begin_image(&walk, image = i / each);
        if (i % each / parts != chunk)
            begin_chunk(&walk, chunk = i % each / parts);
        struct place place = {.batch = image,
                              .line = i % parts / d->stretches,
                              .column = i % d->stretches * d->stretch,
                              .channel = chunk * CHUNK};
        place.columns = least(d->stretch, d->columns - place.column);
        place.channels = least(CHUNK, d->channels - place.channel);
        run_stretch(&walk, &place);
    }
}

const struct kernel SET_NAME(conv_i8_depthwise) = {
    .name = SET_TEXT(conv_i8_depthwise),
    .family = FAMILY_conv,
    .requires = SET_REQUIRES,
    .constant_inputs = 1u << 1,
    .channels_last = true,
    .supports = depthwise_supports,
    .plan = depthwise_plan,
    .pack = depthwise_pack,
    .run = depthwise_run,
};

const struct kernel SET_NAME(conv_i8_depthwise_dot) = {
    .name = SET_TEXT(conv_i8_depthwise_dot),
    .family = FAMILY_conv,
    .requires = DOT_REQUIRES,
    .constant_inputs = 1u << 1,
    .channels_last = true,
    .supports = depthwise_supports,
    .plan = depthwise_plan_dot,
    .pack = depthwise_pack,
    .run = depthwise_run,
};
