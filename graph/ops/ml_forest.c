/* Tables of trees: room, checks, the step. */
#include "graph/ops/ml_forest.h"

enum status forest_allocate(struct op_context *c, struct forest *f)
{
    struct region *region = c->graph->region;
    size_t each = dtype_bits(f->dtype) / 8;
    f->node = region_array(region, (size_t)f->nodes + 1, sizeof *f->node);
    f->splits = region_array(region, (size_t)f->nodes + 1, each);
    f->member = region_array(region, (size_t)f->members + 1, each);
    f->weights = region_array(region, (size_t)f->entries + 1, each);
    f->ends = region_array(region, (size_t)f->leaves + 2, sizeof *f->ends);
    f->target = region_array(region, (size_t)f->entries + 1, sizeof *f->target);
    f->roots = region_array(region, (size_t)f->trees + 1, sizeof *f->roots);
    bool done = f->node && f->splits && f->member && f->weights && f->ends && f->target && f->roots;
    return done ? STATUS_OK : op_no_memory(c);
}

/* --- checks that let the kernel trust the tables ------------------------------------------------------------------ */

static bool branch_exists(const struct forest *f, int32_t branch)
{
    return branch >= 0 ? branch < f->nodes : ~branch < f->leaves;
}

/* The usual case: each node stands before those that it leads to. */
static bool leads_down(const struct forest *f)
{
    for (int64_t i = 0; i < f->nodes; i++)
        if ((f->node[i].yes >= 0 && f->node[i].yes <= i) || (f->node[i].no >= 0 && f->node[i].no <= i))
            return false;
    return true;
}

/* Whether walking down from any root ends: nodes are taken off in an order in which each comes after all that lead to
 * it, which fails for those on a cycle. */
static bool is_acyclic(const struct forest *f, int32_t *leading, int32_t *ready)
{
    int64_t count = 0;
    for (int64_t i = 0; i < f->nodes; i++) {
        for (int side = 0; side < 2; side++) {
            int32_t branch = side ? f->node[i].yes : f->node[i].no;
            if (branch >= 0)
                leading[branch]++;
        }
    }
    for (int32_t i = 0; i < f->nodes; i++)
        if (leading[i] == 0)
            ready[count++] = i;
    for (int64_t done = 0; done < count; done++) {
        for (int side = 0; side < 2; side++) {
            int32_t branch = side ? f->node[ready[done]].yes : f->node[ready[done]].no;
            if (branch >= 0 && --leading[branch] == 0)
                ready[count++] = branch;
        }
    }
    return count == f->nodes;
}

static enum status check_ends(struct op_context *c, const struct forest *f)
{
    struct region scratch;
    if (leads_down(f))
        return STATUS_OK;
    region_init(&scratch, c->graph->region->allocator);
    int32_t *leading = region_array(&scratch, (size_t)f->nodes + 1, 2 * sizeof *leading);
    bool ends = leading && is_acyclic(f, leading, leading + f->nodes);
    region_free(&scratch);
    if (!leading)
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
    return check_ends(c, f);
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
    if (value_elements(output) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_trees, &params, sizeof params, TREES_INPUTS, inputs, 1, &output, 0);
}
