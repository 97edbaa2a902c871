/* Operators that draw random numbers, and Dropout, which does when it trains. */
#include "kernels/random.h"
#include "graph/ops/build.h"
#include "graph/ops/tools.h"

#include <string.h>

/* The `seed` attribute; without one the node's name, so that two nodes differ and each run is the same. */
static uint64_t seed_of(const struct op_context *c)
{
    uint64_t seed = 0;
    const struct attribute *attribute = node_attribute(c->node, "seed");
    if (attribute && attribute->kind == ATTRIBUTE_FLOAT) {
        memcpy(&seed, &attribute->f, sizeof attribute->f);
        return seed;
    }
    if (attribute && attribute->kind == ATTRIBUTE_INT)
        return (uint64_t)attribute->i;
    seed = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (const char *s = c->node->name; *s; s++)
        seed = (seed ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    return seed;
}

/* Fills `output`, of any floating type. */
static enum status draw(struct op_context *c, struct value *output, bool normal, double a, double b)
{
    bool direct = (TYPES_F32_F64 & TYPE(output->dtype)) != 0;
    struct value *numbers = direct ? output : op_temporary(c, DTYPE_F32, output->rank, output->dims);
    if (!numbers)
        return op_no_memory(c);
    struct random_params params = {.count = value_elements(output),
                                   .seed = seed_of(c),
                                   .a = a,
                                   .b = b,
                                   .normal = normal,
                                   .dtype = (uint8_t)numbers->dtype};
    if (params.count == 0)
        return STATUS_OK;
    TRY(op_emit(c, FAMILY_random, &params, sizeof params, 0, NULL, 1, &numbers, 0));
    return direct ? STATUS_OK : op_cast(c, numbers, output, true);
}

/* --- RandomNormal, RandomUniform, and the ones "Like" an input ---------------------------------------------------- */

static enum status floating_type(struct op_context *c, int64_t fallback, enum dtype *dtype)
{
    *dtype = (enum dtype)op_int_or(c, "dtype", fallback);
    if (*dtype < DTYPE_COUNT && (TYPES_FLOAT & TYPE(*dtype)))
        return STATUS_OK;
    return op_type_error(c, STATUS_INVALID_MODEL, "random numbers of type %s do not exist", dtype_name(*dtype));
}

static enum status shapes_random(struct op_context *c)
{
    enum dtype dtype;
    int rank;
    const int64_t *dims = op_int_list(c, "shape", &rank);
    if (!dims && rank != 0)
        return op_error(c, STATUS_INVALID_MODEL, "attribute 'shape' is missing");
    TRY(floating_type(c, DTYPE_F32, &dtype));
    return op_set_output(c, 0, dtype, rank, dims);
}

static enum status shapes_random_like(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    enum dtype dtype;
    TRY(floating_type(c, input->dtype, &dtype));
    return op_set_output(c, 0, dtype, input->rank, input->dims);
}

static enum status lower_normal(struct op_context *c)
{
    return draw(c, op_output(c, 0), true, (double)op_float(c, "mean"), (double)op_float(c, "scale"));
}

static enum status lower_uniform(struct op_context *c)
{
    return draw(c, op_output(c, 0), false, (double)op_float(c, "low"), (double)op_float(c, "high"));
}

OPERATOR(RandomNormal, 0, 0, 1, 1, shapes_random, .lower = lower_normal, .flags = OP_RANDOM)
OPERATOR(RandomUniform, 0, 0, 1, 1, shapes_random, .lower = lower_uniform, .flags = OP_RANDOM)
OPERATOR(RandomNormalLike, 1, 1, 1, 1, shapes_random_like, .lower = lower_normal, .flags = OP_RANDOM)
OPERATOR(RandomUniformLike, 1, 1, 1, 1, shapes_random_like, .lower = lower_uniform, .flags = OP_RANDOM)

/* --- Bernoulli, Multinomial --------------------------------------------------------------------------------------- */

static enum status shapes_bernoulli(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    enum dtype dtype = (enum dtype)op_int_or(c, "dtype", input->dtype);
    TRY(op_require(c, 0, TYPES_FLOAT));
    if (dtype >= DTYPE_COUNT || !(TYPES_FIXED & TYPE(dtype)))
        return op_type_error(c, STATUS_UNSUPPORTED, "a result of type %s is not supported", dtype_name(dtype));
    return op_set_output(c, 0, dtype, input->rank, input->dims);
}

static enum status lower_bernoulli(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    enum dtype dtype = input->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    struct value *numbers = op_temporary(c, dtype, input->rank, input->dims);
    struct value *hits = op_temporary(c, DTYPE_BOOL, input->rank, input->dims);
    if (!numbers || !hits)
        return op_no_memory(c);
    TRY(draw(c, numbers, false, 0, 1));
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_LESS, .register_class = (uint8_t)pointwise_class_of(dtype),
                                        .target = 2, .a = 0, .b = 1));
    params.operands[2].reg = 2;
    TRY(op_pointwise(c, &params, (struct value *[]){numbers, input}, &hits));
    return op_cast(c, hits, output, true);
}

