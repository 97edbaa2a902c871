/* Scaled dot-product attention, whole and in parts, for the operators that are made of them. */
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

/* One step computes the softmax in the type of the operands, or in f32 for half ones: not where it is to be finer. */
bool attention_takes_one_step(const struct attention *a, enum dtype precision);
/* The whole in one step, as [batch, heads, queries, v_head]: a node of ScaledDotProductAttention, whose attributes and
 * mask scaled_dot_product.c tells. mask NULL: none. */
struct value *attention_node(struct op_context *c, struct value *q, struct value *k, struct value *v,
                             struct value *mask, int attribute_count, const struct attribute *attributes);

#endif
