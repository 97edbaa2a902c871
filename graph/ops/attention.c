/* Attention: one step, or matrix products, a bias and a softmax where somebody wants to see the scores. */
#include "graph/ops/attention.h"

#include "graph/ops/build.h"
#include "graph/ops/tools.h"

#include <math.h>

/* --- the two products ------------------------------------------------------------------------------------- */

/* Query heads that share a head of keys stand one after the other, so together they are a matrix with more rows. */
static struct value *join_heads(struct op_context *c, const struct attention *a, struct value *x, int64_t columns)
{
    if (a->heads == a->kv_heads)
        return x;
    int64_t rows = a->kv_heads ? a->heads / a->kv_heads * a->queries : 0;
    return build_reshape(c, x, 4, (int64_t[]){a->batch, a->kv_heads, rows, columns});
}

static struct value *part_heads(struct op_context *c, const struct attention *a, struct value *x, int64_t columns)
{
    if (a->heads == a->kv_heads)
        return x;
    return build_reshape(c, x, 4, (int64_t[]){a->batch, a->heads, a->queries, columns});
}

struct value *attention_scores(struct op_context *c, const struct attention *a, struct value *q, struct value *k,
                               double scale)
{
    struct value *root = build_number(c, a->dtype, sqrt(scale));
    struct value *columns = build_transpose(c, op_build2(c, "Mul", k, root), 4, (int64_t[]){0, 1, 3, 2});
    struct value *rows = join_heads(c, a, op_build2(c, "Mul", q, root), a->head);
    return part_heads(c, a, op_build2(c, "MatMul", rows, columns), a->keys);
}

struct value *attention_mean(struct op_context *c, const struct attention *a, struct value *weights, struct value *v)
{
    return part_heads(c, a, op_build2(c, "MatMul", join_heads(c, a, weights, a->keys), v), a->v_head);
}

/* --- one step --------------------------------------------------------------------------------------------- */

bool attention_takes_one_step(const struct attention *a, enum dtype precision)
{
    return a->dtype == DTYPE_F64 || precision != DTYPE_F64;
}

struct value *attention_node(struct op_context *c, struct value *q, struct value *k, struct value *v,
                             struct value *mask, int attribute_count, const struct attribute *attributes)
{
    return op_build(
        c, "ScaledDotProductAttention", mask ? 4 : 3, (struct value *[]){q, k, v, mask},
        &(struct op_build_options){.domain = OWN_DOMAIN, .attributes = attributes, .attribute_count = attribute_count});
}

/* --- Attention: (Q, K, V, mask, past key, past value, valid keys) → (Y, key, value, scores) --------------- */

enum { MASK = 3, PAST_KEY, PAST_VALUE, VALID_KEYS };

struct operands {
    struct attention a;
    bool packed;         /* [batch, positions, heads * elements] rather than [batch, heads, positions, elements] */
    int64_t past, fresh; /* positions of keys: cached, and given */
};

/* Sizes of a tensor that is packed or not. */
static enum status read_heads(struct op_context *c, int i, int64_t heads, int64_t sizes[4])
{
    const struct value *x = op_input(c, i);
    sizes[0] = x->dims[0];
    sizes[1] = heads;
    if (x->rank == 4) {
        for (int k = 1; k < 4; k++)
            sizes[k] = x->dims[k];
        return STATUS_OK;
    }
    if (heads < 1 || x->dims[2] % heads != 0)
        return op_error(c, STATUS_INVALID_MODEL, "%lld elements of input %d cannot be cut into %lld heads",
                        (long long)x->dims[2], i, (long long)heads);
    sizes[2] = x->dims[1];
    sizes[3] = x->dims[2] / heads;
    return STATUS_OK;
}

static enum status check_cache(struct op_context *c, int i, const int64_t sizes[4], int64_t past)
{
    TRY(op_require(c, i, TYPE(op_input(c, i - PAST_KEY + 1)->dtype)));
    TRY(op_require_rank(c, i, 4, 4));
    const int64_t *dims = op_input(c, i)->dims;
    if (dims[0] == sizes[0] && dims[1] == sizes[1] && dims[2] == past && dims[3] == sizes[3])
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_ARGUMENT, "the cache, input %d, does not fit the keys and values", i);
}

