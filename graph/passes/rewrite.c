#include "graph/passes/rewrite.h"

static enum status no_memory(struct rewriter *r)
{
    return error_set(r->c.error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", r->c.graph->name);
}

/* --- looking --------------------------------------------------------------------------------------------- */

struct node *rewrite_maker(const struct rewriter *r, const struct value *value, const char *name)
{
    struct node *maker = value && !value->data && value->id < r->capacity ? r->makers[value->id] : NULL;
    return is_op(maker, name) ? maker : NULL;
}

bool rewrite_sole(const struct rewriter *r, const struct value *value)
{
    return value->id < r->capacity && r->readers[value->id] == 1;
}

bool rewrite_is_read(const struct rewriter *r, const struct value *value)
{
    return value->id >= r->capacity || r->readers[value->id] > 0;
}

struct node *rewrite_sole_maker(const struct rewriter *r, const struct value *value, const char *name)
{
    struct node *maker = rewrite_maker(r, value, name);
    return maker && rewrite_sole(r, value) ? maker : NULL;
}

bool rewrite_scalar(const struct value *value, double *number)
{
    return value && value->data && value->rank >= 0 && value_elements(value) == 1 && value_number_at(value, 0, number);
}

struct value *rewrite_other_input(const struct node *node, const struct value *other)
{
    if (node->input_count != 2 || node->inputs[0] == node->inputs[1])
        return NULL;
    return node->inputs[0] == other ? node->inputs[1] : node->inputs[1] == other ? node->inputs[0] : NULL;
}

bool rewrite_is_sure(const struct rewriter *r, const struct value *value)
{
    return r->context->shaped || value->data || value->id >= r->capacity || !r->makers[value->id];
}

enum dtype rewrite_dtype(const struct rewriter *r, const struct value *value)
{
    return rewrite_is_sure(r, value) ? value->dtype : DTYPE_NONE;
}

/* Values looked at for one shape: graphs may fan out. */
#define MOST_LOOKS 32

static bool known_shape(const struct rewriter *r, const struct value *value, int *looks, int *rank, int64_t *dims);

/* The broadcast of all inputs; a dimension is known where an input has it and it is not 1, or where all are 1. */
static bool broadcast_shape(const struct rewriter *r, const struct node *node, int *looks, int *rank, int64_t *dims)
{
    int ranks[4];
    int64_t all[4][MAX_RANK];
    if (node->input_count > 4)
        return false;
    *rank = 0;
    for (int i = 0; i < node->input_count; i++) {
        ranks[i] = 0;
        if (node->inputs[i] && !known_shape(r, node->inputs[i], looks, &ranks[i], all[i]))
            return false;
        *rank = ranks[i] > *rank ? ranks[i] : *rank;
    }
    for (int axis = 0; axis < *rank; axis++) {
        dims[axis] = 1;
        for (int i = 0; i < node->input_count; i++) {
            int own = axis - (*rank - ranks[i]);
            int64_t dim = own < 0 ? 1 : all[i][own];
            dims[axis] = dim > 1 || (dim != 1 && dims[axis] == 1) ? dim : dims[axis];
        }
    }
    return true;
}

/* The order tells the rank even where the input does not. */
static bool transposed_shape(const struct rewriter *r, const struct node *node, int *looks, int *rank, int64_t *dims)
{
    const struct attribute *perm = node_attribute_of(node, "perm", ATTRIBUTE_INTS);
    int64_t from[MAX_RANK];
    int from_rank;
    bool known = known_shape(r, node->inputs[0], looks, &from_rank, from);
    if (perm ? perm->count > MAX_RANK : !known)
        return false;
    *rank = perm ? (int)perm->count : from_rank;
    for (int i = 0; i < *rank; i++) {
        int64_t axis = perm ? perm->ints[i] : *rank - 1 - i;
        bool inside = known && from_rank == *rank && axis >= 0 && axis < *rank;
        dims[i] = inside ? from[axis] : -1;
    }
    return true;
}

static bool made_shape(const struct rewriter *r, const struct node *node, int *looks, int *rank, int64_t *dims)
{
    if (node->op->flags & OP_ELEMENTWISE)
        return broadcast_shape(r, node, looks, rank, dims);
    if (is_op(node, "Transpose"))
        return transposed_shape(r, node, looks, rank, dims);
    if (is_op(node, "BatchNormalization"))
        return known_shape(r, node->inputs[0], looks, rank, dims);
    bool conv = is_op(node, "Conv") || is_op(node, "ConvInteger");
    if (!conv || node->inputs[1]->rank < 2 || !rewrite_is_sure(r, node->inputs[1]))
        return false;
    *rank = node->inputs[1]->rank;
    for (int i = 0; i < *rank; i++)
        dims[i] = i == 1 ? node->inputs[1]->dims[0] : -1;
    return true;
}

static bool known_shape(const struct rewriter *r, const struct value *value, int *looks, int *rank, int64_t *dims)
{
    const struct node *maker = !value->data && value->id < r->capacity ? r->makers[value->id] : NULL;
    if (value->rank < 0 || !rewrite_is_sure(r, value))
        return maker && ++*looks < MOST_LOOKS && maker->outputs[0] == value && made_shape(r, maker, looks, rank, dims);
    *rank = value->rank;
    for (int i = 0; i < *rank; i++)
        dims[i] = value->dims[i] < 0 || value->dims_at_run ? -1 : value->dims[i];
    return true;
}

bool rewrite_shape(const struct rewriter *r, const struct value *value, int *rank, int64_t *dims)
{
    int looks = 0;
    return known_shape(r, value, &looks, rank, dims);
}

/* --- changing -------------------------------------------------------------------------------------------- */

/* Room in the tables for every value of the graph. */
static bool reserve(struct rewriter *r)
{
    int needed = r->c.graph->value_count;
    if (needed <= r->capacity)
        return true;
    size_t larger = (size_t)needed + (size_t)(r->capacity ? needed : needed / 8) + 16, known = (size_t)r->capacity;
    struct region *region = &r->context->scratch;
    struct node **makers = region_array(region, larger, sizeof *makers);
    int *readers = region_array(region, larger, sizeof *readers);
    struct value **replacements = region_array(region, larger, sizeof *replacements);
    r->unread = region_array(region, larger, sizeof *r->unread);
    if (!makers || !readers || !replacements || !r->unread)
        return false;
    if (known) {
        memcpy(makers, r->makers, known * sizeof *makers);
        memcpy(readers, r->readers, known * sizeof *readers);
        memcpy(replacements, r->replacements, known * sizeof *replacements);
    }
    r->makers = makers;
    r->readers = readers;
    r->replacements = replacements;
    r->capacity = (int)larger;
    return true;
}

/* One reader less; where nobody reads what the maker makes, it joins the `count` unread. */
static void drop_reader(struct rewriter *r, const struct value *value, int *count)
{
    if (!value || --r->readers[value->id] > 0 || !r->makers[value->id])
        return;
    const struct node *maker = r->makers[value->id];
    for (int i = 0; i < maker->output_count; i++)
        if (maker->outputs[i] && r->readers[maker->outputs[i]->id] > 0)
            return;
    r->unread[(*count)++] = maker;
}

/* A node that nobody reads any more reads nothing either: its makers may then be taken in. */
static void forget_read(struct rewriter *r, const struct value *value)
{
    int count = 0;
    drop_reader(r, value, &count);
    while (count > 0) {
        const struct node *node = r->unread[--count];
        for (int i = 0; i < node->input_count; i++)
            drop_reader(r, node->inputs[i], &count);
    }
}

static void add_reads(struct rewriter *r, const struct node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i])
            r->readers[node->inputs[i]->id]++;
}

