#include "graph/op.h"

#include "kernels/convert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OP(name, attributes) extern const struct op op_##name;
#include "graph/ops.def"
#undef OP

static const struct op *const ops[] = {
#define OP(name, attributes) &op_##name,
#include "graph/ops.def"
#undef OP
};

const struct op *op_at(size_t index)
{
    return index < sizeof ops / sizeof ops[0] ? ops[index] : NULL;
}

const struct op *op_find(const char *domain, const char *name)
{
    if (strcmp(domain, "ai.onnx") == 0)
        domain = "";
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(ops[i]->name, name) == 0 && strcmp(ops[i]->domain, domain) == 0)
            return ops[i];
    return NULL;
}

/* --- errors ---------------------------------------------------------------------------------------------- */

static enum status node_error(struct op_context *c, enum status status, const char *format, va_list arguments)
{
    char text[400];
    vsnprintf(text, sizeof text, format, arguments);
    return error_set(c->error, status, "node '%s' (%s): %s", c->node->name, c->node->op->name, text);
}

enum status op_error(struct op_context *c, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    node_error(c, status, format, arguments);
    va_end(arguments);
    return status;
}

enum status op_type_error(struct op_context *c, enum status status, const char *format, ...)
{
    bool first = c->error && c->error->status == STATUS_OK;
    va_list arguments;
    va_start(arguments, format);
    node_error(c, status, format, arguments);
    va_end(arguments);
    if (first)
        c->error->of_types = true;
    return status;
}

enum status op_no_memory(struct op_context *c)
{
    return op_error(c, STATUS_OUT_OF_MEMORY, "out of memory");
}

/* --- operands -------------------------------------------------------------------------------------------- */

static enum status set_output(struct op_context *c, int i, enum dtype dtype, int rank, const int64_t *dims, bool at_run)
{
    struct value *output = op_output(c, i);
    int64_t elements;
    if (!output)
        return STATUS_OK;
    if (rank > MAX_RANK)
        return op_error(c, STATUS_UNSUPPORTED, "output %d has rank %d; at most %d is supported", i, rank, MAX_RANK);
    if (dtype_bits(dtype) == 0 && !(at_run && rank < 0))
        return op_error(c, STATUS_UNSUPPORTED, "output %d has type %s, which is not supported", i, dtype_name(dtype));
    if (rank >= 0 && !shape_elements(rank, dims, &elements)) {
        char text[200];
        return op_error(c, STATUS_INVALID_ARGUMENT, "output %d would be %s, which is too large or negative", i,
                        shape_text(NULL, rank, dims, text, sizeof text));
    }
    output->dtype = dtype;
    output->rank = rank;
    for (int k = 0; k < rank; k++)
        output->dims[k] = dims[k];
    output->dims_at_run = at_run;
    return STATUS_OK;
}

enum status op_set_output(struct op_context *c, int i, enum dtype dtype, int rank, const int64_t *dims)
{
    return set_output(c, i, dtype, rank, dims, false);
}

enum status op_set_output_at_run(struct op_context *c, int i, enum dtype dtype, int rank, const int64_t *dims)
{
    return set_output(c, i, dtype, rank, dims, true);
}

enum status op_shapes_as_input(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    return op_set_output(c, 0, input->dtype, input->rank, input->dims);
}

enum status op_shapes_like(struct op_context *c, const char *name, int count, struct value *const *inputs,
                           enum dtype dtype)
{
    struct node node = *c->node;
    node.op = op_find("", name);
    node.version = NEWEST_OPSET;
    node.inputs = (struct value **)inputs;
    node.input_count = count;
    node.output_count = 1;
    struct op_context inner = *c;
    inner.node = &node;
    TRY(node.op->shapes(&inner));
    if (dtype != DTYPE_NONE)
        op_output(c, 0)->dtype = dtype;
    return STATUS_OK;
}

