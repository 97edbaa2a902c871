/* Tools for expansion: operators that are made of simpler ones. */
#include "graph/op.h"

#include "kernels/convert.h"

#include <stdio.h>

struct value *op_constant_scalar(struct op_context *c, enum dtype dtype, double number)
{
    union {
        double f64;
        float f32;
        uint16_t half;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
        uint64_t u64;
        uint8_t byte;
    } data = {.u64 = 0};
    switch (dtype) {
    case DTYPE_F64:
        data.f64 = number;
        break;
    case DTYPE_F32:
        data.f32 = (float)number;
        break;
    case DTYPE_F16:
        data.half = f32_to_f16((float)number);
        break;
    case DTYPE_BF16:
        data.half = f32_to_bf16((float)number);
        break;
    case DTYPE_U64:
        data.u64 = f64_to_u64(number);
        break;
    case DTYPE_BOOL:
        data.byte = number != 0;
        break;
    default: /* little-endian: the low bytes of an int64 are the narrower integer */
        data.i64 = f64_to_i64(number);
    }
    return op_constant(c, dtype, 0, NULL, &data);
}

enum status op_built(const struct op_context *c)
{
    return c->error->status;
}

enum status op_build_many(struct op_context *c, const char *domain, const char *name, int input_count,
                          struct value *const *inputs, int output_count, struct value **outputs, int attribute_count,
                          const struct attribute *attributes)
{
    if (op_built(c) != STATUS_OK)
        return op_built(c);
    const struct op *op = op_find(domain, name);
    if (!op)
        return op_error(c, STATUS_UNSUPPORTED, "it is made of %s, which nothing here runs", name);
    for (int i = 0; i < output_count; i++) {
        if (!outputs[i])
            outputs[i] = graph_add_value(c->graph, "", DTYPE_NONE, -1, NULL);
        if (!outputs[i])
            return op_no_memory(c);
    }
    struct node *node = graph_add_node(c->expansion, op, *domain ? 1 : NEWEST_OPSET, c->node->name, input_count, inputs,
                                       output_count, outputs, attribute_count, attributes);
    if (!node)
        return op_no_memory(c);
    node->sources = c->node->sources;
    node->source_count = c->node->source_count;
    return STATUS_OK;
}

struct value *op_build(struct op_context *c, const char *name, int count, struct value *const *inputs,
                       const struct op_build_options *options)
{
    static const struct op_build_options none = {0};
    const struct op_build_options *chosen = options ? options : &none;
    struct value *output = chosen->output;
    const char *domain = chosen->domain ? chosen->domain : "";
    enum status status =
        op_build_many(c, domain, name, count, inputs, 1, &output, chosen->attribute_count, chosen->attributes);
    return status == STATUS_OK ? output : NULL;
}

struct value *op_build1(struct op_context *c, const char *name, struct value *a)
{
    return op_build(c, name, 1, &a, NULL);
}

struct value *op_build2(struct op_context *c, const char *name, struct value *a, struct value *b)
{
    return op_build(c, name, 2, (struct value *[]){a, b}, NULL);
}

enum status op_build_identity(struct op_context *c, struct value *value, struct value *output)
{
    op_build(c, "Identity", 1, &value, &(struct op_build_options){.output = output});
    return op_built(c);
}
