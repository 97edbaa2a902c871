/* Which elements a point of a grid reads, and their weights. */
#ifndef INFER_KERNELS_REFERENCE_GRID_TAPS_H
#define INFER_KERNELS_REFERENCE_GRID_TAPS_H

#include "kernels/grid_sample.h"

#include <math.h>

#define MAX_TAPS 64 /* four along each of three axes */

/* What one point reads: elements of a channel and their weights. */
struct taps {
    int count;
    int64_t offsets[MAX_TAPS];
    double weights[MAX_TAPS];
};

/* Mirrors x at the edges until it lies between them. */
static inline ANYWHERE double reflect(double x, double low, double high)
{
    double range = high - low, beyond = x < low ? low - x : x - high;
    if (range <= 0)
        return low;
    if (!(beyond > 0))
        return x;
    double turns = floor(beyond / range), rest = beyond - turns * range;
    bool back = fmod(turns, 2.0) != 0;
    return (x < low) != back ? low + rest : high - rest;
}

static inline ANYWHERE double clamp_to(double x, double low, double high)
{
    return x >= low ? (x <= high ? x : high) : low; /* NaN: low */
}

/* Where a coordinate of the grid lies on an axis of n elements. */
static inline ANYWHERE double place_on_axis(const struct grid_sample_params *p, double coordinate, int64_t n)
{
    double size = (double)n, low = p->align_corners ? 0 : -0.5, high = p->align_corners ? size - 1 : size - 0.5;
    double x = p->align_corners ? (coordinate + 1) / 2 * (size - 1) : ((coordinate + 1) * size - 1) / 2;
    x = p->mode == GRID_NEAREST ? rint(x) : x;
    /* The cubic kernel keeps its place and its taps are clamped, as PyTorch and ONNX Runtime do. */
    if (p->padding == GRID_BORDER && p->mode != GRID_CUBIC)
        x = clamp_to(x, 0, size - 1);
    if (p->padding == GRID_REFLECTION)
        x = reflect(x, low, high);
    return clamp_to(x, -0x1p52, 0x1p52); /* floor and its neighbours stay exact */
}

/* The element that stands at `position`; -1 for one outside that counts as zero. */
static inline ANYWHERE int64_t element_at(const struct grid_sample_params *p, double position, int64_t n)
{
    double last = (double)(n - 1);
    if (p->padding == GRID_REFLECTION)
        position = trunc(reflect(position, p->align_corners ? 0 : -0.5, p->align_corners ? last : last + 0.5));
    if (p->padding == GRID_ZEROS && !(position >= 0 && position <= last))
        return -1;
    return (int64_t)clamp_to(position, 0, last);
}

/* Keys' cubic convolution with a = -3/4, at distances 1 + t, t, 1 - t, 2 - t. */
static inline ANYWHERE void cubic_weights(double t, double *weights)
{
    const double a = -0.75;
    for (int i = 0; i < 4; i++) {
        double d = fabs(t - (i - 1));
        weights[i] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
}

/* Splits every tap so far into those along one more axis. */
static inline ANYWHERE void extend_taps(const struct grid_sample_params *p, struct taps *taps, double x, int64_t n,
                                        int64_t stride)
{
    double first = floor(x), weights[4] = {1};
    int count = 1;
    if (p->mode == GRID_LINEAR) {
        count = 2;
        weights[0] = 1 - (x - first);
        weights[1] = x - first;
    } else if (p->mode == GRID_CUBIC) {
        count = 4;
        cubic_weights(x - first, weights);
        first -= 1;
    }
    struct taps before = *taps;
    taps->count = 0;
    for (int i = 0; i < before.count; i++) {
        for (int k = 0; k < count; k++) {
            int64_t element = element_at(p, first + k, n);
            if (element < 0)
                continue;
            taps->offsets[taps->count] = before.offsets[i] + element * stride;
            taps->weights[taps->count++] = before.weights[i] * weights[k];
        }
    }
}

#endif
