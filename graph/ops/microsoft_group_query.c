/* GroupQueryAttention of com.microsoft: (query, key, value, past key, past value, last keys, total length, cos, sin,
 * positions, addend, sinks, scales of a quantised past, norms, query lengths) → (y, key, value, scores).
 *
 * Each sequence has its own length: its input `last keys` is the position of its last key, and its new keys stand
 * before that. Where the new ones are all there are, as the total length tells, the past counts for nothing. */
#include "graph/ops/microsoft_attention.h"

#include <math.h>
#include <string.h>

enum {
    QUERY,
    KEY,
    VALUE,
    PAST_KEY,
    PAST_VALUE,
    LAST_KEYS,
    TOTAL,
    COSINES,
    SINES,
    POSITIONS,
    ADDEND,
    SINKS,
    KEY_SCALE,
    VALUE_SCALE,
    QUERY_NORM,
    KEY_NORM,
    QUERY_LENGTHS
};

struct group_query {
    struct attention a; /* keys: positions that the present has */
    int64_t past;       /* positions that the past has */
    int64_t total;      /* the longest sequence, with the new keys */
    bool packed;        /* the query has keys and values behind */
};

/* --- what is asked ---------------------------------------------------------------------------------------- */

static enum status refuse_options(struct op_context *c)
{
    static const char *const quantised[] = {"k_quant_type", "v_quant_type"};
    for (int i = 0; i < 2; i++)
        if (strcmp(op_string(c, quantised[i]), "NONE") != 0)
            return op_error(c, STATUS_UNSUPPORTED, "a quantised past is not supported");
    if (op_input(c, KEY_SCALE) || op_input(c, VALUE_SCALE))
        return op_error(c, STATUS_UNSUPPORTED, "a quantised past is not supported");
    if (op_input(c, QUERY_LENGTHS))
        return op_error(c, STATUS_UNSUPPORTED, "lengths of queries, its input %d, are not supported", QUERY_LENGTHS);
    if (op_int(c, "sliding_window_cache") != 0)
        return op_error(c, STATUS_UNSUPPORTED, "sliding_window_cache is not supported");
    if (op_int(c, "qk_output") != 0 || op_output(c, 3))
        return op_error(c, STATUS_UNSUPPORTED, "scores as its output 3 are not supported");
    if (op_int(c, "causal") == 0 && op_int(c, "local_window_size") > 0)
        return op_error(c, STATUS_INVALID_MODEL, "a window needs causal attention");
    return STATUS_OK;
}

static enum status read_query(struct op_context *c, struct group_query *g)
{
    int64_t heads = op_int(c, "num_heads"), kv_heads = op_int(c, "kv_num_heads");
    TRY(op_require(c, QUERY, TYPES_FLOAT & ~TYPE(DTYPE_F64)));
    TRY(op_require_rank(c, QUERY, 3, 3));
    const struct value *query = op_input(c, QUERY);
    g->packed = !op_input(c, KEY);
    if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0 || heads > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "%lld heads of queries cannot share %lld of keys", (long long)heads,
                        (long long)kv_heads);
    int64_t parts = g->packed ? heads + 2 * kv_heads : heads;
    if (query->dims[2] % parts != 0 || query->dims[2] == 0 || g->packed != !op_input(c, VALUE))
        return op_error(c, STATUS_INVALID_ARGUMENT, "a query of %lld elements cannot be cut into %lld heads",
                        (long long)query->dims[2], (long long)parts);
    g->a = (struct attention){.batch = query->dims[0],
                              .heads = heads,
                              .kv_heads = kv_heads,
                              .queries = query->dims[1],
                              .head = query->dims[2] / parts,
                              .v_head = query->dims[2] / parts,
                              .dtype = query->dtype};
    for (int i = KEY; !g->packed && i <= VALUE; i++) {
        TRY(op_require(c, i, TYPE(query->dtype)));
        TRY(op_require_rank(c, i, 3, 3));
        const int64_t *dims = op_input(c, i)->dims;
        if (dims[0] != query->dims[0] || dims[1] != query->dims[1] || dims[2] != kv_heads * g->a.head)
            return op_error(c, STATUS_INVALID_ARGUMENT, "input %d does not fit the query", i);
    }
    return STATUS_OK;
}

