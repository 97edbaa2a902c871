/* Half precision: an operator that computes in f32 stands between casts. */
#include "graph/op.h"

static bool is_half(const struct value *value)
{
    return value && (value->dtype == DTYPE_F16 || value->dtype == DTYPE_BF16);
}

bool op_needs_f32(const struct node *node)
{
    bool half = false;
    for (int i = 0; i < node->input_count; i++)
        half = half || is_half(node->inputs[i]);
    for (int i = 0; i < node->output_count; i++)
        half = half || is_half(node->outputs[i]);
    return half && node->op->flags & OP_HALF_AS_F32;
}

static struct value *f32_twin(struct op_context *c, const struct value *value)
{
    struct value *twin = op_temporary(c, DTYPE_F32, value->rank, value->dims);
    if (twin)
        twin->dims_at_run = value->dims_at_run;
    return twin;
}

static enum status add_cast(struct op_context *c, struct value *from, struct value *to)
{
    const struct attribute type = ATTRIBUTE_I("to", to->dtype);
    op_build(c, "Cast", 1, &from, &(struct op_build_options){.output = to, .attributes = &type, .attribute_count = 1});
    return op_built(c);
}

/* The node itself, over other operands. */
static enum status add_twin(struct op_context *c, struct value *const *inputs, struct value *const *outputs)
{
    const struct node *node = c->node;
    struct node *twin = graph_add_node(c->expansion, node->op, node->version, node->name, node->input_count, inputs,
                                       node->output_count, outputs, node->attribute_count, node->attributes);
    if (!twin)
        return op_no_memory(c);
    twin->sources = node->sources;
    twin->source_count = node->source_count;
    return STATUS_OK;
}

enum status op_expand_as_f32(struct op_context *c)
{
    const struct node *node = c->node;
    struct region *region = c->graph->region;
    struct value **inputs = region_array(region, (size_t)node->input_count, sizeof *inputs);
    struct value **outputs = region_array(region, (size_t)node->output_count, sizeof *outputs);
    if (!inputs || !outputs)
        return op_no_memory(c);
    for (int i = 0; i < node->input_count; i++) {
        inputs[i] = node->inputs[i];
        if (!is_half(node->inputs[i]))
            continue;
        if (!(inputs[i] = f32_twin(c, node->inputs[i])))
            return op_no_memory(c);
        TRY(add_cast(c, node->inputs[i], inputs[i]));
    }
    for (int i = 0; i < node->output_count; i++) {
        outputs[i] = is_half(node->outputs[i]) ? f32_twin(c, node->outputs[i]) : node->outputs[i];
        if (node->outputs[i] && !outputs[i])
            return op_no_memory(c);
    }
    TRY(add_twin(c, inputs, outputs));
    for (int i = 0; i < node->output_count; i++)
        if (is_half(node->outputs[i]))
            TRY(add_cast(c, outputs[i], node->outputs[i]));
    return STATUS_OK;
}
