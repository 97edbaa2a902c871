#include "kernels/x86/depthwise.h"

#include "kernels/walk.h"
#include "kernels/x86/vector_math.h"

#define VECTORS 2   /* of channels at a time */
#define MOST_NEAR 5 /* taps along a line of sum_near */

static const float zeros[VECTORS * LANES]; /* what taps see in the padding at the ends of a line */

typedef vf sums[COLUMNS][VECTORS];

/* Sums to results. */
INLINE void finish(const struct target *to, const int vectors, sums s)
{
    if (to->store == STORE_CLAMPED) {
        UNROLL
        for (int i = 0; i < COLUMNS * vectors; i++) /* a NaN stays */
            s[i / vectors][i % vectors] = vf_min(to->most, vf_max(to->least, s[i / vectors][i % vectors]));
    } else if (to->store == STORE_HARD_SWISH) {
        UNROLL
        for (int i = 0; i < COLUMNS * vectors; i++)
            s[i / vectors][i % vectors] = vf_hard_swish(s[i / vectors][i % vectors]);
        if (!to->scaled)
            return;
        UNROLL
        for (int i = 0; i < COLUMNS * vectors; i++)
            s[i / vectors][i % vectors] = vf_add(vf_mul(s[i / vectors][i % vectors], to->factor), to->shift);
    }
}

/* Of a single vector only the first `lanes` count. */
INLINE void store(const struct target *to, int64_t columns, const int vectors, const bool part, int64_t lanes, sums s)
{
    finish(to, vectors, s);
    float *y = to->y;
    const int64_t step = to->column; /* which a store of a vector might change, for all that the compiler knows */
    UNROLL
    for (int j = 0; j < COLUMNS; j++, y += step) {
        if (j >= columns)
            break;
        UNROLL
        for (int v = 0; v < vectors; v++) {
            if (part)
                vf_store_part(y + v * LANES, s[j][v], lanes);
            else
                vf_store(y + v * LANES, s[j][v]);
        }
    }
}

/* The sums of some vectors of channels at the columns of a tile, whatever the window. Of a single vector only the first
 * `lanes` count. whole: every tap sees the input in every column. */
INLINE void sum_tile(const struct walk *walk, const struct tile *tile, const float *weights, const float *bias,
                     const bool whole, const int vectors, int64_t lanes, const struct target *to)
{
    const bool part = vectors == 1;
    sums s;
    UNROLL
    for (int v = 0; v < vectors; v++) {
        vf first = !bias ? vf_set(0) : part ? vf_load_part(bias, lanes) : vf_load(bias + v * LANES);
        UNROLL
        for (int j = 0; j < COLUMNS; j++)
            s[j][v] = first;
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
                        s[j][v] = vf_fma(x, factor[v], s[j][v]);
                    }
                }
            }
        }
    store(to, whole ? COLUMNS : tile->columns, vectors, part, lanes, s);
}

/* Where to look at a position near an end of a tile: base + (offset & mask) is in x, or where zeros are. Without a
 * branch sums stay in registers. */
struct near_end {
    const float *base;
    int64_t mask;
};

/* Those of the first taps - 1 positions of a tile, and of as many after the one that the last column's first tap sees.
 */
static void find_near_ends(const struct tile *tile, int taps, int stride, struct near_end *ends)
{
    for (int i = 0; i < 2 * (taps - 1); i++) {
        int64_t position = i < taps - 1 ? i : (COLUMNS - 1) * stride + 1 + i - (taps - 1);
        bool seen = position >= tile->first && position < tile->last;
        ends[i] = seen ? (struct near_end){tile->x, -1} : (struct near_end){zeros, 0};
    }
}

/* One vector of channels at the columns of a tile, where the window is small and known: an element of x is loaded once
 * and goes into the sums of all columns that see it. The order of the taps of a sum is the same. ends: NULL where every
 * tap sees the input in every column; the last tap of the first one and the first tap of the last one always do. */
INLINE void sum_near(const struct walk *walk, const struct tile *tile, const float *weights, const float *bias,
                     const struct near_end *ends, const int taps, const int stride, const struct target *to)
{
    const int last_taps = (COLUMNS - 1) * stride;
    sums s;
    vf first = bias ? vf_load(bias) : vf_set(0);
    UNROLL
    for (int j = 0; j < COLUMNS; j++)
        s[j][0] = first;
    for (int64_t plane = 0; plane < walk->taps[0]; plane++)
        for (int64_t line = 0; line < walk->taps[1]; line++) {
            int64_t from = tile->at + plane * walk->x[0] + line * walk->x[1];
            const float *w = weights + plane * walk->weights[0] + line * walk->weights[1];
            vf factor[MOST_NEAR];
            UNROLL
            for (int tap = 0; tap < taps; tap++)
                factor[tap] = vf_load(w + tap * WIDE);
            UNROLL
            for (int k = 0; k < last_taps + taps; k++, from += walk->x[2]) {
                const float *value = tile->x + from;
                if (ends && k < taps - 1)
                    value = ends[k].base + (from & ends[k].mask);
                if (ends && k > last_taps)
                    value = ends[k - last_taps + taps - 2].base + (from & ends[k - last_taps + taps - 2].mask);
                vf x = vf_load(value);
                UNROLL
                for (int tap = 0; tap < taps; tap++)
                    if (k >= tap && (k - tap) % stride == 0 && (k - tap) / stride < COLUMNS)
                        s[(k - tap) / stride][0] = vf_fma(x, factor[tap], s[(k - tap) / stride][0]);
            }
        }
    store(to, COLUMNS, 1, false, LANES, s);
}

/* The whole vectors of channels of a chunk, by sum_near; returns how many channels that are. */
INLINE int64_t sum_near_chunk(const struct walk *walk, const struct chunk *chunk, struct tile tile, const bool whole,
                              const int taps, const int stride, struct target to)
{
    struct near_end ends[2 * (MOST_NEAR - 1)];
    int64_t c = 0;
    if (!whole)
        find_near_ends(&tile, taps, stride, ends);
    for (; c + LANES <= chunk->channels; c += LANES, tile.at += LANES, to.y += LANES)
        sum_near(walk, &tile, chunk->weights + c / WIDE * chunk->taps * WIDE + c % WIDE,
                 chunk->bias ? chunk->bias + c : NULL, whole ? NULL : ends, taps, stride, &to);
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

static void store_constant(const struct target *to, int64_t columns, int64_t channels)
{
    for (int64_t j = 0; j < columns; j++)
        for (int64_t c = 0; c < channels; c += LANES)
            vf_store_part(to->y + j * to->column + c, to->least, least(channels - c, LANES));
}

void SET_NAME(depthwise_sum)(const struct walk *walk, const struct chunk *chunk, const struct tile *tile,
                             enum near near, const struct target *to)
{
    static const uint8_t taps[] = {[NEAR_3] = 3, [NEAR_3_BY_2] = 3, [NEAR_5] = 5, [NEAR_5_BY_2] = 5};
    static const uint8_t strides[] = {[NEAR_3] = 1, [NEAR_3_BY_2] = 2, [NEAR_5] = 1, [NEAR_5_BY_2] = 2};
    bool reaches = tile->columns == COLUMNS && tile->first < taps[near] && tile->last > (COLUMNS - 1) * strides[near];
    if (to->store == STORE_CONSTANT)
        store_constant(to, tile->seen ? tile->columns : COLUMNS, chunk->channels);
    else if (!tile->seen)
        sum_chunk(walk, chunk, tile, true, near, to);
    else
        sum_chunk(walk, chunk, tile, false, reaches ? near : NOT_NEAR, to);
}
