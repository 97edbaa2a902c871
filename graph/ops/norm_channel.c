/* BatchNormalization, LpNormalization and LRN: pointwise programs, on statistics made by other families. */
#include "graph/ops/reduce.h"
#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "kernels/pool.h"

#include <string.h>

/* Appends POINTWISE_operation to a program; `class` is that of the node's numbers. */
#define APPEND(params, operation, class_of_operands, ...)                 \
    op_instruction((params), INSTRUCTION(.opcode = POINTWISE_##operation, \
                                         .register_class = (uint8_t)(class_of_operands), .target = __VA_ARGS__))

/* --- BatchNormalization ----------------------------------------------------------------------------------- */

static bool is_training(const struct op_context *c)
{
    return c->node->version >= 14 && op_int(c, "training_mode") != 0;
}

/* The shape of scale, bias, mean and variance: a number for each channel; or, up to opset 8 with spatial = 0, for each
 * element of an image. Returns the rank. */
static int parameter_shape(const struct op_context *c, int64_t *dims)
{
    const struct value *x = op_input(c, 0);
    bool by_element = c->node->version < 9 && op_int(c, "spatial") == 0;
    dims[0] = x->rank > 1 ? x->dims[1] : 1;
    for (int i = 2; by_element && i < x->rank; i++)
        dims[i - 1] = x->dims[i];
    return by_element && x->rank > 2 ? x->rank - 1 : 1;
}

static enum status shapes_batch(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    int64_t dims[MAX_RANK];
    int rank = parameter_shape(c, dims);
    unsigned types = x->dtype == DTYPE_F64 ? TYPE(DTYPE_F64) : TYPES_FLOAT & ~TYPE(DTYPE_F64);
    for (int i = 1; i < 5; i++) {
        TRY(op_require(c, i, types));
        char has[120], needs[120];
        const struct value *input = op_input(c, i);
        if (input->rank != rank || memcmp(input->dims, dims, (size_t)rank * sizeof dims[0]) != 0)
            return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' is %s; it must be %s", i, input->name,
                            value_shape_text(NULL, input, has, sizeof has),
                            shape_text(NULL, rank, dims, needs, sizeof needs));
    }
    for (int i = 1; i < c->node->output_count; i++) {
        if (op_output(c, i) && (!is_training(c) || i > 2))
            return op_error(c, STATUS_UNSUPPORTED, "output %d exists in training mode of opset 14 and later only", i);
        TRY(op_set_output(c, i, op_input(c, 3)->dtype, rank, dims));
    }
    return op_shapes_as_input(c);
}

/* A view of a parameter that broadcasts against x. */
static struct value *as_channels(struct op_context *c, struct value *list)
{
    const struct value *x = op_input(c, 0);
    if (list->rank > 1)
        return list;
    const int64_t dims[MAX_RANK] = {list->dims[0], 1, 1, 1, 1, 1, 1, 1};
    return op_view(c, list, x->rank > 1 ? x->rank - 1 : 1, dims);
}

/* Mean of x, and of (x - mean)^2, over all axes but the channels. */
static enum status batch_statistics(struct op_context *c, struct value *mean, struct value *variance)
{
    struct value *x = op_input(c, 0);
    unsigned axes = ((1u << x->rank) - 1) & ~2u;
    uint8_t class = (uint8_t)pointwise_class_of(x->dtype);
    struct value *squares = op_temporary(c, x->dtype, x->rank, x->dims), *means = as_channels(c, mean);
    if (!squares || !means)
        return op_no_memory(c);
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    APPEND(&params, SUB, class, 2, .a = 0, .b = 1);
    APPEND(&params, MUL, class, 2, .a = 2, .b = 2);
    params.operands[2].reg = 2;
    TRY(op_reduce(c, REDUCE_MEAN, x, axes, mean));
    TRY(op_pointwise(c, &params, (struct value *[]){x, means}, &squares));
    return op_reduce(c, REDUCE_MEAN, squares, axes, variance);
}

