/* lookup, ngrams, trees; nms, nonzero, unique. */
#include "tests/kernels/define.h"

#include "kernels/lookup.h"
#include "kernels/ngrams.h"
#include "kernels/nms.h"
#include "kernels/nonzero.h"
#include "kernels/trees.h"
#include "kernels/unique.h"

#include <math.h>
#include <stdlib.h>

/* --- lookup -------------------------------------------------------------------------------------------------- */

static bool same_number(number a, number b)
{
    return a == b || (isnan(a) && isnan(b));
}

static number lookup_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct lookup_params *p = problem->params;
    number x = input_at(problem, operands, 0, at[0]);
    int64_t value = p->keys;
    (void)output;
    for (int64_t i = 0; i < p->keys; i++)
        if (same_number(input_at(problem, operands, 1, i), x))
            value = i;
    return input_at(problem, operands, 2, value);
}

const struct definition define_lookup = {.element = lookup_element};

/* --- ngrams -------------------------------------------------------------------------------------------------- */

/* How often an n-gram of the pool stands in a row, its tokens `step` apart. */
static number times_in_row(const struct problem *problem, const struct operands *operands, int64_t row, int64_t ngram,
                           int n, int64_t step)
{
    const struct ngrams_params *p = problem->params;
    number times = 0;
    for (int64_t start = 0; start + step * (n - 1) < p->length; start++) {
        bool same = true;
        for (int i = 0; i < n; i++)
            same = same && input_at(problem, operands, 0, row * p->length + start + i * step) ==
                               input_at(problem, operands, 1, ngram + i);
        times += same;
    }
    return times;
}

static number ngrams_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct ngrams_params *p = problem->params;
    number count = 0;
    int64_t ngram = 0, number_of = 0;
    (void)output;
    for (int n = 1; n <= p->longest; n++)
        for (int64_t i = 0; i < p->counts[n - 1]; i++, number_of++, ngram += n)
            for (int64_t step = 1; n >= p->shortest && step <= (n == 1 ? 1 : p->skips + 1); step++)
                if ((int64_t)input_at(problem, operands, 2, number_of) == at[1])
                    count += times_in_row(problem, operands, at[0], ngram, n, step);
    if (p->weighting == NGRAMS_COUNT)
        return count;
    count = p->weighting == NGRAMS_PRESENCE ? count > 0 : count;
    return problem->inputs[3].absent ? count
                                     : number_rounded(DTYPE_F32, count * input_at(problem, operands, 3, at[1]), false);
}

static double ngrams_cost(const struct problem *problem)
{
    const struct ngrams_params *p = problem->params;
    return (double)(p->length * 200);
}

const struct definition define_ngrams = {.element = ngrams_element, .cost = ngrams_cost};

/* --- trees --------------------------------------------------------------------------------------------------- */

static int64_t node_field(const struct problem *problem, const struct operands *operands, int64_t node, size_t offset)
{
    int64_t fields = sizeof(struct tree_node) / sizeof(int32_t);
    return (int64_t)input_at(problem, operands, TREES_NODES, node * fields + (int64_t)(offset / sizeof(int32_t)));
}
#define FIELD(name) node_field(problem, operands, node, offsetof(struct tree_node, name))

static bool goes_true(const struct problem *problem, const struct operands *operands, int64_t node, number x)
{
    number split = input_at(problem, operands, TREES_SPLITS, node);
    bool member = false;
    for (int64_t i = 0; i < FIELD(members); i++)
        member = member || x == input_at(problem, operands, TREES_MEMBERS, FIELD(first_member) + i);
    const bool answers[] = {x <= split, x<split, x >= split, x> split, x == split, x != split, member};
    return isnan(x) ? FIELD(missing) == 1 : answers[FIELD(mode)];
}

static int64_t leaf_of(const struct problem *problem, const struct operands *operands, int64_t row, int64_t node)
{
    const struct trees_params *p = problem->params;
    if (node < 0)
        return ~node;
    number x = input_at(problem, operands, TREES_ROWS, row * p->features + FIELD(feature));
    return leaf_of(problem, operands, row, goes_true(problem, operands, node, x) ? FIELD(yes) : FIELD(no));
}

