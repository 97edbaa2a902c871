/* Operators that make or change shapes and move nothing: their results are constants or aliases. */
#include "graph/ops/tools.h"

#include <string.h>

static enum status lower_alias(struct op_context *c)
{
    return op_alias(c, op_output(c, 0), op_input(c, 0), 0);
}

/* --- constants ---------------------------------------------------------------------------------------------------- */

static enum status constant_list(struct op_context *c, enum dtype dtype, size_t count, const void *data)
{
    TRY(op_set_output(c, 0, dtype, 1, (int64_t[]){(int64_t)count}));
    op_set_data(c, 0, data);
    return STATUS_OK;
}

static enum status constant_scalar(struct op_context *c, enum dtype dtype, const void *data)
{
    TRY(op_set_output(c, 0, dtype, 0, NULL));
    op_set_data(c, 0, data);
    return STATUS_OK;
}

static enum status shapes_constant(struct op_context *c)
{
    if (c->node->attribute_count != 1)
        return op_error(c, STATUS_INVALID_MODEL, "it has %d attributes; exactly one must hold the value",
                        c->node->attribute_count);
    const struct attribute *a = &c->node->attributes[0];
    if (strcmp(a->name, "value") == 0 && a->kind == ATTRIBUTE_TENSOR) {
        TRY(op_set_output(c, 0, a->tensor->dtype, a->tensor->rank, a->tensor->dims));
        op_set_data(c, 0, a->tensor->data);
        return STATUS_OK;
    }
    if (strcmp(a->name, "value_int") == 0 && a->kind == ATTRIBUTE_INT)
        return constant_scalar(c, DTYPE_I64, &a->i);
    if (strcmp(a->name, "value_float") == 0 && a->kind == ATTRIBUTE_FLOAT)
        return constant_scalar(c, DTYPE_F32, &a->f);
    if (strcmp(a->name, "value_ints") == 0 && a->kind == ATTRIBUTE_INTS)
        return constant_list(c, DTYPE_I64, a->count, a->ints);
    if (strcmp(a->name, "value_floats") == 0 && a->kind == ATTRIBUTE_FLOATS)
        return constant_list(c, DTYPE_F32, a->count, a->floats);
    return op_error(c, STATUS_UNSUPPORTED, "its value is given as '%s', which is not supported", a->name);
}

OPERATOR(Constant, 0, 0, 1, 1, shapes_constant, .lower = NULL)

static enum status shapes_constant_of_shape(struct op_context *c)
{
    int64_t dims[MAX_RANK];
    int rank;
    TRY(op_require_rank(c, 0, 1, 1));
    TRY(op_ints(c, 0, MAX_RANK, dims, &rank));
    const struct attribute *value = node_attribute(c->node, "value");
    if (value && (value->kind != ATTRIBUTE_TENSOR || value_elements(value->tensor) != 1))
        return op_error(c, STATUS_INVALID_MODEL, "attribute 'value' must be a tensor of one element");
    return op_set_output(c, 0, value ? value->tensor->dtype : DTYPE_F32, rank, dims);
}

static enum status lower_constant_of_shape(struct op_context *c)
{
    const struct attribute *value = node_attribute(c->node, "value");
    struct value *scalar = value ? op_constant(c, value->tensor->dtype, 0, NULL, value->tensor->data)
                                 : op_constant_scalar(c, DTYPE_F32, 0);
    return scalar ? op_fill(c, scalar, op_output(c, 0)) : op_no_memory(c);
}

OPERATOR(ConstantOfShape, 1, 1, 1, 1, shapes_constant_of_shape, .lower = lower_constant_of_shape)

/* The identity matrix, shifted: rows x columns come from the shape of the input, which is never read. */
static enum status shapes_eye_like(struct op_context *c)
{
    TRY(op_require_rank(c, 0, 2, 2));
    const struct value *input = op_input(c, 0);
    enum dtype dtype = (enum dtype)op_int_or(c, "dtype", input->dtype);
    if (dtype >= DTYPE_COUNT || !(TYPES_FIXED & TYPE(dtype)))
        return op_type_error(c, STATUS_UNSUPPORTED, "a result of type %s is not supported", dtype_name(dtype));
    return op_set_output(c, 0, dtype, input->rank, input->dims);
}