/* running * momentum + current * (1 - momentum) */
static enum status update_running(struct op_context *c, struct value *running, struct value *current,
                                  struct value *output)
{
    double momentum = (double)op_float(c, "momentum");
    if (!output)
        return STATUS_OK;
    uint8_t class = (uint8_t)pointwise_class_of(output->dtype);
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    APPEND(&params, CONSTANT, class, 2, .immediate = {momentum});
    APPEND(&params, CONSTANT, class, 3, .immediate = {1 - momentum});
    APPEND(&params, MUL, class, 2, .a = 0, .b = 2);
    APPEND(&params, MUL, class, 3, .a = 1, .b = 3);
    APPEND(&params, ADD, class, 2, .a = 2, .b = 3);
    params.operands[2].reg = 2;
    return op_pointwise(c, &params, (struct value *[]){running, current}, &output);
}

/* factor = scale / sqrt(variance + epsilon), shift = bias - mean * factor: two numbers for each parameter. */
static enum status channel_factors(struct op_context *c, struct value *mean, struct value *variance,
                                   struct value *factor, struct value *shift)
{
    uint8_t class = (uint8_t)pointwise_class_of(factor->dtype);
    double epsilon = (double)op_float(c, "epsilon");
    struct pointwise_builder params = {.input_count = 4, .output_count = 2};
    APPEND(&params, CONSTANT, class, 4, .immediate = {epsilon});
    APPEND(&params, ADD, class, 4, .a = 3, .b = 4);
    APPEND(&params, SQRT, class, 4, .a = 4);
    APPEND(&params, DIV, class, 4, .a = 0, .b = 4);
    APPEND(&params, MUL, class, 5, .a = 2, .b = 4);
    APPEND(&params, SUB, class, 5, .a = 1, .b = 5);
    params.operands[4].reg = 4;
    params.operands[5].reg = 5;
    return op_pointwise(c, &params, (struct value *[]){op_input(c, 1), op_input(c, 2), mean, variance},
                        (struct value *[]){factor, shift});
}

static enum status lower_batch(struct op_context *c)
{
    struct value *x = op_input(c, 0), *y = op_output(c, 0), *mean = op_input(c, 3), *variance = op_input(c, 4);
    const int64_t *dims = mean->dims;
    int rank = mean->rank;
    uint8_t class = (uint8_t)pointwise_class_of(x->dtype);
    struct value *factor = op_temporary(c, x->dtype, rank, dims), *shift = op_temporary(c, x->dtype, rank, dims);
    if (is_training(c)) {
        mean = op_temporary(c, x->dtype, rank, dims);
        variance = op_temporary(c, x->dtype, rank, dims);
    }
    struct value *factors = factor ? as_channels(c, factor) : NULL, *shifts = shift ? as_channels(c, shift) : NULL;
    if (!factors || !shifts || !mean || !variance)
        return op_no_memory(c);
    if (is_training(c)) {
        TRY(batch_statistics(c, mean, variance));
        TRY(update_running(c, op_input(c, 3), mean, op_output(c, 1)));
        TRY(update_running(c, op_input(c, 4), variance, op_output(c, 2)));
    }
    TRY(channel_factors(c, mean, variance, factor, shift));
    struct pointwise_builder params = {.input_count = 3, .output_count = 1};
    APPEND(&params, MUL, class, 3, .a = 0, .b = 1);
    APPEND(&params, ADD, class, 3, .a = 3, .b = 2);
    params.operands[3].reg = 3;
    return op_pointwise(c, &params, (struct value *[]){x, factors, shifts}, &y);
}

OPERATOR(BatchNormalization, 5, 5, 1, 5, shapes_batch, .flags = OP_HALF_AS_F32, .lower = lower_batch)

/* --- LpNormalization -------------------------------------------------------------------------------------- */

static enum status shapes_lp(struct op_context *c)
{
    int axis;
    int64_t power = op_int(c, "p");
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_axis(c, "axis", op_int(c, "axis"), op_input(c, 0)->rank, &axis));
    if (power != 1 && power != 2)
        return op_error(c, STATUS_INVALID_MODEL, "p is %lld; it must be 1 or 2", (long long)power);
    return op_shapes_as_input(c);
}

