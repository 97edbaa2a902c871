/* Tables of trees from the attributes of TreeEnsembleRegressor and TreeEnsembleClassifier. */
#include "graph/ops/ml_forest.h"
#include "kernels/sort.h"

#include <stdio.h>
#include <string.h>

#define MODE_LEAF (-1)
#define MODE_UNKNOWN (-2)

/* While they are read: nodes are named by their tree and a number within it. */
struct nodes {
    struct region scratch;
    int64_t count, leaves;
    struct value trees, numbers;
    const int64_t *order; /* by name; NULL: that is how they stand, and each has a name of its own */
    const int8_t *modes;  /* enum tree_mode, or MODE_LEAF */
    int32_t *branches;    /* how a branch leads to the node: see struct tree_node */
};

/* --- modes -------------------------------------------------------------------------------------------------------- */

/* "BRANCH_LEQ" and its like. */
static int8_t mode_of(const char *name)
{
    static const char *const names[] = {[TREE_LEQ] = "LEQ", [TREE_LT] = "LT", [TREE_GTE] = "GTE",
                                        [TREE_GT] = "GT",   [TREE_EQ] = "EQ", [TREE_NEQ] = "NEQ"};
    if (strcmp(name, "LEAF") == 0)
        return MODE_LEAF;
    for (int8_t i = 0; i < TREE_MEMBER && strncmp(name, "BRANCH_", 7) == 0; i++)
        if (strcmp(name + 7, names[i]) == 0)
            return i;
    return MODE_UNKNOWN;
}

/* The strings of the nodes, one after the other, or of the words that `places` has a place of for each node. */
static enum status read_modes(struct op_context *c, const struct attribute *strings, const struct value *places,
                              struct nodes *nodes)
{
    int8_t *modes = region_buffer(&nodes->scratch, (size_t)nodes->count);
    if (!modes)
        return op_no_memory(c);
    nodes->modes = modes;
    for (int64_t i = 0; i < nodes->count; i++) {
        int64_t at = places ? ml_integer(places, i) : i;
        if ((uint64_t)at >= strings->count)
            return op_error(c, STATUS_INVALID_MODEL, "node %lld of its trees has mode %lld of %zu", (long long)i,
                            (long long)at, strings->count);
        modes[i] = mode_of(strings->strings[at]);
        if (modes[i] == MODE_UNKNOWN)
            return op_error(c, STATUS_INVALID_MODEL, "node %lld of its trees has the mode '%s'", (long long)i,
                            strings->strings[at]);
        nodes->leaves += modes[i] == MODE_LEAF;
    }
    return STATUS_OK;
}

