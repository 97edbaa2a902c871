/* Tables of trees from the attributes of the operators that hold them. */
#include "graph/ops/ml_forest.h"
#include "kernels/sort.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double number(const struct value *list, int64_t i)
{
    double result = 0;
    value_number_at(list, i, &result);
    return result;
}

/* A list of `count` integers, or an error. */
static enum status ints(struct op_context *c, const char *name, int64_t count, const int64_t **list)
{
    int given;
    *list = op_int_list(c, name, &given);
    if (*list && given == count)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "%s has %d entries; it must have %lld", name, given < 0 ? 0 : given,
                    (long long)count);
}

/* An index that cannot be one is made the greatest number, which is past the end of every table. */
static int32_t narrow(int64_t index)
{
    return index >= 0 && index < INT32_MAX ? (int32_t)index : INT32_MAX;
}

/* --- TreeEnsemble ------------------------------------------------------------------------------------------------- */

static enum status read_counts(struct op_context *c, struct forest *f, struct value *splits, struct value *weights,
                               struct value *members)
{
    int leaves, trees;
    int64_t aggregate = op_int(c, "aggregate_function", TREE_SUM);
    op_int_list(c, "leaf_targetids", &leaves);
    op_int_list(c, "tree_roots", &trees);
    if (!ml_numbers(c, NULL, NULL, "nodes_splits", splits) || !ml_numbers(c, NULL, NULL, "leaf_weights", weights) ||
        weights->dims[0] != leaves || trees < 1)
        return op_error(c, STATUS_INVALID_MODEL, "its splits, leaves or roots are missing or do not match");
    bool sets = ml_numbers(c, NULL, NULL, "membership_values", members);
    *f = (struct forest){.nodes = splits->dims[0],
                         .leaves = leaves,
                         .entries = leaves,
                         .trees = trees,
                         .members = sets ? members->dims[0] : 0,
                         .targets = op_int(c, "n_targets", 1)};
    if (aggregate < TREE_AVERAGE || aggregate > TREE_MAX || f->nodes > INT32_MAX - 1 || f->members > INT32_MAX - 1)
        return op_error(c, STATUS_INVALID_MODEL, "aggregate_function is %lld, of %lld nodes", (long long)aggregate,
                        (long long)f->nodes);
    f->aggregate = (enum tree_aggregate)aggregate;
    return STATUS_OK;
}

static int32_t branch(int64_t index, int64_t is_leaf)
{
    return is_leaf ? ~narrow(index) : narrow(index);
}

/* Sets of members stand in the order of the nodes that test them, each followed by a NaN. */
static void take_members(struct forest *f, int64_t node, const struct value *members, int64_t *next)
{
    f->node[node].first_member = narrow(*next);
    for (; *next < f->members && !isnan(f->member[*next] = number(members, *next)); ++*next)
        f->node[node].members++;
    ++*next;
}

static enum status read_nodes(struct op_context *c, struct forest *f, const struct value *splits,
                              const struct value *members)
{
    const int64_t *features, *yes, *no, *yes_leaf, *no_leaf;
    struct value modes;
    int missing;
    int64_t mode = 0, next = 0;
    const int64_t *missing_list = op_int_list(c, "nodes_missing_value_tracks_true", &missing);
    TRY(ints(c, "nodes_featureids", f->nodes, &features));
    TRY(ints(c, "nodes_truenodeids", f->nodes, &yes));
    TRY(ints(c, "nodes_falsenodeids", f->nodes, &no));
    TRY(ints(c, "nodes_trueleafs", f->nodes, &yes_leaf));
    TRY(ints(c, "nodes_falseleafs", f->nodes, &no_leaf));
    if (!ml_numbers(c, NULL, NULL, "nodes_modes", &modes) || modes.dims[0] != f->nodes)
        return op_error(c, STATUS_INVALID_MODEL, "nodes_modes must have one entry for each of %lld nodes",
                        (long long)f->nodes);
    for (int64_t i = 0; i < f->nodes; i++) {
        if (!value_integer_at(&modes, i, &mode) || mode < TREE_LEQ || mode > TREE_MEMBER)
            return op_error(c, STATUS_INVALID_MODEL, "node %lld of its trees has no known mode", (long long)i);
        f->node[i] = (struct tree_node){.feature = narrow(features[i]),
                                        .mode = (int32_t)mode,
                                        .missing = missing_list && i < missing && missing_list[i] != 0,
                                        .yes = branch(yes[i], yes_leaf[i]),
                                        .no = branch(no[i], no_leaf[i])};
        f->splits[i] = number(splits, i);
        if (mode == TREE_MEMBER)
            take_members(f, i, members, &next);
    }
    return STATUS_OK;
}