static enum status read_lengths(struct op_context *c, struct group_query *g)
{
    int count;
    TRY(op_require(c, LAST_KEYS, TYPE(DTYPE_I32)));
    TRY(op_require(c, TOTAL, TYPE(DTYPE_I32)));
    if (value_elements(op_input(c, LAST_KEYS)) != g->a.batch || value_elements(op_input(c, TOTAL)) != 1)
        return op_error(c, STATUS_INVALID_ARGUMENT, "there must be a length for each of %lld sequences, and one of all",
                        (long long)g->a.batch);
    TRY(op_ints(c, TOTAL, 1, &g->total, &count));
    for (int i = PAST_KEY; i <= PAST_VALUE; i++) {
        const struct value *past = op_input(c, i);
        TRY(op_allow(c, i, TYPE(g->a.dtype)));
        if ((past != NULL) != (op_input(c, PAST_KEY) != NULL))
            return op_error(c, STATUS_INVALID_MODEL, "past keys and past values come together");
        if (!past)
            continue;
        if (past->rank != 4 || past->dims[0] != g->a.batch || past->dims[1] != g->a.kv_heads ||
            past->dims[3] != g->a.head || (i == PAST_VALUE && past->dims[2] != g->past))
            return op_error(c, STATUS_INVALID_ARGUMENT, "the past, input %d, does not fit the keys and values", i);
        g->past = past->dims[2];
    }
    if (g->total < g->a.queries || (g->total > g->a.queries && g->past == 0))
        return op_error(c, STATUS_INVALID_ARGUMENT,
                        "a total length of %lld does not fit %lld queries and a past of %lld", (long long)g->total,
                        (long long)g->a.queries, (long long)g->past);
    g->a.keys = g->total > g->past ? g->total : g->past;
    return STATUS_OK;
}

static enum status read_rotation(struct op_context *c, const struct group_query *g)
{
    if (op_int_or(c, "do_rotary", 0) == 0)
        return STATUS_OK;
    for (int i = COSINES; i <= SINES; i++) {
        TRY(op_require(c, i, TYPE(g->a.dtype)));
        TRY(op_require_rank(c, i, 2, 2));
        int64_t pairs = op_input(c, i)->dims[1];
        if (pairs < 1 || pairs > g->a.head / 2)
            return op_error(c, STATUS_INVALID_MODEL, "a table of %lld columns does not fit heads of %lld elements",
                            (long long)pairs, (long long)g->a.head);
    }
    TRY(op_allow(c, POSITIONS, TYPE(DTYPE_I64)));
    const struct value *positions = op_input(c, POSITIONS);
    if (positions && (positions->rank != 2 || positions->dims[0] != g->a.batch || positions->dims[1] != g->a.queries))
        return op_error(c, STATUS_INVALID_ARGUMENT, "there must be a position for each of %lld x %lld tokens",
                        (long long)g->a.batch, (long long)g->a.queries);
    return STATUS_OK;
}

/* The addend counts keys up to the total length; in the scores it may have to reach over the whole present. */
static enum status read_grouped(struct op_context *c, struct group_query *g)
{
    *g = (struct group_query){.past = 0};
    TRY(refuse_options(c));
    TRY(read_query(c, g));
    TRY(read_lengths(c, g));
    TRY(read_rotation(c, g));
    TRY(op_allow_list(c, SINKS, TYPE(g->a.dtype), g->a.heads));
    TRY(op_allow_list(c, QUERY_NORM, TYPE(g->a.dtype), g->a.head));
    TRY(op_allow_list(c, KEY_NORM, TYPE(g->a.dtype), g->a.head));
    if ((op_input(c, QUERY_NORM) != NULL) != (op_input(c, KEY_NORM) != NULL))
        return op_error(c, STATUS_INVALID_MODEL, "norms of queries and keys come together");
    struct attention whole = g->a;
    whole.keys = g->total;
    return microsoft_check_bias(c, ADDEND, &whole);
}

static enum status shapes_grouped(struct op_context *c)
{
    struct group_query g;
    TRY(read_grouped(c, &g));
    const struct attention *a = &g.a;
    const int64_t present[4] = {a->batch, a->kv_heads, a->keys, a->head};
    TRY(op_set_output(c, 1, a->dtype, 4, present));
    TRY(op_set_output(c, 2, a->dtype, 4, present));
    return op_set_output(c, 0, a->dtype, 3, (int64_t[]){a->batch, a->queries, a->heads * a->head});
}

/* --- lengths as tensors ----------------------------------------------------------------------------------- */

