#include "graph/resolve.h"

#include "graph/op.h"

#include <string.h>

struct work {
    struct resolution *result;
    const struct resolve_options *options;
    struct error *error;
    bool stopped;
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
                     work->result->graph->name);
}

static enum status leave_for_later(struct work *work, struct node *node)
{
    struct resolution *result = work->result;
    bool done = append(result->graph->region, &result->rest, &result->rest_count, &result->rest_capacity, node);
    return done ? STATUS_OK : no_memory(work);
}

static enum status keep(struct work *work, struct node *node)
{
    struct resolution *result = work->result;
    if (!append(result->graph->region, &result->kept, &result->kept_count, &result->kept_capacity, node))
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
        if (node->outputs[i] && !node->outputs[i]->data && !node->outputs[i]->list)
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

/* Those of a node that is inlined may be unknown: then what stands in its place is checked. */
static bool has_size(const struct value *value)
{
    bool known = value && value->rank >= 0;
    for (int i = 0; known && i < value->rank; i++)
        known = value->dims[i] >= 0;
    return known;
}

enum status check_results(const struct node *node, size_t limit, struct error *error)
{
    for (int i = 0; i < node->output_count; i++) {
        const struct value *output = node->outputs[i];
        if (has_size(output) && value_bytes(output) > limit)
            return error_set(error, STATUS_MEMORY_LIMIT,
                             "node '%s' (%s): its output %d takes %zu bytes, past the limit of %zu", node->name,
                             node->op->name, i, value_bytes(output), limit);
    }
    return STATUS_OK;
}

static enum status fold(struct work *work, struct node *node)
{
    const struct evaluator *evaluator = &work->options->evaluator;
    size_t *made = &work->result->constant_bytes, limit = work->options->constant_limit;
    TRY(check_results(node, limit, work->error));
    return evaluator->evaluate(evaluator->user, work->result->graph, node, limit > *made ? limit - *made : 0, made,
                               work->error);
}

/* --- lists ----------------------------------------------------------------------------------------------- */

/* A file of a few thousand nodes can ask for lists that grow with the square of that. */
#define MOST_LIST_ENTRIES ((size_t)1 << 22)

static const char *list_name(const struct value_list *list)
{
    return list->optional ? "an optional" : "a sequence";
}

static enum status refuse_lists(const struct work *work, const struct node *node)
{
    for (int i = 0; i < node->input_count && !(node->op->flags & OP_TAKES_SEQUENCES); i++)
        if (node->inputs[i] && node->inputs[i]->list)
            return error_set(work->error, STATUS_UNSUPPORTED,
                             "node '%s' (%s): input %d '%s' is %s, which it cannot take", node->name, node->op->name, i,
                             node->inputs[i]->name, list_name(node->inputs[i]->list));
    return STATUS_OK;
}

static enum status count_lists(struct work *work, const struct node *node)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && node->outputs[i]->list)
            work->result->list_entries += (size_t)node->outputs[i]->list->count + 1;
    if (work->result->list_entries <= MOST_LIST_ENTRIES)
        return STATUS_OK;
    return error_set(work->error, STATUS_UNSUPPORTED,
                     "node '%s' (%s): the sequences of the graph have more than %zu entries together", node->name,
                     node->op->name, MOST_LIST_ENTRIES);
}

/* Appends nodes that make the value's list, and those within it, to `rest`. */
static enum status spell_list(struct op_context *c, struct value *value)
{
    const struct value_list *list = value->list;
    const struct attribute dtype = ATTRIBUTE_I("dtype", list->dtype == DTYPE_NONE ? DTYPE_F32 : list->dtype);
    const char *name = list->optional ? "Optional" : list->count ? "SequenceConstruct" : "SequenceEmpty";
    value->list = NULL;
    for (int i = 0; i < list->count; i++)
        if (list->values[i]->list)
            TRY(spell_list(c, list->values[i]));
    return op_build_many(c, "", name, list->count, list->values, 1, &value, !list->count && !list->optional, &dtype);
}

/* Lists do not outlive a resolution: in front of each node of the rest comes what makes the lists that it reads. */
static enum status spell_lists(struct work *work)
{
    struct resolution *result = work->result;
    struct node **rest = result->rest;
    int count = result->rest_count;
    result->rest = NULL;
    result->rest_count = result->rest_capacity = 0;
    for (int i = 0; i < count; i++) {
        struct op_context c = {.graph = result->graph, .node = rest[i], .error = work->error};
        c.expansion = graph_create(result->graph->region, "");
        if (!c.expansion)
            return no_memory(work);
        for (int k = 0; k < rest[i]->input_count; k++)
            if (rest[i]->inputs[k] && rest[i]->inputs[k]->list)
                TRY(spell_list(&c, rest[i]->inputs[k]));
        for (int k = 0; k < c.expansion->node_count; k++)
            TRY(leave_for_later(work, c.expansion->nodes[k]));
        TRY(leave_for_later(work, rest[i]));
    }
    return STATUS_OK;
}

static enum status check_outputs(const struct work *work)
{
    const struct graph *graph = work->result->graph;
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i]->list)
            return error_set(work->error, STATUS_UNSUPPORTED,
                             "output %d '%s' of graph '%s' is %s, which cannot leave it", i, graph->outputs[i]->name,
                             graph->name, list_name(graph->outputs[i]->list));
    return STATUS_OK;
}

