/* Families that look things up: lookup, ngrams, trees. */
#include "kernels/lookup.h"
#include "kernels/ngrams.h"
#include "kernels/trees.h"
#include "tools/problems/make.h"
#include "tools/problems/number.h"

#include <math.h>

static void give(struct operand *operand, const void *given)
{
    operand->fill = FILL_GIVEN;
    operand->given = given;
}

/* --- lookup -------------------------------------------------------------------------------------------------- */

/* Rising, some twice, a NaN last perhaps. */
static void *make_keys(struct maker *maker, enum dtype dtype, int64_t count)
{
    void *keys = make_room(maker, dtype_bytes(dtype, count), 1);
    number key = dtype_is_unsigned_integer(dtype) ? 0 : -60;
    for (int64_t i = 0; i < count; i++) {
        bool last = i + 1 == count && dtype_is_float(dtype) && random_once_in(&maker->random, 2);
        key += (number)random_below(&maker->random, 3);
        number_put(dtype, keys, i, last ? (number)NAN : key);
    }
    return keys;
}

static void *make_elements(struct maker *maker, enum dtype dtype, int64_t count, const void *keys, int64_t key_count)
{
    void *elements = make_room(maker, dtype_bytes(dtype, count), 1);
    for (int64_t i = 0; i < count; i++) {
        int64_t key = random_below(&maker->random, key_count);
        number near = number_get(dtype, keys, key) + (number)random_below(&maker->random, 2);
        number_put(dtype, elements, i, near);
    }
    return elements;
}

static void make_lookup(struct maker *maker)
{
    struct lookup_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, 12, numeric_dtypes);
    p->dtype = (uint8_t)dtype;
    p->value_bytes = 1u << random_below(&maker->random, 4);
    p->count = make_size(maker, 2000);
    p->keys = make_size(maker, 40);
    make_fit_tasks(maker, 1, (int64_t *const[]){&p->count}, 1, 4600);
    void *keys = make_keys(maker, dtype, p->keys);
    const int64_t values = p->keys + 1;
    struct operand *x = add_input(maker, "x", dtype), *k = add_input(maker, "keys", dtype);
    struct operand *v = add_input(maker, "values", moved_dtype(p->value_bytes));
    struct operand *y = add_output(maker, "y", moved_dtype(p->value_bytes));
    strided_contiguous(&x->at, 1, &p->count);
    strided_contiguous(&k->at, 1, &p->keys);
    strided_contiguous(&v->at, 1, &values);
    strided_contiguous(&y->at, 1, &p->count);
    give(x, make_elements(maker, dtype, p->count, keys, p->keys));
    give(k, keys);
    v->fill = FILL_BITS;
    k->constant = v->constant = true;
    y->bound.bits = true;
    describe(maker, " %s count=%lld keys=%lld value_bytes=%u", dtype_name(dtype), (long long)p->count,
             (long long)p->keys, p->value_bytes);
}

const struct family_problems lookup_problems = {.family = FAMILY_lookup, .make = make_lookup, .share = NUMERIC_TYPES};

/* --- ngrams -------------------------------------------------------------------------------------------------- */

#define ALPHABET 4

/* Some of all n-grams of the alphabet, in order. */
static int64_t append_ngrams(struct maker *maker, int n, int64_t *to)
{
    int64_t all = 1, kept = 0;
    for (int i = 0; i < n; i++)
        all *= ALPHABET;
    for (int64_t code = 0; code < all; code++) {
        if (random_once_in(&maker->random, 2))
            continue;
        int64_t rest = code;
        for (int i = n - 1; i >= 0; i--) {
            to[kept * n + i] = rest % ALPHABET;
            rest /= ALPHABET;
        }
        kept++;
    }
    return kept;
}

