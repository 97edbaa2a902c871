/* Softmax and its logarithm, spelled out with the greatest element subtracted. */
#include "graph/passes/match.h"

/* The node reduces `value` along one axis; that axis, or -1. */
static int reduced_axis(const struct match *m, struct node *node, const struct value *value)
{
    unsigned axes = node && node->inputs[0] == value ? match_reduced_axes(m, node) : 0;
    for (int axis = 0; axis < value->rank; axis++)
        if (axes == 1u << axis)
            return axis;
    return -1;
}

/* value = *x - the greatest of *x along the axis */
static bool match_shift(struct match *m, const struct value *value, int axis, struct value **x)
{
    const struct node *difference = match_maker(m, value, "Sub");
    if (!difference)
        return false;
    *x = difference->inputs[0];
    return reduced_axis(m, match_maker(m, difference->inputs[1], "ReduceMax"), *x) == axis;
}

static enum status become(struct match *m, const char *op, struct value *x, int axis)
{
    const struct attribute attribute = ATTRIBUTE_I("axis", axis);
    return match_keeps_shape(m, x) && match_closed(m) ? match_become(m, op, 1, &x, 1, &attribute) : STATUS_OK;
}

/* dividend / sum, or dividend * (1 / sum), where the dividend is exp of what is shifted. */
static enum status try_softmax(struct match m, const struct value *dividend, const struct value *sum)
{
    struct node *total = match_maker(&m, sum, "ReduceSum");
    const struct node *power = match_maker(&m, dividend, "Exp");
    int axis = power ? reduced_axis(&m, total, dividend) : -1;
    struct value *x;
    if (axis < 0 || !match_shift(&m, power->inputs[0], axis, &x))
        return STATUS_OK;
    return become(&m, "Softmax", x, axis);
}

static enum status visit_product(struct match m, const struct value *factor, const struct value *inverse)
{
    const struct value *divisor;
    return match_reciprocal(&m, inverse, &divisor) ? try_softmax(m, factor, divisor) : STATUS_OK;
}

/* shifted - log(sum of exp(shifted)); what is shifted may be written once or twice. */
static enum status try_log_softmax(struct match m, const struct node *node)
{
    const struct node *log = match_maker(&m, node->inputs[1], "Log");
    struct node *total = log ? match_maker(&m, log->inputs[0], "ReduceSum") : NULL;
    const struct node *power = total ? match_maker(&m, total->inputs[0], "Exp") : NULL;
    int axis = power ? reduced_axis(&m, total, power->outputs[0]) : -1;
    struct value *x, *again;
    if (axis < 0 || !match_shift(&m, power->inputs[0], axis, &x) || !match_shift(&m, node->inputs[0], axis, &again) ||
        x != again)
        return STATUS_OK;
    return become(&m, "LogSoftmax", x, axis);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct match m = match_begin(r);
    if (is_op(node, "Sub"))
        return try_log_softmax(m, node);
    if (is_op(node, "Div"))
        return try_softmax(m, node->inputs[0], node->inputs[1]);
    if (!is_op(node, "Mul"))
        return STATUS_OK;
    TRY(visit_product(m, node->inputs[0], node->inputs[1]));
    return is_op(node, "Mul") ? visit_product(m, node->inputs[1], node->inputs[0]) : STATUS_OK;
}

enum status recognise_softmax(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
