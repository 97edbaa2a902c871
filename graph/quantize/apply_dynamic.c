/* Layers whose activations get their scales in each run: DynamicQuantizeLinear and a product of integers, or
 * com.microsoft's DynamicQuantizeLSTM, as ONNX Runtime's quantiser writes them. */
#include "graph/quantize/apply.h"

#include "graph/op.h"

#include <string.h>

/* The value by DynamicQuantizeLinear, once for all that read it; its time is counted with the first one. */
static struct quantised *quantised_at_run(struct application *a, const struct layer *layer, struct value *value)
{
    struct quantised **place = &a->of[value->id];
    if (*place)
        return *place;
    struct quantised *made = region_allocate(a->graph->region, sizeof *made);
    struct node *node =
        made ? apply_make(a, layer->name, op_find("", "DynamicQuantizeLinear"), 1, &value, 3, made->dynamic, 0, NULL)
             : NULL;
    return node && apply_append(a, node) ? (*place = made) : NULL;
}

/* --- products and convolutions --------------------------------------------------------------------------- */

/* Weights as columns: a Gemm may have them as rows. */
static struct value *columns(struct application *a, const struct layer *layer)
{
    static const int64_t turn[2] = {1, 0};
    const struct attribute perm = ATTRIBUTE_LIST("perm", 2, turn);
    struct value *w = apply_narrow(a, layer, DTYPE_I8);
    return layer->axis == 1 || !w ? w : apply_build(a, layer->name, "Transpose", 1, &w, NULL, 1, &perm);
}

/* A list with an element an output channel of a Conv, such that it broadcasts against images. */
static struct value *by_channel(struct application *a, const struct layer *layer, const struct value *list)
{
    const int64_t dims[MAX_RANK] = {layer->weights->dims[0], 1, 1, 1, 1, 1, 1, 1};
    return list ? graph_add_constant(a->graph, "", list->dtype, layer->weights->rank - 1, dims, list->data) : NULL;
}

/* x w + bias as (integers of x times w) scales + bias. */
static enum status apply_product(struct application *a, const struct layer *layer, struct node *node)
{
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    const bool conv = layer->kind == LAYER_CONV;
    struct quantised *x = quantised_at_run(a, layer, node->inputs[0]);
    struct value *w = conv ? apply_narrow(a, layer, DTYPE_I8) : columns(a, layer), *scales = apply_scales(a, layer);
    struct value *bias = node->input_count > 2 ? node->inputs[2] : NULL;
    const bool shifts = layer->shift && apply_knows_bias(layer, bias), adds = bias || shifts;
    struct value *addend = shifts ? apply_shifted_bias(a, layer, bias) : bias;
    if (conv) {
        scales = by_channel(a, layer, scales);
        addend = by_channel(a, layer, addend);
    }
    if (!x || !w || !scales || (adds && !addend))
        return apply_no_memory(a);
    struct value *sums = apply_build(a, layer->name, conv ? "ConvInteger" : "MatMulInteger", 3,
                                     (struct value *[]){x->dynamic[0], w, x->dynamic[2]}, NULL,
                                     conv ? node->attribute_count : 0, node->attributes);
    struct value *numbers = apply_build(a, layer->name, "Cast", 1, &sums, NULL, 1, &to);
    scales = apply_build(a, layer->name, "Mul", 2, (struct value *[]){x->dynamic[1], scales}, NULL, 0, NULL);
    struct value *scaled = apply_build(a, layer->name, "Mul", 2, (struct value *[]){numbers, scales},
                                       addend ? NULL : node->outputs[0], 0, NULL);
    if (scaled && addend)
        scaled = apply_build(a, layer->name, "Add", 2, (struct value *[]){scaled, addend}, node->outputs[0], 0, NULL);
    return scaled ? STATUS_OK : apply_no_memory(a);
}

/* --- recurrent layers ------------------------------------------------------------------------------------ */

enum { X, W, R, OWN_INPUTS = 8, W_SCALE = OWN_INPUTS, W_ZERO, R_SCALE, R_ZERO, INPUTS };