static enum status lower_eye_like(struct op_context *c)
{
    struct value *output = op_output(c, 0);
    struct value *rows = op_iota(c, output->dims[0], 2, 0), *columns = op_iota(c, output->dims[1], 2, 1);
    int64_t k = op_int(c, "k");
    struct value *offset = op_constant(c, DTYPE_I64, 0, NULL, &k);
    struct value *equal = op_temporary(c, DTYPE_BOOL, output->rank, output->dims);
    if (!rows || !columns || !offset || !equal)
        return op_no_memory(c);
    struct pointwise_builder params = {.input_count = 3, .output_count = 1};
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = CLASS_I64, .target = 3, .a = 0, .b = 2));
    op_instruction(&params,
                   INSTRUCTION(.opcode = POINTWISE_EQUAL, .register_class = CLASS_I64, .target = 3, .a = 3, .b = 1));
    params.operands[3].reg = 3;
    TRY(op_pointwise(c, &params, (struct value *[]){rows, columns, offset}, &equal));
    return op_cast(c, equal, output, true);
}

OPERATOR(EyeLike, 1, 1, 1, 1, shapes_eye_like, .lower = lower_eye_like)

/* --- sizes of things ---------------------------------------------------------------------------------------------- */

static enum status set_ints(struct op_context *c, int rank, int count, const int64_t *ints)
{
    int64_t *data = region_array(c->graph->region, (size_t)count, sizeof *data);
    if (!data)
        return op_no_memory(c);
    for (int i = 0; i < count; i++)
        data[i] = ints[i];
    TRY(op_set_output(c, 0, DTYPE_I64, rank, (int64_t[]){count}));
    op_set_data(c, 0, data);
    return STATUS_OK;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

static enum status shapes_shape(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t rank = input->rank, start = op_int(c, "start"), end = op_int_or(c, "end", rank);
    start = clamp(start < 0 ? start + rank : start, 0, rank);
    end = clamp(end < 0 ? end + rank : end, start, rank);
    return set_ints(c, 1, (int)(end - start), input->dims + start);
}

static enum status shapes_size(struct op_context *c)
{
    int64_t elements = value_elements(op_input(c, 0));
    return set_ints(c, 0, 1, &elements);
}

OPERATOR(Shape, 1, 1, 1, 1, shapes_shape, .lower = NULL)
OPERATOR(Size, 1, 1, 1, 1, shapes_size, .lower = NULL)

/* --- the same elements under another shape ------------------------------------------------------------------------ */

static enum status shapes_identity(struct op_context *c)
{
    const struct value_list *list = op_input(c, 0)->list;
    return list ? op_set_list(c, 0, list) : op_shapes_as_input(c);
}

OPERATOR(Identity, 1, 1, 1, 1, shapes_identity, .flags = OP_TAKES_SEQUENCES, .lower = lower_alias)

/* The dimension that -1 stands for. Dimensions copied by a 0 stand on both sides and cancel, so that it is well defined
 * even where they are zero themselves. */
static enum status infer_dim(struct op_context *c, int rank, int64_t *dims, const bool *copied, int unknown)
{
    const struct value *input = op_input(c, 0);
    int64_t total = 1, known = 1;
    for (int i = 0; i < input->rank; i++)
        total *= i < rank && copied[i] ? 1 : input->dims[i];
    for (int i = 0; i < rank; i++)
        if (i != unknown && !copied[i] && __builtin_mul_overflow(known, dims[i], &known))
            return op_error(c, STATUS_INVALID_MODEL, "the new shape is too large");
    if (known == 0 || total % known != 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "%lld elements do not divide into %lld for the dimension -1",
                        (long long)total, (long long)known);
    dims[unknown] = total / known;
    return STATUS_OK;
}

static enum status check_reshape(struct op_context *c, int rank, const int64_t *dims)
{
    int64_t elements;
    char from[200], to[200];
    const struct value *input = op_input(c, 0);
    if (shape_elements(rank, dims, &elements) && elements == value_elements(input))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_ARGUMENT, "%s does not reshape to %s: another number of elements",
                    value_shape_text(NULL, input, from, sizeof from), shape_text(NULL, rank, dims, to, sizeof to));
}

