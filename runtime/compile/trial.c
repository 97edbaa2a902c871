#include "runtime/compile/trial.h"

#include "graph/op.h"
#include "runtime/compile/specialise.h"

#include <string.h>

/* Large enough for a few convolutions and poolings to leave something. */
#define TRIED_SIZE 64

enum inputs { SHAPES_FIXED, SHAPES_TRIED, SHAPES_UNKNOWN };

static enum inputs give_shapes(struct graph *graph)
{
    enum inputs given = SHAPES_FIXED;
    for (int i = 0; i < graph->input_count; i++) {
        struct value *input = graph->inputs[i];
        if (input->dtype == DTYPE_NONE || input->rank < 0)
            return SHAPES_UNKNOWN;
        for (int k = 0; k < input->rank; k++)
            if (input->dims[k] < 0) {
                input->dims[k] = TRIED_SIZE;
                given = SHAPES_TRIED;
            }
    }
    return given;
}

/* Which branch is taken may depend on sizes. */
static bool branches(const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i]->op->name, "If") == 0)
            return true;
    return false;
}

/* Passes drop what nobody reads before they look at it. */
static bool drop_unread(struct graph *graph)
{
    unsigned char *live = region_allocate(graph->region, (size_t)graph->value_count);
    if (!live)
        return false;
    for (int i = 0; i < graph->output_count; i++)
        live[graph->outputs[i]->id] = 1;
    int unread = live_nodes(graph->nodes, graph->node_count, live);
    graph->nodes += unread;
    graph->node_count -= unread;
    graph->node_capacity -= unread;
    return true;
}

static bool depends_on_the_machine(enum status status)
{
    return status == STATUS_OUT_OF_MEMORY || status == STATUS_MEMORY_LIMIT;
}

static enum status try_copy(const struct graph *graph, struct region *region, struct error *error)
{
    const struct specialise_options options = {.facts = {.threads = 1}, .constant_limit = SIZE_MAX};
    struct segment segment;
    struct error found = {0};
    struct graph *copy = graph_clone(graph, region);
    if (!copy)
        return STATUS_OK;
    enum inputs given = give_shapes(copy);
    if (given == SHAPES_UNKNOWN || (given == SHAPES_TRIED && branches(graph)) || !drop_unread(copy))
        return STATUS_OK;
    enum status status = specialise(copy, &options, &segment, &found);
    if (status == STATUS_OK || depends_on_the_machine(status) || (given == SHAPES_TRIED && !found.of_types))
        return STATUS_OK;
    return error_set(error, status, "%s", found.text);
}

enum status try_graph(const struct graph *graph, const struct allocator *allocator, struct error *error)
{
    struct region region;
    region_init(&region, allocator);
    enum status status = try_copy(graph, &region, error);
    region_free(&region);
    return status;
}