/* [directions, gates, depth] as [directions, depth, gates]. */
static struct value *turned(struct application *a, const struct layer *layer)
{
    const int64_t *from = layer->weights->dims, dims[3] = {from[0], from[2], from[1]};
    int8_t *data = region_buffer(a->graph->region, (size_t)value_elements(layer->weights));
    const int8_t *narrow = layer->narrow;
    if (!data)
        return NULL;
    for (int64_t d = 0; d < from[0]; d++)
        for (int64_t k = 0; k < from[2]; k++)
            for (int64_t n = 0; n < from[1]; n++)
                *data++ = narrow[(d * from[1] + n) * from[2] + k];
    data -= value_elements(layer->weights);
    return graph_add_constant(a->graph, "", DTYPE_I8, 3, dims, data);
}

/* Puts the weights of one product, their scales and zero points into their places. False: no memory. */
static bool put_weights(struct application *a, const struct layer *layer, struct value **weights,
                        struct value **scales_and_zeros)
{
    const int64_t *dims = layer->weights->dims;
    void *zeros = region_allocate(a->graph->region, (size_t)quantize_channels(layer));
    *weights = turned(a, layer);
    scales_and_zeros[0] = graph_add_constant(a->graph, "", DTYPE_F32, 2, dims, layer->scales);
    scales_and_zeros[1] = zeros ? graph_add_constant(a->graph, "", DTYPE_I8, 2, dims, zeros) : NULL;
    return *weights && scales_and_zeros[0] && scales_and_zeros[1];
}

static enum status apply_lstm(struct application *a, const struct layer *layer, struct node *node)
{
    const struct layer states = quantize_states(layer);
    struct value *inputs[INPUTS] = {NULL};
    struct attribute *kept = region_array(a->graph->region, (size_t)node->attribute_count, sizeof *kept);
    int count = 0;
    memcpy(inputs, node->inputs, (size_t)node->input_count * sizeof *inputs);
    if (!kept || !put_weights(a, layer, &inputs[W], &inputs[W_SCALE]) ||
        !put_weights(a, &states, &inputs[R], &inputs[R_SCALE]))
        return apply_no_memory(a);
    for (int i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, "layout") != 0) /* 0, the only one that there is */
            kept[count++] = node->attributes[i];
    struct node *made = graph_add_node(a->graph, op_find("com.microsoft", "DynamicQuantizeLSTM"), NEWEST_OPSET,
                                       node->name, INPUTS, inputs, node->output_count, node->outputs, count, kept);
    if (!made)
        return apply_no_memory(a);
    a->graph->node_count--;
    return apply_append(a, made) ? STATUS_OK : apply_no_memory(a);
}

/* The weights in float32 of those in 8 bits, of which each row has a scale. */
static struct value *dequantised(struct application *a, const struct layer *layer)
{
    const int64_t rows[2] = {quantize_channels(layer), layer->weights->dims[2]}, rank = 3;
    const struct attribute axis = ATTRIBUTE_I("axis", 0);
    int64_t *dims = region_array(a->graph->region, (size_t)rank, sizeof *dims);
    if (!dims)
        return NULL;
    memcpy(dims, layer->weights->dims, (size_t)rank * sizeof *dims);
    struct value *operands[2] = {
        graph_add_constant(a->graph, "", DTYPE_I8, 2, rows, layer->narrow),
        graph_add_constant(a->graph, "", DTYPE_F32, 1, rows, layer->scales),
    };
    struct value *shape = graph_add_constant(a->graph, "", DTYPE_I64, 1, &rank, dims);
    struct value *numbers = apply_build(a, layer->name, "DequantizeLinear", 2, operands, NULL, 1, &axis);
    return apply_build(a, layer->name, "Reshape", 2, (struct value *[]){numbers, shape}, NULL, 0, NULL);
}

static enum status apply_recurrent_weights(struct application *a, const struct layer *layer, struct node *node)
{
    const struct layer states = quantize_states(layer);
    node->inputs[W] = dequantised(a, layer);
    node->inputs[R] = dequantised(a, &states);
    return node->inputs[W] && node->inputs[R] && apply_append(a, node) ? STATUS_OK : apply_no_memory(a);
}

enum status apply_dynamic(struct application *a, const struct layer *layer, struct node *node)
{
    if (layer->kind != LAYER_RECURRENT)
        return apply_product(a, layer, node);
    return layer->weights_only ? apply_recurrent_weights(a, layer, node) : apply_lstm(a, layer, node);
}
