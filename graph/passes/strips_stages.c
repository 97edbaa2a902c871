#include "graph/passes/strips_stages.h"

#include "graph/passes/rewrite.h"

/* --- nodes into stages ----------------------------------------------------------------------------------- */

struct grouping {
    struct stages *stages;
    struct graph *graph;
    const struct pass_context *context;
    int *groups;  /* by node: the last node of its group */
    int *readers; /* by value id: the group whose elementwise nodes are all that reads it; NO_READER, or NO_GROUP */
    bool *headed; /* by last node: the group has a node that is not elementwise */
};

#define INTEGERS_FASTER 4 /* multiplications, than floating ones */

#define NO_READER (-1)
#define NO_GROUP (-2)

static bool is_pointwise(const struct node *node)
{
    return rows_elementwise(node) || is_op(node, "BatchNormalization");
}

/* Operators whose kernels take an epilogue. */
static bool takes_epilogue(const struct node *node)
{
    static const char *const names[] = {"ConvTranspose",     "MatMul",       "Gemm", "MaxPool", "AveragePool", "LpPool",
                                        "GlobalAveragePool", "GlobalMaxPool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return true;
    return rows_convolves(node);
}

static bool same_shape(const struct value *a, const struct value *b)
{
    return a->rank == b->rank && a->rank >= 0 && !a->dims_at_run && !b->dims_at_run &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Numbers of the type stay in registers: floating ones, and the sums of a convolution of integers. */
static bool is_fused_type(const struct node *node, enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F64 || (dtype == DTYPE_I32 && rows_convolves(node));
}

/* The group that a node joins; its own index: none. */
static int group_of(const struct grouping *g, int index)
{
    const struct node *node = g->graph->nodes[index];
    const struct value *output = node->outputs[0];
    for (int i = 1; i < node->output_count; i++)
        if (node->outputs[i])
            return index;
    if (!output || pass_pins(g->context, output) || !is_fused_type(node, output->dtype))
        return index;
    int group = g->readers[output->id];
    if (group < 0 || !is_pointwise(g->graph->nodes[group]) || !same_shape(output, g->graph->nodes[group]->outputs[0]))
        return index;
    return is_pointwise(node) || (takes_epilogue(node) && !g->headed[group]) ? group : index;
}

static void group_nodes(struct grouping *g)
{
    for (int i = 0; i < g->graph->value_count; i++)
        g->readers[i] = NO_READER;
    for (int n = g->graph->node_count - 1; n >= 0; n--) {
        const struct node *node = g->graph->nodes[n];
        g->groups[n] = group_of(g, n);
        g->headed[g->groups[n]] = g->headed[g->groups[n]] || !is_pointwise(node);
        int group = is_pointwise(node) ? g->groups[n] : NO_GROUP;
        for (int i = 0; i < node->input_count; i++) {
            int *reader = node->inputs[i] ? &g->readers[node->inputs[i]->id] : NULL;
            if (reader)
                *reader = *reader == NO_READER || *reader == group ? group : NO_GROUP;
        }
    }
}

/* --- what a stage is ------------------------------------------------------------------------------------- */

static double elements_of(const struct value *value)
{
    return value && value->rank >= 0 ? (double)value_elements(value) : 0;
}

static double product(const int64_t *dims, int first, int rank)
{
    double result = 1;
    for (int i = first; i < rank; i++)
        result *= (double)dims[i];
    return result;
}

static bool is_view(const struct node *node)
{
    static const char *const names[] = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return true;
    return false;
}

static double node_work(struct node *node)
{
    const struct op_context c = {.node = node};
    const struct value *output = node->outputs[0], *input = node->input_count ? node->inputs[0] : NULL;
    double made = node->output_count ? elements_of(output) : 0, read = elements_of(input);
    const struct value *weights = node->input_count > 1 ? node->inputs[1] : NULL;
    if (is_view(node))
        return 0;
    if (rows_convolves(node))
        return made * product(weights->dims, 1, weights->rank) / (output->dtype == DTYPE_I32 ? INTEGERS_FASTER : 1);
    if (is_op(node, "ConvTranspose"))
        return read * product(weights->dims, 1, weights->rank);
    if (is_op(node, "MatMul") && input->rank > 0)
        return made * (double)input->dims[input->rank - 1];
    if (is_op(node, "Gemm"))
        return made * (double)input->dims[op_int(&c, "transA") ? 0 : 1];
    return made > read ? made : read;
}

/* Whether all nodes of a stage can be made in strips together. */
static bool set_map(struct stages *stages, struct stage *stage)
{
    for (int i = 0; i < stage->node_count; i++) {
        struct rows_map map;
        if (!rows_map_of(stages->graph, stage->nodes[i], &map))
            return false;
        if (map.kind == ROWS_SAME)
            continue;
        if (stage->head)
            return false;
        stage->head = stage->nodes[i];
        stage->map = map;
    }
    return true;
}

static void describe(struct stages *stages, struct stage *stage)
{
    const struct node *last = stage->nodes[stage->node_count - 1];
    for (int i = 0; i < stage->node_count; i++)
        stage->work += node_work(stage->nodes[i]);
    stages->work += stage->work;
    stage->local = set_map(stages, stage);
    if (!stage->local)
        return;
    stage->output = last->outputs[0];
    stage->rows = stage->output->dims[ROW_AXIS];
    stage->row_bytes = value_bytes(stage->output) / (size_t)stage->rows;
}

static bool make_stages(struct stages *stages, const struct grouping *g)
{
    int count = stages->graph->node_count;
    int *numbers = region_array(stages->region, (size_t)count, sizeof *numbers);
    stages->list = region_array(stages->region, (size_t)count, sizeof *stages->list);
    if (!numbers || !stages->list)
        return false;
    for (int n = 0; n < count; n++)
        if (g->groups[n] == n)
            numbers[n] = stages->count++;
    for (int n = 0; n < count; n++)
        stages->list[numbers[g->groups[n]]].node_count++;
    for (int s = 0; s < stages->count; s++) {
        struct stage *stage = &stages->list[s];
        stage->nodes = region_array(stages->region, (size_t)stage->node_count, sizeof *stage->nodes);
        if (!stage->nodes)
            return false;
        stage->node_count = 0;
    }
    for (int n = 0; n < count; n++) {
        struct stage *stage = &stages->list[numbers[g->groups[n]]];
        stage->nodes[stage->node_count++] = stages->graph->nodes[n];
    }
    for (int s = 0; s < stages->count; s++)
        describe(stages, &stages->list[s]);
    return true;
}

/* --- memory ---------------------------------------------------------------------------------------------- */

static size_t arena_bytes(const struct value *value)
{
    return value->rank < 0 || value->data ? 0 : align_up(value_bytes(value), ALIGNMENT);
}

static void note_node(struct stages *stages, const struct grouping *g, int stage, const struct node *node)
{
    bool inner = node != stages->list[stage].nodes[stages->list[stage].node_count - 1];
    bool view = is_view(node) && node->inputs[0];
    for (int i = 0; i < node->output_count; i++) {
        const struct value *output = node->outputs[i];
        if (!output)
            continue;
        stages->roots[output->id] = view ? stages->roots[node->inputs[0]->id] : output->id;
        stages->makers[output->id] = stage;
        stages->bytes[output->id] = view || inner ? 0 : arena_bytes(output);
        if (pass_pins(g->context, output))
            stages->stays[stages->roots[output->id]] = 1;
    }
}

static void note_memory(struct stages *stages, const struct grouping *g)
{
    const struct graph *graph = stages->graph;
    for (int i = 0; i < graph->value_count; i++) {
        stages->roots[i] = i;
        stages->makers[i] = -1;
    }
    /* In the graph's order, for the roots of views. */
    for (int s = 0; s < stages->count; s++)
        for (int i = 0; i < stages->list[s].node_count; i++)
            note_node(stages, g, s, stages->list[s].nodes[i]);
    /* Results are computed where the caller wants them. */
    for (int i = 0; i < graph->output_count; i++)
        stages->bytes[stages->roots[graph->outputs[i]->id]] = 0;
}

struct stages *stages_of(struct graph *graph, const struct pass_context *context, struct region *region)
{
    size_t nodes = (size_t)graph->node_count, values = (size_t)graph->value_count;
    struct stages *stages = region_allocate(region, sizeof *stages);
    struct grouping g = {.stages = stages, .graph = graph, .context = context};
    g.groups = region_array(region, nodes, sizeof *g.groups);
    g.headed = region_array(region, nodes, sizeof *g.headed);
    g.readers = region_array(region, values, sizeof *g.readers);
    if (!stages || !g.groups || !g.headed || !g.readers)
        return NULL;
    *stages = (struct stages){.region = region, .graph = graph};
    stages->roots = region_array(region, values, sizeof *stages->roots);
    stages->makers = region_array(region, values, sizeof *stages->makers);
    stages->bytes = region_array(region, values, sizeof *stages->bytes);
    stages->stays = region_array(region, values, sizeof *stages->stays);
    if (!stages->roots || !stages->makers || !stages->bytes || !stages->stays)
        return NULL;
    group_nodes(&g);
    if (!make_stages(stages, &g))
        return NULL;
    note_memory(stages, &g);
    return stages;
}

/* --- orders ---------------------------------------------------------------------------------------------- */

/* Called for each operand of a stage. */
typedef void each_operand(void *user, const struct value *value, bool made);

static void visit_operands(const struct stage *stage, each_operand *visit, void *user)
{
    for (int n = 0; n < stage->node_count; n++) {
        const struct node *node = stage->nodes[n];
        for (int i = 0; i < node->input_count; i++)
            if (node->inputs[i])
                visit(user, node->inputs[i], false);
        for (int i = 0; i < node->output_count; i++)
            if (node->outputs[i])
                visit(user, node->outputs[i], true);
    }
}

static struct stage_order *order_create(const struct stages *stages)
{
    struct region *region = stages->region;
    size_t count = (size_t)stages->count, values = (size_t)stages->graph->value_count;
    struct stage_order *order = region_allocate(region, sizeof *order);
    if (!order)
        return NULL;
    *order = (struct stage_order){0};
    order->stages = region_array(region, count, sizeof *order->stages);
    order->positions = region_array(region, count, sizeof *order->positions);
    order->last = region_array(region, values, sizeof *order->last);
    order->live = region_array(region, count, sizeof *order->live);
    order->entering = region_array(region, count, sizeof *order->entering);
    bool done = order->stages && order->positions && order->last && order->live && order->entering;
    return done ? order : NULL;
}

struct touching {
    const int *roots;
    int *last;
    int position;
};

static void touch(void *user, const struct value *value, bool made)
{
    struct touching *touching = user;
    int *last = &touching->last[touching->roots[value->id]];
    (void)made; /* a result that nobody reads lives as long as the stage */
    if (*last < touching->position)
        *last = touching->position;
}

/* Bytes of an input that dies where an elementwise stage overwrites it. */
static size_t overwritten(const struct stages *stages, const struct stage_order *order, int position)
{
    const struct stage *stage = &stages->list[order->stages[position]];
    const struct node *last = stage->nodes[stage->node_count - 1];
    if (last->output_count == 0 || !last->outputs[0])
        return 0;
    size_t bytes = stages->bytes[last->outputs[0]->id];
    for (int n = 0; n < stage->node_count; n++) {
        const struct node *node = stage->nodes[n];
        if (!is_pointwise(node))
            return 0;
        for (int i = 0; i < node->input_count; i++) {
            int root = node->inputs[i] ? stages->roots[node->inputs[i]->id] : -1;
            if (root >= 0 && stages->makers[root] >= 0 && stages->makers[root] != order->stages[position] &&
                order->last[root] == position && stages->bytes[root] == bytes)
                return bytes;
        }
    }
    return 0;
}

/* Fills in where stages are, and where roots are read last. */
static void find_lives(const struct stages *stages, struct stage_order *order)
{
    int count = stages->count;
    for (int i = 0; i < stages->graph->value_count; i++)
        order->last[i] = stages->stays[i] ? count : -1;
    for (int p = 0; p < count; p++) {
        order->positions[order->stages[p]] = p;
        visit_operands(&stages->list[order->stages[p]], touch, &(struct touching){stages->roots, order->last, p});
    }
}

static void measure(const struct stages *stages, struct stage_order *order)
{
    int count = stages->count;
    find_lives(stages, order);
    for (int i = 0; i < stages->graph->value_count; i++) {
        if (stages->makers[i] < 0)
            continue;
        int first = order->positions[stages->makers[i]];
        for (int p = first; p <= order->last[i] && p < count; p++) {
            order->live[p] += stages->bytes[i];
            order->entering[p] += p > first ? stages->bytes[i] : 0;
        }
    }
    for (int p = 0; p < count; p++) {
        order->live[p] -= overwritten(stages, order, p);
        order->peak = order->live[p] > order->peak ? order->live[p] : order->peak;
    }
}

struct stage_order *order_given(const struct stages *stages)
{
    struct stage_order *order = order_create(stages);
    if (!order)
        return NULL;
    for (int s = 0; s < stages->count; s++)
        order->stages[s] = s;
    measure(stages, order);
    return order;
}

/* --- eagerly --------------------------------------------------------------------------------------------- */

/* What the stage at a position would free if it came earlier, and the first position where it does. */
struct hoist {
    const struct stages *stages;
    const struct stage_order *order;
    int position, earliest;
    size_t made, freed;
};

static bool reads_root(const struct stages *stages, const struct stage *stage, int root)
{
    for (int n = 0; n < stage->node_count; n++)
        for (int i = 0; i < stage->nodes[n]->input_count; i++)
            if (stage->nodes[n]->inputs[i] && stages->roots[stage->nodes[n]->inputs[i]->id] == root)
                return true;
    return false;
}

static void note_operand(void *user, const struct value *value, bool made)
{
    struct hoist *h = user;
    const struct stages *stages = h->stages;
    int root = stages->roots[value->id], maker = stages->makers[value->id];
    int after = maker < 0 ? -1 : h->order->positions[maker];
    if (made)
        h->made += stages->bytes[value->id];
    if (made || after == h->position)
        return;
    if (stages->bytes[root] > 0 && h->order->last[root] == h->position) {
        h->freed += stages->bytes[root];
        int before = h->position - 1;
        while (before > after && !reads_root(stages, &stages->list[h->order->stages[before]], root))
            before--;
        after = before;
    }
    h->earliest = after + 1 > h->earliest ? after + 1 : h->earliest;
}

struct stage_order *order_eager(const struct stages *stages)
{
    struct stage_order *order = order_create(stages);
    if (!order)
        return NULL;
    for (int s = 0; s < stages->count; s++)
        order->stages[s] = s;
    find_lives(stages, order);
    for (int p = 0; p < stages->count; p++) {
        struct hoist h = {.stages = stages, .order = order, .position = p};
        int stage = order->stages[p];
        visit_operands(&stages->list[stage], note_operand, &h);
        if (h.freed <= h.made || h.earliest >= p)
            continue;
        memmove(order->stages + h.earliest + 1, order->stages + h.earliest,
                (size_t)(p - h.earliest) * sizeof *order->stages);
        order->stages[h.earliest] = stage;
        find_lives(stages, order);
    }
    measure(stages, order);
    return order;
}

/* --- greedily -------------------------------------------------------------------------------------------- */

struct greedy {
    const struct stages *stages;
    int *reads;   /* by value id: reads of a root by stages still to come */
    int *waiting; /* by stage: reads of what is not made yet */
    int stage;
    int64_t growth;
};

static void count_read(void *user, const struct value *value, bool made)
{
    struct greedy *g = user;
    int maker = g->stages->makers[value->id];
    if (made)
        return;
    g->reads[g->stages->roots[value->id]]++;
    g->waiting[g->stage] += maker >= 0 && maker != g->stage;
}

/* Takes the reads of a stage back one by one, to see what dies. */
static void take_read(void *user, const struct value *value, bool made)
{
    struct greedy *g = user;
    int root = g->stages->roots[value->id];
    if (made)
        g->growth += (int64_t)g->stages->bytes[value->id];
    else if (--g->reads[root] == 0 && !g->stages->stays[root])
        g->growth -= (int64_t)g->stages->bytes[root];
}

static void restore_read(void *user, const struct value *value, bool made)
{
    struct greedy *g = user;
    g->reads[g->stages->roots[value->id]] += !made;
}

/* What the stage makes lets others go on. */
static void release_readers(struct greedy *g, const unsigned char *done)
{
    const struct stages *stages = g->stages;
    for (int s = 0; s < stages->count; s++) {
        if (done[s] || g->waiting[s] == 0)
            continue;
        for (int n = 0; n < stages->list[s].node_count; n++) {
            const struct node *node = stages->list[s].nodes[n];
            for (int i = 0; i < node->input_count; i++)
                if (node->inputs[i] && stages->makers[node->inputs[i]->id] == g->stage)
                    g->waiting[s]--;
        }
    }
}

static int best_next(struct greedy *g, const unsigned char *done)
{
    int best = -1;
    int64_t least = 0;
    for (int s = 0; s < g->stages->count; s++) {
        if (done[s] || g->waiting[s] > 0)
            continue;
        g->growth = 0;
        visit_operands(&g->stages->list[s], take_read, g);
        visit_operands(&g->stages->list[s], restore_read, g);
        if (best < 0 || g->growth < least) {
            best = s;
            least = g->growth;
        }
    }
    return best;
}

struct stage_order *order_greedy(const struct stages *stages)
{
    struct stage_order *order = order_create(stages);
    struct greedy g = {.stages = stages};
    unsigned char *done = region_allocate(stages->region, (size_t)stages->count);
    g.reads = region_array(stages->region, (size_t)stages->graph->value_count, sizeof *g.reads);
    g.waiting = region_array(stages->region, (size_t)stages->count, sizeof *g.waiting);
    if (!order || !done || !g.reads || !g.waiting)
        return NULL;
    for (g.stage = 0; g.stage < stages->count; g.stage++)
        visit_operands(&stages->list[g.stage], count_read, &g);
    for (int p = 0; p < stages->count; p++) {
        g.stage = best_next(&g, done);
        order->stages[p] = g.stage;
        done[g.stage] = 1;
        visit_operands(&stages->list[g.stage], take_read, &g);
        release_readers(&g, done);
    }
    measure(stages, order);
    return order;
}
