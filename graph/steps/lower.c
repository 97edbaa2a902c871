#include "graph/op.h"
#include "graph/steps/step.h"

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

static enum status lower_as_f32(struct op_context *c, struct step_list *steps)
{
    c->expansion = graph_create(c->graph->region, "");
    if (!c->expansion)
        return op_no_memory(c);
    TRY(op_expand_as_f32(c));
    for (int i = 0; i < c->expansion->node_count; i++)
        TRY(lower_node(c->graph, c->expansion->nodes[i], c->facts, steps, c->error));
    return STATUS_OK;
}

enum status lower_node(struct graph *graph, struct node *node, const struct kernel_facts *facts,
                       struct step_list *steps, struct error *error)
{
    struct op_context c = {.graph = graph, .node = node, .error = error, .receiver = &steps->receiver, .facts = facts};
    if (makes_nothing(node))
        return STATUS_OK;
    return op_needs_f32(node) ? lower_as_f32(&c, steps) : node->op->lower(&c);
}
