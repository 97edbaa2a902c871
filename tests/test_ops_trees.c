/* Ensembles of trees as TreeEnsembleRegressor has them: in any order, as lists or as tensors, whole and damaged. */
#include "tests/op_short.h"
#include "tests/random_graph.h"
#include "tests/suites.h"

#include <math.h>

enum { FEATURES = 3, TARGETS = 2, ROWS = 8, MOST = 512, WORDS = 7 };

static const char *const words[WORDS] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                         "BRANCH_EQ",  "BRANCH_NEQ", "LEAF"};
enum { LEAF = WORDS - 1 };

/* The columns of an ensemble, as ONNX has them. */
struct ensemble {
    int nodes, entries;
    int64_t tree[MOST], number[MOST], feature[MOST], yes[MOST], no[MOST], missing[MOST];
    uint8_t mode[MOST]; /* the place of its word */
    bool root[MOST];
    float split[MOST];
    int64_t entry_tree[MOST], entry_node[MOST], target[MOST];
    float weight[MOST];
};

/* --- random ensembles --------------------------------------------------------------------------------------------- */

/* A node and all below it; its number in the tree. */
static int64_t grow(struct ensemble *e, struct dice *dice, int64_t tree, int64_t *next, int64_t gap, int depth)
{
    int i = e->nodes++;
    int64_t number = *next;
    *next += 1 + roll(dice, gap);
    e->tree[i] = tree;
    e->number[i] = number;
    e->feature[i] = roll(dice, FEATURES);
    e->missing[i] = roll(dice, 2);
    e->split[i] = (float)roll(dice, 5);
    e->mode[i] = depth == 0 || roll(dice, 4) == 0 ? LEAF : (uint8_t)roll(dice, LEAF);
    e->yes[i] = e->no[i] = 0;
    int entries = e->mode[i] == LEAF ? (int)roll(dice, 3) : roll(dice, 8) == 0; /* those of inner nodes say nothing */
    for (int k = 0; k < entries; k++) {
        e->entry_tree[e->entries] = tree;
        e->entry_node[e->entries] = number;
        e->target[e->entries] = roll(dice, TARGETS);
        e->weight[e->entries++] = (float)roll(dice, 1000) / 7 - 70;
    }
    if (e->mode[i] != LEAF) {
        e->yes[i] = grow(e, dice, tree, next, gap, depth - 1);
        e->no[i] = grow(e, dice, tree, next, gap, depth - 1);
    }
    return number;
}

#define SWAP(list, a, b)                        \
    do {                                        \
        __typeof__((list)[0]) kept = (list)[a]; \
        (list)[a] = (list)[b];                  \
        (list)[b] = kept;                       \
    } while (0)

static void swap_nodes(struct ensemble *e, int a, int b)
{
    SWAP(e->tree, a, b);
    SWAP(e->number, a, b);
    SWAP(e->feature, a, b);
    SWAP(e->yes, a, b);
    SWAP(e->no, a, b);
    SWAP(e->missing, a, b);
    SWAP(e->mode, a, b);
    SWAP(e->split, a, b);
    SWAP(e->root, a, b);
}

/* Any order, but that a tree's root stays the first of its nodes. */
static void shuffle(struct ensemble *e, struct dice *dice)
{
    for (int i = e->nodes - 1; i > 0; i--)
        swap_nodes(e, i, (int)roll(dice, i + 1));
    for (int i = 0; i < e->nodes; i++)
        for (int k = i + 1; k < e->nodes; k++)
            if (e->root[k] && e->tree[k] == e->tree[i])
                swap_nodes(e, i, k);
    for (int i = e->entries - 1; i > 0; i--) {
        int k = (int)roll(dice, i + 1);
        SWAP(e->entry_tree, i, k);
        SWAP(e->entry_node, i, k);
        SWAP(e->target, i, k);
        SWAP(e->weight, i, k);
    }
}

/* Numbers that go down instead of up. */
static void turn_numbers(struct ensemble *e)
{
    for (int i = 0; i < e->nodes; i++) {
        e->number[i] = -e->number[i];
        e->yes[i] = -e->yes[i];
        e->no[i] = -e->no[i];
    }
    for (int i = 0; i < e->entries; i++)
        e->entry_node[i] = -e->entry_node[i];
}