/* x / norm, 0 where the norm is 0. */
static enum status lower_lp(struct op_context *c)
{
    struct value *x = op_input(c, 0), *y = op_output(c, 0);
    int axis;
    TRY(op_axis(c, "axis", op_int(c, "axis"), x->rank, &axis));
    uint8_t class = (uint8_t)pointwise_class_of(x->dtype);
    int64_t dims[MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        dims[i] = i == axis ? 1 : x->dims[i];
    struct value *norm = op_temporary(c, x->dtype, x->rank, dims);
    if (!norm)
        return op_no_memory(c);
    TRY(op_reduce(c, op_int(c, "p") == 1 ? REDUCE_L1 : REDUCE_L2, x, 1u << axis, norm));
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    APPEND(&params, CONSTANT, class, 2, .a = 0);
    APPEND(&params, EQUAL, class, 3, .a = 1, .b = 2);
    APPEND(&params, DIV, class, 4, .a = 0, .b = 1);
    APPEND(&params, SELECT, class, 5, .a = 3, .b = 2, .c = 4);
    params.operands[2].reg = 5;
    return op_pointwise(c, &params, (struct value *[]){x, norm}, &y);
}

OPERATOR(LpNormalization, 1, 1, 1, 1, shapes_lp, .flags = OP_HALF_AS_F32, .lower = lower_lp)

/* --- LRN -------------------------------------------------------------------------------------------------- */

static enum status shapes_lrn(struct op_context *c)
{
    int64_t size = op_int(c, "size");
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    if (size < 1 || size > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "size is %lld; it must be positive", (long long)size);
    return op_shapes_as_input(c);
}

/* Mean over a window of `size` channels, padding counted: pooling along the axis of the channels, where pixels take the
 * place of channels. */
static enum status mean_across_channels(struct op_context *c, struct value *input, struct value *output)
{
    int64_t size = op_int(c, "size"), channels = input->dims[1], pixels = 1;
    for (int i = 2; i < input->rank; i++)
        pixels *= input->dims[i];
    struct image_strides strides = {.batch = channels * pixels, .channel = 1, .spatial = {0, 0, pixels}};
    struct pool_params p = {
        .dtype = input->dtype,
        .kind = POOL_AVERAGE,
        .count_padding = true,
        .batch = input->dims[0],
        .channels = pixels,
        .window = op_unit_window(),
        .x = strides,
        .y = strides,
    };
    p.window.input[2] = p.window.output[2] = channels;
    p.window.kernel[2] = size;
    p.window.pad[2] = (size - 1) / 2;
    p.window.pad_after[2] = size - 1 - p.window.pad[2];
    return op_emit(c, FAMILY_pool, &p, sizeof p, 1, &input, 2, (struct value *[]){output, NULL}, 0);
}

/* x / (bias + alpha * mean of squares)^beta */
static enum status lower_lrn(struct op_context *c)
{
    struct value *x = op_input(c, 0), *y = op_output(c, 0);
    uint8_t class = (uint8_t)pointwise_class_of(x->dtype);
    struct value *squares = op_temporary(c, x->dtype, x->rank, x->dims);
    struct value *means = op_temporary(c, x->dtype, x->rank, x->dims);
    if (!squares || !means)
        return op_no_memory(c);
    if (value_elements(x) == 0)
        return STATUS_OK;
    struct pointwise_builder square = {.input_count = 1, .output_count = 1};
    APPEND(&square, MUL, class, 1, .a = 0, .b = 0);
    square.operands[1].reg = 1;
    TRY(op_pointwise(c, &square, &x, &squares));
    TRY(mean_across_channels(c, squares, means));
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    APPEND(&params, CONSTANT, class, 2, .immediate = {(double)op_float(c, "alpha")});
    APPEND(&params, CONSTANT, class, 3, .immediate = {(double)op_float(c, "bias")});
    APPEND(&params, CONSTANT, class, 4, .immediate = {(double)op_float(c, "beta")});
    APPEND(&params, MUL, class, 5, .a = 1, .b = 2);
    APPEND(&params, ADD, class, 5, .a = 5, .b = 3);
    APPEND(&params, POW, class, 5, .a = 5, .b = 4);
    APPEND(&params, DIV, class, 5, .a = 0, .b = 5);
    params.operands[2].reg = 5;
    return op_pointwise(c, &params, (struct value *[]){x, means}, &y);
}

OPERATOR(LRN, 1, 1, 1, 1, shapes_lrn, .flags = OP_HALF_AS_F32, .lower = lower_lrn)
