/* Family nonzero: the coordinates of the elements that are not zero, in order. */
#ifndef INFER_KERNELS_NONZERO_H
#define INFER_KERNELS_NONZERO_H

#include "kernels/kernel.h"

/* input: a contiguous tensor; output: int64 [rank, found], whose true size is known after the run. */
struct nonzero_params {
    int rank;
    int64_t dims[MAX_RANK];
    unsigned element_bytes; /* 1, 2, 4 or 8 */
    uint64_t mask;          /* bits that make an element nonzero: all, or all but the sign of a float */
};

#endif