static void make_ensemble(struct ensemble *e, struct dice *dice, bool shuffled)
{
    int trees = 1 + (int)roll(dice, 6), depth = (int)roll(dice, 4);
    int64_t gap = 1 + roll(dice, 2) * 3; /* between the numbers of nodes */
    *e = (struct ensemble){0};
    for (int tree = 0; tree < trees; tree++) {
        int64_t next = roll(dice, 3);
        e->root[e->nodes] = true;
        grow(e, dice, 10 * tree - 20, &next, gap, depth);
    }
    if (roll(dice, 2))
        turn_numbers(e);
    if (shuffled)
        shuffle(e, dice);
}

/* --- what it says, the plain way ---------------------------------------------------------------------------------- */

static int find(const struct ensemble *e, int64_t tree, int64_t number)
{
    for (int i = 0; i < e->nodes; i++)
        if (e->tree[i] == tree && e->number[i] == number)
            return i;
    ck_abort_msg("tree %lld has no node %lld", (long long)tree, (long long)number);
}

static bool takes_true(const struct ensemble *e, int node, float x)
{
    const bool answers[] = {x <= e->split[node], x<e->split[node], x >= e->split[node], x> e->split[node],
                            x == e->split[node], x != e->split[node]};
    return isnan(x) ? e->missing[node] != 0 : answers[e->mode[node]];
}

static void add_tree(const struct ensemble *e, int root, const float *row, float *out)
{
    int at = root;
    while (e->mode[at] != LEAF)
        at = find(e, e->tree[at], takes_true(e, at, row[e->feature[at]]) ? e->yes[at] : e->no[at]);
    for (int i = 0; i < e->entries; i++)
        if (e->entry_tree[i] == e->tree[at] && e->entry_node[i] == e->number[at])
            out[e->target[i]] += e->weight[i];
}

/* Trees in the order of their numbers. */
static void add_up(const struct ensemble *e, const float *row, float *out)
{
    for (int64_t tree = -20; tree <= 40; tree += 10)
        for (int i = 0; i < e->nodes; i++)
            if (e->tree[i] == tree) {
                add_tree(e, i, row, out);
                break;
            }
}

/* --- as attributes ------------------------------------------------------------------------------------------------ */

enum { MOST_ATTRIBUTES = 16 };

struct attributes {
    int count;
    struct attribute list[MOST_ATTRIBUTES];
    struct value tensors[MOST_ATTRIBUTES];
    int16_t narrow[MOST_ATTRIBUTES][MOST];
    const char *strings[MOST];
};

static void add_tensor(struct attributes *a, const char *name, enum dtype dtype, int64_t count, const void *data)
{
    a->tensors[a->count] = (struct value){
        .name = name, .dtype = dtype, .rank = 1, .dims = {count}, .data = data, .bytes = dtype_bytes(dtype, count)};
    a->list[a->count] = (struct attribute){.name = name, .kind = ATTRIBUTE_TENSOR, .tensor = &a->tensors[a->count]};
    a->count++;
}

static void add_ints(struct attributes *a, const char *name, int count, const int64_t *ints, bool tensors)
{
    if (!tensors) {
        a->list[a->count++] = ATTRIBUTE_LIST(name, count, ints);
        return;
    }
    int16_t *narrow = a->narrow[a->count];
    for (int i = 0; i < count; i++)
        narrow[i] = (int16_t)ints[i];
    add_tensor(a, name, DTYPE_I16, count, narrow);
}

static void add_floats(struct attributes *a, const char *name, int count, const float *floats, bool tensors)
{
    if (tensors)
        add_tensor(a, name, DTYPE_F32, count, floats);
    else
        a->list[a->count++] =
            (struct attribute){.name = name, .kind = ATTRIBUTE_FLOATS, .count = (size_t)count, .floats = floats};
}

static void add_strings(struct attributes *a, const char *name, size_t count, const char *const *strings)
{
    a->list[a->count++] =
        (struct attribute){.name = name, .kind = ATTRIBUTE_STRINGS, .count = count, .strings = strings};
}

static void describe(struct attributes *a, const struct ensemble *e, bool tensors)
{
    *a = (struct attributes){.count = 0};
    add_ints(a, "nodes_treeids", e->nodes, e->tree, tensors);
    add_ints(a, "nodes_nodeids", e->nodes, e->number, tensors);
    add_ints(a, "nodes_featureids", e->nodes, e->feature, tensors);
    add_ints(a, "nodes_truenodeids", e->nodes, e->yes, tensors);
    add_ints(a, "nodes_falsenodeids", e->nodes, e->no, tensors);
    add_ints(a, "nodes_missing_value_tracks_true", e->nodes, e->missing, tensors);
    add_ints(a, "target_treeids", e->entries, e->entry_tree, tensors);
    add_ints(a, "target_nodeids", e->entries, e->entry_node, tensors);
    add_ints(a, "target_ids", e->entries, e->target, tensors);
    add_floats(a, "nodes_values", e->nodes, e->split, tensors);
    add_floats(a, "target_weights", e->entries, e->weight, tensors);
    a->list[a->count++] = ATTRIBUTE_I("n_targets", TARGETS);
    for (int i = 0; i < e->nodes && !tensors; i++)
        a->strings[i] = words[e->mode[i]];
    if (tensors) {
        add_tensor(a, "nodes_modes", DTYPE_U8, e->nodes, e->mode);
        add_strings(a, "nodes_modes" OP_WORDS, WORDS, words);
    } else {
        add_strings(a, "nodes_modes", (size_t)e->nodes, a->strings);
    }
}

