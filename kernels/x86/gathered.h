/* What the window of a convolution sees at a position, gathered into one row: where input channels do not lie next to
 * each other, or are so few that the tile would go through too short stretches of them.
 *
 * Terms of a row are ordered as they lie in memory, so that they come in runs: place after place of the window, the
 * channels innermost, where these lie next to each other; otherwise channel after channel, the places innermost. */
#ifndef INFER_KERNELS_X86_GATHERED_H
#define INFER_KERNELS_X86_GATHERED_H

#include "kernels/conv.h"
#include "kernels/x86/vector.h"

/* A part of a row that is contiguous in the input. */
struct run {
    int64_t offset;           /* of its first element, from the window's first place in channel 0 */
    int64_t at[SPATIAL_AXES]; /* its first place, from the window's first place */
};

struct gathered {
    const struct conv_params *params;
    bool by_channel;
    int64_t places, unit; /* of a run along the last axis, and floats of each */
    int64_t count;        /* of runs */
    const struct run *runs;
    int64_t depth;
    bool turns; /* the window is one place, and positions of a line lie next to each other in each channel */
};

/* Of one group. False: no memory. */
bool SET_NAME(gathered_plan)(const struct conv_params *params, struct region *region, struct gathered *gathered);
/* Rows of positions [first, end); image: of the group. */
void SET_NAME(gathered_rows)(const struct gathered *gathered, const float *image, int64_t first, int64_t end,
                             float *to);

#endif
