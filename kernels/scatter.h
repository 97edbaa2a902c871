/* Family scatter: a copy of a tensor with elements replaced at places named by an index tensor. ScatterElements,
 * ScatterND and TensorScatter are all one of these. */
#ifndef INFER_KERNELS_SCATTER_H
#define INFER_KERNELS_SCATTER_H

#include "kernels/gather.h"

enum scatter_reduction { SCATTER_SET, SCATTER_ADD, SCATTER_MUL, SCATTER_MIN, SCATTER_MAX };

/* inputs: data, indices, updates; output: data after the updates, in order of the updates' elements. `at` addresses
 * as in family gather, with the updates for its block and the output for its data. Input 0 may be the output. */
struct scatter_params {
    struct gather_params at;
    int64_t data_elements;
    uint8_t reduction; /* enum scatter_reduction */
    uint8_t dtype;     /* matters to reductions only */
};

#endif