static number trees_element(const struct problem *problem, const struct operands *operands, int output,
                            const int64_t *at)
{
    const struct trees_params *p = problem->params;
    number sum = 0, least = (number)INFINITY, most = -(number)INFINITY;
    bool any = false;
    (void)output;
    for (int64_t tree = 0; tree < p->trees; tree++) {
        int64_t leaf = leaf_of(problem, operands, at[0], (int64_t)input_at(problem, operands, TREES_ROOTS, tree));
        int64_t end = (int64_t)input_at(problem, operands, TREES_LEAF_ENDS, leaf + 1);
        for (int64_t i = (int64_t)input_at(problem, operands, TREES_LEAF_ENDS, leaf); i < end; i++) {
            if ((int64_t)input_at(problem, operands, TREES_TARGETS, i) != at[1])
                continue;
            number weight = input_at(problem, operands, TREES_WEIGHTS, i);
            any = true;
            sum += weight;
            least = fminl(least, weight);
            most = fmaxl(most, weight);
        }
    }
    if (p->aggregate <= TREE_SUM)
        return p->aggregate == TREE_AVERAGE ? sum / (number)p->trees : sum;
    return any ? (p->aggregate == TREE_MIN ? least : most) : 0;
}

const struct definition define_trees = {.element = trees_element};

/* --- nms ----------------------------------------------------------------------------------------------------- */

static void corners(const struct problem *problem, const struct operands *operands, int64_t box, number *low,
                    number *high)
{
    const struct nms_params *p = problem->params;
    for (int i = 0; i < 2; i++) {
        number a = input_at(problem, operands, 0, box * 4 + i), b = input_at(problem, operands, 0, box * 4 + 2 + i);
        low[i] = p->centered ? a - b / 2 : fminl(a, b);
        high[i] = p->centered ? a + b / 2 : fmaxl(a, b);
    }
}

static bool suppresses(const struct problem *problem, const struct operands *operands, int64_t a, int64_t b)
{
    number low[2][2], high[2][2], shared = 1, areas[2] = {1, 1};
    number threshold = problem->inputs[3].absent ? 0 : input_at(problem, operands, 3, 0);
    corners(problem, operands, a, low[0], high[0]);
    corners(problem, operands, b, low[1], high[1]);
    for (int i = 0; i < 2; i++) {
        shared *= fmaxl(0, fminl(high[0][i], high[1][i]) - fmaxl(low[0][i], low[1][i]));
        for (int k = 0; k < 2; k++)
            areas[k] *= high[k][i] - low[k][i];
    }
    number whole = areas[0] + areas[1] - shared;
    return shared > 0 && whole > 0 && shared / whole > threshold;
}

/* The best box of the class that is left; -1: none. */
static int64_t best_left(const struct problem *problem, const struct operands *operands, int64_t scores,
                         const bool *gone)
{
    const struct nms_params *p = problem->params;
    int64_t best = -1;
    for (int64_t i = 0; i < p->boxes; i++) {
        number score = input_at(problem, operands, 1, scores + i);
        bool passes = problem->inputs[4].absent || score > input_at(problem, operands, 4, 0);
        if (!gone[i] && passes && !isnan(score) && (best < 0 || score > input_at(problem, operands, 1, scores + best)))
            best = i;
    }
    return best;
}

static void nms_whole(const struct problem *problem, const struct operands *operands, number *const *values,
                      int64_t (*dims)[MAX_RANK])
{
    const struct nms_params *p = problem->params;
    number *to = values[0];
    int64_t most = problem->inputs[2].absent ? 0 : (int64_t)input_at(problem, operands, 2, 0);
    for (int64_t line = 0; line < p->batch * p->classes; line++) {
        bool gone[256] = {false};
        int64_t first = line / p->classes * p->boxes, box;
        for (int64_t n = 0; n < most && (box = best_left(problem, operands, line * p->boxes, gone)) >= 0; n++) {
            *to++ = (number)(line / p->classes);
            *to++ = (number)(line % p->classes);
            *to++ = (number)box;
            for (int64_t i = 0; i < p->boxes; i++)
                gone[i] = gone[i] || i == box || suppresses(problem, operands, first + box, first + i);
        }
    }
    dims[0][0] = (to - values[0]) / 3;
    dims[0][1] = 3;
}

