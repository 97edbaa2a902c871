#include "runtime/compile/specialise.h"

#include "graph/op.h"
#include "graph/passes/passes.h"
#include "graph/steps/liveness.h"

#include <string.h>

struct work {
    struct segment *segment;
    const struct specialise_options *options;
    struct error *error;
    bool stopped;
    int rest_capacity, kept_capacity;
};

static bool append(struct region *region, struct node ***list, int *count, int *capacity, struct node *node)
{
    if (*count == *capacity) {
        int larger = *capacity ? *capacity * 2 : 64;
        struct node **array = region_array(region, (size_t)larger, sizeof *array);
        if (!array)
            return false;
        if (*count)
            memcpy(array, *list, (size_t)*count * sizeof *array);
        *list = array;
        *capacity = larger;
    }
    (*list)[(*count)++] = node;
    return true;
}

static enum status no_memory(struct work *work)
{
    return error_set(work->error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'",
                     work->segment->graph->name);
}

static enum status leave_for_later(struct work *work, struct node *node)
{
    struct segment *segment = work->segment;
    bool done = append(segment->graph->region, &segment->rest, &segment->rest_count, &work->rest_capacity, node);
    return done ? STATUS_OK : no_memory(work);
}

static enum status keep(struct work *work, struct node *node)
{
    struct segment *segment = work->segment;
    if (!append(segment->graph->region, &segment->kept, &segment->kept_count, &work->kept_capacity, node))
        return no_memory(work);
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && node->outputs[i]->dims_at_run)
            work->stopped = true;
    return STATUS_OK;
}

static bool all_constant(const struct node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !node->inputs[i]->data)
            return false;
    return true;
}

static bool outputs_known(const struct node *node)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && !node->outputs[i]->data)
            return false;
    return true;
}

static bool has_subgraph(const struct node *node)
{
    for (int i = 0; i < node->attribute_count; i++)
        if (node->attributes[i].kind == ATTRIBUTE_GRAPH)
            return true;
    return false;
}

static bool foldable(const struct node *node)
{
    return !(node->op->flags & OP_RANDOM) && !has_subgraph(node) && all_constant(node);
}

static enum status fold(struct work *work, struct node *node)
{
    size_t bytes = work->segment->constant_bytes;
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && !add_size(bytes, value_bytes(node->outputs[i]), &bytes))
            bytes = SIZE_MAX;
    if (bytes > work->options->constant_limit)
        return error_set(work->error, STATUS_MEMORY_LIMIT,
                         "node '%s' (%s): its constant result brings the constants to %zu bytes, past the limit of %zu",
                         node->name, node->op->name, bytes, work->options->constant_limit);
    return evaluate_node(work->segment->graph, node, work->options->isa, work->options->constant_limit - bytes,
                         &work->segment->constant_bytes, work->error);
}

static enum status process(struct work *work, struct node *node);

