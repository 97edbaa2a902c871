/* Operators that choose among elements by their values. */
#include "graph/ops/tools.h"
#include "kernels/nms.h"
#include "kernels/nonzero.h"
#include "kernels/topk.h"
#include "kernels/unique.h"

#include <string.h>

/* --- TopK --------------------------------------------------------------------------------------------------------- */

static enum status topk_size(struct op_context *c, int *axis, int64_t *k)
{
    const struct value *input = op_input(c, 0);
    int count = 1;
    TRY(op_require_rank(c, 0, 1, MAX_RANK));
    TRY(op_axis(c, "axis", op_int(c, "axis"), input->rank, axis));
    *k = op_int_or(c, "k", -1); /* the attribute was an input from opset 10 on */
    if (c->node->version >= 10)
        TRY(op_ints(c, 1, 1, k, &count));
    if (count != 1 || *k < 0 || *k > input->dims[*axis])
        return op_error(c, STATUS_INVALID_ARGUMENT, "k is %lld; the axis has %lld elements", (long long)*k,
                        (long long)input->dims[*axis]);
    return STATUS_OK;
}

static enum status shapes_topk(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    int64_t k, dims[MAX_RANK];
    int axis;
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(topk_size(c, &axis, &k));
    memcpy(dims, input->dims, sizeof dims);
    dims[axis] = k;
    TRY(op_set_output(c, 0, input->dtype, input->rank, dims));
    return op_set_output(c, 1, DTYPE_I64, input->rank, dims);
}

static enum status lower_topk(struct op_context *c)
{
    struct value *input = op_input(c, 0), *outputs[2] = {op_output(c, 0), op_output(c, 1)};
    int64_t k;
    int axis;
    TRY(topk_size(c, &axis, &k));
    struct axis_split split = op_split_at(input, axis);
    struct topk_params params = {.outer = split.outer,
                                 .count = split.count,
                                 .inner = split.inner,
                                 .k = k,
                                 .largest = op_int(c, "largest") != 0,
                                 .dtype = (uint8_t)input->dtype};
    if (split.outer * split.inner * k == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_topk, &params, sizeof params, 1, &input, 2, outputs, 0);
}

OPERATOR(TopK, 1, 2, 1, 2, shapes_topk, .lower = lower_topk)

/* --- NonZero ------------------------------------------------------------------------------------------------------ */

static enum status shapes_nonzero(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    TRY(op_require(c, 0, TYPES_FIXED));
    int64_t elements = value_elements(input), rank = input->rank > 0 ? input->rank : 1; /* as numpy: at least 1-D */
    if (elements == 0)
        return op_set_output(c, 0, DTYPE_I64, 2, (int64_t[]){rank, 0});
    return op_set_output_at_run(c, 0, DTYPE_I64, 2, (int64_t[]){rank, elements});
}

static enum status lower_nonzero(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    unsigned bits = dtype_bits(input->dtype);
    struct nonzero_params params = {.rank = (int)output->dims[0], .dims = {1}, .element_bytes = bits / 8};
    for (int i = 0; i < input->rank; i++)
        params.dims[i] = input->dims[i];
    params.mask = UINT64_MAX >> (64 - bits);
    if (dtype_is_float(input->dtype))
        params.mask >>= 1; /* -0.0 is zero */
    if (value_elements(input) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_nonzero, &params, sizeof params, 1, &input, 1, &output, 0);
}

OPERATOR(NonZero, 1, 1, 1, 1, shapes_nonzero, .lower = lower_nonzero)

/* --- Unique ------------------------------------------------------------------------------------------------------- */

static enum status unique_params_of(struct op_context *c, struct unique_params *params)
{
    const struct value *input = op_input(c, 0);
    struct axis_split split = {1, value_elements(input), 1};
    *params = (struct unique_params){.rank = 1, .sorted = op_int(c, "sorted") != 0, .dtype = (uint8_t)input->dtype};
    if (op_has(c, "axis")) {
        TRY(op_require_rank(c, 0, 1, MAX_RANK));
        TRY(op_axis(c, "axis", op_int(c, "axis"), input->rank, &params->axis));
        params->rank = input->rank;
        split = op_split_at(input, params->axis);
    }
    params->outer = split.outer;
    params->count = split.count;
    params->inner = split.inner;
    return STATUS_OK;
}

