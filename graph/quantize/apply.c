/* The graph with its layers made small. Nodes are changed where they are in a copy, and what they need stands before
 * them; what quantises a value stands behind the node that makes it. */
#include "graph/quantize/apply.h"

#include "graph/op.h"

#include <string.h>

/* Operators in a row through which a QuantizeLinear is moved to where its value comes from: the concatenations of a
 * dense block among them. */
#define MOST_MOVES 128

enum status apply_no_memory(struct application *a)
{
    return error_set(a->error, STATUS_OUT_OF_MEMORY, "out of memory while making graph '%s' small", a->graph->name);
}

/* --- building -------------------------------------------------------------------------------------------- */

bool apply_append(struct application *a, struct node *node)
{
    if (a->count == a->capacity) {
        int larger = a->capacity ? a->capacity * 2 : 256;
        struct node **array = region_array(a->graph->region, (size_t)larger, sizeof(struct node *));
        if (!array)
            return false;
        if (a->count)
            memcpy(array, a->nodes, (size_t)a->count * sizeof(struct node *));
        a->nodes = array;
        a->capacity = larger;
    }
    a->nodes[a->count++] = node;
    return true;
}

struct node *apply_make(struct application *a, const char *name, const struct op *op, int input_count,
                        struct value *const *inputs, int output_count, struct value **outputs, int attribute_count,
                        const struct attribute *attributes)
{
    struct graph *graph = a->graph;
    struct attribute *kept = region_array(graph->region, (size_t)attribute_count, sizeof *kept);
    for (int i = 0; i < output_count; i++)
        if (!outputs[i] && !(outputs[i] = graph_add_value(graph, "", DTYPE_NONE, -1, NULL)))
            return NULL;
    if (!kept || !name)
        return NULL;
    if (attribute_count)
        memcpy(kept, attributes, (size_t)attribute_count * sizeof *kept);
    struct node *node = graph_add_node(graph, op, NEWEST_OPSET, region_string(graph->region, name), input_count, inputs,
                                       output_count, outputs, attribute_count, kept);
    if (node)
        graph->node_count--;
    return node;
}

struct value *apply_build(struct application *a, const char *name, const char *op, int input_count,
                          struct value *const *inputs, struct value *output, int attribute_count,
                          const struct attribute *attributes)
{
    for (int i = 0; i < input_count; i++)
        if (!inputs[i])
            return NULL;
    struct node *node =
        apply_make(a, name, op_find("", op), input_count, inputs, 1, &output, attribute_count, attributes);
    return node && apply_append(a, node) ? output : NULL;
}

static struct value *scalar(struct application *a, enum dtype dtype, const void *data)
{
    void *copy = region_allocate(a->graph->region, 16);
    if (!copy)
        return NULL;
    memcpy(copy, data, dtype_bytes(dtype, 1));
    return graph_add_constant(a->graph, "", dtype, 0, NULL, copy);
}

const char *apply_name(struct application *a, const char *name, const char *what)
{
    return region_format(a->graph->region, "%s_%s", name, what);
}

/* --- activations ----------------------------------------------------------------------------------------- */

static bool same_quantum(const struct quantum *a, const struct quantum *b)
{
    return a->scale == b->scale && a->zero == b->zero;
}

/* The value there and back. NULL: no memory. */
static struct quantised *there_and_back(struct application *a, struct value *value, const struct quantum *quantum)
{
    struct quantised **place = &a->of[value->id];
    while (*place && !same_quantum(&(*place)->quantum, quantum))
        place = &(*place)->next;
    if (*place)
        return *place;
    struct quantised *made = region_allocate(a->graph->region, sizeof *made);
    uint8_t zero = (uint8_t)quantum->zero;
    struct value *inputs[3] = {value, scalar(a, DTYPE_F32, &quantum->scale), scalar(a, DTYPE_U8, &zero)};
    struct value *integers = NULL;
    if (!made || !inputs[1] || !inputs[2])
        return NULL;
    made->quantum = *quantum;
    made->nodes[0] = apply_make(a, value->name, op_find("", "QuantizeLinear"), 3, inputs, 1, &integers, 0, NULL);
    inputs[0] = integers;
    if (made->nodes[0])
        made->nodes[1] =
            apply_make(a, value->name, op_find("", "DequantizeLinear"), 3, inputs, 1, &made->numbers, 0, NULL);
    if (!made->nodes[1])
        return NULL;
    return *place = made;
}

