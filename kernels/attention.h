/* Family attention: softmax(scale Q K^T + mask) V for every head, without the scores ever being whole in memory. */
#ifndef INFER_KERNELS_ATTENTION_H
#define INFER_KERNELS_ATTENTION_H

#include "kernels/kernel.h"

/* In elements; 0 repeats. Of the keys and values, `head` is the step from one of their own heads to the next. */
struct attention_strides {
    int64_t batch, head, row, column;
};

/* inputs: Q [batch, heads, queries, head], K [batch, heads / group, keys, head], V [batch, heads / group, keys,
 * v_head], optional mask [batch, heads, queries, keys]; output: Y [batch, heads, queries, v_head]. Query heads h with
 * the same h / group share keys and values.
 *
 * A score is scale * q.k, then softcap * tanh(score / softcap), then the mask is applied. Keys outside a query's window
 * are never looked at. A key that a boolean mask excludes weighs 0 whatever its score, but its value counts: 0 times a
 * NaN is one. A query that has only scores of -inf gets NaN, as softmax gives, or 0. */
struct attention_params {
    enum dtype dtype;      /* f32, f64 */
    enum dtype mask_dtype; /* NONE: no mask; BOOL: false excludes; like `dtype`: is added */
    int64_t batch, heads, group, queries, keys, head, v_head;
    double scale;
    double softcap;      /* 0: none */
    int64_t first, last; /* query i sees the keys from i + first to i + last; both from -queries to keys */
    bool blind_is_zero;  /* 0 rather than NaN for a query without keys; also where the mask adds -inf to NaN scores */
    struct attention_strides q, k, v, mask, y;
};

/* The keys [*from, *to) that a query sees; both ends never fall from one query to the next. */
static inline void attention_window(const struct attention_params *p, int64_t query, int64_t *from, int64_t *to)
{
    int64_t begin = query + p->first, end = query + p->last + 1;
    *from = begin < 0 ? 0 : begin < p->keys ? begin : p->keys;
    *to = end < *from ? *from : end < p->keys ? end : p->keys;
}

#endif
