/* Products of 8-bit integers with zero points: MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv. Each is the
 * product of its operands less their zero points, as int32, and then perhaps scaled back to 8 bits. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"

#define TYPES_8_BIT (TYPE(DTYPE_I8) | TYPE(DTYPE_U8))

/* A parameter of each row or column, or of the whole tensor. */
enum along { ALONG_ROWS, ALONG_COLUMNS, ALONG_CHANNELS };

/* The parameter shaped such that it broadcasts against `x`; NULL stays. */
static struct value *spread(struct op_context *c, struct value *parameter, const struct value *x, enum along along)
{
    if (!parameter || parameter->rank != 1 || along == ALONG_COLUMNS)
        return parameter;
    int64_t dims[MAX_RANK] = {parameter->dims[0], 1, 1, 1, 1, 1, 1, 1};
    if (parameter->dims[0] == 1)
        return build_reshape(c, parameter, 0, NULL);
    return build_reshape(c, parameter, along == ALONG_ROWS ? 2 : x->rank - 1, dims);
}

/* Centred: x - zero as int32. One operator, so that of constant weights one int32 copy is made and not two. */
static enum status shapes_centred(struct op_context *c)
{
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_require(c, 0, TYPES_8_BIT));
    TRY(op_require(c, 1, TYPES_8_BIT));
    TRY(op_broadcast(c, 2, c->node->inputs, &rank, dims));
    return op_set_output(c, 0, DTYPE_I32, rank, dims);
}

static enum status lower_centred(struct op_context *c)
{
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_SUB, .class = CLASS_I64, .target = 2, .a = 0, .b = 1));
    params.operands[2].reg = 2;
    return op_pointwise(c, &params, c->node->inputs, c->node->outputs);
}

const struct op op_infer_Centred = {
    .domain = OWN_DOMAIN,
    .name = "Centred",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .flags = OP_ELEMENTWISE,
    .attributes = attributes_of_infer_Centred,
    .shapes = shapes_centred,
    .lower = lower_centred,
};

static struct value *centred(struct op_context *c, struct value *x, struct value *zero)
{
    static const struct op_build_options own = {.domain = OWN_DOMAIN};
    return zero ? op_build(c, "Centred", 2, (struct value *[]){x, zero}, &own) : build_cast(c, x, DTYPE_I32);
}

/* Weights [M, C, ...] less a zero point for all, or for each M. */
static struct value *centred_weights(struct op_context *c, struct value *w, struct value *zero)
{
    if (zero && zero->rank == 1) {
        int64_t dims[MAX_RANK] = {zero->dims[0], 1, 1, 1, 1, 1, 1, 1};
        zero = build_reshape(c, zero, w->rank, dims);
    }
    return centred(c, w, zero);
}

/* A node of the shape-giving operator over int32 operands, with this node's attributes. */
static struct value *product(struct op_context *c, const char *name, struct value *a, struct value *b,
                             struct value *bias)
{
    return op_build(
        c, name, bias ? 3 : 2, (struct value *[]){a, b, bias},
        &(struct op_build_options){.attributes = c->node->attributes, .attribute_count = c->node->attribute_count});
}

/* The shape rule of another operator, applied to two inputs of this node as if they were int32. */
static enum status shapes_like(struct op_context *c, const char *name, struct value *a, struct value *b,
                               enum dtype output)
{
    struct value as_i32[2] = {*a, *b};
    as_i32[0].dtype = as_i32[1].dtype = DTYPE_I32;
    return op_shapes_like(c, name, 2, (struct value *[]){&as_i32[0], &as_i32[1]}, output);
}

/* Input i is absent, or one element, or a list of `count`, or (columns and rows of batches) any broadcastable shape. */
static enum status check_parameter(struct op_context *c, int i, unsigned types, int64_t count)
{
    TRY(op_allow(c, i, types));
    const struct value *value = op_input(c, i);
    if (value && value->rank == 1 && value->dims[0] != 1 && value->dims[0] != count)
        return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has %lld elements; it must have 1 or %lld", i,
                        value->name, (long long)value->dims[0], (long long)count);
    return STATUS_OK;
}

static int64_t row_count(const struct value *a)
{
    return a->rank > 1 ? a->dims[a->rank - 2] : 1;
}

static int64_t column_count(const struct value *b)
{
    return b->rank > 1 ? b->dims[b->rank - 1] : 1;
}

/* --- MatMulInteger, ConvInteger --------------------------------------------------------------------------- */

static enum status shapes_matmul_integer(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_8_BIT));
    TRY(op_require(c, 1, TYPES_8_BIT));
    TRY(check_parameter(c, 2, TYPE(op_input(c, 0)->dtype), row_count(op_input(c, 0))));
    TRY(check_parameter(c, 3, TYPE(op_input(c, 1)->dtype), column_count(op_input(c, 1))));
    return shapes_like(c, "MatMul", op_input(c, 0), op_input(c, 1), DTYPE_I32);
}

static enum status expand_matmul_integer(struct op_context *c)
{
    struct value *a = op_input(c, 0), *b = op_input(c, 1);
    struct value *left = centred(c, a, spread(c, op_input(c, 2), a, ALONG_ROWS));
    struct value *right = centred(c, b, spread(c, op_input(c, 3), b, ALONG_COLUMNS));
    return build_output(c, 0, product(c, "MatMul", left, right, NULL));
}