static bool may_move(const struct application *a, const struct node *node, int at, const struct quantum *quantum)
{
    int count = quantize_moved_inputs(node);
    if (count == 0 || a->layers[at] || (a->moved[at] && !same_quantum(a->moved[at], quantum)))
        return false;
    for (int i = 0; i < count; i++)
        if (!node->inputs[i] || node->inputs[i]->data || node->inputs[i]->id >= a->value_count)
            return a->moved[at] != NULL;
    return true;
}

/* Readers that keep their numbers as they are: layers that compute in float32. */
static bool reads_exactly(const struct application *a, int node)
{
    return a->layers[node] && (!a->layers[node]->chosen || a->layers[node]->weights_only);
}

static bool gathers_half(const struct application *a, const struct node *node)
{
    return is_op(node, "Gather") && node->inputs[0]->id < a->value_count && a->tables[node->inputs[0]->id];
}

static void redirect(struct application *a, const struct value *from, struct value *to)
{
    for (int i = 0; i < a->node_count; i++)
        for (int k = 0; k < a->graph->nodes[i]->input_count && !reads_exactly(a, i); k++)
            if (a->graph->nodes[i]->inputs[k] == from && !(k == 0 && gathers_half(a, a->graph->nodes[i])))
                a->graph->nodes[i]->inputs[k] = to;
}

/* Something else than a Gather reads it. */
static bool is_read_whole(const struct application *a, const struct value *value)
{
    for (int i = 0; i < a->node_count; i++)
        for (int k = 0; k < a->graph->nodes[i]->input_count; k++)
            if (a->graph->nodes[i]->inputs[k] == value && !(k == 0 && is_op(a->graph->nodes[i], "Gather")))
                return true;
    return false;
}

/* The value is quantised, where it comes from; *numbers: what is read instead. Images are quantised for whoever reads
 * them (for_all), so that between two convolutions there are integers alone. What was moved needs to be said to be
 * integers again where others than who asked read it. */
static enum status quantise(struct application *a, struct value *value, const struct quantum *quantum, bool for_all,
                            int depth, struct value **numbers)
{
    *numbers = value;
    if (value->data || value->id >= a->value_count) /* made here: it is quantised already */
        return STATUS_OK;
    int at = a->makers[value->id];
    struct node *maker = at >= 0 ? a->graph->nodes[at] : NULL;
    a->settled[value->id] = for_all;
    if (maker && depth < MOST_MOVES && may_move(a, maker, at, quantum)) {
        bool first = !a->moved[at];
        a->moved[at] = quantum;
        for (int k = 0; first && k < quantize_moved_inputs(maker); k++)
            TRY(quantise(a, maker->inputs[k], quantum, for_all, depth + 1, &maker->inputs[k]));
        if (!for_all || !a->read_by_others[value->id])
            return STATUS_OK;
    }
    struct quantised *made = there_and_back(a, value, quantum);
    if (!made)
        return apply_no_memory(a);
    if (for_all)
        redirect(a, value, made->numbers);
    *numbers = made->numbers;
    return STATUS_OK;
}

/* --- weights --------------------------------------------------------------------------------------------- */

struct value *apply_narrow(struct application *a, const struct layer *layer, enum dtype dtype)
{
    const struct value *w = layer->weights;
    struct shared *shared = &a->narrow[w->id];
    if (shared->value && shared->axis == layer->axis)
        return shared->value;
    bool named = *w->name && !shared->value;
    const char *name = named ? apply_name(a, w->name, dtype_name(dtype)) : "";
    struct value *made = name ? graph_add_constant(a->graph, name, dtype, w->rank, w->dims, layer->narrow) : NULL;
    *shared = (struct shared){made, layer->axis};
    return made;
}

