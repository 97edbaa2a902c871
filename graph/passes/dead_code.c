#include "graph/passes/passes.h"

/* Drops the nodes whose results nobody reads, from the last to the first. */
enum status eliminate_dead_code(struct graph *graph, struct pass_context *context, struct error *error)
{
    unsigned char *live = region_allocate(&context->scratch, (size_t)graph->value_count);
    if (!live)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    for (int i = 0; i < graph->value_count; i++)
        live[i] = pass_pins(context, graph->values[i]);
    if (graph->node_count == 0)
        return STATUS_OK;
    int kept = live_nodes(graph->nodes, graph->node_count, live);
    graph->nodes += kept;
    graph->node_count -= kept;
    graph->node_capacity -= kept;
    return STATUS_OK;
}
