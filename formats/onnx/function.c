/* Functions of the model: a call becomes the nodes of the function's body, with "call/" in front of their names. */
#include "formats/onnx/import.h"

#include <string.h>

static const struct binding *given(const struct environment *attributes, const char *name)
{
    for (size_t i = 0; i < attributes->count; i++)
        if (strcmp(attributes->bindings[i].name, name) == 0)
            return &attributes->bindings[i];
    return NULL;
}

/* What the function's attributes are in this call; one that is neither given nor has a default is not there. */
static enum status bind_attributes(struct import *im, const Onnx__Function *function,
                                   const struct environment *attributes, struct environment *bound)
{
    size_t most = function->n_attributes + function->n_defaults;
    TRY(onnx_charge(im, most * (attributes->count + sizeof(struct binding))));
    *bound = (struct environment){0, region_array(&im->scratch, most, sizeof(struct binding))};
    if (!bound->bindings)
        return onnx_no_memory(im);
    for (size_t i = 0; i < function->n_attributes; i++) {
        const struct binding *binding = given(attributes, function->attributes[i]);
        if (binding)
            bound->bindings[bound->count++] = *binding;
    }
    for (size_t i = 0; i < function->n_defaults; i++) {
        const char *name = text(function->defaults[i]->name);
        const struct binding *binding = given(attributes, name);
        bound->bindings[bound->count++] = binding ? *binding : (struct binding){name, function->defaults[i], NULL};
    }
    return STATUS_OK;
}

static enum status bind_inputs(struct scope *s, const Onnx__Node *call, const Onnx__Function *function,
                               struct scope *inner)
{
    if (call->n_inputs > function->n_inputs || call->n_outputs > function->n_outputs)
        return onnx_node_error(s->import, call, STATUS_INVALID_MODEL,
                               "it has %zu inputs and %zu outputs; the function has %zu and %zu", call->n_inputs,
                               call->n_outputs, function->n_inputs, function->n_outputs);
    for (size_t i = 0; i < function->n_inputs; i++) {
        struct value *value = NULL;
        if (i < call->n_inputs && *call->inputs[i] && !onnx_lookup(s, call->inputs[i], &value))
            return onnx_node_error(s->import, call, STATUS_INVALID_MODEL, "it reads '%s', which nothing makes",
                                   call->inputs[i]);
        TRY(onnx_define(inner, function->inputs[i], value));
    }
    return STATUS_OK;
}

/* Values that the caller wants get the caller's names. */
static enum status name_results(struct scope *s, const Onnx__Node *call, const Onnx__Function *function,
                                struct scope *inner, const char **names)
{
    for (size_t i = 0; i < call->n_outputs; i++) {
        if (!*call->outputs[i])
            continue;
        bool added;
        void **slot = name_map_add(&inner->results, function->outputs[i], &added);
        names[i] = onnx_graph_name(s, call->outputs[i]);
        if (!slot || !names[i])
            return onnx_no_memory(s->import);
        if (added)
            *slot = (void *)(uintptr_t)names[i];
    }
    return STATUS_OK;
}

/* An output that the body does not make under its name, but hands through: an input, or another output. */
static enum status hand_through(struct scope *s, const Onnx__Node *call, const char *name, struct value *from,
                                struct value **result)
{
    const char *node_name = onnx_node_name(s, call);
    const struct op *identity = op_find("", "Identity");
    *result = graph_add_value(s->place->graph, name, from->dtype, from->rank, from->dims);
    if (!node_name || !*result ||
        !graph_add_node(s->place->graph, identity, NEWEST_OPSET, node_name, 1, &from, 1, result, 0, NULL))
        return onnx_no_memory(s->import);
    return identity ? STATUS_OK : onnx_note_unsupported(s->import, "", "Identity", node_name);
}

static enum status take_results(struct scope *s, const Onnx__Node *call, const Onnx__Function *function,
                                const struct scope *inner, const char *const *names)
{
    for (size_t i = 0; i < call->n_outputs; i++) {
        struct value *value;
        if (!names[i])
            continue;
        if (!onnx_lookup(inner, function->outputs[i], &value) || !value)
            return onnx_node_error(s->import, call, STATUS_INVALID_MODEL, "the function does not make its output '%s'",
                                   function->outputs[i]);
        if (strcmp(value->name, names[i]) != 0)
            TRY(hand_through(s, call, names[i], value, &value));
        TRY(onnx_define(s, call->outputs[i], value));
    }
    return STATUS_OK;
}

enum status onnx_inline_function(struct scope *s, const Onnx__Node *call, const struct function *function,
                                 const struct environment *attributes)
{
    struct import *im = s->import;
    struct region *scratch = &im->scratch;
    if (s->depth >= DEEPEST_NESTING)
        return onnx_node_error(im, call, STATUS_UNSUPPORTED, "subgraphs and functions are nested more than %d deep",
                               DEEPEST_NESTING);
    const char *name = onnx_node_name(s, call);
    const char *prefix = name ? region_format(scratch, "%s/", name) : NULL;
    const char **results = region_array(scratch, call->n_outputs, sizeof *results);
    if (!prefix || !results)
        return onnx_no_memory(im);
    struct environment environment;
    TRY(onnx_charge(im, 2048 + strlen(prefix) + 192 * function->message->n_inputs));
    TRY(bind_attributes(im, function->message, attributes, &environment));
    struct scope inner = {
        .import = im,
        .place = s->place,
        .values = {.region = scratch},
        .results = {.region = scratch},
        .prefix = prefix,
        .environment = &environment,
        .opsets = &function->opsets,
        .inlined = true,
        .depth = s->depth + 1,
    };
    TRY(bind_inputs(s, call, function->message, &inner));
    TRY(name_results(s, call, function->message, &inner, results));
    TRY(onnx_build_nodes(&inner, function->message->n_nodes, function->message->nodes));
    return take_results(s, call, function->message, &inner, results);
}
