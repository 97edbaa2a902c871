#include "kernels/x86/depthwise.h"

#include "kernels/walk.h"

#define VECTORS 2   /* of channels at a time */
#define MOST_NEAR 5 /* taps along a line of sum_near */

static const float zeros[VECTORS * LANES]; /* what taps see in the padding at the ends of a line */

static inline vf finished(vf x, const struct target *to)
{
    if (to->store == STORE_CLAMPED)
        return vf_min(to->most, vf_max(to->least, x)); /* a NaN stays */
    if (to->store != STORE_HARD_SWISH)
        return to->store == STORE_CONSTANT ? to->least : x;
    vf gate = vf_fma(x, vf_set(1.0f / 6), vf_set(0.5f));
    return vf_mul(x, vf_max(vf_set(0), vf_min(vf_set(1), gate)));
}

INLINE void store_sums(const struct target *to, int64_t column, const vf *sums, const int vectors, bool part,
                       int64_t lanes)
{
    float *y = to->y + column * to->column;
    UNROLL
    for (int v = 0; v < vectors; v++) {
        if (part)
            vf_store_part(y + v * LANES, finished(sums[v], to), lanes);
        else
            vf_store(y + v * LANES, finished(sums[v], to));
    }
}

/* The sums of some vectors of channels at the columns of a tile, whatever the window. Of a single vector only the first
 * `lanes` count. whole: every tap sees the input in every column. */
INLINE void sum_tile(const struct walk *walk, const struct tile *tile, const float *weights, const float *bias,
                     const bool whole, const int vectors, int64_t lanes, const struct target *to)
{
    const bool part = vectors == 1;
    vf sums[COLUMNS][VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        vf first = !bias ? vf_set(0) : part ? vf_load_part(bias, lanes) : vf_load(bias + v * LANES);
        UNROLL
        for (int j = 0; j < COLUMNS; j++)
            sums[j][v] = first;
    }
    for (int64_t plane = 0; plane < walk->taps[0]; plane++)
        for (int64_t line = 0; line < walk->taps[1]; line++) {
            int64_t from = tile->at + plane * walk->x[0] + line * walk->x[1];
            const float *w = weights + plane * walk->weights[0] + line * walk->weights[1];
            for (int64_t tap = 0; tap < walk->taps[2]; tap++, from += walk->x[2], w += WIDE) {
                vf factor[VECTORS];
                UNROLL
                for (int v = 0; v < vectors; v++)
                    factor[v] = vf_load(w + v * walk->vector);
                UNROLL
                for (int j = 0; j < COLUMNS; j++) {
                    bool seen = whole || (tile->seen[tap] >> j & 1);
                    const float *value = seen ? tile->x + (from + j * walk->column) : zeros;
                    UNROLL
                    for (int v = 0; v < vectors; v++) {
                        vf x = part ? vf_load_part(value, lanes) : vf_load(value + v * LANES);
                        sums[j][v] = vf_fma(x, factor[v], sums[j][v]);
                    }
                }
            }
        }
    UNROLL
    for (int j = 0; j < COLUMNS; j++)
        if (whole || j < tile->columns)
            store_sums(to, j, sums[j], vectors, part, lanes);
}

/* One vector of channels at the columns of a tile, where the window is small and known: an element of x is loaded once
 * and goes into the sums of all columns that see it. The order of the taps of a sum is the same. */
INLINE void sum_near(const struct walk *walk, const struct tile *tile, const float *weights, const float *bias,
                     const bool whole, const int taps, const int stride, const struct target *to)
{
    vf sums[COLUMNS], first = bias ? vf_load(bias) : vf_set(0);
    UNROLL
    for (int j = 0; j < COLUMNS; j++)
        sums[j] = first;
    for (int64_t plane = 0; plane < walk->taps[0]; plane++)
        for (int64_t line = 0; line < walk->taps[1]; line++) {
            int64_t from = tile->at + plane * walk->x[0] + line * walk->x[1];
            const float *w = weights + plane * walk->weights[0] + line * walk->weights[1];
            vf factor[MOST_NEAR];
            UNROLL
            for (int tap = 0; tap < taps; tap++)
                factor[tap] = vf_load(w + tap * WIDE);
            UNROLL
            for (int k = 0; k < (COLUMNS - 1) * stride + taps; k++) {
                bool seen = whole || (k >= tile->first && k < tile->last);
                vf x = vf_load(seen ? tile->x + (from + k * walk->x[2]) : zeros);
                UNROLL
                for (int tap = 0; tap < taps; tap++)
                    if (k >= tap && (k - tap) % stride == 0 && (k - tap) / stride < COLUMNS)
                        sums[(k - tap) / stride] = vf_fma(x, factor[tap], sums[(k - tap) / stride]);
            }
        }
    UNROLL
    for (int j = 0; j < COLUMNS; j++)
        if (whole || j < tile->columns)
            store_sums(to, j, &sums[j], 1, false, LANES);
}

/* The whole vectors of channels of a chunk, by sum_near; returns how many channels that are. */
INLINE int64_t sum_near_chunk(const struct walk *walk, const struct chunk *chunk, struct tile tile, const bool whole,
                              const int taps, const int stride, struct target to)
{
    int64_t c = 0;
    for (; c + LANES <= chunk->channels; c += LANES, tile.at += LANES, to.y += LANES)
        sum_near(walk, &tile, chunk->weights + c / WIDE * chunk->taps * WIDE + c % WIDE,
                 chunk->bias ? chunk->bias + c : NULL, whole, taps, stride, &to);
    return c;
}

/* The same by sum_tile, from a channel on; all that are left. */
INLINE void sum_far_chunk(const struct walk *walk, const struct chunk *chunk, struct tile tile, const bool whole,
                          int64_t channel, struct target to)
{
    int64_t each;
    tile.at += channel;
    to.y += channel;
    for (int64_t c = channel; c < chunk->channels; c += each, tile.at += each, to.y += each) {
        const float *w = chunk->weights + c / WIDE * chunk->taps * WIDE + c % WIDE;
        const float *bias = chunk->bias ? chunk->bias + c : NULL;
        bool all = chunk->channels - c >= VECTORS * LANES && c % (VECTORS * LANES) == 0;
        each = all ? VECTORS * LANES : least(chunk->channels - c, LANES);
        if (all)
            sum_tile(walk, &tile, w, bias, whole, VECTORS, LANES, &to);
        else
            sum_tile(walk, &tile, w, bias, whole, 1, each, &to);
    }
}

INLINE void sum_chunk(const struct walk *walk, const struct chunk *chunk, const struct tile *tile, const bool whole,
                      enum near near, const struct target *to)
{
    int64_t done = 0;
    switch (near) {
    case NEAR_3:
        done = sum_near_chunk(walk, chunk, *tile, whole, 3, 1, *to);
        break;
    case NEAR_3_BY_2:
        done = sum_near_chunk(walk, chunk, *tile, whole, 3, 2, *to);
        break;
    case NEAR_5:
        done = sum_near_chunk(walk, chunk, *tile, whole, 5, 1, *to);
        break;
    case NEAR_5_BY_2:
        done = sum_near_chunk(walk, chunk, *tile, whole, 5, 2, *to);
        break;
    case NOT_NEAR:
        break;
    }
    sum_far_chunk(walk, chunk, *tile, whole, done, *to);
}

void SET_NAME(depthwise_sum)(const struct walk *walk, const struct chunk *chunk, const struct tile *tile,
                             enum near near, const struct target *to)
{
    if (tile->seen)
        sum_chunk(walk, chunk, tile, false, near, to);
    else
        sum_chunk(walk, chunk, tile, true, near, to);
}