struct value *apply_scales(struct application *a, const struct layer *layer)
{
    int64_t dims[2] = {layer->weights->dims[layer->axis], 0};
    if (!quantize_in_blocks(a->plan, layer))
        return layer->half_scales ? graph_add_constant(a->graph, "", DTYPE_F16, 1, dims, layer->half_scales)
                                  : graph_add_constant(a->graph, "", DTYPE_F32, 1, dims, layer->scales);
    int64_t blocks = quantize_blocks(a->plan, layer);
    dims[layer->axis] = layer->weights->dims[layer->axis];
    dims[1 - layer->axis] = blocks;
    return graph_add_constant(a->graph, "", DTYPE_F16, 2, dims, layer->half_scales);
}

/* What stands for the weights in float32, in front of the node that reads them; once for all layers that share them. */
static struct value *dequantised_weights(struct application *a, const struct layer *layer)
{
    struct value **known = &a->small[layer->weights->id];
    if (*known)
        return *known;
    bool blocks = quantize_in_blocks(a->plan, layer);
    const struct attribute attributes[3] = {ATTRIBUTE_I("axis", blocks ? 1 - layer->axis : layer->axis),
                                            ATTRIBUTE_I("output_dtype", DTYPE_F32),
                                            ATTRIBUTE_I("block_size", a->plan->block)};
    struct value *inputs[2] = {apply_narrow(a, layer, blocks ? DTYPE_I4 : DTYPE_I8), apply_scales(a, layer)};
    return *known = apply_build(a, layer->name, "DequantizeLinear", 2, inputs, NULL,
                                blocks               ? 3
                                : layer->half_scales ? 2
                                                     : 1,
                                attributes);
}

/* --- layers ---------------------------------------------------------------------------------------------- */

/* Gather(table) as Gather(integers) Gather(scales). */
static enum status apply_table(struct application *a, const struct layer *layer, struct node *node)
{
    const int64_t column[2] = {layer->weights->dims[0], 1};
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    struct value *table = apply_narrow(a, layer, DTYPE_I8), *index = node->inputs[1];
    struct value *scales = graph_add_constant(a->graph, "", DTYPE_F32, 2, column, layer->scales);
    struct value *rows = apply_build(a, layer->name, "Gather", 2, (struct value *[]){table, index}, NULL, 0, NULL);
    struct value *factors = apply_build(a, layer->name, "Gather", 2, (struct value *[]){scales, index}, NULL, 0, NULL);
    struct value *numbers = apply_build(a, layer->name, "Cast", 1, &rows, NULL, 1, &to);
    struct value *done =
        apply_build(a, layer->name, "Mul", 2, (struct value *[]){numbers, factors}, node->outputs[0], 0, NULL);
    return done ? STATUS_OK : apply_no_memory(a);
}

static struct value *cast_weights(struct application *a, const struct layer *layer)
{
    struct value **known = &a->small[layer->weights->id];
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    struct value *half = *known ? NULL : apply_narrow(a, layer, DTYPE_F16);
    return *known ? *known
                  : (*known = apply_build(a, apply_name(a, layer->name, "cast"), "Cast", 1, &half, NULL, 1, &to));
}

struct value *apply_shifted_bias(struct application *a, const struct layer *layer, const struct value *bias)
{
    int64_t count = layer->weights->dims[layer->axis];
    float *data = region_array(a->graph->region, (size_t)count, sizeof *data);
    if (!data)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        data[i] = (bias ? ((const float *)bias->data)[i] : 0) + layer->shift[i];
    const char *name = bias && *bias->name ? apply_name(a, bias->name, "shifted") : "";
    return name ? graph_add_constant(a->graph, name, DTYPE_F32, 1, &count, data) : NULL;
}

bool apply_knows_bias(const struct layer *layer, const struct value *bias)
{
    return !bias || (bias->data && bias->dtype == DTYPE_F32 && bias->rank == 1 &&
                     bias->dims[0] == layer->weights->dims[layer->axis]);
}