enum status forest_read(struct op_context *c, struct forest *f)
{
    struct value splits, weights, members;
    const int64_t *targets, *roots;
    TRY(read_counts(c, f, &splits, &weights, &members));
    TRY(forest_allocate(c, f));
    TRY(ints(c, "leaf_targetids", f->leaves, &targets));
    TRY(ints(c, "tree_roots", f->trees, &roots));
    for (int64_t i = 0; i < f->leaves; i++) {
        f->target[i] = narrow(targets[i]);
        f->weights[i] = number(&weights, i);
        f->ends[i + 1] = (int32_t)(i + 1);
    }
    for (int64_t i = 0; i < f->trees; i++)
        f->roots[i] = roots[i] >= 0 && roots[i] < f->nodes ? (int32_t)roots[i] : (int32_t)f->nodes;
    return read_nodes(c, f, &splits, &members);
}

/* --- TreeEnsembleRegressor, TreeEnsembleClassifier ---------------------------------------------------------------- */

/* Nodes are named by their tree and a number within it. */
struct node_names {
    const int64_t *trees, *numbers;
    const int64_t *order; /* by name */
    int64_t count;
};

static int compare_names(const struct node_names *names, int64_t i, int64_t tree, int64_t number_in_tree)
{
    if (names->trees[i] != tree)
        return names->trees[i] < tree ? -1 : 1;
    return names->numbers[i] < number_in_tree ? -1 : names->numbers[i] > number_in_tree;
}

static int compare_nodes(const void *context, int64_t a, int64_t b)
{
    const struct node_names *names = context;
    return compare_names(names, a, names->trees[b], names->numbers[b]);
}

/* The index of a node; one past the last where there is none. */
static int32_t find_node(const struct node_names *names, int64_t tree, int64_t number_in_tree)
{
    int64_t low = 0, high = names->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = compare_names(names, names->order[middle], tree, number_in_tree);
        if (order == 0)
            return (int32_t)names->order[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (int32_t)names->count;
}

/* "BRANCH_LEQ" and its like; -1 for LEAF, -2 for anything else. */
static int32_t mode_of(const char *name)
{
    static const char *const names[] = {[TREE_LEQ] = "LEQ", [TREE_LT] = "LT", [TREE_GTE] = "GTE",
                                        [TREE_GT] = "GT",   [TREE_EQ] = "EQ", [TREE_NEQ] = "NEQ"};
    if (strcmp(name, "LEAF") == 0)
        return -1;
    for (int32_t i = 0; i < TREE_MEMBER && strncmp(name, "BRANCH_", 7) == 0; i++)
        if (strcmp(name + 7, names[i]) == 0)
            return i;
    return -2;
}

static enum status read_names(struct op_context *c, const struct attribute *modes, struct node_names *names)
{
    int64_t count = (int64_t)modes->count;
    int64_t *order = region_array(c->graph->region, (size_t)count + 1, 2 * sizeof *order);
    if (!order)
        return op_no_memory(c);
    names->count = count;
    TRY(ints(c, "nodes_treeids", count, &names->trees));
    TRY(ints(c, "nodes_nodeids", count, &names->numbers));
    names->order = sort_numbers(count, order, order + count, compare_nodes, names);
    return STATUS_OK;
}

/* Every node has a place both as an inner node and as a leaf, so that one index serves for either. */
static enum status read_old_nodes(struct op_context *c, const struct attribute *modes, const struct node_names *names,
                                  struct forest *f)
{
    const int64_t *features, *yes, *no;
    struct value splits;
    int missing;
    const int64_t *missing_list = op_int_list(c, "nodes_missing_value_tracks_true", &missing);
    TRY(ints(c, "nodes_featureids", f->nodes, &features));
    TRY(ints(c, "nodes_truenodeids", f->nodes, &yes));
    TRY(ints(c, "nodes_falsenodeids", f->nodes, &no));
    if (!ml_numbers(c, NULL, "nodes_values", "nodes_values_as_tensor", &splits) || splits.dims[0] != f->nodes)
        return op_error(c, STATUS_INVALID_MODEL, "nodes_values must have one entry for each of %lld nodes",
                        (long long)f->nodes);
    for (int64_t i = 0; i < f->nodes; i++) {
        int32_t mode = mode_of(modes->strings[i]), sides[2];
        if (mode == -2)
            return op_error(c, STATUS_INVALID_MODEL, "node %lld of its trees has the mode '%s'", (long long)i,
                            modes->strings[i]);
        for (int side = 0; side < 2; side++) {
            int32_t to = find_node(names, names->trees[i], side ? yes[i] : no[i]);
            sides[side] = to < f->nodes && mode_of(modes->strings[to]) == -1 ? ~to : to;
        }
        f->node[i] = (struct tree_node){.feature = narrow(features[i]),
                                        .mode = mode,
                                        .missing = missing_list && i < missing && missing_list[i] != 0,
                                        .yes = sides[1],
                                        .no = sides[0]};
        f->splits[i] = number(&splits, i);
        if (mode == -1) /* a leaf is never walked through as a node */
            f->node[i] = (struct tree_node){.yes = ~(int32_t)i, .no = ~(int32_t)i};
    }
    return STATUS_OK;
}

/* Sorts the entries to the leaves they belong to. */
static enum status read_entries(struct op_context *c, const char *prefix, const struct node_names *names,
                                struct forest *f)
{
    static const char *const endings[] = {"treeids", "nodeids", "ids", "weights", "weights_as_tensor"};
    char name[5][40];
    const int64_t *lists[3];
    struct value weights;
    for (int i = 0; i < 5; i++)
        snprintf(name[i], sizeof name[i], "%s_%s", prefix, endings[i]);
    for (int i = 0; i < 3; i++)
        TRY(ints(c, name[i], f->entries, &lists[i]));
    if (!ml_numbers(c, NULL, name[3], name[4], &weights) || weights.dims[0] != f->entries)
        return op_error(c, STATUS_INVALID_MODEL, "%s must have %lld entries", name[3], (long long)f->entries);
    int32_t *leaf = region_array(c->graph->region, (size_t)f->entries + 1, sizeof *leaf);
    if (!leaf)
        return op_no_memory(c);
    for (int64_t i = 0; i < f->entries; i++) {
        leaf[i] = find_node(names, lists[0][i], lists[1][i]);
        if (leaf[i] == f->nodes)
            return op_error(c, STATUS_INVALID_MODEL, "entry %lld of %s belongs to no node", (long long)i, name[3]);
        f->ends[leaf[i] + 1]++;
    }
    for (int64_t i = 0; i < f->leaves; i++)
        f->ends[i + 1] += f->ends[i];
    for (int64_t i = f->entries - 1; i >= 0; i--) { /* from behind, so that a leaf's entries keep their order */
        int32_t at = --f->ends[leaf[i] + 1];
        f->target[at] = narrow(lists[2][i]);
        f->weights[at] = number(&weights, i);
    }
    /* Each end has moved down to where its leaf starts: leaf i now starts at ends[i + 1]. */
    memmove(f->ends, f->ends + 1, (size_t)f->leaves * sizeof *f->ends);
    f->ends[f->leaves] = (int32_t)f->entries;
    return STATUS_OK;
}

static enum tree_aggregate old_aggregate(const struct op_context *c)
{
    static const char *const names[] = {
        [TREE_AVERAGE] = "AVERAGE", [TREE_SUM] = "SUM", [TREE_MIN] = "MIN", [TREE_MAX] = "MAX"};
    const char *name = op_string(c, "aggregate_function", "SUM");
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum tree_aggregate)i;
    return TREE_SUM;
}

