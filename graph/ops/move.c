/* Operators that move elements without looking at them. */
#include "graph/ops/tools.h"

#include <string.h>

/* --- Transpose, DepthToSpace, SpaceToDepth ------------------------------------------------------------------------ */

static enum status permutation(struct op_context *c, int *order)
{
    int rank = op_input(c, 0)->rank, count;
    const int64_t *perm = op_int_list(c, "perm", &count);
    unsigned seen = 0;
    if (count >= 0 && count != rank)
        return op_error(c, STATUS_INVALID_MODEL, "perm has %d axes, the input %d", count, rank);
    for (int i = 0; i < rank; i++) {
        order[i] = rank - 1 - i;
        if (count >= 0)
            TRY(op_axis(c, "perm axis", perm[i], rank, &order[i]));
        if (seen & 1u << order[i])
            return op_error(c, STATUS_INVALID_MODEL, "perm names axis %d twice", order[i]);
        seen |= 1u << order[i];
    }
    return STATUS_OK;
}

static enum status shapes_transpose(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int order[MAX_RANK];
    int64_t dims[MAX_RANK];
    TRY(permutation(c, order));
    for (int i = 0; i < input->rank; i++)
        dims[i] = input->dims[order[i]];
    return op_set_output(c, 0, input->dtype, input->rank, dims);
}

/* Moving axes of one element past others moves nothing in memory. */
static bool keeps_order(const struct value *input, const int *order)
{
    int last = -1;
    for (int i = 0; i < input->rank; i++) {
        if (input->dims[order[i]] == 1)
            continue;
        if (order[i] < last)
            return false;
        last = order[i];
    }
    return true;
}

static enum status lower_transpose(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    int order[MAX_RANK];
    TRY(permutation(c, order));
    if (keeps_order(input, order))
        return op_alias(c, output, input, 0);
    return op_transpose(c, input, output, input->rank, input->dims, order);
}

OPERATOR(Transpose, 1, 1, 1, 1, shapes_transpose, .lower = lower_transpose)

static enum status block_size(struct op_context *c, int64_t *block)
{
    *block = op_int(c, "blocksize");
    if (*block < 1 || *block > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "blocksize is %lld; it must be positive", (long long)*block);
    return op_require_rank(c, 0, 4, 4);
}

static enum status shapes_depth_to_space(struct op_context *c)
{
    int64_t block;
    TRY(block_size(c, &block));
    const struct value *input = op_input(c, 0);
    const int64_t *dims = input->dims;
    if (dims[1] % (block * block) != 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "%lld channels do not divide into blocks of %lld x %lld",
                        (long long)dims[1], (long long)block, (long long)block);
    int64_t height, width;
    if (__builtin_mul_overflow(dims[2], block, &height) || __builtin_mul_overflow(dims[3], block, &width))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the result is too large");
    return op_set_output(c, 0, input->dtype, 4, (int64_t[]){dims[0], dims[1] / block / block, height, width});
}

static enum status lower_depth_to_space(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    const int64_t *in = input->dims, *out = output->dims;
    int64_t block;
    TRY(block_size(c, &block));
    const char *mode = op_string(c, "mode");
    if (strcmp(mode, "CRD") == 0)
        return op_transpose(c, input, output, 6, (int64_t[]){in[0], out[1], block, block, in[2], in[3]},
                            (int[]){0, 1, 4, 2, 5, 3});
    if (strcmp(mode, "DCR") == 0)
        return op_transpose(c, input, output, 6, (int64_t[]){in[0], block, block, out[1], in[2], in[3]},
                            (int[]){0, 3, 4, 1, 5, 2});
    return op_error(c, STATUS_INVALID_MODEL, "mode is '%s'; it must be DCR or CRD", mode);
}

static enum status shapes_space_to_depth(struct op_context *c)
{
    int64_t block;
    TRY(block_size(c, &block));
    const struct value *input = op_input(c, 0);
    const int64_t *dims = input->dims;
    if (dims[2] % block != 0 || dims[3] % block != 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "%lld x %lld does not divide into blocks of %lld",
                        (long long)dims[2], (long long)dims[3], (long long)block);
    return op_set_output(c, 0, input->dtype, 4,
                         (int64_t[]){dims[0], dims[1] * block * block, dims[2] / block, dims[3] / block});
}