/* Keys of each sequence before the new ones, int64 [batch, 1, 1, 1]. */
static struct value *past_lengths(struct op_context *c, const struct group_query *g)
{
    const int64_t column[4] = {g->a.batch, 1, 1, 1};
    if (g->total == g->a.queries)
        return build_expand(c, build_number(c, DTYPE_I64, 0), 4, column);
    struct value *last = build_reshape(c, build_cast(c, op_input(c, LAST_KEYS), DTYPE_I64), 4, column);
    return op_build2(c, "Sub", last, build_number(c, DTYPE_I64, (double)(g->a.queries - 1)));
}

/* The place of each new key, [batch, 1, queries, 1]. */
static struct value *new_places(struct op_context *c, const struct group_query *g, struct value *lengths)
{
    return op_build2(c, "Add", lengths,
                     build_reshape(c, build_iota(c, g->a.queries, 1, 0), 4, (int64_t[]){1, 1, g->a.queries, 1}));
}

/* --- queries, keys and values ----------------------------------------------------------------------------- */

static struct value *normed(struct op_context *c, int norm, const char *epsilon, struct value *x)
{
    if (!op_input(c, norm))
        return x;
    float both = op_float(c, "qk_norm_epsilon");
    const struct attribute added = ATTRIBUTE_F("epsilon", op_float_or(c, epsilon, both));
    return build_with(c, "SimplifiedLayerNormalization", 2, (struct value *[]){x, op_input(c, norm)}, 1, &added);
}

/* The position of each new key as the tables count, [batch, queries]. Where there is nothing before the new ones, they
 * follow the first position of all, whatever the others are. */
static struct value *positions(struct op_context *c, const struct group_query *g, struct value *places)
{
    const int64_t dims[2] = {g->a.batch, g->a.queries};
    struct value *given = op_input(c, POSITIONS);
    if (!given)
        return build_reshape(c, places, 2, dims);
    if (g->total > g->a.queries)
        return given;
    struct value *first = build_slice(c, build_slice(c, given, 0, 0, 1), 1, 0, 1);
    return build_expand(c, op_build2(c, "Add", first, build_iota(c, g->a.queries, 2, 1)), 2, dims);
}

static struct value *turned(struct op_context *c, const struct group_query *g, struct value *x, struct value *places)
{
    if (op_int_or(c, "do_rotary", 0) == 0)
        return x;
    const struct attribute attributes[2] = {ATTRIBUTE_I("interleaved", op_int_or(c, "rotary_interleaved", 0)),
                                            ATTRIBUTE_I("rotary_embedding_dim", 2 * op_input(c, COSINES)->dims[1])};
    struct value *inputs[4] = {x, op_input(c, COSINES), op_input(c, SINES), positions(c, g, places)};
    return build_with(c, "RotaryEmbedding", 4, inputs, 2, attributes);
}

/* Queries, keys or values as [batch, heads, positions, elements]. */
static struct value *operand(struct op_context *c, const struct group_query *g, int which)
{
    const struct attention *a = &g->a;
    int64_t begin = which == 0 ? 0 : (a->heads + (which - 1) * a->kv_heads) * a->head;
    struct value *x = op_input(c, g->packed ? QUERY : which);
    return microsoft_heads(c, x, g->packed ? begin : 0, a->batch, a->queries, which == 0 ? a->heads : a->kv_heads,
                           a->head);
}

/* The past up to its length, then the new ones, and zeros to the end of the present. */
static struct value *present(struct op_context *c, const struct group_query *g, int past, struct value *fresh,
                             struct value *lengths)
{
    const struct attention *a = &g->a;
    const int64_t rest[4] = {a->batch, a->kv_heads, a->keys - g->past, a->head};
    struct value *zero = build_number(c, a->dtype, 0), *all = NULL;
    if (g->past > 0) {
        struct value *kept = op_build2(
            c, "Less", build_reshape(c, build_iota(c, g->past, 1, 0), 4, (int64_t[]){1, 1, g->past, 1}), lengths);
        all = build_select(c, kept, op_input(c, past), zero);
    }
    if (rest[2] > 0)
        all = all ? build_concat(c, all, build_expand(c, zero, 4, rest), 2) : build_expand(c, zero, 4, rest);
    struct value *first = build_reshape(c, lengths, 1, &a->batch);
    return op_build(c, "TensorScatter", 3, (struct value *[]){all, fresh, first}, NULL);
}

/* --- attention -------------------------------------------------------------------------------------------- */

