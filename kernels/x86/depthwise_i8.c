/* Depthwise convolution of 8-bit integers, with lanes along the channels, which lie next to each other in memory.
 *
 * The lines that a window sees at one column of the input are put together four at a time: a lane holds a quad, the
 * bytes of one channel from four lines. These columns are made once for a stretch of the output, in the first-level
 * cache, and each output then takes as many of them as the window is wide. Where a quad has a line more than the window
 * needs, as it has for windows of three lines that go down line by line, two lines of the output take the same quads:
 * the second one by weights that are moved on by a line. */
#include "kernels/conv.h"

#include "kernels/x86/conv_forms.h"
#include "kernels/x86/line.h"
#include "kernels/x86/results.h"
#include "kernels/x86/tile_i8.h"

#include <string.h>

#define CHUNK 96          /* channels that go through a stretch before the next ones do, at most */
#define STRETCH 2688      /* elements of a line of the output, at most */
#define AHEAD (4 * LANES) /* bytes that are made quads at a time */
#define MOST_COLUMNS 128  /* of the input that a stretch may see */
#define MOST_QUADS 8      /* of one column */
#define MOST_LINES 2      /* of the output that take the same quads */
#define AT_ONCE 4         /* columns of the output in registers */
#define GRAIN 200000      /* multiplications that make a task */

/* state of the plan */
struct depthwise {
    const struct conv_params *params;
    bool dot;
    int64_t channels, vectors, lines, columns; /* of the output */
    int64_t rows, quads, width;                /* lines that a window sees, quads that these make, taps along a line */
    int64_t together, bands;                   /* lines of the output that take the same quads, and how many such */
    int64_t stretch, stretches, chunk, chunks;
    int64_t seen;  /* columns of the input under a stretch */
    int64_t parts; /* vectors that a quad is made of: bytes as they are, or words */
    int64_t plane; /* elements of a part of a quad's columns */
    struct results results;
    size_t padding_bytes, quad_bytes, factor_bytes, sums_bytes; /* of workspace, one after the other */
};

/* The pack: sums of the weights of each channel; quads of weights, [vector of channels][tap along a
 * line][quad][channel]; quads of ones where there are taps, [quad]. */
struct packed {
    const int32_t *sums, *weights, *ones;
};

static struct packed packed_at(const struct depthwise *d, const void *pack)
{
    const int32_t *sums = pack, *weights = sums + d->vectors * LANES;
    return (struct packed){sums, weights, weights + d->vectors * d->width * d->quads * LANES};
}

/* --- plan ---------------------------------------------------------------------------------------------------- */