static void add_pool(struct maker *maker, struct ngrams_params *p)
{
    int64_t numbers = 0, ngrams = 0, *pool = make_room(maker, 4 + 2 * 16 + 3 * 64 + 4 * 256, sizeof *pool);
    for (int n = 1; n <= p->longest; n++) {
        p->counts[n - 1] = append_ngrams(maker, n, pool + numbers);
        numbers += p->counts[n - 1] * n;
        ngrams += p->counts[n - 1];
    }
    int32_t *columns = make_room(maker, (size_t)ngrams, sizeof *columns);
    for (int64_t i = 0; i < ngrams; i++)
        columns[i] = (int32_t)random_below(&maker->random, p->columns);
    struct operand *pool_input = add_input(maker, "pool", DTYPE_I64), *places = add_input(maker, "columns", DTYPE_I32);
    strided_contiguous(&pool_input->at, 1, &numbers);
    strided_contiguous(&places->at, 1, &ngrams);
    pool_input->constant = places->constant = true;
    give(pool_input, pool);
    give(places, columns);
}

static void make_ngrams(struct maker *maker)
{
    struct ngrams_params *p = make_params(maker, sizeof *p);
    p->rows = make_size(maker, 20);
    p->length = make_size(maker, 40);
    make_fit_tasks(maker, 2, (int64_t *const[]){&p->rows, &p->length}, 1, 1200);
    p->columns = make_size(maker, 60);
    p->skips = random_below(&maker->random, 4);
    p->longest = (int)random_between(&maker->random, 1, 4);
    p->shortest = (int)random_between(&maker->random, 1, p->longest);
    p->weighting = (uint8_t)random_below(&maker->random, 3);
    enum dtype dtype = make_dtype(maker, DTYPES(DTYPE_I32, DTYPE_I64));
    p->token_dtype = (uint8_t)dtype;
    struct operand *tokens = add_input(maker, "tokens", dtype);
    strided_contiguous(&tokens->at, 2, (int64_t[]){p->rows, p->length});
    tokens->fill = FILL_WHOLE;
    tokens->low = 0;
    tokens->high = ALPHABET;
    add_pool(maker, p);
    struct operand *weights = random_once_in(&maker->random, 2) ? add_input(maker, "weights", DTYPE_F32)
                                                                : add_absent(maker, "weights", false);
    strided_contiguous(&weights->at, 1, &p->columns);
    struct operand *y = add_output(maker, "y", DTYPE_F32);
    strided_contiguous(&y->at, 2, (int64_t[]){p->rows, p->columns});
    describe(maker, " %s rows=%lld length=%lld columns=%lld skips=%lld n=%d..%d weighting=%d weights=%d",
             dtype_name(dtype), (long long)p->rows, (long long)p->length, (long long)p->columns, (long long)p->skips,
             p->shortest, p->longest, p->weighting, !weights->absent);
}

const struct family_problems ngrams_problems = {.family = FAMILY_ngrams, .make = make_ngrams};

/* --- trees --------------------------------------------------------------------------------------------------- */

#define MOST_NODES 1024
#define MEMBERS 12

struct forest {
    struct maker *maker;
    const struct trees_params *params;
    struct tree_node *nodes;
    int32_t *ends, *targets;
    int32_t node_count, leaf_count, entry_count;
};

/* The branch that leads to a new subtree. Nodes are numbered from the root down: none leads back. */
static int32_t grow(struct forest *forest, int depth)
{
    struct random *random = &forest->maker->random;
    if (depth == 0 || random_once_in(random, 4) || forest->node_count == MOST_NODES) {
        for (int64_t entries = random_below(random, 3); entries > 0; entries--)
            forest->targets[forest->entry_count++] = (int32_t)random_below(random, forest->params->targets);
        forest->ends[forest->leaf_count + 1] = forest->entry_count;
        return ~forest->leaf_count++;
    }
    int32_t index = forest->node_count++, members = (int32_t)random_between(random, 1, 3);
    struct tree_node node = {.feature = (int32_t)random_below(random, forest->params->features),
                             .mode = (int32_t)random_below(random, TREE_MEMBER + 1),
                             .missing = (int32_t)random_below(random, 2),
                             .first_member = (int32_t)random_below(random, MEMBERS - members + 1),
                             .members = members};
    node.yes = grow(forest, depth - 1);
    node.no = grow(forest, depth - 1);
    forest->nodes[index] = node;
    return index;
}

