/* Operators of ONNX Runtime's own domain that exporters emit. */
#include "graph/op.h"

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
        .class = (uint8_t)pointwise_class_of(input->dtype),
        .target = 1,
        .immediate = {(double)op_float(c, "alpha")},
    };
    params.operands[1].reg = 1;
    return op_pointwise(c, &params, &input, &output);
}

const struct op op_microsoft_QuickGelu = {
    .domain = "com.microsoft",
    .name = "QuickGelu",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .flags = OP_ELEMENTWISE,
    .attributes = attributes_of_microsoft_QuickGelu,
    .shapes = shapes_quick_gelu,
    .lower = lower_quick_gelu,
};
