/* Products of 8-bit integers with zero points: MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv. Each is the
 * product of its operands less their zero points, as int32, and then perhaps scaled back to 8 bits. Two operators of
 * ours are the same products with an addend: GemmInteger (a, b, c, a zero, b zero) with Gemm's transA and transB, and
 * ConvInteger (x, weights, bias, x zero, weights zero). */
#include "graph/ops/build.h"
#include "graph/ops/matmul.h"
#include "graph/ops/tools.h"
#include "graph/ops/window.h"

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

/* The shape rule of another operator, applied to inputs as if they were int32. */
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

/* Where the zero points are among the inputs: after the operands, or, in our own operators, after the addend. */
static int zero_input(const struct op_context *c)
{
    return c->node->op->domain[0] ? 3 : 2;
}

static struct value *addend(const struct op_context *c)
{
    return zero_input(c) == 3 ? op_input(c, 2) : NULL;
}

/* --- matrices --------------------------------------------------------------------------------------------- */

/* Strides of the zero points of A (one for each row) or B (for each column), input i: one element, a list of them, or
 * one such list for each matrix of the batch, which lies along that axis of a matrix whose other axis is 1. */
static enum status zero_strides(struct op_context *c, int i, const struct matmul_params *p, bool rows,
                                struct matrix_strides *strides)
{
    const struct value *zero = op_input(c, i);
    int64_t count = rows ? p->m : p->n, *along = rows ? &strides->row : &strides->column;
    if (!zero || value_elements(zero) == 1)
        return STATUS_OK;
    *along = count > 1;
    if (zero->rank == 1 && zero->dims[0] == count)
        return STATUS_OK;
    struct value batch = *zero;
    batch.rank = zero->rank - 2;
    bool fits = zero->rank >= 2 && batch.rank <= p->batch_rank && zero->dims[batch.rank + rows] == 1;
    int64_t own = fits ? zero->dims[batch.rank + !rows] : 0;
    for (int k = 1; k <= batch.rank && fits; k++)
        fits = batch.dims[batch.rank - k] == 1 || batch.dims[batch.rank - k] == p->batch[p->batch_rank - k];
    if (!fits || (own != 1 && own != count)) {
        char text[120];
        return op_error(c, STATUS_INVALID_MODEL, "zero points of shape %s are none for each of %lld %s",
                        value_shape_text(NULL, zero, text, sizeof text), (long long)count, rows ? "rows" : "columns");
    }
    *along = own > 1;
    broadcast_strides(&batch, p->batch_rank, strides->batch);
    for (int k = 0; k < p->batch_rank; k++)
        strides->batch[k] *= own;
    return STATUS_OK;
}

static enum status product_params(struct op_context *c, struct matmul_params *p)
{
    bool own = zero_input(c) == 3;
    TRY(own ? op_gemm_params(c, p) : op_matmul_params(c, p));
    p->dtype = DTYPE_I32;
    p->a_dtype = op_input(c, 0)->dtype;
    p->b_dtype = op_input(c, 1)->dtype;
    TRY(zero_strides(c, zero_input(c), p, true, &p->a_zero));
    TRY(zero_strides(c, zero_input(c) + 1, p, false, &p->b_zero));
    if (addend(c))
        op_gemm_addend(p, addend(c));
    return STATUS_OK;
}

static enum status check_operands(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_8_BIT));
    TRY(op_require(c, 1, TYPES_8_BIT));
    TRY(op_allow(c, zero_input(c), TYPE(op_input(c, 0)->dtype)));
    return op_allow(c, zero_input(c) + 1, TYPE(op_input(c, 1)->dtype));
}

static enum status shapes_matmul_integer(struct op_context *c)
{
    struct matmul_params p;
    TRY(check_operands(c));
    TRY(shapes_like(c, "MatMul", op_input(c, 0), op_input(c, 1), DTYPE_I32));
    return product_params(c, &p);
}