enum status op_set_list(struct op_context *c, int i, const struct value_list *list)
{
    struct value *output = op_output(c, i);
    if (!output)
        return STATUS_OK;
    struct value_list *copy = region_allocate(c->graph->region, sizeof *copy);
    struct value **values = region_array(c->graph->region, (size_t)list->count, sizeof *values);
    if (!copy || !values)
        return op_no_memory(c);
    if (list->count)
        memcpy(values, list->values, (size_t)list->count * sizeof *values);
    *copy = *list;
    copy->values = values;
    output->list = copy;
    return STATUS_OK;
}

void op_set_data(struct op_context *c, int i, const void *data)
{
    struct value *output = op_output(c, i);
    if (output) {
        output->data = data;
        output->bytes = value_bytes(output);
    }
}

static enum status wrong_type(struct op_context *c, int i, unsigned types)
{
    char list[300] = "";
    size_t used = 0;
    for (unsigned t = 1; t < DTYPE_COUNT; t++)
        if ((types & TYPE(t)) && used < sizeof list)
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", dtype_name((enum dtype)t));
    return op_type_error(c, STATUS_UNSUPPORTED, "input %d '%s' is %s; supported here: %s", i, op_input(c, i)->name,
                         dtype_name(op_input(c, i)->dtype), list);
}

enum status op_allow(struct op_context *c, int i, unsigned types)
{
    const struct value *input = op_input(c, i);
    return input && !(types & TYPE(input->dtype)) ? wrong_type(c, i, types) : STATUS_OK;
}

enum status op_allow_list(struct op_context *c, int i, unsigned types, int64_t count)
{
    const struct value *list = op_input(c, i);
    TRY(op_allow(c, i, types));
    if (!list || (list->rank == 1 && list->dims[0] == count))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' must be a list of %lld elements", i, list->name,
                    (long long)count);
}

enum status op_require(struct op_context *c, int i, unsigned types)
{
    if (!op_input(c, i))
        return op_error(c, STATUS_INVALID_MODEL, "input %d is missing", i);
    return op_allow(c, i, types);
}

enum status op_require_rank(struct op_context *c, int i, int least, int most)
{
    const struct value *input = op_input(c, i);
    if (!input)
        return op_error(c, STATUS_INVALID_MODEL, "input %d is missing", i);
    if (input->rank >= least && input->rank <= most)
        return STATUS_OK;
    if (least == most)
        return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has rank %d; it must be %d", i, input->name,
                        input->rank, least);
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has rank %d; it must be %d to %d", i, input->name,
                    input->rank, least, most);
}

/* --- contents -------------------------------------------------------------------------------------------- */

enum status op_need(struct op_context *c, int i)
{
    const struct value *input = op_input(c, i);
    if (!input)
        return op_error(c, STATUS_INVALID_MODEL, "input %d is missing", i);
    if (input->data)
        return STATUS_OK;
    c->needed = input;
    return STATUS_NEEDS_VALUE;
}

#define CASE(dtype, type, result_type)                             \
    case dtype:                                                    \
        *result = (result_type)((const type *)value->data)[index]; \
        return true;

bool value_integer_at(const struct value *value, int64_t index, int64_t *result)
{
    switch (value->dtype) {
        CASE(DTYPE_I64, int64_t, int64_t)
        CASE(DTYPE_I32, int32_t, int64_t)
        CASE(DTYPE_I16, int16_t, int64_t)
        CASE(DTYPE_I8, int8_t, int64_t)
        CASE(DTYPE_U64, uint64_t, int64_t)
        CASE(DTYPE_U32, uint32_t, int64_t)
        CASE(DTYPE_U16, uint16_t, int64_t)
        CASE(DTYPE_U8, uint8_t, int64_t)
        CASE(DTYPE_BOOL, uint8_t, int64_t)
    default:
        return false;
    }
}

