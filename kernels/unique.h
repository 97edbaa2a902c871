/* Family unique: the distinct slices of a tensor along an axis. */
#ifndef INFER_KERNELS_UNIQUE_H
#define INFER_KERNELS_UNIQUE_H

#include "kernels/kernel.h"

/* input: [outer, count, inner]; outputs: the distinct slices [outer, found, inner] in order of value (or of first
 * occurrence), and, each of which may be absent, int64: where each first occurs [found], which one each slice of the
 * input is [count], how often each occurs [found]. NaN equals NaN and comes last. */
struct unique_params {
    int64_t outer, count, inner; /* count >= 1 */
    int rank, axis;              /* of the first output, whose dimension `axis` is the number found */
    bool sorted;                 /* by value */
    uint8_t dtype;
};

#endif