static bool takes_bias(const struct layer *layer, const struct node *node)
{
    return apply_knows_bias(layer, node->input_count > 2 ? node->inputs[2] : NULL) &&
           (is_op(node, "Conv") || (is_op(node, "Gemm") && node_float(node, "beta") == 1));
}

/* Appends the node with the shift in its bias, or in an Add behind it. */
static enum status append_shifted(struct application *a, const struct layer *layer, struct node *node)
{
    struct value *result = node->outputs[0];
    struct value *bias = takes_bias(layer, node) && node->input_count > 2 ? node->inputs[2] : NULL;
    struct value *shift = apply_shifted_bias(a, layer, bias);
    struct value **inputs = region_array(a->graph->region, 3, sizeof(struct value *));
    if (!shift || !inputs)
        return apply_no_memory(a);
    if (takes_bias(layer, node)) {
        inputs[0] = node->inputs[0];
        inputs[1] = node->inputs[1];
        inputs[2] = shift;
        node->inputs = inputs;
        node->input_count = 3;
        return apply_append(a, node) ? STATUS_OK : apply_no_memory(a);
    }
    if (is_op(node, "Conv")) /* a bias that only a run tells */
        return apply_append(a, node) ? STATUS_OK : apply_no_memory(a);
    struct value *product = graph_add_value(a->graph, "", DTYPE_NONE, -1, NULL);
    node->outputs[0] = product;
    bool done = product && apply_append(a, node) &&
                apply_build(a, layer->name, "Add", 2, (struct value *[]){product, shift}, result, 0, NULL);
    return done ? STATUS_OK : apply_no_memory(a);
}

/* Rows of a table in float16 are made floating, the table is not. */
static enum status place_gather(struct application *a, struct node *node)
{
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    struct value *result = node->outputs[0], *rows = graph_add_value(a->graph, "", DTYPE_NONE, -1, NULL);
    node->inputs[0] = apply_narrow(a, a->tables[node->inputs[0]->id], DTYPE_F16);
    node->outputs[0] = rows;
    bool done = node->inputs[0] && rows && apply_append(a, node) &&
                apply_build(a, node->name, "Cast", 1, &rows, result, 1, &to);
    return done ? STATUS_OK : apply_no_memory(a);
}

/* The graphs inside the node are made small as well; what is found for that goes with the copy. */
static enum status place_graphs(struct application *a, struct node *node)
{
    struct attribute *own = region_array(a->graph->region, (size_t)node->attribute_count, sizeof *own);
    if (!own)
        return apply_no_memory(a);
    memcpy(own, node->attributes, (size_t)node->attribute_count * sizeof *own);
    node->attributes = own;
    for (int i = 0; i < node->attribute_count; i++) {
        if (own[i].kind != ATTRIBUTE_GRAPH)
            continue;
        struct quantize_plan inner = quantize_inner_plan(a->plan, own[i].graph);
        struct graph *small;
        inner.region = a->graph->region;
        TRY(quantize_find(&inner, a->error));
        TRY(quantize_apply(&inner, a->graph->region, &small, a->error));
        own[i].graph = small;
    }
    return apply_append(a, node) ? STATUS_OK : apply_no_memory(a);
}

/* Appends the node, or what takes its place. */
static enum status place(struct application *a, int index)
{
    struct node *node = a->graph->nodes[index];
    const struct layer *layer = a->layers[index];
    if (gathers_half(a, node))
        return place_gather(a, node);
    if (!layer || !layer->chosen)
        return apply_append(a, node) ? STATUS_OK : apply_no_memory(a);
    if (layer->kind == LAYER_GRAPHS)
        return place_graphs(a, node);
    if (layer->kind == LAYER_TABLE && !quantize_in_blocks(a->plan, layer))
        return apply_table(a, layer, node);
    if (layer->kind == LAYER_RECURRENT || (a->plan->form == QUANTIZE_DYNAMIC && !layer->weights_only))
        return apply_dynamic(a, layer, node);
    struct value *weights = dequantised_weights(a, layer);
    node->inputs[layer->kind == LAYER_TABLE ? 0 : 1] = weights;
    if (weights && layer->shift)
        return append_shifted(a, layer, node);
    return weights && apply_append(a, node) ? STATUS_OK : apply_no_memory(a);
}

