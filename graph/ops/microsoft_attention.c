/* Attention, MultiHeadAttention and QAttention of com.microsoft: attention in one step, where nobody wants the scores.
 */
#include "graph/ops/microsoft_attention.h"

#include <math.h>
#include <string.h>

/* --- heads ------------------------------------------------------------------------------------------------ */

static const int64_t swapped[4] = {0, 2, 1, 3};

struct value *microsoft_heads(struct op_context *c, struct value *x, int64_t begin, int64_t batch, int64_t positions,
                              int64_t heads, int64_t width)
{
    x = build_slice(c, x, 2, begin, begin + heads * width);
    return build_transpose(c, build_reshape(c, x, 4, (int64_t[]){batch, positions, heads, width}), 4, swapped);
}

struct value *microsoft_packed(struct op_context *c, struct value *x, int64_t batch, int64_t positions, int64_t heads,
                               int64_t width)
{
    x = build_transpose(c, x, 4, swapped);
    return build_reshape(c, x, 3, (int64_t[]){batch, positions, heads * width});
}

/* --- masks and addends ------------------------------------------------------------------------------------ */

enum status microsoft_check_mask(struct op_context *c, int i, const struct attention *a)
{
    TRY(op_allow(c, i, TYPE(DTYPE_I32)));
    const struct value *mask = op_input(c, i);
    if (!mask)
        return STATUS_OK;
    bool fits = mask->rank == 1 && (mask->dims[0] == a->batch || mask->dims[0] == 2 * a->batch);
    if (mask->rank == 2)
        fits = mask->dims[0] == a->batch && mask->dims[1] == a->keys;
    if (mask->rank == 3)
        fits = mask->dims[0] == a->batch && mask->dims[1] == a->queries && mask->dims[2] == a->keys;
    if (fits)
        return STATUS_OK;
    char text[120];
    return op_error(c, STATUS_UNSUPPORTED, "a mask of shape %s for %lld sequences of %lld keys is not supported",
                    value_shape_text(NULL, mask, text, sizeof text), (long long)a->batch, (long long)a->keys);
}

enum status microsoft_check_bias(struct op_context *c, int i, const struct attention *a)
{
    TRY(op_allow(c, i, TYPE(a->dtype)));
    const struct value *bias = op_input(c, i);
    if (!bias)
        return STATUS_OK;
    const int64_t scores[4] = {a->batch, a->heads, a->queries, a->keys};
    bool fits = bias->rank == 4;
    for (int k = 0; fits && k < 4; k++)
        fits = bias->dims[k] == scores[k] || (k < 2 && bias->dims[k] == 1);
    if (fits)
        return STATUS_OK;
    char given[120], wanted[120];
    return op_error(c, STATUS_INVALID_ARGUMENT, "an addend of shape %s does not broadcast to scores of %s",
                    value_shape_text(NULL, bias, given, sizeof given),
                    shape_text(NULL, 4, scores, wanted, sizeof wanted));
}

/* Which keys may be seen, such that it broadcasts against the scores. */
static struct value *seen_keys(struct op_context *c, struct value *mask, const struct attention *a)
{
    const int64_t column[4] = {a->batch, 1, 1, 1};
    if (mask->rank > 1) {
        const int64_t dims[4] = {a->batch, 1, mask->rank == 3 ? a->queries : 1, a->keys};
        return build_reshape(c, op_build2(c, "Greater", mask, build_number(c, DTYPE_I32, 0)), 4, dims);
    }
    struct value *keys = build_cast(c, build_iota(c, a->keys, 1, 0), DTYPE_I32);
    struct value *end = build_reshape(c, build_slice(c, mask, 0, 0, a->batch), 4, column);
    struct value *seen = op_build2(c, "Less", keys, end);
    if (mask->dims[0] == a->batch)
        return seen;
    struct value *start = build_reshape(c, build_slice(c, mask, 0, a->batch, 2 * a->batch), 4, column);
    return op_build2(c, "And", seen, op_build2(c, "GreaterOrEqual", keys, start));
}

struct value *microsoft_addend(struct op_context *c, int mask, int bias, const struct attention *a)
{
    struct value *addend = bias >= 0 ? op_input(c, bias) : NULL;
    if (mask < 0 || !op_input(c, mask))
        return addend;
    struct value *filter = build_number(c, a->dtype, (double)op_float_or(c, "mask_filter_value", -10000));
    struct value *seen = seen_keys(c, op_input(c, mask), a);
    struct value *filtered = build_select(c, seen, build_number(c, a->dtype, 0), filter);
    return addend ? op_build2(c, "Add", addend, filtered) : filtered;
}

/* --- attention -------------------------------------------------------------------------------------------- */

static double scale_of(const struct op_context *c, const struct attention *a)
{
    double scale = (double)op_float_or(c, "scale", 0);
    return scale != 0 ? scale : 1 / sqrt((double)a->head);
}

