/* Values that QuantizeLinear and DequantizeLinear stand around, seen as the integers that they are made of. */
#ifndef INFER_GRAPH_PASSES_FUSE_QDQ_H
#define INFER_GRAPH_PASSES_FUSE_QDQ_H

#include "graph/passes/rewrite.h"

/* A value in float32 is (integers - zero) scale. */
struct quantised {
    struct value *integers; /* of 8 bits */
    struct value *scale;    /* a constant, float32: one number, or a list along the axis */
    struct value *zero;     /* a constant like the scale, of the integers' type; NULL: 0 */
    enum dtype dtype;       /* of the integers: I8 or U8 */
    int axis;               /* -1: one scale for all */
    struct node *node;      /* the DequantizeLinear; NULL: the integers were moved since */
};

/* What the pass has found out, by value id, of the `count` values that there were when it began. */
struct narrowing {
    struct quantised *of;  /* integers NULL: not known */
    unsigned char *looked; /* not to be looked at again */
    int count;
};

/* A QuantizeLinear or DequantizeLinear of 8 bits whose parameters are constants, by tensor or along an axis of known
 * place. */
bool read_dequantize(const struct rewriter *r, struct node *node, struct quantised *result);
bool read_quantize(const struct node *node, struct quantised *result);
/* The same scale and zero point for every element. */
bool same_parameters(const struct quantised *a, const struct quantised *b);
/* Element i of the parameters; a list of one counts for all. */
double scale_at(const struct quantised *q, int64_t i);
double zero_at(const struct quantised *q, int64_t i);

/* The value in float32, made by a DequantizeLinear, perhaps with operators after it that only move elements: as
 * integers that were moved instead (new nodes before the visited one, in the float ones' place). integers NULL: it is
 * no such value. */
enum status as_integers(struct rewriter *r, struct value *value, struct quantised *result);

/* Where the visited QuantizeLinear, whose parameters those are, quantises what is made of products by constants: these
 * are divided by the scale, which becomes 1. */
enum status quantise_by_one(struct rewriter *r, struct node *node, const struct quantised *to);

#endif