/* Of one node: a chain of any length may become one, and lists that grow with it would take its length squared. */
#define MOST_SOURCES 128

static bool is_source(const struct node *node, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(node->sources[i], name) == 0)
            return true;
    return false;
}

enum status rewrite_absorb(struct rewriter *r, struct node *node, const struct node *absorbed)
{
    int most = node->source_count + absorbed->source_count, count = 0;
    if (most > MOST_SOURCES)
        return STATUS_OK;
    const char **sources = region_array(r->c.graph->region, (size_t)most, sizeof *sources);
    if (!sources)
        return no_memory(r);
    for (int i = 0; i < absorbed->source_count; i++)
        if (!is_source(node, node->source_count, absorbed->sources[i]))
            sources[count++] = absorbed->sources[i];
    for (int i = 0; i < node->source_count; i++)
        sources[count++] = node->sources[i];
    node->sources = sources;
    node->source_count = count;
    return STATUS_OK;
}

/* Sets type and shape of the outputs where the inputs' are known. */
static enum status infer(struct rewriter *r, struct node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] && (node->inputs[i]->rank < 0 || node->inputs[i]->dtype == DTYPE_NONE))
            return STATUS_OK;
    if (!r->context->shaped)
        return STATUS_OK;
    struct op_context c = r->c;
    c.node = node;
    return node->op->shapes(&c);
}

