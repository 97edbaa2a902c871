/* Family copy: moves elements between two strided layouts. Transpose, Slice, Concat, Split, Expand, Tile, Pad, flips,
 * DepthToSpace and the like are all one or a few of these. */
#ifndef INFER_KERNELS_COPY_H
#define INFER_KERNELS_COPY_H

#include "kernels/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* input 0 → output 0. Strides and offsets count elements; an input stride may be 0 (repeat) or negative (flip). */
struct copy_params {
    int rank;
    int64_t dims[MAX_RANK]; /* of the copied box; a zero copies nothing */
    int64_t input_offset, input_strides[MAX_RANK];
    int64_t output_offset, output_strides[MAX_RANK];
    unsigned element_bytes; /* 1, 2, 4, 8 or 16 */
};

/* Joins axes that both sides walk without a gap, so that the inner loop is as long as can be. */
void copy_merge_axes(struct copy_params *params);

/* A copy on the calling thread, outside any step. */
void copy_now(const struct copy_params *params, const void *from, void *to);

#ifdef __cplusplus
}
#endif

#endif