static enum status shapes_unique(struct op_context *c)
{
    struct value *input = op_input(c, 0);
    struct unique_params params;
    TRY(op_require(c, 0, TYPES_NUMERIC | TYPE(DTYPE_BOOL)));
    TRY(unique_params_of(c, &params));
    int64_t dims[MAX_RANK] = {params.count};
    if (op_has(c, "axis"))
        memcpy(dims, input->dims, sizeof dims);
    enum status (*set)(struct op_context *, int, enum dtype, int, const int64_t *) =
        params.count == 0 ? op_set_output : op_set_output_at_run;
    TRY(set(c, 0, input->dtype, params.rank, dims));
    TRY(set(c, 1, DTYPE_I64, 1, &params.count));
    TRY(op_set_output(c, 2, DTYPE_I64, 1, &params.count));
    return set(c, 3, DTYPE_I64, 1, &params.count);
}

static enum status lower_unique(struct op_context *c)
{
    struct value *input = op_input(c, 0);
    struct value *outputs[4] = {op_output(c, 0), op_output(c, 1), op_output(c, 2), op_output(c, 3)};
    struct unique_params params;
    TRY(unique_params_of(c, &params));
    if (params.dtype == DTYPE_BOOL)
        params.dtype = DTYPE_U8;
    if (params.count == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_unique, &params, sizeof params, 1, &input, 4, outputs, 0);
}

OPERATOR(Unique, 1, 1, 1, 4, shapes_unique, .lower = lower_unique)

/* --- NonMaxSuppression -------------------------------------------------------------------------------------------- */

static enum status shapes_nms(struct op_context *c)
{
    const struct value *boxes = op_input(c, 0), *scores = op_input(c, 1), *most = op_input(c, 2);
    static const unsigned types[5] = {TYPE(DTYPE_F32), TYPE(DTYPE_F32), TYPE(DTYPE_I64), TYPE(DTYPE_F32),
                                      TYPE(DTYPE_F32)};
    for (int i = 0; i < 5; i++) {
        TRY(op_allow(c, i, types[i]));
        if (i >= 2 && op_input(c, i) && value_elements(op_input(c, i)) != 1)
            return op_error(c, STATUS_INVALID_MODEL, "input %d must be a scalar", i);
    }
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(op_require_rank(c, 1, 3, 3));
    if (boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] || boxes->dims[1] != scores->dims[2])
        return op_error(c, STATUS_INVALID_ARGUMENT,
                        "boxes must be batch x count x 4 and scores batch x classes x count");
    int64_t each = most && !most->data ? boxes->dims[1] : most ? *(const int64_t *)most->data : 0;
    each = each < 0 ? 0 : each < boxes->dims[1] ? each : boxes->dims[1];
    int64_t dims[2] = {scores->dims[0] * scores->dims[1] * each, 3};
    return dims[0] == 0 ? op_set_output(c, 0, DTYPE_I64, 2, dims) : op_set_output_at_run(c, 0, DTYPE_I64, 2, dims);
}

static enum status lower_nms(struct op_context *c)
{
    struct value *output = op_output(c, 0), *inputs[5];
    for (int i = 0; i < 5; i++)
        inputs[i] = op_input(c, i);
    struct nms_params params = {.batch = inputs[1]->dims[0],
                                .classes = inputs[1]->dims[1],
                                .boxes = inputs[1]->dims[2],
                                .centered = op_int(c, "center_point_box") != 0};
    if (value_elements(output) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_nms, &params, sizeof params, 5, inputs, 1, &output, 0);
}

OPERATOR(NonMaxSuppression, 2, 5, 1, 1, shapes_nms, .lower = lower_nms)
