/* Where intermediates are far larger than what goes in and comes out, a region of the graph is made in strips of rows,
 * each from its start to its end, so that no intermediate is ever there as a whole. Rows at the seams, which windows of
 * two strips see, are made twice. The idea is that of patch-based inference in MCUNetV2 (arXiv 2110.15352). */
#include "graph/passes/rewrite.h"
#include "graph/passes/strips_plan.h"

struct cutting {
    const struct strip_plan *plan;
    struct graph *graph;
    struct graph *result; /* receives the nodes */
    struct error *error;
    struct sweep sweep;
    struct value **made;     /* by value id: what stands for it in the strip at hand */
    struct value ***parts;   /* by position in the region: the parts of a result */
    const struct node *node; /* the one that new nodes come from */
};

static enum status no_memory(const struct cutting *c)
{
    return error_set(c->error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", c->graph->name);
}

static struct op_context context_of(struct cutting *c)
{
    return (struct op_context){
        .graph = c->graph, .node = (struct node *)(uintptr_t)c->node, .error = c->error, .expansion = c->result};
}

/* A node in the place of the one at hand; NULL: no memory. */
static struct value *add_node(struct cutting *c, const struct op *op, int version, int input_count,
                              struct value *const *inputs, struct value *output, int attribute_count,
                              const struct attribute *attributes)
{
    struct value *result = output ? output : graph_add_value(c->graph, "", DTYPE_NONE, -1, NULL);
    struct node *node = result ? graph_add_node(c->result, op, version, c->node->name, input_count, inputs, 1, &result,
                                                attribute_count, attributes)
                               : NULL;
    if (!node)
        return NULL;
    node->sources = c->node->sources;
    node->source_count = c->node->source_count;
    return result;
}

/* Rows of a value that has rows `have`. */
static struct value *slice(struct cutting *c, struct value *value, struct rows have, struct rows wanted)
{
    struct op_context context = context_of(c);
    if (have.first == wanted.first && have.end == wanted.end)
        return value;
    struct value *inputs[4] = {value, op_constant_ints(&context, 1, (int64_t[]){wanted.first - have.first}),
                               op_constant_ints(&context, 1, (int64_t[]){wanted.end - have.first}),
                               op_constant_ints(&context, 1, (int64_t[]){ROW_AXIS})};
    return inputs[1] && inputs[2] && inputs[3]
               ? add_node(c, op_find("", "Slice"), NEWEST_OPSET, 4, inputs, NULL, 0, NULL)
               : NULL;
}

/* --- one strip ------------------------------------------------------------------------------------------- */

/* Rows `needed` of an input, from inside the region or outside. */
static struct value *read_rows(struct cutting *c, struct value *input, struct rows needed, int position, int strip)
{
    const struct stages *stages = c->plan->stages;
    int maker = stages->makers[input->id];
    int at = maker >= 0 ? c->plan->order->positions[maker] : -1;
    if (at == position)
        return c->made[input->id];
    if (at < c->sweep.begin)
        return slice(c, input, (struct rows){0, input->dims[ROW_AXIS]}, needed);
    return slice(c, c->made[input->id], *sweep_rows(&c->sweep, at, strip), needed);
}

static struct value *scales_of(struct cutting *c, const struct rows_map *map, int rank)
{
    struct op_context context = context_of(c);
    float scales[MAX_RANK];
    for (int i = 0; i < rank; i++)
        scales[i] = (float)map->factors[i];
    return op_constant(&context, DTYPE_F32, 1, (int64_t[]){rank}, scales);
}

static enum status make_node_rows(struct cutting *c, struct node *node, const struct stage *stage, int position,
                                  int strip)
{
    static const struct rows_map same = {.kind = ROWS_SAME};
    const struct rows_map *map = node == stage->head ? &stage->map : &same;
    struct rows made = *sweep_rows(&c->sweep, position, strip), needed;
    rows_needed(map, made, &needed);
    c->node = node;
    int count, input_count = map->kind == ROWS_REPEAT ? 3 : node->input_count;
    const struct attribute *attributes = rows_attributes(c->graph, node, map, made, &count);
    struct value **inputs = region_array(c->graph->region, (size_t)input_count, sizeof *inputs);
    if (!attributes || !inputs)
        return no_memory(c);
    for (int i = 0; i < node->input_count && i < input_count; i++) {
        bool part = rows_reads_part(node, i);
        inputs[i] = part ? read_rows(c, node->inputs[i], needed, position, strip) : node->inputs[i];
        if (node->inputs[i] && !inputs[i])
            return no_memory(c);
    }
    const struct op *op = node->op;
    int version = node->version;
    if (map->kind == ROWS_REPEAT) {
        op = op_find("", "Resize");
        version = NEWEST_OPSET;
        inputs[1] = NULL;
        inputs[2] = scales_of(c, map, node->outputs[0]->rank);
        if (!inputs[2])
            return no_memory(c);
    }
    struct value *output = add_node(c, op, version, input_count, inputs, NULL, count, attributes);
    c->made[node->outputs[0]->id] = output;
    return output ? STATUS_OK : no_memory(c);
}

/* Keeps the strip's part of a result. */
static enum status keep_part(struct cutting *c, const struct stage *stage, int position, int strip)
{
    if (!is_result(&c->sweep, stage->output))
        return STATUS_OK;
    struct rows part = strip_part(stage->rows, c->sweep.strips, strip);
    struct value *value = slice(c, c->made[stage->output->id], *sweep_rows(&c->sweep, position, strip), part);
    c->parts[position - c->sweep.begin][strip] = value;
    return value ? STATUS_OK : no_memory(c);
}

static enum status make_strip(struct cutting *c, int strip)
{
    for (int p = c->sweep.begin; p < c->sweep.end; p++) {
        const struct stage *stage = &c->plan->stages->list[c->plan->order->stages[p]];
        for (int n = 0; n < stage->node_count; n++)
            TRY(make_node_rows(c, stage->nodes[n], stage, p, strip));
        TRY(keep_part(c, stage, p, strip));
    }
    return STATUS_OK;
}

/* --- regions --------------------------------------------------------------------------------------------- */

static enum status join_parts(struct cutting *c)
{
    struct attribute *axis = region_array(c->graph->region, 1, sizeof *axis);
    if (!axis)
        return no_memory(c);
    *axis = ATTRIBUTE_I("axis", ROW_AXIS);
    for (int p = c->sweep.begin; p < c->sweep.end; p++) {
        const struct stage *stage = &c->plan->stages->list[c->plan->order->stages[p]];
        c->node = stage->nodes[stage->node_count - 1];
        if (is_result(&c->sweep, stage->output) && !add_node(c, op_find("", "Concat"), NEWEST_OPSET, c->sweep.strips,
                                                             c->parts[p - c->sweep.begin], stage->output, 1, axis))
            return no_memory(c);
    }
    return STATUS_OK;
}

static enum status cut_region(struct cutting *c, const struct strip_region *region)
{
    sweep_begin(&c->sweep, region->end, region->strips);
    while (c->sweep.begin > region->begin && sweep_add(&c->sweep))
        continue;
    size_t length = (size_t)(region->end - region->begin);
    c->parts = region_array(c->plan->stages->region, length, sizeof *c->parts);
    for (size_t i = 0; c->parts && i < length; i++) {
        c->parts[i] = region_array(c->plan->stages->region, (size_t)region->strips, sizeof **c->parts);
        if (!c->parts[i])
            return no_memory(c);
    }
    if (!c->parts)
        return no_memory(c);
    for (int s = 0; s < region->strips; s++)
        TRY(make_strip(c, s));
    return join_parts(c);
}

static enum status copy_stage(struct cutting *c, int position)
{
    const struct stage *stage = &c->plan->stages->list[c->plan->order->stages[position]];
    for (int n = 0; n < stage->node_count; n++)
        if (!graph_append_node(c->result, stage->nodes[n]))
            return no_memory(c);
    return STATUS_OK;
}

static enum status cut(struct graph *graph, const struct strip_plan *plan, struct error *error)
{
    struct cutting c = {.plan = plan, .graph = graph, .error = error, .result = graph_create(graph->region, "")};
    c.made = region_array(plan->stages->region, (size_t)graph->value_count, sizeof *c.made);
    int position = 0, longest = 0;
    for (int i = 0; i < plan->region_count; i++) {
        int length = plan->regions[i].end - plan->regions[i].begin;
        longest = length > longest ? length : longest;
    }
    if (!c.result || !c.made || !sweep_create(&c.sweep, plan->stages, plan->order, longest))
        return no_memory(&c);
    for (int i = 0; i < plan->region_count; i++) {
        while (position < plan->regions[i].begin)
            TRY(copy_stage(&c, position++));
        TRY(cut_region(&c, &plan->regions[i]));
        position = plan->regions[i].end;
    }
    while (position < plan->stages->count)
        TRY(copy_stage(&c, position++));
    graph->nodes = c.result->nodes;
    graph->node_count = c.result->node_count;
    graph->node_capacity = c.result->node_capacity;
    return STATUS_OK;
}

enum status cut_strips(struct graph *graph, struct pass_context *context, struct error *error)
{
    struct region scratch;
    struct strip_plan plan;
    if (!context->memory_saving && !strip_plan_has_far(graph, context->strip_threads))
        return STATUS_OK;
    region_init(&scratch, graph->region->allocator);
    const struct stages *stages = stages_of(graph, context, &scratch);
    enum status status = STATUS_OK;
    if (!stages || !(context->memory_saving ? strip_plan_make(stages, &plan)
                                            : strip_plan_make_near(stages, context->strip_threads, &plan)))
        status = error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    else if (plan.region_count > 0) {
        context->changed = true;
        status = cut(graph, &plan, error);
    }
    region_free(&scratch);
    return status;
}
