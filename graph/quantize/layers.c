/* Which nodes of a graph can be made small. */
#include "graph/op.h"
#include "graph/quantize/quantize.h"

#include <math.h>
#include <string.h>

#define LEAST_TABLE 4096 /* elements; below, rows in float32 cost nothing */
#define LEAST_HALF 64
/* A sum of so many products of u8 and s8 is exact in int32. */
#define DEEPEST (INT32_MAX / (255 * 127))

static bool is_weight(const struct value *value)
{
    return value && value->data && value->dtype == DTYPE_F32 && value_elements(value) > 0;
}

static struct layer *add(struct quantize_plan *plan, const struct layer *layer, int *capacity)
{
    if (plan->count == *capacity) {
        int larger = *capacity ? *capacity * 2 : 64;
        struct layer *array = region_array(plan->region, (size_t)larger, sizeof *array);
        if (!array)
            return NULL;
        if (plan->count)
            memcpy(array, plan->layers, (size_t)plan->count * sizeof *array);
        plan->layers = array;
        *capacity = larger;
    }
    plan->layers[plan->count] = *layer;
    return &plan->layers[plan->count++];
}

static bool read_conv(const struct node *node, struct layer *layer)
{
    if (!is_op(node, "Conv"))
        return false;
    const struct value *w = node->inputs[1];
    if (!is_weight(w) || w->rank < 3)
        return false;
    layer->kind = LAYER_CONV;
    layer->axis = 0;
    return value_elements(w) / w->dims[0] <= DEEPEST;
}

/* Its arithmetic stays floating: the layer has no input. */
static bool read_transposed_conv(const struct quantize_plan *plan, const struct node *node, struct layer *layer)
{
    if (!is_op(node, "ConvTranspose") || !is_weight(node->inputs[1]) || node->inputs[1]->rank < 3)
        return false;
    layer->kind = LAYER_CONV;
    layer->axis = 1;
    layer->weights_only = plan->form == QUANTIZE_STATIC;
    return true;
}

static bool read_product(const struct node *node, struct layer *layer)
{
    bool gemm = is_op(node, "Gemm"), turned = gemm && node_int(node, "transB") != 0;
    if (!gemm && !is_op(node, "MatMul"))
        return false;
    const struct value *w = node->inputs[1];
    if (!is_weight(w) || w->rank != 2 || (gemm && node_int(node, "transA") != 0))
        return false;
    layer->kind = LAYER_PRODUCT;
    layer->axis = turned ? 0 : 1;
    return w->dims[1 - layer->axis] <= DEEPEST;
}

static bool read_table(const struct node *node, struct layer *layer)
{
    const struct value *table = is_op(node, "Gather") ? node->inputs[0] : NULL;
    if (!table || !is_weight(table) || table->rank != 2 || node_int(node, "axis") != 0 ||
        value_elements(table) < LEAST_TABLE)
        return false;
    layer->kind = LAYER_TABLE;
    layer->axis = 0;
    return true;
}

/* Dynamic products: a Gemm that does more than multiply and add stays. */
static bool suits(const struct quantize_plan *plan, const struct layer *layer)
{
    if (plan->form != QUANTIZE_DYNAMIC || layer->kind == LAYER_TABLE)
        return true;
    return layer->kind == LAYER_PRODUCT && (is_op(layer->node, "MatMul") || (node_float(layer->node, "alpha") == 1 &&
                                                                             node_float(layer->node, "beta") == 1));
}

/* Numbers that int8 cannot stand for. */
static const char *fault_of(const struct quantize_plan *plan, const struct layer *layer)
{
    double largest = 0;
    const float *numbers = layer->weights->data;
    for (int64_t i = 0; i < value_elements(layer->weights); i++) {
        if (!isfinite(numbers[i]))
            return "its weights hold NaN or infinity";
        largest = fmax(largest, fabs((double)numbers[i]));
    }
    bool half = plan->form == QUANTIZE_HALF && largest > 65504;
    /* Blocks have their scales in float16. */
    bool blocks = quantize_in_blocks(plan, layer) && largest > 65504 * 5;
    return half || blocks ? "its weights pass the range of float16" : NULL;
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while looking for layers");
}

/* --- graphs inside nodes --------------------------------------------------------------------------------- */

/* Something in them can be made small. */
static enum status look_inside(const struct quantize_plan *plan, const struct node *node, bool *found,
                               struct error *error)
{
    *found = false;
    for (int i = 0; i < node->attribute_count && !*found; i++) {
        if (node->attributes[i].kind != ATTRIBUTE_GRAPH)
            continue;
        struct quantize_plan inner = quantize_inner_plan(plan, node->attributes[i].graph);
        TRY(quantize_find(&inner, error));
        *found = inner.count > 0;
    }
    return STATUS_OK;
}

static enum status find_graphs(struct quantize_plan *plan, int *capacity, struct error *error)
{
    if (plan->form != QUANTIZE_HALF && plan->form != QUANTIZE_WEIGHTS)
        return STATUS_OK;
    for (int i = 0; i < plan->graph->node_count; i++) {
        const struct node *node = plan->graph->nodes[i];
        bool found;
        TRY(look_inside(plan, node, &found, error));
        const struct layer layer = {.kind = LAYER_GRAPHS,
                                    .name = node->name,
                                    .op = node->op->name,
                                    .node = node,
                                    .node_index = i,
                                    .chosen = true};
        if (found && !add(plan, &layer, capacity))
            return no_memory(error);
    }
    return STATUS_OK;
}

/* --- all ------------------------------------------------------------------------------------------------- */

static enum status find_nodes(struct quantize_plan *plan, int *capacity, struct error *error)
{
    for (int i = 0; i < plan->graph->node_count; i++) {
        const struct node *node = plan->graph->nodes[i];
        struct layer layer = {.name = node->name, .op = node->op->name, .node = node, .node_index = i, .chosen = true};
        bool found = read_conv(node, &layer) || read_transposed_conv(plan, node, &layer) ||
                     read_product(node, &layer) || read_table(node, &layer);
        if (!found)
            continue;
        layer.weights = node->inputs[layer.kind == LAYER_TABLE ? 0 : 1];
        layer.input = layer.kind == LAYER_TABLE || is_op(node, "ConvTranspose") ? NULL : node->inputs[0];
        if (!suits(plan, &layer) || (layer.input && layer.input->data))
            continue;
        layer.why = fault_of(plan, &layer);
        layer.chosen = !layer.why;
        if (!add(plan, &layer, capacity))
            return no_memory(error);
    }
    return STATUS_OK;
}

static enum status find_constants(struct quantize_plan *plan, int *capacity, struct error *error)
{
    for (int i = 0; i < plan->graph->value_count; i++) {
        const struct value *value = plan->graph->values[i];
        if (!is_weight(value) || value_elements(value) < LEAST_HALF)
            continue;
        struct layer layer = {
            .kind = LAYER_CONSTANT, .name = value->name, .op = "constant", .node_index = -1, .weights = value};
        layer.why = fault_of(plan, &layer);
        layer.chosen = !layer.why;
        if (!add(plan, &layer, capacity))
            return no_memory(error);
    }
    return STATUS_OK;
}

enum status quantize_find(struct quantize_plan *plan, struct error *error)
{
    int capacity = 0;
    plan->count = 0;
    plan->layers = NULL;
    TRY(plan->form == QUANTIZE_HALF ? find_constants(plan, &capacity, error) : find_nodes(plan, &capacity, error));
    if (plan->form == QUANTIZE_STATIC)
        TRY(quantize_find_points(plan, error));
    return find_graphs(plan, &capacity, error);
}