OPERATOR(Bernoulli, 1, 1, 1, 1, shapes_bernoulli, .lower = lower_bernoulli, .flags = OP_RANDOM)

static enum status shapes_multinomial(struct op_context *c)
{
    enum dtype dtype = (enum dtype)op_int(c, "dtype");
    int64_t samples = op_int(c, "sample_size");
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 2, 2));
    if (dtype != DTYPE_I32 && dtype != DTYPE_I64)
        return op_type_error(c, STATUS_INVALID_MODEL, "the samples are to be %s; int32 and int64 are possible",
                             dtype_name(dtype));
    if (op_input(c, 0)->dims[1] == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "there are no classes to choose from");
    return op_set_output(c, 0, dtype, 2, (int64_t[]){op_input(c, 0)->dims[0], samples});
}

/* The Gumbel-max trick: the greatest of logit + noise is a sample, where the noise is -log(-log(u)). */
static enum status expand_multinomial(struct op_context *c)
{
    struct value *logits = op_input(c, 0), *output = op_output(c, 0);
    int64_t batch = logits->dims[0], classes = logits->dims[1];
    struct attribute seed = ATTRIBUTE_F("seed", op_float(c, "seed"));
    struct attribute greatest[2] = {ATTRIBUTE_I("axis", 2), ATTRIBUTE_I("keepdims", 0)};
    struct value *rows = build_reshape(c, logits, 3, (int64_t[]){batch, 1, classes});
    rows = build_expand(c, rows, 3, (int64_t[]){batch, output->dims[1], classes});
    struct value *noise =
        op_build(c, "RandomUniformLike", 1, &rows,
                 &(struct op_build_options){.attributes = &seed, .attribute_count = op_has(c, "seed") ? 1 : 0});
    noise = op_build1(c, "Log", op_build1(c, "Neg", op_build1(c, "Log", noise)));
    struct value *sum = op_build2(c, "Sub", rows, noise);
    struct value *samples =
        op_build(c, "ArgMax", 1, &sum, &(struct op_build_options){.attributes = greatest, .attribute_count = 2});
    return build_output(c, 0, build_cast(c, samples, output->dtype));
}

OPERATOR(Multinomial, 1, 1, 1, 1, shapes_multinomial, .expand = expand_multinomial, .flags = OP_RANDOM)

/* --- Dropout ------------------------------------------------------------------------------------------------------ */

static enum status dropout_ratio(struct op_context *c, double *ratio)
{
    int64_t training = 0;
    int count;
    *ratio = 0.5;
    TRY(op_ints(c, 2, 1, &training, &count));
    if (count == 1 && training)
        TRY(op_doubles(c, 1, 1, ratio, &count));
    else
        *ratio = 0; /* also before opset 12, which knows inference alone */
    if (!(*ratio >= 0 && *ratio < 1))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the ratio is %g; it must lie in [0, 1)", *ratio);
    return STATUS_OK;
}

static enum status shapes_dropout(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    double ratio;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(dropout_ratio(c, &ratio));
    TRY(op_shapes_as_input(c));
    return op_set_output(c, 1, c->node->version < 10 ? input->dtype : DTYPE_BOOL, input->rank, input->dims);
}

/* Nothing is dropped: the data as it is, and a mask of ones. */
static enum status lower_no_dropout(struct op_context *c)
{
    struct value *mask = op_output(c, 1), *one = mask ? op_constant_scalar(c, mask->dtype, 1) : NULL;
    TRY(op_alias(c, op_output(c, 0), op_input(c, 0), 0));
    if (!mask)
        return STATUS_OK;
    return one ? op_fill(c, one, mask) : op_no_memory(c);
}

static enum status lower_dropout(struct op_context *c)
{
    struct value *input = op_input(c, 0), *outputs[2] = {op_output(c, 0), op_output(c, 1)};
    double ratio;
    TRY(dropout_ratio(c, &ratio));
    if (ratio == 0)
        return lower_no_dropout(c);
    uint8_t class = (uint8_t)pointwise_class_of(input->dtype);
    struct value *numbers = op_temporary(c, class == CLASS_F64 ? DTYPE_F64 : DTYPE_F32, input->rank, input->dims);
    if (!numbers)
        return op_no_memory(c);
    TRY(draw(c, numbers, false, 0, 1));
    struct pointwise_builder params = {.input_count = 2, .output_count = outputs[1] ? 2 : 1};
    op_instruction(
        &params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = class, .target = 2, .immediate = {ratio}));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_LESS_EQUAL, .register_class = class, .target = 3, .a = 2, .b = 1));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = class, .target = 2,
                                        .immediate = {1 / (1 - ratio)}));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_MUL, .register_class = class, .target = 4, .a = 0, .b = 2));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = class, .target = 2));
    op_instruction(
        &params, INSTRUCTION(.opcode = POINTWISE_SELECT, .register_class = class, .target = 5, .a = 3, .b = 4, .c = 2));
    params.operands[2].reg = 5;
    params.operands[3].reg = 3;
    return op_pointwise(c, &params, (struct value *[]){input, numbers}, outputs);
}

OPERATOR(Dropout, 1, 3, 1, 2, shapes_dropout, .lower = lower_dropout, .flags = OP_RANDOM)