static enum status lower_space_to_depth(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    int64_t block;
    TRY(block_size(c, &block));
    /* The one mode there is up to opset 25 is the inverse of DepthToSpace's DCR. */
    const char *mode = op_string(c, "mode");
    const int64_t *in = input->dims, *out = output->dims;
    int64_t dims[6] = {in[0], in[1], out[2], block, out[3], block};
    if (strcmp(mode, "DCR") == 0)
        return op_transpose(c, input, output, 6, dims, (int[]){0, 3, 5, 1, 2, 4});
    if (strcmp(mode, "CRD") == 0)
        return op_transpose(c, input, output, 6, dims, (int[]){0, 1, 3, 5, 2, 4});
    return op_error(c, STATUS_INVALID_MODEL, "mode is '%s'; it must be DCR or CRD", mode);
}

OPERATOR(DepthToSpace, 1, 1, 1, 1, shapes_depth_to_space, .lower = lower_depth_to_space)
OPERATOR(SpaceToDepth, 1, 1, 1, 1, shapes_space_to_depth, .lower = lower_space_to_depth)

/* --- Concat, Split ------------------------------------------------------------------------------------------------ */

static enum status shapes_concat(struct op_context *c)
{
    const struct value *first = op_input(c, 0);
    int64_t dims[MAX_RANK];
    int axis;
    if (!op_has(c, "axis"))
        return op_error(c, STATUS_INVALID_MODEL, "attribute 'axis' is missing");
    TRY(op_axis(c, "axis", op_int(c, "axis"), first->rank, &axis));
    memcpy(dims, first->dims, sizeof dims);
    for (int i = 1; i < c->node->input_count; i++) {
        TRY(op_require(c, i, TYPE(first->dtype)));
        TRY(op_require_rank(c, i, first->rank, first->rank));
        for (int k = 0; k < first->rank; k++) {
            int64_t dim = op_input(c, i)->dims[k];
            if (k != axis && dim != dims[k])
                return op_error(c, STATUS_INVALID_ARGUMENT, "input %d has %lld elements along axis %d, input 0 %lld", i,
                                (long long)dim, k, (long long)dims[k]);
            if (k == axis && __builtin_add_overflow(dims[k], dim, &dims[k]))
                return op_error(c, STATUS_INVALID_ARGUMENT, "the result is too large");
        }
    }
    return op_set_output(c, 0, first->dtype, first->rank, dims);
}

static enum status lower_concat(struct op_context *c)
{
    struct value *output = op_output(c, 0);
    int axis;
    TRY(op_axis(c, "axis", op_int(c, "axis"), output->rank, &axis));
    if (c->node->input_count == 1)
        return op_alias(c, output, op_input(c, 0), 0);
    struct axis_split whole = op_split_at(output, axis);
    int64_t done = 0;
    for (int i = 0; i < c->node->input_count; i++) {
        struct axis_split part = op_split_at(op_input(c, i), axis);
        struct copy_params params = {
            .rank = 2,
            .dims = {part.outer, part.count * part.inner},
            .input_strides = {part.count * part.inner, 1},
            .output_offset = done * part.inner,
            .output_strides = {whole.count * whole.inner, 1},
        };
        TRY(op_copy(c, op_input(c, i), output, &params));
        done += part.count;
    }
    return STATUS_OK;
}

OPERATOR(Concat, 1, ANY_COUNT, 1, 1, shapes_concat, .lower = lower_concat)

enum status op_split_sizes(struct op_context *c, int *axis, int64_t **sizes)
{
    const struct value *input = op_input(c, 0);
    int outputs = c->node->output_count, count;
    TRY(op_axis(c, "axis", op_int(c, "axis"), input->rank, axis));
    *sizes = region_array(c->graph->region, (size_t)outputs, sizeof **sizes);
    if (!*sizes)
        return op_no_memory(c);
    const int64_t *attribute = op_int_list(c, "split", &count);
    if (attribute && count == outputs)
        memcpy(*sizes, attribute, (size_t)count * sizeof **sizes);
    else if (!attribute)
        TRY(op_ints(c, 1, outputs, *sizes, &count));
    if (count >= 0 && count != outputs)
        return op_error(c, STATUS_INVALID_MODEL, "%d sizes are given for %d outputs", count, outputs);
    int64_t parts = op_int_or(c, "num_outputs", outputs), left = input->dims[*axis];
    if (parts < outputs)
        return op_error(c, STATUS_INVALID_MODEL, "num_outputs is %lld, yet there are %d outputs", (long long)parts,
                        outputs);
    int64_t each = left / parts + (left % parts != 0);
    for (int i = 0; i < outputs; i++) {
        if (count < 0)
            (*sizes)[i] = each < left ? each : left;
        if ((*sizes)[i] < 0 || (*sizes)[i] > left)
            return op_error(c, STATUS_INVALID_ARGUMENT, "part %d has %lld elements, %lld are left", i,
                            (long long)(*sizes)[i], (long long)left);
        left -= (*sizes)[i];
    }
    if (count >= 0 && left != 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "the parts leave %lld elements over", (long long)left);
    return STATUS_OK;
}