static int64_t columns_seen(const struct window *w, int64_t columns)
{
    return (columns - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1;
}

static int64_t stretch_of(const struct window *w, int64_t chunk)
{
    int64_t stretch = least(w->output[2], STRETCH / chunk);
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

/* Even parts, all but the last of whole vectors. */
static int64_t chunk_of(int64_t channels)
{
    int64_t even = divide_up(channels, divide_up(channels, CHUNK));
    return channels <= CHUNK ? channels : divide_up(even, LANES) * LANES;
}

static int64_t lines_together(const struct window *w, int64_t quads)
{
    bool image = w->kernel[0] == 1 && w->output[0] == 1 && w->stride[1] == 1 && w->dilation[1] == 1;
    return image && w->kernel[1] < quads * QUAD ? MOST_LINES : 1;
}

/* Channels of a line of sums. */
static int64_t sums_width(const struct depthwise *d)
{
    return divide_up(d->chunk, TILE_COLUMNS) * TILE_COLUMNS;
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
                            .chunk = chunk_of(p->groups),
                            .chunks = divide_up(p->groups, chunk_of(p->groups)),
                            .parts = dot ? 1 : 2};
    d->quads = divide_up(d->rows, QUAD);
    d->together = lines_together(w, d->quads);
    d->bands = divide_up(d->lines, d->together);
    d->stretch = stretch_of(w, d->chunk);
    d->stretches = divide_up(d->columns, d->stretch);
    d->seen = columns_seen(w, d->stretch);
    d->plane = d->seen * d->chunk + AHEAD; /* what is past the last channel is read, and may be written */
    struct epilogue epilogue = conv_epilogue(p);
    struct results_place place = SET_NAME(results_image_place)(p);
    SET_NAME(results_plan)(&epilogue, true, d->lines * d->columns, d->channels, &place, &d->results);
    d->padding_bytes = align_up((size_t)(d->seen * d->chunk), ALIGNMENT);
    d->quad_bytes = align_up((size_t)(d->quads * d->parts * d->plane) * sizeof(int32_t), ALIGNMENT);
    d->factor_bytes = (size_t)(CHUNK / LANES * d->width * d->quads * d->together * d->parts * LANES) * sizeof(int32_t);
    d->sums_bytes = (size_t)(d->together * d->stretch * sums_width(d)) * sizeof(int32_t);
    int64_t each = d->together * d->stretch * d->chunk * d->rows * d->width;
    plan->state = d;
    plan->phases = 1;
    plan->tasks[0] = task_count(p->batch * d->bands * d->stretches * d->chunks, 1 + GRAIN / (1 + each));
    plan->task_bytes =
        d->padding_bytes + d->quad_bytes + d->factor_bytes + d->sums_bytes + SET_NAME(results_workspace)(&d->results);
    plan->pack_count = 1;
    plan->packs[0] = (struct kernel_pack){
        .input = 1,
        .form = CONV_FORM_DEPTHWISE_I8,
        .storable = true,
        .tasks = 1,
        .geometry = {LANES, p->w_dtype, p->groups, w->kernel[0], w->kernel[1], w->kernel[2], p->weight_offset,
                     p->weight_group, p->weight_spatial[0], p->weight_spatial[1], p->weight_spatial[2]},
        .bytes = (size_t)(d->vectors * LANES * (1 + d->width * d->quads) + d->quads) * sizeof(int32_t)};
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

static void pack_channel(const struct depthwise *d, const uint8_t *weights, int32_t *sum, int8_t *to)
{
    const struct conv_params *p = d->params;
    for (int64_t x = 0; x < d->width; x++)
        for (int64_t row = 0; row < d->rows; row++) {
            int64_t at = row / p->window.kernel[1] * p->weight_spatial[0] +
                         row % p->window.kernel[1] * p->weight_spatial[1] + x * p->weight_spatial[2];
            int8_t *place = to + (x * d->quads + row / QUAD) * LANES * QUAD + row % QUAD;
            *place = (int8_t)(weights[at] ^ i8_turn_right(p->w_dtype));
            *sum += *place;
        }
}

static void depthwise_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct depthwise *d = plan->state;
    const struct conv_params *p = d->params;
    int32_t *sums = to, *weights = sums + d->vectors * LANES;
    int32_t *ones = weights + d->vectors * d->width * d->quads * LANES;
    (void)task;
    memset(to, 0, plan->packs[which].bytes);
    for (int64_t c = 0; c < d->channels; c++)
        pack_channel(d, (const uint8_t *)from + p->weight_offset + c * p->weight_group, &sums[c],
                     (int8_t *)(weights + (c / LANES * d->width * d->quads * LANES + c % LANES)));
    for (int64_t row = 0; row < d->rows; row++)
        ones[row / QUAD] |= 1 << row % QUAD * 8;
}

/* --- columns of quads ---------------------------------------------------------------------------------------- */

/* A stretch of some lines of the output, and the channels of a chunk. */
struct place {
    int64_t batch, line, lines, column, columns, channel, channels;
};

struct walk {
    const struct depthwise *d;
    const struct kernel_call *call;
    uint8_t *padding; /* zero points of x, as many as a line of a stretch has bytes */
    int32_t *quads;   /* [quad][part], planes of [column][channel] */
    int32_t *factors; /* of a chunk: [vector][tap along a line][quad][part][line of the output][channel] */
    int32_t *sums;    /* [line of the output][TILE_COLUMNS channels][column][channel] */
    void *epilogue_workspace;
    struct packed packed;
    struct results_target target;
    bool has_zeros;                                /* some weight of the chunk has a zero point */
    struct i8_columns about[CHUNK / TILE_COLUMNS]; /* of the channels of a chunk */
};

/* The first channel of each line that the quads hold, at column 0; NULL in the padding. */
static void find_lines(const struct walk *walk, const struct place *place, const uint8_t **lines)
{
    const struct conv_params *p = walk->d->params;
    const struct window *w = &p->window;
    const uint8_t *x = (const uint8_t *)walk->call->inputs[0] + place->batch * p->x.batch + place->channel;
    int64_t z = place->line / w->output[1] * w->stride[0] - w->pad[0];
    int64_t y = place->line % w->output[1] * w->stride[1] - w->pad[1];
    int64_t height = w->kernel[0] == 1 ? MOST_QUADS * QUAD : w->kernel[1];
    for (int64_t row = 0; row < walk->d->quads * QUAD; row++) {
        int64_t plane = z + row / height * w->dilation[0], line = y + row % height * w->dilation[1];
        bool inside = row < walk->d->rows + place->lines - 1 && plane >= 0 && plane < w->input[0] && line >= 0 &&
                      line < w->input[1];
        lines[row] = inside ? x + plane * p->x.spatial[0] + line * p->x.spatial[1] : NULL;
    }
}

/* Words of a quad's unsigned bytes. */
INLINE vi low_words(vi a)
{
    return vi_and(a, vi_set(0x00ff00ff));
}

INLINE void store_quads(const struct depthwise *d, vi quads, int32_t *to)
{
    if (d->dot) {
        vi_store(to, quads);
        return;
    }
    vi_store(to, low_words(quads));
    vi_store(to + d->plane, low_words(vi_shift_right(quads, 8)));
}

INLINE vi quads_of(const uint8_t *const *from, int64_t at, vi turns)
{
    vi a = vi_load_u8(from[0] + at), b = vi_shift_left(vi_load_u8(from[1] + at), 8);
    vi c = vi_shift_left(vi_load_u8(from[2] + at), 16), d = vi_shift_left(vi_load_u8(from[3] + at), 24);
    return vi_xor(vi_or(vi_or(a, b), vi_or(c, d)), turns);
}

/* Of so many bytes of four lines, which lie next to each other. What the last vector has past them is anything. */
static void make_quads(const struct depthwise *d, const uint8_t *const *from, int64_t count, int32_t *to)
{
    const vi turns = vi_set((int32_t)(i8_turn_left(d->params->x_dtype) * 0x01010101u));
    uint8_t ends[QUAD][LANES] = {{0}};
    int64_t at = 0;
    for (; at + 4 * LANES <= count; at += 4 * LANES) {
        vi quads[4];
        vi_load_quads(from[0] + at, from[1] + at, from[2] + at, from[3] + at, quads);
        UNROLL
        for (int i = 0; i < 4; i++)
            store_quads(d, vi_xor(quads[i], turns), to + at + i * LANES);
    }
    for (; at + LANES <= count; at += LANES)
        store_quads(d, quads_of(from, at, turns), to + at);
    if (at == count)
        return;
    for (int i = 0; i < QUAD; i++)
        memcpy(ends[i], from[i] + at, (size_t)(count - at));
    store_quads(d, quads_of((const uint8_t *const[]){ends[0], ends[1], ends[2], ends[3]}, 0, turns), to + at);
}

/* Columns [first, end) of a quad's four lines; `step`: from one to the next, 0: what the padding is. Where channels
 * leave no gap the columns are one. */
static void make_stretch(const struct walk *walk, const struct place *place, const uint8_t *const *lines, int64_t step,
                         int64_t first, int64_t end, int32_t *to)
{
    const struct depthwise *d = walk->d;
    bool whole = (step == 0 || step == place->channels) && d->chunk == place->channels;
    int64_t each = whole ? end - first : 1;
    const uint8_t *from[QUAD];
    int64_t steps[QUAD];
    for (int k = 0; k < QUAD; k++) {
        bool inside = lines[k] && step;
        steps[k] = inside ? step : 0;
        from[k] = inside ? lines[k] + first * step : walk->padding;
    }
    for (int64_t i = first; i < end; i += each, to += d->chunk) {
        make_quads(d, from, each * place->channels, to);
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
        int32_t *to = walk->quads + q * d->parts * d->plane;
        make_stretch(walk, place, lines + q * QUAD, 0, first, inside, to);
        make_stretch(walk, place, lines + q * QUAD, p->x.spatial[2], inside, past, to + (inside - first) * d->chunk);
        make_stretch(walk, place, lines + q * QUAD, 0, past, end, to + (past - first) * d->chunk);
    }
}

/* --- sums ---------------------------------------------------------------------------------------------------- */

/* A vector of channels: what its sums are made of, what becomes of them, and where they go. */
struct lane {
    const int32_t *quads, *factors;
    const int32_t *ones; /* quads of ones where there are taps; NULL: no weight has a zero point */
    int64_t next;        /* from the quads of one output to those of the next one */
    int64_t tap;         /* and of one tap to the next one */
    int64_t plane, width, quad_count, together;
    vi start, zeros;                       /* zeros: of the weights */
    const struct requantiser *requantiser; /* NULL: sums are stored */
    bool plain;                            /* it only multiplies, adds, rounds, and keeps within bounds */
    vf factor, addend;
    struct requantised_bytes ends;
    int64_t channels, stored;  /* that count, and that are stored where sums are */
    int32_t *sums[MOST_LINES]; /* by line of the output */
    uint8_t *bytes[MOST_LINES];
    int64_t sums_next, bytes_next; /* from one output to the next one */
};

/* What the lines of one part of a quad add to some outputs. */
INLINE void add_part(const bool dot, const int lines, const int outputs, const struct lane *lane, const int32_t *plane,
                     const int32_t *factors, vi *sums)
{
    vi w[MOST_LINES];
    UNROLL
    for (int l = 0; l < lines; l++)
        w[l] = vi_load(factors + l * LANES);
    UNROLL
    for (int j = 0; j < outputs; j++) {
        const vi x = vi_load(plane + j * lane->next);
        UNROLL
        for (int l = 0; l < lines; l++)
            sums[l * outputs + j] =
                dot ? vi_add_dot(sums[l * outputs + j], x, w[l]) : vi_add_words(sums[l * outputs + j], x, w[l]);
    }
}

/* three: the window is one quad high and three taps wide. As one piece of code that is faster with VNNI; words have too
 * many operands for as many registers then. */
INLINE void add_terms(const bool dot, const int lines, const int outputs, const bool three, const struct lane *lane,
                      const int32_t *quads, vi *sums)
{
    const int32_t *factors = lane->factors;
    const int64_t step = lane->together * LANES;
    if (dot && three) {
        UNROLL
        for (int t = 0; t < 3; t++, quads += lane->tap, factors += step)
            add_part(true, lines, outputs, lane, quads, factors, sums);
        return;
    }
    if (three) {
        for (int t = 0; t < 3; t++, quads += lane->tap, factors += 2 * step) {
            add_part(false, lines, outputs, lane, quads, factors, sums);
            add_part(false, lines, outputs, lane, quads + lane->plane, factors + step, sums);
        }
        return;
    }
    for (int64_t t = 0; t < lane->width; t++, quads += lane->tap)
        for (int64_t i = 0; i < lane->quad_count * (dot ? 1 : 2); i++, factors += step)
            add_part(dot, lines, outputs, lane, quads + i * lane->plane, factors, sums);
}

/* The sum of what one output sees. */
static vi sum_seen(const bool dot, const struct lane *lane, int64_t line, const int32_t *quads)
{
    vi sum = vi_set(0);
    for (int64_t t = 0; t < lane->width; t++, quads += lane->tap) {
        uint32_t before = 0;
        for (int64_t q = 0; q < lane->quad_count; q++) {
            uint32_t first = (uint32_t)lane->ones[q];
            const vi ones = vi_set((int32_t)(line ? first << 8 | before >> 24 : first));
            const vi x = vi_load(quads + q * (dot ? 1 : 2) * lane->plane);
            before = first;
            sum = vi_add_words(sum, dot ? low_words(x) : x, vi_even_bytes(ones));
            sum = vi_add_words(sum, dot ? low_words(vi_shift_right(x, 8)) : vi_load(quads + (2 * q + 1) * lane->plane),
                               vi_odd_bytes(ones));
        }
    }
    return sum;
}

static __attribute__((noinline)) void take_zeros(const bool dot, int64_t lines, int64_t outputs, int64_t column,
                                                 const struct lane *lane, vi *sums)
{
    for (int64_t i = 0; i < lines * outputs; i++) {
        const vi seen = sum_seen(dot, lane, i / outputs, lane->quads + (column + i % outputs) * lane->next);
        sums[i] = vi_sub(sums[i], vi_mul(seen, lane->zeros));
    }
}

static __attribute__((noinline)) void store_sums(int64_t lines, int64_t outputs, int64_t column,
                                                 const struct lane *lane, const vi *sums)
{
    for (int64_t i = 0; i < lines * outputs; i++)
        vi_store_part(lane->sums[i / outputs] + (column + i % outputs) * lane->sums_next, sums[i], lane->stored);
}

/* Whatever the requantiser does, and however many channels there are: of outputs that are fewer than four the last one
 * again. */
static __attribute__((noinline)) void store_any_bytes(int64_t lines, int64_t outputs, int64_t column,
                                                      const struct lane *lane, const vi *sums)
{
    for (int64_t l = 0; l < lines; l++) {
        uint8_t parts[AT_ONCE][LANES], *to[AT_ONCE], *ends[AT_ONCE];
        vi rounded[AT_ONCE];
        UNROLL
        for (int j = 0; j < AT_ONCE; j++) {
            int64_t output = least(j, outputs - 1);
            vf x = vf_add(vf_mul(vi_to_floats(sums[l * outputs + output]), lane->factor), lane->addend);
            rounded[j] = requantise_round(lane->requantiser, x, false);
            to[j] = lane->bytes[l] + (column + output) * lane->bytes_next;
            ends[j] = parts[j];
        }
        vi_store_quarters(lane->channels == LANES ? to : ends, requantise_pack(&lane->ends, rounded));
        for (int j = 0; j < AT_ONCE && lane->channels < LANES; j++)
            memcpy(to[j], parts[j], (size_t)lane->channels);
    }
}

INLINE void store_bytes(const int lines, int64_t column, const struct lane *lane, const vi *sums)
{
    UNROLL
    for (int l = 0; l < lines; l++) {
        uint8_t *to[AT_ONCE];
        vi rounded[AT_ONCE];
        UNROLL
        for (int j = 0; j < AT_ONCE; j++) {
            to[j] = lane->bytes[l] + (column + j) * lane->bytes_next;
            rounded[j] = vf_to_nearest(vf_add(vf_mul(vi_to_floats(sums[l * AT_ONCE + j]), lane->factor), lane->addend));
        }
        vi_store_quarters(to, requantise_pack(&lane->ends, rounded));
    }
}

/* lane: a copy of `whole` that no store changes, for all that the compiler knows. */
INLINE void make_outputs(const bool dot, const int lines, const int outputs, const bool three, int64_t column,
                         const struct lane *lane, const struct lane *whole)
{
    vi sums[MOST_LINES * AT_ONCE];
    UNROLL
    for (int i = 0; i < lines * outputs; i++)
        sums[i] = lane->start;
    add_terms(dot, lines, outputs, three, lane, lane->quads + column * lane->next, sums);
    if (outputs == AT_ONCE && lane->plain) {
        store_bytes(lines, column, lane, sums);
        return;
    }
    vi copies[MOST_LINES * AT_ONCE]; /* which have an address, as sums have not */
    UNROLL
    for (int i = 0; i < lines * outputs; i++)
        copies[i] = sums[i];
    if (lane->ones)
        take_zeros(dot, lines, outputs, column, whole, copies);
    if (lane->requantiser)
        store_any_bytes(lines, outputs, column, whole, copies);
    else
        store_sums(lines, outputs, column, whole, copies);
}

/* Some of the last ones are made again where that fills the registers. three: with AT_ONCE columns or more. */
INLINE void sum_lane(const bool dot, const int lines, const bool three, int64_t columns, const struct lane *whole)
{
    const struct lane lane = *whole;
    if (!three && columns < AT_ONCE) {
        for (int64_t j = 0; j < columns; j++)
            make_outputs(dot, lines, 1, three, j, &lane, whole);
        return;
    }
    for (int64_t j = 0; j < columns; j += AT_ONCE)
        make_outputs(dot, lines, AT_ONCE, three, least(j, columns - AT_ONCE), &lane, whole);
}

/* Windows of 3x3 have loops of their own but where outputs are so few that they are made one by one. */
#define WAY(name, dot)                                                                \
    static void name(int64_t lines, int64_t columns, const struct lane *lane)         \
    {                                                                                 \
        bool three = lane->width == 3 && lane->quad_count == 1 && columns >= AT_ONCE; \
        if (three && lines == MOST_LINES)                                             \
            sum_lane(dot, MOST_LINES, true, columns, lane);                           \
        else if (three)                                                               \
            sum_lane(dot, 1, true, columns, lane);                                    \
        else if (lines == MOST_LINES)                                                 \
            sum_lane(dot, MOST_LINES, false, columns, lane);                          \
        else                                                                          \
            sum_lane(dot, 1, false, columns, lane);                                   \
    }
DOT_TARGET WAY(sum_lane_dot, true) WAY(sum_lane_wide, false)

    /* --- chunks -------------------------------------------------------------------------------------------------- */

    static int64_t factor_count(const struct depthwise *d)
{
    return d->width * d->quads * d->parts * d->together * LANES;
}

/* Weights of a vector of channels, for each line of the output that takes the same quads. */
static void make_factors(const struct depthwise *d, const int32_t *weights, int32_t *to)
{
    for (int64_t t = 0; t < d->width; t++) {
        vi before = vi_set(0);
        for (int64_t q = 0; q < d->quads; q++, weights += LANES, to += d->parts * d->together * LANES) {
            const vi first = vi_load(weights);
            const vi second = vi_or(vi_shift_left(first, 8), vi_shift_right(before, 24));
            before = first;
            for (int64_t l = 0; l < d->together; l++) {
                const vi w = l ? second : first;
                vi_store(to + l * LANES, d->dot ? w : vi_even_bytes(w));
                if (!d->dot)
                    vi_store(to + (d->together + l) * LANES, vi_odd_bytes(w));
            }
        }
    }
}

/* What the channels of a chunk begin with, are multiplied and corrected by. */
static void begin_chunk(struct walk *walk, int64_t chunk)
{
    const struct depthwise *d = walk->d;
    const struct conv_params *p = d->params;
    const uint8_t *w_zeros = walk->call->inputs[4];
    const int32_t *bias = walk->call->inputs[2];
    int64_t begin = chunk * d->chunk, end = least(d->channels, begin + d->chunk);
    walk->has_zeros = false;
    for (int64_t channel = begin; channel < end; channel += TILE_COLUMNS) {
        int64_t channels = least(end - channel, TILE_COLUMNS);
        struct i8_columns *columns = &walk->about[(channel - begin) / TILE_COLUMNS];
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
        SET_NAME(i8_begin_columns)(&sums, &about, channels, columns);
        walk->has_zeros = walk->has_zeros || columns->has_zeros;
    }
    int32_t *to = walk->factors;
    for (int64_t c = begin; c < end; c += LANES, to += factor_count(d))
        make_factors(d, walk->packed.weights + c * d->width * d->quads, to);
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* Where the results of each line go, from channel c of the chunk on. */
static void place_results(const struct walk *walk, const struct place *place, int64_t c, struct lane *lane)
{
    const struct depthwise *d = walk->d;
    const struct tile_ends *ends = &walk->target.ends;
    const struct requantiser *q = &walk->target.requantiser;
    for (int64_t l = 0; l < place->lines; l++) {
        int64_t position = (place->line + l) * d->columns + place->column;
        if (lane->requantiser)
            lane->bytes[l] = q->to + position * q->to_step + place->channel + c;
        else if (walk->target.direct)
            lane->sums[l] = (int32_t *)(void *)ends->to + position * ends->to_row + place->channel + c;
        else
            lane->sums[l] =
                walk->sums + (l * sums_width(d) + c / TILE_COLUMNS * TILE_COLUMNS) * d->stretch + c % TILE_COLUMNS;
    }
    lane->bytes_next = q->to_step;
    lane->sums_next = walk->target.direct ? ends->to_row : TILE_COLUMNS;
    lane->stored = walk->target.direct ? lane->channels : LANES;
}

/* All that the vectors of a stretch share. */
static void begin_lane(const struct walk *walk, bool as_bytes, struct lane *lane)
{
    const struct depthwise *d = walk->d;
    const struct window *w = &d->params->window;
    *lane = (struct lane){.ones = walk->has_zeros ? walk->packed.ones : NULL,
                          .next = w->stride[2] * d->chunk,
                          .tap = w->dilation[2] * d->chunk,
                          .plane = d->plane,
                          .width = d->width,
                          .quad_count = d->quads,
                          .together = d->together,
                          .requantiser = as_bytes ? &walk->target.requantiser : NULL};
    if (as_bytes)
        lane->ends = walk->target.requantiser.bytes;
}

static void sum_vector(const struct walk *walk, const struct place *place, int64_t c, struct lane *lane)
{
    const struct depthwise *d = walk->d;
    const struct requantiser *q = lane->requantiser;
    const struct i8_columns *about = &walk->about[c / TILE_COLUMNS];
    lane->quads = walk->quads + c;
    lane->factors = walk->factors + c / LANES * factor_count(d);
    lane->start = vi_load(about->start + c % TILE_COLUMNS);
    lane->zeros = vi_load(about->zeros + c % TILE_COLUMNS);
    lane->channels = least(place->channels - c, LANES);
    place_results(walk, place, c, lane);
    if (q) {
        lane->plain = lane->channels == LANES && !walk->has_zeros && requantise_is_plain(q);
        lane->factor = requantise_operand(q->factors, q->factor_each, place->channel + c, lane->channels, 1);
        lane->addend = requantise_operand(q->addends, q->addend_each, place->channel + c, lane->channels, -0.0F);
    }
    if (d->dot)
        sum_lane_dot(place->lines, place->columns, lane);
    else
        sum_lane_wide(place->lines, place->columns, lane);
}

static void run_stretch(struct walk *walk, const struct place *place)
{
    const struct depthwise *d = walk->d;
    bool as_bytes =
        walk->target.requantises && requantise_is_even(&walk->target.requantiser, d->lines * d->columns, d->channels);
    struct lane lane;
    begin_lane(walk, as_bytes, &lane);
    make_columns(walk, place);
    for (int64_t c = 0; c < place->channels; c += LANES)
        sum_vector(walk, place, c, &lane);
    if (as_bytes || walk->target.direct)
        return;
    for (int64_t l = 0; l < place->lines; l++)
        for (int64_t c = 0; c < place->channels; c += TILE_COLUMNS) {
            const struct results_block block = {(place->line + l) * d->columns + place->column, place->columns,
                                                place->channel + c, least(place->channels - c, TILE_COLUMNS), 1};
            SET_NAME(results_store)
            (&walk->target, &block, (float *)(void *)(walk->sums + (l * sums_width(d) + c) * d->stretch), TILE_COLUMNS,
             walk->epilogue_workspace);
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
    uint8_t *padding = call->workspace, *quads = padding + d->padding_bytes, *factors = quads + d->quad_bytes;
    uint8_t *sums = factors + d->factor_bytes;
    struct walk walk = {.d = d,
                        .call = call,
                        .padding = padding,
                        .quads = (int32_t *)(void *)quads,
                        .factors = (int32_t *)(void *)factors,
                        .sums = (int32_t *)(void *)sums,
                        .epilogue_workspace = sums + d->sums_bytes,
                        .packed = packed_at(d, call->packed[0])};
    memset(padding, zero ? *zero : 0, d->padding_bytes);
    int64_t parts = d->bands * d->stretches, each = d->chunks * parts, first, last, image = -1, chunk = -1;
    task_range(p->batch * each, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i / each != image)
            begin_image(&walk, image = i / each);
        if (i % each / parts != chunk)
            begin_chunk(&walk, chunk = i % each / parts);
        struct place place = {.batch = image,
                              .line = i % parts / d->stretches * d->together,
                              .column = i % d->stretches * d->stretch,
                              .channel = chunk * d->chunk};
        place.lines = least(d->together, d->lines - place.line);
        place.columns = least(d->stretch, d->columns - place.column);
        place.channels = least(d->chunk, d->channels - place.channel);
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
