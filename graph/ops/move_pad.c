/* Pad and CenterCropPad. */
#include "graph/ops/tools.h"

#include <string.h>

enum status op_padding(struct op_context *c, struct padding *padding)
{
    const struct value *input = op_input(c, 0);
    int64_t from_input[2 * MAX_RANK];
    int count, axes[MAX_RANK], axis_count;
    const int64_t *pads = op_int_list(c, "pads", &count);
    if (!pads) {
        TRY(op_ints(c, 1, 2 * MAX_RANK, from_input, &count));
        pads = from_input;
    }
    TRY(op_axes(c, "axes", 3, input->rank, axes, &axis_count));
    int padded = axis_count < 0 ? input->rank : axis_count;
    if (count != 2 * padded)
        return op_error(c, STATUS_INVALID_MODEL, "pads has %d entries; two for each of %d axes are needed", count,
                        padded);
    memset(padding, 0, sizeof *padding);
    for (int i = 0; i < padded; i++) {
        int axis = axis_count < 0 ? i : axes[i];
        const int64_t most = INT64_C(1) << 57; /* more than any tensor has */
        if (pads[i] < -most || pads[i] > most || pads[padded + i] < -most || pads[padded + i] > most)
            return op_error(c, STATUS_INVALID_ARGUMENT, "the padding of axis %d is out of range", axis);
        padding->begin[axis] = pads[i];
        padding->end[axis] = pads[padded + i];
    }
    return STATUS_OK;
}

static enum status shapes_pad(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    struct padding padding;
    int64_t dims[MAX_RANK];
    TRY(op_padding(c, &padding));
    TRY(op_allow(c, 2, TYPE(input->dtype)));
    if (op_input(c, 2) && value_elements(op_input(c, 2)) != 1)
        return op_error(c, STATUS_INVALID_MODEL, "the value to pad with must be a scalar");
    for (int i = 0; i < input->rank; i++)
        if (__builtin_add_overflow(input->dims[i], padding.begin[i], &dims[i]) ||
            __builtin_add_overflow(dims[i], padding.end[i], &dims[i]))
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d of the result is too large", i);
    return op_set_output(c, 0, input->dtype, input->rank, dims);
}

static int64_t modulo(int64_t x, int64_t n)
{
    int64_t rest = x % n;
    return rest < 0 ? rest + n : rest;
}

/* Which element of an axis of n lands at `position` (counted from the input's first element, so it may be negative). */
static int64_t source_of(char mode, int64_t position, int64_t n)
{
    if (mode == 'e')
        return position < 0 ? 0 : position >= n ? n - 1 : position;
    if (mode == 'w')
        return modulo(position, n);
    if (n == 1)
        return 0;
    int64_t folded = modulo(position, 2 * (n - 1)); /* reflect: up and down again without repeating the ends */
    return folded < n ? folded : 2 * (n - 1) - folded;
}

static enum status pad_axis(struct op_context *c, struct value *input, struct value *output, int axis, char mode,
                            int64_t begin)
{
    int64_t count = output->dims[axis], n = input->dims[axis];
    int64_t *sources = region_array(c->graph->region, (size_t)count, sizeof *sources);
    if (!sources)
        return op_no_memory(c);
    if (n == 0 && count > 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d is empty; there is nothing to repeat", axis);
    for (int64_t i = 0; i < count; i++)
        sources[i] = source_of(mode, i - begin, n);
    struct value *indices = graph_add_constant(c->graph, "", DTYPE_I64, 1, &count, sources);
    return indices ? op_take(c, input, output, axis, indices) : op_no_memory(c);
}

/* One axis at a time: each repeats whole slices, those that earlier axes made included. */
static enum status pad_by_repeating(struct op_context *c, const struct padding *padding, char mode)
{
    struct value *current = op_input(c, 0), *output = op_output(c, 0);
    int left = 0;
    int64_t dims[MAX_RANK];
    memcpy(dims, current->dims, sizeof dims);
    for (int i = 0; i < output->rank; i++)
        left += padding->begin[i] != 0 || padding->end[i] != 0;
    if (left == 0)
        return op_alias(c, output, current, 0);
    for (int i = 0; left > 0; i++) {
        if (padding->begin[i] == 0 && padding->end[i] == 0)
            continue;
        dims[i] = output->dims[i];
        struct value *next = --left == 0 ? output : op_temporary(c, output->dtype, output->rank, dims);
        if (!next)
            return op_no_memory(c);
        TRY(pad_axis(c, current, next, i, mode, padding->begin[i]));
        current = next;
    }
    return STATUS_OK;
}

static enum status lower_pad(struct op_context *c)
{
    struct padding padding;
    TRY(op_padding(c, &padding));
    struct value *input = op_input(c, 0), *output = op_output(c, 0), *fill = op_input(c, 2);
    const char *mode = op_string(c, "mode");
    if (strcmp(mode, "reflect") == 0 || strcmp(mode, "edge") == 0 || strcmp(mode, "wrap") == 0)
        return pad_by_repeating(c, &padding, mode[0]);
    if (strcmp(mode, "constant") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "mode is '%s'; it must be constant, reflect, edge or wrap", mode);
    if (!fill) /* up to opset 10 there is an attribute, for floats */
        fill = op_has(c, "value") ? op_constant_scalar(c, input->dtype, (double)op_float(c, "value"))
                                  : op_zero(c, input->dtype);
    return fill ? op_pad(c, input, output, padding.begin, fill) : op_no_memory(c);
}

OPERATOR(Pad, 1, 4, 1, 1, shapes_pad, .lower = lower_pad)

/* --- CenterCropPad ------------------------------------------------------------------------------------------------ */

static enum status shapes_center_crop_pad(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t target[MAX_RANK], dims[MAX_RANK];
    int count, axes[MAX_RANK], axis_count;
    TRY(op_ints(c, 1, MAX_RANK, target, &count));
    TRY(op_axes(c, "axes", 2, input->rank, axes, &axis_count));
    if (count != (axis_count < 0 ? input->rank : axis_count))
        return op_error(c, STATUS_INVALID_MODEL, "the shape has %d entries, which do not match the axes", count);
    memcpy(dims, input->dims, sizeof dims);
    for (int i = 0; i < count; i++)
        dims[axis_count < 0 ? i : axes[i]] = target[i];
    return op_set_output(c, 0, input->dtype, input->rank, dims);
}

/* An odd amount puts the larger half at the end. */
static enum status lower_center_crop_pad(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct value *zero = op_zero(c, input->dtype);
    int64_t begin[MAX_RANK];
    for (int i = 0; i < input->rank; i++)
        begin[i] = (output->dims[i] - input->dims[i]) / 2;
    return zero ? op_pad(c, input, output, begin, zero) : op_no_memory(c);
}

OPERATOR(CenterCropPad, 2, 2, 1, 1, shapes_center_crop_pad, .lower = lower_center_crop_pad)
