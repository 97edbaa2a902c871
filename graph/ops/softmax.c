/* Softmax, LogSoftmax, Hardmax. */
#include "kernels/softmax.h"

#include "graph/op.h"

static enum status softmax_params(struct op_context *c, struct softmax_params *p)
{
    const struct value *x = op_input(c, 0);
    bool flatten = c->node->version < 13; /* older: all axes from `axis` on are one */
    int axis;
    TRY(op_axis(c, "axis", op_int(c, "axis", flatten ? 1 : -1), x->rank, &axis));
    *p = (struct softmax_params){
        .dtype = x->dtype, .kind = (enum softmax_kind)c->node->op->detail, .outer = 1, .axis = 1, .inner = 1};
    for (int i = 0; i < x->rank; i++) {
        if (i < axis)
            p->outer *= x->dims[i];
        else if (i == axis || flatten)
            p->axis *= x->dims[i];
        else
            p->inner *= x->dims[i];
    }
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
    struct step *step;
    TRY(softmax_params(c, &p));
    if (value_elements(op_output(c, 0)) == 0)
        return STATUS_OK;
    TRY(op_emit(c, FAMILY_softmax, &p, sizeof p, 1, c->node->inputs, 1, c->node->outputs, &step));
    step->in_place = 1;
    return STATUS_OK;
}

#define SOFTMAX_OP(op_name, kind)    \
    const struct op op_##op_name = { \
        .domain = "",                \
        .name = #op_name,            \
        .min_inputs = 1,             \
        .max_inputs = 1,             \
        .min_outputs = 1,            \
        .max_outputs = 1,            \
        .flags = OP_HALF_AS_F32,     \
        .detail = kind,              \
        .shapes = shapes_softmax,    \
        .lower = lower_softmax,      \
    };

SOFTMAX_OP(Softmax, SOFTMAX)
SOFTMAX_OP(LogSoftmax, SOFTMAX_LOG)
SOFTMAX_OP(Hardmax, SOFTMAX_HARD)
