/* Pooling: maxima and means. Lanes lie along the channels where those lie next to each other in memory, or else along
 * the columns, the last axis of the output; what has neither is gathered so that channels do.
 *
 * A mean is the sum of what a window sees, beginning with 0 and in the order of taps, times the reciprocal of their
 * number. */
#include "kernels/pool.h"

#include "kernels/x86/epilogue.h"
#include "kernels/x86/line.h"
#include "kernels/x86/vector.h"

#include <math.h>

#define CHUNK 128   /* channels that go through a line before the next ones do */
#define GATHERED 32 /* where they are gathered */
#define TILE 8      /* columns that are gathered, or handed to an epilogue, at a time */
#define VECTORS 4   /* of channels at a time */
#define GRAIN 65536 /* elements seen that make a task */

enum order {
    ORDER_CHANNELS, /* lanes along channels */
    ORDER_GATHERED, /* the same, in a copy */
    ORDER_COLUMNS   /* lanes along columns */
};

struct pooling {
    struct epilogue epilogue;
    struct epilogue_form form;
    bool has_form;
    enum order order;
    bool through; /* results go through the workspace */
    int64_t chunk, chunks, lines;
    size_t tile_bytes, gathered_bytes, row_bytes; /* of the workspace, in this order; the program's come last */
};

/* How the taps of one result go through x: counts, and steps from one to the next. */
struct walk {
    int64_t taps[SPATIAL_AXES], steps[SPATIAL_AXES];
};

/* A line of the output, and the channels of a chunk. */
struct place {
    int64_t batch, line, channel, channels;
    struct line_taps taps;
};

/* How many of `count` taps from `start` on lie before `end`. */
static int64_t taps_before(const struct window *w, int axis, int64_t start, int64_t end)
{
    return least(w->kernel[axis], divide_up(end - start, w->dilation[axis]));
}

/* Along an axis, the elements that a mean is taken of, where `seen` of its taps see the input. */
static int64_t counted(const struct pool_params *p, int axis, int64_t start, int64_t seen)
{
    const struct window *w = &p->window;
    return p->count_padding ? taps_before(w, axis, start, w->input[axis] + w->pad_after[axis]) : seen;
}

static float reciprocal(int64_t count)
{
    return (float)(1 / (double)count);
}

/* --- folds ------------------------------------------------------------------------------------------------------- */

/* What has been seen of some vectors. */
struct fold {
    vf value;
    vm nan; /* POOL_MAX: one was among it */
};

INLINE void begin(const enum pool_kind kind, struct fold *fold)
{
    fold->value = vf_set(kind == POOL_MAX ? -INFINITY : 0);
    fold->nan = vm_first(0);
}

INLINE void take(const enum pool_kind kind, struct fold *fold, vf x)
{
    if (kind != POOL_MAX) {
        fold->value = vf_add(fold->value, x);
        return;
    }
    fold->value = vf_max(x, fold->value);
    fold->nan = vm_or(fold->nan, vf_is_nan(x));
}

INLINE vf result(const enum pool_kind kind, const struct fold *fold, vf factor)
{
    return kind == POOL_MAX ? vf_select(fold->nan, vf_set(NAN), fold->value) : vf_mul(fold->value, factor);
}

/* --- lanes along channels ---------------------------------------------------------------------------------------- */