/* A branch to an inner node is its index among those; one to a leaf is ~ its index among the leaves. */
static enum status number_nodes(struct op_context *c, struct nodes *nodes)
{
    int32_t inner = 0, leaves = 0;
    nodes->branches = region_array(&nodes->scratch, (size_t)nodes->count, sizeof *nodes->branches);
    if (!nodes->branches)
        return op_no_memory(c);
    for (int64_t i = 0; i < nodes->count; i++)
        nodes->branches[i] = nodes->modes[i] == MODE_LEAF ? ~leaves++ : inner++;
    return STATUS_OK;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int compare_names(const struct nodes *nodes, int64_t i, int64_t tree, int64_t number)
{
    int64_t own_tree = ml_integer(&nodes->trees, i), own_number = ml_integer(&nodes->numbers, i);
    if (own_tree != tree)
        return own_tree < tree ? -1 : 1;
    return own_number < number ? -1 : own_number > number;
}

static int compare_nodes(const void *context, int64_t a, int64_t b)
{
    const struct nodes *nodes = context;
    return compare_names(nodes, a, ml_integer(&nodes->trees, b), ml_integer(&nodes->numbers, b));
}

static bool in_order(const struct nodes *nodes)
{
    for (int64_t i = 1; i < nodes->count; i++)
        if (compare_nodes(nodes, i - 1, i) >= 0)
            return false;
    return true;
}

static enum status read_names(struct op_context *c, struct nodes *nodes)
{
    TRY(forest_ints(c, "nodes_treeids", nodes->count, &nodes->trees));
    TRY(forest_ints(c, "nodes_nodeids", nodes->count, &nodes->numbers));
    if (in_order(nodes))
        return STATUS_OK;
    int64_t *order = region_array(&nodes->scratch, (size_t)nodes->count, 2 * sizeof *order);
    if (!order)
        return op_no_memory(c);
    nodes->order = sort_numbers(nodes->count, order, order + nodes->count, compare_nodes, nodes);
    return STATUS_OK;
}

static int64_t node_at(const struct nodes *nodes, int64_t place)
{
    return nodes->order ? nodes->order[place] : place;
}

/* The index of a node; -1 where there is none. Numbers in a tree mostly go up one by one, and so from a node `near`. */
static int64_t find_node(const struct nodes *nodes, int64_t tree, int64_t number, int64_t near)
{
    int64_t low = 0, high = nodes->count, guess;
    if (!nodes->order && near < high && !__builtin_sub_overflow(number, ml_integer(&nodes->numbers, near), &guess) &&
        guess >= -near && guess < high - near && compare_names(nodes, near + guess, tree, number) == 0)
        return near + guess;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, node = node_at(nodes, middle);
        int order = compare_names(nodes, node, tree, number);
        if (order == 0)
            return node;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* Whether a tree begins at this place in the order of the names. */
static bool begins_tree(const struct nodes *nodes, int64_t place)
{
    return place == 0 ||
           ml_integer(&nodes->trees, node_at(nodes, place)) != ml_integer(&nodes->trees, node_at(nodes, place - 1));
}

static int64_t count_trees(const struct nodes *nodes)
{
    int64_t trees = 0;
    for (int64_t place = 0; place < nodes->count; place++)
        trees += begins_tree(nodes, place);
    return trees;
}

/* A tree's root is its first node. Nodes in the order of their names stand together by tree, though not in their own.
 */
static void find_roots(const struct nodes *nodes, struct forest *f)
{
    int64_t tree = -1, root = 0;
    for (int64_t place = 0; place < nodes->count; place++) {
        int64_t node = node_at(nodes, place);
        bool begins = begins_tree(nodes, place);
        tree += begins;
        root = begins || node < root ? node : root;
        f->roots[tree] = nodes->branches[root];
    }
}

static int32_t branch_to(const struct nodes *nodes, int64_t from, const struct value *numbers)
{
    int64_t to = find_node(nodes, ml_integer(&nodes->trees, from), ml_integer(numbers, from), from);
    return to < 0 ? INT32_MAX : nodes->branches[to];
}

static enum status read_inner_nodes(struct op_context *c, const struct nodes *nodes, struct forest *f)
{
    struct value features, yes, no, splits, missing;
    TRY(forest_ints(c, "nodes_featureids", nodes->count, &features));
    TRY(forest_ints(c, "nodes_truenodeids", nodes->count, &yes));
    TRY(forest_ints(c, "nodes_falsenodeids", nodes->count, &no));
    ml_numbers(c, "nodes_missing_value_tracks_true", NULL, NULL, &missing);
    if (!ml_numbers(c, NULL, "nodes_values", "nodes_values_as_tensor", &splits) || splits.dims[0] != nodes->count)
        return op_error(c, STATUS_INVALID_MODEL, "nodes_values must have one entry for each of %lld nodes",
                        (long long)nodes->count);
    for (int64_t i = 0; i < nodes->count; i++) {
        int32_t at = nodes->branches[i];
        if (at < 0)
            continue;
        f->node[at] = (struct tree_node){.feature = forest_index(ml_integer(&features, i)),
                                         .mode = nodes->modes[i],
                                         .missing = i < missing.dims[0] && ml_integer(&missing, i) != 0,
                                         .yes = branch_to(nodes, i, &yes),
                                         .no = branch_to(nodes, i, &no)};
        forest_set(f, f->splits, at, forest_number(&splits, i));
    }
    return STATUS_OK;
}

/* Columns of the entries: what they add to which target, and at which node. */
struct entries {
    struct value trees, numbers, targets, weights;
};

/* The leaf of each entry, and how many entries each leaf has, in the place of the one before it. */
static enum status find_leaves(struct op_context *c, const struct entries *entries, const struct nodes *nodes,
                               int32_t *leaf, struct forest *f)
{
    int64_t node = 0;
    for (int64_t i = 0; i < f->entries; i++) {
        node = find_node(nodes, ml_integer(&entries->trees, i), ml_integer(&entries->numbers, i), node);
        if (node < 0)
            return op_error(c, STATUS_INVALID_MODEL, "entry %lld of the leaves' weights belongs to no node",
                            (long long)i);
        leaf[i] = ~nodes->branches[node];
        if (leaf[i] >= 0)
            f->ends[leaf[i] + 1]++;
    }
    return STATUS_OK;
}

/* Sorts the entries to their leaves. Those of inner nodes are never asked for, and are left out. */
static void sort_entries(const struct entries *entries, const int32_t *leaf, struct forest *f)
{
    for (int64_t i = 0; i < f->leaves; i++)
        f->ends[i + 1] += f->ends[i];
    int32_t kept = f->ends[f->leaves];
    for (int64_t i = f->entries - 1; i >= 0; i--) { /* from behind, so that a leaf's entries keep their order */
        if (leaf[i] < 0)
            continue;
        int32_t at = --f->ends[leaf[i] + 1];
        f->target[at] = forest_index(ml_integer(&entries->targets, i));
        forest_set(f, f->weights, at, forest_number(&entries->weights, i));
    }
    /* Each end has moved down to where its leaf starts: leaf i now starts at ends[i + 1]. */
    memmove(f->ends, f->ends + 1, (size_t)f->leaves * sizeof *f->ends);
    f->ends[f->leaves] = kept;
    f->entries = kept;
}

static enum status read_entries(struct op_context *c, const char *prefix, struct nodes *nodes, struct forest *f)
{
    static const char *const endings[] = {"treeids", "nodeids", "ids", "weights", "weights_as_tensor"};
    char name[5][40];
    struct entries entries;
    for (int i = 0; i < 5; i++)
        snprintf(name[i], sizeof name[i], "%s_%s", prefix, endings[i]);
    TRY(forest_ints(c, name[0], f->entries, &entries.trees));
    TRY(forest_ints(c, name[1], f->entries, &entries.numbers));
    TRY(forest_ints(c, name[2], f->entries, &entries.targets));
    if (!ml_numbers(c, NULL, name[3], name[4], &entries.weights) || entries.weights.dims[0] != f->entries)
        return op_error(c, STATUS_INVALID_MODEL, "%s must have %lld entries", name[3], (long long)f->entries);
    int32_t *leaf = region_array(&nodes->scratch, (size_t)f->entries, sizeof *leaf);
    if (!leaf)
        return op_no_memory(c);
    TRY(find_leaves(c, &entries, nodes, leaf, f));
    sort_entries(&entries, leaf, f);
    return STATUS_OK;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static enum tree_aggregate old_aggregate(const struct op_context *c)
{
    static const char *const names[] = {
        [TREE_AVERAGE] = "AVERAGE", [TREE_SUM] = "SUM", [TREE_MIN] = "MIN", [TREE_MAX] = "MAX"};
    const char *name = op_string_or(c, "aggregate_function", "SUM");
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum tree_aggregate)i;
    return TREE_SUM;
}

/* How many nodes and entries there are, and what each node is. */
static enum status read_kinds(struct op_context *c, const char *prefix, struct nodes *nodes, struct forest *f)
{
    const struct attribute *modes = node_attribute(c->node, "nodes_modes");
    const struct attribute *words = node_attribute(c->node, "nodes_modes" OP_WORDS);
    struct value ids, places;
    char name[40];
    snprintf(name, sizeof name, "%s_ids", prefix);
    bool listed = ml_numbers(c, name, NULL, NULL, &ids);
    bool numbered = words && words->kind == ATTRIBUTE_STRINGS && ml_numbers(c, "nodes_modes", NULL, NULL, &places);
    if (!numbered && modes && modes->kind == ATTRIBUTE_STRINGS)
        places.dims[0] = (int64_t)modes->count;
    else if (!numbered)
        listed = false;
    if (!listed || places.dims[0] > INT32_MAX - 1 || ids.dims[0] > INT32_MAX - 1)
        return op_error(c, STATUS_INVALID_MODEL, "nodes_modes or %s is missing", name);
    nodes->count = places.dims[0];
    f->entries = ids.dims[0];
    return read_modes(c, numbered ? words : modes, numbered ? &places : NULL, nodes);
}

static enum status read_tables(struct op_context *c, const char *prefix, struct nodes *nodes, struct forest *f)
{
    TRY(read_kinds(c, prefix, nodes, f));
    TRY(number_nodes(c, nodes));
    TRY(read_names(c, nodes));
    f->leaves = nodes->leaves;
    f->nodes = nodes->count - nodes->leaves;
    f->trees = count_trees(nodes);
    f->aggregate = old_aggregate(c);
    TRY(forest_allocate(c, f));
    TRY(read_inner_nodes(c, nodes, f));
    TRY(read_entries(c, prefix, nodes, f));
    find_roots(nodes, f);
    return STATUS_OK;
}

enum status forest_read_old(struct op_context *c, const char *prefix, struct forest *f)
{
    struct nodes nodes = {0};
    region_init(&nodes.scratch, c->graph->region->allocator);
    enum status status = read_tables(c, prefix, &nodes, f);
    region_free(&nodes.scratch);
    return status;
}
