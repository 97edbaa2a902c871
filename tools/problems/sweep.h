/* Problems of every kind of shape that networks have, for benchmarks: kernels must not be fast on the usual shapes
 * alone. They are in groups whose members should be about as fast as each other, and each is of a kind. */
#ifndef INFER_TOOLS_PROBLEMS_SWEEP_H
#define INFER_TOOLS_PROBLEMS_SWEEP_H

#include "tools/problems/make.h"

struct sweep_group {
    const char *name;
    size_t count;
    /* Problem `index`, in maker->problem, which is zero; with its name. Returns its kind. Images lie as the kernel that
     * would be chosen with these facts likes them. */
    const char *(*make)(struct maker *maker, const struct kernel_facts *facts, size_t index);
};
/* NULL past the last. */
const struct sweep_group *sweep_group_at(size_t index);
/* Returns its kind; what the problem points to goes in the region. */
const char *sweep_make(const struct sweep_group *group, size_t index, const struct kernel_facts *facts,
                       struct region *region, struct problem *problem);

/* Its parts; none has counts of operands that only a run tells. */
extern const struct sweep_group sweep_conv, sweep_conv_pointwise, sweep_conv_depthwise, sweep_pool, sweep_resample;
extern const struct sweep_group sweep_product, sweep_product_row, sweep_attention, sweep_recurrent;
extern const struct sweep_group sweep_softmax, sweep_normalize, sweep_reduce, sweep_pointwise, sweep_copy, sweep_gather;

void sweep_name(struct maker *maker, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