/* Which keys a query at its place sees, as a boolean mask. */
static struct value *seen_keys(struct op_context *c, const struct group_query *g, struct value *lengths)
{
    int64_t window = op_int(c, "local_window_size");
    struct value *keys = build_iota(c, g->a.keys, 1, 0), *places = new_places(c, g, lengths);
    if (op_int(c, "causal") == 0)
        return op_build2(c, "Less", keys,
                         op_build2(c, "Add", lengths, build_number(c, DTYPE_I64, (double)g->a.queries)));
    struct value *seen = op_build2(c, "LessOrEqual", keys, places);
    if (window <= 0)
        return seen;
    struct value *first = op_build2(c, "Sub", places, build_number(c, DTYPE_I64, (double)window));
    return op_build2(c, "And", seen, op_build2(c, "Less", first, keys));
}

/* The addend, with as many keys as the present has. */
static struct value *addend(struct op_context *c, const struct group_query *g)
{
    struct value *bias = op_input(c, ADDEND);
    if (!bias || g->total == g->a.keys)
        return bias;
    const int64_t rest[4] = {bias->dims[0], bias->dims[1], g->a.queries, g->a.keys - g->total};
    return build_concat(c, bias, build_expand(c, build_number(c, g->a.dtype, 0), 4, rest), 3);
}

static double scale_of(const struct op_context *c, const struct group_query *g)
{
    double scale = (double)op_float_or(c, "scale", 0);
    return scale != 0 ? scale : 1 / sqrt((double)g->a.head);
}

static bool has_sinks(const struct op_context *c)
{
    return op_input(c, SINKS) || op_int(c, "smooth_softmax") == 1;
}

/* Each head has one more score, of no value: a sink's, or 0. */
static struct value *attend_with_sinks(struct op_context *c, const struct group_query *g, struct value *const qkv[3],
                                       struct value *mask)
{
    const struct attention *a = &g->a;
    const int64_t column[4] = {a->batch, a->heads, a->queries, 1};
    double cap = (double)op_float_or(c, "softcap", 0);
    struct value *scores = attention_scores(c, a, qkv[0], qkv[1], scale_of(c, g));
    if (cap > 0) {
        struct value *bound = build_number(c, a->dtype, cap);
        scores = op_build2(c, "Mul", op_build1(c, "Tanh", op_build2(c, "Div", scores, bound)), bound);
    }
    scores = op_build2(c, "Add", scores, mask);
    struct value *sink = op_input(c, SINKS) ? build_reshape(c, op_input(c, SINKS), 4, (int64_t[]){1, a->heads, 1, 1})
                                            : build_number(c, a->dtype, 0);
    scores = build_concat(c, scores, build_expand(c, sink, 4, column), 3);
    struct value *weights = build_slice(c, op_build1(c, "Softmax", scores), 3, 0, a->keys);
    return attention_mean(c, a, weights, qkv[2]);
}

static struct value *attend(struct op_context *c, const struct group_query *g, struct value *const qkv[3],
                            struct value *lengths)
{
    struct value *seen = seen_keys(c, g, lengths), *bias = addend(c, g);
    if (bias || has_sinks(c))
        seen =
            build_select(c, seen, bias ? bias : build_number(c, g->a.dtype, 0), build_number(c, g->a.dtype, -INFINITY));
    if (has_sinks(c))
        return attend_with_sinks(c, g, qkv, seen);
    const struct attribute attributes[2] = {ATTRIBUTE_F("scale", (float)scale_of(c, g)),
                                            ATTRIBUTE_F("softcap", op_float_or(c, "softcap", 0))};
    return attention_node(c, qkv[0], qkv[1], qkv[2], seen, 2, attributes);
}

static enum status expand_grouped(struct op_context *c)
{
    struct group_query g;
    TRY(read_grouped(c, &g));
    struct value *lengths = past_lengths(c, &g), *places = new_places(c, &g, lengths), *qkv[3];
    for (int i = 0; i < 3; i++)
        qkv[i] = operand(c, &g, i);
    qkv[0] = turned(c, &g, normed(c, QUERY_NORM, "q_norm_epsilon", qkv[0]), places);
    qkv[1] = turned(c, &g, normed(c, KEY_NORM, "k_norm_epsilon", qkv[1]), places);
    for (int i = 1; i < 3; i++) {
        qkv[i] = present(c, &g, i == 1 ? PAST_KEY : PAST_VALUE, qkv[i], lengths);
        TRY(build_output(c, i, qkv[i]));
    }
    struct value *y = attend(c, &g, qkv, lengths);
    return build_output(c, 0, microsoft_packed(c, y, g.a.batch, g.a.queries, g.a.heads, g.a.head));
}

MICROSOFT_OPERATOR(GroupQueryAttention, 7, 17, 1, 4, shapes_grouped, .flags = OP_LOOSE_INPUTS, .expand = expand_grouped)
