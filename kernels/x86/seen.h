/* Where a convolution's windows find their rows in an image that is read as it lies: the input under each place of the
 * window, and zeros under those in the padding. */
#ifndef INFER_KERNELS_X86_SEEN_H
#define INFER_KERNELS_X86_SEEN_H

#include "kernels/conv.h"
#include "kernels/x86/tile.h"

struct seen {
    const struct conv_params *params;
    int64_t taps;
    const float *zeros;     /* as many as channels, what the window sees in the padding */
    const int64_t *offsets; /* of each place of the window from the first */
    bool even;              /* the window is one place, never in the padding, and these places are all so far apart: */
    int64_t point_step;
};

/* False: no memory. */
bool SET_NAME(seen_plan)(const struct conv_params *params, struct region *region, struct seen *seen);
/* What windows see at positions row to row + rows - 1 of the output, of a tile; image: of the group.
 * places: [taps][TILE_ROWS]. */
void SET_NAME(seen_rows)(const struct seen *seen, const float *image, int64_t row, int64_t rows, const float **places);

#endif