static enum status shapes_reshape(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t dims[MAX_RANK];
    bool copied[MAX_RANK] = {false}, keep_zero = op_int(c, "allowzero") != 0;
    int rank, unknown = -1;
    TRY(op_ints(c, 1, MAX_RANK, dims, &rank));
    if (rank < 0)
        return op_error(c, STATUS_INVALID_MODEL, "input 1, the new shape, is missing");
    for (int i = 0; i < rank; i++) {
        if (dims[i] < -1 || (dims[i] == -1 && unknown >= 0))
            return op_error(c, STATUS_INVALID_MODEL, "the new shape has %s",
                            dims[i] < -1 ? "a negative dimension" : "-1 twice");
        unknown = dims[i] == -1 ? i : unknown;
        copied[i] = dims[i] == 0 && !keep_zero;
        if (copied[i] && i >= input->rank)
            return op_error(c, STATUS_INVALID_MODEL, "dimension %d is to be copied from an input of rank %d", i,
                            input->rank);
        dims[i] = copied[i] ? input->dims[i] : dims[i];
    }
    if (unknown >= 0)
        TRY(infer_dim(c, rank, dims, copied, unknown));
    TRY(check_reshape(c, rank, dims));
    return op_set_output(c, 0, input->dtype, rank, dims);
}

OPERATOR(Reshape, 2, 2, 1, 1, shapes_reshape, .lower = lower_alias)

static enum status shapes_flatten(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t axis = op_int(c, "axis"), dims[2] = {1, 1};
    if (axis < -(int64_t)input->rank || axis > input->rank)
        return op_error(c, STATUS_INVALID_MODEL, "axis %lld is outside a tensor of rank %d", (long long)axis,
                        input->rank);
    axis = axis < 0 ? axis + input->rank : axis;
    for (int i = 0; i < input->rank; i++)
        dims[i >= axis] *= input->dims[i];
    return op_set_output(c, 0, input->dtype, 2, dims);
}

OPERATOR(Flatten, 1, 1, 1, 1, shapes_flatten, .lower = lower_alias)

static enum status shapes_squeeze(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int axes[MAX_RANK], count, rank = 0;
    int64_t dims[MAX_RANK];
    bool drop[MAX_RANK] = {false};
    TRY(op_axes(c, "axes", 1, input->rank, axes, &count));
    for (int i = 0; i < count; i++) {
        drop[axes[i]] = true;
        if (input->dims[axes[i]] != 1)
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d has %lld elements and cannot be removed", axes[i],
                            (long long)input->dims[axes[i]]);
    }
    for (int i = 0; i < input->rank; i++)
        if (count < 0 ? input->dims[i] != 1 : !drop[i])
            dims[rank++] = input->dims[i];
    return op_set_output(c, 0, input->dtype, rank, dims);
}

OPERATOR(Squeeze, 1, 2, 1, 1, shapes_squeeze, .lower = lower_alias)

static enum status shapes_unsqueeze(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int axes[MAX_RANK], count;
    op_int_list(c, "axes", &count);
    if (count < 0 && op_input(c, 1))
        count = op_input(c, 1)->rank == 0 ? 1 : (int)op_input(c, 1)->dims[0];
    if (count < 0)
        return op_error(c, STATUS_INVALID_MODEL, "no axes are given");
    if (count > MAX_RANK - input->rank)
        return op_error(c, STATUS_UNSUPPORTED, "%d more axes would pass rank %d", count, MAX_RANK);
    int rank = input->rank + count;
    bool added[MAX_RANK] = {false};
    int64_t dims[MAX_RANK];
    TRY(op_axes(c, "axes", 1, rank, axes, &count));
    for (int i = 0; i < count; i++)
        added[axes[i]] = true;
    for (int i = 0, from = 0; i < rank; i++)
        dims[i] = added[i] ? 1 : input->dims[from++];
    return op_set_output(c, 0, input->dtype, rank, dims);
}

