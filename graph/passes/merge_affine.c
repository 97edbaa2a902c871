/* A BatchNormalization that no product takes in has four numbers a channel, and the Mul and Add behind it two more:
 * they become one Mul and one Add, which a convolution may do as it reads (graph/steps/fuse.c). Results change by
 * rounding. Once weights are small, these numbers are what a file is full of. */
#include "graph/passes/affine.h"
#include "graph/passes/numbers.h"

#include <math.h>

/* What has been done to x since: a number a channel. */
struct chain {
    struct value *x;
    int rank;
    int64_t channels;
    double *factor, *shift;
};

struct chains {
    struct chain **of; /* by id of the value at the end; NULL: none ends there */
    int count;
};

/* Operators whose result has the rank of their first input. */
static bool keeps_rank(const struct node *node)
{
    static const char *const names[] = {"AveragePool", "BatchNormalization", "Concat", "MaxPool", "Relu"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return true;
    return false;
}

/* -1: not known. Shapes that a file declares of values between nodes are nothing to rely on. */
static int rank_of(const struct rewriter *r, const struct value *value)
{
    int least = 0, rank;
    int64_t dims[MAX_RANK];
    while (!rewrite_shape(r, value, &rank, dims)) {
        const struct node *maker = value->id < r->capacity ? r->makers[value->id] : NULL;
        bool arithmetic = maker && (is_op(maker, "Add") || is_op(maker, "Mul")) && maker->inputs[1]->data;
        if (!maker || !(arithmetic || keeps_rank(maker)))
            return -1;
        if (arithmetic && maker->inputs[1]->rank > least)
            least = maker->inputs[1]->rank;
        value = maker->inputs[0];
    }
    return rank > least ? rank : least;
}

static struct value *by_channel(struct rewriter *r, const struct chain *chain, const double *numbers)
{
    const int64_t dims[MAX_RANK] = {chain->channels, 1, 1, 1, 1, 1, 1, 1};
    void *data;
    struct value *value = rewrite_buffer(r, DTYPE_F32, chain->rank - 1, dims, &data);
    if (value)
        numbers_write(DTYPE_F32, data, 0, chain->channels, numbers);
    return value;
}

static enum status emit(struct rewriter *r, struct node *node, const struct chain *chain)
{
    struct value *factor = by_channel(r, chain, chain->factor), *shift = by_channel(r, chain, chain->shift);
    if (!factor || !shift)
        return r->c.error->status;
    struct value *product = rewrite_build(r, op_find("", "Mul"), 2, (struct value *[]){chain->x, factor}, 0, NULL);
    if (!product)
        return r->c.error->status;
    return rewrite_as(r, node, op_find("", "Add"), 2, (struct value *[]){product, shift}, 0, NULL);
}

/* The chain with one more node at its end; *chain: NULL where a number would leave the range of float32. */
static enum status extend(struct rewriter *r, const struct chain *before, const struct affine_node *affine, int rank,
                          int64_t channels, struct chain **chain)
{
    struct region *scratch = &r->context->scratch;
    struct chain *made = region_allocate(scratch, sizeof *made);
    double *factor = region_array(scratch, (size_t)channels, sizeof *factor);
    double *shift = region_array(scratch, (size_t)channels, sizeof *shift);
    *chain = NULL;
    if (!made || !factor || !shift)
        return op_no_memory(&r->c);
    for (int64_t i = 0; i < channels; i++) {
        int64_t at = affine->affine.count == 1 ? 0 : i;
        factor[i] = affine->affine.factor[at] * (before ? before->factor[i] : 1);
        shift[i] = affine->affine.factor[at] * (before ? before->shift[i] : 0) + affine->affine.shift[at];
        if (!(fabs(factor[i]) <= number_greatest(DTYPE_F32) && fabs(shift[i]) <= number_greatest(DTYPE_F32)))
            return STATUS_OK;
    }
    *made = (struct chain){before ? before->x : affine->x, rank, channels, factor, shift};
    *chain = made;
    return STATUS_OK;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct chains *chains = r->user;
    const struct value *x = affine_input(node);
    if (!x || node->outputs[0]->id >= chains->count)
        return STATUS_OK;
    const struct chain *before = x->id < chains->count && rewrite_sole(r, x) ? chains->of[x->id] : NULL;
    const struct value *numbers = is_op(node, "BatchNormalization") ? node->inputs[1] : NULL;
    if (!before && !(numbers && numbers->data && numbers->dtype == DTYPE_F32))
        return STATUS_OK;
    int rank = before ? before->rank : rank_of(r, x);
    int64_t channels = before ? before->channels : value_elements(numbers);
    struct affine_node affine = {.x = NULL};
    struct chain *chain;
    if (rank >= 2)
        TRY(read_affine(r, node, rank, rank - 2, channels, &affine));
    if (!affine.x)
        return STATUS_OK;
    TRY(extend(r, before, &affine, rank, channels, &chain));
    if (!chain)
        return STATUS_OK;
    if (before)
        TRY(rewrite_absorb(r, node, r->makers[x->id]));
    chains->of[node->outputs[0]->id] = chain;
    return emit(r, node, chain);
}

enum status merge_affine(struct graph *graph, struct pass_context *context, struct error *error)
{
    struct chains chains = {.count = graph->value_count};
    chains.of = region_array(&context->scratch, (size_t)graph->value_count, sizeof *chains.of);
    if (!chains.of)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    return rewrite_graph_with(graph, context, visit, &chains, error);
}
