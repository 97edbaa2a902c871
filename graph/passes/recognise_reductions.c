/* Sums of squares and of magnitudes, and the L2 norm, spelled out: the tensor in between is as large as x. What an L2
 * normalisation does with the norm (a least value, Expand, Div) stays as it is: LpNormalization has no least value, and
 * its own meaning of a norm of 0. */
#include "graph/passes/match.h"

/* The node as another reduction of x along the same axes. */
static enum status become(struct match *m, const char *op, const struct node *reduction, struct value *x)
{
    struct value *inputs[2] = {x, reduction->input_count > 1 ? reduction->inputs[1] : NULL};
    if (!match_keeps_shape(m, x) || !match_closed(m))
        return STATUS_OK;
    return match_become(m, op, reduction->input_count, inputs, reduction->attribute_count, reduction->attributes);
}

static enum status visit_sum(struct match m, const struct node *node)
{
    struct match other = m;
    const struct node *magnitude = match_maker(&other, node->inputs[0], "Abs");
    struct value *x;
    if (magnitude)
        return become(&other, "ReduceL1", node, magnitude->inputs[0]);
    return match_square(&m, node->inputs[0], &x) ? become(&m, "ReduceSumSquare", node, x) : STATUS_OK;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct match m = match_begin(r);
    if (!(TYPES_FLOAT & TYPE(node->outputs[0]->dtype))) /* integers wrap around on the way */
        return STATUS_OK;
    if (is_op(node, "ReduceSum"))
        return visit_sum(m, node);
    const struct node *sum = is_op(node, "Sqrt") ? match_maker(&m, node->inputs[0], "ReduceSumSquare") : NULL;
    return sum ? become(&m, "ReduceL2", sum, sum->inputs[0]) : STATUS_OK;
}

enum status recognise_reductions(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