static enum status read_operands(struct op_context *c, struct operands *o)
{
    int64_t q[4], k[4], v[4];
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require(c, 2, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 3, 4));
    TRY(op_require_rank(c, 1, op_input(c, 0)->rank, op_input(c, 0)->rank));
    TRY(op_require_rank(c, 2, op_input(c, 0)->rank, op_input(c, 0)->rank));
    TRY(read_heads(c, 0, op_int(c, "q_num_heads"), q));
    TRY(read_heads(c, 1, op_int(c, "kv_num_heads"), k));
    TRY(read_heads(c, 2, op_int(c, "kv_num_heads"), v));
    if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3] || (k[1] ? q[1] % k[1] : q[1]))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the sizes of queries, keys and values do not fit");
    bool cached = op_input(c, PAST_KEY) != NULL;
    if (cached != (op_input(c, PAST_VALUE) != NULL) || (cached && op_input(c, VALID_KEYS)))
        return op_error(c, STATUS_INVALID_MODEL,
                        "past keys and past values come together, and without a count of valid keys");
    if (cached)
        TRY(op_require_rank(c, PAST_KEY, 4, 4));
    *o = (struct operands){
        .a = {.batch = q[0], .heads = q[1], .kv_heads = k[1], .queries = q[2], .head = q[3], .v_head = v[3]},
        .packed = op_input(c, 0)->rank == 3,
        .past = cached ? op_input(c, PAST_KEY)->dims[2] : 0,
        .fresh = k[2],
    };
    o->a.dtype = op_input(c, 0)->dtype;
    if (!add_size((size_t)o->past, (size_t)o->fresh, (size_t *)&o->a.keys))
        return op_error(c, STATUS_INVALID_ARGUMENT, "there are too many keys");
    if (!cached)
        return STATUS_OK;
    TRY(check_cache(c, PAST_KEY, k, o->past));
    return check_cache(c, PAST_VALUE, v, o->past);
}

/* The mask broadcasts to the scores, but may have fewer keys: the missing ones are masked. */
static enum status check_mask(struct op_context *c, const struct attention *a)
{
    const struct value *mask = op_input(c, MASK);
    const int64_t dims[4] = {a->batch, a->heads, a->queries, a->keys};
    TRY(op_allow(c, MASK, TYPE(DTYPE_BOOL) | TYPE(a->dtype)));
    if (!mask)
        return STATUS_OK;
    TRY(op_require_rank(c, MASK, 1, 4));
    bool fits = mask->dims[mask->rank - 1] <= a->keys;
    for (int i = 0; i + 1 < mask->rank; i++)
        fits = fits && (mask->dims[i] == 1 || mask->dims[i] == dims[4 - mask->rank + i]);
    if (fits)
        return STATUS_OK;
    char given[120], wanted[120];
    return op_error(c, STATUS_INVALID_ARGUMENT, "a mask of shape %s does not broadcast to %s",
                    value_shape_text(NULL, mask, given, sizeof given),
                    shape_text(NULL, 4, dims, wanted, sizeof wanted));
}

static enum status check_options(struct op_context *c, const struct attention *a)
{
    int64_t mode = op_int(c, "qk_matmul_output_mode"), precision = op_int_or(c, "softmax_precision", DTYPE_F32);
    if (mode < 0 || mode > 3)
        return op_error(c, STATUS_INVALID_MODEL, "qk_matmul_output_mode is %lld; it must be 0 to 3", (long long)mode);
    if (precision < 0 || precision >= DTYPE_COUNT || !(TYPES_FLOAT & TYPE(precision)))
        return op_error(c, STATUS_INVALID_MODEL, "softmax_precision %lld is not a type it can be computed in",
                        (long long)precision);
    if (op_int(c, "left_window_size") < -1 || op_int(c, "right_window_size") < -1)
        return op_error(c, STATUS_INVALID_MODEL, "a window size is negative and not -1");
    const struct value *valid = op_input(c, VALID_KEYS);
    TRY(op_allow(c, VALID_KEYS, TYPE(DTYPE_I64)));
    if (valid && (valid->rank != 1 || valid->dims[0] != a->batch))
        return op_error(c, STATUS_INVALID_ARGUMENT, "there must be one count of valid keys for each of %lld sequences",
                        (long long)a->batch);
    return STATUS_OK;
}

static enum status shapes_attention(struct op_context *c)
{
    struct operands o;
    TRY(read_operands(c, &o));
    const struct attention *a = &o.a;
    TRY(check_mask(c, a));
    TRY(check_options(c, a));
    enum dtype v_type = op_input(c, 2)->dtype;
    if (o.packed)
        TRY(op_set_output(c, 0, a->dtype, 3, (int64_t[]){a->batch, a->queries, a->heads * a->v_head}));
    else
        TRY(op_set_output(c, 0, a->dtype, 4, (int64_t[]){a->batch, a->heads, a->queries, a->v_head}));
    TRY(op_set_output(c, 1, a->dtype, 4, (int64_t[]){a->batch, a->kv_heads, a->keys, a->head}));
    TRY(op_set_output(c, 2, v_type, 4, (int64_t[]){a->batch, a->kv_heads, a->keys, a->v_head}));
    return op_set_output(c, 3, a->dtype, 4, (int64_t[]){a->batch, a->heads, a->queries, a->keys});
}