/* The scores of keys that come after the query, where they are to be told: the least number. */
static struct value *causal_addend(struct op_context *c, const struct attention *a, int64_t past, struct value *addend)
{
    struct value *position =
        op_build2(c, "Add", build_iota(c, a->queries, 2, 0), build_number(c, DTYPE_I64, (double)past));
    struct value *seen = op_build2(c, "LessOrEqual", build_iota(c, a->keys, 2, 1), position);
    double least = a->dtype == DTYPE_F16 ? -65504 : -3.40282346638528859812e+38;
    return build_select(c, seen, addend ? addend : build_number(c, a->dtype, 0), build_number(c, a->dtype, least));
}

struct value *microsoft_attend(struct op_context *c, const struct attention *a, struct value *const qkv[3],
                               struct value *addend, int64_t past, int scores)
{
    bool causal = op_int(c, "unidirectional") != 0 && a->queries > 1;
    if (scores < 0 || !op_output(c, scores)) {
        const struct attribute attributes[2] = {ATTRIBUTE_F("scale", (float)scale_of(c, a)),
                                                ATTRIBUTE_I("last", causal ? past : INT64_MAX)};
        return attention_node(c, qkv[0], qkv[1], qkv[2], addend, 2, attributes);
    }
    if (causal)
        addend = causal_addend(c, a, past, addend);
    struct value *stage = attention_scores(c, a, qkv[0], qkv[1], scale_of(c, a));
    if (addend)
        stage = op_build2(c, "Add", stage, addend);
    if (build_output(c, scores, stage) != STATUS_OK)
        return NULL;
    return attention_mean(c, a, op_build1(c, "Softmax", stage), qkv[2]);
}

/* --- Attention, QAttention -------------------------------------------------------------------------------- */

static enum status refuse_options(struct op_context *c)
{
    static const char *const names[] = {"do_rotary", "past_present_share_buffer"};
    for (int i = 0; i < 2; i++)
        if (op_int_or(c, names[i], 0) != 0)
            return op_error(c, STATUS_UNSUPPORTED, "%s is not supported", names[i]);
    return STATUS_OK;
}

/* Widths of queries, which are those of keys, and of values. */
static enum status read_widths(struct op_context *c, int64_t columns, int64_t *width, int64_t *v_width)
{
    int count;
    const int64_t *given = op_int_list(c, "qkv_hidden_sizes", &count);
    *width = *v_width = columns / 3;
    bool fits = columns % 3 == 0;
    if (given && count == 3) {
        *width = given[0];
        *v_width = given[2];
        fits = given[0] == given[1] && given[0] >= 0 && given[2] >= 0 && given[0] <= columns && given[2] <= columns &&
               2 * given[0] + given[2] == columns;
    }
    return fits && (!given || count == 3)
               ? STATUS_OK
               : op_error(c, STATUS_INVALID_MODEL,
                          "%lld columns of weights cannot be cut into queries, keys and values", (long long)columns);
}

enum status microsoft_read_self(struct op_context *c, int64_t columns, struct self_attention *s)
{
    int64_t heads = op_int(c, "num_heads"), width, v_width;
    const struct value *x = op_input(c, 0), *past = op_input(c, s->past_input);
    TRY(refuse_options(c));
    TRY(read_widths(c, columns, &width, &v_width));
    if (heads < 1 || width % heads != 0 || v_width % heads != 0)
        return op_error(c, STATUS_INVALID_MODEL, "%lld elements cannot be cut into %lld heads", (long long)width,
                        (long long)heads);
    s->a = (struct attention){.batch = x->dims[0],
                              .heads = heads,
                              .kv_heads = heads,
                              .queries = x->dims[1],
                              .keys = x->dims[1],
                              .head = width / heads,
                              .v_head = v_width / heads,
                              .dtype = s->a.dtype};
    s->past = 0;
    if ((past || op_output(c, 1)) && width != v_width)
        return op_error(c, STATUS_UNSUPPORTED, "keys and values of different sizes have no common past");
    TRY(op_allow(c, s->past_input, TYPE(s->a.dtype)));
    if (past) {
        const int64_t wanted[5] = {2, s->a.batch, heads, past->rank == 5 ? past->dims[3] : 0, s->a.head};
        bool fits = past->rank == 5;
        for (int i = 0; fits && i < 5; i++)
            fits = past->dims[i] == wanted[i];
        if (!fits || __builtin_add_overflow(past->dims[3], s->a.queries, &s->a.keys))
            return op_error(c, STATUS_INVALID_ARGUMENT, "the past does not fit %lld sequences", (long long)s->a.batch);
        s->past = past->dims[3];
    }
    TRY(microsoft_check_mask(c, s->mask, &s->a));
    return s->bias < 0 ? STATUS_OK : microsoft_check_bias(c, s->bias, &s->a);
}

enum status microsoft_shapes_self(struct op_context *c, const struct self_attention *s, enum dtype dtype)
{
    const struct attention *a = &s->a;
    TRY(op_set_output(c, 1, dtype, 5, (int64_t[]){2, a->batch, a->heads, a->keys, a->head}));
    return op_set_output(c, 0, dtype, 3, (int64_t[]){a->batch, a->queries, a->heads * a->v_head});
}