OPERATOR(Unsqueeze, 1, 2, 1, 1, shapes_unsqueeze, .lower = lower_alias)

/* The same bits as another type of the same width. */
static enum status shapes_bit_cast(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    enum dtype to = (enum dtype)op_int(c, "to");
    if (dtype_bits(to) == 0 || dtype_bits(input->dtype) != dtype_bits(to))
        return op_error(c, STATUS_INVALID_MODEL, "%s and %s differ in width", dtype_name(input->dtype), dtype_name(to));
    return op_set_output(c, 0, to, input->rank, input->dims);
}

OPERATOR(BitCast, 1, 1, 1, 1, shapes_bit_cast, .lower = lower_alias)

/* --- ranges ------------------------------------------------------------------------------------------------------- */

/* How many steps lead from start to before limit; unsigned, since the distance may pass INT64_MAX. */
static int64_t integer_steps(int64_t start, int64_t limit, int64_t step)
{
    if (step > 0 ? limit <= start : limit >= start)
        return 0;
    uint64_t from = (uint64_t)start, to = (uint64_t)limit, by = (uint64_t)step;
    return (int64_t)(step > 0 ? (to - from - 1) / by + 1 : (from - to - 1) / (0 - by) + 1);
}

static enum status shapes_range(struct op_context *c)
{
    double bounds[3];
    int64_t whole[3];
    enum dtype dtype = op_input(c, 0)->dtype;
    TRY(op_require(c, 0, TYPES_NUMERIC));
    for (int i = 0, count; i < 3; i++) {
        TRY(op_require(c, i, TYPE(dtype)));
        if (value_elements(op_input(c, i)) != 1)
            return op_error(c, STATUS_INVALID_MODEL, "input %d must be a scalar", i);
        TRY(op_doubles(c, i, 1, &bounds[i], &count));
        if (dtype_is_integer(dtype))
            TRY(op_ints(c, i, 1, &whole[i], &count));
    }
    if (bounds[2] == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the step is zero");
    double count = __builtin_ceil((bounds[1] - bounds[0]) / bounds[2]);
    if (!(count <= 0x1p57)) /* op_set_output has the last word; this keeps the conversion defined */
        return op_error(c, STATUS_INVALID_ARGUMENT, "the range from %g to %g by %g has no sensible length", bounds[0],
                        bounds[1], bounds[2]);
    int64_t length =
        dtype_is_integer(dtype) ? integer_steps(whole[0], whole[1], whole[2]) : (int64_t)(count < 0 ? 0 : count);
    return op_set_output(c, 0, dtype, 1, &length);
}

static enum status lower_range(struct op_context *c)
{
    struct value *output = op_output(c, 0), *iota = op_iota(c, output->dims[0], 1, 0);
    if (!iota)
        return op_no_memory(c);
    static const uint8_t conversions[CLASS_COUNT] = {POINTWISE_TO_F32, POINTWISE_TO_F64, POINTWISE_TO_I64,
                                                     POINTWISE_TO_U64};
    uint8_t class = (uint8_t)pointwise_class_of(output->dtype);
    struct pointwise_builder params = {.input_count = 3, .output_count = 1};
    op_instruction(&params,
                   INSTRUCTION(.opcode = conversions[class], .register_class = CLASS_I64, .target = 3, .a = 0));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_MUL, .register_class = class, .target = 3, .a = 3, .b = 2));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = class, .target = 3, .a = 3, .b = 1));
    params.operands[3].reg = 3;
    return op_pointwise(c, &params, (struct value *[]){iota, op_input(c, 0), op_input(c, 2)}, &output);
}

OPERATOR(Range, 3, 3, 1, 1, shapes_range, .lower = lower_range)