bool value_number_at(const struct value *value, int64_t index, double *result)
{
    int64_t integer;
    switch (value->dtype) {
        CASE(DTYPE_F32, float, double)
        CASE(DTYPE_F64, double, double)
    case DTYPE_F16:
        *result = (double)f16_to_f32(((const uint16_t *)value->data)[index]);
        return true;
    case DTYPE_BF16:
        *result = (double)bf16_to_f32(((const uint16_t *)value->data)[index]);
        return true;
    default:
        if (!value_integer_at(value, index, &integer))
            return false;
        *result = (double)integer;
        return true;
    }
}
#undef CASE

static enum status readable(struct op_context *c, int i, int most, int *count)
{
    const struct value *input = op_input(c, i);
    *count = -1;
    if (!input)
        return STATUS_OK;
    int64_t elements = value_elements(input);
    if (elements > most)
        return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has %lld elements; at most %d make sense here", i,
                        input->name, (long long)elements, most);
    TRY(op_need(c, i));
    *count = (int)elements;
    return STATUS_OK;
}

enum status op_ints(struct op_context *c, int i, int most, int64_t *values, int *count)
{
    TRY(readable(c, i, most, count));
    for (int k = 0; k < *count; k++)
        if (!value_integer_at(op_input(c, i), k, &values[k]))
            return wrong_type(c, i, TYPES_INTEGER);
    return STATUS_OK;
}

enum status op_doubles(struct op_context *c, int i, int most, double *values, int *count)
{
    TRY(readable(c, i, most, count));
    for (int k = 0; k < *count; k++)
        if (!value_number_at(op_input(c, i), k, &values[k]))
            return wrong_type(c, i, TYPES_NUMERIC);
    return STATUS_OK;
}

enum status op_axis(struct op_context *c, const char *what, int64_t axis, int rank, int *result)
{
    if (axis < -(int64_t)rank || axis >= rank)
        return op_error(c, STATUS_INVALID_MODEL, "%s %lld is outside a tensor of rank %d", what, (long long)axis, rank);
    *result = (int)(axis < 0 ? axis + rank : axis);
    return STATUS_OK;
}

enum status op_axes(struct op_context *c, const char *attribute, int input, int rank, int *axes, int *count)
{
    int64_t from_input[MAX_RANK];
    const int64_t *raw = op_int_list(c, attribute, count);
    if (!raw && op_input(c, input)) {
        TRY(op_ints(c, input, MAX_RANK, from_input, count));
        raw = from_input;
    }
    if (*count > MAX_RANK)
        return op_error(c, STATUS_INVALID_MODEL, "%d axes are given; at most %d make sense", *count, MAX_RANK);
    unsigned seen = 0;
    for (int i = 0; i < *count; i++) {
        TRY(op_axis(c, "axis", raw[i], rank, &axes[i]));
        if (seen & 1u << axes[i])
            return op_error(c, STATUS_INVALID_MODEL, "axis %lld is given twice", (long long)raw[i]);
        seen |= 1u << axes[i];
    }
    return STATUS_OK;
}

enum status op_broadcast(struct op_context *c, int count, struct value *const *values, int *rank, int64_t *dims)
{
    *rank = 0;
    for (int i = 0; i < count; i++)
        *rank = values[i]->rank > *rank ? values[i]->rank : *rank;
    for (int axis = 0; axis < *rank; axis++) {
        dims[axis] = 1;
        for (int i = 0; i < count; i++) {
            int own = axis - (*rank - values[i]->rank);
            int64_t dim = own < 0 ? 1 : values[i]->dims[own];
            if (dim == 1 || dim == dims[axis])
                continue;
            char a[120], b[120];
            if (dims[axis] != 1)
                return op_error(c, STATUS_INVALID_ARGUMENT, "shapes %s and %s do not broadcast",
                                value_shape_text(NULL, values[0], a, sizeof a),
                                value_shape_text(NULL, values[i], b, sizeof b));
            dims[axis] = dim;
        }
    }
    return STATUS_OK;
}
