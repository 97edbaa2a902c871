/* Lines of an image with their padding, for a convolution of few channels: copied, so that what the window sees lies at
 * the same distances from its first place wherever it is, and can be read there. That is less than a row for each
 * position, in which most elements are there several times.
 *
 * Terms have the order of kernels/x86/gathered.h. */
#ifndef INFER_KERNELS_X86_PADDED_H
#define INFER_KERNELS_X86_PADDED_H

#include "kernels/x86/gathered.h"

struct padded {
    const struct conv_params *params;
    int64_t unit;               /* floats of a place along a line */
    int64_t line_floats, lines; /* of a channel, or of all where they lie next to each other */
    int64_t lead, pitch;        /* floats before the first line's, and from one line to the next */
    int64_t channels, channel_floats;
    const int64_t *offsets; /* of each term from the window's first place; NULL: such an image is gathered */
    size_t bytes;           /* what the lines take that a block of positions sees, a multiple of ALIGNMENT */
};

/* Of one group, whose rows `gathered` describes; blocks have so many positions at most. False: no memory. */
bool SET_NAME(padded_plan)(const struct gathered *gathered, int64_t positions, struct region *region,
                           struct padded *padded);
/* How many positions blocks should have: whole lines, and whole tiles of `rows`, where that can be. */
int64_t SET_NAME(padded_block)(const struct conv_params *params, int64_t rows);
/* Copies what positions [first, end) see; image: of the group. */
void SET_NAME(padded_copy)(const struct padded *padded, const float *image, int64_t first, int64_t end, float *to);
/* What the first places of `count` windows from position `position` on are, in a copy that begins with what position
 * `first` sees. */
void SET_NAME(padded_places)(const struct padded *padded, const float *copy, int64_t first, int64_t position,
                             int64_t count, const float **places);

#endif
