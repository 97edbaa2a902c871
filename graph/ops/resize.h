/* Where the elements of a Resize or Upsample come from, axis by axis. */
#ifndef INFER_GRAPH_OPS_RESIZE_H
#define INFER_GRAPH_OPS_RESIZE_H

#include "graph/op.h"

#include <math.h>

enum resize_mode { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };

enum coordinates {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_HALF_PIXEL_FOR_NN,
    TF_CROP_AND_RESIZE,
};

enum nearest { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };

/* Axes up to here have positions that are fractions of 64-bit integers. */
#define LONGEST_EXACT (INT64_C(1) << 30)

struct axis_geometry {
    int64_t input, output;
    double scale;
    bool exact;        /* scale is output / input: positions are fractions of integers */
    double width;      /* scale * input: the output's length before it was cut to an integer */
    double start, end; /* of the region of interest, as fractions of the input; 0 and 1 without one */
};

struct resize {
    enum resize_mode mode;
    enum coordinates coordinates;
    enum nearest nearest;
    bool shrink_by_ceil; /* nearest before opset 11: ONNX's own tests of opset 10 round up where the image shrinks */
    bool antialias, exclude_outside;
    double cubic_a;
    struct axis_geometry axes[MAX_RANK];
};

static inline int64_t resize_clamp(double x, int64_t n)
{
    return x <= 0 || isnan(x) ? 0 : x >= (double)(n - 1) ? n - 1 : (int64_t)x;
}

/* Mode nearest: the element of the input that position `i` of the output is. Where sizes are given, by exact fractions;
 * where scales are, in ONNX Runtime's arithmetic, so that the same pixel is picked. */
int64_t resize_neighbour(const struct resize *resize, const struct axis_geometry *g, int64_t i);
/* Any mode: by the same arithmetic, the position lies outside the input. */
bool resize_is_outside(const struct resize *resize, const struct axis_geometry *g, int64_t i);

#endif
