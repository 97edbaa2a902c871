#include "graph/op.h"
#include "graph/steps/step.h"

#include <string.h>

static bool is_half(const struct value *value)
{
    return value && (value->dtype == DTYPE_F16 || value->dtype == DTYPE_BF16);
}

static bool has_half(const struct node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (is_half(node->inputs[i]))
            return true;
    for (int i = 0; i < node->output_count; i++)
        if (is_half(node->outputs[i]))
            return true;
    return false;
}

static struct value *f32_twin(struct op_context *c, const struct value *value)
{
    struct value *twin = op_temporary(c, DTYPE_F32, value->rank, value->dims);
    if (twin)
        twin->dims_at_run = value->dims_at_run;
    return twin;
}

/* A constant is converted now, once; anything else by a step. */
static enum status widen(struct op_context *c, struct value *value, struct value **wide)
{
    *wide = f32_twin(c, value);
    if (!*wide)
        return op_no_memory(c);
    if (!value->data)
        return op_cast(c, value, *wide, true);
    struct node cast = {.op = op_find("", "Cast"),
                        .name = c->node->name,
                        .inputs = &value,
                        .input_count = 1,
                        .outputs = wide,
                        .output_count = 1,
                        .version = NEWEST_OPSET};
    size_t made = 0; /* lowering has no count of constants */
    return evaluate_node(c->graph, &cast, c->facts, SIZE_MAX, &made, c->error);
}

/* The node with f32 twins in place of its half-precision operands, and conversions before and after. */
static enum status lower_half(struct op_context *c)
{
    const struct node *node = c->node;
    struct node twin = *node;
    twin.inputs = region_array(c->graph->region, (size_t)node->input_count + 1, sizeof(struct value *));
    twin.outputs = region_array(c->graph->region, (size_t)node->output_count + 1, sizeof(struct value *));
    if (!twin.inputs || !twin.outputs)
        return op_no_memory(c);
    for (int i = 0; i < node->input_count; i++) {
        twin.inputs[i] = node->inputs[i];
        if (is_half(node->inputs[i]))
            TRY(widen(c, node->inputs[i], &twin.inputs[i]));
    }
    for (int i = 0; i < node->output_count; i++) {
        twin.outputs[i] = node->outputs[i];
        if (is_half(node->outputs[i]) && !(twin.outputs[i] = f32_twin(c, node->outputs[i])))
            return op_no_memory(c);
    }
    struct op_context inner = *c;
    inner.node = &twin;
    struct step_list *steps = (struct step_list *)c->receiver; /* its first field */
    int first = steps->count;
    TRY(node->op->lower(&inner));
    for (int i = first; i < steps->count; i++)
        steps->steps[i]->node = node; /* not the twin, which is gone when this returns */
    for (int i = 0; i < node->output_count; i++)
        if (is_half(node->outputs[i]))
            TRY(op_cast(c, twin.outputs[i], node->outputs[i], true));
    return STATUS_OK;
}

/* An empty result needs no step; nor need its operands be of sizes that make sense to one. */
static bool makes_nothing(const struct node *node)
{
    for (int i = 0; i < node->output_count; i++) {
        const struct value *output = node->outputs[i];
        if (output && (output->rank < 0 || output->dims_at_run || value_elements(output) > 0))
            return false;
    }
    return true;
}

enum status lower_node(struct graph *graph, struct node *node, const struct kernel_facts *facts,
                       struct step_list *steps, struct error *error)
{
    struct op_context c = {.graph = graph, .node = node, .error = error, .receiver = &steps->receiver, .facts = facts};
    if (makes_nothing(node))
        return STATUS_OK;
    if ((node->op->flags & OP_HALF_AS_F32) && has_half(node))
        return lower_half(&c);
    return node->op->lower(&c);
}