/* Input i as [batch, heads, positions, elements]. */
static struct value *unpacked(struct op_context *c, int i, const int64_t sizes[4])
{
    struct value *x = op_input(c, i);
    if (x->rank == 4)
        return x;
    x = build_reshape(c, x, 4, (int64_t[]){sizes[0], sizes[2], sizes[1], sizes[3]});
    return build_transpose(c, x, 4, (int64_t[]){0, 2, 1, 3});
}

/* --- the bias --------------------------------------------------------------------------------------------- */

static struct value *both(struct op_context *c, struct value *a, struct value *b)
{
    return a && b ? op_build2(c, "And", a, b) : a ? a : b;
}

/* The mask with masked keys added up to all of them. */
static struct value *complete_mask(struct op_context *c, const struct attention *a)
{
    struct value *mask = op_input(c, MASK);
    if (!mask || mask->dims[mask->rank - 1] == a->keys)
        return mask;
    int64_t dims[4];
    for (int i = 0; i < mask->rank; i++)
        dims[i] = mask->dims[i];
    dims[mask->rank - 1] = a->keys - mask->dims[mask->rank - 1];
    struct value *masked = build_number(c, mask->dtype, mask->dtype == DTYPE_BOOL ? 0 : -INFINITY);
    return build_concat(c, mask, build_expand(c, masked, mask->rank, dims), mask->rank - 1);
}

/* Which keys each query may see, by the count of valid keys, causality and windows; NULL: all. Query i stands at
 * position offset + i among the keys. */
static struct value *allowed_keys(struct op_context *c, const struct operands *o)
{
    const struct attention *a = &o->a;
    int64_t left = op_int(c, "left_window_size"), right = op_int(c, "right_window_size");
    bool causal = op_int(c, "is_causal") != 0;
    struct value *valid = op_input(c, VALID_KEYS), *allowed = NULL, *offset = NULL;
    struct value *keys = build_iota(c, a->keys, 2, 1);
    if (valid) {
        valid = build_reshape(c, valid, 4, (int64_t[]){a->batch, 1, 1, 1});
        allowed = op_build2(c, "Less", keys, valid);
        offset = op_build2(c, "Sub", valid, build_number(c, DTYPE_I64, (double)a->queries));
    }
    if (!causal && left < 0 && right < 0)
        return allowed;
    if (!offset)
        offset = build_number(c, DTYPE_I64, (double)o->past);
    struct value *position = op_build2(c, "Add", build_iota(c, a->queries, 2, 0), offset);
    if (causal)
        allowed = both(c, allowed, op_build2(c, "LessOrEqual", keys, position));
    if (left >= 0) {
        struct value *first = op_build2(c, "Sub", position, build_number(c, DTYPE_I64, (double)left));
        allowed = both(c, allowed, op_build2(c, "LessOrEqual", first, keys));
    }
    if (right >= 0) {
        struct value *last = op_build2(c, "Add", position, build_number(c, DTYPE_I64, (double)right));
        allowed = both(c, allowed, op_build2(c, "LessOrEqual", keys, last));
    }
    return allowed;
}

/* The same as a window, where no count of valid keys moves it: query i sees the keys from i + first to i + last. */
struct window {
    int64_t first, last;
};

static struct window fixed_window(const struct op_context *c, const struct operands *o)
{
    int64_t left = op_int(c, "left_window_size"), right = op_int(c, "right_window_size");
    struct window window = {.first = INT64_MIN, .last = INT64_MAX};
    if (left >= 0)
        window.first = o->past - left;
    if (op_int(c, "is_causal") != 0)
        window.last = o->past;
    else if (right >= 0 && right <= o->a.keys)
        window.last = o->past + right;
    return window;
}

/* The mask and what forbids keys beside it, as one mask of the kind that was given, or boolean; NULL: none. */
static struct value *whole_mask(struct op_context *c, const struct operands *o, struct value *allowed)
{
    struct value *mask = complete_mask(c, &o->a);
    if (!allowed || !mask || op_input(c, MASK)->dtype == DTYPE_BOOL)
        return both(c, allowed, mask);
    return build_select(c, allowed, mask, build_number(c, o->a.dtype, -INFINITY));
}

/* What is added to the scores; NULL: nothing. */
static struct value *attention_bias(struct op_context *c, const struct operands *o)
{
    struct value *mask = whole_mask(c, o, allowed_keys(c, o));
    if (!mask || (op_input(c, MASK) && op_input(c, MASK)->dtype != DTYPE_BOOL))
        return mask;
    return build_select(c, mask, build_number(c, o->a.dtype, 0), build_number(c, o->a.dtype, -INFINITY));
}

