/* Names of the file, and the values they stand for. */
#include "formats/onnx/import.h"

#include <string.h>

const char *onnx_unique_name(struct import *im, struct name_map *taken, const char *name)
{
    bool added;
    void **slot = name_map_add(taken, name, &added);
    if (!slot || added)
        return slot ? name : NULL;
    uintptr_t number = (uintptr_t)*slot; /* the last that was tried */
    for (;;) {
        const char *numbered = region_format(&im->scratch, "%s_%zu", name, (size_t)++number);
        if (!numbered || !name_map_add(taken, numbered, &added))
            return NULL;
        if (!added)
            continue;
        *slot = (void *)number;
        return numbered;
    }
}

const char *onnx_graph_name(struct scope *s, const char *name)
{
    void **result = name_map_find(&s->results, name);
    if (result)
        return *result;
    if (!*s->prefix)
        return name; /* taken before anything was made */
    char *prefixed = region_format(&s->import->scratch, "%s%s", s->prefix, name);
    return prefixed ? onnx_unique_name(s->import, &s->place->taken, prefixed) : NULL;
}

enum status onnx_define(struct scope *s, const char *name, struct value *value)
{
    bool added;
    void **slot = name_map_add(&s->values, name, &added);
    if (!slot)
        return onnx_no_memory(s->import);
    if (!added)
        return error_set(s->import->error, STATUS_INVALID_MODEL, "'%s' is defined twice in graph '%s'", name,
                         s->place->graph->name);
    *slot = value;
    return STATUS_OK;
}

enum status onnx_declare(struct scope *s, const char *name, struct value **value)
{
    struct graph *graph = s->place->graph;
    struct type type;
    const char *full = onnx_graph_name(s, name);
    if (!full)
        return onnx_no_memory(s->import);
    void **declared = name_map_find(&s->place->types, full);
    TRY(onnx_read_type(s->import, graph, declared ? *declared : NULL, &type));
    *value = graph_add_value(graph, full, type.dtype, type.rank, type.dims);
    return *value ? onnx_define(s, name, *value) : onnx_no_memory(s->import);
}

enum status onnx_define_constant(struct scope *s, const char *name, const Onnx__Tensor *tensor)
{
    const char *full = onnx_graph_name(s, name);
    struct value *value = full ? graph_add_constant(s->place->graph, full, (enum dtype)tensor->data_type,
                                                    (int)tensor->n_dims, tensor->dims, tensor->raw_data.data)
                               : NULL;
    return value ? onnx_define(s, name, value) : onnx_no_memory(s->import);
}

bool onnx_lookup(const struct scope *s, const char *name, struct value **value)
{
    void **slot = name_map_find(&s->values, name);
    *value = slot ? *slot : NULL;
    return slot != NULL;
}
