/* What nodes use, and the order that follows from it. */
#include "formats/onnx/import.h"

#include <string.h>

static enum status push(struct import *im, struct name_list *list, const char *name)
{
    if (list->count == list->capacity) {
        size_t larger = list->capacity ? list->capacity * 2 : 8;
        const char **names = region_array(&im->scratch, larger, sizeof *names);
        if (!names)
            return onnx_no_memory(im);
        if (list->count)
            memcpy(names, list->names, list->count * sizeof *names);
        list->names = names;
        list->capacity = larger;
    }
    list->names[list->count++] = name;
    return STATUS_OK;
}

static enum status note(struct import *im, struct name_map *map, const char *name)
{
    bool added;
    return name_map_add(map, name, &added) ? STATUS_OK : onnx_no_memory(im);
}

/* Appends a name unless it is in the list, or defined in the graph that uses it. */
static enum status use(struct import *im, const struct name_map *defined, const char *name, struct name_list *list)
{
    bool added;
    if (!*name || (defined && name_map_has(defined, name)))
        return STATUS_OK;
    list->set.region = &im->scratch;
    if (!name_map_add(&list->set, name, &added))
        return onnx_no_memory(im);
    return added ? push(im, list, name) : STATUS_OK;
}

static enum status note_definitions(struct import *im, const Onnx__Graph *graph, struct name_map *defined)
{
    for (size_t i = 0; i < graph->n_inputs; i++)
        TRY(note(im, defined, text(graph->inputs[i]->name)));
    for (size_t i = 0; i < graph->n_initializers; i++)
        TRY(note(im, defined, text(graph->initializers[i]->name)));
    for (size_t i = 0; i < graph->n_nodes; i++)
        for (size_t k = 0; k < graph->nodes[i]->n_outputs; k++)
            TRY(note(im, defined, graph->nodes[i]->outputs[k]));
    return STATUS_OK;
}

/* What a node uses, its subgraphs included. */
static enum status node_uses(struct import *im, const Onnx__Node *node, const struct name_map *defined,
                             struct name_list *list)
{
    for (size_t i = 0; i < node->n_inputs; i++)
        TRY(use(im, defined, node->inputs[i], list));
    for (size_t i = 0; i < node->n_attributes; i++) {
        const struct name_list *inner;
        if (onnx_attribute_kind(node->attributes[i]) != ONNX__ATTRIBUTE__KIND__GRAPH || !node->attributes[i]->graph)
            continue;
        TRY(onnx_free_names(im, node->attributes[i]->graph, &inner));
        for (size_t k = 0; k < inner->count; k++)
            TRY(use(im, defined, inner->names[k], list));
    }
    return STATUS_OK;
}

static enum status find_free_names(struct import *im, const Onnx__Graph *graph, struct name_list *list)
{
    struct name_map defined = {.region = &im->scratch};
    TRY(note_definitions(im, graph, &defined));
    for (size_t i = 0; i < graph->n_nodes; i++)
        TRY(node_uses(im, graph->nodes[i], &defined, list));
    for (size_t i = 0; i < graph->n_outputs; i++)
        TRY(use(im, &defined, text(graph->outputs[i]->name), list));
    return onnx_charge(im, list->count * 256);
}

enum status onnx_free_names(struct import *im, const Onnx__Graph *graph, const struct name_list **list)
{
    const char *key = region_format(&im->scratch, "%p", (const void *)graph);
    bool added;
    void **slot = key ? name_map_add(&im->free_names, key, &added) : NULL;
    if (!slot)
        return onnx_no_memory(im);
    if (added) {
        struct name_list *made = *slot = region_allocate(&im->scratch, sizeof *made);
        if (!made)
            return onnx_no_memory(im);
        TRY(find_free_names(im, graph, made));
    }
    *list = *slot;
    return STATUS_OK;
}

/* --- sorting ------------------------------------------------------------------------------------------------------ */

enum visit { NOT_VISITED, VISITING, VISITED };

struct item {
    const Onnx__Node *node;
    struct name_list uses;
    size_t next_use; /* where the visit stands */
    enum visit state;
    struct item *caller; /* whose use led here */
};

static enum status list_items(struct import *im, size_t count, Onnx__Node *const *nodes, struct item *items,
                              struct name_map *producers)
{
    for (size_t i = 0; i < count; i++) {
        items[i].node = nodes[i];
        TRY(node_uses(im, nodes[i], NULL, &items[i].uses));
        for (size_t k = 0; k < nodes[i]->n_outputs; k++) {
            const char *output = nodes[i]->outputs[k];
            bool added;
            void **slot = name_map_add(producers, output, &added);
            if (!slot)
                return onnx_no_memory(im);
            if (!added && *output)
                return onnx_node_error(im, nodes[i], STATUS_INVALID_MODEL, "its output '%s' is made twice", output);
            *slot = &items[i];
        }
    }
    return STATUS_OK;
}

/* The next node that must come before this one and has not come yet. */
static struct item *next_needed(struct item *item, const struct name_map *producers)
{
    while (item->next_use < item->uses.count) {
        void **slot = name_map_find(producers, item->uses.names[item->next_use++]);
        struct item *producer = slot ? *slot : NULL;
        if (producer && producer->state != VISITED)
            return producer;
    }
    return NULL;
}

/* Depth first, without recursion: the way back is in `caller`. */
static enum status visit(struct import *im, struct item *item, const struct name_map *producers,
                         const Onnx__Node ***end)
{
    while (item) {
        item->state = VISITING;
        struct item *needed = next_needed(item, producers);
        if (needed && needed->state == VISITING)
            return onnx_node_error(im, item->node, STATUS_INVALID_MODEL, "it depends on its own output, by way of '%s'",
                                   item->uses.names[item->next_use - 1]);
        if (needed) {
            needed->caller = item;
            item = needed;
            continue;
        }
        item->state = VISITED;
        *(*end)++ = item->node;
        item = item->caller;
    }
    return STATUS_OK;
}

enum status onnx_sort_nodes(struct import *im, size_t count, Onnx__Node *const *nodes, const Onnx__Node ***sorted)
{
    struct name_map producers = {.region = &im->scratch};
    struct item *items = region_array(&im->scratch, count, sizeof *items);
    const Onnx__Node **end = *sorted = region_array(&im->scratch, count, sizeof **sorted);
    if (!items || !end)
        return onnx_no_memory(im);
    TRY(list_items(im, count, nodes, items, &producers));
    for (size_t i = 0; i < count; i++)
        if (items[i].state == NOT_VISITED)
            TRY(visit(im, &items[i], &producers, &end));
    return STATUS_OK;
}