/* --- the whole -------------------------------------------------------------------------------------------- */

static struct value *softened(struct op_context *c, struct value *scores, enum dtype dtype)
{
    double cap = (double)op_float(c, "softcap");
    if (!(cap > 0))
        return scores;
    struct value *bound = build_number(c, dtype, cap);
    return op_build2(c, "Mul", op_build1(c, "Tanh", op_build2(c, "Div", scores, bound)), bound);
}

/* Softmax, but 0 for queries that the bias forbids every key: there exp(-inf - -inf) would be a NaN. */
static struct value *attention_weights(struct op_context *c, struct value *scores, struct value *bias, enum dtype dtype)
{
    enum dtype precision = (enum dtype)op_int_or(c, "softmax_precision", dtype);
    struct value *wide = precision == dtype ? scores : build_cast(c, scores, precision);
    struct value *weights = op_build1(c, "Softmax", wide);
    if (bias) {
        struct value *most = build_reduce(c, "ReduceMax", bias, -1);
        struct value *blind = op_build2(c, "Equal", most, build_number(c, dtype, -INFINITY));
        weights = build_select(c, blind, build_number(c, precision, 0), weights);
    }
    return precision == dtype ? weights : build_cast(c, weights, dtype);
}

/* All stages of the scores, and the result. */
static struct value *staged_attention(struct op_context *c, const struct operands *o, struct value *q, struct value *k,
                                      struct value *v)
{
    const struct attention *a = &o->a;
    double scale = op_has(c, "scale") ? (double)op_float(c, "scale") : 1 / sqrt((double)a->head);
    struct value *stages[4], *bias = attention_bias(c, o);
    stages[0] = attention_scores(c, a, q, k, scale);
    stages[1] = softened(c, stages[0], a->dtype);
    stages[2] = bias ? op_build2(c, "Add", stages[1], bias) : stages[1];
    stages[3] = attention_weights(c, stages[2], bias, a->dtype);
    if (build_output(c, 3, stages[op_int(c, "qk_matmul_output_mode")]) != STATUS_OK)
        return NULL;
    return attention_mean(c, a, stages[3], v);
}

static struct value *attention_in_one_step(struct op_context *c, const struct operands *o, struct value *q,
                                           struct value *k, struct value *v)
{
    bool moves = op_input(c, VALID_KEYS) != NULL; /* the window, with the count of valid keys: then it is a mask */
    struct window window = moves ? (struct window){INT64_MIN, INT64_MAX} : fixed_window(c, o);
    struct value *mask = whole_mask(c, o, moves ? allowed_keys(c, o) : NULL);
    struct attribute attributes[5] = {ATTRIBUTE_I("first", window.first), ATTRIBUTE_I("last", window.last),
                                      ATTRIBUTE_I("blind_is_zero", 1), ATTRIBUTE_F("softcap", op_float(c, "softcap"))};
    int count = 4;
    if (op_has(c, "scale"))
        attributes[count++] = ATTRIBUTE_F("scale", op_float(c, "scale"));
    return attention_node(c, q, k, v, mask, count, attributes);
}

static enum status expand_attention(struct op_context *c)
{
    struct operands o;
    TRY(read_operands(c, &o));
    const struct attention *a = &o.a;
    struct value *q = unpacked(c, 0, (int64_t[]){a->batch, a->heads, a->queries, a->head});
    struct value *k = unpacked(c, 1, (int64_t[]){a->batch, a->kv_heads, o.fresh, a->head});
    struct value *v = unpacked(c, 2, (int64_t[]){a->batch, a->kv_heads, o.fresh, a->v_head});
    if (op_input(c, PAST_KEY)) {
        k = build_concat(c, op_input(c, PAST_KEY), k, 2);
        v = build_concat(c, op_input(c, PAST_VALUE), v, 2);
    }
    TRY(build_output(c, 1, k));
    TRY(build_output(c, 2, v));
    if (op_input(c, 2)->dtype != a->dtype)
        v = build_cast(c, v, a->dtype);
    enum dtype precision = (enum dtype)op_int_or(c, "softmax_precision", a->dtype);
    bool whole = !op_output(c, 3) && attention_takes_one_step(a, precision);
    struct value *y = whole ? attention_in_one_step(c, &o, q, k, v) : staged_attention(c, &o, q, k, v);
    if (o.packed) {
        y = build_transpose(c, y, 4, (int64_t[]){0, 2, 1, 3});
        y = build_reshape(c, y, 3, (int64_t[]){a->batch, a->queries, a->heads * a->v_head});
    }
    return build_output(c, 0, y);
}

OPERATOR(Attention, 3, 7, 1, 4, shapes_attention, .expand = expand_attention)