/* --- nodes ----------------------------------------------------------------------------------------------- */

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

static enum status begin_expansion(struct work *work, struct op_context *c)
{
    c->expansion = graph_create(work->result->graph->region, "");
    if (!c->expansion)
        return no_memory(work);
    return check_results(c->node, work->options->constant_limit, work->error);
}

static enum status replace(struct work *work, struct op_context *c)
{
    TRY(begin_expansion(work, c));
    TRY(c->node->op->expand(c));
    TRY(count_lists(work, c->node));
    return process_all(work, c->expansion->nodes, c->expansion->node_count);
}

/* A node whose dimensions only the run tells is lowered with its casts instead: those behind it could not be resolved.
 */
static bool to_be_widened(const struct work *work, const struct node *node)
{
    bool known = true;
    for (int i = 0; i < node->output_count; i++)
        known = known && !(node->outputs[i] && node->outputs[i]->dims_at_run);
    return work->options->half_as_f32 && known && op_needs_f32(node);
}

static enum status widen(struct work *work, struct op_context *c)
{
    TRY(begin_expansion(work, c));
    TRY(op_expand_as_f32(c));
    for (int i = 0; i < c->expansion->node_count; i++) {
        struct node *node = c->expansion->nodes[i];
        TRY(node->op == c->node->op ? keep(work, node) : process(work, node));
    }
    return STATUS_OK;
}

static enum status process(struct work *work, struct node *node)
{
    struct op_context c = {.graph = work->result->graph, .node = node, .error = work->error};
    TRY(interrupt_check(work->options->interrupt, work->error));
    TRY(node_check_operands(node, work->error));
    TRY(refuse_lists(work, node));
    enum status status = node->op->shapes(&c);
    if (status == STATUS_NEEDS_VALUE) {
        work->result->needed = work->result->graph->values[c.needed->id];
        work->stopped = true;
        return leave_for_later(work, node);
    }
    if (status != STATUS_OK)
        return status;
    if (outputs_known(node))
        return count_lists(work, node);
    if (node->op->expand)
        return replace(work, &c);
    if (foldable(node))
        return fold(work, node);
    return to_be_widened(work, node) ? widen(work, &c) : keep(work, node);
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

unsigned char *resolution_needs(const struct resolution *resolution)
{
    const struct graph *graph = resolution->graph;
    unsigned char *live = region_allocate(graph->region, (size_t)graph->value_count);
    for (int i = 0; live && i < graph->output_count; i++)
        live[graph->outputs[i]->id] = 1;
    for (int i = 0; live && i < resolution->rest_count; i++)
        for (int k = 0; k < resolution->rest[i]->input_count; k++)
            if (resolution->rest[i]->inputs[k])
                live[resolution->rest[i]->inputs[k]->id] = 1;
    if (live && resolution->needed)
        live[resolution->needed->id] = 1;
    return live;
}

enum status resolution_drop_dead(struct resolution *resolution, struct error *error)
{
    unsigned char *live = resolution_needs(resolution);
    if (!live)
        return no_memory(&(struct work){.result = resolution, .error = error});
    if (resolution->kept_count == 0)
        return STATUS_OK;
    int dead = live_nodes(resolution->kept, resolution->kept_count, live);
    resolution->kept += dead;
    resolution->kept_count -= dead;
    resolution->kept_capacity -= dead;
    return STATUS_OK;
}

enum status resolve(struct resolution *resolution, const struct resolve_options *options, struct node *const *nodes,
                    int count, struct error *error)
{
    struct work work = {.result = resolution, .options = options, .error = error};
    TRY(process_all(&work, nodes, count));
    TRY(check_outputs(&work));
    return spell_lists(&work);
}

static bool is_widening(const struct node *node, int64_t least)
{
    bool widens =
        is_op(node, "DequantizeLinear") || (is_op(node, "Cast") && dtype_is_float((enum dtype)node_int(node, "to")));
    const struct value *x = widens ? node->inputs[0] : NULL;
    return x && x->data && dtype_bits(x->dtype) <= 8 && x->dtype != DTYPE_BOOL && value_elements(x) >= least;
}

enum status fold_constants(struct graph *graph, const struct resolve_options *options, int64_t least_narrow,
                           size_t *bytes, struct error *error)
{
    struct resolution result = {.graph = graph};
    struct work work = {.result = &result, .options = options, .error = error};
    int count = graph->node_count;
    for (int i = 0; i < count; i++) {
        struct node *node = graph->nodes[i];
        bool folds = foldable(node) && !(node->op->flags & OP_MAKES_SEQUENCES) && !is_widening(node, least_narrow);
        TRY(folds ? process(&work, node) : keep(&work, node));
        /* What stops a resolution (dimensions that only a run tells) does not stop this pass; an expansion that was cut
         * short by it stays as nodes. */
        work.stopped = false;
        for (int r = 0; r < result.rest_count; r++)
            TRY(keep(&work, result.rest[r]));
        result.rest_count = 0;
        work.stopped = false;
    }
    graph->nodes = result.kept;
    graph->node_count = result.kept_count;
    graph->node_capacity = result.kept_capacity;
    *bytes += result.constant_bytes;
    return STATUS_OK;
}
