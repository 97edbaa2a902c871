/* Nodes that multiply and add numbers of each channel: BatchNormalization, and arithmetic with constants. */
#ifndef INFER_GRAPH_PASSES_AFFINE_H
#define INFER_GRAPH_PASSES_AFFINE_H

#include "graph/passes/product.h"

/* An affine node: its input that is no constant, and what it does to it. */
struct affine_node {
    struct value *x;
    const struct value *constant; /* of an arithmetic node; NULL: BatchNormalization */
    struct affine affine;
};

/* The input of a node that may be affine: the one that is no constant. NULL: it is none. */
struct value *affine_input(const struct node *node);
/* What the node does to a tensor whose channels lie along the axis, counted from the last back; result->x stays NULL
 * where it is not affine in each channel. The numbers lie in the pass's scratch memory. */
enum status read_affine(struct rewriter *r, const struct node *node, int rank, int axis, int64_t channels,
                        struct affine_node *result);

#endif
