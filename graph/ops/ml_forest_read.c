/* Tables of trees from the attributes of TreeEnsemble. */
#include "graph/ops/ml_forest.h"

#include <math.h>

enum status forest_ints(struct op_context *c, const char *name, int64_t count, struct value *list)
{
    ml_numbers(c, name, NULL, NULL, list);
    if (list->data && list->dims[0] == count)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "%s has %lld entries; it must have %lld", name, (long long)list->dims[0],
                    (long long)count);
}

static enum status read_counts(struct op_context *c, struct forest *f, struct value *splits, struct value *weights,
                               struct value *members)
{
    struct value leaves, roots;
    int64_t aggregate = op_int(c, "aggregate_function");
    ml_numbers(c, "leaf_targetids", NULL, NULL, &leaves);
    ml_numbers(c, "tree_roots", NULL, NULL, &roots);
    if (!ml_numbers(c, NULL, NULL, "nodes_splits", splits) || !ml_numbers(c, NULL, NULL, "leaf_weights", weights) ||
        !leaves.data || weights->dims[0] != leaves.dims[0] || roots.dims[0] < 1)
        return op_error(c, STATUS_INVALID_MODEL, "its splits, leaves or roots are missing or do not match");
    f->nodes = splits->dims[0];
    f->leaves = f->entries = leaves.dims[0];
    f->trees = roots.dims[0];
    f->members = ml_numbers(c, NULL, NULL, "membership_values", members) ? members->dims[0] : 0;
    if (aggregate < TREE_AVERAGE || aggregate > TREE_MAX || f->nodes > INT32_MAX - 1 || f->members > INT32_MAX - 1)
        return op_error(c, STATUS_INVALID_MODEL, "aggregate_function is %lld, of %lld nodes", (long long)aggregate,
                        (long long)f->nodes);
    f->aggregate = (enum tree_aggregate)aggregate;
    return STATUS_OK;
}

static int32_t branch(int64_t index, int64_t is_leaf)
{
    return is_leaf ? ~forest_index(index) : forest_index(index);
}

/* Sets of members stand in the order of the nodes that test them, each followed by a NaN. */
static void take_members(struct forest *f, int64_t node, const struct value *members, int64_t *next)
{
    f->node[node].first_member = forest_index(*next);
    for (; *next < f->members; ++*next) {
        double member = forest_number(members, *next);
        forest_set(f, f->member, *next, member);
        if (isnan(member))
            break;
        f->node[node].members++;
    }
    ++*next;
}

struct columns {
    struct value features, yes, no, yes_leaf, no_leaf, missing, modes;
};

static enum status read_columns(struct op_context *c, const struct forest *f, struct columns *columns)
{
    TRY(forest_ints(c, "nodes_featureids", f->nodes, &columns->features));
    TRY(forest_ints(c, "nodes_truenodeids", f->nodes, &columns->yes));
    TRY(forest_ints(c, "nodes_falsenodeids", f->nodes, &columns->no));
    TRY(forest_ints(c, "nodes_trueleafs", f->nodes, &columns->yes_leaf));
    TRY(forest_ints(c, "nodes_falseleafs", f->nodes, &columns->no_leaf));
    ml_numbers(c, "nodes_missing_value_tracks_true", NULL, NULL, &columns->missing);
    if (!ml_numbers(c, NULL, NULL, "nodes_modes", &columns->modes) || columns->modes.dims[0] != f->nodes)
        return op_error(c, STATUS_INVALID_MODEL, "nodes_modes must have one entry for each of %lld nodes",
                        (long long)f->nodes);
    return STATUS_OK;
}

static enum status read_nodes(struct op_context *c, struct forest *f, const struct value *splits,
                              const struct value *members)
{
    struct columns l;
    int64_t mode = 0, next = 0;
    TRY(read_columns(c, f, &l));
    for (int64_t i = 0; i < f->nodes; i++) {
        if (!value_integer_at(&l.modes, i, &mode) || mode < TREE_LEQ || mode > TREE_MEMBER)
            return op_error(c, STATUS_INVALID_MODEL, "node %lld of its trees has no known mode", (long long)i);
        f->node[i] = (struct tree_node){.feature = forest_index(ml_integer(&l.features, i)),
                                        .mode = (int32_t)mode,
                                        .missing = i < l.missing.dims[0] && ml_integer(&l.missing, i) != 0,
                                        .yes = branch(ml_integer(&l.yes, i), ml_integer(&l.yes_leaf, i)),
                                        .no = branch(ml_integer(&l.no, i), ml_integer(&l.no_leaf, i))};
        forest_set(f, f->splits, i, forest_number(splits, i));
        if (mode == TREE_MEMBER)
            take_members(f, i, members, &next);
    }
    return STATUS_OK;
}

enum status forest_read(struct op_context *c, struct forest *f)
{
    struct value splits, weights, members, targets, roots;
    TRY(read_counts(c, f, &splits, &weights, &members));
    TRY(forest_allocate(c, f));
    TRY(forest_ints(c, "leaf_targetids", f->leaves, &targets));
    TRY(forest_ints(c, "tree_roots", f->trees, &roots));
    for (int64_t i = 0; i < f->leaves; i++) {
        f->target[i] = forest_index(ml_integer(&targets, i));
        forest_set(f, f->weights, i, forest_number(&weights, i));
        f->ends[i + 1] = (int32_t)(i + 1);
    }
    for (int64_t i = 0; i < f->trees; i++) {
        int64_t root = ml_integer(&roots, i);
        f->roots[i] = root >= 0 && root < f->nodes ? (int32_t)root : (int32_t)f->nodes;
    }
    return read_nodes(c, f, &splits, &members);
}
