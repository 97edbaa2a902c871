/* A graph of the file becomes a graph of ours. */
#include "formats/onnx/import.h"

#include <string.h>

static enum status take(struct import *im, struct name_map *taken, const char *name)
{
    bool added;
    return name_map_add(taken, name, &added) ? STATUS_OK : onnx_no_memory(im);
}

/* Names that the file gives stay as they are: names that are made up have to avoid them, also those still to come. */
static enum status take_names(struct scope *s, const Onnx__Graph *message)
{
    struct name_map *taken = &s->place->taken;
    for (size_t i = 0; i < message->n_inputs; i++)
        TRY(take(s->import, taken, text(message->inputs[i]->name)));
    for (size_t i = 0; i < message->n_initializers; i++)
        TRY(take(s->import, taken, text(message->initializers[i]->name)));
    for (size_t i = 0; i < message->n_nodes; i++)
        for (size_t k = 0; k < message->nodes[i]->n_outputs; k++)
            TRY(take(s->import, taken, message->nodes[i]->outputs[k]));
    return STATUS_OK;
}

/* A declaration that knows less does not replace one that knows more. */
static enum status note_types(struct scope *s, size_t count, Onnx__Variable *const *variables)
{
    for (size_t i = 0; i < count; i++) {
        const Onnx__Type *type = variables[i]->type;
        bool added;
        void **slot = name_map_add(&s->place->types, text(variables[i]->name), &added);
        if (!slot)
            return onnx_no_memory(s->import);
        bool has_shape = type && type->kind_case == ONNX__TYPE__KIND_TENSOR && type->tensor->shape;
        if (!*slot || has_shape)
            *slot = variables[i]->type;
    }
    return STATUS_OK;
}

static const Onnx__Node *first_reader(const Onnx__Graph *message, const char *name)
{
    for (size_t i = 0; i < message->n_nodes; i++)
        for (size_t k = 0; k < message->nodes[i]->n_inputs; k++)
            if (strcmp(message->nodes[i]->inputs[k], name) == 0)
                return message->nodes[i];
    return NULL;
}

/* The caller of the model has to hand this in, so its type must be one that can be. */
static enum status check_input(struct import *im, const Onnx__Graph *message, const Onnx__Variable *input)
{
    const Onnx__Type *type = onnx_given_type(input->type);
    const char *what = onnx_not_a_tensor(type);
    if (what && im->refusal.status == STATUS_OK) {
        const Onnx__Node *reader = first_reader(message, input->name);
        onnx_refuse(im, "input '%s' is %s, which is not supported%s%s%s%s%s", input->name, what,
                    reader ? "; node '" : "", reader ? onnx_node_label(reader) : "", reader ? "' (" : "",
                    reader ? text(reader->op_type) : "", reader ? ") reads it" : "");
    }
    if (what)
        return STATUS_OK;
    if (!type || type->kind_case != ONNX__TYPE__KIND_TENSOR)
        return error_set(im->error, STATUS_INVALID_MODEL, "input '%s' has no type", input->name);
    if (dtype_bits((enum dtype)type->tensor->element) == 0)
        return error_set(im->error, STATUS_UNSUPPORTED, "input '%s' has data type %d, which is not known", input->name,
                         (int)type->tensor->element);
    if (type->tensor->shape && type->tensor->shape->n_dims > MAX_RANK)
        return error_set(im->error, STATUS_UNSUPPORTED, "input '%s' has rank %zu; at most %d is supported", input->name,
                         type->tensor->shape->n_dims, MAX_RANK);
    return STATUS_OK;
}

/* Since IR version 4 an initialiser that is an input is a default. Before, each had to be one, and some exporters never
 * ceased to write so: where all of many are inputs, they are weights. */
#define MOST_DEFAULTS 16

static bool has_defaults(const struct scope *s, const Onnx__Graph *message, const struct name_map *initialised)
{
    size_t listed = 0;
    for (size_t i = 0; i < message->n_inputs; i++)
        listed += name_map_has(initialised, text(message->inputs[i]->name));
    return s->depth == 0 && s->import->ir_version >= 4 && listed > 0 &&
           (listed <= MOST_DEFAULTS || listed < message->n_initializers);
}

/* An input that the caller may leave out. */
static enum status add_default(struct scope *s, const Onnx__Tensor *tensor, const struct value *input,
                               struct value **made)
{
    struct import *im = s->import;
    if ((enum dtype)tensor->data_type != input->dtype)
        return error_set(im->error, STATUS_INVALID_MODEL, "input '%s' is %s, and its initialiser %s", input->name,
                         dtype_name(input->dtype), dtype_name((enum dtype)tensor->data_type));
    *made =
        graph_add_constant(s->place->graph, "", input->dtype, (int)tensor->n_dims, tensor->dims, tensor->raw_data.data);
    return *made ? STATUS_OK : onnx_no_memory(im);
}

/* Inputs that are initialisers are left out where `defaults` is NULL: they are constants. */
static enum status add_inputs(struct scope *s, const Onnx__Graph *message, const struct name_map *initialised,
                              struct operands *inputs, struct value **defaults)
{
    for (size_t i = 0; i < message->n_inputs; i++) {
        const Onnx__Variable *input = message->inputs[i];
        struct type type;
        if (!*text(input->name))
            return error_set(s->import->error, STATUS_INVALID_MODEL, "input %zu of graph '%s' has no name", i,
                             s->place->graph->name);
        void **initialiser = name_map_find(initialised, input->name);
        if (initialiser && !defaults)
            continue;
        const struct onnx_elements *elements = s->depth == 0 ? onnx_elements_of(s->import, input->name) : NULL;
        if (elements && !initialiser) {
            TRY(onnx_join_input(s, input, elements, inputs));
            continue;
        }
        if (s->depth == 0)
            TRY(check_input(s->import, message, input));
        TRY(onnx_read_type(s->import, s->place->graph, s->depth == 0 ? onnx_given_type(input->type) : input->type,
                           &type));
        struct value *value = graph_add_value(s->place->graph, input->name, type.dtype, type.rank, type.dims);
        if (!value)
            return onnx_no_memory(s->import);
        TRY(onnx_define(s, input->name, value));
        if (initialiser)
            TRY(add_default(s, *initialiser, value, &defaults[inputs->count]));
        inputs->values[inputs->count++] = value;
    }
    return STATUS_OK;
}

