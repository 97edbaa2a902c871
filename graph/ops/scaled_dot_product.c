/* ScaledDotProductAttention of our own domain: attention in one step, for operators and passes that are made of it.
 *
 * inputs: Q [batch, heads, queries, head], K [batch, kv_heads, keys, head], V [batch, kv_heads, keys, v_head], optional
 * mask that broadcasts to [batch, heads, queries, keys] and is boolean (false excludes a key) or is added; output Y
 * [batch, heads, queries, v_head]. kv_heads divides heads; query heads that share keys follow each other.
 *
 * scale (1 / sqrt(head)), softcap (0: none); first and last (none): query i sees the keys from i + first to i + last;
 * blind_is_zero (0): what a query without keys gets, 0 rather than NaN. kernels/attention.h has them to the letter. */
#include "kernels/attention.h"

#include "graph/op.h"

#include <math.h>

enum { QUERIES, KEYS, VALUES, MASK };

static struct attention_strides strides_of(const struct value *value)
{
    int64_t strides[4];
    contiguous_strides(4, value->dims, strides);
    return (struct attention_strides){strides[0], strides[1], strides[2], strides[3]};
}

static enum status check_mask(struct op_context *c, struct attention_params *p)
{
    const struct value *mask = op_input(c, MASK);
    const int64_t scores[4] = {p->batch, p->heads, p->queries, p->keys};
    TRY(op_allow(c, MASK, TYPE(DTYPE_BOOL) | TYPE(p->dtype)));
    if (!mask)
        return STATUS_OK;
    TRY(op_require_rank(c, MASK, 0, 4));
    p->mask_dtype = mask->dtype;
    for (int i = 0; i < mask->rank; i++) {
        char given[120], whole[120];
        if (mask->dims[i] != 1 && mask->dims[i] != scores[4 - mask->rank + i])
            return op_error(c, STATUS_INVALID_ARGUMENT, "a mask of shape %s does not broadcast to %s",
                            value_shape_text(NULL, mask, given, sizeof given),
                            shape_text(NULL, 4, scores, whole, sizeof whole));
    }
    return STATUS_OK;
}

/* An edge of the window, relative to the query: beyond these bounds it makes no difference. */
static int64_t edge(const struct attention_params *p, int64_t asked)
{
    return asked < -p->queries ? -p->queries : asked > p->keys ? p->keys : asked;
}

static enum status read_params(struct op_context *c, struct attention_params *p)
{
    for (int i = QUERIES; i <= VALUES; i++) {
        TRY(op_require(c, i, i == QUERIES ? TYPES_FLOAT : TYPE(op_input(c, QUERIES)->dtype)));
        TRY(op_require_rank(c, i, 4, 4));
    }
    const int64_t *q = op_input(c, QUERIES)->dims, *k = op_input(c, KEYS)->dims, *v = op_input(c, VALUES)->dims;
    if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3] || (k[1] ? q[1] % k[1] : q[1]))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the sizes of queries, keys and values do not fit");
    *p = (struct attention_params){
        .dtype = op_input(c, QUERIES)->dtype,
        .batch = q[0],
        .heads = q[1],
        .group = k[1] ? q[1] / k[1] : 1,
        .queries = q[2],
        .keys = k[2],
        .head = q[3],
        .v_head = v[3],
        .scale = q[3] ? 1 / sqrt((double)q[3]) : 1,
        .softcap = (double)op_float(c, "softcap"),
        .blind_is_zero = op_int(c, "blind_is_zero") != 0,
    };
    if (op_has(c, "scale"))
        p->scale = (double)op_float(c, "scale");
    p->first = edge(p, op_int(c, "first"));
    p->last = edge(p, op_int(c, "last"));
    return check_mask(c, p);
}

static enum status shapes_scaled(struct op_context *c)
{
    struct attention_params p;
    TRY(read_params(c, &p));
    return op_set_output(c, 0, p.dtype, 4, (int64_t[]){p.batch, p.heads, p.queries, p.v_head});
}

static enum status lower_scaled(struct op_context *c)
{
    struct attention_params p;
    TRY(read_params(c, &p));
    p.q = strides_of(op_input(c, QUERIES));
    p.k = strides_of(op_input(c, KEYS));
    p.v = strides_of(op_input(c, VALUES));
    p.y = strides_of(op_output(c, 0));
    struct value *mask = op_input(c, MASK);
    if (mask) {
        int64_t strides[4];
        broadcast_strides(mask, 4, strides);
        p.mask = (struct attention_strides){strides[0], strides[1], strides[2], strides[3]};
    }
    return op_emit(c, FAMILY_attention, &p, sizeof p, 4,
                   (struct value *[]){op_input(c, QUERIES), op_input(c, KEYS), op_input(c, VALUES), mask}, 1,
                   c->node->outputs, 0);
}

const struct op op_infer_ScaledDotProductAttention = {
    .domain = OWN_DOMAIN,
    .name = "ScaledDotProductAttention",
    .min_inputs = 3,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .flags = OP_HALF_AS_F32,
    ATTRIBUTES_OF(infer_ScaledDotProductAttention),
    .shapes = shapes_scaled,
    .lower = lower_scaled,
};