const struct definition define_nms = {.whole = nms_whole};

/* --- nonzero ------------------------------------------------------------------------------------------------- */

static void nonzero_whole(const struct problem *problem, const struct operands *operands, number *const *values,
                          int64_t (*dims)[MAX_RANK])
{
    const struct nonzero_params *p = problem->params;
    const struct strided *x = &problem->inputs[0].at;
    int64_t total = strided_count(x), found = 0, next = 0;
    for (int64_t i = 0; i < total; i++)
        found += (number_to_bits(input_at(problem, operands, 0, i)) & p->mask) != 0;
    for (int64_t i = 0; i < total; i++) {
        int64_t at[STRIDED_AXES];
        if ((number_to_bits(input_at(problem, operands, 0, i)) & p->mask) == 0)
            continue;
        strided_indices(x, i, at);
        for (int axis = 0; axis < p->rank; axis++)
            values[0][axis * found + next] = (number)at[axis];
        next++;
    }
    dims[0][0] = p->rank;
    dims[0][1] = found;
}

const struct definition define_nonzero = {.whole = nonzero_whole};

/* --- unique -------------------------------------------------------------------------------------------------- */

/* Order of two slices: that of the first elements that differ, a NaN being the last. */
static int compare_slices(const struct problem *problem, const struct operands *operands, int64_t a, int64_t b)
{
    const struct unique_params *p = problem->params;
    for (int64_t i = 0; i < p->outer * p->inner; i++) {
        int64_t row = i / p->inner * p->count, column = i % p->inner;
        number x = input_at(problem, operands, 0, (row + a) * p->inner + column);
        number y = input_at(problem, operands, 0, (row + b) * p->inner + column);
        if (same_number(x, y))
            continue;
        return isnan(x) || x > y ? 1 : -1;
    }
    return 0;
}

/* Where slice i is among the distinct ones: how many first occurrences come before that of its own. */
static int64_t place_among(const struct problem *problem, const struct operands *operands, int64_t slice)
{
    const struct unique_params *p = problem->params;
    int64_t own = slice, before = 0;
    for (int64_t i = 0; i < slice && own == slice; i++)
        own = compare_slices(problem, operands, i, slice) == 0 ? i : own;
    for (int64_t i = 0; i < p->count; i++) {
        bool is_first = true;
        for (int64_t k = 0; k < i; k++)
            is_first = is_first && compare_slices(problem, operands, k, i) != 0;
        before += is_first && (p->sorted ? compare_slices(problem, operands, i, own) < 0 : i < own);
    }
    return before;
}

static void unique_whole(const struct problem *problem, const struct operands *operands, number *const *values,
                         int64_t (*dims)[MAX_RANK])
{
    const struct unique_params *p = problem->params;
    int64_t *places = calloc((size_t)p->count, sizeof *places), groups = 0;
    if (!places)
        abort();
    for (int64_t i = 0; i < p->count; i++) {
        places[i] = place_among(problem, operands, i);
        groups = places[i] >= groups ? places[i] + 1 : groups;
    }
    for (int64_t i = 0; i < groups && values[3]; i++)
        values[3][i] = 0;
    for (int64_t i = p->count - 1; i >= 0; i--) { /* the first occurrence has the last word */
        for (int64_t k = 0; k < p->outer * p->inner && values[0]; k++)
            values[0][(k / p->inner * groups + places[i]) * p->inner + k % p->inner] =
                input_at(problem, operands, 0, (k / p->inner * p->count + i) * p->inner + k % p->inner);
        if (values[1])
            values[1][places[i]] = (number)i;
        if (values[2])
            values[2][i] = (number)places[i];
        if (values[3])
            values[3][places[i]]++;
    }
    dims[0][p->axis] = dims[1][0] = dims[3][0] = groups;
    free(places);
}

const struct definition define_unique = {.whole = unique_whole};