static enum status shapes_split(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t *sizes, dims[MAX_RANK];
    int axis;
    TRY(op_split_sizes(c, &axis, &sizes));
    memcpy(dims, input->dims, sizeof dims);
    for (int i = 0; i < c->node->output_count; i++) {
        dims[axis] = sizes[i];
        TRY(op_set_output(c, i, input->dtype, input->rank, dims));
    }
    return STATUS_OK;
}

static enum status lower_split(struct op_context *c)
{
    struct value *input = op_input(c, 0);
    int64_t *sizes, done = 0;
    int axis;
    TRY(op_split_sizes(c, &axis, &sizes));
    struct axis_split whole = op_split_at(input, axis);
    for (int i = 0; i < c->node->output_count; done += sizes[i++]) {
        if (!op_output(c, i))
            continue;
        if (whole.outer == 1) {
            TRY(op_part(c, input, done * whole.inner, op_output(c, i)));
            continue;
        }
        struct copy_params params = {
            .rank = 2,
            .dims = {whole.outer, sizes[i] * whole.inner},
            .input_offset = done * whole.inner,
            .input_strides = {whole.count * whole.inner, 1},
            .output_strides = {sizes[i] * whole.inner, 1},
        };
        TRY(op_copy(c, input, op_output(c, i), &params));
    }
    return STATUS_OK;
}

OPERATOR(Split, 1, 2, 1, ANY_COUNT, shapes_split, .lower = lower_split)

/* --- Slice -------------------------------------------------------------------------------------------------------- */

static enum status slice_list(struct op_context *c, const char *attribute, int input, int64_t *list, int *count)
{
    const int64_t *values = op_int_list(c, attribute, count);
    if (!values)
        return op_ints(c, input, MAX_RANK, list, count);
    if (*count > MAX_RANK)
        return op_error(c, STATUS_INVALID_MODEL, "%s has %d entries; at most %d make sense", attribute, *count,
                        MAX_RANK);
    memcpy(list, values, (size_t)*count * sizeof *list);
    return STATUS_OK;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x > high ? high : x < low ? low : x;
}

/* Negative positions count from the end, then clamp to what exists: a walk backwards starts at the first element at the
 * earliest, and may end before it. */
static void slice_axis(struct slice *slice, int axis, int64_t dim, int64_t start, int64_t end, int64_t step)
{
    bool back = step < 0;
    start = clamp(start < 0 ? start + dim : start, dim > 0 || !back ? 0 : -1, back ? dim - 1 : dim);
    end = clamp(end < 0 ? end + dim : end, back ? -1 : 0, back ? dim - 1 : dim);
    int64_t span = back ? start - end : end - start;
    uint64_t stride = back ? 0 - (uint64_t)step : (uint64_t)step;
    slice->start[axis] = start;
    slice->step[axis] = step;
    slice->count[axis] = span <= 0 ? 0 : (int64_t)(((uint64_t)span - 1) / stride + 1);
}

enum status op_slice(struct op_context *c, struct slice *slice)
{
    const struct value *input = op_input(c, 0);
    int64_t starts[MAX_RANK], ends[MAX_RANK], steps[MAX_RANK];
    int count, end_count, step_count, axes[MAX_RANK], axis_count;
    TRY(slice_list(c, "starts", 1, starts, &count));
    TRY(slice_list(c, "ends", 2, ends, &end_count));
    TRY(op_axes(c, "axes", 3, input->rank, axes, &axis_count));
    TRY(op_ints(c, 4, MAX_RANK, steps, &step_count));
    if (count < 0 || end_count != count || (axis_count >= 0 && axis_count != count) || count > input->rank ||
        (step_count >= 0 && step_count != count))
        return op_error(c, STATUS_INVALID_MODEL, "starts, ends, axes and steps do not match one another or the rank");
    for (int i = 0; i < input->rank; i++)
        slice_axis(slice, i, input->dims[i], 0, input->dims[i], 1);
    for (int i = 0; i < count; i++) {
        int axis = axis_count >= 0 ? axes[i] : i;
        int64_t step = step_count >= 0 ? steps[i] : 1;
        if (step == 0)
            return op_error(c, STATUS_INVALID_ARGUMENT, "the step along axis %d is zero", axis);
        slice_axis(slice, axis, input->dims[axis], starts[i], ends[i], step);
    }
    return STATUS_OK;
}

