/* AlignAxis, of our own: how operands were broadcast before opset 7. */
#include "graph/op.h"

/* Input 0 as it lies along input 1 from an axis of that on: of rank 1 behind it. */
static enum status shapes_align(struct op_context *c)
{
    const struct value *x = op_input(c, 0), *whole = op_input(c, 1);
    int axis;
    int64_t dims[MAX_RANK];
    TRY(op_require(c, 0, TYPES_BYTES));
    TRY(op_axis(c, "axis", op_int(c, "axis"), whole->rank, &axis));
    if (axis + x->rank > whole->rank)
        return op_error(c, STATUS_INVALID_MODEL, "%d axes from axis %d on are more than a tensor of rank %d has",
                        x->rank, axis, whole->rank);
    for (int i = 0; i < whole->rank - axis; i++)
        dims[i] = i < x->rank ? x->dims[i] : 1;
    return op_set_output(c, 0, x->dtype, whole->rank - axis, dims);
}

static enum status lower_align(struct op_context *c)
{
    return op_alias(c, op_output(c, 0), op_input(c, 0), 0);
}

const struct op op_infer_AlignAxis = {
    .domain = OWN_DOMAIN,
    .name = "AlignAxis",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(infer_AlignAxis),
    .shapes = shapes_align,
    .lower = lower_align,
};
