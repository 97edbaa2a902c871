/* Tables of trees: room, checks, the step. */
#include "graph/ops/ml_forest.h"

enum status forest_allocate(struct op_context *c, struct forest *f)
{
    struct region *region = c->graph->region;
    size_t each = dtype_bits(f->dtype) / 8;
    f->node = region_array(region, (size_t)f->nodes, sizeof *f->node);
    f->splits = region_array(region, (size_t)f->nodes, each);
    f->member = region_array(region, (size_t)f->members, each);
    f->weights = region_array(region, (size_t)f->entries, each);
    f->ends = region_array(region, (size_t)f->leaves + 1, sizeof *f->ends);
    f->target = region_array(region, (size_t)f->entries, sizeof *f->target);
    f->roots = region_array(region, (size_t)f->trees, sizeof *f->roots);
    bool done = f->node && f->splits && f->member && f->weights && f->ends && f->target && f->roots;
    return done ? STATUS_OK : op_no_memory(c);
}

/* --- checks that let the kernel trust the tables ------------------------------------------------------------------ */

static bool branch_exists(const struct forest *f, int32_t branch)
{
    return branch >= 0 ? branch < f->nodes : ~branch < f->leaves;
}

static int32_t branch_of(const struct tree_node *node, int side)
{
    return side ? node->yes : node->no;
}

/* The nodes in an order in which each comes after all that lead to it. False where walking down does not end: those on
 * a cycle have no place in it. */
static bool sort_nodes(const struct forest *f, int32_t *leading, int32_t *order)
{
    int64_t count = 0;
    for (int64_t i = 0; i < f->nodes; i++)
        for (int side = 0; side < 2; side++)
            if (branch_of(&f->node[i], side) >= 0)
                leading[branch_of(&f->node[i], side)]++;
    for (int32_t i = 0; i < f->nodes; i++)
        if (leading[i] == 0)
            order[count++] = i;
    for (int64_t done = 0; done < count; done++)
        for (int side = 0; side < 2; side++) {
            int32_t branch = branch_of(&f->node[order[done]], side);
            if (branch >= 0 && --leading[branch] == 0)
                order[count++] = branch;
        }
    return count == f->nodes;
}

/* The most comparisons and entries on a way down from a branch, where those of the nodes below are known. */
static double way_down(const struct forest *f, const double *ways, int32_t branch)
{
    return branch >= 0 ? ways[branch] : f->ends[~branch + 1] - f->ends[~branch];
}

static double most_work(const struct forest *f, const int32_t *order, double *ways)
{
    double all = 0;
    for (int64_t k = f->nodes - 1; k >= 0; k--) {
        const struct tree_node *node = &f->node[order[k]];
        double yes = way_down(f, ways, node->yes), no = way_down(f, ways, node->no);
        ways[order[k]] = (node->mode == TREE_MEMBER ? node->members : 1) + (yes > no ? yes : no);
    }
    for (int64_t i = 0; i < f->trees; i++)
        all += way_down(f, ways, f->roots[i]);
    return all;
}

/* Also whether every walk ends. */
static enum status find_most_work(struct op_context *c, const struct forest *f, double *work)
{
    struct region scratch;
    region_init(&scratch, c->graph->region->allocator);
    size_t count = (size_t)f->nodes + 1;
    int32_t *leading = region_array(&scratch, count, sizeof *leading);
    int32_t *order = region_array(&scratch, count, sizeof *order);
    double *ways = region_array(&scratch, count, sizeof *ways);
    bool room = leading && order && ways, ends = room && sort_nodes(f, leading, order);
    *work = ends ? most_work(f, order, ways) : 0;
    region_free(&scratch);
    if (!room)
        return op_no_memory(c);
    return ends ? STATUS_OK : op_error(c, STATUS_INVALID_MODEL, "a branch of its trees leads back");
}

static enum status check_forest(struct op_context *c, const struct forest *f, int64_t features)
{
    for (int64_t i = 0; i < f->nodes; i++) {
        const struct tree_node *node = &f->node[i];
        if (node->feature < 0 || node->feature >= features || !branch_exists(f, node->yes) ||
            !branch_exists(f, node->no))
            return op_error(c, STATUS_INVALID_MODEL, "node %lld of its trees names a feature or a branch there is not",
                            (long long)i);
    }
    for (int64_t i = 0; i < f->entries; i++)
        if (f->target[i] < 0 || f->target[i] >= f->targets)
            return op_error(c, STATUS_INVALID_MODEL, "a leaf of its trees has the target %d of %lld", (int)f->target[i],
                            (long long)f->targets);
    for (int64_t i = 0; i < f->trees; i++)
        if (!branch_exists(f, f->roots[i]))
            return op_error(c, STATUS_INVALID_MODEL, "tree %lld has no root", (long long)i);
    return STATUS_OK;
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

static struct value *number_table(struct op_context *c, const struct forest *f, int64_t count, const void *numbers)
{
    return graph_add_constant(c->graph, "", f->dtype, 1, &count, numbers);
}

static struct value *int_table(struct op_context *c, int64_t count, const int32_t *numbers)
{
    return graph_add_constant(c->graph, "", DTYPE_I32, 1, &count, numbers);
}

enum status forest_emit(struct op_context *c, const struct forest *f, struct value *x, struct value *output)
{
    struct trees_params params = {.rows = output->dims[0],
                                  .features = x->dims[x->rank - 1],
                                  .targets = f->targets,
                                  .trees = f->trees,
                                  .aggregate = (uint8_t)f->aggregate,
                                  .dtype = (uint8_t)x->dtype};
    struct value *inputs[TREES_INPUTS] = {
        [TREES_ROWS] = x,
        [TREES_NODES] = int_table(c, f->nodes * (int64_t)(sizeof *f->node / 4), (const int32_t *)f->node),
        [TREES_SPLITS] = number_table(c, f, f->nodes, f->splits),
        [TREES_MEMBERS] = number_table(c, f, f->members, f->member),
        [TREES_LEAF_ENDS] = int_table(c, f->leaves + 1, f->ends),
        [TREES_TARGETS] = int_table(c, f->entries, f->target),
        [TREES_WEIGHTS] = number_table(c, f, f->entries, f->weights),
        [TREES_ROOTS] = int_table(c, f->trees, f->roots),
    };
    for (int i = 0; i < TREES_INPUTS; i++)
        if (!inputs[i])
            return op_no_memory(c);
    TRY(check_forest(c, f, params.features));
    TRY(find_most_work(c, f, &params.most_work));
    if (value_elements(output) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_trees, &params, sizeof params, TREES_INPUTS, inputs, 1, &output, 0);
}
