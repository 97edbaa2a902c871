#include "graph/op.h"

struct mapping {
    struct value **to; /* by id in the body */
    struct graph *values;
    struct error *error;
};

static enum status no_memory(struct mapping *map)
{
    return error_set(map->error, STATUS_OUT_OF_MEMORY, "out of memory while inlining a subgraph");
}

/* The new value for one of the body; made on first sight. */
static struct value *mapped(struct mapping *map, const struct value *value)
{
    struct value **to = &map->to[value->id];
    if (!*to) {
        *to = graph_add_value(map->values, "", value->dtype, value->rank, value->dims);
        if (*to) {
            (*to)->name = value->name;
            (*to)->data = value->data;
            (*to)->bytes = value->bytes;
        }
    }
    return *to;
}

static enum status inline_node(struct mapping *map, const struct node *node, struct graph *target)
{
    struct region *region = target->region;
    struct node *copy = region_allocate(region, sizeof *copy);
    if (!copy)
        return no_memory(map);
    *copy = *node;
    copy->inputs = region_array(region, (size_t)node->input_count, sizeof *copy->inputs);
    copy->outputs = region_array(region, (size_t)node->output_count, sizeof *copy->outputs);
    if (!copy->inputs || !copy->outputs)
        return no_memory(map);
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !(copy->inputs[i] = mapped(map, node->inputs[i])))
            return no_memory(map);
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && !(copy->outputs[i] = mapped(map, node->outputs[i])))
            return no_memory(map);
    return graph_append_node(target, copy) ? STATUS_OK : no_memory(map);
}

enum status inline_graph(const struct graph *body, struct graph *values, struct graph *target,
                         struct value *const *inputs, struct value *const *outputs, struct error *error)
{
    struct mapping map = {.values = values, .error = error};
    map.to = region_array(target->region, (size_t)body->value_count, sizeof *map.to);
    if (!map.to)
        return no_memory(&map);
    for (int i = 0; i < body->input_count; i++)
        map.to[body->inputs[i]->id] = inputs[i];
    for (int i = 0; i < body->output_count; i++) {
        const struct value *output = body->outputs[i];
        if (!output->data && !map.to[output->id])
            map.to[output->id] = outputs[i];
    }
    for (int i = 0; i < body->node_count; i++)
        TRY(inline_node(&map, body->nodes[i], target));
    for (int i = 0; i < body->output_count; i++) {
        struct value *made = mapped(&map, body->outputs[i]);
        if (!made)
            return no_memory(&map);
        if (!outputs[i] || made == outputs[i])
            continue;
        if (!graph_add_node(target, op_find("", "Identity"), NEWEST_OPSET, body->name, 1, &made, 1, &outputs[i], 0,
                            NULL))
            return no_memory(&map);
    }
    return STATUS_OK;
}
