#include "graph/graph.h"

#include "graph/op.h"

#include <stdio.h>
#include <string.h>

/* Room for one more pointer in a growing array of a region; the old array is left to the region. */
static bool grow(struct region *region, void *array_pointer, int count, int *capacity)
{
    if (count < *capacity)
        return true;
    int larger = *capacity ? *capacity * 2 : 16;
    void **array = region_array(region, (size_t)larger, sizeof(void *)), **old;
    if (!array)
        return false;
    memcpy(&old, array_pointer, sizeof old);
    if (count)
        memcpy(array, old, (size_t)count * sizeof(void *));
    memcpy(array_pointer, &array, sizeof array);
    *capacity = larger;
    return true;
}

static void *copy_pointers(struct region *region, int count, const void *pointers)
{
    void *copy = region_array(region, (size_t)count, sizeof(void *));
    if (copy && count)
        memcpy(copy, pointers, (size_t)count * sizeof(void *));
    return copy;
}

struct graph *graph_create(struct region *region, const char *name)
{
    struct graph *graph = region_allocate(region, sizeof *graph);
    if (!graph)
        return NULL;
    graph->region = region;
    graph->name = region_string(region, name);
    return graph->name ? graph : NULL;
}

struct value *graph_add_value(struct graph *graph, const char *name, enum dtype dtype, int rank, const int64_t *dims)
{
    struct value *value = region_allocate(graph->region, sizeof *value);
    if (!value || !grow(graph->region, &graph->values, graph->value_count, &graph->value_capacity))
        return NULL;
    value->name = *name ? region_string(graph->region, name) : "";
    value->dtype = dtype;
    value->rank = rank;
    for (int i = 0; i < rank; i++)
        value->dims[i] = dims[i];
    value->id = graph->value_count;
    graph->values[graph->value_count++] = value;
    return value->name ? value : NULL;
}

struct value *graph_add_constant(struct graph *graph, const char *name, enum dtype dtype, int rank, const int64_t *dims,
                                 const void *data)
{
    int64_t elements;
    if (!shape_elements(rank, dims, &elements))
        return NULL;
    struct value *value = graph_add_value(graph, name, dtype, rank, dims);
    if (!value)
        return NULL;
    value->data = data;
    value->bytes = dtype_bytes(dtype, elements);
    return value;
}

bool graph_append_node(struct graph *graph, struct node *node)
{
    if (!grow(graph->region, &graph->nodes, graph->node_count, &graph->node_capacity))
        return false;
    graph->nodes[graph->node_count++] = node;
    return true;
}

struct node *graph_add_node(struct graph *graph, const struct op *op, int version, const char *name, int input_count,
                            struct value *const *inputs, int output_count, struct value *const *outputs,
                            int attribute_count, const struct attribute *attributes)
{
    struct region *region = graph->region;
    struct node *node = region_allocate(region, sizeof *node);
    if (!node)
        return NULL;
    node->op = op;
    node->version = version;
    node->name = region_string(region, name);
    node->inputs = copy_pointers(region, input_count, inputs);
    node->input_count = input_count;
    node->outputs = copy_pointers(region, output_count, outputs);
    node->output_count = output_count;
    struct attribute *copy = region_array(region, (size_t)attribute_count, sizeof *copy);
    const char *const *sources = copy_pointers(region, 1, &node->name);
    if (!node->name || !node->inputs || !node->outputs || !copy || !sources)
        return NULL;
    if (attribute_count)
        memcpy(copy, attributes, (size_t)attribute_count * sizeof *copy);
    node->attributes = copy;
    node->attribute_count = attribute_count;
    node->sources = sources;
    node->source_count = 1;
    return graph_append_node(graph, node) ? node : NULL;
}

bool graph_set_inputs(struct graph *graph, int count, struct value *const *inputs)
{
    graph->inputs = copy_pointers(graph->region, count, inputs);
    graph->input_count = count;
    return graph->inputs != NULL;
}

bool graph_set_defaults(struct graph *graph, struct value *const *defaults)
{
    graph->defaults = copy_pointers(graph->region, graph->input_count, defaults);
    return graph->defaults != NULL;
}

bool graph_set_outputs(struct graph *graph, int count, struct value *const *outputs)
{
    graph->outputs = copy_pointers(graph->region, count, outputs);
    graph->output_count = count;
    return graph->outputs != NULL;
}

