/* The most of a sum over the steps of a segment, to which each thing that takes memory adds its bytes from one step to
 * another. A change, or its way back, takes time logarithmic in the number of steps. */
#ifndef INFER_GRAPH_STEPS_PEAK_H
#define INFER_GRAPH_STEPS_PEAK_H

#include "kernels/base.h"

struct peak_node {
    int64_t added; /* to all below; of a leaf: not used */
    int64_t most;  /* of all below, with what was added to them and here */
};

struct peak {
    int count;
    struct peak_node *nodes; /* a heap: node i has the children 2 i and 2 i + 1, step s is node count + s */
};

/* All sums are zero. count > 0. False: no memory. */
bool peak_begin(struct peak *peak, int count, struct region *region);
/* Adds bytes, which may be negative, to steps first to last: first <= last. */
void peak_add(struct peak *peak, int first, int last, int64_t bytes);

static inline int64_t peak_most(const struct peak *peak)
{
    return peak->nodes[1].most;
}

#endif