/* [batch, heads, positions, width] as one of the two in a past. */
static struct value *as_half(struct op_context *c, struct value *x)
{
    return op_build2(c, "Unsqueeze", x, build_ints(c, 1, (int64_t[]){0}));
}

enum status microsoft_expand_self(struct op_context *c, const struct self_attention *s, struct value *projected)
{
    const struct attention *a = &s->a;
    int64_t width = a->heads * a->head;
    struct value *qkv[3], *past = op_input(c, s->past_input);
    for (int i = 0; i < 3; i++)
        qkv[i] = microsoft_heads(c, projected, i * width, a->batch, a->queries, a->heads, i < 2 ? a->head : a->v_head);
    for (int i = 1; past && i < 3; i++) {
        struct value *half = build_slice(c, past, 0, i - 1, i);
        half = build_reshape(c, half, 4, (int64_t[]){a->batch, a->heads, s->past, a->head});
        qkv[i] = build_concat(c, half, qkv[i], 2);
    }
    if (op_output(c, 1))
        TRY(build_output(c, 1, build_concat(c, as_half(c, qkv[1]), as_half(c, qkv[2]), 0)));
    struct value *y = microsoft_attend(c, a, qkv, microsoft_addend(c, s->mask, s->bias, a), s->past, -1);
    return build_output(c, 0, microsoft_packed(c, y, a->batch, a->queries, a->heads, a->v_head));
}

static enum status read_attention(struct op_context *c, struct self_attention *s)
{
    TRY(op_require(c, 0, TYPES_FLOAT & ~TYPE(DTYPE_F64)));
    const enum dtype dtype = op_input(c, 0)->dtype;
    TRY(op_require(c, 1, TYPE(dtype)));
    TRY(op_allow(c, 2, TYPE(dtype)));
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(op_require_rank(c, 1, 2, 2));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1), *bias = op_input(c, 2);
    if (x->dims[2] != weights->dims[0] || (bias && (bias->rank != 1 || bias->dims[0] != weights->dims[1])))
        return op_error(c, STATUS_INVALID_MODEL, "input, weights and bias do not fit");
    if (op_input(c, 6))
        return op_error(c, STATUS_UNSUPPORTED, "past and present in one buffer are not supported");
    *s = (struct self_attention){.a = {.dtype = dtype}, .mask = 3, .past_input = 4, .bias = 5};
    return microsoft_read_self(c, weights->dims[1], s);
}

static enum status shapes_attention(struct op_context *c)
{
    struct self_attention s;
    TRY(read_attention(c, &s));
    return microsoft_shapes_self(c, &s, s.a.dtype);
}

static enum status expand_attention(struct op_context *c)
{
    struct self_attention s;
    TRY(read_attention(c, &s));
    struct value *projected = op_build2(c, "MatMul", op_input(c, 0), op_input(c, 1));
    if (op_input(c, 2))
        projected = op_build2(c, "Add", projected, op_input(c, 2));
    return microsoft_expand_self(c, &s, projected);
}

MICROSOFT_OPERATOR(Attention, 2, 7, 1, 2, shapes_attention, .expand = expand_attention)

/* --- QAttention: (x, weights, bias, x scale, weight scale, mask, x zero, weight zero, past) --------------- */

static enum status read_quantized(struct op_context *c, struct self_attention *s)
{
    const unsigned bytes = TYPE(DTYPE_I8) | TYPE(DTYPE_U8);
    TRY(op_require(c, 0, bytes));
    TRY(op_require(c, 1, bytes));
    for (int i = 2; i < 5; i++)
        TRY(op_require(c, i, TYPE(DTYPE_F32)));
    TRY(op_allow(c, 6, TYPE(op_input(c, 0)->dtype)));
    TRY(op_allow(c, 7, TYPE(op_input(c, 1)->dtype)));
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(op_require_rank(c, 1, 2, 2));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1), *bias = op_input(c, 2);
    if (x->dims[2] != weights->dims[0] || bias->rank != 1 || bias->dims[0] != weights->dims[1])
        return op_error(c, STATUS_INVALID_MODEL, "input, weights and bias do not fit");
    *s = (struct self_attention){.a = {.dtype = DTYPE_F32}, .mask = 5, .past_input = 8, .bias = -1};
    return microsoft_read_self(c, weights->dims[1], s);
}

static enum status shapes_quantized(struct op_context *c)
{
    struct self_attention s;
    TRY(read_quantized(c, &s));
    return microsoft_shapes_self(c, &s, DTYPE_F32);
}

static enum status expand_quantized(struct op_context *c)
{
    struct self_attention s;
    TRY(read_quantized(c, &s));
    struct value *inputs[7] = {op_input(c, 0), op_input(c, 1), op_input(c, 3), op_input(c, 4),
                               op_input(c, 6), op_input(c, 7), op_input(c, 2)};
    static const struct op_build_options microsoft = {.domain = "com.microsoft"};
    return microsoft_expand_self(c, &s, op_build(c, "MatMulIntegerToFloat", 7, inputs, &microsoft));
}

MICROSOFT_OPERATOR(QAttention, 5, 9, 1, 2, shapes_quantized, .expand = expand_quantized)