/* A tree's root is its first node. Nodes sorted by name stand together by tree, though not in their own order. */
static void find_roots(const struct attribute *modes, const struct node_names *names, struct forest *f)
{
    f->trees = 0;
    for (int64_t i = 0; i < names->count;) {
        int64_t tree = names->trees[names->order[i]], root = names->order[i];
        for (; i < names->count && names->trees[names->order[i]] == tree; i++)
            root = names->order[i] < root ? names->order[i] : root;
        f->roots[f->trees++] = mode_of(modes->strings[root]) == -1 ? ~(int32_t)root : (int32_t)root;
    }
}

enum status forest_read_old(struct op_context *c, const char *prefix, int64_t targets, struct forest *f)
{
    const struct attribute *modes = node_attribute(c->node, "nodes_modes");
    struct node_names names;
    char name[40];
    int entries;
    snprintf(name, sizeof name, "%s_ids", prefix);
    op_int_list(c, name, &entries);
    if (!modes || modes->kind != ATTRIBUTE_STRINGS || modes->count > INT32_MAX - 1 || entries < 0)
        return op_error(c, STATUS_INVALID_MODEL, "nodes_modes or %s is missing", name);
    *f = (struct forest){.nodes = (int64_t)modes->count,
                         .leaves = (int64_t)modes->count,
                         .entries = entries,
                         .trees = (int64_t)modes->count, /* at most */
                         .targets = targets,
                         .aggregate = old_aggregate(c)};
    TRY(read_names(c, modes, &names));
    TRY(forest_allocate(c, f));
    TRY(read_old_nodes(c, modes, &names, f));
    TRY(read_entries(c, prefix, &names, f));
    find_roots(modes, &names, f);
    return STATUS_OK;
}