static enum status lower_product(struct op_context *c)
{
    struct matmul_params p;
    TRY(product_params(c, &p));
    if (!addend(c))
        op_merge_batch(&p);
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    int zeros = zero_input(c);
    return op_emit(
        c, FAMILY_matmul, &p, sizeof p, MATMUL_INPUTS,
        (struct value *[]){op_input(c, 0), op_input(c, 1), addend(c), op_input(c, zeros), op_input(c, zeros + 1)}, 1,
        c->node->outputs, 0);
}

OPERATOR(MatMulInteger, 2, 4, 1, 1, shapes_matmul_integer, .lower = lower_product)

static enum status shapes_gemm_integer(struct op_context *c)
{
    struct matmul_params p;
    TRY(check_operands(c));
    TRY(op_allow(c, 2, TYPE(DTYPE_I32)));
    TRY(op_require_rank(c, 0, 2, 2));
    TRY(op_require_rank(c, 1, 2, 2));
    TRY(op_gemm_params(c, &p));
    TRY(op_gemm_check_addend(c, &p, addend(c)));
    TRY(op_set_output(c, 0, DTYPE_I32, 2, (int64_t[]){p.m, p.n}));
    return product_params(c, &p);
}

const struct op op_infer_GemmInteger = {
    .domain = OWN_DOMAIN,
    .name = "GemmInteger",
    .min_inputs = 2,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(infer_GemmInteger),
    .shapes = shapes_gemm_integer,
    .lower = lower_product,
};

/* --- images ----------------------------------------------------------------------------------------------- */

static enum status check_zero(struct op_context *c, int i, int64_t count)
{
    const struct value *zero = op_input(c, i);
    int64_t found = zero ? value_elements(zero) : 1;
    if (found == 1 || (found == count && zero->dims[0] == count))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has %lld elements; it must have 1%s", i, zero->name,
                    (long long)found, count > 1 ? ", or one an output channel" : "");
}

static enum status shapes_conv_integer(struct op_context *c)
{
    TRY(check_operands(c));
    TRY(op_require_rank(c, 1, 3, MAX_RANK));
    int64_t outputs = op_input(c, 1)->dims[0];
    TRY(check_zero(c, zero_input(c), 1));
    TRY(check_zero(c, zero_input(c) + 1, outputs));
    if (addend(c))
        TRY(op_allow_list(c, 2, TYPE(DTYPE_I32), outputs));
    return shapes_like(c, "Conv", op_input(c, 0), op_input(c, 1), DTYPE_I32);
}

static enum status lower_conv_integer(struct op_context *c)
{
    int zeros = zero_input(c);
    return op_lower_conv(c, (struct value *[]){addend(c), op_input(c, zeros), op_input(c, zeros + 1)});
}

OPERATOR(ConvInteger, 2, 4, 1, 1, shapes_conv_integer, .lower = lower_conv_integer)

const struct op op_infer_ConvInteger = {
    .domain = OWN_DOMAIN,
    .name = "ConvInteger",
    .min_inputs = 2,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(infer_ConvInteger),
    .shapes = shapes_conv_integer,
    .lower = lower_conv_integer,
};

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
    struct value *operands[4] = {op_input(c, 0), op_input(c, 3), op_input(c, 2), op_input(c, 5)};
    return requantise(c, op_build(c, "MatMulInteger", 4, operands, NULL), ALONG_ROWS, ALONG_COLUMNS);
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
    struct value *operands[5] = {op_input(c, 0), op_input(c, 3), op_input(c, 8), op_input(c, 2), op_input(c, 5)};
    struct value *sums = build_own(c, "ConvInteger", 5, operands, c->node->attribute_count, c->node->attributes);
    return requantise(c, sums, ALONG_CHANNELS, ALONG_CHANNELS);
}

OPERATOR(QLinearConv, 8, 9, 1, 1, shapes_qlinear_conv, .expand = expand_qlinear_conv)
