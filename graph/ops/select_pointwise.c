/* OneHot and Trilu, which are pointwise programs over coordinates; CumSum and CumProd. */
#include "graph/ops/tools.h"
#include "kernels/cumulative.h"

#include <string.h>

/* --- OneHot ------------------------------------------------------------------------------------------------------- */

static enum status one_hot_axis(struct op_context *c, int *axis, int64_t *depth)
{
    double number;
    int count;
    TRY(op_axis(c, "axis", op_int(c, "axis"), op_input(c, 0)->rank + 1, axis));
    TRY(op_doubles(c, 1, 1, &number, &count));
    if (count != 1 || !(number >= 0 && number < 0x1p53))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the depth must be one number that is not negative");
    *depth = (int64_t)number;
    return STATUS_OK;
}

static enum status shapes_one_hot(struct op_context *c)
{
    const struct value *indices = op_input(c, 0), *values = op_input(c, 2);
    int64_t depth, dims[MAX_RANK];
    int axis;
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(op_require(c, 2, TYPES_FIXED));
    if (value_elements(values) != 2)
        return op_error(c, STATUS_INVALID_MODEL, "the values must be two: off and on");
    if (indices->rank == MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "the result would pass rank %d", MAX_RANK);
    TRY(one_hot_axis(c, &axis, &depth));
    for (int i = 0, from = 0; i <= indices->rank; i++)
        dims[i] = i == axis ? depth : indices->dims[from++];
    return op_set_output(c, 0, values->dtype, indices->rank + 1, dims);
}

/* on where the index, counted from the end if negative, is the coordinate along the new axis. */
static enum status lower_one_hot(struct op_context *c)
{
    struct value *indices = op_input(c, 0), *values = op_input(c, 2), *output = op_output(c, 0);
    int64_t depth, dims[MAX_RANK];
    int axis;
    TRY(one_hot_axis(c, &axis, &depth));
    memcpy(dims, output->dims, sizeof dims);
    dims[axis] = 1;
    struct value *off = op_temporary(c, values->dtype, 0, NULL), *on = op_temporary(c, values->dtype, 0, NULL);
    struct value *view = op_view(c, indices, output->rank, dims), *places = op_iota(c, depth, output->rank, axis);
    if (!off || !on || !view || !places)
        return op_no_memory(c);
    TRY(op_part(c, values, 0, off));
    TRY(op_part(c, values, 1, on));
    struct pointwise_builder params = {.input_count = 4, .output_count = 1};
    uint8_t class = (uint8_t)pointwise_class_of(values->dtype);
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_TO_I64,
                               .register_class = (uint8_t)pointwise_class_of(indices->dtype), .target = 4, .a = 0));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = CLASS_I64, .target = 5));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_LESS, .register_class = CLASS_I64, .target = 6, .a = 4, .b = 5));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = CLASS_I64, .target = 5,
                                        .immediate = {(double)depth}));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_MUL, .register_class = CLASS_I64, .target = 6, .a = 6, .b = 5));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = CLASS_I64, .target = 4, .a = 4, .b = 6));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_EQUAL, .register_class = CLASS_I64, .target = 4, .a = 4, .b = 1));
    op_instruction(
        &params, INSTRUCTION(.opcode = POINTWISE_SELECT, .register_class = class, .target = 7, .a = 4, .b = 3, .c = 2));
    params.operands[4].reg = 7;
    return op_pointwise(c, &params, (struct value *[]){view, places, off, on}, &output);
}

OPERATOR(OneHot, 3, 3, 1, 1, shapes_one_hot, .lower = lower_one_hot)

/* --- Trilu -------------------------------------------------------------------------------------------------------- */

static enum status shapes_trilu(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FIXED));
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    TRY(op_allow(c, 1, TYPE(DTYPE_I64)));
    if (op_input(c, 1) && value_elements(op_input(c, 1)) != 1)
        return op_error(c, STATUS_INVALID_MODEL, "k must be a scalar");
    return op_shapes_as_input(c);
}

/* The upper part is where row + k <= column, the lower one where column <= row + k; k may come at run time. */
static enum status lower_trilu(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    int rank = input->rank;
    bool upper = op_int(c, "upper") != 0;
    struct value *rows = op_iota(c, input->dims[rank - 2], 2, 0), *columns = op_iota(c, input->dims[rank - 1], 2, 1);
    struct value *k = op_input(c, 1) ? op_input(c, 1) : op_zero(c, DTYPE_I64);
    if (!rows || !columns || !k)
        return op_no_memory(c);
    struct pointwise_builder params = {.input_count = 4, .output_count = 1};
    uint8_t class = (uint8_t)pointwise_class_of(input->dtype);
    /* Clamped so that adding a row cannot wrap. */
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CLAMP, .register_class = CLASS_I64, .target = 4, .a = 3,
                                        .immediate = {-0x1p61, 0x1p61}));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = CLASS_I64, .target = 4, .a = 4, .b = 1));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_LESS_EQUAL, .register_class = CLASS_I64, .target = 4,
                                        .a = upper ? 4 : 2, .b = upper ? 2 : 4));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_CONSTANT, .register_class = class, .target = 5));
    op_instruction(
        &params, INSTRUCTION(.opcode = POINTWISE_SELECT, .register_class = class, .target = 6, .a = 4, .b = 0, .c = 5));
    params.operands[4].reg = 6;
    return op_pointwise(c, &params, (struct value *[]){input, rows, columns, k}, &output);
}

OPERATOR(Trilu, 1, 2, 1, 1, shapes_trilu, .lower = lower_trilu)

/* --- CumSum, CumProd ---------------------------------------------------------------------------------------------- */

static enum status cumulative_axis(struct op_context *c, int *axis)
{
    int64_t number = 0;
    int count;
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_ints(c, 1, 1, &number, &count));
    if (count != 1)
        return op_error(c, STATUS_INVALID_MODEL, "the axis must be one number");
    return op_axis(c, "axis", number, op_input(c, 0)->rank, axis);
}

static enum status shapes_cumulative(struct op_context *c)
{
    int axis;
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(cumulative_axis(c, &axis));
    return op_shapes_as_input(c);
}

static enum status lower_cumulative(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    int axis;
    TRY(cumulative_axis(c, &axis));
    struct axis_split split = op_split_at(input, axis);
    struct cumulative_params params = {.outer = split.outer,
                                       .count = split.count,
                                       .inner = split.inner,
                                       .product = c->node->op->detail != 0,
                                       .exclusive = op_int(c, "exclusive") != 0,
                                       .reverse = op_int(c, "reverse") != 0,
                                       .dtype = (uint8_t)input->dtype};
    if (value_elements(output) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_cumulative, &params, sizeof params, 1, &input, 1, &output, 0);
}

OPERATOR(CumSum, 2, 2, 1, 1, shapes_cumulative, .lower = lower_cumulative, .detail = 0)
OPERATOR(CumProd, 2, 2, 1, 1, shapes_cumulative, .lower = lower_cumulative, .detail = 1)
