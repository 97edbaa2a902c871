#include "kernels/x86/winograd_weights.h"

#include "kernels/x86/tile.h"
#include "kernels/x86/transpose.h"

#include <string.h>

#define TAPS 3
#define PATCH 6
#define POINTS (PATCH * PATCH)
#define AT_ONCE 4 /* channels, which the first-level cache has room for */

#define STREAMED (1 << 15) /* filters whose points, 4.5 MB, drive all else out of the caches */

/* A register of doubles, and as many floats. */
#define HALF (LANES / 2)
typedef double vd __attribute__((vector_size(HALF * sizeof(double))));
typedef float vh __attribute__((vector_size(HALF * sizeof(float))));

/* Three weights, `step` apart, to the six points. */
INLINE void transform(const vd *from, int step, vd *to, int to_step)
{
    vd a = from[0], b = from[step], c = from[2 * step];
    vd near_even = (a + c / 2) * (-2.0 / 3), near_odd = b * (-2.0 / 3 * ROOT_HALF);
    vd far_even = (a + 2 * c) / 6, far_odd = b * (ROOT_TWO / 6);
    to[0] = a;
    to[to_step] = near_even + near_odd;
    to[2 * to_step] = near_even - near_odd;
    to[3 * to_step] = far_even + far_odd;
    to[4 * to_step] = far_even - far_odd;
    to[5 * to_step] = c;
}

/* HALF columns of one input channel, whose nine lines of weights lie one after the other. */
INLINE void transform_columns(const float *weights, float *to)
{
    vd taps[TAPS * TAPS], half[PATCH * TAPS];
    UNROLL
    for (int i = 0; i < TAPS * TAPS; i++) {
        vh tap;
        memcpy(&tap, weights + i * TILE_COLUMNS, sizeof tap);
        taps[i] = __builtin_convertvector(tap, vd);
    }
    UNROLL
    for (int i = 0; i < TAPS; i++)
        transform(taps + i, TAPS, half + i, TAPS);
    UNROLL
    for (int i = 0; i < PATCH; i++) {
        vd whole[PATCH];
        transform(half + i * TAPS, 1, whole, 1);
        UNROLL
        for (int j = 0; j < PATCH; j++) {
            vh result = __builtin_convertvector(whole[j], vh);
            memcpy(to + (i * PATCH + j) * AT_ONCE * TILE_COLUMNS, &result, sizeof result);
        }
    }
}

static bool is_contiguous(const struct conv_params *p)
{
    return p->weight_spatial[2] == 1 && p->weight_spatial[1] == TAPS && p->weight_input == TAPS * TAPS;
}

/* Weights of `channels` channels, by channel and tap. */
static void gather(const struct conv_params *p, const float *weights, int64_t channels, int64_t columns, float *to)
{
    if (is_contiguous(p)) {
        SET_NAME(transpose)
        (sizeof *weights, weights, p->weight_output * (int64_t)sizeof *weights, to, TILE_COLUMNS * (int64_t)sizeof *to,
         columns, channels * TAPS * TAPS);
        return;
    }
    for (int64_t i = 0; i < channels * TAPS * TAPS; i++) {
        const float *from = weights + i / (TAPS * TAPS) * p->weight_input + i / TAPS % TAPS * p->weight_spatial[1] +
                            i % TAPS * p->weight_spatial[2];
        for (int64_t j = 0; j < columns; j++)
            to[i * TILE_COLUMNS + j] = from[j * p->weight_output];
    }
}

/* The 36 planes begin at the same sets of a cache: each is written a few lines at a time. */
static void copy(const float *from, int64_t count, float *to, bool stream)
{
    if (stream)
        for (int64_t i = 0; i < count; i += LANES)
            vf_stream(to + i, vf_load(from + i));
    else
        for (int64_t i = 0; i < count; i += LANES)
            vf_store(to + i, vf_load(from + i));
}

void SET_NAME(winograd_pack_panel)(const struct conv_params *p, const float *weights, int64_t columns, float *to)
{
    float taps[AT_ONCE * TAPS * TAPS * TILE_COLUMNS], made[POINTS * AT_ONCE * TILE_COLUMNS];
    int64_t channels = p->input_channels;
    bool stream = p->output_channels * channels > STREAMED;
    if (columns < TILE_COLUMNS)
        memset(taps, 0, sizeof taps);
    for (int64_t first = 0; first < channels; first += AT_ONCE) {
        int64_t count = channels - first < AT_ONCE ? channels - first : AT_ONCE;
        gather(p, weights + first * p->weight_input, count, columns, taps);
        for (int64_t channel = 0; channel < count; channel++)
            for (int64_t column = 0; column < TILE_COLUMNS; column += HALF)
                transform_columns(taps + channel * TAPS * TAPS * TILE_COLUMNS + column,
                                  made + channel * TILE_COLUMNS + column);
        for (int64_t point = 0; point < POINTS; point++)
            copy(made + point * AT_ONCE * TILE_COLUMNS, count * TILE_COLUMNS,
                 to + (point * channels + first) * TILE_COLUMNS, stream);
    }
    if (stream)
        stream_end();
}