static struct op_call regressor(const struct attributes *a, const struct test_tensor *in, struct test_tensor *out)
{
    return (struct op_call){.domain = "ai.onnx.ml",
                            .op = "TreeEnsembleRegressor",
                            .version = 3,
                            .inputs = in,
                            .input_count = 1,
                            .outputs = out,
                            .output_count = 1,
                            .attributes = a->list,
                            .attribute_count = a->count};
}

/* In loop tests: bit 0 of the index: tensors; bit 1: shuffled; the rest: which of the random ensembles. */
#define ENSEMBLES 240

START_TEST(random_ensembles_say_what_the_plain_way_says)
{
    static struct ensemble e;
    static struct attributes a;
    float rows[ROWS * FEATURES], sums[ROWS * TARGETS] = {0};
    struct dice dice = {.state = (uint64_t)_i + 1};
    make_ensemble(&e, &dice, (_i & 2) != 0);
    describe(&a, &e, (_i & 1) != 0);
    for (int i = 0; i < ROWS * FEATURES; i++)
        rows[i] = roll(&dice, 6) == 0 ? NAN : (float)roll(&dice, 10) / 2;
    for (int r = 0; r < ROWS; r++)
        add_up(&e, rows + r * FEATURES, sums + r * TARGETS);
    struct test_tensor in[] = {F32(rows, 2, ROWS, FEATURES)}, out[1];
    struct op_call call = regressor(&a, in, out);
    run_op(&call);
    expect_f32(&out[0], sums, 0, 2, ROWS, TARGETS);
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* x0 <= 1 ? leaf 1 : (x1 <= 2 ? leaf 3 : leaf 4) */
static void make_small(struct ensemble *e)
{
    *e = (struct ensemble){.nodes = 5,
                           .entries = 3,
                           .number = {0, 1, 2, 3, 4},
                           .feature = {0, 0, 1, 0, 0},
                           .mode = {0, LEAF, 0, LEAF, LEAF},
                           .split = {1, 0, 2},
                           .yes = {1, 0, 3},
                           .no = {2, 0, 4},
                           .entry_node = {1, 3, 4},
                           .weight = {10, 20, 30}};
}

static void refuse(const struct attributes *a, const char *sentence)
{
    const float row[FEATURES] = {0};
    struct test_tensor in[] = {F32(row, 2, 1, FEATURES)}, out[1];
    struct op_call call = regressor(a, in, out);
    refuse_call(&call, STATUS_INVALID_MODEL, sentence);
}

static struct attribute *named(struct attributes *a, const char *name)
{
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->list[i].name, name) == 0)
            return &a->list[i];
    ck_abort_msg("no '%s'", name);
}

/* In loop tests: index 0: lists, 1: tensors. */
START_TEST(ensembles_that_contradict_themselves_are_refused)
{
    static struct ensemble e;
    static struct attributes a;
#define REFUSED_WITH(sentence, change) \
    do {                               \
        make_small(&e);                \
        change;                        \
        describe(&a, &e, _i == 1);     \
        refuse(&a, sentence);          \
    } while (0)
    REFUSED_WITH("names a feature or a branch there is not", e.yes[0] = 9);
    REFUSED_WITH("names a feature or a branch there is not", e.no[2] = -1);
    REFUSED_WITH("names a feature or a branch there is not", e.feature[2] = FEATURES);
    REFUSED_WITH("names a feature or a branch there is not", e.feature[0] = -1);
    REFUSED_WITH("has the target 2147483647 of 2", e.target[1] = -1);
    REFUSED_WITH("has the target 2 of 2", e.target[1] = TARGETS);
    REFUSED_WITH("entry 2 of the leaves' weights belongs to no node", e.entry_node[2] = 5);
    REFUSED_WITH("entry 0 of the leaves' weights belongs to no node", e.entry_tree[0] = 1);
    /* In a file, the list of the features begins where that of the numbers ends. */
    REFUSED_WITH("entry 2 of the leaves' weights belongs to no node", e.entry_node[2] = e.feature[0] = 5);
    REFUSED_WITH("leads back", e.no[2] = 0);
    REFUSED_WITH("leads back", e.yes[0] = 0);
    REFUSED_WITH("entry 0 of the leaves' weights belongs to no node", e.nodes = 0);
}
END_TEST