static void add_list(struct maker *maker, const char *name, enum dtype dtype, int64_t count, const void *given)
{
    struct operand *operand = add_input(maker, name, dtype);
    strided_contiguous(&operand->at, 1, &count);
    operand->constant = true;
    if (given)
        give(operand, given);
}

/* Whole numbers, so that many equal a split. */
static void add_whole(struct maker *maker, const char *name, enum dtype dtype, int64_t count)
{
    add_list(maker, name, dtype, count, NULL);
    struct operand *operand = &maker->problem->inputs[maker->problem->input_count - 1];
    operand->fill = FILL_WHOLE;
    operand->low = -3;
    operand->high = 3;
}

static void add_forest(struct maker *maker, const struct trees_params *p)
{
    enum dtype dtype = (enum dtype)p->dtype;
    struct forest forest = {.maker = maker,
                            .params = p,
                            .nodes = make_room(maker, MOST_NODES + 1, sizeof(struct tree_node)),
                            .ends = make_room(maker, 2 * MOST_NODES + 512, sizeof(int32_t)),
                            .targets = make_room(maker, 4 * MOST_NODES + 1024, sizeof(int32_t))};
    int32_t *roots = make_room(maker, (size_t)p->trees, sizeof *roots);
    for (int64_t tree = 0; tree < p->trees; tree++)
        roots[tree] = grow(&forest, (int)random_between(&maker->random, 0, 5));
    int64_t fields = sizeof(struct tree_node) / sizeof(int32_t);
    add_list(maker, "nodes", DTYPE_I32, forest.node_count * fields, forest.nodes);
    add_whole(maker, "splits", dtype, forest.node_count);
    add_whole(maker, "members", dtype, MEMBERS);
    add_list(maker, "leaf_ends", DTYPE_I32, forest.leaf_count + 1, forest.ends);
    add_list(maker, "targets", DTYPE_I32, forest.entry_count, forest.targets);
    add_list(maker, "weights", dtype, forest.entry_count, NULL);
    add_list(maker, "roots", DTYPE_I32, p->trees, roots);
    describe(maker, " nodes=%d leaves=%d", forest.node_count, forest.leaf_count);
}

static void make_trees(struct maker *maker)
{
    static const char *const aggregates[] = {"average", "sum", "min", "max"};
    struct trees_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->dtype = (uint8_t)dtype;
    p->features = make_size(maker, 10);
    p->targets = random_between(&maker->random, 1, 5);
    p->trees = make_size(maker, 20);
    p->rows = make_size(maker, 60);
    make_fit_tasks(maker, 1, (int64_t *const[]){&p->rows}, 1 + p->trees, 300);
    p->aggregate = (uint8_t)random_below(&maker->random, 4);
    struct operand *rows = add_input(maker, "rows", dtype);
    strided_contiguous(&rows->at, 2, (int64_t[]){p->rows, p->features});
    rows->fill = random_once_in(&maker->random, 2) ? FILL_SPECIAL : FILL_WHOLE;
    rows->low = -4;
    rows->high = 4;
    describe(maker, " %s %s rows=%lld features=%lld targets=%lld trees=%lld", aggregates[p->aggregate],
             dtype_name(dtype), (long long)p->rows, (long long)p->features, (long long)p->targets, (long long)p->trees);
    add_forest(maker, p);
    struct operand *y = add_output(maker, "y", dtype);
    strided_contiguous(&y->at, 2, (int64_t[]){p->rows, p->targets});
    if (p->aggregate <= TREE_SUM) /* weights lie in [-2, 2), two a leaf at most */
        y->bound.absolute = (dtype == DTYPE_F32 ? 0x1p-23 : 0x1p-52) * 8 * (double)p->trees;
}

const struct family_problems trees_problems = {.family = FAMILY_trees, .make = make_trees};
