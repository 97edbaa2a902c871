/* Softmax, LogSoftmax, Hardmax. */
#include "kernels/softmax.h"

#include "graph/ops/tools.h"

static enum status softmax_params(struct op_context *c, struct softmax_params *p)
{
    const struct value *x = op_input(c, 0);
    bool flatten = c->node->version < 13; /* older: all axes from `axis` on are one */
    int axis;
    TRY(op_axis(c, "axis", op_int(c, "axis"), x->rank, &axis));
    struct axis_split split = op_split_at(x, axis);
    *p = (struct softmax_params){.dtype = x->dtype,
                                 .kind = (enum softmax_kind)c->node->op->detail,
                                 .outer = split.outer,
                                 .axis = flatten ? split.count * split.inner : split.count,
                                 .inner = flatten ? 1 : split.inner};
    return STATUS_OK;
}

static enum status shapes_softmax(struct op_context *c)
{
    struct softmax_params p;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(softmax_params(c, &p));
    return op_shapes_as_input(c);
}

static enum status lower_softmax(struct op_context *c)
{
    struct softmax_params p;
    TRY(softmax_params(c, &p));
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_softmax, &p, sizeof p, 1, c->node->inputs, 1, c->node->outputs, 1);
}

#define SOFTMAX_OP(op_name, kind) \
    OPERATOR(op_name, 1, 1, 1, 1, shapes_softmax, .flags = OP_HALF_AS_F32, .detail = kind, .lower = lower_softmax)

SOFTMAX_OP(Softmax, SOFTMAX)
SOFTMAX_OP(LogSoftmax, SOFTMAX_LOG)
SOFTMAX_OP(Hardmax, SOFTMAX_HARD)