START_TEST(lists_of_other_lengths_are_refused)
{
    static const char *const names[] = {"nodes_treeids",     "nodes_nodeids",      "nodes_featureids",
                                        "nodes_truenodeids", "nodes_falsenodeids", "nodes_values",
                                        "target_treeids",    "target_nodeids",     "target_weights"};
    static struct ensemble e;
    static struct attributes a;
    make_small(&e);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        describe(&a, &e, _i == 1);
        struct attribute *attribute = named(&a, names[i]);
        struct value shorter = _i == 1 ? *attribute->tensor : (struct value){.rank = 0};
        shorter.dims[0] = 2;
        shorter.bytes = 2 * dtype_bits(shorter.dtype) / 8;
        if (_i == 1)
            attribute->tensor = &shorter;
        else
            attribute->count = 2;
        refuse(&a, names[i]);
        attribute->name = "other";
        refuse(&a, names[i]);
    }
}
END_TEST

START_TEST(modes_that_are_none_are_refused)
{
    static struct ensemble e;
    static struct attributes a;
    make_small(&e);
    describe(&a, &e, false);
    a.strings[2] = "BRANCH_IN";
    refuse(&a, "node 2 of its trees has the mode 'BRANCH_IN'");
    a.strings[2] = "BRANCH";
    refuse(&a, "node 2 of its trees has the mode 'BRANCH'");
    named(&a, "nodes_modes")->name = "modes";
    refuse(&a, "nodes_modes or target_ids is missing");
    e.mode[3] = WORDS;
    describe(&a, &e, true);
    refuse(&a, "node 3 of its trees has mode 7 of 7");
    named(&a, "nodes_modes" OP_WORDS)->name = "words";
    refuse(&a, "nodes_modes or target_ids is missing");
    describe(&a, &e, true);
    *named(&a, "nodes_modes" OP_WORDS) = ATTRIBUTE_I("nodes_modes" OP_WORDS, 1);
    refuse(&a, "nodes_modes or target_ids is missing");
    e.mode[3] = LEAF;
    describe(&a, &e, true);
    named(&a, "target_ids")->name = "ids";
    refuse(&a, "nodes_modes or target_ids is missing");
    static const int16_t places[] = {0, LEAF, 0, -1, LEAF};
    const struct value tensor = {
        .name = "", .dtype = DTYPE_I16, .rank = 1, .dims = {5}, .data = places, .bytes = sizeof places};
    describe(&a, &e, true);
    named(&a, "nodes_modes")->tensor = &tensor;
    refuse(&a, "node 3 of its trees has mode -1 of 7");
}
END_TEST

START_TEST(there_are_as_many_targets_as_an_index_tells_apart)
{
    static struct ensemble e;
    static struct attributes a;
    make_small(&e);
    describe(&a, &e, false);
    named(&a, "n_targets")->i = 0;
    refuse(&a, "it has 0 targets");
    named(&a, "n_targets")->i = (int64_t)INT32_MAX + 1;
    refuse(&a, "it has 2147483648 targets");
    named(&a, "n_targets")->i = INT32_MAX;
    struct test_tensor in[] = {F32(e.split, 2, 0, FEATURES)}, out[1]; /* no rows: no scores either */
    struct op_call call = regressor(&a, in, out);
    struct error error = {0};
    ck_assert_int_eq(run_op_status(&call, &error), STATUS_OK);
    ck_assert_int_eq(out[0].dims[1], INT32_MAX);
}
END_TEST

Suite *ops_trees_suite(void)
{
    Suite *suite = suite_create("ops_trees");
    TCase *tests = tcase_create("ops_trees");
    tcase_add_loop_test(tests, random_ensembles_say_what_the_plain_way_says, 0, ENSEMBLES);
    tcase_add_loop_test(tests, ensembles_that_contradict_themselves_are_refused, 0, 2);
    tcase_add_loop_test(tests, lists_of_other_lengths_are_refused, 0, 2);
    tcase_add_test(tests, modes_that_are_none_are_refused);
    tcase_add_test(tests, there_are_as_many_targets_as_an_index_tells_apart);
    suite_add_tcase(suite, tests);
    return suite;
}
