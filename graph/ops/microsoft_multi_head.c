/* MultiHeadAttention of com.microsoft: (query, key, value, bias, mask, addend, past key, past value, past length,
 * indirection) → (y, key, value, scores). */
#include "graph/ops/microsoft_attention.h"

enum { QUERY, KEY, VALUE, BIAS, MASK, ADDEND, PAST_KEY, PAST_VALUE, PAST_LENGTH, INDIRECTION };

struct multi_head {
    struct attention a;
    int64_t past, fresh; /* positions of keys: of the past, and given */
    int parts;           /* of which the query is one: 3 where it has keys and values too, 2 where the key has the
                            values, 1 */
    bool is_split;       /* keys and values are [batch, heads, positions, elements] */
};

/* Input i is [batch, positions, heads * elements]. */
static enum status read_packed(struct op_context *c, int i, int64_t heads, int64_t *positions, int64_t *width)
{
    TRY(op_require(c, i, TYPE(op_input(c, QUERY)->dtype)));
    TRY(op_require_rank(c, i, 3, 3));
    const int64_t *dims = op_input(c, i)->dims;
    if (dims[2] % heads != 0 || dims[0] != op_input(c, QUERY)->dims[0])
        return op_error(c, STATUS_INVALID_ARGUMENT,
                        "input %d of %lld sequences of %lld elements does not fit %lld heads", i, (long long)dims[0],
                        (long long)dims[2], (long long)heads);
    *positions = dims[1];
    *width = dims[2] / heads;
    return STATUS_OK;
}

/* Input i is [batch, positions, heads, parts, elements]. */
static enum status read_parts(struct op_context *c, int i, int64_t heads, struct multi_head *m)
{
    const int64_t *dims = op_input(c, i)->dims;
    if (dims[2] != heads || dims[3] != m->parts || dims[0] != op_input(c, QUERY)->dims[0] || op_input(c, i + 1))
        return op_error(c, STATUS_INVALID_ARGUMENT, "input %d does not hold %d tensors of %lld heads", i, m->parts,
                        (long long)heads);
    m->fresh = dims[1];
    m->a.v_head = dims[4];
    return STATUS_OK;
}

static enum status read_keys(struct op_context *c, int64_t heads, struct multi_head *m)
{
    int64_t width, positions;
    struct value *key = op_input(c, KEY), *value = op_input(c, VALUE);
    if (op_input(c, QUERY)->rank == 5) {
        m->parts = 3;
        TRY(read_parts(c, QUERY, heads, m));
        m->a.queries = m->fresh;
        m->a.head = m->a.v_head;
        return STATUS_OK;
    }
    TRY(read_packed(c, QUERY, heads, &m->a.queries, &m->a.head));
    TRY(op_require(c, KEY, TYPE(op_input(c, QUERY)->dtype)));
    if (key->rank == 5) {
        m->parts = 2;
        TRY(read_parts(c, KEY, heads, m));
        width = m->a.v_head;
    } else if (key->rank == 4) {
        TRY(op_require(c, VALUE, TYPE(key->dtype)));
        TRY(op_require_rank(c, VALUE, 4, 4));
        m->is_split = true;
        m->fresh = key->dims[2];
        width = key->dims[3];
        m->a.v_head = value->dims[3];
        if (key->dims[0] != op_input(c, QUERY)->dims[0] || key->dims[1] != heads || value->dims[0] != key->dims[0] ||
            value->dims[1] != heads || value->dims[2] != m->fresh || op_input(c, PAST_KEY))
            return op_error(c, STATUS_INVALID_ARGUMENT, "keys and values do not fit %lld heads", (long long)heads);
    } else {
        TRY(op_require(c, VALUE, TYPE(key->dtype)));
        TRY(read_packed(c, KEY, heads, &m->fresh, &width));
        TRY(read_packed(c, VALUE, heads, &positions, &m->a.v_head));
        if (positions != m->fresh)
            return op_error(c, STATUS_INVALID_ARGUMENT, "there are %lld keys and %lld values", (long long)m->fresh,
                            (long long)positions);
    }
    return width == m->a.head ? STATUS_OK
                              : op_error(c, STATUS_INVALID_ARGUMENT, "queries have %lld elements, keys %lld",
                                         (long long)m->a.head, (long long)width);
}

static enum status read_past(struct op_context *c, struct multi_head *m)
{
    bool given = op_input(c, PAST_KEY) != NULL;
    if (given != (op_input(c, PAST_VALUE) != NULL))
        return op_error(c, STATUS_INVALID_MODEL, "past keys and past values come together");
    for (int i = PAST_KEY; given && i <= PAST_VALUE; i++) {
        TRY(op_require(c, i, TYPE(m->a.dtype)));
        TRY(op_require_rank(c, i, 4, 4));
        const int64_t *dims = op_input(c, i)->dims;
        m->past = op_input(c, PAST_KEY)->dims[2];
        if (dims[0] != m->a.batch || dims[1] != m->a.heads || dims[2] != m->past ||
            dims[3] != (i == PAST_KEY ? m->a.head : m->a.v_head))
            return op_error(c, STATUS_INVALID_ARGUMENT, "the past, input %d, does not fit the keys and values", i);
    }
    if (__builtin_add_overflow(m->past, m->fresh, &m->a.keys))
        return op_error(c, STATUS_INVALID_ARGUMENT, "there are too many keys");
    return STATUS_OK;
}

