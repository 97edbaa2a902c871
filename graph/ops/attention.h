/* Scaled dot-product attention in parts, for the operators that are made of them. */
#ifndef INFER_GRAPH_OPS_ATTENTION_H
#define INFER_GRAPH_OPS_ATTENTION_H

#include "graph/op.h"

struct attention {
    int64_t batch, heads, kv_heads; /* several query heads may share one of keys and values */
    int64_t queries, keys;          /* positions; of keys, all of them */
    int64_t head, v_head;           /* elements of a head */
    enum dtype dtype;
};

/* queries * keys^T * scale as [batch, heads, queries, keys]; both operands are multiplied by the root of the scale. */
struct value *attention_scores(struct op_context *c, const struct attention *a, struct value *q, struct value *k,
                               double scale);
/* The mean of the values by the weights [batch, heads, queries, keys], as [batch, heads, queries, v_head]. */
struct value *attention_mean(struct op_context *c, const struct attention *a, struct value *weights, struct value *v);

#endif
