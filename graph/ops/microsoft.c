/* Activations of com.microsoft, some with a bias. */
#include "graph/ops/microsoft.h"

#include "graph/ops/build.h"
#include "graph/ops/tools.h"

/* --- Gelu, FastGelu, BiasGelu: (x[, bias of the last axis]) ----------------------------------------------- */

/* Input i, of x's type, has an element for each of the last axis of x. */
static enum status check_bias(struct op_context *c, int i)
{
    const struct value *x = op_input(c, 0), *bias = op_input(c, i);
    TRY(op_allow(c, i, TYPE(x->dtype)));
    if (!bias || (x->rank > 0 && bias->rank == 1 && bias->dims[0] == x->dims[x->rank - 1]))
        return STATUS_OK;
    char text[120];
    return op_error(c, STATUS_INVALID_MODEL, "a bias of shape %s does not fit the last axis of x",
                    value_shape_text(NULL, bias, text, sizeof text));
}

static enum status shapes_gelu(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(check_bias(c, 1));
    return op_shapes_as_input(c);
}

static enum status lower_gelu(struct op_context *c)
{
    struct value *inputs[2] = {op_input(c, 0), op_input(c, 1)}, *output = op_output(c, 0);
    uint8_t class = (uint8_t)pointwise_class_of(output->dtype), x = 0;
    struct pointwise_builder params = {.input_count = inputs[1] ? 2 : 1, .output_count = 1};
    if (inputs[1]) {
        op_instruction(&params,
                       INSTRUCTION(.opcode = POINTWISE_ADD, .register_class = class, .target = 2, .a = 0, .b = 1));
        x = 2;
    }
    op_instruction(&params,
                   INSTRUCTION(.opcode = (uint8_t)c->node->op->detail, .register_class = class, .target = 2, .a = x));
    params.operands[params.input_count].reg = 2;
    return op_pointwise(c, &params, inputs, &output);
}

#define GELU(name, least, most, opcode)                                                                 \
    MICROSOFT_OPERATOR(name, least, most, 1, 1, shapes_gelu, .flags = OP_ELEMENTWISE, .detail = opcode, \
                       .lower = lower_gelu)
GELU(Gelu, 1, 1, POINTWISE_GELU)
GELU(FastGelu, 1, 2, POINTWISE_GELU_TANH)
GELU(BiasGelu, 2, 2, POINTWISE_GELU)

/* --- BiasSplitGelu: of x + bias, the first half of the last axis times gelu of the second ----------------- */

static enum status shapes_split_gelu(struct op_context *c)
{
    int64_t dims[3];
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(check_bias(c, 1));
    const struct value *x = op_input(c, 0);
    if (x->dims[2] % 2 != 0)
        return op_error(c, STATUS_INVALID_MODEL, "%lld elements have no halves", (long long)x->dims[2]);
    for (int i = 0; i < 3; i++)
        dims[i] = i < 2 ? x->dims[i] : x->dims[i] / 2;
    return op_set_output(c, 0, x->dtype, 3, dims);
}

static enum status expand_split_gelu(struct op_context *c)
{
    int64_t width = op_output(c, 0)->dims[2];
    struct value *x = op_build2(c, "Add", op_input(c, 0), op_input(c, 1));
    struct value *gate = op_build1(c, "Gelu", build_slice(c, x, 2, width, 2 * width));
    return build_output(c, 0, op_build2(c, "Mul", build_slice(c, x, 2, 0, width), gate));
}

MICROSOFT_OPERATOR(BiasSplitGelu, 2, 2, 1, 1, shapes_split_gelu, .expand = expand_split_gelu)

/* --- QuickGelu: x sigmoid(alpha x) ------------------------------------------------------------------------ */

static enum status shapes_quick_gelu(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    return op_shapes_as_input(c);
}

static enum status lower_quick_gelu(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct pointwise_builder params = {.input_count = 1, .output_count = 1, .instruction_count = 1};
    params.code[0] = (struct pointwise_instruction){
        .opcode = POINTWISE_SWISH,
        .register_class = (uint8_t)pointwise_class_of(input->dtype),
        .target = 1,
        .immediate = {(double)op_float(c, "alpha")},
    };
    params.operands[1].reg = 1;
    return op_pointwise(c, &params, &input, &output);
}

MICROSOFT_OPERATOR(QuickGelu, 1, 1, 1, 1, shapes_quick_gelu, .flags = OP_ELEMENTWISE, .lower = lower_quick_gelu)