/* --- all of it ------------------------------------------------------------------------------------------- */

static bool append_quantised(struct application *a, const struct value *value)
{
    const struct quantised *made = value && value->id < a->value_count ? a->of[value->id] : NULL;
    for (; made; made = made->next)
        if (!apply_append(a, made->nodes[0]) || !apply_append(a, made->nodes[1]))
            return false;
    return true;
}

static enum status find_readers(struct application *a, struct region *region)
{
    bool *read = region_array(region, (size_t)a->value_count, sizeof *read);
    if (!read)
        return apply_no_memory(a);
    for (int i = 0; i < a->node_count; i++) {
        const struct node *node = a->plan->graph->nodes[i];
        bool looks_through = a->layers[i] || quantize_moved_inputs(node) > 0;
        for (int k = 0; k < node->input_count; k++) {
            if (!node->inputs[k])
                continue;
            int id = node->inputs[k]->id;
            a->read_by_others[id] = a->read_by_others[id] || read[id] || !looks_through;
            read[id] = true;
        }
    }
    return STATUS_OK;
}

static enum status begin(struct application *a, struct region *region)
{
    const struct graph *graph = a->plan->graph;
    a->graph = graph_clone(graph, region);
    a->node_count = graph->node_count;
    a->value_count = graph->value_count;
    a->of = region_array(region, (size_t)a->value_count, sizeof(struct quantised *));
    a->small = region_array(region, (size_t)a->value_count, sizeof(struct value *));
    a->narrow = region_array(region, (size_t)a->value_count, sizeof *a->narrow);
    a->makers = region_array(region, (size_t)a->value_count, sizeof *a->makers);
    a->read_by_others = region_array(region, (size_t)a->value_count, sizeof *a->read_by_others);
    a->settled = region_array(region, (size_t)a->value_count, sizeof *a->settled);
    a->integers = region_array(region, (size_t)a->value_count, sizeof *a->integers);
    a->moved = region_array(region, (size_t)a->node_count, sizeof(struct quantum *));
    a->layers = region_array(region, (size_t)a->node_count, sizeof(struct layer *));
    a->tables = region_array(region, (size_t)a->value_count, sizeof(struct layer *));
    if (!a->graph || !a->of || !a->small || !a->narrow || !a->makers || !a->read_by_others || !a->settled ||
        !a->integers || !a->moved || !a->layers || !a->tables)
        return error_set(a->error, STATUS_OUT_OF_MEMORY, "out of memory while making graph '%s' small", graph->name);
    memset(a->makers, -1, (size_t)a->value_count * sizeof *a->makers);
    for (int i = 0; i < a->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->output_count; k++)
            if (graph->nodes[i]->outputs[k])
                a->makers[graph->nodes[i]->outputs[k]->id] = i;
    for (int i = 0; i < a->plan->count; i++) {
        struct layer *layer = &a->plan->layers[i];
        if (layer->node)
            a->layers[layer->node_index] = layer;
        if (layer->chosen && layer->weights)
            TRY(quantize_weights(a->plan, layer, a->error));
    }
    return find_readers(a, region);
}

/* Computes on integers. */
static bool is_integer(const struct layer *layer)
{
    return layer->chosen && layer->input && !layer->weights_only;
}

/* Whether the values have convolutions on integers behind them, with nothing between but what is elementwise or moves.
 */
static void trace_integers(struct application *a)
{
    for (int i = 0; i < a->node_count; i++) {
        const struct node *node = a->graph->nodes[i];
        const struct layer *layer = a->layers[i];
        bool integers = layer && layer->kind == LAYER_CONV && is_integer(layer);
        bool passes = !layer && ((node->op->flags & OP_ELEMENTWISE) || is_op(node, "AveragePool") ||
                                 quantize_moved_inputs(node) > 0);
        for (int k = 0; k < node->input_count && passes && !integers; k++)
            integers = node->inputs[k] && a->integers[node->inputs[k]->id];
        for (int k = 0; k < node->output_count; k++)
            if (node->outputs[k])
                a->integers[node->outputs[k]->id] = integers;
    }
}

