/* Nodes that multiply and add numbers of each channel. */
#include "graph/passes/affine.h"

#include "graph/passes/numbers.h"

#include <math.h>

static enum status reserve_numbers(struct rewriter *r, int64_t count, double **first, double **second)
{
    *first = region_array(&r->context->scratch, (size_t)count, sizeof **first);
    *second = region_array(&r->context->scratch, (size_t)count, sizeof **second);
    return *first && *second ? STATUS_OK : op_no_memory(&r->c);
}

static bool is_inference(const struct node *batch)
{
    for (int i = 1; i < batch->output_count; i++)
        if (batch->outputs[i])
            return false;
    return (batch->version < 14 || node_int(batch, "training_mode") == 0) &&
           (batch->version >= 9 || node_int(batch, "spatial") != 0);
}

static enum status read_batch(struct rewriter *r, const struct node *node, int64_t channels, struct affine_node *result)
{
    double *factor, *shift, *mean, *variance, epsilon = (double)node_float(node, "epsilon");
    for (int i = 1; i < 5; i++)
        if (!is_by_channel(node->inputs[i], 1, 0, channels) || node->inputs[i]->dims[0] != channels)
            return STATUS_OK;
    TRY(reserve_numbers(r, channels, &factor, &shift));
    TRY(reserve_numbers(r, channels, &mean, &variance));
    double *const numbers[] = {factor, shift, mean, variance};
    for (int i = 0; i < 4; i++)
        numbers_read(node->inputs[1 + i], 0, channels, numbers[i]);
    for (int64_t i = 0; i < channels; i++) {
        factor[i] = factor[i] / sqrt(variance[i] + epsilon);
        shift[i] = shift[i] - mean[i] * factor[i];
    }
    result->x = node->inputs[0];
    result->affine = (struct affine){channels, factor, shift};
    return STATUS_OK;
}

/* x op c, and for all but Div also c op x. */
static enum status read_arithmetic(struct rewriter *r, const struct node *node, struct affine_node *result)
{
    bool right = node->inputs[1]->data != NULL, add = is_op(node, "Add"), sub = is_op(node, "Sub");
    const struct value *c = node->inputs[right];
    int64_t count = value_elements(c);
    double *factor, *shift;
    if (is_op(node, "Div") && !right)
        return STATUS_OK;
    TRY(reserve_numbers(r, count, &factor, &shift));
    numbers_read(c, 0, count, factor);
    for (int64_t i = 0; i < count; i++) {
        double number = factor[i];
        factor[i] = add ? 1 : sub ? (right ? 1 : -1) : is_op(node, "Div") ? 1 / number : number;
        shift[i] = add ? number : sub ? (right ? -number : number) : 0;
    }
    result->x = node->inputs[!right];
    result->constant = c;
    result->affine = (struct affine){count, factor, shift};
    return STATUS_OK;
}

struct value *affine_input(const struct node *node)
{
    static const char *const names[] = {"Add", "Sub", "Mul", "Div"};
    if (is_op(node, "BatchNormalization"))
        return is_inference(node) ? node->inputs[0] : NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]) && !node->inputs[0]->data != !node->inputs[1]->data)
            return node->inputs[node->inputs[0]->data != NULL];
    return NULL;
}

enum status read_affine(struct rewriter *r, const struct node *node, int rank, int axis, int64_t channels,
                        struct affine_node *result)
{
    *result = (struct affine_node){.x = NULL};
    if (!affine_input(node))
        return STATUS_OK;
    if (is_op(node, "BatchNormalization"))
        return rank >= 2 && axis == rank - 2 ? read_batch(r, node, channels, result) : STATUS_OK;
    bool right = node->inputs[1]->data != NULL;
    return is_by_channel(node->inputs[right], rank, axis, channels) ? read_arithmetic(r, node, result) : STATUS_OK;
}