int64_t graph_symbol(struct graph *graph, const char *name)
{
    if (strcmp(name, "?") == 0) /* what exporters write for any size */
        name = "";
    for (int i = 0; *name && i < graph->symbol_count; i++)
        if (strcmp(graph->symbols[i], name) == 0)
            return -1 - i;
    const char *copy = *name ? region_string(graph->region, name) : "";
    if (!copy || !grow(graph->region, &graph->symbols, graph->symbol_count, &graph->symbol_capacity))
        return 0;
    graph->symbols[graph->symbol_count++] = copy;
    return -graph->symbol_count;
}

const char *graph_symbol_name(const struct graph *graph, int64_t dim)
{
    int64_t index = -1 - dim;
    return index >= 0 && index < graph->symbol_count && *graph->symbols[index] ? graph->symbols[index] : "?";
}

/* --- copies ---------------------------------------------------------------------------------------------- */

static bool map_values(struct graph *copy, int count, struct value *const *from, struct value ***to)
{
    *to = region_array(copy->region, (size_t)count, sizeof **to);
    if (!*to)
        return false;
    for (int i = 0; i < count; i++)
        (*to)[i] = from[i] ? copy->values[from[i]->id] : NULL;
    return true;
}

static bool copy_values(const struct graph *graph, struct graph *copy)
{
    copy->values = region_items(copy->region, (size_t)graph->value_count, sizeof *copy->values);
    struct value *block = region_items(copy->region, (size_t)graph->value_count, sizeof *block);
    if (!copy->values || !block)
        return false;
    for (int i = 0; i < graph->value_count; i++) {
        block[i] = *graph->values[i];
        block[i].list = NULL;
        copy->values[i] = &block[i];
    }
    for (int i = 0; i < graph->value_count; i++)
        if (block[i].alias)
            block[i].alias = copy->values[block[i].alias->id];
    copy->value_count = copy->value_capacity = graph->value_count;
    return true;
}

struct graph *graph_clone(const struct graph *graph, struct region *region)
{
    struct graph *copy = region_allocate(region, sizeof *copy);
    if (!copy)
        return NULL;
    copy->region = region;
    copy->name = graph->name;
    copy->symbol_count = copy->symbol_capacity = graph->symbol_count;
    copy->symbols = copy_pointers(region, graph->symbol_count, graph->symbols);
    copy->nodes = region_items(region, (size_t)graph->node_count, sizeof *copy->nodes);
    struct node *block = region_items(region, (size_t)graph->node_count, sizeof *block);
    if (!copy->symbols || !copy->nodes || !block || !copy_values(graph, copy))
        return NULL;
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = copy->nodes[i] = &block[i];
        *node = *graph->nodes[i];
        if (!map_values(copy, node->input_count, graph->nodes[i]->inputs, &node->inputs) ||
            !map_values(copy, node->output_count, graph->nodes[i]->outputs, &node->outputs))
            return NULL;
    }
    copy->node_count = copy->node_capacity = graph->node_count;
    copy->input_count = graph->input_count;
    copy->output_count = graph->output_count;
    bool done = map_values(copy, graph->input_count, graph->inputs, &copy->inputs) &&
                map_values(copy, graph->output_count, graph->outputs, &copy->outputs) &&
                (!graph->defaults || map_values(copy, graph->input_count, graph->defaults, &copy->defaults));
    return done ? copy : NULL;
}

static void mark_used(int count, struct value *const *values)
{
    for (int i = 0; i < count; i++)
        if (values[i])
            values[i]->id = 0;
}

void graph_drop_unused(struct graph *graph)
{
    int kept = 0;
    for (int i = 0; i < graph->value_count; i++)
        graph->values[i]->id = -1;
    mark_used(graph->input_count, graph->inputs);
    if (graph->defaults)
        mark_used(graph->input_count, graph->defaults);
    mark_used(graph->output_count, graph->outputs);
    for (int i = 0; i < graph->node_count; i++) {
        mark_used(graph->nodes[i]->input_count, graph->nodes[i]->inputs);
        mark_used(graph->nodes[i]->output_count, graph->nodes[i]->outputs);
    }
    for (int i = 0; i < graph->value_count; i++)
        if (graph->values[i]->id == 0) {
            graph->values[kept] = graph->values[i];
            graph->values[kept]->id = kept;
            kept++;
        }
    graph->value_count = kept;
}