enum status rewrite_as(struct rewriter *r, struct node *node, const struct op *op, int input_count,
                       struct value *const *inputs, int attribute_count, const struct attribute *attributes)
{
    struct region *region = r->c.graph->region;
    struct value **new_inputs = region_array(region, (size_t)input_count, sizeof *new_inputs);
    struct attribute *new_attributes = region_array(region, (size_t)attribute_count, sizeof *new_attributes);
    if (!new_inputs || !new_attributes || !reserve(r))
        return no_memory(r);
    if (input_count)
        memcpy(new_inputs, inputs, (size_t)input_count * sizeof *inputs);
    if (attribute_count)
        memcpy(new_attributes, attributes, (size_t)attribute_count * sizeof *attributes);
    const struct node old = *node;
    r->context->changed = true;
    node->op = op;
    for (const struct value *last; node->output_count > op->max_outputs; node->output_count--) { /* a Dropout's mask */
        last = node->outputs[node->output_count - 1];
        if (last && rewrite_is_read(r, last))
            break;
    }
    node->version = NEWEST_OPSET;
    node->inputs = new_inputs;
    node->input_count = input_count;
    node->attributes = new_attributes;
    node->attribute_count = attribute_count;
    add_reads(r, node);
    for (int i = 0; i < old.input_count; i++)
        forget_read(r, old.inputs[i]);
    return infer(r, node);
}

void rewrite_input(struct rewriter *r, struct node *node, int i, struct value *value)
{
    struct value *old = node->inputs[i];
    r->context->changed = true;
    if (value)
        r->readers[value->id]++;
    node->inputs[i] = value;
    forget_read(r, old);
}

/* A new node before the visited one, which stands for what `like` does. */
static struct value *build(struct rewriter *r, const struct node *like, const struct op *op, int version,
                           int input_count, struct value *const *inputs, int attribute_count,
                           const struct attribute *attributes)
{
    struct value *output = graph_add_value(r->c.graph, "", DTYPE_NONE, -1, NULL);
    struct node *node = output ? graph_add_node(r->c.expansion, op, version, like->name, input_count, inputs, 1,
                                                &output, attribute_count, attributes)
                               : NULL;
    if (!node || !reserve(r)) {
        no_memory(r);
        return NULL;
    }
    node->sources = like->sources;
    node->source_count = like->source_count;
    add_reads(r, node);
    r->makers[output->id] = node;
    return infer(r, node) == STATUS_OK ? output : NULL;
}

struct value *rewrite_build(struct rewriter *r, const struct op *op, int input_count, struct value *const *inputs,
                            int attribute_count, const struct attribute *attributes)
{
    return build(r, r->c.node, op, NEWEST_OPSET, input_count, inputs, attribute_count, attributes);
}

struct value *rewrite_copy(struct rewriter *r, const struct node *node, int input_count, struct value *const *inputs)
{
    return build(r, node, node->op, node->version, input_count, inputs, node->attribute_count, node->attributes);
}

bool rewrite_fits(const struct rewriter *r, size_t bytes)
{
    size_t limit = r->context->resolve.constant_limit;
    return bytes < SIZE_MAX && bytes <= limit && r->context->constant_bytes <= limit - bytes;
}

struct value *rewrite_buffer(struct rewriter *r, enum dtype dtype, int rank, const int64_t *dims, void **data)
{
    int64_t elements = 0;
    size_t bytes = shape_elements(rank, dims, &elements) ? dtype_bytes(dtype, elements) : SIZE_MAX;
    if (!rewrite_fits(r, bytes)) {
        op_error(&r->c, STATUS_MEMORY_LIMIT, "a folded constant brings the constants past the limit of %zu bytes",
                 r->context->resolve.constant_limit);
        return NULL;
    }
    *data = region_buffer(r->c.graph->region, bytes);
    struct value *constant = *data ? graph_add_constant(r->c.graph, "", dtype, rank, dims, *data) : NULL;
    if (!constant || !reserve(r)) {
        no_memory(r);
        return NULL;
    }
    r->context->constant_bytes += bytes;
    return constant;
}

