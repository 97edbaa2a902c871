/* Normalisations of com.microsoft: of a sum, whose parts differ. Half precision is computed in f32, and the sum too. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"

/* --- SkipLayerNormalization: (x, skip, gamma[, beta][, bias]) → (y, mean, 1 / deviation, sum) -------------
 * SkipSimplifiedLayerNormalization: (x, skip, gamma[, bias]), without a mean */

/* Of SkipLayerNormalization; in the other, inputs from `beta` on stand one earlier. */
static bool is_simplified(const struct op_context *c)
{
    return c->node->op->detail != 0;
}

static enum status check_skip(struct op_context *c)
{
    const struct value *x = op_input(c, 0), *skip = op_input(c, 1);
    TRY(op_require(c, 1, TYPE(x->dtype)));
    bool fits = skip->rank <= x->rank && skip->rank >= 2;
    for (int i = 1; fits && i <= skip->rank; i++)
        fits = skip->dims[skip->rank - i] == x->dims[x->rank - i] || (i == 3 && skip->dims[0] == 1);
    if (fits)
        return STATUS_OK;
    char a[120], b[120];
    return op_error(c, STATUS_INVALID_ARGUMENT, "a skip of shape %s does not fit x of %s",
                    value_shape_text(NULL, skip, a, sizeof a), value_shape_text(NULL, x, b, sizeof b));
}

static enum status shapes_skip(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int64_t statistics[3];
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 2, 3));
    TRY(check_skip(c));
    TRY(op_require(c, 2, TYPE(x->dtype)));
    for (int i = 2; i < 5; i++)
        TRY(op_allow_list(c, i, TYPE(x->dtype), x->dims[x->rank - 1]));
    for (int i = 0; i < x->rank; i++)
        statistics[i] = i + 1 < x->rank ? x->dims[i] : 1;
    if (is_simplified(c) && op_output(c, 1))
        return op_error(c, STATUS_UNSUPPORTED, "it has no mean, its output 1");
    TRY(op_set_output(c, 1, DTYPE_F32, x->rank, statistics));
    TRY(op_set_output(c, 2, DTYPE_F32, x->rank, statistics));
    TRY(op_set_output(c, 3, x->dtype, x->rank, x->dims));
    return op_shapes_as_input(c);
}

/* The type that numbers of a type are summed in. */
static enum dtype sum_type(enum dtype dtype)
{
    return dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* Input i in the type of the sums; NULL stays. */
static struct value *summand(struct op_context *c, int i)
{
    struct value *x = op_input(c, i);
    return x ? build_as(c, x, sum_type(x->dtype)) : NULL;
}

/* Outputs y, mean and 1 / deviation of a sum. */
static enum status normalised(struct op_context *c, struct value *sum, struct value *gamma, struct value *beta)
{
    const enum dtype dtype = op_output(c, 0)->dtype;
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", op_float(c, "epsilon"));
    const char *name = is_simplified(c) ? "SimplifiedLayerNormalization" : "LayerNormalization";
    bool statistics = op_output(c, 1) || op_output(c, 2);
    int last = is_simplified(c) ? 1 : 2; /* the output that is 1 / deviation */
    struct value *inputs[3] = {sum, gamma, beta}, *parts[3] = {NULL};
    TRY(op_build_many(c, "", name, beta ? 3 : 2, inputs, statistics ? last + 1 : 1, parts, 1, &epsilon));
    TRY(build_output(c, 0, dtype == sum_type(dtype) ? parts[0] : build_cast(c, parts[0], dtype)));
    TRY(build_output(c, 1, parts[1]));
    return build_output(c, 2, parts[last]);
}

static enum status expand_skip(struct op_context *c)
{
    /* One after the other: compilers differ in the order of arguments, and with it steps would. */
    struct value *bias = summand(c, is_simplified(c) ? 3 : 4), *skip = summand(c, 1), *x = summand(c, 0);
    struct value *sum = op_build2(c, "Add", x, skip);
    if (bias)
        sum = op_build2(c, "Add", sum, bias);
    const enum dtype dtype = op_input(c, 0)->dtype;
    if (op_output(c, 3))
        TRY(build_output(c, 3, dtype == sum_type(dtype) ? sum : build_cast(c, sum, dtype)));
    struct value *beta = is_simplified(c) ? NULL : summand(c, 3), *gamma = summand(c, 2);
    return normalised(c, sum, gamma, beta);
}

MICROSOFT_OPERATOR(SkipLayerNormalization, 3, 5, 1, 4, shapes_skip, .expand = expand_skip)
MICROSOFT_OPERATOR(SkipSimplifiedLayerNormalization, 3, 4, 1, 4, shapes_skip, .detail = 1, .expand = expand_skip)

/* --- EmbedLayerNormalization: (words, segments, word table, position table, segment table, gamma, beta, mask,
 * positions) → (y, tokens that the mask keeps, sum) -----------------------------------------------------------------
 */

enum { WORDS, SEGMENTS, WORD_TABLE, POSITION_TABLE, SEGMENT_TABLE, GAMMA, BETA, MASK, POSITIONS };

static enum status check_indices(struct op_context *c, int i, bool may_repeat)
{
    const struct value *words = op_input(c, WORDS), *indices = op_input(c, i);
    TRY(op_allow(c, i, TYPE(DTYPE_I32)));
    if (!indices || (indices->rank == 2 && indices->dims[1] == words->dims[1] &&
                     (indices->dims[0] == words->dims[0] || (may_repeat && indices->dims[0] == 1))))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_ARGUMENT, "input %d '%s' does not fit %lld x %lld words", i, indices->name,
                    (long long)words->dims[0], (long long)words->dims[1]);
}

