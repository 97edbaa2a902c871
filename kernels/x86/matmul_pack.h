/* Packs of a product's right operand. They hold its matrices along the axes of the batch along which it is not the
 * same, at most two. */
#ifndef INFER_KERNELS_X86_MATMUL_PACK_H
#define INFER_KERNELS_X86_MATMUL_PACK_H

#include "kernels/matmul.h"

/* How kernels of the family matmul lay a pack out (kernel_pack.form). */
enum matmul_form { MATMUL_FORM_PANELS = 1, MATMUL_FORM_PANELS_I8, MATMUL_FORM_COLUMNS, MATMUL_FORM_BYTES };

struct packed_batch {
    int count; /* of such axes; where it is above 2 the rest says nothing */
    int axes[2];
    int64_t dims[2], strides[2]; /* past `count` 1 and 0 */
};

static inline struct packed_batch packed_batch_of(const struct matmul_params *p, const struct matrix_strides *right)
{
    struct packed_batch batch = {.dims = {1, 1}};
    for (int i = 0; i < p->batch_rank; i++) {
        if (right->batch[i] == 0 || p->batch[i] <= 1)
            continue;
        if (batch.count < 2) {
            batch.axes[batch.count] = i;
            batch.dims[batch.count] = p->batch[i];
            batch.strides[batch.count] = right->batch[i];
        }
        batch.count++;
    }
    return batch;
}

/* How many matrices there are, and where one begins in the operand. */
static inline int64_t packed_matrices(const struct packed_batch *batch)
{
    return batch->dims[0] * batch->dims[1];
}
static inline int64_t packed_offset(const struct packed_batch *batch, int64_t matrix)
{
    return matrix / batch->dims[1] * batch->strides[0] + matrix % batch->dims[1] * batch->strides[1];
}

/* Which of them belongs to matrix `matrix` of the whole batch. */
static inline int64_t packed_matrix(const struct matmul_params *p, const struct packed_batch *batch, int64_t matrix)
{
    int next = batch->count - 1;
    int64_t index = 0, scale = 1;
    for (int i = p->batch_rank - 1; i >= 0; i--) {
        if (next >= 0 && batch->axes[next] == i) {
            index += matrix % p->batch[i] * scale;
            scale *= p->batch[i];
            next--;
        }
        matrix /= p->batch[i];
    }
    return index;
}

#endif
