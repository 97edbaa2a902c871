/* Family grid_sample: an image read at places that a grid names, between its elements. */
#ifndef INFER_KERNELS_GRID_SAMPLE_H
#define INFER_KERNELS_GRID_SAMPLE_H

#include "kernels/kernel.h"

#define GRID_MAX_RANK 3

enum grid_mode { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC };
enum grid_padding { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION };

/* inputs: image [batch, channels, dims...], grid [batch, points, rank] of the same type, whose last axis holds
 * coordinates from -1 to 1, those of the innermost axis first. output [batch, channels, points]. */
struct grid_sample_params {
    int64_t batch, channels, points;
    int rank; /* of the image without batch and channels, at most GRID_MAX_RANK */
    int64_t dims[GRID_MAX_RANK];
    uint8_t mode, padding;
    bool align_corners; /* -1 and 1 are the centres of the outermost elements, not their outer edges */
    uint8_t dtype;
};

#endif
