#include "kernels/x86/winograd_weights.h"

#include "kernels/x86/tile.h"
#include "kernels/x86/transpose.h"

#include <math.h>
#include <string.h>

#define TAPS 3
#define PATCH 6
#define POINTS (PATCH * PATCH)
#define AT_ONCE 8        /* channels: rows of 72 weights, which turn over in whole squares */
#define PACKED_AT_ONCE 4 /* of which the first-level cache has room for all points */
/* Output channels that are turned over at once: rows 2048 bytes apart have room side by side in the first-level cache.
 */
#define ROWS 16

#define STREAMED (1 << 15) /* filters whose points, 4.5 MB, drive all else out of the caches */

/* A register of doubles, made of as many floats. */
#define HALF (LANES / 2)
#if KERNEL_SET == SET_AVX512
typedef __m512d vd;
INLINE vd vd_load(const float *from)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(from));
}
INLINE void vd_store(float *to, vd x)
{
    _mm256_storeu_ps(to, _mm512_cvtpd_ps(x));
}
INLINE vd vd_fma(double a, vd b, vd c)
{
    return _mm512_fmadd_pd(_mm512_set1_pd(a), b, c);
}
#elif KERNEL_SET == SET_AVX2
typedef __m256d vd;
INLINE vd vd_load(const float *from)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(from));
}
INLINE void vd_store(float *to, vd x)
{
    _mm_storeu_ps(to, _mm256_cvtpd_ps(x));
}
INLINE vd vd_fma(double a, vd b, vd c)
{
    return _mm256_fmadd_pd(_mm256_set1_pd(a), b, c);
}
#else
typedef double vd __attribute__((vector_size(HALF * sizeof(double))));
INLINE vd vd_load(const float *from)
{
    vd x;
    for (int i = 0; i < HALF; i++)
        x[i] = (double)from[i];
    return x;
}
INLINE void vd_store(float *to, vd x)
{
    for (int i = 0; i < HALF; i++)
        to[i] = (float)x[i];
}
INLINE vd vd_fma(double a, vd b, vd c)
{
    for (int i = 0; i < HALF; i++)
        c[i] = fma(a, b[i], c[i]);
    return c;
}
#endif

/* A sixth, rounded as the quotient is: 1/6 is the sum of two doubles to 106 bits, and no quotient by 6 lies nearer to
 * the middle between two doubles than a sixth of their distance. */
INLINE vd sixth(vd x)
{
    const double high = 1.0 / 6, low = 0x1p-54 / 6;
    return vd_fma(high, x, x * low);
}

/* Three weights, `step` apart, to the six points. */
INLINE void transform(const vd *from, int step, vd *to, int to_step)
{
    vd a = from[0], b = from[step], c = from[2 * step];
    vd near_even = vd_fma(0.5, c, a) * (-2.0 / 3), near_odd = b * (-2.0 / 3 * ROOT_HALF);
    vd far_even = sixth(vd_fma(2, c, a)), far_odd = b * (ROOT_TWO / 6);
    to[0] = a;
    to[to_step] = near_even + near_odd;
    to[2 * to_step] = near_even - near_odd;
    to[3 * to_step] = far_even + far_odd;
    to[4 * to_step] = far_even - far_odd;
    to[5 * to_step] = c;
}

/* HALF columns of one input channel, whose nine lines of weights lie one after the other. */
INLINE void transform_columns(const float *weights, float *to, int64_t plane)
{
    vd taps[TAPS * TAPS], half[PATCH * TAPS];
    UNROLL
    for (int i = 0; i < TAPS * TAPS; i++)
        taps[i] = vd_load(weights + i * TILE_COLUMNS);
    UNROLL
    for (int i = 0; i < TAPS; i++)
        transform(taps + i, TAPS, half + i, TAPS);
    UNROLL
    for (int i = 0; i < PATCH; i++) {
        vd whole[PATCH];
        transform(half + i * TAPS, 1, whole, 1);
        UNROLL
        for (int j = 0; j < PATCH; j++)
            vd_store(to + (i * PATCH + j) * plane, whole[j]);
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
        for (int64_t j = 0; j < columns; j += ROWS)
            SET_NAME(transpose)
        (sizeof *weights, weights + j * p->weight_output, p->weight_output * (int64_t)sizeof *weights, to + j,
         TILE_COLUMNS * (int64_t)sizeof *to, least(columns - j, ROWS), channels * TAPS * TAPS);
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

void SET_NAME(winograd_transform)(const struct conv_params *p, const float *weights, int64_t channels, int64_t columns,
                                  float *to, int64_t plane)
{
    float taps[AT_ONCE * TAPS * TAPS * TILE_COLUMNS];
    if (columns < TILE_COLUMNS)
        memset(taps, 0, sizeof taps);
    for (int64_t first = 0; first < channels; first += AT_ONCE) {
        int64_t count = least(channels - first, AT_ONCE);
        gather(p, weights + first * p->weight_input, count, columns, taps);
        for (int64_t channel = 0; channel < count; channel++)
            for (int64_t column = 0; column < TILE_COLUMNS; column += HALF)
                transform_columns(taps + channel * TAPS * TAPS * TILE_COLUMNS + column,
                                  to + (first + channel) * TILE_COLUMNS + column, plane);
    }
}

void SET_NAME(winograd_pack_panel)(const struct conv_params *p, const float *weights, int64_t columns, float *to)
{
    float made[POINTS * PACKED_AT_ONCE * TILE_COLUMNS];
    int64_t channels = p->input_channels;
    bool stream = p->output_channels * channels > STREAMED;
    for (int64_t first = 0; first < channels; first += PACKED_AT_ONCE) {
        int64_t count = least(channels - first, PACKED_AT_ONCE);
        SET_NAME(winograd_transform)
        (p, weights + first * p->weight_input, count, columns, made, PACKED_AT_ONCE * TILE_COLUMNS);
        for (int64_t point = 0; point < POINTS; point++)
            copy(made + point * PACKED_AT_ONCE * TILE_COLUMNS, count * TILE_COLUMNS,
                 to + (point * channels + first) * TILE_COLUMNS, stream);
    }
    if (stream)
        stream_end();
}