static enum status add_captures(struct scope *s, size_t count, const struct capture *captures, struct operands *inputs)
{
    struct graph *graph = s->place->graph;
    for (size_t i = 0; i < count; i++) {
        const struct value *outer = captures[i].value;
        struct value *value = NULL;
        if (outer) {
            const char *name = onnx_unique_name(s->import, &s->place->taken, outer->name);
            if (!name)
                return onnx_no_memory(s->import);
            /* Symbols are each graph's own, so the shape stays behind; it comes along when the program is made. */
            value = captures[i].passed
                        ? graph_add_value(graph, name, outer->dtype, -1, NULL)
                        : graph_add_constant(graph, name, outer->dtype, outer->rank, outer->dims, outer->data);
            if (!value)
                return onnx_no_memory(s->import);
        }
        if (captures[i].passed)
            inputs->values[inputs->count++] = value;
        TRY(onnx_define(s, captures[i].name, value));
    }
    return STATUS_OK;
}

static enum status note_initializers(struct scope *s, const Onnx__Graph *message, struct name_map *initialised)
{
    for (size_t i = 0; i < message->n_initializers; i++) {
        bool added;
        void **slot = name_map_add(initialised, text(message->initializers[i]->name), &added);
        if (!slot)
            return onnx_no_memory(s->import);
        if (!added)
            return error_set(s->import->error, STATUS_INVALID_MODEL, "'%s' is defined twice in graph '%s'",
                             text(message->initializers[i]->name), s->place->graph->name);
        *slot = message->initializers[i];
    }
    return STATUS_OK;
}

static enum status add_outputs(struct scope *s, const Onnx__Graph *message)
{
    struct import *im = s->import;
    struct operands outputs = {
        .values = region_array(&im->scratch, message->n_outputs + onnx_element_count(im), sizeof(struct value *))};
    if (!outputs.values)
        return onnx_no_memory(im);
    if (s->depth == 0)
        TRY(onnx_find_labels(im, s->place->graph));
    for (size_t i = 0; i < message->n_outputs; i++) {
        const Onnx__Variable *output = message->outputs[i];
        struct value *value;
        if (!onnx_lookup(s, text(output->name), &value) || !value)
            return error_set(im->error, STATUS_INVALID_MODEL, "nothing makes output '%s' of graph '%s'",
                             text(output->name), s->place->graph->name);
        const struct onnx_elements *elements = s->depth == 0 ? onnx_elements_of(im, text(output->name)) : NULL;
        const char *what = onnx_not_a_tensor(output->type);
        if (elements) {
            TRY(onnx_part_output(s, output, value, elements, &outputs));
            continue;
        }
        if (s->depth == 0 && what && !im->labels[value->id])
            onnx_refuse(im, "output '%s' is %s, which is not supported", output->name, what);
        outputs.values[outputs.count++] = value;
    }
    return graph_set_outputs(s->place->graph, outputs.count, outputs.values) ? STATUS_OK : onnx_no_memory(im);
}

/* See onnx_charge. */
static size_t graph_cost(const Onnx__Graph *message)
{
    size_t cost = 1024 + 512 * (message->n_inputs + message->n_outputs + message->n_intermediates);
    for (size_t i = 0; i < message->n_initializers; i++)
        cost += 512 + 2 * strlen(text(message->initializers[i]->name));
    return cost;
}

enum status onnx_build_graph(struct scope *s, const Onnx__Graph *message, size_t capture_count,
                             const struct capture *captures)
{
    struct import *im = s->import;
    struct name_map initialised = {.region = &im->scratch};
    size_t most_inputs = message->n_inputs + capture_count + onnx_element_count(im);
    struct operands inputs = {.values = region_array(&im->scratch, most_inputs, sizeof(struct value *))};
    if (!inputs.values)
        return onnx_no_memory(im);
    if (s->inlined)
        TRY(onnx_charge(im, graph_cost(message)));
    TRY(take_names(s, message));
    TRY(note_types(s, message->n_intermediates, message->intermediates));
    TRY(note_types(s, message->n_outputs, message->outputs));
    TRY(note_initializers(s, message, &initialised));
    bool optional = has_defaults(s, message, &initialised);
    struct value **defaults = optional ? region_array(&im->scratch, most_inputs, sizeof *defaults) : NULL, *known;
    if (optional && !defaults)
        return onnx_no_memory(im);
    TRY(add_inputs(s, message, &initialised, &inputs, defaults));
    for (size_t i = 0; i < message->n_initializers; i++)
        if (*text(message->initializers[i]->name) &&
            !(optional && onnx_lookup(s, message->initializers[i]->name, &known)))
            TRY(onnx_define_constant(s, message->initializers[i]->name, message->initializers[i]));
    TRY(add_captures(s, capture_count, captures, &inputs));
    if (!graph_set_inputs(s->place->graph, inputs.count, inputs.values) ||
        (defaults && !graph_set_defaults(s->place->graph, defaults)))
        return onnx_no_memory(im);
    TRY(onnx_build_nodes(s, message->n_nodes, message->nodes));
    return add_outputs(s, message);
}
