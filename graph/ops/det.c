/* Det. */
#include "kernels/det.h"

#include "graph/ops/tools.h"

static enum status shapes_det(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    const struct value *x = op_input(c, 0);
    if (x->dims[x->rank - 1] != x->dims[x->rank - 2])
        return op_error(c, STATUS_INVALID_ARGUMENT, "its matrices are %lldx%lld; they must be square",
                        (long long)x->dims[x->rank - 2], (long long)x->dims[x->rank - 1]);
    return op_set_output(c, 0, x->dtype, x->rank - 2, x->dims);
}

static enum status lower_det(struct op_context *c)
{
    const struct value *x = op_input(c, 0), *y = op_output(c, 0);
    struct det_params p = {.dtype = x->dtype, .batch = value_elements(y), .n = x->dims[x->rank - 1]};
    if (p.batch == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_det, &p, sizeof p, 1, c->node->inputs, 1, c->node->outputs, 0);
}

OPERATOR(Det, 1, 1, 1, 1, shapes_det, .flags = OP_HALF_AS_F32, .lower = lower_det)
