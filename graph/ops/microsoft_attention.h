/* What the attention operators of com.microsoft share. */
#ifndef INFER_GRAPH_OPS_MICROSOFT_ATTENTION_H
#define INFER_GRAPH_OPS_MICROSOFT_ATTENTION_H

#include "graph/ops/attention.h"
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"

/* Elements [begin, begin + heads * width) of the last axis of x, [batch, positions, elements], as [batch, heads,
 * positions, width]. */
struct value *microsoft_heads(struct op_context *c, struct value *x, int64_t begin, int64_t batch, int64_t positions,
                              int64_t heads, int64_t width);
/* The other way: [batch, positions, heads * width]. */
struct value *microsoft_packed(struct op_context *c, struct value *x, int64_t batch, int64_t positions, int64_t heads,
                               int64_t width);

/* Input i, a mask of int32: absent; [batch] or [2 batch], where the keys end and start; [batch, keys] or [batch,
 * queries, keys], whose zeros exclude. `fresh`: keys that are given, without those of the past. */
enum status microsoft_check_mask(struct op_context *c, int i, const struct attention *a);
/* Input i is absent or an addend of the scores [batch or 1, heads or 1, queries, keys]. */
enum status microsoft_check_bias(struct op_context *c, int i, const struct attention *a);
/* What is added to the scores: mask_filter_value where the mask, input `mask`, excludes a key, and input `bias`; NULL:
 * nothing. A negative number is no input. */
struct value *microsoft_addend(struct op_context *c, int mask, int bias, const struct attention *a);
/* The attributes scale, and unidirectional where there are several queries; `past`: keys before the first query's.
 * Scores, before the softmax, become output `scores` where that is asked for (-1: never). */
struct value *microsoft_attend(struct op_context *c, const struct attention *a, struct value *const qkv[3],
                               struct value *addend, int64_t past, int scores);

/* Com.microsoft's Attention and QAttention, from the products of input and weights on. */
struct self_attention {
    struct attention a;
    int64_t past;               /* keys and values of the past */
    int mask, past_input, bias; /* inputs; -1: it has none */
};
/* `columns`: of the weights; the sizes of the input, [batch, positions, elements], are checked. */
enum status microsoft_read_self(struct op_context *c, int64_t columns, struct self_attention *s);
enum status microsoft_shapes_self(struct op_context *c, const struct self_attention *s, enum dtype dtype);
enum status microsoft_expand_self(struct op_context *c, const struct self_attention *s, struct value *projected);

#endif
