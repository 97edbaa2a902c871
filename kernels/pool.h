/* Family pool: the maximum, the mean or the p-norm of what a window sees, channel by channel. */
#ifndef INFER_KERNELS_POOL_H
#define INFER_KERNELS_POOL_H

#define POOL_INPUTS 1 /* before the epilogue's */

#include "kernels/epilogue.h"
#include "kernels/window.h"

enum pool_kind { POOL_MAX, POOL_AVERAGE, POOL_LP };

/* input: x; outputs: y, and for POOL_MAX optionally int64 indices, laid out as y. */
struct pool_params {
    enum dtype dtype;
    enum pool_kind kind;
    bool indices;       /* POOL_MAX: there is an output 1 */
    bool count_padding; /* POOL_AVERAGE: padding counts as zeros */
    int64_t power;      /* POOL_LP */
    int64_t batch, channels;
    struct window window;
    struct image_strides x, y;
    struct image_strides index;              /* an index is the position of the maximum times these */
    const struct pointwise_params *epilogue; /* then there are no indices */
};

static inline struct epilogue pool_epilogue(const struct pool_params *p)
{
    int64_t positions = p->window.output[0] * p->window.output[1] * p->window.output[2];
    return (struct epilogue){p->epilogue, POOL_INPUTS, {p->batch, p->channels, positions}};
}

#endif