static enum status read_multi_head(struct op_context *c, struct multi_head *m)
{
    int64_t heads = op_int(c, "num_heads");
    *m = (struct multi_head){.parts = 1};
    TRY(op_require(c, QUERY, TYPES_FLOAT & ~TYPE(DTYPE_F64)));
    TRY(op_require_rank(c, QUERY, 3, 5));
    if (heads < 1 || op_input(c, QUERY)->rank == 4)
        return op_error(c, STATUS_INVALID_MODEL, "num_heads is %lld, and the query has rank %d", (long long)heads,
                        op_input(c, QUERY)->rank);
    m->a.batch = op_input(c, QUERY)->dims[0];
    m->a.heads = m->a.kv_heads = heads;
    m->a.dtype = op_input(c, QUERY)->dtype;
    if (op_input(c, PAST_LENGTH) || op_input(c, INDIRECTION))
        return op_error(c, STATUS_UNSUPPORTED, "past and present in one buffer are not supported");
    TRY(read_keys(c, heads, m));
    TRY(read_past(c, m));
    TRY(op_allow(c, BIAS, TYPE(m->a.dtype)));
    const struct value *bias = op_input(c, BIAS);
    if (bias && (bias->rank != 1 || bias->dims[0] != heads * (2 * m->a.head + m->a.v_head)))
        return op_error(c, STATUS_INVALID_MODEL, "the bias does not fit queries, keys and values");
    TRY(microsoft_check_mask(c, MASK, &m->a));
    return microsoft_check_bias(c, ADDEND, &m->a);
}

static enum status shapes_multi_head(struct op_context *c)
{
    struct multi_head m;
    TRY(read_multi_head(c, &m));
    const struct attention *a = &m.a;
    TRY(op_set_output(c, 1, a->dtype, 4, (int64_t[]){a->batch, a->heads, a->keys, a->head}));
    TRY(op_set_output(c, 2, a->dtype, 4, (int64_t[]){a->batch, a->heads, a->keys, a->v_head}));
    TRY(op_set_output(c, 3, a->dtype, 4, (int64_t[]){a->batch, a->heads, a->queries, a->keys}));
    return op_set_output(c, 0, a->dtype, 3, (int64_t[]){a->batch, a->queries, a->heads * a->v_head});
}

/* Queries, keys or values (`which`) as [batch, positions, heads * elements]. */
static struct value *operand(struct op_context *c, const struct multi_head *m, int which)
{
    int first = m->parts == 3 ? 0 : m->parts == 2 ? 1 : which; /* of the tensors that lie with it */
    int64_t positions = which == 0 ? m->a.queries : m->fresh, width = which == 2 ? m->a.v_head : m->a.head;
    struct value *x = op_input(c, which < first ? which : first);
    if (x->rank != 5)
        return x;
    x = build_slice(c, x, 3, which - first, which - first + 1);
    return build_reshape(c, x, 3, (int64_t[]){m->a.batch, positions, m->a.heads * width});
}

/* The same with its bias, as [batch, heads, positions, elements]. Keys and values that are so already have no bias. */
static struct value *biased(struct op_context *c, const struct multi_head *m, int which)
{
    if (m->is_split && which > 0)
        return op_input(c, which);
    struct value *x = operand(c, m, which);
    int64_t width = which == 2 ? m->a.v_head : m->a.head, begin = which * m->a.heads * m->a.head;
    if (op_input(c, BIAS))
        x = op_build2(c, "Add", x, build_slice(c, op_input(c, BIAS), 0, begin, begin + m->a.heads * width));
    return microsoft_heads(c, x, 0, m->a.batch, which == 0 ? m->a.queries : m->fresh, m->a.heads, width);
}

static enum status expand_multi_head(struct op_context *c)
{
    struct multi_head m;
    struct value *qkv[3];
    TRY(read_multi_head(c, &m));
    for (int i = 0; i < 3; i++)
        qkv[i] = biased(c, &m, i);
    for (int i = 1; op_input(c, PAST_KEY) && i < 3; i++)
        qkv[i] = build_concat(c, op_input(c, i == 1 ? PAST_KEY : PAST_VALUE), qkv[i], 2);
    TRY(build_output(c, 1, qkv[1]));
    TRY(build_output(c, 2, qkv[2]));
    struct value *y = microsoft_attend(c, &m.a, qkv, microsoft_addend(c, MASK, ADDEND, &m.a), m.past, 3);
    return build_output(c, 0, microsoft_packed(c, y, m.a.batch, m.a.queries, m.a.heads, m.a.v_head));
}

MICROSOFT_OPERATOR(MultiHeadAttention, 1, 10, 1, 4, shapes_multi_head, .expand = expand_multi_head)