const struct attribute *node_attribute(const struct node *node, const char *name)
{
    for (int i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}

const struct attribute *node_attribute_of(const struct node *node, const char *name, enum attribute_kind kind)
{
    const struct attribute *attribute = node_attribute(node, name);
    return attribute && attribute->kind == kind ? attribute : NULL;
}

/* Formulas that exporters write for a size can be pages long. */
#define LONGEST_SYMBOL 24

const char *shape_text(const struct graph *graph, int rank, const int64_t *dims, char *buffer, size_t bytes)
{
    bool symbolic = false;
    size_t used = 0;
    for (int i = 0; i < rank; i++)
        symbolic = symbolic || dims[i] < 0;
    if (rank <= 0)
        snprintf(buffer, bytes, "%s", rank < 0 ? "unknown" : "scalar");
    for (int i = 0; i < rank && used < bytes; i++) {
        const char *before = symbolic ? i ? ", " : "[" : i ? "x" : "", *after = symbolic && i == rank - 1 ? "]" : "";
        struct legible name = legible(dims[i] < 0 && graph ? graph_symbol_name(graph, dims[i]) : "?");
        if (strlen(name.text) > LONGEST_SYMBOL)
            memcpy(name.text + LONGEST_SYMBOL - 3, "...", sizeof "...");
        int length = dims[i] >= 0 ? snprintf(buffer + used, bytes - used, "%s%lld%s", before, (long long)dims[i], after)
                                  : snprintf(buffer + used, bytes - used, "%s%s%s", before, name.text, after);
        used += length > 0 ? (size_t)length : 0;
    }
    return buffer;
}

/* --- validation ------------------------------------------------------------------------------------------ */

enum { UNDEFINED, DEFINED };

static enum status validate_constant(const struct value *value, struct error *error)
{
    int64_t elements;
    if (value->rank < 0 || !shape_elements(value->rank, value->dims, &elements))
        return error_set(error, STATUS_INVALID_MODEL, "constant '%s' has no valid shape", value->name);
    if (dtype_bits(value->dtype) == 0)
        return error_set(error, STATUS_UNSUPPORTED, "constant '%s' has type %s, which is not supported", value->name,
                         dtype_name(value->dtype));
    if (dtype_bytes(value->dtype, elements) != value->bytes)
        return error_set(error, STATUS_INVALID_MODEL, "constant '%s' holds %zu bytes; its shape needs %zu", value->name,
                         value->bytes, dtype_bytes(value->dtype, elements));
    return STATUS_OK;
}

static enum status validate_value(const struct value *value, struct error *error)
{
    if (value->rank > MAX_RANK)
        return error_set(error, STATUS_UNSUPPORTED, "tensor '%s' has rank %d; at most %d is supported", value->name,
                         value->rank, MAX_RANK);
    return value->data ? validate_constant(value, error) : STATUS_OK;
}

/* A variadic operator has no optional inputs, however many it is given. */
static int required_inputs(const struct node *node)
{
    const struct op *op = node->op;
    bool all = op->max_inputs == ANY_COUNT;
    return op->flags & OP_LOOSE_INPUTS ? 0 : all ? node->input_count : op->min_inputs;
}

enum status node_check_operands(const struct node *node, struct error *error)
{
    const struct op *op = node->op;
    if (node->input_count < op->min_inputs || node->input_count > op->max_inputs)
        return error_set(error, STATUS_INVALID_MODEL, "node '%s' (%s) has %d inputs; the operator takes %d to %d",
                         node->name, op->name, node->input_count, op->min_inputs, op->max_inputs);
    if (node->output_count < op->min_outputs || node->output_count > op->max_outputs)
        return error_set(error, STATUS_INVALID_MODEL, "node '%s' (%s) has %d outputs; the operator makes %d to %d",
                         node->name, op->name, node->output_count, op->min_outputs, op->max_outputs);
    for (int i = 0; i < required_inputs(node); i++)
        if (!node->inputs[i])
            return error_set(error, STATUS_INVALID_MODEL, "node '%s' (%s): input %d is missing", node->name, op->name,
                             i);
    return STATUS_OK;
}

static enum status validate_graph(const struct graph *graph, int depth, struct error *error);

static enum status validate_node(const struct node *node, unsigned char *defined, int depth, struct error *error)
{
    TRY(node_check_operands(node, error));
    for (int i = 0; i < node->input_count; i++) {
        const struct value *input = node->inputs[i];
        if (input && !input->data && !defined[input->id])
            return error_set(error, STATUS_INVALID_MODEL, "node '%s' (%s) reads '%s' before anything has made it",
                             node->name, node->op->name, input->name);
    }
    for (int i = 0; i < node->output_count; i++) {
        const struct value *output = node->outputs[i];
        if (output && (output->data || defined[output->id]))
            return error_set(error, STATUS_INVALID_MODEL, "node '%s' (%s) makes '%s', which exists already", node->name,
                             node->op->name, output->name);
        if (output)
            defined[output->id] = DEFINED;
    }
    for (int i = 0; i < node->attribute_count; i++) {
        if (node->attributes[i].kind == ATTRIBUTE_TENSOR)
            TRY(validate_constant(node->attributes[i].tensor, error));
        if (node->attributes[i].kind != ATTRIBUTE_GRAPH)
            continue;
        if (validate_graph(node->attributes[i].graph, depth + 1, error) != STATUS_OK)
            return error_prefix(error, "node '%s' (%s), subgraph '%s'", node->name, node->op->name,
                                node->attributes[i].name);
    }
    return STATUS_OK;
}

static enum status validate_default(const struct graph *graph, int i, struct error *error)
{
    const struct value *input = graph->inputs[i], *value = graph->defaults[i];
    if (!value)
        return STATUS_OK;
    bool fits = value->data && (input->dtype == DTYPE_NONE || input->dtype == value->dtype) &&
                (input->rank < 0 || input->rank == value->rank);
    for (int k = 0; k < input->rank && fits; k++)
        fits = input->dims[k] < 0 || input->dims[k] == value->dims[k];
    char want[120], have[120];
    return fits ? STATUS_OK
                : error_set(error, STATUS_INVALID_MODEL, "input %d '%s' is %s %s, and its default %s %s", i,
                            input->name, dtype_name(input->dtype), value_shape_text(graph, input, want, sizeof want),
                            dtype_name(value->dtype), value_shape_text(graph, value, have, sizeof have));
}

static enum status validate_edges(const struct graph *graph, unsigned char *defined, int depth, struct error *error)
{
    for (int i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        if (input->data || defined[input->id])
            return error_set(error, STATUS_INVALID_MODEL, "input %d '%s' is listed twice or is a constant", i,
                             input->name);
        defined[input->id] = DEFINED;
        if (graph->defaults)
            TRY(validate_default(graph, i, error));
    }
    for (int i = 0; i < graph->node_count; i++)
        TRY(validate_node(graph->nodes[i], defined, depth, error));
    for (int i = 0; i < graph->output_count; i++) {
        const struct value *output = graph->outputs[i];
        if (!output->data && !defined[output->id])
            return error_set(error, STATUS_INVALID_MODEL, "nothing makes output %d '%s'", i, output->name);
    }
    return STATUS_OK;
}

static enum status validate_graph(const struct graph *graph, int depth, struct error *error)
{
    if (depth > 0 && graph->defaults)
        return error_set(error, STATUS_INVALID_MODEL, "subgraph '%s' has inputs that may be left out", graph->name);
    if (depth > DEEPEST_SUBGRAPH)
        return error_set(error, STATUS_INVALID_MODEL, "subgraphs are nested more than %d deep", DEEPEST_SUBGRAPH);
    for (int i = 0; i < graph->value_count; i++)
        TRY(validate_value(graph->values[i], error));
    size_t bytes = (size_t)graph->value_count + 1;
    unsigned char *defined = allocate(graph->region->allocator, bytes, 16);
    if (!defined)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while checking graph '%s'", graph->name);
    memset(defined, UNDEFINED, bytes);
    enum status status = validate_edges(graph, defined, depth, error);
    release(graph->region->allocator, defined, bytes);
    return status;
}

enum status graph_validate(const struct graph *graph, struct error *error)
{
    return validate_graph(graph, 0, error);
}
