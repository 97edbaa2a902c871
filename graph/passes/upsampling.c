/* A ConvTranspose whose windows do not overlap computes each block of its output from one position of the input: it is
 * a convolution of 1x1 whose channels are then spread over the block. As such it can be computed on integers. What is
 * elementwise behind it goes before the spreading, which then moves what the convolution has made for good. */
#include "graph/passes/passes.h"
#include "graph/passes/rewrite.h"

static bool all_are(const struct node *node, const char *name, int64_t number)
{
    const struct attribute *list = node_attribute_of(node, name, ATTRIBUTE_INTS);
    for (size_t i = 0; list && i < list->count; i++)
        if (list->ints[i] != number)
            return false;
    return true;
}

/* Such windows, of `size` by `size`. */
static bool tiles_output(const struct node *node, int64_t *size)
{
    const struct value *w = node->inputs[1], *bias = node->input_count > 2 ? node->inputs[2] : NULL;
    const struct attribute *strides = node_attribute_of(node, "strides", ATTRIBUTE_INTS);
    const struct attribute *automatic = node_attribute_of(node, "auto_pad", ATTRIBUTE_STRING);
    bool known = w->data && w->dtype == DTYPE_F32 && w->rank == 4 && w->dims[2] == w->dims[3] &&
                 (!bias || (bias->data && bias->dtype == DTYPE_F32 && bias->rank == 1 && bias->dims[0] == w->dims[1]));
    *size = known ? w->dims[2] : 0;
    return *size > 1 && strides && strides->count == 2 && all_are(node, "strides", *size) &&
           all_are(node, "dilations", 1) && all_are(node, "pads", 0) && all_are(node, "output_padding", 0) &&
           node_int(node, "group") == 1 && !node_attribute(node, "output_shape") &&
           (!automatic || strcmp(automatic->string, "NOTSET") == 0);
}

/* Input channels by output channels by places become places by output channels by input channels: channels of one place
 * lie next to each other when they are spread. */
static struct value *places_as_rows(struct rewriter *r, const struct value *w)
{
    const int64_t channels = w->dims[1], places = w->dims[2] * w->dims[3], rows = channels * places;
    const int64_t dims[4] = {rows, w->dims[0], 1, 1};
    const float *from = w->data;
    void *data;
    struct value *turned = rewrite_buffer(r, DTYPE_F32, 4, dims, &data);
    for (int64_t i = 0; turned && i < rows; i++)
        for (int64_t k = 0; k < w->dims[0]; k++)
            ((float *)data)[i * w->dims[0] + k] = from[k * rows + i % channels * places + i / channels];
    return turned;
}

static struct value *repeated(struct rewriter *r, const struct value *bias, int64_t times)
{
    const int64_t count = bias->dims[0] * times;
    void *data;
    struct value *value = rewrite_buffer(r, DTYPE_F32, 1, &count, &data);
    for (int64_t i = 0; value && i < count; i++)
        ((float *)data)[i] = ((const float *)bias->data)[i % bias->dims[0]];
    return value;
}

static enum status visit_transposed(struct rewriter *r, struct node *node)
{
    int64_t size;
    if (!tiles_output(node, &size))
        return STATUS_OK;
    struct value *bias = node->input_count > 2 ? node->inputs[2] : NULL;
    struct value *inputs[3] = {node->inputs[0], places_as_rows(r, node->inputs[1]),
                               bias ? repeated(r, bias, size * size) : NULL};
    if (!inputs[1] || (bias && !inputs[2]))
        return r->c.error->status;
    struct value *channels = rewrite_build(r, op_find("", "Conv"), bias ? 3 : 2, inputs, 0, NULL);
    const struct attribute attributes[2] = {ATTRIBUTE_I("blocksize", size), ATTRIBUTE_TEXT("mode", "DCR")};
    return channels ? rewrite_as(r, node, op_find("", "DepthToSpace"), 1, &channels, 2, attributes)
                    : r->c.error->status;
}

static bool has_one_operand(const struct node *node)
{
    for (int i = 1; i < node->input_count; i++)
        if (node->inputs[i] &&
            !(node->inputs[i]->data && node->inputs[i]->rank <= 4 && value_elements(node->inputs[i]) == 1))
            return false;
    return (node->op->flags & OP_ELEMENTWISE) && node->output_count == 1 && node->input_count > 0;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    if (is_op(node, "ConvTranspose"))
        return visit_transposed(r, node);
    struct node *spread = has_one_operand(node) ? rewrite_sole_maker(r, node->inputs[0], "DepthToSpace") : NULL;
    struct value *inputs[3] = {spread ? spread->inputs[0] : NULL};
    if (!spread || node->input_count > 3)
        return STATUS_OK;
    for (int i = 1; i < node->input_count; i++)
        inputs[i] = node->inputs[i];
    struct value *before = rewrite_copy(r, node, node->input_count, inputs);
    TRY(rewrite_absorb(r, node, spread));
    return before ? rewrite_as(r, node, spread->op, 1, &before, spread->attribute_count, spread->attributes)
                  : r->c.error->status;
}

enum status convolve_upsampling(struct graph *graph, struct pass_context *context, struct error *error)
{
    return rewrite_graph(graph, context, visit, error);
}
