/* Tools for lowering: from a node with known shapes to kernel calls. */
#include "graph/op.h"

#include <string.h>

int64_t value_elements(const struct value *value)
{
    int64_t elements = 1;
    for (int i = 0; i < value->rank; i++)
        elements *= value->dims[i];
    return elements;
}

size_t value_bytes(const struct value *value)
{
    return dtype_bytes(value->dtype, value_elements(value));
}

void contiguous_strides(int rank, const int64_t *dims, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

void broadcast_strides(const struct value *value, int rank, int64_t *strides)
{
    int64_t own[MAX_RANK];
    int missing = rank - value->rank;
    contiguous_strides(value->rank, value->dims, own);
    for (int i = 0; i < rank; i++)
        strides[i] = i < missing || value->dims[i - missing] == 1 ? 0 : own[i - missing];
}

static void *copy_bytes(struct region *region, const void *bytes, size_t size)
{
    void *copy = region_allocate(region, size ? size : 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

static enum status no_kernel(struct op_context *c, enum kernel_family family, int input_count,
                             struct value *const *inputs)
{
    const char *type = "none";
    for (int i = input_count - 1; i >= 0; i--)
        type = inputs[i] ? dtype_name(inputs[i]->dtype) : type;
    return op_error(c, STATUS_UNSUPPORTED, "no %s kernel handles this combination of types and sizes (input: %s)",
                    kernel_family_name(family), type);
}

enum status op_emit(struct op_context *c, enum kernel_family family, const void *params, size_t params_bytes,
                    int input_count, struct value *const *inputs, int output_count, struct value *const *outputs,
                    uint32_t in_place)
{
    struct emission emission = {
        .family = family,
        .params = params,
        .params_bytes = params_bytes,
        .inputs = inputs,
        .input_count = input_count,
        .outputs = outputs,
        .output_count = output_count,
        .in_place = in_place,
        .node = c->node,
    };
    if (!family_supports(family, params, c->facts))
        return no_kernel(c, family, input_count, inputs);
    return c->receiver->take(c->receiver, &emission, c->error);
}

struct value *op_temporary(struct op_context *c, enum dtype dtype, int rank, const int64_t *dims)
{
    return graph_add_value(c->graph, "", dtype, rank, dims);
}

enum status op_alias(struct op_context *c, struct value *output, struct value *input, size_t offset)
{
    (void)c;
    if (output) {
        output->alias = input;
        output->alias_offset = offset;
    }
    return STATUS_OK;
}

static bool copies_nothing(const struct copy_params *params)
{
    for (int i = 0; i < params->rank; i++)
        if (params->dims[i] == 0)
            return true;
    return false;
}

enum status op_copy(struct op_context *c, struct value *input, struct value *output, struct copy_params *params)
{
    unsigned bits = dtype_bits(input->dtype);
    if (bits < 8)
        return op_error(c, STATUS_UNSUPPORTED, "elements of type %s cannot be moved one by one",
                        dtype_name(input->dtype));
    params->element_bytes = bits / 8;
    if (copies_nothing(params))
        return STATUS_OK;
    copy_merge_axes(params);
    return op_emit(c, FAMILY_copy, params, sizeof *params, 1, &input, 1, &output, 0);
}

enum status op_cast(struct op_context *c, struct value *input, struct value *output, bool saturate)
{
    return op_cast_rounding(c, input, output, saturate, E8M0_UP);
}

enum status op_cast_rounding(struct op_context *c, struct value *input, struct value *output, bool saturate,
                             enum e8m0_rounding rounding)
{
    static const uint8_t conversions[CLASS_COUNT] = {POINTWISE_TO_F32, POINTWISE_TO_F64, POINTWISE_TO_I64,
                                                     POINTWISE_TO_U64};
    enum pointwise_class from = pointwise_class_of(input->dtype), to = pointwise_class_of(output->dtype);
    struct pointwise_builder params = {.input_count = 1, .output_count = 1};
    params.operands[1].saturate = saturate;
    params.operands[1].rounding = (uint8_t)rounding;
    if (output->dtype == DTYPE_BOOL && input->dtype != DTYPE_BOOL)
        params.code[params.instruction_count++] =
            (struct pointwise_instruction){.opcode = POINTWISE_TO_BOOL, .register_class = (uint8_t)from, .target = 1};
    else if (from != to)
        params.code[params.instruction_count++] =
            (struct pointwise_instruction){.opcode = conversions[to], .register_class = (uint8_t)from, .target = 1};
    params.operands[1].reg = (uint8_t)params.instruction_count;
    return op_pointwise(c, &params, &input, &output);
}

enum status op_pointwise(struct op_context *c, struct pointwise_builder *params, struct value *const *inputs,
                         struct value *const *outputs)
{
    params->rank = outputs[0]->rank;
    for (int i = 0; i < params->rank; i++)
        params->dims[i] = outputs[0]->dims[i];
    if (value_elements(outputs[0]) == 0)
        return STATUS_OK;
    for (int i = 0; i < params->input_count + params->output_count; i++) {
        const struct value *value = i < params->input_count ? inputs[i] : outputs[i - params->input_count];
        params->operands[i].dtype = (uint8_t)value->dtype;
        broadcast_strides(value, params->rank, params->operands[i].strides);
    }
    return op_emit_pointwise(c, params, inputs, outputs);
}

enum status op_emit_pointwise(struct op_context *c, const struct pointwise_builder *builder,
                              struct value *const *inputs, struct value *const *outputs)
{
    struct pointwise_room room;
    const struct pointwise_params *params = pointwise_build(builder, &room);
    return op_emit(c, FAMILY_pointwise, params, pointwise_bytes(params), params->input_count, inputs,
                   params->output_count, outputs, 0);
}

struct value *op_constant(struct op_context *c, enum dtype dtype, int rank, const int64_t *dims, const void *data)
{
    int64_t elements;
    if (!shape_elements(rank, dims, &elements))
        return NULL;
    void *copy = copy_bytes(c->graph->region, data, dtype_bytes(dtype, elements));
    return copy ? graph_add_constant(c->graph, "", dtype, rank, dims, copy) : NULL;
}

struct value *op_constant_ints(struct op_context *c, int count, const int64_t *ints)
{
    return op_constant(c, DTYPE_I64, 1, (int64_t[]){count}, ints);
}
