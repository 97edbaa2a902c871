/* Products by constant weights, into which numbers can be folded: Conv, ConvTranspose, Gemm, MatMul. */
#ifndef INFER_GRAPH_PASSES_PRODUCT_H
#define INFER_GRAPH_PASSES_PRODUCT_H

#include "graph/passes/rewrite.h"

/* y[o] = factor[o] * sum over i of weights[o, i] * before[i] * x[i] + shift[o], over output channels o and input
 * channels i. The four start out as the model has them; what is folded in is accumulated here in double, and the
 * weights are rounded once however many nodes were taken in. */
struct product {
    struct node *node;    /* Conv, ConvTranspose, Gemm or MatMul */
    struct value *result; /* MatMul: what the Add reads that holds its bias; NULL: no such Add */
    struct value *weights;
    int rank;              /* of the result; -1: unknown, at least 1 */
    int axis, x_axis;      /* of the channels in the result and in x, counted from the last axis back */
    bool even;             /* every element of a channel is a sum over all weights of that channel */
    int64_t rows, columns; /* weights lie as rows x columns x inner */
    int64_t inner, groups;
    bool outputs_first; /* rows are output channels */
    int64_t outputs, inputs;
    double *factor, *before, *shift;
    double *largest; /* by output channel: of |weights * before|, of the finite ones; NULL: nobody has asked yet */
    bool scaled, shifted;
    bool fixed;           /* the weights are too large to be made anew */
    struct value *folded; /* what stands for the weights with the factors in them; NULL: not needed yet */
    void *data;           /* its content, */
    bool finished;        /* which has been written */
};

/* A number for each channel (count is the number of channels), or one for all (1): factor * x + shift. */
struct affine {
    int64_t count;
    const double *factor, *shift;
};

/* The product that a node computes; *product is NULL where it is none that numbers can be folded into. A MatMul's bias
 * is an Add's: such an Add counts as the product. */
enum status product_open(struct rewriter *r, struct node *node, struct product **product);
/* Folds in what is done to the result, or to x. False, and no change, where a number would leave the range of the type,
 * or what is folded could not be kept. An error (no memory) is in r->c.error. */
bool product_fold_after(struct rewriter *r, struct product *p, const struct affine *affine);
bool product_fold_before(struct rewriter *r, struct product *p, const struct affine *affine);
/* The visited node becomes the product with all that was folded, of `x`. Its weights have no content yet. */
enum status product_emit(struct rewriter *r, struct node *node, struct product *p, struct value *x);
/* Writes the weights, once all is folded. False: no memory. */
bool product_finish(struct product *p, const struct allocator *allocator);

/* The constant holds one number, or one for each channel of an axis (counted from the last back), and broadcasting it
 * leaves a tensor of that rank (-1: unknown, at least 1) as it is. */
bool is_by_channel(const struct value *constant, int rank, int axis, int64_t channels);

#endif