static enum status shapes_slice(struct op_context *c)
{
    struct slice slice;
    TRY(op_slice(c, &slice));
    return op_set_output(c, 0, op_input(c, 0)->dtype, op_input(c, 0)->rank, slice.count);
}

/* Whether the slice is one run of elements in memory: whole axes inside the first that is cut, single steps before. */
static bool is_contiguous(const struct value *input, const struct slice *slice)
{
    bool whole = true;
    for (int i = input->rank - 1; i >= 0; i--) {
        if (slice->count[i] == 1)
            whole = whole && input->dims[i] == 1;
        else if (!whole || slice->step[i] != 1)
            return false;
        else
            whole = slice->count[i] == input->dims[i];
    }
    return true;
}

static enum status lower_slice(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct copy_params params = {.rank = input->rank};
    struct slice slice;
    int64_t strides[MAX_RANK];
    TRY(op_slice(c, &slice));
    if (value_elements(output) == 0)
        return STATUS_OK;
    contiguous_strides(input->rank, input->dims, strides);
    contiguous_strides(output->rank, output->dims, params.output_strides);
    for (int i = 0; i < input->rank; i++) {
        params.dims[i] = slice.count[i];
        params.input_offset += slice.start[i] * strides[i];
        params.input_strides[i] = slice.count[i] > 1 ? slice.step[i] * strides[i] : 0;
    }
    if (is_contiguous(input, &slice))
        return op_part(c, input, params.input_offset, output);
    return op_copy(c, input, output, &params);
}

OPERATOR(Slice, 1, 5, 1, 1, shapes_slice, .lower = lower_slice)

/* --- Expand, Tile ------------------------------------------------------------------------------------------------- */

static enum status shapes_expand(struct op_context *c)
{
    struct value *input = op_input(c, 0), target = {.rank = 0};
    int rank;
    int64_t dims[MAX_RANK];
    TRY(op_ints(c, 1, MAX_RANK, target.dims, &target.rank));
    TRY(op_broadcast(c, 2, (struct value *[]){input, &target}, &rank, dims));
    return op_set_output(c, 0, input->dtype, rank, dims);
}

static enum status lower_expand(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct copy_params params = {.rank = output->rank};
    if (value_elements(input) == value_elements(output))
        return op_alias(c, output, input, 0);
    memcpy(params.dims, output->dims, sizeof params.dims);
    broadcast_strides(input, output->rank, params.input_strides);
    contiguous_strides(output->rank, output->dims, params.output_strides);
    return op_copy(c, input, output, &params);
}

OPERATOR(Expand, 2, 2, 1, 1, shapes_expand, .lower = lower_expand)

static enum status shapes_tile(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t repeats[MAX_RANK], dims[MAX_RANK];
    int count;
    TRY(op_ints(c, 1, MAX_RANK, repeats, &count));
    if (count != input->rank)
        return op_error(c, STATUS_INVALID_MODEL, "%d repeats are given for an input of rank %d", count, input->rank);
    for (int i = 0; i < count; i++)
        if (repeats[i] < 0 || __builtin_mul_overflow(input->dims[i], repeats[i], &dims[i]))
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d cannot be repeated %lld times", i,
                            (long long)repeats[i]);
    return op_set_output(c, 0, input->dtype, input->rank, dims);
}

/* One axis at a time, the innermost first so that less is read again: outer x repeats x (count inner). */
static enum status lower_tile(struct op_context *c)
{
    struct value *current = op_input(c, 0), *output = op_output(c, 0);
    int64_t dims[MAX_RANK], left = 0;
    if (value_elements(output) == 0)
        return STATUS_OK;
    memcpy(dims, current->dims, sizeof dims);
    for (int i = 0; i < output->rank; i++)
        left += dims[i] != output->dims[i];
    if (left == 0)
        return op_alias(c, output, current, 0);
    for (int axis = output->rank - 1; left > 0; axis--) {
        if (current->dims[axis] == output->dims[axis])
            continue;
        struct axis_split split = op_split_at(current, axis);
        int64_t row = split.count * split.inner, repeats = output->dims[axis] / dims[axis];
        dims[axis] = output->dims[axis];
        struct value *next = --left == 0 ? output : op_temporary(c, output->dtype, output->rank, dims);
        if (!next)
            return op_no_memory(c);
        struct copy_params params = {
            .rank = 3,
            .dims = {split.outer, repeats, row},
            .input_strides = {row, 0, 1},
            .output_strides = {repeats * row, row, 1},
        };
        TRY(op_copy(c, current, next, &params));
        current = next;
    }
    return STATUS_OK;
}

OPERATOR(Tile, 2, 2, 1, 1, shapes_tile, .lower = lower_tile)
