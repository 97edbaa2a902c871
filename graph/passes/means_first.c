/* The mean of a 1x1 convolution over the image is the convolution of the mean: nothing in it looks from one position to
 * another. So a squeeze-excite block can begin before the image it scales is there, which then need not be stored
 * between: the scale goes into the convolution's epilogue. */
#include "graph/passes/rewrite.h"

/* One tap, at every position, and no padding, which a mean would count. */
static bool is_positionwise(const struct op_context *c)
{
    int stride_count, pad_count;
    const struct value *weights = op_input(c, 1);
    const int64_t *strides = op_int_list(c, "strides", &stride_count), *pads = op_int_list(c, "pads", &pad_count);
    for (int i = 2; i < weights->rank; i++)
        if (weights->dims[i] != 1)
            return false;
    for (int i = 0; i < stride_count; i++)
        if (strides[i] != 1)
            return false;
    for (int i = 0; i < pad_count; i++)
        if (pads[i] != 0)
            return false;
    return true;
}

/* The mean is over no more channels than it was. */
static bool has_fewer_inputs(const struct op_context *c)
{
    const struct value *weights = op_input(c, 1);
    int64_t groups = op_int(c, "group");
    return weights->rank >= 3 && groups > 0 && weights->dims[1] >= 0 && weights->dims[1] <= weights->dims[0] / groups;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct node *conv = is_op(node, "GlobalAveragePool") ? rewrite_maker(r, node->inputs[0], "Conv") : NULL;
    struct op_context c = {.graph = r->c.graph, .node = conv};
    if (!conv || !rewrite_is_sure(r, conv->inputs[1]) || !has_fewer_inputs(&c) || !is_positionwise(&c))
        return STATUS_OK;
    TRY(rewrite_absorb(r, node, conv));
    struct value *mean = rewrite_build(r, node->op, 1, conv->inputs, 0, NULL);
    if (!mean)
        return r->c.error->status;
    struct value *inputs[3] = {mean, conv->inputs[1], conv->input_count > 2 ? conv->inputs[2] : NULL};
    return rewrite_as(r, node, conv->op, conv->input_count, inputs, conv->attribute_count, conv->attributes);
}

enum status take_means_first(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
