/* Operators of com.microsoft on tensors of 8-bit integers, each with a scale and a zero point: what they compute is
 * computed on numbers in f32, and quantised again. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"
#include "graph/ops/tools.h"
#include "graph/ops/window.h"

#define TYPES_8_BIT (TYPE(DTYPE_I8) | TYPE(DTYPE_U8))

/* --- tensors with a scale and a zero point ---------------------------------------------------------------- */

static enum status check_single(struct op_context *c, int i)
{
    const struct value *value = op_input(c, i);
    if (!value || value_elements(value) == 1)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has %lld elements; it must have one", i, value->name,
                    (long long)value_elements(value));
}

/* The scale of a tensor is input i, its zero point, which may be absent, the next one. */
static enum status check_scale(struct op_context *c, int i, enum dtype dtype)
{
    TRY(op_require(c, i, TYPE(DTYPE_F32)));
    TRY(op_allow(c, i + 1, TYPE(dtype)));
    TRY(check_single(c, i));
    return check_single(c, i + 1);
}

/* The numbers of tensor x, whose scale is input i. */
static struct value *numbers(struct op_context *c, struct value *x, int i)
{
    struct value *inputs[3] = {x, op_input(c, i), op_input(c, i + 1)};
    return op_build(c, "DequantizeLinear", inputs[2] ? 3 : 2, inputs, NULL);
}

/* Output 0 becomes x, quantised by the scale that is input i. */
static enum status quantised_output(struct op_context *c, struct value *x, int i)
{
    struct value *zero = op_input(c, i + 1);
    if (!zero)
        zero = build_number(c, op_output(c, 0)->dtype, 0);
    return build_output(c, 0, op_build(c, "QuantizeLinear", 3, (struct value *[]){x, op_input(c, i), zero}, NULL));
}

/* --- QLinearAdd, QLinearMul: (a, scale, zero, b, scale, zero, scale, zero) -------------------------------- */

static enum status shapes_pair(struct op_context *c)
{
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_require(c, 0, TYPES_8_BIT));
    const enum dtype dtype = op_input(c, 0)->dtype;
    TRY(op_require(c, 3, TYPE(dtype)));
    for (int i = 1; i < 8; i += i == 1 ? 3 : 2)
        TRY(check_scale(c, i, dtype));
    TRY(op_broadcast(c, 2, (struct value *[]){op_input(c, 0), op_input(c, 3)}, &rank, dims));
    return op_set_output(c, 0, dtype, rank, dims);
}

static enum status expand_add(struct op_context *c)
{
    return quantised_output(c, op_build2(c, "Add", numbers(c, op_input(c, 0), 1), numbers(c, op_input(c, 3), 4)), 6);
}

static enum status expand_mul(struct op_context *c)
{
    return quantised_output(c, op_build2(c, "Mul", numbers(c, op_input(c, 0), 1), numbers(c, op_input(c, 3), 4)), 6);
}

MICROSOFT_OPERATOR(QLinearAdd, 7, 8, 1, 1, shapes_pair, .flags = OP_LOOSE_INPUTS, .expand = expand_add)
MICROSOFT_OPERATOR(QLinearMul, 7, 8, 1, 1, shapes_pair, .flags = OP_LOOSE_INPUTS, .expand = expand_mul)

/* --- of one tensor: (x, scale, zero, y scale, y zero) ----------------------------------------------------- */

static enum status check_unary(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_8_BIT));
    TRY(check_scale(c, 1, op_input(c, 0)->dtype));
    return check_scale(c, 3, op_input(c, 0)->dtype);
}

static enum status shapes_unary(struct op_context *c)
{
    TRY(check_unary(c));
    return op_shapes_as_input(c);
}

static enum status expand_sigmoid(struct op_context *c)
{
    return quantised_output(c, op_build1(c, "Sigmoid", numbers(c, op_input(c, 0), 1)), 3);
}

static enum status expand_leaky_relu(struct op_context *c)
{
    const struct attribute alpha = ATTRIBUTE_F("alpha", op_float(c, "alpha"));
    struct value *x = numbers(c, op_input(c, 0), 1);
    return quantised_output(c, build_with(c, "LeakyRelu", 1, &x, 1, &alpha), 3);
}

MICROSOFT_OPERATOR(QLinearSigmoid, 4, 5, 1, 1, shapes_unary, .flags = OP_LOOSE_INPUTS, .expand = expand_sigmoid)
MICROSOFT_OPERATOR(QLinearLeakyRelu, 4, 5, 1, 1, shapes_unary, .flags = OP_LOOSE_INPUTS, .expand = expand_leaky_relu)

static enum status shapes_softmax(struct op_context *c)
{
    int axis;
    TRY(shapes_unary(c));
    if (!op_has(c, "opset"))
        return op_error(c, STATUS_INVALID_MODEL, "opset is missing");
    return op_axis(c, "axis", op_int(c, "axis"), op_input(c, 0)->rank, &axis);
}

/* Before opset 13 over all axes from the given one on, then over that one. */
static enum status expand_softmax(struct op_context *c)
{
    int axis;
    struct value *x = op_input(c, 0), *y = numbers(c, x, 1);
    TRY(op_axis(c, "axis", op_int(c, "axis"), x->rank, &axis));
    const struct attribute over = ATTRIBUTE_I("axis", axis);
    if (op_int(c, "opset") >= 13)
        return quantised_output(c, build_with(c, "Softmax", 1, &y, 1, &over), 3);
    struct axis_split split = op_split_at(x, axis);
    const int64_t rows[2] = {split.outer, split.count * split.inner};
    y = op_build1(c, "Softmax", build_reshape(c, y, 2, rows));
    return quantised_output(c, build_reshape(c, y, x->rank, x->dims), 3);
}