/* Some vectors of channels; of a single one only the first `lanes` count. */
INLINE void pool_vectors(const enum pool_kind kind, const struct walk *walk, const float *x, float factor,
                         const int vectors, int64_t lanes, float *y)
{
    struct fold folds[VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        begin(kind, &folds[v]);
    for (int64_t i = 0; i < walk->taps[0]; i++)
        for (int64_t j = 0; j < walk->taps[1]; j++) {
            const float *from = x + i * walk->steps[0] + j * walk->steps[1];
            for (int64_t k = 0; k < walk->taps[2]; k++, from += walk->steps[2]) {
                UNROLL
                for (int v = 0; v < vectors; v++)
                    take(kind, &folds[v], vectors > 1 ? vf_load(from + v * LANES) : vf_load_part(from, lanes));
            }
        }
    UNROLL
    for (int v = 0; v < vectors; v++) {
        vf y_v = result(kind, &folds[v], vf_set(factor));
        if (vectors > 1)
            vf_store(y + v * LANES, y_v);
        else
            vf_store_part(y, y_v, lanes);
    }
}

INLINE void pool_position(const enum pool_kind kind, const struct walk *walk, const float *x, float factor,
                          int64_t channels, float *y)
{
    int64_t c = 0;
    for (; c + VECTORS * LANES <= channels; c += VECTORS * LANES)
        pool_vectors(kind, walk, x + c, factor, VECTORS, LANES, y + c);
    for (; c < channels; c += LANES)
        pool_vectors(kind, walk, x + c, factor, 1, least(LANES, channels - c), y + c);
}

/* Columns of a line: x counts from position 0 of the last axis, along which it goes `step` at a time. */
static void pool_columns(const struct pool_params *p, const struct place *place, struct walk *walk, const float *x,
                         int64_t step, int64_t column, int64_t columns, float *y, int64_t y_step)
{
    const struct window *w = &p->window;
    int64_t counts =
        counted(p, 0, place->taps.start[0], walk->taps[0]) * counted(p, 1, place->taps.start[1], walk->taps[1]);
    for (int64_t j = 0; j < columns; j++) {
        int64_t start = (column + j) * w->stride[2] - w->pad[2], first;
        find_seen(w, 2, start, &first, &walk->taps[2]);
        const float *from = x + (start + first * w->dilation[2]) * step;
        float factor = reciprocal(counts * counted(p, 2, start, walk->taps[2]));
        if (p->kind == POOL_MAX)
            pool_position(POOL_MAX, walk, from, factor, place->channels, y + j * y_step);
        else
            pool_position(POOL_AVERAGE, walk, from, factor, place->channels, y + j * y_step);
    }
}

static struct walk walk_of(const struct pool_params *p, const struct line_taps *taps)
{
    const struct window *w = &p->window;
    return (struct walk){
        .taps = {taps->count[0], taps->count[1]},
        .steps = {w->dilation[0] * p->x.spatial[0], w->dilation[1] * p->x.spatial[1], w->dilation[2] * p->x.spatial[2]},
    };
}

/* --- lanes along columns ----------------------------------------------------------------------------------------- */

/* What the first tap of `lanes` columns sees of a row and `extra` elements more, in a copy where some of it is padding:
 * which is `nothing`. `at` is where that begins in the row. */
static const float *padded(const float *row, int64_t at, int64_t count, int64_t length, float nothing, float *copy)
{
    if (at >= 0 && at + count <= length)
        return row + at;
    for (int64_t i = 0; i < count; i++)
        copy[i] = at + i >= 0 && at + i < length ? row[at + i] : nothing;
    return copy;
}

INLINE vf pool_lanes(const enum pool_kind kind, const struct window *w, const struct walk *walk, const float *x,
                     int64_t at, int64_t lanes, vf factors, float *copy)
{
    struct fold fold;
    begin(kind, &fold);
    for (int64_t i = 0; i < walk->taps[0]; i++)
        for (int64_t j = 0; j < walk->taps[1]; j++) {
            const float *row =
                padded(x + i * walk->steps[0] + j * walk->steps[1], at, lanes + (w->kernel[2] - 1) * w->dilation[2],
                       w->input[2], kind == POOL_MAX ? -INFINITY : 0, copy);
            for (int64_t k = 0; k < w->kernel[2]; k++)
                take(kind, &fold, vf_load_part(row + k * w->dilation[2], lanes));
        }
    return result(kind, &fold, factors);
}

/* What the sums of neighbouring columns are multiplied with, of which the first tap of the first looks at `at`;
 * `inner`: they all see as much. */
static vf column_factors(const struct pool_params *p, int64_t counts, int64_t at, int64_t lanes, bool inner)
{
    const struct window *w = &p->window;
    if (inner)
        return vf_set(reciprocal(counts * w->kernel[2]));
    float factors[LANES] = {0};
    for (int64_t i = 0; i < lanes; i++) {
        int64_t first, seen;
        find_seen(w, 2, at + i, &first, &seen);
        factors[i] = reciprocal(counts * counted(p, 2, at + i, seen));
    }
    return vf_load(factors);
}

/* One channel of a line; x: of the channel, at position 0 of the last axis. */
static void pool_row(const struct pool_params *p, const struct place *place, const struct walk *walk, const float *x,
                     int64_t column, int64_t columns, float *y, float *copy)
{
    const struct window *w = &p->window;
    int64_t counts =
        counted(p, 0, place->taps.start[0], walk->taps[0]) * counted(p, 1, place->taps.start[1], walk->taps[1]);
    int64_t more = (w->kernel[2] - 1) * w->dilation[2], end = w->input[2] + (p->count_padding ? w->pad_after[2] : 0);
    for (int64_t j = 0; j < columns; j += LANES) {
        int64_t lanes = least(LANES, columns - j), at = column + j - w->pad[2];
        if (p->kind == POOL_MAX) {
            vf_store_part(y + j, pool_lanes(POOL_MAX, w, walk, x, at, lanes, vf_set(1), copy), lanes);
            continue;
        }
        vf factors = column_factors(p, counts, at, lanes, (at >= 0 || p->count_padding) && at + lanes + more <= end);
        vf_store_part(y + j, pool_lanes(POOL_AVERAGE, w, walk, x, at, lanes, factors, copy), lanes);
    }
}

/* --- one line ---------------------------------------------------------------------------------------------------- */

static void finish_tile(const struct pooling *d, const struct pool_params *p, const struct kernel_call *call,
                        const struct place *place, int64_t column, int64_t columns, float *y)
{
    const float *tile = call->workspace;
    bool down = d->order != ORDER_COLUMNS;
    if (!p->epilogue) {
        unstage(tile, d->chunk, place->channels, columns, y, p->y.channel, p->y.spatial[2]);
        return;
    }
    struct epilogue_tile results = {
        .results = tile,
        .row_stride = 1,
        .column_stride = down ? d->chunk : 1,
        .batch = place->batch,
        .row = place->channel,
        .rows = place->channels,
        .column = place->line * p->window.output[2] + column,
        .columns = columns,
        .down = down,
    };
    SET_NAME(epilogue_store)
    (&d->epilogue, d->has_form ? &d->form : NULL, call, &results,
     (char *)call->workspace + d->tile_bytes + d->gathered_bytes + d->row_bytes);
}

/* Some columns, of whose first y is. */
static void pool_tile(const struct pooling *d, const struct pool_params *p, const struct kernel_call *call,
                      const struct place *place, const float *x, int64_t column, int64_t columns, float *y)
{
    float *tile = call->workspace, *gathered = (float *)((char *)call->workspace + d->tile_bytes);
    struct walk walk = walk_of(p, &place->taps);
    const struct window *w = &p->window;
    float *to = d->through ? tile : y;
    int64_t step = p->x.spatial[2], y_step = d->through ? d->chunk : p->y.spatial[2];
    x += place->batch * p->x.batch;
    const float *line = x + line_offset(w, &place->taps, p->x.spatial) + place->channel * p->x.channel;
    if (d->order == ORDER_COLUMNS) {
        pool_row(p, place, &walk, line, column, columns, to, gathered);
    } else if (d->order == ORDER_CHANNELS) {
        pool_columns(p, place, &walk, line, step, column, columns, to, y_step);
    } else {
        struct line_piece piece = seen_by_columns(w, column, columns);
        stage_line(w, &p->x, &place->taps, piece, x, place->channel, place->channels, 1, d->chunk, gathered);
        walk.steps[2] = w->dilation[2] * d->chunk;
        walk.steps[1] = piece.count * d->chunk;
        walk.steps[0] = walk.taps[1] * walk.steps[1];
        pool_columns(p, place, &walk, gathered - piece.from * d->chunk, d->chunk, column, columns, to, y_step);
    }
    if (d->through)
        finish_tile(d, p, call, place, column, columns, y);
}

static void pool_line(const struct pooling *d, const struct pool_params *p, const struct kernel_call *call,
                      const struct place *place)
{
    const struct window *w = &p->window;
    int64_t columns = w->output[2], each = d->through || d->order == ORDER_GATHERED ? TILE : columns;
    int64_t offset = place->batch * p->y.batch + place->channel * p->y.channel +
                     place->line / w->output[1] * p->y.spatial[0] + place->line % w->output[1] * p->y.spatial[1];
    if (d->order == ORDER_COLUMNS && d->through)
        each = TILE * LANES;
    for (int64_t column = 0; column < columns; column += each)
        pool_tile(d, p, call, place, call->inputs[0], column, least(each, columns - column),
                  (float *)call->outputs[0] + offset + column * p->y.spatial[2]);
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

static enum order choose_order(const struct pool_params *p)
{
    const struct window *w = &p->window;
    if (p->x.channel == 1 && p->channels > 1)
        return ORDER_CHANNELS;
    if (p->x.spatial[2] == 1 && w->stride[2] == 1 && (p->epilogue || p->y.spatial[2] == 1))
        return ORDER_COLUMNS;
    return p->channels == 1 ? ORDER_CHANNELS : ORDER_GATHERED;
}

COLD bool pool_supports(const void *params)
{
    const struct pool_params *p = params;
    return p->dtype == DTYPE_F32 && p->kind != POOL_LP && !p->indices;
}

COLD bool pool_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                    struct kernel_plan *plan)
{
    const struct pool_params *p = params;
    const struct window *w = &p->window;
    struct pooling *d = region_allocate(region, sizeof *d);
    (void)facts;
    if (!d)
        return false;
    d->epilogue = pool_epilogue(p);
    d->has_form = p->epilogue && epilogue_recognise(&d->epilogue, &d->form);
    d->order = choose_order(p);
    d->through = p->epilogue || (d->order != ORDER_COLUMNS && p->y.channel != 1 && p->channels > 1);
    d->lines = w->output[0] * w->output[1];
    d->chunk = d->order == ORDER_COLUMNS ? 1 : least(d->order == ORDER_GATHERED ? GATHERED : CHUNK, p->channels);
    d->chunks = divide_up(p->channels, d->chunk);
    if (d->through)
        d->tile_bytes =
            align_up((size_t)(TILE * (d->order == ORDER_COLUMNS ? LANES : d->chunk)) * sizeof(float), ALIGNMENT);
    if (d->order == ORDER_GATHERED)
        d->gathered_bytes = align_up(staged_floats(w, TILE, d->chunk) * sizeof(float), ALIGNMENT);
    if (d->order == ORDER_COLUMNS)
        d->row_bytes = align_up((size_t)(LANES + (w->kernel[2] - 1) * w->dilation[2]) * sizeof(float), ALIGNMENT);
    int64_t work = w->output[2] * w->kernel[0] * w->kernel[1] * w->kernel[2] * d->chunk;
    plan->state = d;
    plan->phases = 1;
    plan->tasks[0] = task_count(p->batch * d->chunks * d->lines, 1 + GRAIN / (1 + work));
    plan->task_bytes = d->tile_bytes + d->gathered_bytes + d->row_bytes;
    if (p->epilogue)
        plan->task_bytes += SET_NAME(epilogue_store_bytes)(&d->epilogue, d->has_form ? &d->form : NULL);
    return true;
}

static void pool_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct pool_params *p = plan->params;
    const struct pooling *d = plan->state;
    int64_t first, last;
    task_range(p->batch * d->chunks * d->lines, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t line = i % d->lines, channel = i / d->lines % d->chunks * d->chunk;
        struct place place = {.batch = i / d->lines / d->chunks,
                              .line = line,
                              .channel = channel,
                              .channels = least(d->chunk, p->channels - channel),
                              .taps = line_taps_at(&p->window, line)};
        pool_line(d, p, call, &place);
    }
}

const struct kernel SET_NAME(pool_f32) = {
    .name = SET_TEXT(pool_f32),
    .family = FAMILY_pool,
    .requires = SET_REQUIRES,
    .channels_last = true,
    .supports = pool_supports,
    .plan = pool_plan,
    .run = pool_run,
};