struct value *rewrite_constant(struct rewriter *r, enum dtype dtype, int rank, const int64_t *dims, const void *data)
{
    void *copy;
    struct value *constant = rewrite_buffer(r, dtype, rank, dims, &copy);
    if (constant && constant->bytes)
        memcpy(copy, data, constant->bytes);
    return constant;
}

/* Readers of `output` read `value` from now on. */
void rewrite_replace(struct rewriter *r, const struct value *output, struct value *value)
{
    r->replacements[output->id] = value;
    r->readers[value->id] += r->readers[output->id];
}

static enum status drop(struct rewriter *r, const struct node *node)
{
    r->context->changed = true;
    for (int i = 0; i < node->input_count; i++)
        forget_read(r, node->inputs[i]);
    r->dropped = true;
    return STATUS_OK;
}

enum status rewrite_forward(struct rewriter *r, struct node *node, struct value *value)
{
    if (pass_pins(r->context, node->outputs[0]))
        return is_op(node, "Identity") ? STATUS_OK : rewrite_as(r, node, op_find("", "Identity"), 1, &value, 0, NULL);
    rewrite_replace(r, node->outputs[0], value);
    return drop(r, node);
}

enum status rewrite_merge(struct rewriter *r, struct node *node, const struct node *other)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i])
            rewrite_replace(r, node->outputs[i], other->outputs[i]);
    return drop(r, node);
}

/* --- the walk -------------------------------------------------------------------------------------------- */

static void replace_inputs(struct rewriter *r, struct node *node)
{
    for (int i = 0; i < node->input_count; i++)
        while (node->inputs[i] && r->replacements[node->inputs[i]->id])
            node->inputs[i] = r->replacements[node->inputs[i]->id];
}

static enum status visit_all(struct rewriter *r, rewrite_visit *visit)
{
    struct graph *graph = r->c.graph;
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = graph->nodes[i];
        TRY(interrupt_check(r->context->resolve.interrupt, r->c.error));
        r->c.node = node;
        r->dropped = false;
        replace_inputs(r, node);
        if (node->output_count > 0 && node->outputs[0]) /* else only other outputs are asked for: it stays as it is */
            TRY(visit(r, node));
        if (!r->dropped && !graph_append_node(r->c.expansion, node))
            return no_memory(r);
    }
    return STATUS_OK;
}

/* What is read from outside the nodes: outputs of the graph, and what the context says. */
static enum status pin(struct rewriter *r)
{
    const struct graph *graph = r->c.graph;
    if (!reserve(r))
        return no_memory(r);
    for (int i = 0; i < graph->value_count; i++)
        r->readers[i] = pass_pins(r->context, graph->values[i]);
    for (int i = 0; i < graph->node_count; i++) {
        add_reads(r, graph->nodes[i]);
        for (int k = 0; k < graph->nodes[i]->output_count; k++)
            if (graph->nodes[i]->outputs[k])
                r->makers[graph->nodes[i]->outputs[k]->id] = graph->nodes[i];
    }
    return STATUS_OK;
}

enum status rewrite_graph_with(struct graph *graph, struct pass_context *context, rewrite_visit *visit, void *user,
                               struct error *error)
{
    struct rewriter r = {.c = {.graph = graph, .error = error}, .context = context, .user = user};
    r.c.expansion = graph_create(graph->region, "");
    if (!r.c.expansion)
        return no_memory(&r);
    TRY(pin(&r));
    TRY(visit_all(&r, visit));
    graph->nodes = r.c.expansion->nodes;
    graph->node_count = r.c.expansion->node_count;
    graph->node_capacity = r.c.expansion->node_capacity;
    return eliminate_dead_code(graph, context, error);
}

enum status rewrite_graph(struct graph *graph, struct pass_context *context, rewrite_visit *visit, struct error *error)
{
    return rewrite_graph_with(graph, context, visit, NULL, error);
}
