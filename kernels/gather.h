/* Family gather: moves elements whose places are named by an index tensor. Gather, GatherElements, GatherND,
 * ReverseSequence and resizing by nearest neighbour are all one of these. The same addressing serves scatter. */
#ifndef INFER_KERNELS_GATHER_H
#define INFER_KERNELS_GATHER_H

#include "kernels/kernel.h"

/* inputs: data, indices; output: block. At each point of the iteration space, element
 *     data[point . data_strides + sum over j of index[j] * axis_strides[j]]
 * goes to block[point . block_strides], where index[j] = indices[point . index_strides + j], counted from the end of
 * the axis where it is negative. One outside its axis is a fault. Strides count elements. */
struct gather_params {
    int rank; /* of the iteration space */
    int64_t dims[MAX_RANK];
    int64_t data_strides[MAX_RANK], index_strides[MAX_RANK], block_strides[MAX_RANK];
    int components; /* of one index; may be 0 */
    int64_t axis_dims[MAX_RANK], axis_strides[MAX_RANK];
    unsigned element_bytes; /* 1, 2, 4, 8 or 16 */
    uint8_t index_dtype;    /* DTYPE_I32 or DTYPE_I64 */
};

/* Joins axes that all three tensors walk without a gap, so that the inner loop is as long as can be. */
void gather_merge_axes(struct gather_params *params);

/* Where one row of the iteration space, along its last axis, begins in each tensor. */
struct gather_row {
    int64_t data, index, block;
};
struct gather_row gather_row_at(const struct gather_params *params, int64_t row);
int64_t gather_rows(const struct gather_params *params);
/* Offset in data that the index at `position` adds; false, and the fault set, where it is outside. */
bool gather_resolve(const struct gather_params *params, const struct kernel_call *call, const void *indices,
                    int64_t position, int64_t *offset);

#endif
