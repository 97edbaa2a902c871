/* Nodes: each becomes a node of the graph, a constant, or what the function it calls stands for. */
#include "formats/onnx/import.h"

#include <string.h>

const char *onnx_node_name(struct scope *s, const Onnx__Node *node)
{
    struct region *scratch = &s->import->scratch;
    const char *name = text(node->name), *op = text(node->op_type);
    if (*name)
        name = region_format(scratch, "%s%s", s->prefix, name);
    else if (node->n_outputs && *node->outputs[0])
        name = region_format(scratch, "%s%s_%s", s->prefix, op, node->outputs[0]);
    else
        name = region_format(scratch, "%s%s", s->prefix, op);
    return name ? onnx_unique_name(s->import, &s->import->node_names, name) : NULL;
}

static enum status read_inputs(struct scope *s, const Onnx__Node *node, struct operands *inputs)
{
    inputs->count = (int)node->n_inputs;
    inputs->values = region_array(&s->import->scratch, node->n_inputs, sizeof(struct value *));
    if (!inputs->values)
        return onnx_no_memory(s->import);
    for (size_t i = 0; i < node->n_inputs; i++)
        if (*node->inputs[i] && !onnx_lookup(s, node->inputs[i], &inputs->values[i]))
            return onnx_node_error(s->import, node, STATUS_INVALID_MODEL, "it reads '%s', which nothing makes",
                                   node->inputs[i]);
    return STATUS_OK;
}

/* A loop's outputs may be left out at the end; ours are as many as its body's. */
static size_t output_count(const Onnx__Node *node, const struct attribute *attributes, int attribute_count)
{
    bool is_loop = strcmp(text(node->op_type), "Loop") == 0, is_scan = strcmp(text(node->op_type), "Scan") == 0;
    size_t count = node->n_outputs;
    for (int i = 0; i < attribute_count && (is_loop || is_scan); i++)
        if (attributes[i].kind == ATTRIBUTE_GRAPH) {
            int made = attributes[i].graph->output_count - (is_loop ? 1 : 0); /* its condition is no output */
            count = made > 0 && (size_t)made > count ? (size_t)made : count;
        }
    return count;
}

static enum status declare_outputs(struct scope *s, const Onnx__Node *node, size_t count, struct operands *outputs)
{
    outputs->count = (int)count;
    outputs->values = region_array(&s->import->scratch, count, sizeof(struct value *));
    if (!outputs->values)
        return onnx_no_memory(s->import);
    for (size_t i = 0; i < node->n_outputs; i++)
        if (*node->outputs[i])
            TRY(onnx_declare(s, node->outputs[i], &outputs->values[i]));
    return STATUS_OK;
}

static enum status build_operator(struct scope *s, const Onnx__Node *node, struct environment *resolved)
{
    struct import *im = s->import;
    struct operands inputs, outputs;
    int attribute_count = 0, version = onnx_opset_version(s, onnx_domain(node->domain));
    const char *domain = onnx_domain(node->domain), *name = onnx_node_name(s, node);
    struct attribute *attributes = region_array(&im->scratch, 2 * resolved->count + 3, sizeof *attributes);
    if (!name || !attributes)
        return onnx_no_memory(im);
    const struct op *op = op_find(domain, text(node->op_type));
    if (!op)
        TRY(onnx_note_unsupported(im, domain, text(node->op_type), name));
    else
        TRY(onnx_check_attributes(im, node, op, version, resolved));
    TRY(read_inputs(s, node, &inputs));
    if (op)
        TRY(onnx_read_attributes(s, node, op, resolved, attributes, &attribute_count));
    if (op)
        TRY(onnx_translate_old(s, node, version, &inputs, attributes, &attribute_count));
    TRY(onnx_build_bodies(s, node, resolved, &inputs, attributes, &attribute_count));
    if (op)
        TRY(onnx_translate_batched_scan(s, node, &version, &inputs, attributes, &attribute_count));
    TRY(declare_outputs(s, node, output_count(node, attributes, attribute_count), &outputs));
    if (op)
        TRY(onnx_note_positions(s, op, &inputs, &outputs, attributes, &attribute_count));
    /* Without an operator the node is there for names' sake: the graph is not handed out. */
    return graph_add_node(s->place->graph, op, version, name, inputs.count, inputs.values, outputs.count,
                          outputs.values, attribute_count, attributes)
               ? STATUS_OK
               : onnx_no_memory(im);
}

/* Roughly the bytes that a node of a function takes each time the function is called. */
static size_t node_cost(const struct scope *s, const Onnx__Node *node)
{
    size_t prefix = strlen(s->prefix), cost = 1024 + 2 * (prefix + strlen(text(node->name))) + 256 * node->n_attributes;
    for (size_t i = 0; i < node->n_inputs; i++)
        cost += 128 + strlen(node->inputs[i]);
    for (size_t i = 0; i < node->n_outputs; i++)
        cost += 512 + 2 * (prefix + strlen(node->outputs[i]));
    return cost;
}

static enum status build_node(struct scope *s, const Onnx__Node *node)
{
    struct import *im = s->import;
    const struct function *function;
    struct environment resolved;
    if (s->inlined)
        TRY(onnx_charge(im, node_cost(s, node)));
    TRY(onnx_resolve_attributes(s, node, &resolved));
    TRY(onnx_find_function(im, node, &function));
    if (function)
        return onnx_inline_function(s, node, function, &resolved);
    if (!*onnx_domain(node->domain) && strcmp(text(node->op_type), "Constant") == 0)
        return onnx_build_constant(s, node, &resolved);
    return build_operator(s, node, &resolved);
}

enum status onnx_build_nodes(struct scope *s, size_t count, Onnx__Node *const *nodes)
{
    const Onnx__Node **sorted;
    TRY(onnx_sort_nodes(s->import, count, nodes, &sorted));
    for (size_t i = 0; i < count; i++)
        TRY(build_node(s, sorted[i]));
    return STATUS_OK;
}
