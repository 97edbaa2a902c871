/* Family linear_attention: attention as a recurrence on a matrix that maps keys to values, f32. For every step
 *     S *= exp(decay);  v' = corrects ? beta (v - S^T k) : v;  S += k v'^T;  y = scale S^T q */
#ifndef INFER_KERNELS_LINEAR_ATTENTION_H
#define INFER_KERNELS_LINEAR_ATTENTION_H

#include "kernels/kernel.h"

/* inputs: q [batch, steps, heads * head], k [batch, steps, kv_heads * head], v [batch, steps, kv_heads * v_head],
 * optional past S [batch, kv_heads, head, v_head], decay and beta if the rule has them; outputs: y [batch, steps,
 * heads * v_head], optional S after the last step. */
struct linear_attention_params {
    int64_t batch, steps, heads, kv_heads, head, v_head;
    double scale;
    bool decays, corrects;
    bool decay_each; /* decay is [batch, steps, kv_heads * head] rather than [batch, steps, kv_heads] */
    bool beta_each;  /* beta is [batch, steps, kv_heads] rather than [batch, steps, 1] */
};

#endif
