/* Maxima of bytes, with lanes along the channels where these lie next to each other in memory: four to a lane.
 * Elsewhere one after the other, so that the layout may be chosen in which they do. */
#include "kernels/pool.h"

#include "kernels/x86/epilogue.h"
#include "kernels/x86/line.h"
#include "kernels/x86/vector.h"

#include <string.h>

#define WIDTH (4 * LANES) /* channels of a vector */
#define TILE 8            /* columns that are handed to an epilogue at a time */
#define GRAIN 262144      /* bytes seen that make a task */

struct pooling {
    struct epilogue epilogue;
    size_t tile_bytes;
    int64_t lines;
};

/* The taps that one result sees: counts, and steps from one to the next. */
struct walk {
    int64_t taps[SPATIAL_AXES], steps[SPATIAL_AXES];
    vi turns; /* what makes the bytes unsigned */
};

INLINE vi load_bytes(const uint8_t *from, int64_t count, const bool full)
{
    uint8_t bytes[WIDTH] = {0};
    if (full)
        return vi_load((const void *)from);
    memcpy(bytes, from, (size_t)count);
    return vi_load((const void *)bytes);
}

/* Of so many channels, or of a whole vector. Each has a loop of its own, since vectors do not outlive calls of memcpy
 * in registers. */
INLINE vi most_of(const struct walk *walk, const uint8_t *x, int64_t count, const bool full)
{
    const vi turns = walk->turns;
    vi most = vi_set(0);
    for (int64_t i = 0; i < walk->taps[0]; i++)
        for (int64_t j = 0; j < walk->taps[1]; j++) {
            const uint8_t *from = x + i * walk->steps[0] + j * walk->steps[1];
            for (int64_t k = 0; k < walk->taps[2]; k++, from += walk->steps[2])
                most = vi_max_bytes(most, vi_xor(load_bytes(from, count, full), turns));
        }
    return vi_xor(most, turns);
}

static void pool_position(const struct walk *walk, const uint8_t *x, int64_t channels, uint8_t *y)
{
    uint8_t bytes[WIDTH];
    int64_t c = 0;
    for (; c + WIDTH <= channels; c += WIDTH)
        vi_store((void *)(y + c), most_of(walk, x + c, WIDTH, true));
    if (c == channels)
        return;
    vi_store((void *)bytes, most_of(walk, x + c, channels - c, false));
    memcpy(y + c, bytes, (size_t)(channels - c));
}

static void pool_channels(const struct pool_params *p, const struct walk *walk, const uint8_t *x, uint8_t *y,
                          int64_t y_channel)
{
    const uint8_t turn = p->dtype == DTYPE_I8 ? 0x80 : 0;
    for (int64_t c = 0; c < p->channels; c++) {
        uint8_t most = 0;
        for (int64_t i = 0; i < walk->taps[0] * walk->taps[1]; i++) {
            const uint8_t *from = x + i / walk->taps[1] * walk->steps[0] + i % walk->taps[1] * walk->steps[1];
            for (int64_t k = 0; k < walk->taps[2]; k++) {
                uint8_t byte = from[k * walk->steps[2] + c * p->x.channel] ^ turn;
                most = byte > most ? byte : most;
            }
        }
        y[c * y_channel] = most ^ turn;
    }
}

/* Columns of a line; x: at position 0 of the last axis. */
static void pool_columns(const struct pool_params *p, struct walk *walk, const uint8_t *x, int64_t column,
                         int64_t columns, uint8_t *y, int64_t y_step)
{
    const struct window *w = &p->window;
    int64_t y_channel = p->epilogue ? 1 : p->y.channel;
    for (int64_t j = 0; j < columns; j++) {
        int64_t start = (column + j) * w->stride[2] - w->pad[2], first;
        find_seen(w, 2, start, &first, &walk->taps[2]);
        const uint8_t *from = x + (start + first * w->dilation[2]) * p->x.spatial[2];
        if (p->x.channel == 1 && y_channel == 1)
            pool_position(walk, from, p->channels, y + j * y_step);
        else
            pool_channels(p, walk, from, y + j * y_step, y_channel);
    }
}

static void pool_line(const struct pooling *d, const struct pool_params *p, const struct kernel_call *call,
                      int64_t batch, int64_t line)
{
    const struct window *w = &p->window;
    const struct line_taps taps = line_taps_at(w, line);
    struct walk walk = {
        .taps = {taps.count[0], taps.count[1]},
        .steps = {w->dilation[0] * p->x.spatial[0], w->dilation[1] * p->x.spatial[1], w->dilation[2] * p->x.spatial[2]},
        .turns = vi_set((int32_t)(p->dtype == DTYPE_I8 ? 0x80808080u : 0))};
    const uint8_t *x = (const uint8_t *)call->inputs[0] + batch * p->x.batch + line_offset(w, &taps, p->x.spatial);
    if (!p->epilogue) {
        uint8_t *y = (uint8_t *)call->outputs[0] + batch * p->y.batch + line / w->output[1] * p->y.spatial[0] +
                     line % w->output[1] * p->y.spatial[1];
        pool_columns(p, &walk, x, 0, w->output[2], y, p->y.spatial[2]);
        return;
    }
    for (int64_t column = 0; column < w->output[2]; column += TILE) {
        struct epilogue_tile tile = {.results = call->workspace,
                                     .row_stride = 1,
                                     .column_stride = p->channels,
                                     .batch = batch,
                                     .rows = p->channels,
                                     .column = line * w->output[2] + column,
                                     .columns = least(TILE, w->output[2] - column),
                                     .down = true};
        pool_columns(p, &walk, x, column, tile.columns, call->workspace, p->channels);
        SET_NAME(epilogue_store)
        (&d->epilogue, NULL, call, &tile, (char *)call->workspace + d->tile_bytes);
    }
}

COLD bool pool_supports(const void *params)
{
    const struct pool_params *p = params;
    return (p->dtype == DTYPE_U8 || p->dtype == DTYPE_I8) && p->kind == POOL_MAX && !p->indices;
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
    d->lines = w->output[0] * w->output[1];
    int64_t work = w->output[2] * w->kernel[0] * w->kernel[1] * w->kernel[2] * p->channels;
    plan->state = d;
    plan->phases = 1;
    plan->tasks[0] = task_count(p->batch * d->lines, 1 + GRAIN / (1 + work));
    if (p->epilogue) {
        d->tile_bytes = align_up((size_t)(TILE * p->channels), ALIGNMENT);
        plan->task_bytes = d->tile_bytes + SET_NAME(epilogue_store_bytes)(&d->epilogue, NULL);
    }
    return true;
}

static void pool_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct pool_params *p = plan->params;
    const struct pooling *d = plan->state;
    int64_t first, last;
    task_range(p->batch * d->lines, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++)
        pool_line(d, p, call, i / d->lines, i % d->lines);
}

const struct kernel SET_NAME(pool_bytes) = {
    .name = SET_TEXT(pool_bytes),
    .family = FAMILY_pool,
    .requires = SET_REQUIRES,
    .channels_last = true,
    .supports = pool_supports,
    .plan = pool_plan,
    .run = pool_run,
};