/* What a layer in float32 reads is there as it is in any case. */
static bool is_read_exactly(const struct application *a, const struct value *value)
{
    for (int i = 0; i < a->node_count; i++)
        for (int k = 0; k < a->graph->nodes[i]->input_count && reads_exactly(a, i); k++)
            if (a->graph->nodes[i]->inputs[k] == value)
                return true;
    return false;
}

/* As layers and points ask for. */
static enum status quantise_output(struct application *a, struct value *value)
{
    struct value *numbers;
    for (int i = 0; i < a->plan->count; i++) {
        const struct layer *layer = &a->plan->layers[i];
        if (!is_integer(layer) || layer->input->id != value->id)
            continue;
        struct node *node = a->graph->nodes[layer->node_index];
        TRY(quantise(a, node->inputs[0], &layer->quantum, layer->kind == LAYER_CONV, 0, &node->inputs[0]));
    }
    for (int i = 0; i < a->plan->point_count; i++) {
        const struct point *point = &a->plan->points[i];
        if (point->value->id == value->id && point->chosen && a->integers[value->id] && !a->settled[value->id] &&
            !is_read_exactly(a, value))
            TRY(quantise(a, value, &point->quantum, true, 0, &numbers));
    }
    return STATUS_OK;
}

/* The last first: what a concatenation is quantised with goes for its parts, among them those that were concatenated
 * before. */
static enum status quantise_activations(struct application *a)
{
    const struct graph *graph = a->graph;
    trace_integers(a);
    for (int i = a->node_count - 1; i >= 0; i--)
        for (int k = 0; k < graph->nodes[i]->output_count; k++)
            if (graph->nodes[i]->outputs[k])
                TRY(quantise_output(a, graph->nodes[i]->outputs[k]));
    for (int i = 0; i < graph->input_count; i++)
        TRY(quantise_output(a, graph->inputs[i]));
    return STATUS_OK;
}

static enum status place_casts(struct application *a)
{
    for (int i = 0; i < a->plan->count; i++) {
        const struct layer *layer = &a->plan->layers[i];
        if (!layer->chosen || layer->kind != LAYER_CONSTANT)
            continue;
        struct value *weights = a->graph->values[layer->weights->id];
        a->tables[weights->id] = layer;
        struct value *wide = is_read_whole(a, weights) ? cast_weights(a, layer) : weights;
        if (!wide)
            return apply_no_memory(a);
        redirect(a, weights, wide);
    }
    return STATUS_OK;
}

enum status quantize_apply(struct quantize_plan *plan, struct region *region, struct graph **graph, struct error *error)
{
    struct application a = {.plan = plan, .error = error};
    TRY(begin(&a, region));
    if (plan->form == QUANTIZE_STATIC)
        TRY(quantise_activations(&a));
    if (plan->form == QUANTIZE_HALF)
        TRY(place_casts(&a));
    for (int i = 0; i < a.graph->input_count; i++)
        if (!append_quantised(&a, a.graph->inputs[i]))
            return apply_no_memory(&a);
    for (int i = 0; i < a.node_count; i++) {
        TRY(place(&a, i));
        const struct node *was = plan->graph->nodes[i];
        for (int k = 0; k < was->output_count && plan->form == QUANTIZE_STATIC; k++)
            if (was->outputs[k] && !append_quantised(&a, a.graph->values[was->outputs[k]->id]))
                return apply_no_memory(&a);
    }
    a.graph->nodes = a.nodes;
    a.graph->node_count = a.count;
    a.graph->node_capacity = a.capacity;
    graph_drop_unused(a.graph);
    if (!quantize_drop_attributes(a.graph))
        return apply_no_memory(&a);
    *graph = a.graph;
    return STATUS_OK;
}
