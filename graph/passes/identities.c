/* Nodes that hand their input on unchanged: their readers read the input itself. */
#include "graph/passes/rewrite.h"

/* Dropout outside training; before opset 12 it has no third input, and before 7 an attribute says so. */
static bool is_idle_dropout(const struct rewriter *r, const struct node *node)
{
    double training = 0;
    bool has_mask = node->output_count > 1 && node->outputs[1] && rewrite_is_read(r, node->outputs[1]);
    if (!is_op(node, "Dropout") || has_mask)
        return false;
    if (node->input_count > 2 && node->inputs[2])
        return rewrite_scalar(node->inputs[2], &training) && training == 0;
    return node->version >= 7 || node_int(node, "is_test") != 0;
}

static bool is_idle_cast(const struct rewriter *r, const struct node *node)
{
    enum dtype from = is_op(node, "Cast") ? rewrite_dtype(r, node->inputs[0]) : DTYPE_NONE;
    return from != DTYPE_NONE && node_int(node, "to") == (int64_t)from;
}

static bool same_shape(const struct value *a, const struct value *b)
{
    return a->rank == b->rank && !a->dims_at_run && !b->dims_at_run &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Moves that leave the shape as it is move nothing. */
static bool is_idle_move(const struct node *node)
{
    static const char *const names[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand"};
    bool named = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        named = named || is_op(node, names[i]);
    return named && same_shape(node->inputs[0], node->outputs[0]);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    bool idle = is_op(node, "Identity") || is_idle_dropout(r, node) || is_idle_cast(r, node) ||
                (r->context->shaped && is_idle_move(node));
    return idle ? rewrite_forward(r, node, node->inputs[0]) : STATUS_OK;
}

enum status eliminate_identities(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