static enum status check_table(struct op_context *c, int i, int64_t width)
{
    TRY(op_require(c, i, TYPE(op_input(c, WORD_TABLE)->dtype)));
    TRY(op_require_rank(c, i, 2, 2));
    if (op_input(c, i)->dims[1] == width)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "table %d has rows of %lld elements, the words' table rows of %lld", i,
                    (long long)op_input(c, i)->dims[1], (long long)width);
}

static enum status shapes_embed(struct op_context *c)
{
    TRY(op_require(c, WORDS, TYPE(DTYPE_I32)));
    TRY(op_require_rank(c, WORDS, 2, 2));
    TRY(op_require(c, WORD_TABLE, TYPE(DTYPE_F32) | TYPE(DTYPE_F16)));
    TRY(op_require_rank(c, WORD_TABLE, 2, 2));
    const struct value *words = op_input(c, WORDS), *table = op_input(c, WORD_TABLE);
    int64_t width = table->dims[1];
    if ((op_input(c, SEGMENTS) != NULL) != (op_input(c, SEGMENT_TABLE) != NULL))
        return op_error(c, STATUS_INVALID_MODEL, "segments and their table come together");
    TRY(check_indices(c, SEGMENTS, false));
    TRY(check_indices(c, MASK, false));
    TRY(check_indices(c, POSITIONS, true));
    TRY(check_table(c, POSITION_TABLE, width));
    if (op_input(c, SEGMENT_TABLE))
        TRY(check_table(c, SEGMENT_TABLE, width));
    for (int i = GAMMA; i <= BETA; i++) {
        TRY(op_require(c, i, TYPE(table->dtype)));
        TRY(op_allow_list(c, i, TYPE(table->dtype), width));
    }
    if (!op_input(c, POSITIONS) && op_input(c, POSITION_TABLE)->dims[0] < words->dims[1])
        return op_error(c, STATUS_INVALID_ARGUMENT, "there are %lld words and %lld positions",
                        (long long)words->dims[1], (long long)op_input(c, POSITION_TABLE)->dims[0]);
    TRY(op_set_output(c, 1, DTYPE_I32, 1, words->dims));
    const int64_t dims[3] = {words->dims[0], words->dims[1], width};
    TRY(op_set_output(c, 2, table->dtype, 3, dims));
    return op_set_output(c, 0, table->dtype, 3, dims);
}

/* Rows of a table in the type of the sums. */
static struct value *rows_of(struct op_context *c, int table, int indices)
{
    struct value *rows = op_build2(c, "Gather", op_input(c, table), op_input(c, indices));
    return op_input(c, table)->dtype == DTYPE_F32 ? rows : build_cast(c, rows, DTYPE_F32);
}

/* How many elements of each row of the mask are 1; 0 without a mask. */
static struct value *kept_tokens(struct op_context *c)
{
    const int64_t batch = op_input(c, WORDS)->dims[0];
    if (!op_input(c, MASK))
        return build_expand(c, build_number(c, DTYPE_I32, 0), 1, &batch);
    struct value *one = op_build2(c, "Equal", op_input(c, MASK), build_number(c, DTYPE_I32, 1));
    return build_reshape(c, build_reduce(c, "ReduceSum", build_cast(c, one, DTYPE_I32), 1), 1, &batch);
}

static enum status expand_embed(struct op_context *c)
{
    const enum dtype dtype = op_output(c, 0)->dtype;
    struct value *positions = op_input(c, POSITIONS)
                                  ? rows_of(c, POSITION_TABLE, POSITIONS)
                                  : build_slice(c, summand(c, POSITION_TABLE), 0, 0, op_input(c, WORDS)->dims[1]);
    struct value *sum = op_build2(c, "Add", rows_of(c, WORD_TABLE, WORDS), positions);
    if (op_input(c, SEGMENTS))
        sum = op_build2(c, "Add", sum, rows_of(c, SEGMENT_TABLE, SEGMENTS));
    if (op_output(c, 1))
        TRY(build_output(c, 1, kept_tokens(c)));
    if (op_output(c, 2))
        TRY(build_output(c, 2, dtype == DTYPE_F32 ? sum : build_cast(c, sum, dtype)));
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", op_float(c, "epsilon"));
    struct value *inputs[3] = {sum, summand(c, GAMMA), summand(c, BETA)};
    struct value *y = build_with(c, "LayerNormalization", 3, inputs, 1, &epsilon);
    return build_output(c, 0, dtype == DTYPE_F32 ? y : build_cast(c, y, dtype));
}

MICROSOFT_OPERATOR(EmbedLayerNormalization, 7, 9, 1, 3, shapes_embed, .flags = OP_LOOSE_INPUTS, .expand = expand_embed)