MICROSOFT_OPERATOR(QLinearSoftmax, 5, 5, 1, 1, shapes_softmax, .flags = OP_LOOSE_INPUTS, .expand = expand_softmax)

/* --- QLinearAveragePool, QLinearGlobalAveragePool --------------------------------------------------------- */

static bool channels_last(const struct op_context *c)
{
    return op_int(c, "channels_last") != 0;
}

/* The order of axes that makes channels the second one, or the last one again. */
static void channel_order(int rank, bool to_second, int64_t *order)
{
    for (int i = 0; i < rank; i++)
        order[i] = i == 0 ? 0 : to_second ? (i == 1 ? rank - 1 : i - 1) : i == rank - 1 ? 1 : i + 1;
}

static enum status shapes_average(struct op_context *c, const char *name)
{
    TRY(check_unary(c));
    TRY(op_require_rank(c, 0, 3, 2 + SPATIAL_AXES));
    const struct value *x = op_input(c, 0);
    struct value seen = *x;
    int64_t order[MAX_RANK], dims[MAX_RANK];
    seen.dtype = DTYPE_F32;
    channel_order(x->rank, true, order);
    for (int i = 0; channels_last(c) && i < x->rank; i++)
        seen.dims[i] = x->dims[order[i]];
    TRY(op_shapes_like(c, name, 1, (struct value *[]){&seen}, x->dtype));
    if (!channels_last(c))
        return STATUS_OK;
    channel_order(x->rank, false, order);
    for (int i = 0; i < x->rank; i++)
        dims[i] = op_output(c, 0)->dims[order[i]];
    return op_set_output(c, 0, x->dtype, x->rank, dims);
}

static enum status expand_average(struct op_context *c, const char *name, int count, const struct attribute *attributes)
{
    int rank = op_input(c, 0)->rank;
    int64_t order[MAX_RANK];
    struct value *x = op_input(c, 0);
    channel_order(rank, true, order);
    if (channels_last(c))
        x = build_transpose(c, x, rank, order);
    x = numbers(c, x, 1);
    struct value *y = build_with(c, name, 1, &x, count, attributes);
    channel_order(rank, false, order);
    return quantised_output(c, channels_last(c) ? build_transpose(c, y, rank, order) : y, 3);
}

static enum status shapes_average_pool(struct op_context *c)
{
    return shapes_average(c, "AveragePool");
}

static enum status expand_average_pool(struct op_context *c)
{
    static const char *const names[] = {"auto_pad",     "ceil_mode", "count_include_pad",
                                        "kernel_shape", "pads",      "strides"};
    struct attribute attributes[6];
    return expand_average(c, "AveragePool", build_attributes(c, 6, names, attributes), attributes);
}

static enum status shapes_global_pool(struct op_context *c)
{
    return shapes_average(c, "GlobalAveragePool");
}

static enum status expand_global_pool(struct op_context *c)
{
    return expand_average(c, "GlobalAveragePool", 0, NULL);
}

MICROSOFT_OPERATOR(QLinearAveragePool, 4, 5, 1, 1, shapes_average_pool, .flags = OP_LOOSE_INPUTS,
                   .expand = expand_average_pool)
MICROSOFT_OPERATOR(QLinearGlobalAveragePool, 5, 5, 1, 1, shapes_global_pool, .flags = OP_LOOSE_INPUTS,
                   .expand = expand_global_pool)

/* --- QLinearConcat: (y scale, y zero, then x, scale, zero of each part) ----------------------------------- */

static int part_count(const struct op_context *c)
{
    return (c->node->input_count - 2) / 3;
}

static enum status shapes_concat(struct op_context *c)
{
    TRY(op_require(c, 1, TYPES_8_BIT));
    const enum dtype dtype = op_input(c, 1)->dtype;
    TRY(check_scale(c, 0, dtype));
    int count = part_count(c);
    if (count < 1 || c->node->input_count != 2 + 3 * count)
        return op_error(c, STATUS_INVALID_MODEL, "%d inputs are no list of tensors, scales and zero points",
                        c->node->input_count - 2);
    struct value **parts = region_array(c->graph->region, (size_t)count, sizeof(struct value *));
    if (!parts)
        return op_no_memory(c);
    for (int i = 0; i < count; i++) {
        TRY(op_require(c, 2 + 3 * i, TYPES_8_BIT));
        parts[i] = op_input(c, 2 + 3 * i);
        TRY(op_require(c, 2 + 3 * i, TYPE(op_input(c, 2)->dtype)));
        TRY(check_scale(c, 3 + 3 * i, parts[i]->dtype));
    }
    return op_shapes_like(c, "Concat", count, parts, dtype);
}

static enum status expand_concat(struct op_context *c)
{
    int count = part_count(c);
    const struct attribute axis = ATTRIBUTE_I("axis", op_int(c, "axis"));
    struct value **parts = region_array(c->graph->region, (size_t)count, sizeof(struct value *));
    if (!parts)
        return op_no_memory(c);
    for (int i = 0; i < count; i++)
        parts[i] = numbers(c, op_input(c, 2 + 3 * i), 3 + 3 * i);
    return quantised_output(c, build_with(c, "Concat", count, parts, 1, &axis), 0);
}

MICROSOFT_OPERATOR(QLinearConcat, 5, ANY_COUNT, 1, 1, shapes_concat, .expand = expand_concat)
