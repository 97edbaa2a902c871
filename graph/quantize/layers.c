/* Which nodes of a graph can be made small. */
#include "graph/op.h"
#include "graph/quantize/quantize.h"

#include <math.h>
#include <string.h>

#define LEAST_TABLE 4096 /* elements; below, rows in float32 cost nothing */
#define LEAST_HALF 64
/* A sum of so many products of u8 and s8 is exact in int32. */
#define DEEPEST (INT32_MAX / (255 * 127))
#define DEEPEST_STATES 32768 /* of recurrent layers, whose weights might have zero points */

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

static bool read_transposed_conv(const struct node *node, struct layer *layer)
{
    if (!is_op(node, "ConvTranspose") || !is_weight(node->inputs[1]) || node->inputs[1]->rank < 3)
        return false;
    layer->kind = LAYER_CONV;
    layer->axis = 1;
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

static bool read_recurrent(const struct quantize_plan *plan, const struct node *node, struct layer *layer)
{
    bool recurrent = is_op(node, "LSTM") || is_op(node, "GRU") || is_op(node, "RNN");
    if (plan->form != QUANTIZE_DYNAMIC || !recurrent || !is_weight(node->inputs[1]) || !is_weight(node->inputs[2]) ||
        node->inputs[1]->rank != 3 || node->inputs[2]->rank != 3)
        return false;
    layer->kind = LAYER_RECURRENT;
    layer->axis = 1;
    layer->states = node->inputs[2];
    return true;
}

/* Dynamic products: a Gemm that does more than multiply and add stays. */
static bool suits(const struct quantize_plan *plan, const struct layer *layer)
{
    const struct node *node = layer->node;
    return plan->form != QUANTIZE_DYNAMIC || !is_op(node, "Gemm") ||
           (node_float(node, "alpha") == 1 && node_float(node, "beta") == 1);
}

/* Its bias, if there is one, is a constant with an element a channel. */
static bool has_plain_bias(const struct layer *layer)
{
    const struct value *bias = layer->node->input_count > 2 ? layer->node->inputs[2] : NULL;
    return !bias || (bias->data && bias->dtype == DTYPE_F32 && bias->rank == 1 &&
                     bias->dims[0] == layer->weights->dims[layer->axis]);
}

/* Why its activation stays float32, whatever becomes of its weights. NULL: it need not. */
static const char *stays_floating(const struct quantize_plan *plan, const struct layer *layer)
{
    const struct node *node = layer->node;
    bool dynamic = plan->form == QUANTIZE_DYNAMIC;
    if ((!dynamic && plan->form != QUANTIZE_STATIC) || layer->kind == LAYER_TABLE)
        return NULL;
    if (is_op(node, "ConvTranspose"))
        return "transposed convolutions have no arithmetic of integers";
    if (dynamic && layer->kind == LAYER_CONV && !has_plain_bias(layer))
        return "its bias is no constant";
    if (dynamic && layer->kind == LAYER_CONV && layer->weights->dims[1] == 1 && node_int(node, "group") > 1)
        return "a sum of one channel gains less by integers than quantising takes";
    if (layer->kind != LAYER_RECURRENT)
        return NULL;
    bool plain = is_op(node, "LSTM") && node_int(node, "layout") == 0;
    return !plain ? "among recurrent layers, only an LSTM whose layout is 0 has arithmetic of integers"
           : layer->weights->dims[2] > DEEPEST || layer->states->dims[2] > DEEPEST_STATES ? "its sums pass 32 bits"
                                                                                          : NULL;
}

static bool all_finite(const struct value *weights)
{
    for (int64_t i = 0; weights && i < value_elements(weights); i++)
        if (!isfinite(((const float *)weights->data)[i]))
            return false;
    return true;
}

/* Numbers that int8 cannot stand for. */
static const char *fault_of(const struct quantize_plan *plan, const struct layer *layer)
{
    if (!all_finite(layer->weights) || !all_finite(layer->states))
        return "its weights hold NaN or infinity";
    double largest = quantize_largest(layer);
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
        bool found = read_conv(node, &layer) || read_transposed_conv(node, &layer) || read_product(node, &layer) ||
                     read_table(node, &layer) || read_recurrent(plan, node, &layer);
        if (!found)
            continue;
        layer.weights = node->inputs[layer.kind == LAYER_TABLE ? 0 : 1];
        const char *floating = stays_floating(plan, &layer), *fault = fault_of(plan, &layer);
        bool reads = layer.kind != LAYER_TABLE && !is_op(node, "ConvTranspose");
        layer.input = reads && !floating ? node->inputs[0] : NULL;
        if (!suits(plan, &layer) || (reads && node->inputs[0]->data))
            continue;
        layer.weights_only = floating != NULL;
        layer.why = fault ? fault : floating;
        layer.chosen = !fault;
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
