/* The sums of depthwise convolution: a tile is COLUMNS neighbouring positions of one line of the output by the channels
 * of a chunk, which lie next to each other in memory. */
#ifndef INFER_KERNELS_X86_DEPTHWISE_H
#define INFER_KERNELS_X86_DEPTHWISE_H

#include "kernels/window.h"
#include "kernels/x86/vector.h"

#define COLUMNS 7 /* of 112, 56, 28, 14 and 7; with two vectors of channels they fill 14 of AVX2's 16 registers */

/* What becomes of a tile's sums. */
enum store {
    STORE_DIRECT,     /* they are stored */
    STORE_CLAMPED,    /* after MAX and MIN with numbers, CLAMP and RELU */
    STORE_CONSTANT,   /* one of these numbers is a NaN: so is everything */
    STORE_HARD_SWISH, /* after a hard-swish, and then a number's product and sum */
    STORE_PROGRAM,    /* they go through the workspace to the epilogue's program */
    STORE_COPIED,     /* they go through the workspace: the channels of y do not lie next to each other */
};

/* How taps go through x and the weights. */
struct walk {
    int64_t taps[SPATIAL_AXES];
    int64_t x[SPATIAL_AXES]; /* from tap to tap */
    int64_t weights[2];      /* from plane to plane and line to line of taps; along a line they are WIDE apart */
    int64_t column;          /* in x, from column to column of the output */
    int64_t vector;          /* in the weights, from vector to vector of channels */
};

/* What stores a tile needs. */
struct target {
    enum store store;
    float *y; /* of column 0 and the first channel of the vector at hand */
    int64_t column;
    vf least, most;   /* STORE_CLAMPED */
    bool scaled;      /* STORE_HARD_SWISH: by the numbers that follow */
    vf factor, shift; /* shift: -0: none */
};

/* Windows, in steps and their number along a line, for which there is code of their own. */
enum near { NOT_NEAR, NEAR_3, NEAR_3_BY_2, NEAR_5, NEAR_5_BY_2 };

/* Neighbouring columns of a line; x + at is where tap 0 of column 0 looks. */
struct tile {
    const float *x;
    int64_t at, columns;
    const uint8_t *seen; /* masks: which columns a tap along the line sees; NULL: all of them */
    int64_t first, last; /* positions from `at` on that lie in the input */
};

/* Where the channels of a chunk are in the operands. */
struct chunk {
    const float *weights, *bias; /* weights: the block of the pack with its first ones */
    int64_t taps, channels;
};

/* Sums begin with the bias, or 0, and take the taps in their order. */
void SET_NAME(depthwise_sum)(const struct walk *walk, const struct chunk *chunk, const struct tile *tile,
                             enum near near, const struct target *to);

#endif