OPERATOR(MatMulInteger, 2, 4, 1, 1, shapes_matmul_integer, .expand = expand_matmul_integer)

static enum status shapes_conv_integer(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_8_BIT));
    TRY(op_require(c, 1, TYPES_8_BIT));
    TRY(op_require_rank(c, 1, 3, MAX_RANK));
    TRY(check_parameter(c, 2, TYPE(op_input(c, 0)->dtype), 1));
    TRY(check_parameter(c, 3, TYPE(op_input(c, 1)->dtype), op_input(c, 1)->dims[0]));
    return shapes_like(c, "Conv", op_input(c, 0), op_input(c, 1), DTYPE_I32);
}

static enum status expand_conv_integer(struct op_context *c)
{
    struct value *x = op_input(c, 0);
    struct value *left = centred(c, x, spread(c, op_input(c, 2), x, ALONG_CHANNELS));
    return build_output(c, 0, product(c, "Conv", left, centred_weights(c, op_input(c, 1), op_input(c, 3)), NULL));
}

OPERATOR(ConvInteger, 2, 4, 1, 1, shapes_conv_integer, .expand = expand_conv_integer)

/* --- QLinearMatMul, QLinearConv: (x, x scale, x zero, w, w scale, w zero, y scale, y zero[, bias]) -------- */

static enum status check_quantised(struct op_context *c, int64_t rows, int64_t columns)
{
    const unsigned scales = TYPES_FLOAT & ~TYPE(DTYPE_F64);
    for (int i = 0; i < 8; i++)
        TRY(op_require(c, i, i == 1 || i == 4 || i == 6 ? scales : TYPES_8_BIT));
    TRY(check_parameter(c, 1, scales, rows));
    TRY(check_parameter(c, 2, TYPE(op_input(c, 0)->dtype), rows));
    TRY(check_parameter(c, 4, scales, columns));
    TRY(check_parameter(c, 5, TYPE(op_input(c, 3)->dtype), columns));
    TRY(check_parameter(c, 6, scales, rows));
    return check_parameter(c, 7, TYPES_8_BIT, rows);
}

/* Input i as float32, shaped to broadcast against the int32 sums. */
static struct value *factor(struct op_context *c, int i, const struct value *sums, enum along along)
{
    return build_cast(c, spread(c, op_input(c, i), sums, along), DTYPE_F32);
}

/* round(sums * x scale * w scale / y scale) + y zero, within the bounds of the type. */
static enum status requantise(struct op_context *c, struct value *sums, enum along left, enum along right)
{
    const struct value *y = op_output(c, 0);
    double low, high;
    op_integer_range(y->dtype, &low, &high);
    struct value *scale = op_build2(c, "Mul", factor(c, 1, y, left), factor(c, 4, y, right));
    scale = op_build2(c, "Div", scale, factor(c, 6, y, left));
    struct value *scaled = op_build1(c, "Round", op_build2(c, "Mul", build_cast(c, sums, DTYPE_F32), scale));
    scaled = op_build2(c, "Add", scaled, factor(c, 7, y, left));
    struct value *bounds[3] = {scaled, build_number(c, DTYPE_F32, low), build_number(c, DTYPE_F32, high)};
    return build_output(c, 0, build_cast(c, op_build(c, "Clip", 3, bounds, NULL), y->dtype));
}

static enum status shapes_qlinear_matmul(struct op_context *c)
{
    TRY(op_require(c, 3, TYPES_8_BIT));
    TRY(check_quantised(c, row_count(op_input(c, 0)), column_count(op_input(c, 3))));
    return shapes_like(c, "MatMul", op_input(c, 0), op_input(c, 3), op_input(c, 7)->dtype);
}

static enum status expand_qlinear_matmul(struct op_context *c)
{
    struct value *a = op_input(c, 0), *b = op_input(c, 3);
    struct value *left = centred(c, a, spread(c, op_input(c, 2), a, ALONG_ROWS));
    struct value *right = centred(c, b, spread(c, op_input(c, 5), b, ALONG_COLUMNS));
    return requantise(c, product(c, "MatMul", left, right, NULL), ALONG_ROWS, ALONG_COLUMNS);
}

OPERATOR(QLinearMatMul, 8, 8, 1, 1, shapes_qlinear_matmul, .expand = expand_qlinear_matmul)

static enum status shapes_qlinear_conv(struct op_context *c)
{
    TRY(op_require(c, 3, TYPES_8_BIT));
    TRY(op_require_rank(c, 3, 3, MAX_RANK));
    TRY(check_quantised(c, 1, op_input(c, 3)->dims[0]));
    TRY(op_allow(c, 8, TYPE(DTYPE_I32)));
    return shapes_like(c, "Conv", op_input(c, 0), op_input(c, 3), op_input(c, 7)->dtype);
}

static enum status expand_qlinear_conv(struct op_context *c)
{
    struct value *x = op_input(c, 0);
    struct value *left = centred(c, x, spread(c, op_input(c, 2), x, ALONG_CHANNELS));
    struct value *right = centred_weights(c, op_input(c, 3), op_input(c, 5));
    return requantise(c, product(c, "Conv", left, right, op_input(c, 8)), ALONG_CHANNELS, ALONG_CHANNELS);
}

OPERATOR(QLinearConv, 8, 9, 1, 1, shapes_qlinear_conv, .expand = expand_qlinear_conv)