static enum status process_all(struct work *work, struct node *const *nodes, int count)
{
    for (int i = 0; i < count; i++) {
        enum status status = work->stopped ? leave_for_later(work, nodes[i]) : process(work, nodes[i]);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Lowering and expanding make tables as long as the dimensions of the results, so those must fit before. */
static enum status check_results(const struct node *node, const struct specialise_options *options, struct error *error)
{
    for (int i = 0; i < node->output_count; i++) {
        const struct value *output = node->outputs[i];
        if (output && output->rank >= 0 && value_bytes(output) > options->constant_limit)
            return error_set(error, STATUS_MEMORY_LIMIT,
                             "node '%s' (%s): its output %d takes %zu bytes, past the limit of %zu", node->name,
                             node->op->name, i, value_bytes(output), options->constant_limit);
    }
    return STATUS_OK;
}

static enum status replace(struct work *work, struct op_context *c)
{
    struct graph *graph = work->segment->graph;
    c->expansion = graph_create(graph->region, "");
    if (!c->expansion)
        return no_memory(work);
    TRY(check_results(c->node, work->options, work->error));
    TRY(c->node->op->expand(c));
    return process_all(work, c->expansion->nodes, c->expansion->node_count);
}

static enum status process(struct work *work, struct node *node)
{
    struct op_context c = {.graph = work->segment->graph, .node = node, .error = work->error};
    enum status status = node->op->shapes(&c);
    if (status == STATUS_NEEDS_VALUE) {
        work->segment->needed = work->segment->graph->values[c.needed->id];
        work->stopped = true;
        return leave_for_later(work, node);
    }
    if (status != STATUS_OK || outputs_known(node))
        return status;
    if (node->op->expand)
        return replace(work, &c);
    return foldable(node) ? fold(work, node) : keep(work, node);
}

int live_nodes(struct node **nodes, int count, unsigned char *live)
{
    int kept = count;
    for (int i = count - 1; i >= 0; i--) {
        struct node *node = nodes[i];
        bool used = false;
        for (int k = 0; k < node->output_count; k++)
            used = used || (node->outputs[k] && live[node->outputs[k]->id]);
        if (!used)
            continue;
        for (int k = 0; k < node->input_count; k++)
            if (node->inputs[k])
                live[node->inputs[k]->id] = 1;
        nodes[--kept] = node;
    }
    return kept;
}

/* Marks what the outputs and the rest read; NULL: no memory. */
static unsigned char *mark_live(const struct segment *segment)
{
    const struct graph *graph = segment->graph;
    unsigned char *live = region_allocate(graph->region, (size_t)graph->value_count + 1);
    for (int i = 0; live && i < graph->output_count; i++)
        live[graph->outputs[i]->id] = 1;
    for (int i = 0; live && i < segment->rest_count; i++)
        for (int k = 0; k < segment->rest[i]->input_count; k++)
            if (segment->rest[i]->inputs[k])
                live[segment->rest[i]->inputs[k]->id] = 1;
    if (live && segment->needed)
        live[segment->needed->id] = 1;
    return live;
}

/* Drops kept nodes whose results neither the outputs nor the rest reads. */
static enum status drop_dead(struct work *work)
{
    struct segment *segment = work->segment;
    unsigned char *live = mark_live(segment);
    if (!live)
        return no_memory(work);
    if (segment->kept_count == 0)
        return STATUS_OK;
    int kept = live_nodes(segment->kept, segment->kept_count, live);
    segment->kept += kept;
    segment->kept_count -= kept;
    return STATUS_OK;
}

/* Runs the passes over the kept nodes. What they put in may be composite or constant: it is taken as any node is. */
static enum status run_shaped_passes(struct work *work)
{
    struct segment *segment = work->segment;
    struct graph *graph = segment->graph;
    const unsigned char *live = mark_live(segment);
    if (!live)
        return no_memory(work);
    struct pass_context context = {.options = *work->options, .shaped = true};
    context.options.constant_limit -= segment->constant_bytes;
    graph->nodes = segment->kept;
    graph->node_count = segment->kept_count;
    graph->node_capacity = work->kept_capacity;
    TRY(run_passes(graph, &context, live, work->error));
    segment->constant_bytes += context.constant_bytes;
    segment->kept = graph->nodes;
    segment->kept_count = graph->node_count;
    work->kept_capacity = graph->node_capacity;
    if (!context.changed)
        return STATUS_OK;
    segment->kept = NULL;
    segment->kept_count = work->kept_capacity = 0;
    work->stopped = false;
    TRY(process_all(work, graph->nodes, graph->node_count));
    return drop_dead(work);
}

static enum status make_steps(struct work *work)
{
    struct segment *segment = work->segment;
    const struct specialise_options *options = work->options;
    for (int i = 0; i < segment->kept_count; i++) {
        TRY(check_results(segment->kept[i], options, work->error));
        TRY(lower_node(segment->graph, segment->kept[i], options->isa, &segment->steps, work->error));
    }
    if (options->fuse) {
        TRY(fold_steps(segment, options, work->error));
        TRY(fuse_pointwise(segment, options->isa, work->error));
        TRY(fuse_epilogues(segment, options->isa, work->error));
        TRY(absorb_copies(segment, options->isa, work->error));
        TRY(choose_layouts(segment, options, work->error));
    }
    for (int i = 0; i < segment->steps.count; i++)
        step_finish(segment->steps.steps[i]);
    return options->fuse ? schedule_steps(segment, options->threads, work->error) : STATUS_OK;
}

/* Moves the steps to the graph's region. Lowering and the passes make several times as many, which nobody needs any
 * more: a session keeps a program for each shape it has seen. */
static enum status keep_steps(struct work *work)
{
    struct step_list *steps = &work->segment->steps;
    struct region *region = work->segment->graph->region;
    struct step **kept = region_array(region, (size_t)steps->count + 1, sizeof *kept);
    if (!kept)
        return no_memory(work);
    for (int i = 0; i < steps->count; i++) {
        kept[i] = step_copy(steps->steps[i], region);
        if (!kept[i])
            return no_memory(work);
    }
    *steps = (struct step_list){.region = region, .steps = kept, .count = steps->count, .capacity = steps->count + 1};
    return STATUS_OK;
}

static enum status specialise_as_told(struct graph *graph, const struct specialise_options *options,
                                      struct segment *segment, struct error *error)
{
    *segment = (struct segment){.graph = graph, .steps = {.region = graph->region}};
    struct work work = {.segment = segment, .options = options, .error = error};
    TRY(process_all(&work, graph->nodes, graph->node_count));
    TRY(drop_dead(&work));
    if (options->fuse && segment->kept_count > 0)
        TRY(run_shaped_passes(&work));
    struct region scratch;
    region_init(&scratch, graph->region->allocator);
    segment->steps.region = &scratch;
    enum status status = make_steps(&work);
    if (status == STATUS_OK)
        status = keep_steps(&work);
    region_free(&scratch);
    return status;
}

/* The peak of a program that is thrown away. */
static enum status measure_peak(const struct graph *graph, struct specialise_options options, bool memory_saving,
                                size_t *peak, struct error *error)
{
    struct region scratch;
    struct segment segment;
    options.memory_saving = memory_saving;
    options.observer = NULL;
    region_init(&scratch, graph->region->allocator);
    struct graph *copy = graph_clone(graph, &scratch);
    enum status status =
        copy ? specialise_as_told(copy, &options, &segment, error)
             : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'", graph->name);
    if (status == STATUS_OK)
        *peak = segment_peak(&segment, options.threads);
    region_free(&scratch);
    return status;
}

/* The pass that cuts strips goes by a model of what fusion will do; whether that paid is seen when it is done. */
static enum status check_saving(const struct graph *graph, struct specialise_options *options, struct error *error)
{
    size_t whole = 0, strips = 0;
    TRY(measure_peak(graph, *options, false, &whole, error));
    TRY(measure_peak(graph, *options, true, &strips, error));
    options->memory_saving = (double)strips <= (1 - STRIPS_LEAST_GAIN) * (double)whole;
    return STATUS_OK;
}

enum status specialise(struct graph *graph, const struct specialise_options *options, struct segment *segment,
                       struct error *error)
{
    struct specialise_options chosen = *options;
    if (chosen.memory_saving && chosen.fuse)
        TRY(check_saving(graph, &chosen, error));
    return specialise_as_told(graph, &chosen, segment, error);
}

enum status fold_constants(struct graph *graph, const struct specialise_options *options, size_t *bytes,
                           struct error *error)
{
    struct segment segment = {.graph = graph, .steps = {.region = graph->region}};
    struct work work = {.segment = &segment, .options = options, .error = error};
    int count = graph->node_count;
    for (int i = 0; i < count; i++) {
        struct node *node = graph->nodes[i];
        TRY(foldable(node) ? process(&work, node) : keep(&work, node));
        /* What stops a segment (dimensions that only a run tells) does not stop this pass; an expansion that was cut
         * short by it stays as nodes. */
        work.stopped = false;
        for (int r = 0; r < segment.rest_count; r++)
            TRY(keep(&work, segment.rest[r]));
        segment.rest_count = 0;
        work.stopped = false;
    }
    graph->nodes = segment.kept;
    graph->node_count = segment.kept_count;
    graph->node_capacity = work.kept_capacity;
    *bytes += segment.constant_bytes;
    return STATUS_OK;
}
