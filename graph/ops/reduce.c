/* Reduce*, ArgMax and ArgMin. */
#include "graph/ops/reduce.h"

#include "graph/ops/tools.h"

#include "kernels/argmax.h"

/* Neighbouring axes of one kind are one, since the input has no gaps. */
static void append_axis(int *rank, int64_t *dims, int64_t *strides, int64_t dim, int64_t stride, bool merge)
{
    if (merge && *rank > 0) {
        dims[*rank - 1] *= dim;
        strides[*rank - 1] = stride;
        return;
    }
    dims[*rank] = dim;
    strides[(*rank)++] = stride;
}

enum status op_reduce(struct op_context *c, enum reduce_kind kind, struct value *input, unsigned axes,
                      struct value *output)
{
    struct reduce_params p = {.dtype = output->dtype, .kind = kind};
    p.bytes = input->dtype == output->dtype ? DTYPE_NONE : input->dtype;
    int64_t strides[MAX_RANK];
    contiguous_strides(input->rank, input->dims, strides);
    bool was_folded = false;
    for (int i = 0; i < input->rank; i++) {
        bool folded = axes >> i & 1u;
        if (folded)
            append_axis(&p.folded_rank, p.folded, p.folded_strides, input->dims[i], strides[i], was_folded);
        else
            append_axis(&p.kept_rank, p.kept, p.kept_strides, input->dims[i], strides[i], !was_folded);
        was_folded = folded;
    }
    if (value_elements(output) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_reduce, &p, sizeof p, 1, &input, 1, &output, 0);
}

/* A bit for each axis to fold. */
static enum status reduce_axes(struct op_context *c, unsigned *mask)
{
    int axes[MAX_RANK], count, rank = op_input(c, 0)->rank;
    TRY(op_axes(c, "axes", 1, rank, axes, &count));
    *mask = count > 0 || op_int(c, "noop_with_empty_axes") ? 0 : (1u << rank) - 1;
    for (int i = 0; i < count; i++)
        *mask |= 1u << axes[i];
    return STATUS_OK;
}

static enum status set_reduced(struct op_context *c, enum dtype dtype, unsigned mask)
{
    const struct value *x = op_input(c, 0);
    bool keep = op_int(c, "keepdims") != 0;
    int64_t dims[MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        bool folded = mask >> i & 1u;
        if (!folded || keep)
            dims[rank++] = folded ? 1 : x->dims[i];
    }
    return op_set_output(c, 0, dtype, rank, dims);
}

static enum status shapes_reduce(struct op_context *c)
{
    int kind = c->node->op->detail;
    bool ordering = kind == REDUCE_MAX || kind == REDUCE_MIN;
    unsigned mask;
    TRY(op_require(c, 0, ordering ? TYPES_FIXED : TYPES_NUMERIC));
    TRY(reduce_axes(c, &mask));
    return set_reduced(c, op_input(c, 0)->dtype, mask);
}

static enum status lower_reduce(struct op_context *c)
{
    unsigned mask;
    TRY(reduce_axes(c, &mask));
    return op_reduce(c, (enum reduce_kind)c->node->op->detail, op_input(c, 0), mask, op_output(c, 0));
}

#define REDUCE(op_name, kind) \
    OPERATOR(op_name, 1, 2, 1, 1, shapes_reduce, .flags = OP_HALF_AS_F32, .detail = kind, .lower = lower_reduce)

REDUCE(ReduceSum, REDUCE_SUM)
REDUCE(ReduceMean, REDUCE_MEAN)
REDUCE(ReduceProd, REDUCE_PROD)
REDUCE(ReduceMax, REDUCE_MAX)
REDUCE(ReduceMin, REDUCE_MIN)
REDUCE(ReduceL1, REDUCE_L1)
REDUCE(ReduceL2, REDUCE_L2)
REDUCE(ReduceSumSquare, REDUCE_SUM_SQUARE)
REDUCE(ReduceLogSum, REDUCE_LOG_SUM)
REDUCE(ReduceLogSumExp, REDUCE_LOG_SUM_EXP)

/* --- ArgMax, ArgMin --------------------------------------------------------------------------------------- */

static enum status shapes_argmax(struct op_context *c)
{
    int axis;
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(op_axis(c, "axis", op_int(c, "axis"), op_input(c, 0)->rank, &axis));
    if (op_input(c, 0)->dims[axis] == 0)
        return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d has no elements to choose from", axis);
    return set_reduced(c, DTYPE_I64, 1u << axis);
}

static enum status lower_argmax(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int axis;
    TRY(op_axis(c, "axis", op_int(c, "axis"), x->rank, &axis));
    struct axis_split split = op_split_at(x, axis);
    struct argmax_params p = {
        .dtype = x->dtype,
        .minimum = c->node->op->detail != 0,
        .last = op_int(c, "select_last_index") != 0,
        .outer = split.outer,
        .axis = split.count,
        .inner = split.inner,
    };
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_argmax, &p, sizeof p, 1, c->node->inputs, 1, c->node->outputs, 0);
}

#define ARGMAX(op_name, minimum) \
    OPERATOR(op_name, 1, 1, 1, 1, shapes_argmax, .flags = OP_HALF_AS_F32, .detail = minimum, .lower = lower_argmax)

ARGMAX(ArgMax, 0)
ARGMAX(ArgMin, 1)
