/* Nearest neighbours of Resize and Upsample. */
#include "graph/ops/resize.h"

/* A fraction that the coordinates name; denominator > 0. */
struct fraction {
    int64_t numerator, denominator;
};

static struct fraction exact_source(enum coordinates coordinates, const struct axis_geometry *g, int64_t position)
{
    int64_t n = g->input, m = g->output;
    switch (coordinates) {
    case ALIGN_CORNERS:
        return m == 1 ? (struct fraction){0, 1} : (struct fraction){position * (n - 1), m - 1};
    case ASYMMETRIC:
        return (struct fraction){position * n, m};
    case TF_HALF_PIXEL_FOR_NN:
        return (struct fraction){(2 * position + 1) * n, 2 * m};
    default:
        if (coordinates == PYTORCH_HALF_PIXEL && m == 1)
            return (struct fraction){0, 1};
        return (struct fraction){(2 * position + 1) * n - m, 2 * m};
    }
}

static int64_t floor_of(int64_t numerator, int64_t denominator)
{
    return numerator / denominator - (numerator % denominator < 0);
}

static int64_t exact_neighbour(enum nearest nearest, struct fraction at)
{
    switch (nearest) {
    case ROUND_PREFER_FLOOR:
        return -floor_of(at.denominator - 2 * at.numerator, 2 * at.denominator);
    case ROUND_PREFER_CEIL:
        return floor_of(2 * at.numerator + at.denominator, 2 * at.denominator);
    case FLOOR:
        return floor_of(at.numerator, at.denominator);
    default:
        return -floor_of(-at.numerator, at.denominator);
    }
}

/* Positions by a scale that was given, in the arithmetic of ONNX Runtime: 8 / 1.6f is 5 in single precision, and less
 * than that in double. */
static float single_source(const struct resize *resize, const struct axis_geometry *g, int64_t position)
{
    float x = (float)position, n = (float)g->input, scale = (float)g->scale;
    float m = resize->mode == MODE_NEAREST ? (float)g->output : (float)g->width;
    float start = (float)g->start, end = (float)g->end;
    switch (resize->coordinates) {
    case ALIGN_CORNERS:
        return m == 1 ? 0 : x * (n - 1) / (m - 1);
    case ASYMMETRIC:
        return x / scale;
    case TF_HALF_PIXEL_FOR_NN:
        return (x + 0.5f) / scale;
    case TF_CROP_AND_RESIZE:
        return m > 1 ? start * (n - 1) + x * (end - start) * (n - 1) / (m - 1)
                     : (float)(0.5 * (double)(start + end) * (double)(n - 1));
    case HALF_PIXEL_SYMMETRIC:
        return (float)((double)(n / 2 * (1 - m / (scale * n))) + ((double)x + 0.5) / (double)scale - 0.5);
    case PYTORCH_HALF_PIXEL:
        if (m <= 1)
            return 0;
        return (x + 0.5f) / scale - 0.5f;
    default:
        return (x + 0.5f) / scale - 0.5f;
    }
}

/* What is so near the middle between two elements is there: ONNX Runtime's choice. */
#define HALF_TOLERANCE 1e-6f

static float single_neighbour(enum nearest nearest, float x)
{
    float below = floorf(x);
    bool half = fabsf(x - (below + 0.5f)) < HALF_TOLERANCE;
    switch (nearest) {
    case ROUND_PREFER_FLOOR:
        return half ? below : roundf(x);
    case ROUND_PREFER_CEIL:
        return half ? below + 1 : roundf(x);
    case FLOOR:
        return below;
    default:
        return ceilf(x);
    }
}

int64_t resize_neighbour(const struct resize *resize, const struct axis_geometry *g, int64_t i)
{
    enum nearest nearest = resize->shrink_by_ceil && g->scale < 1 ? CEIL : resize->nearest;
    if (!g->exact || resize->coordinates == TF_CROP_AND_RESIZE)
        return resize_clamp((double)single_neighbour(nearest, single_source(resize, g, i)), g->input);
    int64_t index = exact_neighbour(nearest, exact_source(resize->coordinates, g, i));
    return index < 0 ? 0 : index < g->input ? index : g->input - 1;
}

bool resize_is_outside(const struct resize *resize, const struct axis_geometry *g, int64_t i)
{
    float x = single_source(resize, g, i);
    return x < 0 || x > (float)(g->input - 1);
}
