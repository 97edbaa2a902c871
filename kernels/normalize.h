/* Family normalize: brings groups of elements to mean 0 (unless told not to) and mean square 1, then scales and shifts.
 * Layer, instance, group and RMS normalisation differ only in which axes make a group. */
#ifndef INFER_KERNELS_NORMALIZE_H
#define INFER_KERNELS_NORMALIZE_H

#define NORMALIZE_INPUTS 3 /* before the epilogue's */

#include "kernels/epilogue.h"

/* Strides in elements along the axes that number the groups, and along those inside a group. */
struct normalize_strides {
    int64_t kept[MAX_RANK], folded[MAX_RANK];
};

/* inputs: x, optional scale, optional bias; outputs: y, optional mean and 1 / deviation, one element a group.
 * y = (x - mean) / sqrt(mean of (x - mean)^2 + epsilon) * scale + bias */
struct normalize_params {
    enum dtype dtype; /* of all operands: f32, f64 */
    bool centred;     /* false: mean counts as 0 */
    double epsilon;
    int kept_rank, folded_rank; /* folded_rank at least 1 */
    int64_t kept[MAX_RANK], folded[MAX_RANK];
    struct normalize_strides x, scale, bias; /* y lies as x */
    const struct pointwise_params *epilogue;
};

static inline struct epilogue normalize_epilogue(const struct normalize_params *p)
{
    int64_t groups = 1, each = 1;
    for (int i = 0; i < p->kept_rank; i++)
        groups *= p->kept[i];
    for (int i = 0; i < p->folded_rank; i++)
        each *= p->folded[i];
    return (struct epilogue){p->epilogue, NORMALIZE_INPUTS, {1, groups, each}};
}

#endif
